"""`dodo queue status`"""

from __future__ import annotations

import time

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Grid, Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ORDER = ("running", "queued", "failed", "killed", "stopped", "success")


@declare.command("status")
@options.as_json
def command(as_json: bool) -> Report:
    """Show the experiments of the queue: running, waiting, and those that are over."""
    from dodo_exp.exps import queue, workers
    from dodo_exp.exps.recover import recover
    from dodo_exp.project import Project

    project = Project.find()
    store = project.store
    recover(project)
    found = sorted(queue.jobs(store), key=lambda job: (ORDER.index(job.state), job.number))
    there = workers.alive(store)
    rows, data = [], []
    for job in found:
        who = queue.runner(store, job) if job.state == queue.RUNNING else None
        end = queue.end_of(job) if job.state in queue.ENDS and job.state != queue.SUCCESS else None
        moment = who.started if who else job.moment
        reason = end.reason if end else ""
        by = f"pid {who.pid}" if who else reason
        rows.append([job.number, job.name, job.state.capitalize(), _clock(moment), by or None])
        data.append(
            {
                "number": job.number,
                "name": job.name,
                "state": job.state,
                "since": moment,
                "attempts": job.attempts,
                "runner": who._asdict() if who else None,
                "reason": reason,
            }
        )
    busy = sum(1 for each in data if each["state"] == queue.RUNNING)
    active = min(busy, len(there))
    text = f"Workers: {active} active, {len(there) - active} idle\n"
    problem = _problem(store) if any(job.state == queue.QUEUED for job in found) else None
    if problem is not None and not as_json:
        from dodo_exp.cli import tell

        tell.warning(f"no worker can go on: {problem}")
    grid = Grid(["Nr", "Name", "State", "Since", "By"], rows, keep=3)
    value = {
        "experiments": data,
        "workers": [{"id": w.id, **w.who._asdict()} for w in there],
        "problem": problem,
    }
    form = "json" if as_json else "text"
    if not rows:
        return Report(value, f"No experiments in the queue.\n{text}", form=form)
    return Report(value, text, grid, form=form)


def _problem(store: Any) -> str | None:
    """Why what waits is not run: the disk as it is now, or why the last worker ended."""
    from dodo_exp.engine import disk
    from dodo_exp.exps import workers

    full = disk.probe(store.folder)
    if full is None:
        return workers.fault(store) or None
    error = disk.no_room(full, store.folder)
    return f"{error} ({error.hint})"


def _clock(seconds: float) -> Any:
    moment = time.localtime(seconds)
    today = time.strftime("%Y-%m-%d", moment) == time.strftime("%Y-%m-%d")
    return time.strftime("%H:%M:%S" if today else "%Y-%m-%d", moment)
