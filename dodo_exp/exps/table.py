"""Table: the workspace and all experiments as rows of values, for every form of output."""

from __future__ import annotations

from typing import Any, NamedTuple

from dodo_exp.exps import index
from dodo_exp.pipeline.values import leaves
from dodo_exp.project import Project


class Line(NamedTuple):
    """One row: `name` is empty for the workspace; metrics and params are
    {file: {"data": contents}} or {file: {"error": words}}."""

    name: str
    id: str
    created: float | None
    seconds: float | None
    parent: str | None
    metrics: dict[str, Any]
    params: dict[str, Any]
    deps: dict[str, str]
    flags: tuple[str, ...]
    message: str

    @property
    def state(self) -> str:
        """One word where the numbers may not belong to the params: partial, tainted, unreadable."""
        return ", ".join(flag.split(":")[0] for flag in self.flags)


class Table(NamedTuple):
    """Rows, and the columns their values make: (file, dotted name) of metrics and of params."""

    lines: tuple[Line, ...]
    metrics: tuple[tuple[str, str], ...]
    params: tuple[tuple[str, str], ...]

    def headers(self) -> list[str]:
        """Column names; a name stands alone where no other file has the same."""
        names = [name for _, name in (*self.metrics, *self.params)]
        return [
            name if name and names.count(name) == 1 else f"{file}:{name}".rstrip(":")
            for file, name in (*self.metrics, *self.params)
        ]

    def values(self, line: Line) -> list[Any]:
        """The row's values under the columns; None where it has none."""
        found = {**_cells(line.metrics), **_cells(line.params)}
        return [found.get(column) for column in (*self.metrics, *self.params)]


def show(project: Project) -> Table:
    """The workspace first, then the experiments, the newest first. Takes no lock."""
    from dodo_exp.engine.workspace import Workspace
    from dodo_exp.exps.state import metrics_of, params_of

    workspace = Workspace(project.root, project.store)
    lines = [
        Line("", "", None, None, None, metrics_of(workspace), params_of(workspace), {}, (), "")
    ]
    lines += [_line(row) for row in index.rows(project.store)]
    workspace.save_caches()
    return Table(
        tuple(lines),
        _columns(line.metrics for line in lines),
        _columns(line.params for line in lines),
    )


def _line(row: index.Row) -> Line:
    flags = []
    if row.problem:
        flags.append(f"unreadable: {row.problem}")
    if row.stale:
        flags.append(f"partial: {', '.join(row.stale)} out of date")
    if row.tainted:
        flags.append(f"tainted: inputs of {', '.join(row.tainted)} changed while it ran")
    return Line(
        row.name,
        row.id,
        row.created,
        row.seconds,
        row.parent,
        row.metrics,
        row.params,
        row.deps,
        tuple(flags),
        row.message,
    )


def _columns(contents: Any) -> tuple[tuple[str, str], ...]:
    seen: dict[tuple[str, str], None] = {}
    for files in contents:
        seen.update(dict.fromkeys(_cells(files)))
    return tuple(seen)


def _cells(files: dict[str, Any]) -> dict[tuple[str, str], Any]:
    """(file, dotted name) -> value; a file that could not be read has no cells."""
    return {
        (file, name): value
        for file, contents in files.items()
        if "data" in contents
        for name, value in leaves(contents["data"])
        if name or value != {}
    }
