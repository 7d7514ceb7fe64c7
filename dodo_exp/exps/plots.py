"""Plots: what a project says is to be drawn, and what experiments have for it: points and images.

Plots are stages' outputs under `plots:`, and the entries of `plots:` at the top of a dvc.yaml; an
entry there takes the place of an output of the same file. The rules of x, y, folders and images are
DVC's (https://dvc.org/doc/user-guide/experiment-management/visualizing-plots). One definition, the
workspace's, holds for all experiments, so that what is drawn over each other belongs together.
"""

from __future__ import annotations

import math
import os
import re

from dodo_exp.engine.workspace import Workspace
from dodo_exp.errors import BadInput, UsageError, did_you_mean
from dodo_exp.pipeline.model import MAX_BYTES, PLOT
from dodo_store.errors import StoreError
from dodo_store.named import Named
from dodo_store.record import read_regular
from dodo_store.tree import FOLDER, LINK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from dodo_exp.exps.side import Side
    from dodo_exp.project import Project
    from dodo_store.store import Store
    from dodo_store.tree import Node

IMAGES = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".gif": "gif", ".bmp": "bmp",
          ".svg": "svg+xml", ".webp": "webp"}  # fmt: skip
TABLES = (".csv", ".tsv", ".json", ".yaml", ".yml")
Y = "dvc_inferred_y_value"
"""The field of a point with the y of a plot that has several; DVC's name, for its templates."""
ROW = "step"
"""The field of a point with its number, where a plot names no x; DVC's name."""
MOST_POINTS = 5_000
"""Of a curve with more rows only every second, third, ... goes into a page."""


class Source(Named):
    """One file of a plot: the fields that are drawn of it, "" for the last one."""

    file: str
    ys: tuple[str, ...]
    x: str = ""
    x_file: str = ""
    header: bool = True


class Plot(Named):
    """Something to draw: curves or charts of files, or an image if there is no source."""

    id: str
    sources: tuple[Source, ...] = ()
    template: str = ""
    title: str = ""
    x_label: str = ""
    y_label: str = ""
    image: str = ""

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of what is drawn, each once."""
        return tuple(dict.fromkeys(y for source in self.sources for y in source.ys))

    @property
    def x_field(self) -> str:
        """The field of a point for the x axis."""
        return next((source.x for source in self.sources if source.x), ROW)

    @property
    def y_field(self) -> str:
        """The field of a point for the y axis."""
        return self.fields[0] if len(self.fields) == 1 and len(self.sources) == 1 else Y


class Overrides(Named):
    """What the command line says of all plots; None where it says nothing."""

    template: str | None = None
    x: str | None = None
    y: str | None = None
    title: str | None = None
    x_label: str | None = None
    y_label: str | None = None
    no_header: bool = False


class Files:
    """The files of a side, by their paths from the project's root."""

    def __init__(self, project: Project, side: Side) -> None:
        self.name = side.name
        self._root = project.root
        self._store: Store = project.store
        self._node = side.node
        self.tables: dict[tuple[str, bool], list[dict[str, Any]]] = {}
        """Tables that were read already."""

    def below(self, path: str) -> list[str]:
        """The files in a folder and below it, or the file itself; none where nothing is."""
        if _leads_out(self._root, path):
            return []
        if self._node is None:
            full = os.path.join(self._root, path)
            if os.path.isfile(full):
                return [path]
            found = [
                os.path.relpath(os.path.join(folder, name), self._root)
                for folder, _, names in os.walk(full)
                for name in names
            ]
            return sorted(found)
        try:
            node = self._store.find(self._node, path)
            return sorted(self._members(node, path)) if node is not None else []
        except StoreError:
            return []  # it is damaged: the others are drawn

    def _members(self, node: Node, path: str) -> Iterator[str]:
        if node.kind != FOLDER:
            yield path
            return
        for name, inner in self._store.tree(node.oid):
            yield from self._members(inner, f"{path}/{name}")

    def read(self, path: str) -> bytes | None:
        """A file's bytes; None where there is none that can be read, or it is too large."""
        try:
            if self._node is None:
                if _leads_out(self._root, path):
                    return None
                real = os.path.realpath(os.path.join(self._root, path))
                data = read_regular(real, MAX_BYTES + 1)
                return data if len(data) <= MAX_BYTES else None
            node = self._store.find(self._node, path)
            if node is None or node.kind in (FOLDER, LINK) or node.size > MAX_BYTES:
                return None
            return self._store.objects.read(node.oid)
        except (OSError, StoreError):
            return None


def _leads_out(root: str, path: str) -> bool:
    """Whether a path is none of the project: what is drawn is shown to others."""
    if "\0" in path:
        return True
    root = os.path.realpath(root)
    real = os.path.realpath(os.path.join(root, path))
    return real != root and not real.startswith(f"{root}/")


