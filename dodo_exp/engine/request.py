"""Request: which stages the user asked for, in the words of the command line."""

from __future__ import annotations

import os

from dodo_exp.errors import NoProject, UsageError
from dodo_exp.pipeline.graph import spellings
from dodo_exp.pipeline.model import PIPELINE_FILE, seen_from
from dodo_store.named import Named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dodo_exp.engine.workspace import Workspace
    from dodo_exp.pipeline.graph import Selection

EXCLUSIVE = ("single_item", "pipeline", "all_pipelines", "downstream")


class Request(Named):
    """Targets and how far they reach. Without targets: the dvc.yaml of the current folder."""

    targets: tuple[str, ...] = ()
    single_item: bool = False
    pipeline: bool = False
    all_pipelines: bool = False
    recursive: bool = False
    downstream: bool = False
    glob: bool = False


def select(workspace: Workspace, request: Request, folder: str) -> Selection:
    """The stages to look at, in order; the user stands in *folder* (relative to the root).

    Raises:
        UsageError: a target that is not there.
    """
    reaches = [name for name in EXCLUSIVE if getattr(request, name)]
    if len(reaches) > 1:
        one, other = (f"--{name.replace('_', '-')}" for name in reaches[:2])
        raise UsageError(f"{one} and {other} contradict each other")
    graph = workspace.graph
    if request.all_pipelines:
        return graph.select(graph.stages)
    if request.single_item and request.targets and not request.recursive:
        targets = request.targets
        return graph.select_in_turn(
            [_resolved(workspace, target, folder, request.glob) for target in targets]
        )
    names = list(dict.fromkeys(_named(workspace, request, folder)))
    if request.pipeline:
        connected = graph.component(names)
        return graph.select(name for name in graph.stages if name in connected)
    if request.downstream:
        following = graph.downstream(names)
        return graph.select((name for name in graph.stages if name in following), only=True)
    return graph.select(names, only=request.single_item)


def _named(workspace: Workspace, request: Request, folder: str) -> list[str]:
    graph = workspace.graph
    if request.recursive:
        found: list[str] = []
        for target in request.targets or (".",):
            path = workspace.inside(folder, target)
            is_there = workspace.memo.is_there(path, workspace.root)
            if not is_there or not os.path.isdir(workspace.path(path)):
                raise UsageError(f"-R takes folders, and {target!r} is none")
            found += graph.within(path)
        return found
    if request.targets:
        return [
            name
            for target in request.targets
            for name in _resolved(workspace, target, folder, request.glob)
        ]
    path = os.path.join(folder, PIPELINE_FILE)
    if path not in workspace.files:
        if not workspace.files:
            raise NoProject(f"no {PIPELINE_FILE} in this project", "`dodo stage add` writes one")
        known = ", ".join(seen_from(folder, each) for each in list(workspace.files)[:5])
        raise UsageError(f"no {PIPELINE_FILE} in this folder", f"name one: {known}")
    return [name for name, stage in graph.stages.items() if stage.file == path]


def _resolved(workspace: Workspace, target: str, folder: str, glob: bool) -> list[str]:
    """What one target means, or why it means nothing.

    Raises:
        UsageError
    """
    graph = workspace.graph
    if not target:
        raise UsageError("a target is empty", "an unset variable of the shell?")
    try:
        return graph.resolve(target, folder, glob=glob)
    except UsageError:
        if os.path.isabs(target):
            for file, name in spellings(target):
                path = workspace.inside(folder, file)
                if os.path.isabs(file) and path in workspace.files:
                    return graph.resolve(f"{path}:{name}" if name else path, "", glob=glob)
        if target in graph.stages:
            return [target]
        hint = _hint(workspace, target, folder)
        if hint is None:
            raise
        raise UsageError(f"no stage {target!r} in this folder's {PIPELINE_FILE}", hint) from None


def _hint(workspace: Workspace, target: str, folder: str) -> str | None:
    """What the user may have meant by a target that is no stage."""
    graph = workspace.graph
    path = workspace.inside(folder, target)
    maker = graph.maker(path)
    if maker is not None:
        made_by = f"{target!r} is made by stage {maker!r}"
        stage = graph.stages[maker]
        return f"{made_by}: {seen_from(folder, stage.file)}:{stage.name}" if folder else made_by
    if os.path.isdir(workspace.path(path)):
        return f"{target!r} is a folder: -R {target}"
    if any(char in target for char in "*?["):
        return "patterns of names need --glob"
    elsewhere = [
        f"{seen_from(folder, stage.file)}:{stage.name}"
        for stage in graph.stages.values()
        if stage.name == target
    ]
    return f"did you mean {elsewhere[0]!r}?" if elsewhere else None
