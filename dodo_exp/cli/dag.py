"""`dodo dag`"""

from __future__ import annotations

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@declare.command("dag")
@options.targets
@declare.option("--mermaid", "form", flag_value="mermaid", help="Print a Mermaid flowchart.")
@declare.option("--md", "form", flag_value="md", help="Print a Mermaid flowchart for Markdown.")
@declare.option("--dot", "form", flag_value="dot", help="Print a Graphviz graph.")
@declare.option("--json", "form", flag_value="json", help="Print stages and what each waits for.")
@declare.option("--full", is_flag=True, help="With TARGETS: also what follows them.")
def command(targets: tuple[str, ...], form: str | None, full: bool) -> Report:
    """Show which stage follows which.

    Without TARGETS, all stages; with them, the targets and what they wait for.
    """
    from dodo_exp.engine.request import Request, select
    from dodo_exp.engine.workspace import Workspace

    project, targets = options.project_of(targets)
    workspace = Workspace(project.root, project.store)
    request = Request(targets, all_pipelines=not targets, pipeline=full)
    selection = select(workspace, request, project.folder)
    names = [stage.address for stage in selection.stages]
    edges = [(before, name) for name in names for before in selection.after[name]]
    if form == "json":
        return Report({name: list(selection.after[name]) for name in names}, form="json")
    if not names:
        return Report(text="There are no stages in this project.\n")
    draw = {"mermaid": _mermaid, "md": _markdown, "dot": _dot}.get(form or "", _tree)
    return Report(text=draw(names, edges))


def _ids(names: list[str]) -> dict[str, str]:
    return {name: f"node{i}" for i, name in enumerate(names, 1)}


def _mermaid(names: list[str], edges: list[tuple[str, str]]) -> str:
    ids = _ids(names)
    nodes = [f'\t{ids[name]}["{_escaped(name)}"]' for name in names]
    arrows = [f"\t{ids[a]}-->{ids[b]}" for a, b in edges]
    return "\n".join(["flowchart TD", *nodes, *arrows]) + "\n"


def _escaped(name: str) -> str:
    return name.replace('"', "#quot;")


def _markdown(names: list[str], edges: list[tuple[str, str]]) -> str:
    return f"```mermaid\n{_mermaid(names, edges)}```\n"


def _dot(names: list[str], edges: list[tuple[str, str]]) -> str:
    def quoted(name: str) -> str:
        return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'

    nodes = [f"{quoted(name)};" for name in names]
    arrows = [f"{quoted(a)} -> {quoted(b)};" for a, b in edges]
    return "\n".join(["strict digraph {", *nodes, *arrows, "}"]) + "\n"


def _tree(names: list[str], edges: list[tuple[str, str]]) -> str:
    """Each stage under the last one it waits for; the others are named beside it."""
    before: dict[str, list[str]] = {name: [] for name in names}
    for a, b in edges:
        before[b].append(a)
    order = {name: i for i, name in enumerate(names)}
    parent = {
        name: max(before[name], key=order.__getitem__) if before[name] else None for name in names
    }
    children: dict[str | None, list[str]] = {}
    for name in names:
        children.setdefault(parent[name], []).append(name)
    lines: list[str] = []
    todo: list[Any] = [(root, "", "") for root in reversed(children.get(None, []))]
    while todo:
        name, first, rest = todo.pop()
        others = [other for other in before[name] if other != parent[name]]
        lines.append(first + name + (f"  (also after {', '.join(others)})" if others else ""))
        inner = children.get(name, [])
        for i, child in reversed(list(enumerate(inner))):
            last = i == len(inner) - 1
            todo.append(
                (child, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))
            )
    return "\n".join(lines) + "\n"
