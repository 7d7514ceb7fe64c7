"""`dodo plots templates`"""

from __future__ import annotations

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Report


@declare.command("templates")
@declare.argument("name", required=False)
@options.as_json
def command(name: str | None, as_json: bool) -> Report:
    """List the templates that plots are drawn by, or print the one called NAME.

    A template of your own is a file that `template:` in dvc.yaml or --template names, or one in
    `.dvc/plots`: Vega-Lite with anchors such as <DVC_METRIC_DATA> in it.
    """
    from dodo_exp.exps import chart

    if name is None:
        names = chart.names()
        form = "json" if as_json else "text"
        return Report(names, "".join(f"{each}\n" for each in names), form=form)
    from dodo_exp.project import Project

    return Report(chart.template(Project.find(), name), form="json")
