"""Run-cache: what a stage made, by the key of what it was made from.

A stage that must run claims its key first. Whoever else wants the same result waits for the claim
and then restores it, so each distinct stage runs once, however many jobs want it.
"""

from __future__ import annotations

import contextlib
import os
import time

from dodo_exp.pipeline.lockfile import Line, StageRecord
from dodo_store import durable, locks
from dodo_store.named import Named
from dodo_store.tree import Node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from dodo_store.oid import Oid
    from dodo_store.store import Store


class Run(Named):
    """One execution of a stage that went well."""

    record: StageRecord
    stage: str
    started: float
    seconds: float
    host: str
    cpu: float = 0.0
    memory: int = 0


@contextlib.contextmanager
def claim(
    store: Store,
    key: Oid,
    who: str,
    waiting: Callable[[str], None],
    is_enough: Callable[[], bool],
) -> Iterator[None]:
    """Be the only one to make what *key* stands for; the claim ends with the block or with us.

    Raises:
        Held: it is *is_enough* of waiting.
    """
    path = f"{store.folder}/locks/run/{key.hex()}"
    with locks.hold(path, who, waiting=waiting, is_enough=is_enough):
        yield


Mark = tuple[int, int] | None
"""What moves when somebody fails to make something."""


def failure_mark(store: Store, key: Oid) -> Mark:
    """To be taken before waiting; see `failure_since`."""
    try:
        found = os.stat(_failure(store, key))
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def failure_since(store: Store, key: Oid, before: Mark) -> str | None:
    """Why making it failed while we waited; None if nobody has failed meanwhile."""
    if failure_mark(store, key) == before:
        return None
    try:
        with open(_failure(store, key), encoding="utf-8", errors="replace") as file:
            return file.read(2000)
    except FileNotFoundError:
        return None


def note_failure(store: Store, key: Oid, text: str) -> None:
    """For those who wait for what could not be made; the claim is ours."""
    with contextlib.suppress(OSError):
        data = text.encode(errors="backslashreplace")
        durable.replace(_failure(store, key), data, sync=False)


def _failure(store: Store, key: Oid) -> str:
    return f"{store.folder}/locks/run/{key.hex()}.failed"


def find(store: Store, key: Oid) -> Run | None:
    """The newest result for *key* that can be restored."""
    for row in store.runs.get(key):
        run = of_plain(key, row)
        if run is not None and all(store.is_whole(n, clean=True) for _, n in run.record.outs):
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
        "cpu": run.cpu,
        "memory": run.memory,
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
        used = row.get("cpu", 0.0), row.get("memory", 0)
        return Run(record, row["stage"], row["started"], row["seconds"], row["host"], *used)
    except (KeyError, TypeError, ValueError):
        return None


def nodes(rows: Any) -> tuple[tuple[str, Node], ...]:
    """Paths and nodes from plain rows."""
    return tuple((path, Node(*node)) for path, node in rows)
