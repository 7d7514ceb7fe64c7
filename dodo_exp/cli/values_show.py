"""Values: what `params show` and `metrics show` share."""

from __future__ import annotations

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Grid, Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dodo_exp.exps.index import Column

of_files = declare.grouped(
    declare.argument("targets", nargs=-1),
    declare.option(
        "--rev",
        "names",
        multiple=True,
        metavar="NAME",
        shell_complete=options.complete_known,
        help="Of this experiment or snapshot rather than the workspace.",
    ),
    declare.option(
        "-A", "--all", "everything", is_flag=True, help="Of the workspace and every experiment."
    ),
    declare.option(
        "-R", "--recursive", is_flag=True, help="Accepted for DVC compatibility; no effect."
    ),
    declare.option("--json", "form", flag_value="json", help="Print the result as JSON."),
    declare.option("--csv", "form", flag_value="csv", help="Print CSV with numbers in full."),
    declare.option("--md", "form", flag_value="md", help="Print a Markdown table."),
    options.precision,
)
"""Which files of which experiments, and how they are shown."""


def report(kind: str, given: dict[str, Any]) -> Report:
    """A row for each value, with a column for each experiment; or all, a row for each of them.

    Raises:
        UsageError
    """
    from dodo_exp.errors import UsageError
    from dodo_exp.exps import side
    from dodo_exp.exps.index import flat, is_dep
    from dodo_exp.exps.side import Contents
    from dodo_exp.project import Project

    project = Project.find()
    names = tuple(dict.fromkeys(_names(project, given)))
    sides = [side.side(project, name) for name in names or ("workspace",)]
    params = side.params_of_stages(project) if given.get("deps") else None
    paths = [project.inside(target) for target in given["targets"]]
    if paths:
        from dodo_exp.exps import named_files

        sides = [named_files.with_targets(project, each, kind, paths) for each in sides]
    elif kind == "metric" and not names:
        from dodo_exp.exps import named_files

        sides = [named_files.with_missing_metrics(project, sides[0])]
    found: dict[Column, dict[int, Any]] = {}
    data: dict[str, Any] = {}
    for i, each in enumerate(sides):
        contents = each.contents.params if kind == "param" else each.contents.metrics
        files = {
            f: c
            for f, c in contents.items()
            if not paths or any(side.is_below(f, path) for path in paths)
        }
        shown = files
        if params is not None:
            shown = {f: _only_deps(f, c, params) for f, c in files.items()}
            shown = {f: c for f, c in shown.items() if c.get("data", True)}
        data[each.name if names else ""] = {"data": shown}
        empty = Contents(files, {}, {}) if kind == "param" else Contents({}, files, {})
        columns, values = flat(empty.metrics, empty.params, {})
        for column, value in zip(columns, values, strict=True):
            if params is None or is_dep(column, params):
                found.setdefault(column, {})[i] = value
        _warn(each.name if names else "", files)
    known = {file for each in data.values() for file in each["data"]}
    for target, path in zip(given["targets"], paths, strict=True):
        if not target or not any(side.is_below(file, path) for file in known):
            hint = "`dodo stage list` says what is read"
            raise UsageError(f"no {kind}s file {target!r}", hint)
    form = given["form"] or "text"
    if not found:
        return Report(data, f"There are no {kind}s.\n" if form == "text" else "", form=form)
    heads = [each.name for each in sides] if names else ["Value"]
    rows = [
        [column.file, column.name, *(_cell(each, column, values.get(i), form)
                                     for i, each in enumerate(sides))]
        for column, values in found.items()
    ]  # fmt: skip
    grid = Grid(["Path", kind.capitalize(), *heads], rows, keep=3)
    return Report(data, "", grid, form, precision=given["precision"])


def _cell(side: Any, column: Column, value: Any, form: str) -> Any:
    """A value; in text a word for one that is older than the inputs of its stage."""
    is_stale = column.kind == "metric" and column.file in side.contents.stale
    return "stale" if is_stale and form != "csv" else value


def _names(project: Any, given: dict[str, Any]) -> tuple[str, ...]:
    if not given["everything"]:
        return tuple(given["names"])
    from dodo_exp.exps import index

    return ("workspace", *(row.name for row in index.rows(project.store) if not row.problem))


def _only_deps(file: str, contents: Any, params: Any) -> Any:
    from dodo_exp.exps import view

    if "data" not in contents:
        return contents
    return {"data": view.only_deps(file, contents["data"], params)}


def _warn(name: str, files: dict[str, Any]) -> None:
    from dodo_exp.cli import tell

    for contents in files.values():
        if "error" in contents:
            tell.warning(f"{name}: {contents['error']}" if name else contents["error"])
    for file, contents in files.items():
        if "stale" in contents:
            tell.warning(f"{name or 'workspace'}: stale: {file}: {contents['stale']}")
