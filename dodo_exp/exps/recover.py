"""Recover: what runners that have died leave in the queue; any command that looks at it does so."""

from __future__ import annotations

from dodo_exp.engine import disk
from dodo_exp.errors import DodoError
from dodo_exp.exps import queue, workers
from dodo_store.errors import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dodo_exp.project import Project


UNREADABLE = "its file cannot be read"


def recover(project: Project) -> OSError | None:
    """Let jobs whose runner has died wait for another turn, or be over.

    On a full or read-only disk they may have to stay as they are; returns the disk's error then.
    """
    full = None
    queue.settle(project.store)
    for job, claim in queue.dead(project.store):
        try:
            _recover(project, job, claim)
        except (OSError, DodoError, StoreError) as error:
            full = full or disk.cause(error)
        finally:
            claim.close()
    return full


def end_unreadable(project: Project) -> None:
    """Let jobs whose file cannot be read be over; of those that are over, set the file aside."""
    from dodo_store import check

    recover(project)
    store = project.store
    for job in queue.every(store):
        if queue.task(job) is not None or queue.is_lost(job) or job.state == queue.RUNNING:
            continue
        if job.state == queue.QUEUED:
            claim = queue.claim(store, queue.me("store check --repair"), job)
            if claim is not None:
                claim.finish(queue.FAILED, UNREADABLE)
        else:
            check.set_aside(store, job.path)


def _has_come_further(project: Project, claim: queue.Claim, task: queue.Task) -> bool:
    """Whether the runner that has died has kept a step: then its attempt does not count."""
    from dodo_exp.exps import steps
    from dodo_exp.exps.naming import turns
    from dodo_exp.exps.record import load

    draft = load(project.store, task.record)
    found = steps.left(project.store, turns(draft, task), task.ids)
    return found is not None and found[1].experiment.created >= claim.who.started


def _recover(project: Project, job: queue.Job, claim: queue.Claim) -> None:
    from dodo_exp.exps import ending

    store, task = project.store, queue.task(job)
    if queue.has_ended(store, job):
        claim.drop()
        return
    who = f"pid {claim.who.pid} on {claim.who.host}"
    if task is None and queue.is_blank(job):
        claim.drop()
        return
    if task is None:
        claim.finish(queue.FAILED, UNREADABLE)
        return
    if task.where == queue.WORKSPACE:
        ending.log(project, job, f"error: its process (pid {claim.who.pid}) has died")
        claim.drop()
        return
    known = ending.result_of(project, job, task)
    if known is not None:
        claim.finish(known.how, known.reason, known.experiment)
    elif task.where == queue.TEMP:
        ending.give_up(project, claim, None, queue.FAILED, f"its process ({who}) has died")
    elif workers.is_to_end(store, job):
        ending.give_up(project, claim, None, queue.KILLED, "killed")
    elif _has_come_further(project, claim, task):
        text = "it goes on from its last checkpoint"
        ending.log(project, job, f"error: its worker ({who}) has died; {text}")
        claim.put_back()
    elif job.attempts >= queue.MOST_ATTEMPTS:
        text = f"{job.attempts} workers have died of it, the last one {who}"
        ending.give_up(project, claim, None, queue.FAILED, text)
    else:
        ending.log(project, job, f"error: its worker ({who}) has died; it waits for another one")
        queue.requeue(store, claim)
