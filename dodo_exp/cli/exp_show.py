"""`dodo exp show`"""

from __future__ import annotations

from typing import Any

import click

from dodo_exp.cli.render import Grid, Report


@click.command("show")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, in the shape of DVC's.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV with numbers in full.")
@click.option("--md", "as_md", is_flag=True, help="Print a Markdown table.")
@click.option(
    "--precision",
    type=click.IntRange(1, 17),
    default=5,
    metavar="N",
    help="Significant digits in tables (5).",
)
def command(as_json: bool, as_csv: bool, as_md: bool, precision: int) -> Report:
    """Show experiments with their metrics and params.

    The workspace comes first, then the experiments, the newest first. On a terminal that is too
    narrow, columns that do not vary are left out first.
    """
    from dodo_exp.cli import tell
    from dodo_exp.engine import session
    from dodo_exp.exps import table
    from dodo_exp.exps.recover import recover
    from dodo_exp.project import Project

    project = Project.find()
    session.tidy(project, tell.Progress())
    recover(project)
    shown = table.show(project)
    for line in shown.lines:
        for flag in line.flags:
            tell.warning(f"{line.name}: {flag}")
    for contents in (*shown.lines[0].params.values(), *shown.lines[0].metrics.values()):
        if "error" in contents:
            tell.warning(contents["error"])
    has_states = any(line.state for line in shown.lines)
    form = "json" if as_json else "csv" if as_csv else "md" if as_md else "text"
    grid = Grid(
        ["Experiment", "Created", *(["State"] if has_states else []), *shown.headers()],
        [
            [
                line.name or "workspace",
                _created(line.created, form),
                *([line.state or None] if has_states else []),
                *shown.values(line),
            ]
            for line in shown.lines
        ],
        keep=3 if has_states else 2,
    )
    data = _json(shown) if as_json else None
    return Report(data, "", grid, form, precision=precision)


def _created(seconds: float | None, form: str) -> str | None:
    if seconds is None:
        return None
    import time

    moment = time.localtime(seconds)
    if form in ("csv", "json"):
        return time.strftime("%Y-%m-%dT%H:%M:%S", moment)
    today = time.strftime("%Y-%m-%d", moment) == time.strftime("%Y-%m-%d")
    return time.strftime("%H:%M:%S" if today else "%Y-%m-%d", moment)


def _json(shown: Any) -> list[Any]:
    """DVC's `exp show --json`: the workspace, then one baseline that holds the experiments."""
    workspace, *experiments = shown.lines
    return [
        {**_revision(workspace, "workspace", None), "experiments": None},
        {
            "rev": "project",
            "name": None,
            "data": None,
            "error": None,
            "experiments": [
                {
                    "revs": [_revision(line, line.id, line.name)],
                    "executor": _executor(line),
                    "name": line.name,
                }
                for line in experiments
            ],
        },
    ]


def _executor(line: Any) -> dict[str, Any] | None:
    """Who runs it, in DVC's words."""
    if not line.status:
        return None
    names = {"workspace": "workspace", "temp": "tempdir", "queue": "dvc-task"}
    who = line.runner
    local = {"root": who.root, "pid": who.pid, "log": None, "returncode": None} if who else None
    return {"state": line.status, "name": names.get(line.where), "local": local}


def _revision(line: Any, rev: str, name: str | None) -> dict[str, Any]:
    problems = [flag for flag in line.flags if flag.startswith("unreadable")]
    problems += [line.error] if line.error else []
    return {
        "rev": rev,
        "name": name,
        "data": {
            "rev": rev,
            "timestamp": _created(line.created, "json"),
            "params": line.params,
            "metrics": line.metrics,
            "deps": {
                path: {"hash": digest, "size": None, "nfiles": None}
                for path, digest in line.deps.items()
            },
            "outs": {},
            "meta": {"parent": line.parent, "message": line.message, "flags": list(line.flags)},
        },
        "error": {"msg": problems[0], "type": "StoreError"} if problems else None,
    }
