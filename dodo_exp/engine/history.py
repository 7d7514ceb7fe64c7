"""History: what commands have changed in the workspace and among the names, with the way back.

One small record a command, in `.dodo/undo/`, numbered. It names what was at each path before and
after, and what each ref was, so that `dodo undo` can take it back, and be taken back itself.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

from dodo_store import durable, locks, record
from dodo_store.delta import Change
from dodo_store.errors import StoreError
from dodo_store.named import Named
from dodo_store.tree import Node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from dodo_store.oid import Oid
    from dodo_store.refs import Refs
    from dodo_store.store import Store

KEPT = 1000
"""Steps beyond this many are dropped, the oldest first, whether or not anything is collected."""


class Renamed(Named):
    """A ref that a command has set or removed: `kind` is "experiment" or "snapshot"."""

    kind: str
    name: str
    old: Oid | None
    new: Oid | None


class Step(Named):
    """What one command did. `undoes` is the number of the step it took back, or nothing."""

    number: int
    at: float
    command: str
    changes: tuple[Change, ...]
    refs: tuple[Renamed, ...]
    held: str | None
    """The experiment that the workspace held before, as far as known."""
    undoes: int | None = None
    token: str = ""
    undone: bool = False


def refs_of(store: Store, kind: str) -> Refs:
    """Where refs of a kind are kept."""
    return store.experiments if kind == "experiment" else store.snapshots


def add(
    store: Store,
    command: str,
    changes: tuple[Change, ...] = (),
    refs: tuple[Renamed, ...] = (),
    *,
    held: str | None = None,
    undoes: int | None = None,
    token: str = "",
) -> int:
    """Keep a step, durably, and set the names it speaks of; return its number.

    What it names must be durable already. The names are set all or none: a step whose names are
    not all set is `open`, and whoever comes next finishes it.
    """
    os.makedirs(_folder(store), exist_ok=True)
    row = [time.time(), command, changes, refs, held, undoes, token]
    data = record.encode(record.STEP, row)
    with locks.share(f"{store.folder}/locks/names", exclusive=True):
        _finish(store)
        numbers = _numbers(store)
        for old in numbers[: -(KEPT - 1)]:
            with suppress(FileNotFoundError):
                os.unlink(_path(store, old))
        number = numbers[-1] + 1 if numbers else 1
        path = _path(store, number)
        durable.replace(path + OPEN if refs else path, data, mode=0o644)
        if refs:
            _close(store, path, refs)
    return number


OPEN = ".open"


def _close(store: Store, path: str, refs: tuple[Renamed, ...]) -> None:
    """Set names, then let the step be one that is over."""
    for ref in refs:
        there = refs_of(store, ref.kind)
        if ref.new is not None:
            there.set(ref.name, ref.new)
        elif there.has(ref.name):
            there.delete(ref.name)
    os.rename(path + OPEN, path)
    durable.sync_folder(_folder(store))


def has_open(store: Store) -> bool:
    """Whether a command is setting names, or was cut short at it."""
    return bool(_open_steps(store))


def finish(store: Store) -> None:
    """Set the names that a killed command was about to set."""
    if has_open(store):
        with locks.share(f"{store.folder}/locks/names", exclusive=True):
            _finish(store)


def _finish(store: Store) -> None:
    for path in _open_steps(store):
        step = _read(store, path, 0)
        if step is None:
            os.unlink(path)
        else:
            _close(store, path.removesuffix(OPEN), step.refs)


def _open_steps(store: Store) -> list[str]:
    try:
        names = sorted(os.listdir(_folder(store)))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [f"{_folder(store)}/{name}" for name in names if name.endswith(OPEN)]


def is_done(store: Store, token: str) -> bool:
    """Whether the step with this token was kept: then its changes are to stay."""
    return any(
        step is not None and step.token == token
        for step in (load(store, number) for number in _numbers(store)[-50:])
    )


def steps(store: Store) -> Iterator[Step]:
    """All that can be read, the newest first; one that was undone says so."""
    undone: set[int] = set()
    for number in reversed(_numbers(store)):
        step = load(store, number)
        if step is None:
            continue
        if step.undoes is not None and number not in undone:
            undone.add(step.undoes)
        yield step._replace(undone=number in undone)


def load(store: Store, number: int) -> Step | None:
    """One step; None where there is none, or none that can be read."""
    return _read(store, _path(store, number), number)


def _read(store: Store, path: str, number: int) -> Step | None:
    try:
        at, command, changes, refs, held, undoes, token = record.read(record.STEP, path)
        return Step(
            number,
            at,
            command,
            tuple(Change(path, _node(old), _node(new)) for path, old, new in changes),
            tuple(Renamed(kind, name, old, new) for kind, name, old, new in refs),
            held,
            undoes,
            token,
        )
    except (OSError, StoreError, TypeError, ValueError):
        return None


def drop(store: Store, before: float) -> list[int]:
    """Which steps were made before a moment (seconds since the epoch), for `forget` to remove."""
    found = []
    for number in _numbers(store):
        step = load(store, number)
        if step is not None and step.at < before:
            found.append(number)
    return found


def unreadable(store: Store) -> list[str]:
    """Where steps are kept that cannot be read."""
    return [_path(store, n) for n in _numbers(store) if load(store, n) is None]


def forget(store: Store, numbers: list[int]) -> None:
    """Remove steps; what only they named can be collected."""
    for number in numbers:
        with suppress(FileNotFoundError):
            os.unlink(_path(store, number))
    if numbers:
        durable.sync_folder(_folder(store))


def path_of(store: Store, step: Step) -> str:
    """Where a step is kept."""
    return _path(store, step.number)


def _node(row: Any) -> Node | None:
    return None if row is None else Node(*row)


def _folder(store: Store) -> str:
    return f"{store.folder}/undo"


def _path(store: Store, number: int) -> str:
    return f"{_folder(store)}/{number:08}"


def _numbers(store: Store) -> list[int]:
    try:
        names = os.listdir(_folder(store))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(int(name) for name in names if name.isdecimal())
