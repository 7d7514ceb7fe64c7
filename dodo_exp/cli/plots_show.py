"""`dodo plots show`"""

from __future__ import annotations

from dodo_exp.cli import declare, drawing, options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dodo_exp.cli.render import Report


@declare.command("show")
@declare.argument("targets", nargs=-1)
@declare.option(
    "--rev",
    "names",
    multiple=True,
    metavar="NAME",
    shell_complete=options.complete_kept,
    help="Of this experiment or snapshot rather than the workspace.",
)
@drawing.drawn
def command(**given: Any) -> Report:
    """Draw the plots of the workspace, or of experiments, on an HTML page.

    TARGETS are files, or names of plots in dvc.yaml; without any, all that dvc.yaml has.
    """
    return drawing.report(list(given["names"] or ("workspace",)), given["targets"], given)
