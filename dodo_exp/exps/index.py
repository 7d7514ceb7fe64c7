"""Index: what `exp show` needs of every experiment, in one file that can be made again.

The refs are the truth. The index remembers the folder's stat, which moves with every ref that is
added, replaced or removed, so an index that fits is used without looking at a single ref; and each
ref's own, so that of thousands only those are read that are new.

Values are kept flat, beside the columns that they belong to: most experiments share their columns,
and a table is made without going through nested mappings.
"""

from __future__ import annotations

import os
from contextlib import suppress

from dodo_exp.engine.still import code_identity
from dodo_exp.exps.record import load
from dodo_exp.pipeline.values import leaves
from dodo_store import durable, record
from dodo_store.boot import boot_id
from dodo_store.errors import Damaged, Missing, StoreError
from dodo_store.named import Named
from dodo_store.stamps import Mark, is_settled, mark, now

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dodo_exp.exps.record import Experiment
    from dodo_store.store import Store

VERSION = 5
METRIC, PARAM, DEP = "metric", "param", "dep"


class Column(Named):
    """A metric or param by its dotted name in a file; or a dependency, which has no name."""

    kind: str
    file: str
    name: str


def is_dep(column: Column, params: frozenset[tuple[str, str]]) -> bool:
    """Whether a stage reads it; true of all that is no param."""
    if column.kind != PARAM:
        return True
    keys = column.name.split(".")
    ways = (".".join(keys[:i]) for i in range(len(keys) + 1))
    return any((column.file, way) in params for way in ways)


class Row(Named):
    """An experiment or a snapshot without its stages; `problem` says why it cannot be read.

    `values` stand under `columns`; `contents` are its params, metrics and deps, packed.
    """

    name: str
    id: str
    created: float
    seconds: float
    parent: str | None
    state: bytes
    stale: tuple[str, ...]
    tainted: tuple[str, ...]
    message: str
    tags: tuple[str, ...]
    error: str
    problem: str
    columns: tuple[Column, ...]
    values: list[Any]
    contents: bytes
    step: int = 0
    before: str = ""
    """Id of the step before."""
    unfinished: bool = False


Steps = dict[str, Row]
"""Steps that are not the last one of an experiment, by id."""


def rows(store: Store) -> list[Row]:
    """Every experiment, the newest first."""
    return with_steps(store)[0]


def with_steps(store: Store) -> tuple[list[Row], Steps]:
    """The same, and all steps before those."""
    return _rows(store, "experiment", f"{store.folder}/index")


def steps_of(row: Row, steps: Steps) -> list[str]:
    """Ids of the steps before a row's own, the last one first."""
    found: list[str] = []
    while row.before in steps:
        found.append(row.before)
        row = steps[row.before]
    return found


def snapshots(store: Store) -> list[Row]:
    """Every snapshot, the newest first."""
    return _rows(store, "snapshot", f"{store.folder}/index-snapshots")[0]


def _rows(store: Store, kind: str, path: str) -> tuple[list[Row], Steps]:
    refs = store.experiments if kind == "experiment" else store.snapshots
    try:
        stamp = mark(os.stat(refs.folder))
    except FileNotFoundError:
        return [], {}
    kept_stamp, kept, steps = _read(path)
    if kept_stamp != stamp or any(row.problem for _, row in kept.values()):
        moment = now()
        kept = _renew(store, kind, kept, moment)
        steps = _renew_steps(store, kept, steps) if kind == "experiment" else {}
        if is_settled(stamp, moment):
            _write(path, stamp, kept, steps)
    rows = sorted((row for _, row in kept.values()), key=lambda row: row.created, reverse=True)
    return rows, steps


def forget(store: Store) -> None:
    """Let the index be made anew, from every record."""
    for name in ("index", "index-snapshots"):
        with suppress(OSError):
            os.unlink(f"{store.folder}/{name}")


Kept = dict[str, tuple[Mark | None, Row]]
"""The stat of the ref that was read, None while it could change unseen; and what it led to."""


def _renew(store: Store, kind: str, kept: Kept, moment: int) -> Kept:
    """Look at the refs, and read those that are new or moved, with their records."""
    refs = store.experiments if kind == "experiment" else store.snapshots
    renewed: Kept = {}
    shapes: dict[tuple[Column, ...], tuple[Column, ...]] = {}
    for name in refs.names():
        try:
            found = mark(os.lstat(refs.path(name)))
        except OSError:
            continue
        old = kept.get(name)
        if old is not None and old[0] == found:
            renewed[name] = old
            continue
        settled = found if is_settled(found, moment) else None
        try:
            oid = refs.get(name)
        except Damaged as error:
            renewed[name] = (None, _unreadable(name, "", str(error)))
            continue
        if oid is None:
            continue
        if old is not None and old[1].id == oid.hex() and not old[1].problem:
            renewed[name] = (settled, old[1])
            continue
        row = _row(store, name, oid.hex())
        row = row._replace(columns=shapes.setdefault(row.columns, row.columns))
        renewed[name] = (None if row.problem else settled, row)
    return renewed


