"""`dodo undo`"""

from __future__ import annotations

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Grid, Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@declare.command("undo")
@declare.argument("step", required=False, type=declare.Integer(1), metavar="[STEP]")
@declare.option("--list", "listed", is_flag=True, help="List what can be undone, the newest first.")
@options.no_wait
@options.as_json
def command(step: int | None, listed: bool, no_wait: bool, as_json: bool) -> Report:
    """Take back what the last command changed.

    That is: `exp apply`, `checkout`, `commit`, `exp remove`, `snapshot`, `exp save`, `exp import`,
    the experiments that `gc` removed, and what `exp run` and `repro` did to the params, outputs
    and locks of the workspace (an experiment that was kept stays). Without STEP the last one that
    is not undone; undo again for the one before. An undo can itself be undone, by its number.

    Whatever lies in the way is kept first.
    """
    from dodo_exp.cli import tell
    from dodo_exp.project import Project

    project = Project.find()
    form = "json" if as_json else "text"
    if listed:
        return _list(project, form)
    from dodo_exp.exps.apply import undo

    done = undo(project, step, options.command_line(), tell.Progress(), wait=not no_wait)
    data = {
        "undone": done.step.number,
        "command": done.step.command,
        "changed": [change.path for change in done.changes],
        "refs": [[r.kind, r.name, "gone" if r.old is None else "back"] for r in done.step.refs],
    }
    lines = [f"Undone: `{done.step.command}`"]
    for ref in done.step.refs:
        lines.append(f"  {ref.kind} {ref.name!r} is {_now(ref)}")
    lines += options.changed(done.changes)
    return Report(data, "\n".join(lines) + "\n", form=form)


def _now(ref: Any) -> str:
    if ref.old is None:
        return "gone"
    return "back" if ref.new is None else "what it was"


def _list(project: Any, form: str) -> Report:
    import time

    from dodo_exp.engine import history

    rows, data = [], []
    for step in history.steps(project.store):
        what = [_count(len(step.changes), "path")] if step.changes else []
        what += [_count(len(step.refs), "name")] if step.refs else []
        if step.undoes is not None:
            what.append(f"undoes {step.undoes}")
        if step.undone:
            what.append("undone")
        data.append(
            {
                "step": step.number,
                "at": step.at,
                "command": step.command,
                "paths": [change.path for change in step.changes],
                "undoes": step.undoes,
                "undone": step.undone,
            }
        )
        at = time.strftime("%Y-%m-%d %H:%M", time.localtime(step.at))
        rows.append([step.number, ", ".join(what), at, step.command])
    if not rows:
        return Report(data, "There is nothing to undo.\n", form=form)
    return Report(data, grid=Grid(["Step", "Changed", "When", "Command"], rows, 2), form=form)


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
