"""`dodo exp save`"""

from __future__ import annotations

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@declare.command("save")
@declare.option("-n", "--name", metavar="NAME", help="Name of the experiment.")
@declare.option("-m", "--message", default="", metavar="TEXT", help="A note to keep with it.")
@declare.option("-f", "--force", is_flag=True, help="Replace an experiment of the same name.")
@declare.option(
    "-I",
    "--include-untracked",
    "include",
    multiple=True,
    metavar="PATH",
    help="Also keep this path, though it is ignored.",
)
@options.no_wait
@options.as_json
def command(**given: Any) -> Report:
    """Keep the workspace as an experiment, without running anything.

    For results that were made in another way: in a notebook, by hand, on another machine.
    """
    from dodo_exp.cli import tell
    from dodo_exp.exps.save import save
    from dodo_exp.project import Project

    kept = save(
        Project.find(),
        "experiment",
        given["name"],
        given["message"],
        options.command_line(),
        tell.Progress(),
        replace=given["force"],
        include=given["include"],
        wait=not given["no_wait"],
    )
    if kept.stale:
        tell.warning(f"out of date in it: {', '.join(kept.stale)}")
    data = {"experiment": kept.name, "bytes": kept.result.size, "stale": list(kept.stale)}
    text = f"Kept experiment {kept.name!r}: {options.size(kept.result.size)}\n"
    return Report(data, text, form="json" if given["as_json"] else "text")
