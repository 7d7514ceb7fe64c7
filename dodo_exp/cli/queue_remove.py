"""`dodo queue remove`"""

from __future__ import annotations

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Report


@declare.command("remove")
@declare.argument("names", nargs=-1, shell_complete=options.complete_queued)
@declare.option("--all", "everything", is_flag=True, help="All but those that are running.")
@declare.option("--queued", is_flag=True, help="All that wait.")
@declare.option("--failed", is_flag=True, help="All that are over and no success.")
@declare.option("--success", is_flag=True, help="All that were a success.")
@options.as_json
def command(
    names: tuple[str, ...],
    everything: bool,
    queued: bool,
    failed: bool,
    success: bool,
    as_json: bool,
) -> Report:
    """Remove experiments from the queue.

    One that waits will not be run, unless `dodo queue retry` puts it back. One that has failed goes
    altogether; of one that was a success only the queue forgets. Logs stay.
    """
    from dodo_exp.errors import UsageError
    from dodo_exp.exps import dequeue
    from dodo_exp.project import Project

    groups = {"queued": queued or everything, "failed": failed or everything,
              "success": success or everything}  # fmt: skip
    if bool(names) == any(groups.values()):
        raise UsageError("name the experiments, or say --queued, --failed, --success or --all")
    gone = dequeue.dequeue(Project.find(), names, groups, options.command_line())
    text = f"Removed {', '.join(gone)}\n" if gone else "There is nothing to remove.\n"
    return Report({"removed": gone}, text, form="json" if as_json else "text")
