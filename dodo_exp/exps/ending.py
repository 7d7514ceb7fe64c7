"""Ending: how an experiment of the queue comes to be over, whichever way it has gone."""

from __future__ import annotations

import contextlib
import os
import time

from dodo_exp.engine import session
from dodo_exp.engine.log import Log
from dodo_exp.errors import Damage, DodoError
from dodo_exp.exps import find, logs, queue, state, steps, watched
from dodo_exp.exps.capture import capture
from dodo_exp.exps.naming import give, other_name, result_name, turns
from dodo_exp.exps.record import keep, load
from dodo_exp.exps.submit import task_of
from dodo_store.errors import StoreError
from dodo_store.named import Named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dodo_exp.events import Listener
    from dodo_exp.exps.record import Experiment
    from dodo_exp.exps.run import Order, Ran
    from dodo_exp.exps.temp import Place
    from dodo_exp.project import Project


class Performed(Named):
    """How it went: one of queue.ENDS, why, and the run, if it got as far as that."""

    how: str
    reason: str
    ran: Ran | None
    experiment: str = ""
    """The name that its result has."""


def over(
    project: Project, claim: queue.Claim, done: Performed, listener: Listener | None = None
) -> Performed:
    """Say that it is, to the queue and to the command that the settings name."""
    claim.finish(done.how, done.reason, done.experiment)
    seconds = time.time() - claim.who.started
    name = claim.job.name
    note = watched.finished(project, name, done.how, done.reason, seconds)
    if note is not None and listener is not None:
        listener(note)
    elif note is not None:
        log(project, claim.job, f"warning: {note.text}")
    return done


def fail_in_place(
    project: Project, claim: queue.Claim, order: Order, name: str, reason: str
) -> None:
    """Put a run in the workspace that has failed on record as a failed job, for retry and removal.

    Its experiment is kept already, as *name*.
    """
    store = project.store
    with store.writing():
        made = find.experiment(store, name, ("experiment",))
        # A retry starts from where the run started, so its task names a record without a result.
        draft = made._replace(result=made.base, metrics={}, stages=(), stale=(), tainted=())
        again = task_of(project, order, made.job, keep(store, draft), queue.WORKSPACE)
        claim.finish(queue.FAILED, reason, name, again)


def log(project: Project, job: queue.Job, text: str) -> None:
    """Add a line to a run's log, if there is room for it."""
    with (
        contextlib.suppress(OSError),
        Log(logs.log_path(project.store, job.number, job.name), goes_on=True) as log,
    ):
        log.write(f"{text}\n".encode(errors="surrogateescape"))


def result_of(project: Project, job: queue.Job, task: queue.Task) -> Performed | None:
    """What an earlier runner has made of it, who died before he could say so."""
    try:
        draft = load(project.store, task.record)._replace(job=task.id)
    except (StoreError, Damage):
        return None
    for name in (job.name, other_name(draft)):
        try:
            oid = project.store.experiments.get(name)
            made = load(project.store, oid) if oid is not None else None
        except (StoreError, Damage):
            continue
        if made is not None and made.job == task.id and not made.unfinished:
            how = queue.FAILED if made.error else queue.SUCCESS
            return Performed(how, made.error, None, name)
    return None


def give_up(
    project: Project, claim: queue.Claim, place: Place | None, how: str, reason: str
) -> Performed:
    """Let a job be over that a signal has ended; what it has made so far is kept.

    One whose result is there already has gone well, or as that says.
    """
    task = queue.task(claim.job)
    known = result_of(project, claim.job, task) if task is not None else None
    if known is not None:
        return over(project, claim, known)
    name = keep_failed(project, claim, place, reason)
    log(project, claim.job, f"error: {reason}")
    return over(project, claim, Performed(how, reason, None, name))


def keep_failed(project: Project, claim: queue.Claim, place: Place | None, reason: str) -> str:
    """Keep an experiment that has not come to its end, with what lies in its folder.

    Returns its name; "" where it could not be kept.
    """
    store, task = project.store, queue.task(claim.job)
    if task is None:
        return ""
    try:
        draft = load(store, task.record)._replace(job=task.id)
        found = steps.left(store, turns(draft, task), task.ids)
        made = found[1].experiment if found is not None else draft
        made = made._replace(error=reason, job=task.id, created=time.time(), unfinished=False)
        with store.writing():
            if found is not None:
                made = made._replace(name=found[0])
                give(store, made, keep(store, made), task.command)
                return made.name
            made = made._replace(seconds=time.time() - claim.who.started)
            if made.before is not None:  # it has come no further than where it began
                made = made._replace(before=load(store, made.before).before)
            if place is not None and os.path.isdir(place.root):
                project = place.project(task.folder)
                made = _as_it_lies(project, made, claim.who.started)
            made = made._replace(name=result_name(store, claim, made, task.replace))
            give(store, made, keep(store, made), task.command)
            return made.name
    except (DodoError, StoreError, OSError):
        # Its record in the queue still says what went wrong.
        return ""


def _as_it_lies(project: Project, made: Experiment, started: float) -> Experiment:
    def silent(event: object) -> None:
        return None

    with session.begin(project, silent, tolerant=True) as workspace:
        result = capture(workspace, silent, after_run=True)
        params, metrics = state.params_of(workspace), state.metrics_since(workspace, started)
    return made._replace(result=result, params=params or made.params, metrics=metrics)
