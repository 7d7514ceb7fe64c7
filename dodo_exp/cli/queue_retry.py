"""`dodo queue retry`"""

from __future__ import annotations

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Report


@declare.command("retry")
@declare.argument("names", nargs=-1, shell_complete=options.complete_queued)
@declare.option("--failed", is_flag=True, help="All that are over and no success.")
@options.as_json
def command(names: tuple[str, ...], failed: bool, as_json: bool) -> Report:
    """Let experiments that have failed, were killed or were removed wait for another turn.

    They begin from the snapshot that they began from; stages that went well are not run again.
    """
    from dodo_exp.errors import UsageError
    from dodo_exp.exps import queue
    from dodo_exp.exps.recover import recover
    from dodo_exp.project import Project

    if bool(names) == failed:
        raise UsageError("name the experiments, or all that have --failed")
    project = Project.find()
    recover(project)
    store = project.store
    over = [job for job in queue.jobs(store) if job.state in queue.ENDS]
    found = [queue.find(store, name, removed=True) for name in names]
    latest = {job.name: job for job in queue.jobs(store)}
    bad = [job for job in over if job.state != queue.SUCCESS and latest[job.name] == job]
    found += bad if failed else []
    waiting = queue.names(store)
    for job in found:
        if job.name in waiting and job.state in (*queue.ENDS, queue.REMOVED):
            raise UsageError(f"there is an experiment {job.name!r} in the queue already")
    for job in found:
        if job.state == queue.SUCCESS:
            raise UsageError(f"{job.name!r} is a success", "`dodo exp apply` and run it again")
        if job.state in (queue.QUEUED, queue.RUNNING):
            raise UsageError(f"{job.name!r} is {job.state}, it has not failed")
    queued = [job.name for job in found if queue.again(store, job) is not None]
    lines = [f"Queued experiment {name!r} for future execution.\n" for name in queued]
    text = "".join(lines) or "Nothing has failed.\n"
    return Report({"queued": queued}, text, form="json" if as_json else "text")
