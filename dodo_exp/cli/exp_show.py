"""`dodo exp show`"""

from __future__ import annotations

import time

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Grid, Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

FEW_FLAGS = 5
"""So many warnings about single experiments are printed; their State says it of all."""


@declare.command("show")
@declare.option("--filter", metavar="QUERY", help="Only rows for which it holds: 'acc > 0.9'.")
@declare.option("--sort-by", metavar="NAME", help="Order rows by this column.")
@declare.option(
    "--sort-order",
    type=declare.Choice(["asc", "desc"]),
    default="asc",
    help="Smallest first (asc), or largest.",
)
@declare.option("-n", "--num", type=declare.Integer(), metavar="N", help="Only the first N rows.")
@declare.option(
    "--rev",
    "names",
    multiple=True,
    metavar="NAME",
    shell_complete=options.complete_known,
    help="Only this experiment, snapshot, or 'workspace'.",
)
@declare.option("--only-changed", is_flag=True, help="Leave out columns that do not vary.")
@declare.option("--drop", multiple=True, metavar="REGEX", help="Leave out columns of such headers.")
@declare.option("--keep", multiple=True, metavar="REGEX", help="But not these.")
@declare.option("--param-deps", is_flag=True, help="Of params only those that a stage reads.")
@declare.option("--hide-workspace", is_flag=True, help="Leave out the workspace.")
@declare.option("--hide-snapshots", is_flag=True, help="Leave out snapshots.")
@declare.option("--hide-queued", is_flag=True, help="Leave out experiments that wait.")
@declare.option(
    "--hide-steps", is_flag=True, help="Leave out the steps that checkpoints have kept."
)
@declare.option("--hide-failed", is_flag=True, help="Leave out experiments that have failed.")
@declare.option("--sha", is_flag=True, help="Show ids in place of names.")
@declare.option("--json", "form", flag_value="json", help="Print JSON, in the shape of DVC's.")
@declare.option("--csv", "form", flag_value="csv", help="Print CSV with numbers in full.")
@declare.option("--md", "form", flag_value="md", help="Print a Markdown table.")
@declare.option("--html", metavar="FILE", help="Write a page with the table, curves and charts.")
@declare.option("--open", "opens", is_flag=True, help="With --html: show it in the browser.")
@options.precision
@declare.option("--watch", is_flag=True, help="Show it again whenever it changes, until Ctrl-C.")
@declare.option("--no-pager", is_flag=True, help="Print a long table in one piece.")
@declare.option("-f", "--force", is_flag=True, help="Read every experiment anew.")
@declare.option("-A", "--all-commits", "_a", is_flag=True, hidden=True, help="As DVC's; always so.")
@declare.option(
    "-a", "--all-branches", "_b", is_flag=True, hidden=True, help="As DVC's; always so."
)
@declare.option("-T", "--all-tags", "_c", is_flag=True, hidden=True, help="As DVC's; always so.")
@declare.option("--no-fetch", is_flag=True, hidden=True, help="As DVC's: no live metrics.")
def command(**given: Any) -> Report:
    """Show experiments with their metrics and params.

    The workspace comes first, then snapshots, then the experiments, the newest first. On a terminal
    that is too narrow, columns that do not vary are told below the table, and the last ones are
    left out. A dependency has a column where it varies.

    QUERY compares columns with values: `acc > 0.9 and (lr < 0.1 or model == resnet)`. It also knows
    name, state, step, tags, note, created (a date), age and seconds (30s, 10m, 3h55m, 2d); `=~`
    matches a regular expression, `in` a list or a part of a text, `null` is what is not there.
    Names with unusual signs go between backquotes.
    """
    from dodo_exp.exps import view
    from dodo_exp.project import Project

    wanted = _view(given)
    view.check(wanted)
    if given["watch"]:
        return Report(frames=_frames(wanted, given))
    if given["opens"] and not given["html"]:
        from dodo_exp.errors import UsageError

        raise UsageError("--open shows the page that --html FILE writes")
    project = Project.find()
    table = _table(project, wanted, given, is_first=True)
    if given["html"]:
        from dodo_exp.cli import pages

        page: Report = pages.table(project, table, given["html"], opens=given["opens"])
        return page
    return _report(table, wanted, given)


def _view(given: dict[str, Any]) -> Any:
    from dodo_exp.exps.view import View

    hidden = {"workspace": "workspace", "snapshots": "snapshot", "queued": "queued",
              "failed": "failed", "steps": "step"}  # fmt: skip
    return View(
        names=given["names"],
        filter=given["filter"] or "",
        sort_by=given["sort_by"] or "",
        descending=given["sort_order"] == "desc",
        number=given["num"],
        hide=frozenset(kind for name, kind in hidden.items() if given[f"hide_{name}"]),
        keep=given["keep"],
        drop=given["drop"],
        only_changed=given["only_changed"],
    )


