"""Request: which stages the user asked for, in the words of the command line."""

from __future__ import annotations

import os
from typing import NamedTuple

from dodo_exp.engine.workspace import Workspace
from dodo_exp.errors import UsageError
from dodo_exp.pipeline.graph import Selection
from dodo_exp.pipeline.model import PIPELINE_FILE


class Request(NamedTuple):
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
    graph = workspace.graph
    if request.all_pipelines:
        return graph.select(graph.stages)
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
            path = os.path.normpath(os.path.join(folder, target))
            if not os.path.isdir(workspace.path(path)):
                raise UsageError(f"-R takes folders, and {target!r} is none")
            found += graph.within(path)
        return found
    if request.targets:
        return [
            name
            for target in request.targets
            for name in graph.resolve(target, folder, glob=request.glob)
        ]
    path = os.path.join(folder, PIPELINE_FILE)
    if path not in workspace.files:
        known = ", ".join(list(workspace.files)[:5])
        raise UsageError(
            f"no {PIPELINE_FILE} in this folder",
            f"name a target, or -P for all pipelines ({known})" if known else None,
        )
    return [name for name, stage in graph.stages.items() if stage.file == path]