def plots(
    project: Project, sides: list[Files], targets: tuple[str, ...], given: Overrides
) -> list[Plot]:
    """What is to be drawn of some sides, in the order of the dvc.yaml files.

    *targets* are ids or files, also such as no dvc.yaml names.

    Raises:
        BadInput, UsageError
    """
    workspace = Workspace(project.root, project.store)
    defined = list(_defined(workspace))
    if targets:
        defined = [p for t in targets for p in _meant(project, t, defined, sides)]
    found: dict[str, Plot] = {}
    for plot in defined:
        for each in _expanded(plot, sides):
            found.setdefault(each.id, _overridden(each, given))
    return list(found.values())


def _meant(project: Project, target: str, defined: list[Plot], sides: list[Files]) -> list[Plot]:
    """Plots of an id, or else of a file, which no dvc.yaml needs to name.

    Raises:
        UsageError
    """
    path = project.inside(target)
    of_id = [p for p in defined if p.id in (target, path)]
    of_id = of_id or [p for p in defined if p.id.partition("::")[2] in (target, path)]
    found = of_id or [p for p in defined if path in {source.file for source in p.sources}]
    if found:
        return found
    if any(side.below(path) for side in sides):
        return [_of_file(path, {})]
    known = {plot.id.partition("::")[2] or plot.id for plot in defined}
    raise UsageError(f"no plot or file {target!r}", did_you_mean(target, known, "plots"))


def _defined(workspace: Workspace) -> Iterator[Plot]:
    """Plots as they are written, folders not yet looked into."""
    top: list[Plot] = []
    for path, file in workspace.files.items():
        for item in file.plots:
            top += _top_level(path, item)
    taken = {source.file for plot in top for source in plot.sources if _is_of_file(plot, source)}
    yield from top
    for stage in workspace.graph.stages.values():
        for out in stage.outs:
            if out.role == PLOT and out.path not in taken:
                yield _of_file(out.path, out.plot)


def _is_of_file(plot: Plot, source: Source) -> bool:
    """Whether an entry at the top is named after the file that it draws."""
    pipeline, _, name = plot.id.partition("::")
    return os.path.normpath(os.path.join(os.path.dirname(pipeline), name)) == source.file


def _of_file(path: str, options: dict[str, Any], plot_id: str = "") -> Plot:
    ys = _list(options.get("y"))
    source = Source(path, ys, options.get("x") or "", "", options.get("header") is not False)
    return Plot(
        plot_id or path,
        (source,),
        options.get("template") or "",
        options.get("title") or "",
        options.get("x_label") or "",
        options.get("y_label") or "",
    )


def _list(value: Any) -> tuple[str, ...]:
    return () if not value else (value,) if isinstance(value, str) else tuple(map(str, value))


def _top_level(pipeline: str, item: Any) -> list[Plot]:
    """Plots of one entry: a path, or {id: {x, y, ...}}."""
    folder = os.path.dirname(pipeline)

    def inside(path: str) -> str:
        return os.path.normpath(os.path.join(folder, path))

    items = {item: None} if isinstance(item, str) else item
    made = []
    for name, options in items.items():
        options = options or {}
        x, y = options.get("x"), options.get("y")
        files = {inside(f): _list(ys) for f, ys in y.items()} if isinstance(y, dict) else {}
        if not files and isinstance(x, dict):
            files = {inside(file): _list(y) for file in x}
        files = files or {inside(name): _list(y)}
        x_file, x_field = "", x or ""
        if isinstance(x, dict):
            x_file, x_field = next(((inside(f), str(v)) for f, v in x.items()), ("", ""))
        sources = tuple(
            Source(file, ys, x_field, x_file if x_file != file else "")
            for file, ys in files.items()
        )
        plot = _of_file(inside(name), {**options, "x": "", "y": ""}, f"{pipeline}::{name}")
        made.append(plot._replace(sources=sources))
    return made


def _expanded(plot: Plot, sides: list[Files]) -> Iterator[Plot]:
    """A plot of a folder is one of each of its files; images have no points."""
    if len(plot.sources) != 1:
        yield plot
        return
    source = plot.sources[0]
    paths = sorted({path for side in sides for path in side.below(source.file)})
    for path in paths or [source.file]:
        ending = os.path.splitext(path)[1].lower()
        is_inside = path != source.file
        prefix = plot.id.rpartition("::")[0]
        plot_id = (f"{prefix}::{path}" if prefix else path) if is_inside else plot.id
        if ending in IMAGES:
            yield plot._replace(id=plot_id, sources=(), image=path)
        elif ending in TABLES or not is_inside:
            yield plot._replace(id=plot_id, sources=(source._replace(file=path),))


