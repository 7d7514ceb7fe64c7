"""Experiment: one finished run, as a small record that names all it consists of."""

from __future__ import annotations

from dodo_exp.errors import Damage
from dodo_store import record
from dodo_store.named import Named
from dodo_store.oid import Oid
from dodo_store.tree import Node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from dodo_store.store import Store


class Experiment(Named):
    """What was run and what came out.

    `base` is the workspace before the run, `result` after it; `state` names what the stages were
    made from and made, so that equal results are seen to be equal. Params and metrics are
    {file: {"data": contents}} or {file: {"error": words}}. `stale` stages were left out of date,
    `tainted` ones ran while their inputs changed: the numbers may not belong to the params.
    `stages` are (address, how, seconds, seconds of processor time, bytes of memory).
    """

    name: str
    created: float
    seconds: float
    parent: str | None
    base: Node
    result: Node
    state: Oid
    params: dict[str, Any]
    metrics: dict[str, Any]
    deps: dict[str, str]
    stages: tuple[tuple[Any, ...], ...]
    stale: tuple[str, ...]
    tainted: tuple[str, ...]
    message: str
    error: str = ""
    """Why it is no success; "" for one that is."""
    job: str = ""
    """The job that it is the result of, if it was queued."""
    tags: tuple[str, ...] = ()
    """Words that the user has put on it."""
    was: tuple[str, ...] = ()
    """Names that it had before; its log is under one of them."""
    step: int = 0
    """Which step of a run with checkpoints it is, from 1; 0 where there are none."""
    before: Oid | None = None
    """The record of the step before."""
    unfinished: bool = False
    """Whether it was kept in the middle of a run."""
    origin: bytes = b""
    """What the run was made from; see exps/going.py. Empty where there are no steps."""
    by: str = ""
    """The stage that has asked for the checkpoint."""


OPTIONAL = (
    *("error", "job", "tags", "was"),
    *("step", "before", "unfinished", "origin", "by"),
)
"""Fields that records of earlier versions lack."""
LISTS = ("stale", "tainted", "tags", "was")


def keep(store: Store, experiment: Experiment) -> Oid:
    """Keep an experiment's record; giving it its name is the next step."""
    return store.put_record(record.EXPERIMENT, experiment._asdict())


def load(store: Store, oid: Oid) -> Experiment:
    """Read an experiment's record.

    Raises:
        Missing, Damaged: from the store.
        Damage: whole, but not an experiment.
    """
    return of_plain(store.get_record(record.EXPERIMENT, oid))


def of_plain(row: Any) -> Experiment:
    """An experiment from its plain map; fields of later versions are passed over."""
    try:
        given = {name: row[name] for name in Experiment._fields if name not in OPTIONAL}
        given |= {name: row[name] for name in OPTIONAL if name in row}
        given |= {"base": Node(*given["base"]), "result": Node(*given["result"])}
        given |= {name: tuple(given[name]) for name in LISTS if name in given}
        if given.get("before") is not None:
            given["before"] = Oid(given["before"])
        given["stages"] = tuple(map(tuple, given["stages"]))
        return Experiment(**given)
    except (KeyError, TypeError) as error:
        raise Damage(f"an experiment's record lacks {error}") from None


def nodes_of(kind: int, value: Any) -> Iterable[Node]:
    """What a record refers to in the store; for checking and collecting."""
    if kind == record.EXPERIMENT:
        experiment = of_plain(value)
        return (experiment.base, experiment.result)
    return tuple(Node(*node) for _, node in value["outs"])
