"""Apply: make the workspace what an experiment or a snapshot keeps; and undo, the way back."""

from __future__ import annotations

import os

from dodo_exp.engine import history, session
from dodo_exp.errors import Damage, DodoError, UsageError
from dodo_exp.exps import find, state
from dodo_exp.exps.capture import capture
from dodo_exp.exps.change import bring, to_nodes
from dodo_exp.exps.record import load
from dodo_exp.exps.state import Held
from dodo_exp.exps.steps import AT, chain
from dodo_exp.pipeline import lockfile
from dodo_exp.pipeline.graph import covers
from dodo_exp.pipeline.model import PIPELINE_FILE
from dodo_store.delta import Change, changes
from dodo_store.errors import Missing, StoreError
from dodo_store.tree import FOLDER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dodo_exp.engine.workspace import Workspace
    from dodo_exp.events import Listener
    from dodo_exp.exps.change import Done
    from dodo_exp.exps.record import Experiment
    from dodo_exp.project import Project
    from dodo_store.oid import Oid
    from dodo_store.pool import Batch
    from dodo_store.store import Store
    from dodo_store.tree import Node


class Applied:
    """What was applied, and what changed by it."""

    def __init__(self, found: find.Found, done: Done, kept: list[str]) -> None:
        self.found = found
        self.step = done.step
        self.changes = done.changes
        self.kept = kept
        """Files that the experiment does not have and that were left where they are."""


class _Rule:
    """Says of a path whether it may be removed."""

    def __init__(self, paths: Iterable[str] | None) -> None:
        """What lies at or below *paths* may go; None for everything."""
        self._paths = None if paths is None else {path for path in paths if path}

    def __call__(self, path: str) -> bool:
        if self._paths is None:
            return True
        name = path.rpartition("/")[2]
        if name in (lockfile.LOCK_FILE, PIPELINE_FILE):
            return True
        parts = path.split("/")
        return any("/".join(parts[:i]) in self._paths for i in range(1, len(parts) + 1))


def apply(
    project: Project,
    name: str,
    paths: tuple[str, ...],
    command: str,
    listener: Listener,
    *,
    exact: bool = False,
    wait: bool = True,
) -> Applied:
    """Bring the workspace, or *paths* of it, to what *name* keeps.

    Files that are not in it stay, unless they lie in a dependency or an output: there they would
    make a stage out of date. With *exact* none stays but what is ignored.

    Raises:
        UsageError, Busy, Failure, Damage, Stopped
    """
    find.find(project.store, name, find.ALL_KINDS)
    holding = session.begin(project, listener, wait=wait, tolerant=True)
    with holding as workspace, project.store.writing():
        found = find.find(project.store, name, find.ALL_KINDS)
        experiment = load(project.store, found.oid)
        _check_there(workspace, experiment, name)
        wanted = [project.inside(path) for path in paths] or [""]
        kept: list[str] = []

        def plan(batch: Batch) -> list[Change]:
            may_go = _Rule(None) if exact else _tracked(workspace, experiment)
            now = capture(workspace, listener, after_run=True)
            made: list[Change] = []
            for path in wanted:
                path = "" if path == "." else path
                made += _differences(workspace, batch, now, experiment, path, may_go, kept)
            return made

        done = bring(workspace, plan, command, listener)
        if not paths and found.kind == "experiment" and not experiment.error:
            state.remember(project.store, found.name, experiment.state)
        elif not paths and experiment.step and found.kind in ("experiment", find.STEP):
            name_of = found.name.rpartition(AT)[0] or found.name
            is_last = found.kind != find.STEP
            state.hold(project.store, Held(name_of, found.oid, is_last))
        elif done.changes and (not paths or _has_checkpoints(workspace, done)):
            was = state.current(workspace)
            if was is not None:
                state.hold(project.store, Held(was, state.NOWHERE, grows=False))
        workspace.save_caches()
    return Applied(found, done, kept)


def _has_checkpoints(workspace: Workspace, done: Done) -> bool:
    """Whether an output was changed that training goes on from."""
    try:
        stages = workspace.graph.stages.values()
    except DodoError:
        return False
    outs = [out.path for stage in stages for out in stage.outs if out.checkpoint]
    return any(covers(out, change.path) for out in outs for change in done.changes)


def _check_there(workspace: Workspace, experiment: Experiment, name: str) -> None:
    if not workspace.store.trees.has(experiment.result.oid):
        path = workspace.store.trees.path(experiment.result.oid)
        raise Damage(f"{name}: {path} is not in the store", "`dodo store check` says what else is")


def _differences(
    workspace: Workspace,
    batch: Batch,
    now: Node,
    experiment: Experiment,
    path: str,
    may_go: _Rule,
    kept: list[str],
) -> Iterator[Change]:
    store = workspace.store
    old, new = store.find(now, path), store.find(experiment.result, path)
    if path and new is None:
        raise UsageError(f"{experiment.name!r} has no {path!r}")
    for change in changes(store, old, new, path):
        if change.new is None:
            yield from _going(workspace, change, may_go, kept)
        elif change.old is None and os.path.lexists(workspace.path(change.path)):
            # An ignored file lies there. It is in the way, and not to be lost.
            yield from to_nodes(workspace, batch, [(change.path, change.new, ())])
        else:
            yield change