def _overridden(plot: Plot, given: Overrides) -> Plot:
    sources = plot.sources
    if given.x is not None:
        sources = tuple(source._replace(x=given.x, x_file="") for source in sources)
    if given.y is not None:
        sources = tuple(source._replace(ys=(given.y,)) for source in sources)
    if given.no_header:
        sources = tuple(source._replace(header=False) for source in sources)
    labels = {name: getattr(given, name) for name in ("template", "title", "x_label", "y_label")}
    return plot._replace(sources=sources, **{k: v for k, v in labels.items() if v is not None})


def settle(plot: Plot, sides: list[Files]) -> Plot:
    """The plot with a name for every y that is drawn: the last field of a file that names none."""
    sources = []
    for source in plot.sources:
        ys = source.ys
        for side in sides if not ys else ():
            rows = rows_of(side, source.file, source.header)
            if rows:
                names = [name for name in rows[0] if name != source.x]
                ys = tuple(names[-1:])
                break
        sources.append(source._replace(ys=ys))
    return plot._replace(sources=tuple(sources))


LINES = ("", "linear", "simple", "smooth")
"""Templates that draw curves: these look the same with fewer points."""


def points(plot: Plot, side: Files, most: int | None = None) -> list[dict[str, Any]]:
    """The points that a side has of a plot, each with all fields of its row.

    Of curves only every second, third, ... row, so that there are *most* of a file, and the last.
    A plot with several y has a point for each, with `field` and `filename` to tell them apart.
    """
    found: list[dict[str, Any]] = []
    several = plot.y_field == Y
    for source in plot.sources:
        rows = rows_of(side, source.file, source.header)
        xs = rows_of(side, source.x_file, True) if source.x_file else rows
        step = -(-len(rows) // most) or 1 if most and plot.template in LINES else 1
        wanted = [*range(0, len(rows), step)]
        wanted += [len(rows) - 1] if rows and wanted[-1] != len(rows) - 1 else []
        for y in source.ys:
            for i in wanted:
                row = rows[i]
                if y not in row:
                    continue
                point = {ROW: i, **row} if not source.x else dict(row)
                if source.x and i < len(xs):
                    point[plot.x_field] = xs[i].get(source.x)
                if several:
                    point |= {Y: row[y], "field": y, "filename": source.file}
                found.append(point)
    return found


def rows_of(side: Files, path: str, header: bool) -> list[dict[str, Any]]:
    """The rows of a table: a CSV or TSV file, or the first list of mappings in JSON or YAML.

    Raises:
        BadInput: the file is there, and no such table.
    """
    if (path, header) not in side.tables:
        side.tables[path, header] = _read_rows(side, path, header)
    return side.tables[path, header]


def _read_rows(side: Files, path: str, header: bool) -> list[dict[str, Any]]:
    data = side.read(path)
    if data is None:
        return []
    ending = os.path.splitext(path)[1].lower()
    if ending in (".json", ".yaml", ".yml"):
        from dodo_exp.pipeline import params

        rows = _list_in(params.parse_metrics(data, path))
        if rows is None:
            raise BadInput(path, "no list of points in it")
        return [{str(k): v for k, v in row.items()} for row in rows if isinstance(row, dict)]
    return _table(data, path, "\t" if ending == ".tsv" else ",", header)


def _list_in(value: Any) -> list[Any] | None:
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        return value
    inner = value.values() if isinstance(value, dict) else ()
    return next((found for each in inner if (found := _list_in(each)) is not None), None)


def _table(data: bytes, path: str, delimiter: str, header: bool) -> list[dict[str, Any]]:
    import csv
    import io

    text = data.decode("utf-8-sig", "replace")
    try:
        lines = [line for line in csv.reader(io.StringIO(text), delimiter=delimiter) if line]
    except csv.Error as error:
        raise BadInput(path, f"not a table: {error}") from None
    if not lines:
        return []
    names = lines[0] if header else [str(i) for i in range(len(lines[0]))]
    return [dict(zip(names, map(_value, line), strict=False)) for line in lines[header:]]


_INTEGER = re.compile(r"[+-]?(?:0|[1-9]\d*)\Z", re.ASCII)
_FLOAT = re.compile(r"[+-]?(?:\d+\.\d*|\.\d+|[1-9]\d*|0)(?:[eE][+-]?\d+)?\Z", re.ASCII)


def _value(text: str) -> Any:
    """A number where it is one, NaN and infinities as nothing; other text as it is."""
    text = text.strip()
    if _INTEGER.match(text) and len(text) < 16:
        return int(text)
    if _FLOAT.match(text) and not text.lstrip("+-").startswith("0" * 2):
        return float(text) if math.isfinite(float(text)) else None
    return None if text.lower().lstrip("+-") in ("nan", "inf", "infinity") else text
