"""Label: names, tags and notes of what is kept. A record never changes: a new one takes its place.

So `dodo undo` takes a label back like anything else, and labels go along with an export.
"""

from __future__ import annotations

from contextlib import contextmanager

from dodo_exp.engine import history, session
from dodo_exp.errors import UsageError
from dodo_exp.exps import find, names, queue, state
from dodo_exp.exps.record import keep, load
from dodo_exp.exps.steps import AT
from dodo_store import locks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from dodo_exp.exps.record import Experiment
    from dodo_exp.project import Project
    from dodo_store.store import Store

MOST_TEXT = 10_000
"""Characters of a note."""
ALONE: dict[str, Any] = {"step": 0, "before": None, "unfinished": False, "origin": b"", "by": ""}
"""A step as a snapshot: those before it do not go along."""
FOLDED = {"experiment": "an experiment", "snapshot": "a snapshot"}


@contextmanager
def changing_names(project: Project) -> Iterator[Store]:
    """For one command at a time that reads what names stand for and changes it.

    Holds off gc, too: what a name stood for must not be collected before the new record has it.
    """
    if session.is_inside(project):
        raise UsageError("a stage cannot change its own project's experiments")
    store = project.store
    if not store.exists:
        yield store
        return
    project.write()
    history.finish(store)
    with locks.share(f"{store.folder}/locks/labels", exclusive=True), store.writing():
        yield store


@history.retry_if_names_changed
def rename(project: Project, old: str, new: str, command: str, *, replace: bool) -> str:
    """Give an experiment or a snapshot another name; returns the one it had, maybe the same.

    Raises:
        UsageError: there is no such, or the new name is taken.
    """
    names.check(new)
    with changing_names(project) as store:
        found = _find(store, old)
        if found.name == new:
            return found.name
        _check_free(store, found.kind, new, replace)
        before = load(store, found.oid)
        made = before._replace(name=new, was=(*before.was, found.name))
        there = history.refs_of(store, found.kind)
        taken = there.get(new) if there.has(new) else None
        gone = history.Renamed(found.kind, found.name, found.oid, None)
        come = history.Renamed(found.kind, new, taken, keep(store, made))
        history.add(store, command, refs=(gone, come))
        if found.kind == "experiment":
            state.renamed(store, found.name, new, made.state)
            queue.rename(store, found.name, new)
        return found.name


def _check_free(store: Store, kind: str, name: str, replace: bool) -> None:
    """Raises: UsageError"""
    other = "snapshot" if kind == "experiment" else "experiment"
    if history.refs_of(store, other).has(name):
        raise UsageError(f"there is {FOLDED[other]} {name!r} already", "choose another name")
    if queue.is_taken(store, name):
        raise UsageError(f"there is an experiment {name!r} in the queue", "choose another name")
    if not replace and history.refs_of(store, kind).has(name):
        hint = "choose another name, or --force to replace it"
        raise UsageError(f"there is {FOLDED[kind]} {name!r} already", hint)


def _find(store: Store, name: str, kinds: tuple[str, ...] = find.KINDS) -> find.Found:
    """Raises: UsageError"""
    if queue.is_taken(store, name):
        raise UsageError(f"{name!r} is in the queue", "label it when it has run")
    return find.find(store, name, kinds)


def tag(
    project: Project, given: tuple[str, ...], words: tuple[str, ...], command: str, *, remove: bool
) -> dict[str, tuple[str, ...]]:
    """Put words on experiments and snapshots, or take them off; returns the tags of each.

    All of those named, or none.

    Raises:
        UsageError
    """
    for word in words:
        names.check(word, "tag")

    def change(experiment: Experiment) -> Experiment:
        if remove:
            return experiment._replace(tags=tuple(t for t in experiment.tags if t not in words))
        return experiment._replace(tags=tuple(sorted({*experiment.tags, *words})))

    return {name: each.tags for name, each in _changed(project, given, change, command).items()}


def note(project: Project, name: str, text: str, command: str) -> str:
    """Set the note of an experiment or a snapshot; returns its name.

    Raises:
        UsageError
    """
    if len(text) > MOST_TEXT:
        raise UsageError(f"a note of {len(text):,} characters", f"at most {MOST_TEXT:,}")
    (found,) = _changed(project, (name,), lambda e: e._replace(message=text), command)
    return found


@history.retry_if_names_changed
def _changed(
    project: Project,
    given: tuple[str, ...],
    change: Callable[[Experiment], Experiment],
    command: str,
) -> dict[str, Experiment]:
    with changing_names(project) as store:
        refs, done = [], {}
        for found in dict.fromkeys(_find(store, name) for name in given):
            before = load(store, found.oid)
            after = done[found.name] = change(before)
            if after != before:
                new = keep(store, after._replace(name=found.name))
                refs.append(history.Renamed(found.kind, found.name, found.oid, new))
        if refs:
            history.add(store, command, refs=tuple(refs))
        return done


@history.retry_if_names_changed
def branch(project: Project, name: str, new: str | None, command: str, *, replace: bool) -> str:
    """Keep an experiment as a snapshot, too; returns the snapshot's name.

    Raises:
        UsageError
    """
    if new is not None:
        names.check(new)
    with changing_names(project) as store:
        found = _find(store, name, find.READABLE)
        wanted = new or f"{found.name.replace(AT, '-')}-branch"
        _check_free(store, "snapshot", wanted, replace)
        before = load(store, found.oid)
        was = (*before.was, before.name)
        made = before._replace(name=wanted, was=was, parent=found.name, **ALONE)
        if before.unfinished or found.kind == find.STEP:
            made = made._replace(error="")
        there = store.snapshots
        taken = there.get(wanted) if there.has(wanted) else None
        ref = history.Renamed("snapshot", wanted, taken, keep(store, made))
        history.add(store, command, refs=(ref,))
        return wanted