def _table(project: Any, wanted: Any, given: dict[str, Any], *, is_first: bool) -> Any:
    """The table as it is now, with what should be known of it told."""
    from dodo_exp.cli import tell
    from dodo_exp.engine import session
    from dodo_exp.exps import index, side, table, view
    from dodo_exp.exps.recover import recover

    if is_first:
        session.tidy(project, tell.Progress())
        if given["force"]:
            index.forget(project.store)
    recover(project)
    whole = table.show(project, live=not given["no_fetch"])
    if given["param_deps"] and not whole.lines[0].error:
        wanted = wanted._replace(params=side.params_of_stages(project))
    chosen = view.apply(whole, wanted)
    if is_first:
        _warn(chosen)
    return chosen


def _warn(table: Any) -> None:
    from dodo_exp.cli import tell

    flags = [f"{line.name}: {flag}" for line in table.lines if line.flags for flag in line.flags]
    for flag in flags[:FEW_FLAGS]:
        tell.warning(flag)
    if len(flags) > FEW_FLAGS:
        tell.warning(f"and {len(flags) - FEW_FLAGS} more of such a kind")
    for line in table.lines[:1]:
        if line.kind == "workspace":
            for contents in (*line.contents.params.values(), *line.contents.metrics.values()):
                if "error" in contents:
                    tell.warning(contents["error"])


WATCH = 1.0
"""Seconds between two looks of `--watch`."""


def _frames(wanted: Any, given: dict[str, Any]) -> Iterator[Report]:
    """The table again and again; where it cannot be made, why."""
    from dodo_exp.errors import DodoError
    from dodo_exp.project import Project

    is_first = True
    while True:
        try:
            table = _table(Project.find(), wanted, given, is_first=is_first)
            broken = [line.error for line in table.lines[:1] if line.kind == "workspace"]
            report = _report(table, wanted, given)
            yield report._replace(after="".join(f"error: {text}\n" for text in broken if text))
        except DodoError as error:
            if is_first:
                raise
            yield Report(text=f"error: {error}\n")
        is_first = False
        time.sleep(WATCH)


def _report(table: Any, wanted: Any, given: dict[str, Any]) -> Report:
    form = given["form"] or "text"
    if form == "json":
        return Report(_json(table), form=form, is_compact=len(table.lines) > 20)
    make = _csv_grid if form == "csv" else _grid
    return Report(
        text="",
        grid=make(table, wanted, given),
        form=form,
        precision=given["precision"],
        pages=not given["no_pager"],
    )


def _grid(table: Any, wanted: Any, given: dict[str, Any]) -> Grid:
    """The table for people: dependencies by the first digits of their digests."""
    from dodo_exp.exps.index import DEP, METRIC

    lines = table.lines
    own: list[tuple[str, list[Any]]]
    own = [("Experiment", _names(lines, by_id=given["sha"], is_flat=bool(wanted.sort_by))),
           ("Created", [created(line.created) for line in lines])]  # fmt: skip
    if any(line.flags or line.status or line.kind == "snapshot" for line in lines):
        own.append(("State", [line.state or None for line in lines]))
    if any(line.tags for line in lines):
        own.append(("Tags", [", ".join(line.tags) or None for line in lines]))
    own = [(header, cells) for header, cells in own if wanted.has_column(header)]
    kept = sum(1 for header, _ in own if header != "Tags")
    minor = sum(1 for column in table.columns if column.kind == DEP)
    rows = [
        [*first, *rest] for *first, rest in zip(*(c for _, c in own), table.rows(), strict=True)
    ]
    for row, line in zip(rows, lines, strict=True):
        stale = line.contents.stale if line.kind == "workspace" and line.flags else {}
        for i, column in enumerate(table.columns, len(own)):
            if column.kind == METRIC and column.file in stale and column in line.columns:
                row[i] = "stale"
    if minor:
        rows = [[*row[:-minor], *(v and v[:7] for v in row[-minor:])] for row in rows]
    by = wanted.sort_by
    pinned = [
        len(own) + i
        for i, (column, header) in enumerate(zip(table.columns, table.headers, strict=True))
        if by and by in (header, column.name, f"{column.file}:{column.name}")
    ]
    headers = [*(header for header, _ in own), *table.headers]
    where = "--drop makes room; --csv and --json have them"
    return Grid(headers, rows, kept, minor, frozenset(pinned), where)


def _names(lines: Any, *, by_id: bool, is_flat: bool) -> list[str]:
    """Names, or ids; those of steps that stand below their experiment hang on lines from it."""
    names = []
    for i, line in enumerate(lines):
        name = (line.id[:7] if by_id else "") or line.name
        if (
            not is_flat
            and line.kind == "step"
            and i
            and line.of in (lines[i - 1].name, lines[i - 1].of)
        ):
            is_last = i + 1 == len(lines) or lines[i + 1].of != line.of
            name = f"{'└─' if is_last else '├─'} {name}"
        names.append(name)
    return names