def _tracked(workspace: Workspace, experiment: Experiment) -> _Rule:
    """Dependencies and outputs, of the pipeline that is here and of the experiment's."""
    paths = set(experiment.deps)
    paths |= {path for made in _records(workspace, experiment) for path, _ in made.outs}
    try:
        for stage in workspace.graph.stages.values():
            paths |= {*stage.inputs, *(out.path for out in stage.outs)}
    except DodoError:
        pass  # what is here cannot be read; the experiment's own is enough
    return _Rule(paths)


def _records(workspace: Workspace, experiment: Experiment) -> Iterator[lockfile.StageRecord]:
    """The records in the lock files that lie at the experiment's top, or beside known pipelines."""
    store = workspace.store
    try:
        places = {lockfile.beside(path) for path in workspace.files}
    except DodoError:
        places = set()
    for path in {lockfile.LOCK_FILE, *places}:
        node = store.find(experiment.result, path)
        if node is not None and node.kind != FOLDER:
            try:
                text = store.objects.read(node.oid).decode("utf-8", "replace")
                yield from lockfile.parse(text, path).values()
            except (DodoError, Missing):
                continue


def _going(
    workspace: Workspace, change: Change, may_go: _Rule, kept: list[str]
) -> Iterator[Change]:
    """Of what the experiment does not have, the parts that may go."""
    if may_go(change.path):
        yield change
    elif change.old is not None and change.old.kind == FOLDER:
        for name, inner in workspace.store.tree(change.old.oid):
            yield from _going(workspace, Change(f"{change.path}/{name}", inner, None), may_go, kept)
    else:
        kept.append(change.path)


# -- undo ----------------------------------------------------------------------------------


class Undone:
    """A step that was taken back."""

    def __init__(self, step: history.Step, done: Done) -> None:
        self.step = step
        self.new_step = done.step
        self.changes = done.changes


def undo(
    project: Project, number: int | None, command: str, listener: Listener, *, wait: bool = True
) -> Undone:
    """Take back the last step that is not yet, or the one of this number.

    Raises:
        UsageError: there is none.
        Busy, Failure, Damage, Stopped
    """
    _step(project, number)
    return _undo(project, number, command, listener, wait)


@history.retry_if_names_changed
def _undo(
    project: Project, number: int | None, command: str, listener: Listener, wait: bool
) -> Undone:
    """Raises: NamesChanged, and what `undo` does"""
    holding = session.begin(project, listener, wait=wait, tolerant=True)
    with holding as workspace, project.store.writing():
        step = _step(project, number)
        back = tuple(_back(project, ref, step.number) for ref in step.refs)

        def plan(batch: Batch) -> list[Change]:
            wanted = [(change.path, change.old, (change.new,)) for change in step.changes]
            return to_nodes(workspace, batch, wanted)

        done = bring(workspace, plan, command, listener, refs=back, undoes=step.number)
        if done.step is None:
            history.add(project.store, command, undoes=step.number)
        if step.held is not None:
            state.hold_again(project.store, step.held)
        workspace.save_caches()
    return Undone(step, done)


def _step(project: Project, number: int | None) -> history.Step:
    if number is not None:
        step = next((s for s in history.steps(project.store) if s.number == number), None)
        if step is None:
            raise UsageError(f"there is no step {number}", "`dodo undo --list` shows them")
        if step.undone:
            by = next(s.number for s in history.steps(project.store) if s.undoes == number)
            raise UsageError(
                f"step {number} is undone already", f"`dodo undo {by}` brings it about again"
            )
        return step
    for step in history.steps(project.store):
        if not step.undone and step.undoes is None:
            return step
    raise UsageError("there is nothing to undo", "`dodo undo --list` shows what was done")


def _back(project: Project, ref: history.Renamed, number: int) -> history.Renamed:
    """What takes the setting of a name back, unless it is somebody else's by now.

    Raises:
        UsageError
    """
    from dodo_exp.exps import queue

    if ref.old is not None and queue.is_taken(project.store, ref.name):
        raise UsageError(
            f"there is an experiment {ref.name!r} in the queue by now",
            f"`dodo exp remove {ref.name}`, then `dodo undo {number}`",
        )
    found = history.refs_of(project.store, ref.kind).get(ref.name)
    if found not in (ref.new, ref.old) and not _has_grown(project.store, ref.new, found):
        raise UsageError(
            f"there is another {ref.kind} {ref.name!r} by now",
            f"`dodo exp remove {ref.name}`, then `dodo undo {number}`",
        )
    return history.Renamed(ref.kind, ref.name, found, ref.old)


def _has_grown(store: Store, old: Oid | None, new: Oid | None) -> bool:
    """Whether an experiment has only come further, by more steps."""
    try:
        return old is not None and any(step.oid == old for step in chain(store, new))
    except (StoreError, DodoError):
        return False
