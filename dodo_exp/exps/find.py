"""Find: which experiment or snapshot a user means."""

from __future__ import annotations

from dodo_exp.engine import history
from dodo_exp.errors import DodoError, UsageError, did_you_mean
from dodo_exp.exps import steps
from dodo_exp.exps.record import load
from dodo_store.errors import StoreError
from dodo_store.named import Named
from dodo_store.oid import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from dodo_exp.exps.record import Experiment
    from dodo_store.oid import Oid
    from dodo_store.store import Store

KINDS = ("experiment", "snapshot")
STEP = "step"
READABLE = (*KINDS, STEP)
"""With steps of experiments, NAME@4."""
ALL_KINDS = (*READABLE, "queued")
"""And with experiments that wait or run, as they are before their run."""
SHORTEST = 4
"""Digits of an id that a user has to give at least."""


class Found(Named):
    """A name with what it stands for."""

    kind: str
    name: str
    oid: Oid


def find(store: Store, text: str, kinds: tuple[str, ...] = KINDS) -> Found:
    """By name, or by the first digits of its id.

    Raises:
        UsageError: there is none, or several.
        Damaged: its ref cannot be read.
    """
    queued = dict(_queued(store)) if "queued" in kinds else {}
    if steps.AT in text:
        return _step(store, text, kinds)
    has_steps = STEP in kinds
    kinds = tuple(kind for kind in kinds if kind in KINDS)
    for kind in kinds:
        refs = history.refs_of(store, kind)
        if text and "/" not in text and not text.startswith(".") and refs.has(text):
            oid = refs.get(text)
            if oid is not None:
                return Found(kind, text, oid)
    if text in queued:
        return Found("queued", text, queued[text])
    found = [each for each in everything(store, kinds) if _is_prefix(text, each.oid)]
    if not found and has_steps and len(text) >= SHORTEST:
        found = [each for each in _all_steps(store) if _is_prefix(text, each.oid)]
    if len({each.oid for each in found}) > 1:
        names = ", ".join(each.name for each in found[:5])
        raise UsageError(f"{text!r} is the beginning of several ids", f"they are of {names}")
    if found:
        return found[0]
    _check_not_in_queue(store, text)
    what = " or ".join(kinds)
    known = [name for kind in kinds for name in history.refs_of(store, kind).names()]
    known += queued
    hint = "`dodo exp run` makes one"
    if known:
        hint = did_you_mean(text, known, "known") or "`dodo exp list` has them all"
    raise UsageError(f"no {what} {text!r}", hint)


def _check_not_in_queue(store: Store, text: str) -> None:
    """Raises: UsageError: an experiment of this name runs or waits, so it has no result yet."""
    from dodo_exp.exps import queue

    if any(job.name == text for job in queue.running(store)):
        hint = f"`dodo queue logs -f {text}` follows it until it is over"
        raise UsageError(f"experiment {text!r} is running and has no result yet", hint)
    if any(job.name == text for job in queue.waiting(store)):
        hint = "`dodo queue start` runs what waits"
        raise UsageError(f"experiment {text!r} waits in the queue and has no result yet", hint)


def _step(store: Store, text: str, kinds: tuple[str, ...]) -> Found:
    """Raises: UsageError, Damage, Missing, Damaged"""
    name, _, number = text.rpartition(steps.AT)
    base = find(store, name)
    if STEP not in kinds:
        hint = f"`dodo exp branch {text} NAME` keeps it as a snapshot"
        raise UsageError(f"{text!r} is a step of {base.name!r}, not an experiment", hint)
    is_number = number.isdecimal() and len(number) < 16
    step = steps.numbered(store, base.oid, int(number)) if is_number else None
    if step is None:
        known = [each.experiment.step for each in steps.chain(store, base.oid)]
        hint = f"steps {known[-1]} to {known[0]}" if known[0] else "it has no checkpoints"
        raise UsageError(f"{base.name!r} has no step {number!r}", hint)
    if step.oid == base.oid:
        return base
    return Found(STEP, f"{base.name}{steps.AT}{step.experiment.step}", step.oid)


def _all_steps(store: Store) -> Iterator[Found]:
    """Every step that is not the last one of an experiment."""
    from dodo_exp.exps import index

    rows, inner = index.with_steps(store)
    for row in rows:
        for oid in index.steps_of(row, inner):
            each = inner[oid]
            yield Found(STEP, f"{row.name}{steps.AT}{each.step}", parse(oid))


def _queued(store: Store) -> Iterator[tuple[str, Oid]]:
    """Names and records of experiments that are not over, but for the one in the workspace."""
    from dodo_exp.exps import queue

    for job in (*queue.waiting(store), *queue.running(store)):
        task = queue.task(job)
        if task is not None and task.where != queue.WORKSPACE:
            yield job.name, task.record


def everything(store: Store, kinds: tuple[str, ...] = KINDS) -> list[Found]:
    """All whose refs can be read."""
    from dodo_store.errors import Damaged

    found = []
    for kind in kinds:
        refs = history.refs_of(store, kind)
        for name in sorted(refs.names()):
            try:
                oid = refs.get(name)
            except Damaged:
                continue
            if oid is not None:
                found.append(Found(kind, name, oid))
    return found


def unreadable(store: Store) -> list[str]:
    """Where refs are kept that cannot be read."""
    from dodo_store.errors import Damaged

    found = []
    for kind in KINDS:
        refs = history.refs_of(store, kind)
        for name in sorted(refs.names()):
            try:
                refs.get(name)  # None where it was removed meanwhile
            except Damaged:
                found.append(refs.path(name))
    return found


def renamed_from(store: Store, name: str) -> str | None:
    """The experiment that had this name before it was renamed; None if there is none."""
    for each in everything(store, ("experiment",)):
        try:
            if name in load(store, each.oid).was:
                return each.name
        except (StoreError, DodoError):
            continue
    return None


def has_failed(store: Store, name: str) -> bool:
    """Whether an experiment of this name was run and not to the end: then it may be replaced."""
    try:
        oid = store.experiments.get(name)
        return oid is not None and bool(load(store, oid).error)
    except (StoreError, DodoError):
        return False


def has_steps(store: Store, name: str) -> bool:
    """Whether checkpoints have kept anything of an experiment: then it is not to be lost."""
    try:
        oid = store.experiments.get(name)
        return oid is not None and load(store, oid).step > 0
    except (StoreError, DodoError):
        return False


def experiment(store: Store, text: str, kinds: tuple[str, ...] = KINDS) -> Experiment:
    """What a name stands for, read.

    Raises:
        UsageError, Damage, Missing, Damaged
    """
    return load(store, find(store, text, kinds).oid)


def _is_prefix(text: str, oid: Oid) -> bool:
    return len(text) >= SHORTEST and oid.hex().startswith(text.lower())
