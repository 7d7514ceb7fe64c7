"""Steps: what checkpoints have kept of an experiment, each a record that names the one before.

`NAME@4` is step 4 of what NAME stands for. An experiment that goes on from another one's step has
that and all before it for its own first steps: nothing is copied.
"""

from __future__ import annotations

from collections.abc import Callable

from dodo_exp.errors import Damage
from dodo_exp.exps.record import Experiment, keep, load
from dodo_store.errors import StoreError
from dodo_store.named import Named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dodo_exp.pipeline.model import Stage
    from dodo_store.oid import Oid
    from dodo_store.store import Store
    from dodo_store.tree import Node

AT = "@"
"""Between an experiment's name and the number of a step."""


class Step(Named):
    """A step, read; `experiment` says of its name only what it was when the step was kept."""

    oid: Oid
    experiment: Experiment


def chain(store: Store, oid: Oid | None) -> Iterator[Step]:
    """A record and those of the steps before it, the last one first.

    Raises:
        Missing, Damaged, Damage
    """
    while oid is not None:
        step = Step(oid, load(store, oid))
        yield step
        oid = step.experiment.before


def numbered(store: Store, tip: Oid, number: int) -> Step | None:
    """The step of this number; None where there is none.

    Raises:
        Missing, Damaged, Damage
    """
    for step in chain(store, tip):
        if step.experiment.step == number:
            return step
        if step.experiment.step < number:
            return None
    return None


def left(store: Store, names: Iterable[str], ids: Iterable[str]) -> tuple[str, Step] | None:
    """How far the turns of a job have come that it has had under these *ids*, and under which name
    that is; None: no step.
    """
    known = set(ids)
    for name in names:
        try:
            oid = store.experiments.get(name)
            made = load(store, oid) if oid is not None else None
        except (StoreError, Damage):
            continue
        if oid is not None and made is not None and made.error and made.step and made.job in known:
            return name, Step(oid, made)
    return None


def outs(store: Store, result: Node, stages: Iterable[Stage]) -> list[tuple[str, Node | None]]:
    """What *stages* had made in a snapshot, by path; None for what was not there.

    Raises:
        Missing, Damaged
    """
    paths = sorted(out.path for stage in stages for out in stage.outs if is_inside(out.path))
    return [(path, store.find(result, path)) for path in paths]


def is_inside(path: str) -> bool:
    """Whether a path can be in a snapshot."""
    return not path.startswith("/") and path.split("/")[0] != ".." and "://" not in path


def after(store: Store, made: Experiment, last: Step, stages: Iterable[Stage]) -> Experiment:
    """A record that comes after a step: in its place, if *stages* have made nothing else since.

    Raises:
        Missing, Damaged
    """
    known = last.experiment
    if outs(store, made.result, stages) == outs(store, known.result, stages):
        return made._replace(step=known.step, before=known.before, by=known.by)
    return made._replace(step=known.step + 1, before=last.oid)


Change = Callable[[Experiment], Experiment | None]
"""What becomes of a step; None: it goes."""


def rebuilt(store: Store, tip: Oid, change: Change) -> Oid | None:
    """The record of an experiment with some of its steps changed, or gone; None if none is left.

    Steps keep their numbers. Where the last one goes, the one before it is where the run has
    stopped. Of steps that cannot be read nothing stays, nor of those before them.

    Raises:
        Missing, Damaged, Damage: the last one cannot be read.
    """
    found = []
    try:
        for step in chain(store, tip):
            found.append(step)
    except (StoreError, Damage):
        if not found:
            raise
    before: Oid | None = None
    made: Experiment | None = None
    for step in reversed(found):
        changed = change(step.experiment)
        if changed is not None:
            made = changed._replace(before=before)
            before = step.oid if made == step.experiment else keep(store, made)
    name = found[0].experiment.name
    if made is not None and made.name != name and change(found[0].experiment) is None:
        before = keep(store, made._replace(name=name))
    return before
