"""Side: one of the things that are compared: the workspace, an experiment, or a snapshot."""

from __future__ import annotations

from dodo_exp.errors import UsageError
from dodo_exp.exps import find, index
from dodo_exp.exps.record import load
from dodo_store.named import Named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dodo_exp.engine.workspace import Workspace
    from dodo_exp.events import Listener
    from dodo_exp.project import Project
    from dodo_store.tree import Node


WORKSPACE = "workspace"
"""The name of what lies in the folder now."""


class Contents(Named):
    """Params and metrics as {file: {"data": contents}} or {file: {"error": words}}, and the
    digests of dependencies that no stage makes.

    Metrics of the workspace that are older than their stage's inputs have no values, and words
    under "stale".
    """

    params: dict[str, Any]
    metrics: dict[str, Any]
    deps: dict[str, str]

    @property
    def stale(self) -> dict[str, str]:
        """Metrics files that are older than their stage's inputs, with the words for it."""
        return {path: c["stale"] for path, c in self.metrics.items() if "stale" in c}


class Side(Named):
    """Something with params and metrics; `node` is its files, None for the workspace."""

    name: str
    contents: Contents
    node: Node | None

    @property
    def is_workspace(self) -> bool:
        """Whether it is what lies in the folder now."""
        return self.node is None


def side(project: Project, name: str, workspace: Workspace | None = None) -> Side:
    """What a name stands for: an experiment, also one that waits, a snapshot, or `workspace`.

    Raises:
        UsageError, Damage, Missing, Damaged
    """
    if name == WORKSPACE:
        return here(workspace or workspace_of(project))
    found = find.find(project.store, name, find.ALL_KINDS)
    experiment = load(project.store, found.oid)
    contents = Contents(experiment.params, experiment.metrics, experiment.deps)
    return Side(found.name, contents, experiment.result)


def here(workspace: Workspace) -> Side:
    """The workspace as it lies."""
    from dodo_exp.exps import state

    contents = Contents(
        state.params_of(workspace), state.current_metrics(workspace), state.deps_of(workspace)
    )
    return Side(WORKSPACE, contents, None)


def workspace_of(project: Project, *, tolerant: bool = False) -> Workspace:
    from dodo_exp.engine.workspace import Workspace

    return Workspace(project.root, project.store, tolerant=tolerant)


def base(project: Project, workspace: Workspace) -> str:
    """The experiment that the workspace was last seen to hold, or else the newest.

    Raises:
        UsageError: there is none.
    """
    from dodo_exp.exps import state

    name = state.current(workspace)
    if name is None:
        name = next((row.name for row in index.rows(project.store) if not row.error), None)
    if name is None:
        raise UsageError("there is no experiment to compare with", "`dodo exp run` makes one")
    return name


def is_below(file: str, path: str) -> bool:
    """Whether a file is *path*, or lies in that folder or below it."""
    return path in (".", file) or file.startswith(f"{path}/")


def params_of_stages(project: Project) -> frozenset[tuple[str, str]]:
    """(file, key) of the params that stages of the workspace read; an empty key is a whole file.

    Raises:
        BadInput
    """
    stages = workspace_of(project).graph.stages.values()
    deps = [dep for stage in stages for dep in stage.params]
    return frozenset((dep.file, key) for dep in deps for key in dep.keys or ("",))


def files(project: Project, one: Side, other: Side, listener: Listener) -> tuple[Node, Node]:
    """The files of both; those of the workspace are taken into the store for it.

    Raises:
        Failure, BadInput
    """
    nodes = [each.node for each in (one, other)]
    if None in nodes:
        from dodo_exp.exps.capture import capture

        project.write(listener)
        workspace = workspace_of(project, tolerant=True)
        with project.store.writing():
            now = capture(workspace, listener, after_run=True)
        workspace.save_caches()
        nodes = [now if node is None else node for node in nodes]
    first, second = nodes
    assert first is not None and second is not None
    return first, second
