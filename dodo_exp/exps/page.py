"""Page: one HTML file with a table, curves, charts and images, which needs nothing but itself.

It loads nothing and runs nothing but the scripts in it: its content security policy names them by
their hashes. The data lie in it as JSON; see docs/reference/html-page.md.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time

from dodo_exp.engine.workspace import Workspace
from dodo_exp.errors import DodoError
from dodo_exp.exps import chart, plots
from dodo_exp.exps.index import DEP
from dodo_exp.exps.plots import Files
from dodo_exp.exps.record import load
from dodo_exp.exps.side import WORKSPACE, Side, here
from dodo_exp.pipeline.values import finite
from dodo_store.errors import StoreError
from dodo_store.oid import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dodo_exp.exps.plots import Plot
    from dodo_exp.exps.table import Line, Table
    from dodo_exp.project import Project

ASSETS = f"{os.path.dirname(os.path.dirname(__file__))}/page"
SCRIPTS = ("vendor/vega.min.js", "vendor/vega-lite.min.js", "vendor/vega-interpreter.js", "app.js")
MARK = "<!-- made by dodo -->"
"""What a page of ours has in its second line, and another's file has not."""
FIRST = 5
"""How many are drawn as long as none is chosen."""
MOST_SIDES = 200
MOST_BYTES = 24 << 20
"""Of so many experiments, and so many bytes, curves and images are put into a page."""
MOST_NODES = 300


def of_table(project: Project, table: Table) -> str:
    """The page of a table and all there is to draw of its experiments.

    Raises:
        BadInput, UsageError
    """
    lines = [line for line in table.lines if not line.status or line.step]
    lines = [line for line in lines if line.id or line.kind == WORKSPACE]
    sides = [files for line in lines[:MOST_SIDES] if (files := _files(project, line)) is not None]
    wanted, problem = [], ""
    try:
        wanted = plots.plots(project, sides, (), plots.Overrides())
    except DodoError as error:  # the table does not depend on the pipeline
        problem = f"No plots: {error}"
    drawn = _Drawn(project, sides, wanted)
    drawn.notes += [problem] if problem else []
    if len(lines) > MOST_SIDES and (drawn.charts or drawn.images):
        drawn.notes.insert(0, f"Curves and images are of the first {MOST_SIDES} rows.")
    columns = [
        {**column._asdict(), "header": header}
        for column, header in zip(table.columns, table.headers, strict=True)
    ]
    deps = [i for i, column in enumerate(table.columns) if column.kind == DEP]
    rows = []
    for line, values in zip(table.lines, table.rows(), strict=True):
        if deps:
            values = [v and v[:7] if i in deps else v for i, v in enumerate(values)]
        rows.append({**_row(line), "values": values})
    return _page(project, columns, rows, drawn, has_table=True)


def of_plots(project: Project, sides: list[Files], wanted: list[Plot]) -> str:
    """The page of some sides' plots, drawn over each other."""
    drawn = _Drawn(project, sides, wanted, is_limited=False)
    rows = [{"name": side.name, "tags": [], "values": []} for side in sides]
    return _page(project, [], rows, drawn, has_table=False, first=len(sides))


def _files(project: Project, line: Line) -> Files | None:
    """A row's files; None where they cannot be read."""
    if line.kind == WORKSPACE:
        return Files(project, here(Workspace(project.root, project.store, tolerant=True)))
    try:
        experiment = load(project.store, parse(line.id))
    except (StoreError, DodoError, ValueError):
        return None
    return Files(project, Side(line.name, line.contents, experiment.result))


def _row(line: Line) -> dict[str, Any]:
    return {
        "name": line.name,
        "id": line.id,
        "created": line.created,
        "seconds": line.seconds,
        "state": line.state,
        "status": line.how or line.status or ("done" if line.kind == "experiment" else line.kind),
        "tags": list(line.tags),
        "note": line.message,
        "parent": line.parent,
        "step": line.step,
    }


