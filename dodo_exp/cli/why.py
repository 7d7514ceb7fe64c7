"""`dodo why`"""

from __future__ import annotations

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@declare.command("why")
@declare.argument("stage", shell_complete=options._complete_stage)
@declare.option("--json", "as_json", is_flag=True, help="Print the reasons as JSON.")
def command(stage: str, as_json: bool) -> Report:
    """Say why a stage is out of date: what changed, from what to what.

    Looks at what the stage waits for too. Changes nothing.
    """
    from dodo_exp.cli import tell
    from dodo_exp.engine import plan as planning
    from dodo_exp.engine import session
    from dodo_exp.engine.outcome import Options
    from dodo_exp.engine.request import Request, select
    from dodo_exp.engine.workspace import Workspace
    from dodo_exp.project import Project

    project = Project.find()
    session.tidy(project, tell.Progress())
    workspace = Workspace(project.root, project.store)
    alone = select(workspace, Request((stage,), single_item=True), project.folder)
    names = {each.address for each in alone.stages}
    selection = select(workspace, Request((stage,)), project.folder)
    steps = planning.plan(workspace, selection, Options())
    if any(step.stage.has_checkpoints for step in steps):
        from dodo_exp.exps import going

        steps = going.told(workspace, steps)
    workspace.save_caches()
    asked = [step for step in steps if step.stage.address in names]
    upstream = {step.stage.address: step for step in steps}
    text = "".join(_text(step, upstream) for step in asked)
    data = [_data(step) for step in asked]
    return Report(data, text, form="json" if as_json else "text")


def _text(step: Any, upstream: dict[str, Any]) -> str:
    name = step.stage.address
    lines = [str(reason) for reason in step.verdict.reasons]
    if step.verdict.stage.frozen:
        lines.append("frozen: its dependencies are not looked at")
    for root in _roots(step, upstream):
        causes = "; ".join(str(reason) for reason in upstream[root].verdict.reasons)
        lines.append(f"waits for {root} ({causes})")
    if not lines:
        return f"{name} is up to date\n"
    is_kept = step.action == "restore" and not step.stage.frozen
    note = "\n  its result is in the run-cache: a run restores it" if is_kept else ""
    return f"{name}:\n" + "\n".join(f"  {line}" for line in lines) + note + "\n"


def _roots(step: Any, upstream: dict[str, Any]) -> list[str]:
    """The stages at the bottom of what it waits for: those with reasons of their own."""
    found: dict[str, None] = {}
    seen: set[str] = set()
    todo = list(reversed(step.waits))
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            if upstream[name].verdict.reasons:
                found[name] = None
            todo += reversed(upstream[name].waits)
    return list(found)


def _data(step: Any) -> dict[str, Any]:
    return {
        "stage": step.stage.address,
        "action": step.action,
        "reasons": [
            {
                "kind": reason.change.kind if reason.change else reason.kind,
                "name": reason.name,
                "old": reason.change.old if reason.change else None,
                "new": reason.change.new if reason.change else None,
                "text": reason.text,
            }
            for reason in step.verdict.reasons
        ],
        "after": list(step.waits),
    }
