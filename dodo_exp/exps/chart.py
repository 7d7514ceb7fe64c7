"""Chart: a Vega-Lite picture of a plot's points, from a template.

Templates have DVC's anchors in them, so that users' own ones work: `<DVC_METRIC_DATA>` is where the
points go, `<DVC_METRIC_X>` the field of the x axis, and so on. A value that is an anchor becomes
whatever stands for it, a text with an anchor in it has that replaced.
"""

from __future__ import annotations

import json
import os
import re

from dodo_exp.errors import BadInput, UsageError, did_you_mean
from dodo_exp.exps.plots import Y
from dodo_exp.pipeline.model import MAX_BYTES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dodo_exp.exps.plots import Plot
    from dodo_exp.project import Project

FOLDER = f"{os.path.dirname(os.path.dirname(__file__))}/page/templates"
OWN_FOLDERS = (".dvc/plots", ".dodo-plots")
"""Where a project keeps templates of its own."""
DEFAULT = "linear"
COLORS = ["#1f77b4", "#e4572e", "#2ca02c", "#9467bd", "#e6a700", "#17becf", "#d62793", "#7f7f7f",
          "#8c564b", "#004d40"]  # fmt: skip
DASHES = [[1, 0], [8, 8], [8, 4], [4, 4], [4, 2], [2, 1], [1, 1]]
SHAPES = ["square", "circle", "triangle", "diamond"]


def names() -> list[str]:
    """The templates that come with dodo."""
    return sorted(name.removesuffix(".json") for name in os.listdir(FOLDER))


def template(project: Project, name: str) -> Any:
    """A template by its name, or by the path of a file of the user's.

    Raises:
        UsageError: there is none.
        BadInput: it is no JSON.
    """
    ways = [name, f"{name}.json"]
    places = [f"{project.root}/{folder}/{way}" for folder in OWN_FOLDERS for way in ways]
    places += [f"{FOLDER}/{name}.json", *(os.path.join(project.root, way) for way in ways)]
    for path in places:
        if os.path.isfile(path):
            return _read(path, os.path.relpath(path, project.root))
    raise UsageError(f"no template {name!r}", did_you_mean(name, names(), "templates"))


def _read(path: str, shown: str) -> Any:
    with open(path, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise BadInput(shown, "too large for a template")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadInput(shown, f"not valid JSON: {error}") from None
    if not isinstance(found, dict):
        raise BadInput(shown, "a template is a mapping")
    return found


def spec(project: Project, plot: Plot, points: Any, revs: Any, shades: Any) -> Any:
    """The picture of a plot: *points* have the plot's fields, and `rev` of *revs*.

    The page puts in its own: then these are words that it looks for.

    Raises:
        UsageError, BadInput: from the template.
    """
    made = template(project, plot.template or DEFAULT)
    fields = sorted(plot.fields)
    several = len(fields) > 1
    color = {"field": "rev", "type": "nominal", "title": None,
             "scale": {"domain": revs, "range": shades}}  # fmt: skip
    x, y = plot.x_field, plot.y_field
    anchors = {
        "DATA": points,
        "X": _field(x),
        "Y": _field(y),
        "TITLE": plot.title or plot.id,
        "X_LABEL": plot.x_label or x,
        "Y_LABEL": plot.y_label or (", ".join(plot.fields) if y == Y else y),
        "COLOR": color,
        "COLUMN_WIDTH": 300,
        "PLOT_WIDTH": 320,
        "PLOT_HEIGHT": 260,
        "ZOOM_AND_PAN": {"name": "grid", "select": "interval", "bind": "scales"},
        "STROKE_DASH": _of_field(fields, DASHES) if several else {},
        "SHAPE": _of_field(fields, SHAPES) if several else {},
        "GROUP_BY": ["rev", FIELD],
        "GROUP_BY_X": ["rev", FIELD, _field(x)],
        "GROUP_BY_Y": ["rev", FIELD, _field(y)],
        "PIVOT_FIELD": "datum.rev",
        "TOOLTIP": [{"field": "rev"}, {"field": _field(x)}, {"field": _field(y)}],
        "LAYER": [],
        "X_TOOLTIP": {"field": _field(x)},
        "Y_TOOLTIP": {"field": _field(y)},
        "COLUMN": {"field": "rev", "title": None},
        "ROW": {"field": "rev", "title": None},
    }
    try:
        return _filled(made, anchors)
    except RecursionError:
        raise BadInput(plot.template, "too deeply nested for a template") from None


def _field(name: str) -> str:
    """A field's name for Vega, to which `a.b` and `a[b]` are ways into a value."""
    return re.sub(r"([.\[\]\\])", r"\\\1", name)


FIELD = "field"
"""The field of a point that names which y it has, where a plot has several."""


def colors(count: int) -> list[str]:
    """So many colours; they begin anew after ten."""
    return [COLORS[i % len(COLORS)] for i in range(count)]


def _of_field(fields: list[str], values: list[Any]) -> dict[str, Any]:
    """A channel that tells the several y of a plot apart."""
    given = [values[i % len(values)] for i in range(len(fields))]
    return {"field": FIELD, "type": "nominal", "title": None,
            "scale": {"domain": fields, "range": given}}  # fmt: skip


def _filled(value: Any, anchors: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(inner, anchors) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, anchors) for inner in value]
    if not isinstance(value, str) or "<DVC_METRIC_" not in value:
        return value
    for name, given in anchors.items():
        anchor = f"<DVC_METRIC_{name}>"
        if value == anchor:
            return given
        if anchor in value:
            value = value.replace(anchor, given if isinstance(given, str) else json.dumps(given))
    return value
