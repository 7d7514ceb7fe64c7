"""`dodo exp remove`"""

from __future__ import annotations

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Report


@declare.command("remove")
@declare.argument("names", nargs=-1, shell_complete=options.complete_known)
@declare.option(
    *("-A", "--all", "--all-commits", "everything"),
    is_flag=True,
    help="Remove every experiment that has run; with --queue those that wait too.",
)
@declare.option("--keep", is_flag=True, help="Remove every experiment but NAMES.")
@declare.option("--queue", is_flag=True, help="Remove every experiment that waits in the queue.")
@options.as_json
def command(
    names: tuple[str, ...], everything: bool, keep: bool, queue: bool, as_json: bool
) -> Report:
    """Remove experiments by name, also such as wait in the queue or have failed; or steps, NAME@4.

    All of NAMES or, if one is not there, none. `dodo undo` brings back those that have run, `dodo
    queue retry` those that waited; their space is given back by `dodo gc`.
    """
    from dodo_exp.errors import UsageError
    from dodo_exp.exps import dequeue
    from dodo_exp.exps.remove import remove
    from dodo_exp.project import Project

    if bool(names) is (everything or queue) or (keep and not names):
        raise UsageError(
            "name the experiments to remove (or --keep), or say --all, --queue or both"
        )
    project, words = Project.find(), options.command_line()
    if queue and not everything:
        gone = dequeue.dequeue(project, (), {"queued": True}, words)
        text = f"Removed {', '.join(gone)}\n" if gone else "No experiments wait in the queue.\n"
        return Report({"removed": gone}, text, form="json" if as_json else "text")
    if everything:
        gone = dequeue.dequeue(project, (), {"queued": True}, words) if queue else []
        gone += remove(project, "experiment", (), words, everything=True)
    elif keep and not (names := dequeue.others(project, names)):
        return Report({"removed": []}, "There are no others.\n", form="json" if as_json else "text")
    else:
        gone = dequeue.remove_named(project, names, words)
    text = f"Removed {', '.join(gone)}\n" if gone else "There are no experiments.\n"
    return Report({"removed": gone}, text, form="json" if as_json else "text")
