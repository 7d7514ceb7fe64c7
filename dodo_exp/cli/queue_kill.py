"""`dodo queue kill`"""

from __future__ import annotations

import contextlib
import time

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PATIENCE = 30.0
"""Seconds to wait until an experiment has ended."""


@declare.command("kill")
@declare.argument("names", nargs=-1, required=True, shell_complete=options.complete_queued)
@options.as_json
def command(names: tuple[str, ...], as_json: bool) -> Report:
    """End experiments that are running, and keep what they have made so far.

    Their commands are asked to end, and ended after ten seconds. `dodo queue retry` gives an
    experiment another turn.
    """
    from dodo_exp.cli import tell
    from dodo_exp.errors import Failure, UsageError
    from dodo_exp.exps import queue, workers
    from dodo_exp.exps.recover import recover
    from dodo_exp.project import Project

    project = Project.find()
    store = project.store
    recover(project)
    found = [queue.find(store, name) for name in names]
    for job in found:
        if job.state != queue.RUNNING:
            raise UsageError(f"{job.name!r} is not running, it is {job.state}")
    for job in found:
        task = queue.task(job)
        if task is None or task.where == queue.QUEUE:
            workers.kill(store, job)
        else:
            _interrupt(job, queue.runner(store, job))
    until = time.monotonic() + PATIENCE
    is_told = False
    while left := [job for job in found if job in queue.running(store)]:
        if time.monotonic() > until:
            raise Failure(f"{left[0].name!r} has not ended after {PATIENCE:.0f} s")
        if not is_told and time.monotonic() > until - PATIENCE + 2:
            is_told = True
            tell.line(f"waiting for {', '.join(job.name for job in left)} to end")
        time.sleep(0.05)
        recover(project)
    ended = [job.name for job in found]
    text = f"Killed {', '.join(ended)}\n"
    return Report({"killed": ended}, text, form="json" if as_json else "text")


def _interrupt(job: Any, who: Any) -> None:
    """End a run that is no worker's as Ctrl-C does.

    Raises:
        UsageError: it is on another machine.
    """
    import os
    import signal

    from dodo_exp.errors import UsageError

    if who is None or who.host != os.uname().nodename:
        where = who.host if who else "another machine"
        raise UsageError(f"{job.name!r} is run by a command on {where}: end it there")
    with contextlib.suppress(ProcessLookupError):
        os.kill(who.pid, signal.SIGINT)
