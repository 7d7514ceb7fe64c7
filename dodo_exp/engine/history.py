"""History: what commands have changed in the workspace and among the names, with the way back.

One small record a command, in `.dodo/undo/`, numbered. It names what was at each path before and
after, and what each ref was, so that `dodo undo` can take it back, and be taken back itself.

No number is used twice: gc, and a step that undoes another one, refer to steps by number. The file
`last` keeps the highest number that was given, once the step that had it is removed.
"""

from __future__ import annotations

import functools
import os
import time
from contextlib import suppress

from dodo_exp.errors import Busy
from dodo_store import durable, locks, record
from dodo_store.delta import Change
from dodo_store.errors import StoreError
from dodo_store.named import Named
from dodo_store.tree import Node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from typing import Any, TypeVar

    from dodo_store.oid import Oid
    from dodo_store.refs import Refs
    from dodo_store.store import Store

    F = TypeVar("F", bound=Callable[..., Any])


class NamesChanged(Busy):
    """Another command has changed a name since this one read it; this one has changed nothing."""


ATTEMPTS = 10
"""How often a function is called before the user sees `NamesChanged`."""


def retry_if_names_changed(function: F) -> F:
    """Decorator: call *function* again if it raises `NamesChanged`.

    Before its step is in the history, the function must do nothing that must not be done twice.
    """

    @functools.wraps(function)
    def retrying(*args: Any, **more: Any) -> Any:
        for _ in range(ATTEMPTS - 1):
            with suppress(NamesChanged):
                return function(*args, **more)
        return function(*args, **more)

    return retrying  # type: ignore[return-value]


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

    What it names must be durable already, and the caller holds the commit lock. The names are set
    all or none: a step whose names are not all set is `open`, and the next command finishes it.

    Raises:
        NamesChanged: another command has set one of the names since the caller read it.
    """
    store.check_writing()
    os.makedirs(_folder(store), exist_ok=True)
    row = [time.time(), command, changes, refs, held, undoes, token]
    data = record.encode(record.STEP, row)
    with _names_lock(store):
        _finish(store)
        _check_unchanged(store, refs)
        numbers = _numbers(store)
        for old in numbers[: -(KEPT - 1)]:
            with suppress(FileNotFoundError):
                os.unlink(_path(store, old))
        number = _last_number(store) + 1
        path = _path(store, number)
        durable.replace(path + OPEN if refs else path, data, mode=0o644)
        if refs:
            _close(store, path, refs)
    return number


def give(store: Store, name: str, old: Oid | None, new: Oid) -> None:
    """Let an experiment's name stand for a record, without a step that could be undone.

    Raises:
        NamesChanged: the name no longer stands for *old*.
    """
    with _names_lock(store):
        _check_unchanged(store, (Renamed("experiment", name, old, new),))
        store.experiments.set(name, new)


OPEN = ".open"


def _names_lock(store: Store) -> AbstractContextManager[None]:
    """Held while names are set and while step numbers are given or removed."""
    return locks.share(f"{store.folder}/locks/names", exclusive=True)


def _check_unchanged(store: Store, refs: tuple[Renamed, ...]) -> None:
    """Raises: NamesChanged"""
    for ref in refs:
        try:
            current = refs_of(store, ref.kind).get(ref.name)
        except StoreError:
            continue  # a damaged ref is replaced
        if current not in (ref.old, ref.new):
            raise NamesChanged(
                f"another command has just changed {ref.kind} {ref.name!r}", "run this one again"
            )


def _last_number(store: Store) -> int:
    """The highest number that any step has had; 0 before the first step."""
    highest = max(_numbers(store), default=0)
    for path in _open_steps(store):
        name = os.path.basename(path).removesuffix(OPEN)
        highest = max(highest, int(name) if name.isdecimal() else 0)
    try:
        with open(_last_path(store), encoding="ascii", errors="replace") as file:
            kept = file.read(20).strip()
    except OSError:
        return highest
    return max(highest, int(kept)) if kept.isdecimal() else highest


def _last_path(store: Store) -> str:
    return f"{_folder(store)}/last"


def _keep_last(store: Store, going: list[int]) -> None:
    """Before steps are removed: keep the highest number, if the step that has it is among them."""
    last = _last_number(store)
    if last in going:
        durable.replace(_last_path(store), f"{last}\n".encode(), mode=0o644)


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
        with store.writing(), _names_lock(store):
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


def unfinished(store: Store) -> Iterator[tuple[str, Step]]:
    """Open steps, each with the path of its file: the records they name are about to get names."""
    for path in _open_steps(store):
        step = _read(store, path, 0)
        if step is not None:
            yield path, step


def unreadable(store: Store) -> list[str]:
    """Where steps are kept that cannot be read."""
    return [_path(store, n) for n in unreadable_numbers(store)]


def unreadable_numbers(store: Store) -> list[int]:
    """The numbers of steps that cannot be read."""
    return [
        number
        for number in _numbers(store)
        if load(store, number) is None
        and os.path.lexists(_path(store, number))  # else another gc has just removed it
    ]


def forget(store: Store, numbers: list[int]) -> None:
    """Remove steps; what only they named can be collected."""
    if not numbers:
        return
    with _names_lock(store):
        _keep_last(store, numbers)
        for number in numbers:
            with suppress(FileNotFoundError):
                os.unlink(_path(store, number))
        durable.sync_folder(_folder(store))


def quarantine(store: Store, numbers: list[int]) -> None:
    """Take steps out of the history that cannot be read, or whose content is lost."""
    if not numbers:
        return
    from dodo_store.check import set_aside

    with _names_lock(store):
        _keep_last(store, numbers)
        for number in numbers:
            set_aside(store, _path(store, number))


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
