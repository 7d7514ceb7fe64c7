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

    NAMES are experiments, snapshots or `workspace`. One is compared with the workspace; without
    any, the experiment that the workspace was made from is.
    """
    names = list(given["names"])
    if not names:
        from dodo_exp.engine.workspace import Workspace
        from dodo_exp.exps import side
        from dodo_exp.project import Project

        project = Project.find()
        names = [side.base(project, Workspace(project.root, project.store))]
    if len(names) == 1:
        names.append("workspace")
    return drawing.report(names, given["targets"], given)
