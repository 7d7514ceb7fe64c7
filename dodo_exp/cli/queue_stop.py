"""`dodo queue stop`"""

from __future__ import annotations

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Report


@declare.command("stop")
@declare.option(
    "--now",
    "--kill",
    is_flag=True,
    help="Do not wait for what is running: it goes back to the queue.",
)
@options.as_json
def command(now: bool, as_json: bool) -> Report:
    """Let workers take no more experiments, and end when those that are running have ended."""
    from dodo_exp.exps import workers
    from dodo_exp.exps.recover import recover
    from dodo_exp.project import Project

    project = Project.find()
    recover(project)
    there = workers.alive(project.store)
    workers.stop(project.store, there, now=now)
    s = "" if len(there) == 1 else "s"
    when = "now" if now else "when what they run is over"
    text = f"{len(there)} worker{s} will end {when}\n" if there else "No workers are running.\n"
    return Report({"stopped": len(there)}, text, form="json" if as_json else "text")
