"""Side: one of the things that are compared: the workspace, an experiment, or a snapshot."""

from __future__ import annotations

import os

from dodo_exp.errors import UsageError
from dodo_exp.events import Note
from dodo_exp.exps import find, index
from dodo_exp.exps.record import load
from dodo_store.named import Named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from dodo_exp.engine.workspace import Workspace
    from dodo_exp.events import Listener
    from dodo_exp.exps.plots import Files
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
        return here(workspace or _workspace(project))
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


def pair(
    project: Project,
    one: str | None,
    other: str | None,
    listener: Listener,
    *,
    with_files: bool = False,
) -> tuple[Side, Side]:
    """Both sides of a comparison; without names those of `default_pair`, which is said.

    Raises:
        UsageError: there is nothing to compare with.
    """
    if not one and not other:
        first, second = default_pair(project, listener, with_files=with_files)
        words = f"the workspace with {first.name!r}"
        if not second.is_workspace:
            words = f"{second.name!r} with its parent {first.name!r}"
        listener(Note("info", f"comparing {words}"))
        return first, second
    if one and other and WORKSPACE not in (one, other):
        return side(project, one), side(project, other)
    workspace = _workspace(project)
    first = side(project, one or base(project, workspace), workspace)
    second = side(project, other or WORKSPACE, workspace)
    workspace.save_caches()
    return first, second


def default_pair(
    project: Project, listener: Listener, *, with_files: bool = False
) -> tuple[Side, Side]:
    """What the workspace came from, and the workspace; or that experiment's parent, and it.

    The parent is compared if the workspace is still what the experiment has left: the same
    params, metrics and dependencies, and *with_files* the same files. Where it has no parent, a
    note says so.

    Raises:
        UsageError: there is no experiment.
    """
    from dodo_exp.exps import compare

    workspace = _workspace(project)
    held = side(project, base(project, workspace))
    now = here(workspace)
    workspace.save_caches()
    is_same = not compare.compare(held.contents, now.contents)
    if is_same and with_files:
        before, after = files(project, held, now, listener)
        is_same = not compare.changed_files(project.store, before, after)
    if not is_same:
        return held, now
    parent = _parent(project, held, listener)
    return (parent, held) if parent is not None else (held, now)


def _parent(project: Project, child: Side, listener: Listener) -> Side | None:
    """What an experiment came from, under its present name; None, and a note, if nothing."""
    name = find.experiment(project.store, child.name).parent
    if name is None:
        text = f"experiment {child.name!r} has no parent, and the workspace has not changed since"
        listener(Note("info", text))
        return None
    try:
        return side(project, name)
    except UsageError:
        renamed = find.renamed_from(project.store, name)
    if renamed is None:
        text = f"{name!r}, the parent of experiment {child.name!r}, is not there any more"
        listener(Note("info", text))
        return None
    return side(project, renamed)


def _workspace(project: Project, *, tolerant: bool = False) -> Workspace:
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


ENDINGS = (".json", ".toml", ".yaml", ".yml")
"""What files of metrics or params end with, in a folder of which none is declared."""


def with_targets(project: Project, each: Side, kind: str, paths: Iterable[str]) -> Side:
    """The side with the files of *kind* at *paths*, whether or not the pipeline declares them.

    A folder stands for the declared files below it or, if there are none, for those with one of
    ENDINGS. Where nothing is there, nothing is added.
    """
    from dodo_exp.exps.plots import Files

    known = each.contents.params if kind == index.PARAM else each.contents.metrics
    there = Files(project, each)
    added: dict[str, Any] = {}
    for path in paths:
        if any(is_below(file, path) for file in known):
            continue
        found = there.below(path)
        if found != [path]:
            parts = ((file, file.split("/")) for file in found)
            shown = (file for file, names in parts if not any(n.startswith(".") for n in names))
            found = [file for file in shown if os.path.splitext(file)[1].lower() in ENDINGS]
        added.update((file, _values(there, file, kind)) for file in found)
    field = "params" if kind == index.PARAM else "metrics"
    return each._replace(contents=each.contents._replace(**{field: {**known, **added}}))


def with_missing_metrics(project: Project, each: Side) -> Side:
    """The workspace's side with an error for each declared metrics file that is not there."""
    from dodo_exp.exps import state

    known = each.contents.metrics
    found = {
        path: known.get(path, {"error": f"{path}: no such file"})
        for path in state.declared_metrics(_workspace(project))
    }
    return each._replace(contents=each.contents._replace(metrics={**found, **known}))


def is_below(file: str, path: str) -> bool:
    """Whether a file is *path*, or lies in that folder or below it."""
    return path in (".", file) or file.startswith(f"{path}/")


def _values(there: Files, path: str, kind: str) -> dict[str, Any]:
    """What a file that was named has, as in `Contents`."""
    from dodo_exp.errors import BadInput
    from dodo_exp.exps.state import plainly
    from dodo_exp.pipeline import params

    data = there.read(path)
    if data is None:
        return {"error": f"{path}: it cannot be read"}
    try:
        parse = params.parse if kind == index.PARAM else params.parse_metrics
        return {"data": plainly(parse(data, path))}
    except BadInput as error:
        return {"error": str(error)}


def params_of_stages(project: Project) -> frozenset[tuple[str, str]]:
    """(file, key) of the params that stages of the workspace read; an empty key is a whole file.

    Raises:
        BadInput
    """
    stages = _workspace(project).graph.stages.values()
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
        workspace = _workspace(project, tolerant=True)
        with project.store.writing():
            now = capture(workspace, listener, after_run=True)
        workspace.save_caches()
        nodes = [now if node is None else node for node in nodes]
    first, second = nodes
    assert first is not None and second is not None
    return first, second