def _csv_grid(table: Any, wanted: Any, given: dict[str, Any]) -> Grid:
    """The table for programs, with the columns that DVC has before the values."""
    lines = table.lines
    has_states = any(line.state for line in lines)
    own = ["Experiment", "rev", "typ", "Created", "parent", *(["State", "Executor"] * has_states)]
    rows = []
    for line, values in zip(lines, table.rows(), strict=True):
        first = [
            None if line.kind == "workspace" else line.name,
            line.kind if line.kind == "workspace" else line.id[:7],
            line.typ,
            created(line.created, whole=True),
            line.parent,
            *([line.state or None, _executor_name(line)] * has_states),
        ]
        rows.append([*first[: len(own)], *values])
    kept = [i for i, header in enumerate(own) if wanted.has_column(header)]
    kept += range(len(own), len(own) + len(table.columns))
    headers = [*own, *table.headers]
    return Grid([headers[i] for i in kept], [[row[i] for i in kept] for row in rows])


def created(seconds: float | None, *, whole: bool = False) -> str | None:
    """A moment for people: the time of today, the date of other days; or all of it."""
    if not seconds:
        return None
    moment = time.localtime(seconds)
    if whole:
        return time.strftime("%Y-%m-%dT%H:%M:%S", moment)
    today = time.strftime("%Y-%m-%d", moment) == time.strftime("%Y-%m-%d")
    return time.strftime("%H:%M:%S" if today else "%Y-%m-%d", moment)


def _json(table: Any) -> list[Any]:
    """DVC's `exp show --json`: a list of baselines, the first of them the workspace.

    Snapshots are baselines of their own; experiments are all of one, which stands for the project.
    """
    of_kind: dict[str, list[Any]] = {"workspace": [], "snapshot": [], "experiment": []}
    steps: dict[str, list[Any]] = {}
    shown = {line.name for line in table.lines if line.kind == "experiment"}
    for line in table.lines:
        if line.of in shown:
            steps.setdefault(line.of, []).append(line)
        else:
            of_kind["experiment" if line.kind == "step" else line.kind].append(line)
    experiments = [
        {
            "revs": [
                _revision(each, each.id, each.name) for each in (line, *steps.get(line.name, ()))
            ],
            "executor": _executor(line),
            "name": line.name,
        }
        for line in of_kind["experiment"]
    ]
    empty: dict[str, Any] = {key: {} for key in ("params", "metrics", "deps", "outs", "meta")}
    project = {
        "rev": PROJECT,
        "name": "project",
        "data": {"rev": PROJECT, "timestamp": None, **empty},
        "error": None,
        "experiments": experiments or None,
    }
    here = [_revision(line, "workspace", None) for line in of_kind["workspace"]]
    kept = [_revision(line, line.id, line.name) for line in of_kind["snapshot"]]
    return [
        *({**each, "experiments": None} for each in here),
        project,
        *({**each, "experiments": None} for each in kept),
    ]


PROJECT = "0" * 32
"""The id of what all experiments of a project have in common, for readers that need one."""


def _executor_name(line: Any) -> str | None:
    name = _runner_name(line)
    return name.capitalize() if name else None


def _runner_name(line: Any) -> str | None:
    return {"workspace": "workspace", "temp": "tempdir", "queue": "dvc-task"}.get(line.where)


def _executor(line: Any) -> dict[str, Any] | None:
    """Who runs it, in DVC's words."""
    if not line.status:
        return None
    who = line.runner
    local = {"root": who.root, "pid": who.pid, "log": None, "returncode": None} if who else None
    return {"state": line.status, "name": _runner_name(line), "local": local}


def _revision(line: Any, rev: str, name: str | None) -> dict[str, Any]:
    problems = [flag for flag in line.flags if flag.startswith("unreadable")]
    problems += [line.error] if line.error else []
    contents = line.contents
    if line.kind == "workspace" and line.error:
        return {"rev": rev, "name": name, "data": None, "error": _error(line.error)}
    return {
        "rev": rev,
        "name": name,
        "data": {
            "rev": rev,
            "timestamp": created(line.created, whole=True),
            "params": contents.params,
            "metrics": contents.metrics,
            "deps": {
                path: {"hash": digest, "size": None, "nfiles": None}
                for path, digest in contents.deps.items()
            },
            "outs": {},
            "meta": {
                "parent": line.parent,
                "message": line.message,
                "tags": list(line.tags),
                "seconds": line.seconds,
                "flags": list(line.flags),
                **({"step": line.step} if line.step else {}),
            },
        },
        "error": _error(problems[0]) if problems else None,
    }


def _error(text: str) -> dict[str, str]:
    return {"msg": text, "type": "DodoError"}
