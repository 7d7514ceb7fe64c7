"""Session: the right to change a workspace, one command at a time, tidied after the last one."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager

from dodo_exp.engine import desk, history, journal, recovery, signals
from dodo_exp.engine.signals import Signalled
from dodo_exp.engine.tag import TAG
from dodo_exp.engine.workspace import Workspace
from dodo_exp.errors import BadInput, Busy, Failure, LeavesRoot, Stopped
from dodo_exp.events import Note, Waiting
from dodo_store import locks, own
from dodo_store.errors import Held

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from dodo_exp.events import Listener
    from dodo_exp.project import Project

OF_A_RUN = "stopped; finished stages are kept"


def describe() -> str:
    """Us, in the words that others are told while they wait for us."""
    name = "doit" if os.path.basename(sys.argv[0]) == "doit" else "dodo"
    command = " ".join([name, *sys.argv[1:]])
    return f"pid {os.getpid()}, `{command:.120}`, since {time.strftime('%H:%M:%S')}"


def is_inside(project: Project) -> bool:
    """Whether a stage of this very project has started us."""
    return os.environ.get(TAG, "").endswith(f":{project.home}")


def check_outside(project: Project) -> None:
    """For what a stage may not start, because it would wait for itself.

    Raises:
        Busy
    """
    if is_inside(project):
        raise Busy(
            "a stage cannot change its own project: the command that runs it holds the workspace",
            "reading works: dodo status, dodo exp show",
        )


@contextmanager
def begin(
    project: Project,
    listener: Listener,
    *,
    wait: bool = True,
    tolerant: bool = False,
    stopped: str = "stopped; nothing has changed",
    seen: Workspace | None = None,
) -> Iterator[Workspace]:
    """Hold the workspace for a block, with what a killed run left put in order first.

    A *tolerant* one passes over a dvc.yaml or dodo.lock that cannot be read. *stopped* is what the
    user is told if a signal ends it. What was *seen* without holding it is given back if nobody
    else has held it since, and nothing had to be put in order.

    Raises:
        Busy: somebody else has it, and *wait* is false or waiting would be for ourselves.
        Failure: the folder cannot be written.
        Stopped: a signal ended the block.
    """
    check_outside(project)
    try:
        with signals.caught():
            with _held(project, listener, wait, tolerant, seen) as workspace:
                yield workspace
    except Signalled as stop:
        raise Stopped(stop.number, stopped) from None


@contextmanager
def _held(
    project: Project, listener: Listener, wait: bool, tolerant: bool, seen: Workspace | None
) -> Iterator[Workspace]:
    if not project.store.exists:
        _check_root(project, tolerant)
    try:
        project.write(listener)
        with locks.hold(
            _lock(project),
            describe(),
            timeout=-1 if wait else 0,
            waiting=lambda owner: listener(Waiting("the workspace", owner)),
        ) as untouched:
            if untouched is None or seen is None or seen.untouched != untouched:
                seen = Workspace(project.root, project.store, tolerant=tolerant)
            seen.is_held = True
            try:
                yield _open(project, listener, seen)
            finally:
                locks.clear(_lock(project))
    except Held as error:
        raise Busy(f"the workspace is held by {error.owner}") from None
    except PermissionError as error:
        raise Failure(f"{error.filename or project.state}: no permission") from None


@contextmanager
def lock(project: Project, listener: Listener) -> Iterator[None]:
    """Hold the workspace for a block that only edits a file in `.dodo/`; settings are not read.

    Raises:
        Busy: waiting would be for ourselves.
    """
    check_outside(project)
    project.create(listener)
    with locks.hold(
        _lock(project),
        describe(),
        waiting=lambda owner: listener(Waiting("the workspace", owner)),
    ):
        try:
            yield
        finally:
            locks.clear(_lock(project))


def _check_root(project: Project, tolerant: bool) -> None:
    """Before a store settles where the project begins: does the pipeline agree?

    Raises:
        BadInput
    """
    try:
        _ = Workspace(project.root, project.store).files
    except BadInput as error:
        if not tolerant or any(isinstance(e, LeavesRoot) for e in (error, *error.others)):
            raise


def _lock(project: Project) -> str:
    return f"{project.store.local}/locks/workspace"


_last: list[Workspace] = []
"""What was glanced at last. A command that is about to end need not take it apart, which takes as
long as making it."""


def glance(project: Project) -> Workspace:
    """The workspace as it is now, for a look before holding it; see `begin`."""
    untouched = locks.untouched(_lock(project))
    workspace = Workspace(project.root, project.store)
    workspace.untouched = untouched
    if own.is_ours():
        _last[:] = [workspace]
    return workspace


def _open(project: Project, listener: Listener, workspace: Workspace) -> Workspace:
    for note in workspace.notes:
        listener(Note("warning", note))
    history.finish(project.store)
    if journal.has_leftovers(project.store):
        workspace.untouched = None
        for text in put_in_order(workspace):
            listener(Note("warning", text))
    for text in recovery.sweep(project.store):
        listener(Note("warning", text))
    desk.sweep(project.store.local)
    return workspace


def put_in_order(workspace: Workspace) -> list[str]:
    """Finish what killed runs left; the caller holds the workspace. Says what was put back."""
    found = {path: workspace.lock_records(path) for path in workspace.files}
    recovery.overlay(workspace.store, workspace.root, found)
    notes = recovery.recover(workspace.store, workspace.root, found)
    workspace.forget()
    return notes


ENDING = 1.0
"""Seconds that a command which only reads waits for what a killed run has started to end."""


def _is_ending(project: Project) -> bool:
    """Whether the workspace is held for somebody who was killed, until all he started has ended."""
    path = _lock(project)
    words = locks.text(path).split()
    if len(words) < 2 or not words[1].rstrip(",").isdecimal():
        return False
    try:
        os.kill(int(words[1].rstrip(",")), 0)
    except ProcessLookupError:
        return not locks.is_free(path)
    except (PermissionError, OverflowError):
        pass
    return False


def tidy(project: Project, listener: Listener) -> None:
    """For commands that only read: put leftovers in order if nobody runs and we may write."""
    left = journal.has_leftovers(project.store) or history.has_open(project.store)
    if is_inside(project) or not left:
        return
    until = time.monotonic() + ENDING
    while _is_ending(project) and time.monotonic() < until:
        time.sleep(0.01)
    try:
        with begin(project, listener, wait=False):
            return
    except Busy as error:
        listener(Note("info", f"a run is going on: {error}"))
    except (Failure, OSError):
        return
