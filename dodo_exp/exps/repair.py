"""Repair: check the store against everything that refers to it, and mend what can be."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from dodo_exp.engine import history, session
from dodo_exp.errors import DodoError
from dodo_exp.exps import recover, roots, steps
from dodo_exp.exps.capture import capture
from dodo_exp.exps.record import load
from dodo_store import check as checking
from dodo_store import reach
from dodo_store.named import Named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dodo_exp.events import Listener
    from dodo_exp.exps.record import Experiment
    from dodo_exp.project import Project
    from dodo_store.check import Report
    from dodo_store.oid import Oid
    from dodo_store.store import Store

WORDS = {
    roots.EXPERIMENT: "experiment",
    roots.SNAPSHOT: "snapshot",
    roots.WORKSPACE: "lock file",
    roots.QUEUE: "queued experiment",
    roots.RUNNING: "running command",
    roots.UNDO: "undo step",
    roots.RUN: "run",
}
"""What keeps content, for counting."""

Told = Callable[[int], None]


class Mended(Named):
    """What a repair did: paths that are good again; experiments and snapshots with what each has
    lost; numbers of undo steps that were removed, with the same; and how many problems are left.
    """

    mended: list[str]
    lost: dict[str, list[str]]
    steps: dict[int, list[str]]
    left: int


def check(project: Project, share: float, progress: Told) -> Report:
    """Everything that does not hold; *share* of the objects is read byte by byte.

    What gc removes meanwhile would be reported as missing, so it waits.
    """
    with project.store.reading():
        return checking.check(project.store, roots.everything(project, once=True), share, progress)


def repair(
    project: Project, command: str, listener: Listener, progress: Told
) -> tuple[Report, Mended]:
    """Set damaged files aside, take again what the workspace has, let go what is lost.

    Raises:
        Busy, Failure, Stopped
    """
    store = project.store
    with session.begin(project, listener) as workspace, store.writing():
        report = check(project, 1.0, progress)
        if not report.problems:
            return report, Mended([], {}, {}, 0)
        checking.repair(store, report)
        # What is missing may lie in the workspace still; nothing seen earlier is believed.
        workspace.stamps.forget()
        with suppress(DodoError):  # of a project that cannot be read the rest is worth mending
            capture(workspace, listener, after_run=True)
        history.quarantine(store, history.unreadable_numbers(store))
        recover.end_unreadable(project)
        lost = _let_go(project, command)
        steps = _forget_steps(project)
        _forget_runs(project)
        workspace.save_caches()
        after = check(project, 1.0, progress)
    still = {problem.path for problem in after.problems}
    mended = [problem.path for problem in report.problems if problem.path not in still]
    return report, Mended(mended, lost, steps, len(after.problems))


@history.retry_if_names_changed
def _let_go(project: Project, command: str) -> dict[str, list[str]]:
    """Remove experiments and snapshots whose result cannot be restored whole.

    One that has only lost what it began from stays, beginning from its own result.
    """
    store = project.store
    kept = roots.of_kind(roots.everything(project), roots.EXPERIMENT, roots.SNAPSHOT)
    lost: dict[str, list[str]] = {}
    changed: list[history.Renamed] = []
    unreadable: list[str] = []
    for root, paths in reach.broken(store, list(kept), set()):
        lost[root.name] = paths
        if not root.records:
            unreadable.append(history.refs_of(store, root.kind).path(root.name))
            continue
        old = root.records[0]
        new, paths = _mended(store, old, paths)
        lost[root.name] = paths
        changed.append(history.Renamed(root.kind, root.name, old, new))
    if changed:
        history.add(store, command, refs=tuple(changed))  # which sets the names, too
    for path in unreadable:
        checking.set_aside(store, path)
    return lost


def _forget_steps(project: Project) -> dict[int, list[str]]:
    """Take out of the history what can no longer be undone; says what each step has lost."""
    store = project.store
    found = list(roots.of_kind(roots.everything(project), roots.UNDO))
    lost = {int(root.name): paths for root, paths in reach.broken(store, found, set())}
    history.quarantine(store, list(lost))
    return lost


def _mended(store: Store, old: Oid, paths: list[str]) -> tuple[Oid | None, list[str]]:
    """What is left of an experiment that has lost *paths*, and words for what it has lost.

    Steps that cannot be restored go, the others stay.
    """

    def whole(experiment: Experiment) -> Experiment | None:
        if not store.is_whole(experiment.result):
            return None
        is_whole = store.is_whole(experiment.base)
        return experiment if is_whole else experiment._replace(base=experiment.result)

    new = steps.rebuilt(store, old, whole)
    if new is None:
        return None, paths
    what = "before the run" if load(store, new).step == 0 else "at an earlier step"
    return new, [f"{path} (as it was {what})" for path in paths]


def _forget_runs(project: Project) -> None:
    """Results in the run-cache that cannot be restored are no results."""
    store = project.store
    runs = list(roots.of_kind(roots.everything(project), roots.RUN))
    for root, _ in reach.broken(store, runs, set()):
        checking.set_aside(store, root.path)
