"""Repair: check the store against everything that refers to it, and mend what can be."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from dodo_exp.engine import history, session
from dodo_exp.errors import DodoError
from dodo_exp.events import Listener
from dodo_exp.exps import roots
from dodo_exp.exps.capture import capture
from dodo_exp.project import Project
from dodo_store import check as checking
from dodo_store import reach
from dodo_store.check import Report

WORDS = {
    roots.EXPERIMENT: "experiment",
    roots.SNAPSHOT: "snapshot",
    roots.WORKSPACE: "lock file",
    roots.RUNNING: "running command",
    roots.UNDO: "undo step",
    roots.RUN: "run",
}
"""What keeps content, for counting."""

Told = Callable[[int], None]


class Mended(NamedTuple):
    """What a repair did: paths that are good again, what was removed with what it had lost, and how
    many problems are left.
    """

    mended: list[str]
    lost: dict[str, list[str]]
    left: int


def check(project: Project, share: float, progress: Told) -> Report:
    """Everything that does not hold; *share* of the objects is read byte by byte."""
    return checking.check(project.store, roots.everything(project), share, progress)


def repair(
    project: Project, command: str, listener: Listener, progress: Told
) -> tuple[Report, Mended]:
    """Set damaged files aside, take again what the workspace has, let go what is lost.

    Raises:
        Busy, Failure, Stopped
    """
    with session.begin(project, listener) as workspace:
        store = project.store
        report = check(project, 1.0, progress)
        if not report.problems:
            return report, Mended([], {}, 0)
        checking.repair(store, report)
        # What is missing may lie in the workspace still; nothing seen earlier is believed.
        workspace.stamps.forget()
        with suppress(DodoError):  # of a project that cannot be read the rest is worth mending
            capture(workspace, listener, after_run=True)
        for path in history.unreadable(store):
            checking.set_aside(store, path)
        lost = _let_go(project, command)
        _forget_runs(project)
        workspace.save_caches()
        after = check(project, 1.0, progress)
    still = {problem.path for problem in after.problems}
    mended = [problem.path for problem in report.problems if problem.path not in still]
    return report, Mended(mended, lost, len(after.problems))


def _let_go(project: Project, command: str) -> dict[str, list[str]]:
    """Remove experiments and snapshots that cannot be restored whole."""
    store = project.store
    kept = roots.of_kind(roots.everything(project), roots.EXPERIMENT, roots.SNAPSHOT)
    lost: dict[str, list[str]] = {}
    gone: list[history.Renamed] = []
    for root, paths in reach.broken(store, list(kept), set()):
        lost[root.name] = paths
        if root.records:
            gone.append(history.Renamed(root.kind, root.name, root.records[0], None))
    if gone:
        history.add(store, command, refs=tuple(gone))  # which lets the names go
    for name in lost:
        for kind in (roots.EXPERIMENT, roots.SNAPSHOT):
            refs = history.refs_of(store, kind)
            if refs.has(name):
                refs.delete(name)
    return lost


def _forget_runs(project: Project) -> None:
    """Results in the run-cache that cannot be restored are no results."""
    store = project.store
    runs = list(roots.of_kind(roots.everything(project), roots.RUN))
    for root, _ in reach.broken(store, runs, set()):
        checking.set_aside(store, root.path)
