"""Drain: run what waits in the queue, telling how it goes."""

from __future__ import annotations

import threading

from dodo_exp.cli import tell
from dodo_exp.cli.render import Grid, Report
from dodo_exp.units import format_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def told(*, quiet: bool, is_alone: bool) -> Any:
    """What a worker tells, on standard error; *is_alone* if no other tells there meanwhile."""
    from dodo_exp.exps import queue
    from dodo_exp.exps.worker import Told

    lock = threading.Lock()

    def say(text: str) -> None:
        if not quiet:
            with lock:
                tell.line(text)

    def listener(job: Any) -> Any:
        task = queue.task(job)
        jobs = int(task.options.get("jobs", 1)) if task else 1
        return tell.Progress(jobs=jobs, quiet=quiet, label="" if is_alone else job.name)

    def began(job: Any) -> None:
        say(f"Running experiment {job.name!r}")

    def ended(job: Any, done: Any) -> None:
        if done.how == queue.SUCCESS:
            say(f"Ran experiment {job.name!r}")
            if done.experiment not in ("", job.name):
                tell.warning(f"{job.name!r} is another one by now: kept as {done.experiment!r}")
        else:
            tell.error(f"experiment {job.name!r}: {done.reason or done.how}")

    def put_back(job: Any) -> None:
        say(f"Experiment {job.name!r} is in the queue again")

    def fault(error: Any) -> None:
        tell.error(str(error), error.hint)

    return Told(listener, began, ended, put_back, lambda is_idle: None, fault)


def drain(project: Any, jobs: int, *, quiet: bool, command: str, form: str) -> Report:
    """Run everything that waits, *jobs* at a time."""
    from dodo_exp.engine import session
    from dodo_exp.exps import crew, queue
    from dodo_exp.exps.recover import recover

    session.check_outside(project)
    project.write(tell.Progress(quiet=quiet))
    recover(project)
    if not queue.waiting(project.store) and not queue.running(project.store):
        return Report([], "No experiments in the queue.\n", form=form)
    telling = told(quiet=quiet, is_alone=jobs == 1)
    drained = crew.run_all(project, jobs, telling, command)
    made = report(project, drained.jobs, form)
    left = len(queue.waiting(project.store))
    if drained.fault is not None:
        return made._replace(code=1)
    if not drained.is_enough or not left:
        return made
    tell.error(f"stopped by `dodo queue stop`: {left} are waiting still")
    return made._replace(code=1)


def report(project: Any, done: list[Any], form: str) -> Report:
    """What came of jobs: a table, and 1 if not all are a success."""
    from dodo_exp.exps import queue
    from dodo_exp.pipeline.values import leaves

    rows: list[list[Any]] = []
    data = []
    columns: dict[str, None] = {}
    for job in done:
        end = queue.end_of(job)
        seconds = end.ended - end.started if end else None
        reason = end.reason if end else ""
        name = end.experiment if end and end.experiment else job.name
        metrics = _metrics(project, name) if job.state == queue.SUCCESS else {}
        flat = {
            name or file: value
            for file, contents in metrics.items()
            if "data" in contents
            for name, value in leaves(contents["data"])
        }
        columns |= dict.fromkeys(flat)
        rows.append([name, job.state.capitalize(), seconds, flat])
        row = {"experiment": name, "state": job.state, "reason": reason, "seconds": seconds}
        data.append({**row, "metrics": metrics})
    body = [[*row[:2], _seconds(row[2]), *(row[3].get(c) for c in columns)] for row in rows]
    grid = Grid(["Experiment", "State", "Time", *columns], body, keep=3)
    failed = [job for job in done if job.state != queue.SUCCESS]
    if failed:
        names = ", ".join(job.name for job in failed[:10])
        more = f" and {len(failed) - 10} more" if len(failed) > 10 else ""
        tell.error(
            f"{len(failed)} of {len(done)} experiments failed: {names}{more}",
            "`dodo queue logs NAME` says why; `dodo queue retry --failed` runs them again",
        )
    return Report(data, "", grid if rows else None, form, code=1 if failed else 0)


def _metrics(project: Any, name: str) -> dict[str, Any]:
    from dodo_exp.errors import DodoError
    from dodo_exp.exps import find
    from dodo_store.errors import StoreError

    try:
        return dict(find.experiment(project.store, name, ("experiment",)).metrics)
    except (DodoError, StoreError):
        return {}


def _seconds(seconds: float | None) -> str | None:
    return None if seconds is None else format_duration(seconds)
