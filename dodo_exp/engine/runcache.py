"""Run-cache: what a stage made, by the key of what it was made from.

A stage that must run claims its key first. Whoever else wants the same result waits for the claim
and then restores it, so each distinct stage runs once, however many jobs want it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from dodo_exp.pipeline.lockfile import Line, StageRecord
from dodo_store import locks
from dodo_store.oid import Oid
from dodo_store.store import Store
from dodo_store.tree import Node


class Run(NamedTuple):
    """One execution of a stage that went well."""

    record: StageRecord
    stage: str
    started: float
    seconds: float
    host: str


@contextlib.contextmanager
def claim(store: Store, key: Oid, who: str, waiting: Callable[[str], None]) -> Iterator[None]:
    """Be the only one to make what *key* stands for; the claim ends with the block or with us."""
    with locks.hold(f"{store.folder}/locks/run/{key.hex()}", who, waiting=waiting):
        yield


def find(store: Store, key: Oid) -> Run | None:
    """The newest result for *key* that can be restored."""
    for row in store.runs.get(key):
        run = of_plain(key, row)
        if run is not None and all(store.is_whole(node) for _, node in run.record.outs):
            return run
    return None


def save(store: Store, run: Run) -> None:
    """Keep a result whose outputs are in the store."""
    record = run.record
    row = {
        "stage": run.stage,
        "lines": list(record.lines),
        "outs": list(record.outs),
        "started": run.started,
        "seconds": run.seconds,
        "host": run.host,
    }
    store.runs.put(record.key, time.time(), row)


def of_plain(key: Oid, row: Any) -> Run | None:
    """Read a ledger's value; None for a shape that is not ours."""
    try:
        record = StageRecord(
            key,
            tuple(Line(*line) for line in row["lines"]),
            nodes(row["outs"]),
        )
        return Run(record, row["stage"], row["started"], row["seconds"], row["host"])
    except (KeyError, TypeError, ValueError):
        return None


def nodes(rows: Any) -> tuple[tuple[str, Node], ...]:
    """Paths and nodes from plain rows."""
    return tuple((path, Node(*node)) for path, node in rows)