class _Drawn:
    """What there is to draw: charts with each side's points, images, and what is left out."""

    def __init__(
        self, project: Project, sides: list[Files], wanted: list[Plot], *, is_limited: bool = True
    ) -> None:
        self.charts: list[dict[str, Any]] = []
        self.images: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self._left = MOST_BYTES if is_limited else 1 << 40
        self._left_out: set[str] = set()
        for plot in wanted:
            try:
                self._add(project, sides, plot)
            except DodoError as error:
                self.notes.append(f"{plot.id}: {error}")
        if self._left_out:
            count = len(self._left_out)
            self.notes.append(
                f"Some curves and images of {count} experiments are left out: the page would be"
                f" too large. `dodo plots diff NAMES` draws those that are named."
            )

    def _add(self, project: Project, sides: list[Files], plot: Plot) -> None:
        if plot.image:
            pictures = {side.name: p for side in sides if (p := self._picture(side, plot.image))}
            if pictures:
                self.images.append({"id": plot.id, "pictures": pictures})
            return
        plot = plots.settle(plot, sides)
        points = {side.name: found for side in sides if (found := self._points(plot, side))}
        if points:
            spec = chart.spec(project, plot, "@points", "@revs", "@colors")
            self.charts.append({"id": plot.id, "spec": spec, "points": points})

    def _picture(self, side: Files, path: str) -> str | None:
        data = side.read(path)
        if data is None or not self._has_room(side, len(data) * 4 // 3):
            return None
        kind = plots.IMAGES[os.path.splitext(path)[1].lower()]
        return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"

    def _points(self, plot: Plot, side: Files) -> dict[str, Any] | None:
        """Fields and rows: shorter than a mapping for each point."""
        found = plots.points(plot, side, plots.MOST_POINTS)
        if not found:
            return None
        fields = list(dict.fromkeys(name for point in found for name in point))
        rows = [[point.get(name) for name in fields] for point in found]
        if not self._has_room(side, 12 * len(fields) * len(rows)):
            return None
        return {"fields": fields, "rows": rows}

    def _has_room(self, side: Files, size: int) -> bool:
        if size > self._left:
            self._left_out.add(side.name)
            return False
        self._left -= size
        return True


def _page(
    project: Project,
    columns: list[Any],
    rows: list[Any],
    drawn: _Drawn,
    *,
    has_table: bool,
    first: int = FIRST,
) -> str:
    data = {
        "title": f"{os.path.basename(project.root) or 'Project'}: experiments",
        "made": time.strftime("%Y-%m-%d %H:%M"),
        "hasTable": has_table,
        "columns": columns,
        "rows": rows,
        "charts": drawn.charts,
        "images": drawn.images,
        "dag": _dag(project, drawn.notes) if has_table else {"nodes": [], "edges": []},
        "colors": chart.COLORS,
        "first": first,
        "notes": drawn.notes,
    }
    text = json.dumps(finite(data), ensure_ascii=False, separators=(",", ":"), default=str)
    style = _asset("app.css")
    scripts = [_asset(name) for name in SCRIPTS]
    policy = {
        "default-src": "'none'",
        "script-src": " ".join(map(_hash, scripts)),
        "style-src": _hash(style),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    made = _asset("page.html")
    for name, value in {
        "csp": "; ".join(f"{key} {words}" for key, words in policy.items()),
        "style": style,
        "scripts": "\n".join(f"<script>{script}</script>" for script in scripts),
        # Nothing in the data can end the element, or begin another.
        "data": text.replace("<", "\\u003c").encode("utf-8", "replace").decode(),
    }.items():
        made = made.replace(f"{{{{{name}}}}}", value, 1)
    return made


def _dag(project: Project, notes: list[str]) -> dict[str, Any]:
    """Stages and what each waits for; of many, groups instead of their members."""
    graph = Workspace(project.root, project.store, tolerant=True).graph
    selection = graph.select(graph.stages)
    names = {stage.address: stage.address for stage in selection.stages}
    if len(names) > MOST_NODES:
        names = {s.address: s.address.partition("@")[0] for s in selection.stages}
    nodes = list(dict.fromkeys(names.values()))
    if len(nodes) > MOST_NODES:
        notes.append(f"The pipeline of {len(nodes):,} stages is not drawn; see `dodo dag`.")
        return {"nodes": [], "edges": []}
    pairs = [(names[a], names[b]) for b in names for a in selection.after[b] if a in names]
    edges = list(dict.fromkeys((a, b) for a, b in pairs if a != b))
    return {"nodes": nodes, "edges": edges}


def _asset(name: str) -> str:
    with open(f"{ASSETS}/{name}", encoding="utf-8", newline="") as file:
        return file.read()


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
