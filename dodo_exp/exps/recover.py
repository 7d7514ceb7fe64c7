"""Recover: what runners that have died leave in the queue; any command that looks at it does so."""

from __future__ import annotations

import contextlib
import os

from dodo_exp.exps import queue, workers
from dodo_exp.project import Project


def recover(project: Project) -> None:
    """Let jobs whose runner has died wait for another turn, or be over.

    Where that is not allowed, on a read-only disk, they stay as they are.
    """
    store = project.store
    for job, claim in queue.dead(store):
        with contextlib.suppress(OSError):
            _recover(project, job, claim)
        claim.close()


def _recover(project: Project, job: queue.Job, claim: queue.Claim) -> None:
    from dodo_exp.exps import ending

    store, task = project.store, queue.task(job)
    if task is not None and task.where == queue.WORKSPACE:
        ending.log(project, job, f"error: its process (pid {claim.who.pid}) has died")
        claim.drop()
        return
    known = ending.result_of(project, job, task) if task is not None else None
    who = f"pid {claim.who.pid} on {claim.who.host}"
    if known is not None:
        claim.finish(known.how, known.reason)
    elif task is not None and task.where == queue.TEMP:
        ending.give_up(project, claim, None, queue.FAILED, f"its process ({who}) has died")
    elif workers.is_to_end(job):
        ending.give_up(project, claim, None, queue.KILLED, "killed")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{job.path}.kill")
    elif job.attempts >= queue.MOST_ATTEMPTS:
        text = f"{job.attempts} workers have died of it, the last one {who}"
        ending.give_up(project, claim, None, queue.FAILED, text)
    else:
        ending.log(project, job, f"error: its worker ({who}) has died; it waits for another one")
        queue.requeue(store, claim)
