"""Differences: what `exp diff`, `params diff` and `metrics diff` share."""

from __future__ import annotations

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Grid, Report
from dodo_exp.exps.compare import of_kind
from dodo_exp.exps.index import DEP, METRIC, PARAM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dodo_exp.exps.compare import Difference

HEADERS = {METRIC: "Metric", PARAM: "Param", DEP: "Dependency"}


two = declare.grouped(
    declare.argument("a", required=False, shell_complete=options.complete_known),
    declare.argument("b", required=False, shell_complete=options.complete_known),
    declare.option("--all", "unchanged", is_flag=True, help="Also what does not differ."),
    declare.option("--no-path", is_flag=True, help="Leave out the file's name."),
    declare.option("--json", "form", flag_value="json", help="Print the result as JSON."),
    declare.option("--csv", "form", flag_value="csv", help="Print CSV with numbers in full."),
    declare.option("--md", "form", flag_value="md", help="Print a Markdown table."),
    options.precision,
)
"""The two sides, and how their differences are shown."""


def grid(
    found: list[Difference],
    kind: str,
    names: tuple[str, str],
    *,
    no_path: bool,
    form: str | None = None,
    has_change: bool = True,
) -> Grid | None:
    """A table of the differences of one kind; None where there are none."""
    rows: list[list[Any]] = []
    for each in of_kind(found, kind):
        old, new = each.old, each.new
        if kind == DEP:
            rows.append([each.column.file, old and old[:7], new and new[:7]])
            continue
        if form != "csv":  # the CSV has no value there
            old, new = ("stale" if f else v for f, v in zip(each.stale, (old, new), strict=True))
        row = [each.column.name, old, new, *([each.change] if has_change else [])]
        rows.append(row if no_path else [each.column.file, *row])
    if not rows:
        return None
    headers = [HEADERS[kind], *names, *(["Change"] if has_change and kind != DEP else [])]
    if not no_path and kind != DEP:
        headers.insert(0, "Path")
    return Grid(headers, rows, keep=len(headers))


def warn_of_stale(*sides: Any) -> None:
    """Say which metrics are older than the inputs of their stage."""
    from dodo_exp.cli import tell

    for side in sides:
        for path, words in side.contents.stale.items():
            tell.warning(f"{side.name}: stale: {path}: {words}")


def report(grids: list[Grid | None], data: Any, names: tuple[str, str], given: Any) -> Report:
    """Tables one below the other, or that nothing differs."""
    form = given["form"] or "text"
    there = [each for each in grids if each is not None]
    if not there:
        text = f"No differences between {names[0]!r} and {names[1]!r}.\n" if form == "text" else ""
        return Report(data, text, form=form)
    if form == "csv" and len(there) > 1:  # one table, each row with the kind that it is of
        return Report(data, "", _one_grid(there, names), form)
    first, *more = there
    return Report(data, "", first, form, precision=given["precision"], more=tuple(more))


def _one_grid(grids: list[Grid], names: tuple[str, str]) -> Grid:
    heads = ["Kind", "Path", "Name", *names, "Change"]
    rows: list[list[Any]] = []
    for each in grids:
        kind = next((k for k, word in HEADERS.items() if word in each.headers), "file")
        for row in each.rows:
            of = dict(zip(each.headers, row, strict=True))
            path = of.get("Path", of.get("Dependency", of.get("File")))
            values = row[-2:] if kind == DEP else row[-3:-1] if kind != "file" else [None, None]
            name = of.get(HEADERS.get(kind, "")) if kind in (METRIC, PARAM) else None
            rows.append([kind, path, name, *values, None if kind == DEP else row[-1]])
    return Grid(heads, rows)


def of_one_kind(kind: str, given: dict[str, Any]) -> Report:
    """`params diff` and `metrics diff`.

    Raises:
        UsageError
    """
    from dodo_exp.cli import tell
    from dodo_exp.exps import compare, side
    from dodo_exp.exps.pair import pair
    from dodo_exp.project import Project

    project = Project.find()
    one, other = pair(project, given["a"], given["b"], tell.Progress())
    targets = tuple(project.inside(path) for path in given["targets"])
    if targets:
        from dodo_exp.exps.named_files import with_targets

        one, other = (with_targets(project, each, kind, targets) for each in (one, other))
    found = of_kind(
        compare.compare(
            one.contents,
            other.contents,
            unchanged=given["unchanged"],
            params=side.params_of_stages(project) if given.get("deps") else None,
            targets=targets,
        ),
        kind,
    )
    if kind == METRIC:
        warn_of_stale(one, other)
    names = (one.name, other.name)
    made = grid(found, kind, names, no_path=given["no_path"], form=given["form"],
                has_change=kind == METRIC)  # fmt: skip
    data: Any = next(iter(compare.as_data(found).values()), {})
    return report([made], data, names, given)
