"""`dodo stage list`"""

from __future__ import annotations

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Report, padded, width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@declare.command("list")
@options.targets
@declare.option("--all", "everything", is_flag=True, help="The stages of every dvc.yaml.")
@declare.option("--name-only", is_flag=True, help="Print only names.")
@declare.option("--json", "as_json", is_flag=True, help="Print each stage in full.")
def command(targets: tuple[str, ...], everything: bool, name_only: bool, as_json: bool) -> Report:
    """List the stages of this folder's dvc.yaml, or of TARGETS."""
    from dodo_exp.cli import tell
    from dodo_exp.engine.request import Request, select
    from dodo_exp.engine.workspace import Workspace

    project, targets = options.project_of(targets)
    workspace = Workspace(project.root, project.store)
    request = Request(targets, single_item=not everything, all_pipelines=everything)
    selection = select(workspace, request, project.folder)
    tell.notes(workspace)
    chosen = {stage.address for stage in selection.stages}
    stages = [stage for name, stage in workspace.graph.stages.items() if name in chosen]
    data = [_data(workspace, stage) for stage in stages] if as_json else None
    workspace.save_caches()
    if name_only:
        return Report(data, "".join(f"{stage.address}\n" for stage in stages))
    widest = max((width(stage.address) for stage in stages), default=0)
    text = "".join(f"{padded(stage.address, widest)}  {_summary(stage)}\n" for stage in stages)
    return Report(data, text, form="json" if as_json else "text")


def _summary(stage: Any) -> str:
    if stage.desc:
        return str(stage.desc.splitlines()[0])
    if stage.outs:
        return f"Outputs {', '.join(out.path for out in stage.outs)}"
    if stage.inputs:
        return f"Depends on {', '.join(stage.inputs)}"
    return "No outputs or dependencies"


def _data(workspace: Any, stage: Any) -> dict[str, Any]:
    return {
        "name": stage.address,
        "cmd": list(stage.cmds),
        "wdir": stage.wdir,
        "deps": list(stage.deps),
        "params": {dep.file: _params(workspace, dep) for dep in stage.params},
        "outs": _outs(stage, "out"),
        "metrics": _outs(stage, "metric"),
        "plots": _outs(stage, "plot"),
        "frozen": stage.frozen,
        "always_changed": stage.always,
        "desc": stage.desc,
    }


def _outs(stage: Any, role: str) -> list[dict[str, Any]]:
    return [
        {"path": out.path, "cache": out.cache, "persist": out.persist, **out.plot}
        for out in stage.outs
        if out.role == role
    ]


def _params(workspace: Any, dep: Any) -> dict[str, Any] | None:
    from dodo_exp.pipeline.values import lookup, matching

    if not dep.keys:
        return None
    values = workspace.params(dep.file) or {}
    found = {}
    for key in dep.keys:
        try:
            found[key] = lookup(values, key)
        except KeyError:
            found |= dict(matching(values, key)) or {key: None}
    return found