def _renew_steps(store: Store, kept: Kept, old: Steps) -> Steps:
    """The steps that are led to; of those that are known none is read again."""
    found: Steps = {}
    shapes = {row.columns: row.columns for _, row in kept.values()}
    for _, row in kept.values():
        while row.before and row.before not in found:
            oid = row.before
            row = old.get(oid) or _row(store, "", oid)
            if not row.problem:
                found[oid] = row._replace(columns=shapes.setdefault(row.columns, row.columns))
    return found


def _row(store: Store, name: str, oid: str) -> Row:
    from dodo_store.oid import parse

    try:
        experiment = load(store, parse(oid))
    except (Missing, Damaged) as error:
        return _unreadable(name, oid, str(error))
    return row_of(experiment, name, oid)


def row_of(experiment: Experiment, name: str, oid: str) -> Row:
    """An experiment's row; without a name that of its record, which may be an old one."""
    columns, values = flat(experiment.metrics, experiment.params, experiment.deps)
    return Row(
        name or experiment.name,
        oid,
        experiment.created,
        experiment.seconds,
        experiment.parent,
        experiment.state,
        experiment.stale,
        experiment.tainted,
        experiment.message,
        experiment.tags,
        experiment.error,
        "",
        columns,
        values,
        record.pack([experiment.params, experiment.metrics, experiment.deps]),
        experiment.step,
        experiment.before.hex() if experiment.before is not None else "",
        experiment.unfinished,
    )


def flat(
    metrics: dict[str, Any], params: dict[str, Any], deps: dict[str, str]
) -> tuple[tuple[Column, ...], list[Any]]:
    """Columns and values of what was read of files; such as could not be read have none."""
    found: dict[Column, Any] = {}
    for kind, files in ((METRIC, metrics), (PARAM, params)):
        for file, contents in files.items():
            if "data" in contents:
                for name, value in leaves(contents["data"]):
                    if name or value != {}:
                        found[Column(kind, file, name)] = value
    for path, digest in deps.items():
        found[Column(DEP, path, "")] = digest
    return tuple(found), list(found.values())


def _unreadable(name: str, oid: str, problem: str) -> Row:
    row = Row(name, oid, 0.0, 0.0, None, b"", (), (), "", (), "", problem, (), [], b"")
    return row._replace(contents=record.pack([{}, {}, {}]))


def _read(path: str) -> tuple[Mark | None, Kept, Steps]:
    """The index as it was written: columns once for all rows that share them."""
    try:
        version, code, boot, stamp, shapes, packed = record.read(record.CACHE, path, lists=True)
        if version != VERSION or code != code_identity() or boot not in ("", boot_id()):
            return None, {}, {}
        columns = [tuple(Column(*each) for each in shape) for shape in shapes]
        kept: Kept = {}
        steps: Steps = {}
        for seen, shape, row in packed:
            row[6], row[7], row[9] = tuple(row[6]), tuple(row[7]), tuple(row[9])
            row.insert(12, columns[shape])
            if seen is None or seen:
                kept[row[0]] = (tuple(seen) if seen else None, Row._make(row))
            else:
                steps[row[1]] = Row._make(row)
        return (tuple(stamp), kept, steps)
    except (OSError, StoreError, ValueError, TypeError, IndexError, AttributeError):
        return None, {}, {}


def _write(path: str, stamp: Mark, kept: Kept, steps: Steps) -> None:
    shapes: dict[tuple[Column, ...], int] = {}
    packed = []
    # A step has an empty mark: it is named by its content, and never looked at again.
    for seen, row in (*kept.values(), *(((), row) for row in steps.values())):
        shape = shapes.setdefault(row.columns, len(shapes))
        packed.append([seen, shape, [*row[:12], *row[13:]]])
    try:
        # What was synced before it had its name is as good in any later boot.
        boot = boot_id() if durable.is_off() else ""
        table = [VERSION, code_identity(), boot, stamp, list(shapes), packed]
        data = record.encode(record.CACHE, table)
        durable.replace(path, data, sync=False)
    except (OSError, StoreError, OverflowError, ValueError):
        return
