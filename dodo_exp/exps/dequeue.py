"""Dequeue: take experiments out of the queue; what has failed goes altogether."""

from __future__ import annotations

from dodo_exp.errors import DodoError, UsageError
from dodo_exp.exps import find, queue, thin
from dodo_exp.exps.recover import recover
from dodo_exp.exps.remove import remove
from dodo_exp.exps.steps import AT
from dodo_store.errors import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dodo_exp.project import Project
    from dodo_store.store import Store


def dequeue(
    project: Project, names: tuple[str, ...], groups: dict[str, bool], command: str
) -> list[str]:
    """Remove jobs by name or number, and all of some groups (queued, failed, success).

    All of those named go, or none. Returns the names of those that are gone.

    Raises:
        UsageError: one is not there, or runs.
    """
    recover(project)
    store = project.store
    found = [queue.find(store, name) for name in names]
    for job in found:
        if job.state == queue.RUNNING:
            raise UsageError(f"{job.name!r} is running", f"`dodo queue kill {job.name}` ends it")
    found += [job for job in queue.jobs(store) if groups.get(_group(job), False)]
    failed = [name for job in found if _group(job) == "failed" for name in _results(store, job)]
    gone = [job.name for job in dict.fromkeys(found) if queue.remove(store, job)]
    if failed:
        remove(project, "experiment", tuple(dict.fromkeys(failed)), command)
    return gone


def _results(store: Store, job: queue.Job) -> list[str]:
    """Failed experiments that came of a job: under its name, or the one that was free."""
    end = queue.end_of(job)
    names = dict.fromkeys((job.name, end.experiment if end is not None else job.name))
    return [name for name in names if name and find.has_failed(store, name)]


def _group(job: queue.Job) -> str:
    return "failed" if job.state in queue.ENDS and job.state != queue.SUCCESS else job.state


def remove_named(project: Project, names: tuple[str, ...], command: str) -> list[str]:
    """Remove experiments, whether they have run or wait; all of those named, or none.

    Raises:
        UsageError: one is not there, or runs.
    """
    recover(project)
    store = project.store
    done, waiting, parts = [], [], []
    known = {job.name: job for job in queue.jobs(store)}
    for name in names:
        job = known.get(name)
        if AT in name:
            thin.check_step(store, name)
            parts.append(name)
            continue
        if job is not None and job.state == queue.RUNNING:
            raise UsageError(f"{name!r} is running", f"`dodo queue kill {name}` ends it")
        if job is not None and job.state == queue.QUEUED:
            waiting.append(job)
        else:
            done.append(find.find(store, name, ("experiment",)).name)
    before = {was for name in done for was in _former_names(store, name)}
    gone = [job.name for job in waiting if queue.remove(store, job)]
    if parts:
        gone += thin.remove_steps(project, tuple(parts), command)
    if done:
        gone += remove(project, "experiment", tuple(done), command)
    forget(store, {*done, *(name for name in before if not store.experiments.has(name))})
    return sorted(gone)


def _former_names(store: Store, name: str) -> tuple[str, ...]:
    """Names that an experiment had in the queue before it was renamed."""
    try:
        return find.experiment(store, name, ("experiment",)).was
    except (DodoError, StoreError):
        return ()


def others(project: Project, kept: tuple[str, ...]) -> tuple[str, ...]:
    """Experiments that have run, but for some.

    Raises:
        UsageError: one of those is not there.
    """
    store = project.store
    spared = {find.find(store, name, ("experiment",)).name for name in kept}
    return tuple(name for name in sorted(store.experiments.names()) if name not in spared)


def forget(store: Store, names: set[str]) -> None:
    """Of failed experiments that are gone nothing stays in the queue either."""
    for job in queue.jobs(store):
        end = queue.end_of(job) if _group(job) == "failed" else None
        if end is not None and names & {job.name, end.experiment}:
            queue.remove(store, job)
