"""Index: what `exp show` needs of every experiment, in one file that can be made again.

The refs are the truth. The index remembers the folder's stat, which moves with every ref that is
added, replaced or removed, so an index that fits is used without looking at a single ref.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from dodo_exp.exps.record import load
from dodo_store import durable, record
from dodo_store.errors import Damaged, Missing, StoreError
from dodo_store.stamps import Mark, is_settled, mark, now
from dodo_store.store import Store

VERSION = 2


class Row(NamedTuple):
    """An experiment without its stages and snapshots; `problem` says why it cannot be read."""

    name: str
    id: str
    created: float
    seconds: float
    parent: str | None
    state: bytes
    params: dict[str, Any]
    metrics: dict[str, Any]
    deps: dict[str, str]
    stale: tuple[str, ...]
    tainted: tuple[str, ...]
    message: str
    error: str
    problem: str


def rows(store: Store) -> list[Row]:
    """Every experiment, the newest first."""
    folder = store.experiments.folder
    try:
        found = os.stat(folder)
    except FileNotFoundError:
        return []
    stamp = mark(found)
    kept_stamp, kept = _read(store)
    if kept_stamp != stamp:
        kept = _renew(store, kept)
        if is_settled(stamp, now()):
            _write(store, stamp, kept)
    return sorted((Row(*row) for row in kept.values()), key=lambda row: row.created, reverse=True)


def _renew(store: Store, kept: dict[str, Any]) -> dict[str, Any]:
    """Read the refs, and the records of those that are new or moved."""
    renewed: dict[str, Any] = {}
    for name in store.experiments.names():
        try:
            oid = store.experiments.get(name)
        except Damaged as error:
            renewed[name] = _unreadable(name, "", str(error))
            continue
        if oid is None:
            continue
        row = kept.get(name)
        known = row is not None and row[1] == oid.hex() and not row[-1]
        renewed[name] = row if known else _row(store, name, oid.hex())
    return renewed


def _row(store: Store, name: str, oid: str) -> Row:
    from dodo_store.oid import parse

    try:
        experiment = load(store, parse(oid))
    except (Missing, Damaged) as error:
        return _unreadable(name, oid, str(error))
    return Row(
        name,
        oid,
        experiment.created,
        experiment.seconds,
        experiment.parent,
        experiment.state,
        experiment.params,
        experiment.metrics,
        experiment.deps,
        experiment.stale,
        experiment.tainted,
        experiment.message,
        experiment.error,
        "",
    )


def _unreadable(name: str, oid: str, problem: str) -> Row:
    return Row(name, oid, 0.0, 0.0, None, b"", {}, {}, {}, (), (), "", "", problem)


def _path(store: Store) -> str:
    return f"{store.folder}/index"


def _read(store: Store) -> tuple[Any, dict[str, Any]]:
    try:
        version, stamp, kept = record.read(record.CACHE, _path(store), lists=True)
    except (OSError, StoreError, ValueError, TypeError):
        return None, {}
    return (tuple(stamp), kept) if version == VERSION else (None, {})


def _write(store: Store, stamp: Mark, kept: dict[str, Any]) -> None:
    try:
        data = record.encode(record.CACHE, [VERSION, stamp, kept])
        durable.replace(_path(store), data, sync=False)
    except (OSError, StoreError, OverflowError, ValueError):
        return
