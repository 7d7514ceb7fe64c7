"""Drawing: what `plots show` and `plots diff` share."""

from __future__ import annotations

import os

from dodo_exp.cli import declare
from dodo_exp.cli.render import Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

drawn = declare.grouped(
    declare.option("-t", "--template", metavar="NAME", help="Template of all plots."),
    declare.option("-x", "x", metavar="FIELD", help="Field of the x axis."),
    declare.option("-y", "y", metavar="FIELD", help="Field of the y axis."),
    declare.option("--no-header", is_flag=True, help="Tables have no line of names."),
    declare.option("--title", metavar="TEXT", help="Title of the plots."),
    declare.option("--x-label", metavar="TEXT", help="Label of the x axis."),
    declare.option("--y-label", metavar="TEXT", help="Label of the y axis."),
    declare.option(
        "-o", "--out", metavar="PATH", help="Folder or .html file for the page (.dodo/pages)."
    ),
    declare.option(
        "--show-vega",
        is_flag=True,
        help="Print the Vega-Lite specification of the one plot that is meant.",
    ),
    declare.option("--json", "as_json", is_flag=True, help="Print plots and data as JSON."),
    declare.option("--open", "opens", is_flag=True, help="Show the page in the browser."),
)
"""How plots are drawn, and where to."""


def report(names: list[str], targets: tuple[str, ...], given: dict[str, Any]) -> Report:
    """A page of some sides' plots; or their specifications.

    Raises:
        UsageError, BadInput
    """
    from dodo_exp.cli import pages
    from dodo_exp.errors import UsageError
    from dodo_exp.exps import page, plots, side
    from dodo_exp.project import Project

    project = Project.find()
    sides = [plots.Files(project, side.side(project, name)) for name in dict.fromkeys(names)]
    overrides = plots.Overrides(
        **{name: given[name] for name in plots.Overrides._fields if name in given}
    )
    wanted = plots.plots(project, sides, targets, overrides)
    if given["show_vega"] and len(wanted) != 1:
        known = ", ".join(plot.id for plot in wanted[:5])
        raise UsageError("--show-vega prints one plot: name it", f"plots: {known}")
    if given["show_vega"] or given["as_json"]:
        return _specs(project, sides, wanted, given)
    if not wanted:
        return Report(None, "There are no plots: dvc.yaml names none.\n")
    at = given["out"]
    path = os.path.join(project.state, "pages", "plots.html")
    if at:
        path = os.path.abspath(at if at.endswith(".html") else os.path.join(at, "index.html"))
    else:
        from dodo_exp.cli import tell

        project.write(tell.Progress())
    return pages.write(project, page.of_plots(project, sides, wanted), path, opens=given["opens"])


def _specs(project: Any, sides: list[Any], wanted: list[Any], given: dict[str, Any]) -> Report:
    """DVC's `plots diff --json`: {"data": {id: [{type, revisions, content or url}]}}."""
    from dodo_exp.cli import tell
    from dodo_exp.errors import BadInput
    from dodo_exp.exps import chart, plots

    data: dict[str, list[Any]] = {}
    for plot in wanted:
        if plot.image:
            there = [side.name for side in sides if side.below(plot.image)]
            row = {"type": "image", "revisions": there, "url": plot.image}
            data[plot.id] = [{**row, "revisions": [name]} for name in there]
            continue
        try:
            plot = plots.settle(plot, sides)
            points = {side.name: plots.points(plot, side) for side in sides}
        except BadInput as error:
            tell.warning(str(error))
            continue
        revs = [name for name, found in points.items() if found]
        flat = [{**point, "rev": name} for name in revs for point in points[name]]
        spec = chart.spec(project, plot, flat, revs, chart.colors(len(revs)))
        if given["show_vega"]:
            return Report(spec, form="json")
        data[plot.id] = [{"type": "vega", "revisions": revs, "content": spec}]
    return Report({"data": data}, form="json")
