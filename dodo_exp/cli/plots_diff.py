"""`dodo plots diff`"""

from __future__ import annotations

from dodo_exp.cli import declare, drawing, options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dodo_exp.cli.render import Report


@declare.command("diff")
@declare.argument("names", nargs=-1, shell_complete=options.complete_known)
@declare.option("--targets", multiple=True, metavar="PATH", help="Only these files or plots.")
@drawing.drawn
def command(**given: Any) -> Report:
    """Draw the plots of several experiments over each other, on an HTML page.

    NAMES are experiments, snapshots or `workspace`. One is compared with the workspace. Without
    any, the workspace is compared with the experiment that it came from; if nothing has changed
    since, that experiment with its parent.
    """
    names = list(given["names"])
    if not names:
        from dodo_exp.cli import tell
        from dodo_exp.exps.pair import pair
        from dodo_exp.project import Project

        names = [each.name for each in pair(Project.find(), None, None, tell.Progress())]
    if len(names) == 1:
        names.append("workspace")
    return drawing.report(names, given["targets"], given)
