"""Going: from where a run goes on that has stages with checkpoints.

In place that is what the workspace holds: the last step of the experiment that it was last seen to
hold, or the step that was applied. Without changes the same experiment goes on; with changed
params, commands or inputs a new one begins from that step.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from dodo_exp.engine import fingerprint
from dodo_exp.engine.journal import keep_replaced
from dodo_exp.engine.request import Request, select
from dodo_exp.engine.rewind import rewind
from dodo_exp.engine.workspace import Workspace
from dodo_exp.errors import Damage
from dodo_exp.events import Listener, Note
from dodo_exp.exps import queue, state, steps
from dodo_exp.exps.record import load
from dodo_exp.exps.steps import Step
from dodo_exp.pipeline.model import Stage
from dodo_exp.pipeline.values import canonical
from dodo_store import record
from dodo_store.errors import StoreError
from dodo_store.oid import of_bytes
from dodo_store.tree import Node


class Going(NamedTuple):
    """What a run has to do with checkpoints: which stages keep them, from which step they go on."""

    stages: tuple[Stage, ...]
    last: Step | None
    reset: bool
    same: str = ""
    """The experiment that goes on; "" where a new one begins."""

    @property
    def words(self) -> str:
        """The step that they go on from, by name; "" for none."""
        if self.last is None:
            return ""
        return f"{self.last.experiment.name}{steps.AT}{self.last.experiment.step}"

    @property
    def paths(self) -> frozenset[str]:
        """Their outputs."""
        return frozenset(out.path for stage in self.stages for out in stage.outs)


def bring(workspace: Workspace, going: Going, listener: Listener) -> None:
    """Make the outputs of stages that go on what they were at the step that they go on from.

    What lies there instead and is on no record is kept.

    Raises:
        Damage, Failure
    """
    if going.last is None:
        return
    store, has_changed = workspace.store, False
    try:
        for stage in going.stages:
            outs = steps.outs(store, going.last.experiment, (stage,))
            wanted = [(p, n) for p, n in outs if not is_same(workspace.out_look(p), n)]
            strange = {
                path: workspace.path(path)
                for path, _ in wanted
                if _is_strange(workspace, stage, path)
            }
            if strange:
                kept = keep_replaced(store, stage.address, strange)
                where = os.path.relpath(kept, workspace.root)
                text = f"outputs of {stage.address!r} that are no step's are kept in {where}"
                listener(Note("info", text))
            with store.scratch() as scratch:
                rewind(store, workspace.root, wanted, f"{scratch}/aside", scratch)
            has_changed = has_changed or bool(wanted)
    except StoreError as error:
        hint = "`dodo store check --repair` says what is lost; --reset begins anew"
        raise Damage(f"{error.path}: {error}", hint) from None
    if has_changed:
        workspace.forget()


def is_same(here: Node | None, node: Node | None) -> bool:
    return (here and here[:2]) == (node and node[:2])


def _is_strange(workspace: Workspace, stage: Stage, path: str) -> bool:
    """Whether something lies there that the stage's record does not name, or the store lacks."""
    here = workspace.out_look(path)
    if here is None:
        return False
    record = workspace.record(stage)
    node = dict(record.outs).get(path) if record is not None else None
    return not is_same(here, node) or node is None or not workspace.store.is_whole(node)


def here(workspace: Workspace) -> tuple[str, Step, bool] | None:
    """The experiment that the workspace holds, the step of it, and whether that is the last one."""
    name, oid = state.holds(workspace.store)
    store = workspace.store
    try:
        tip = store.experiments.get(name) if name else None
        if name is None or tip is None:
            return None
        step = Step(oid or tip, load(store, oid or tip))
    except (StoreError, Damage):
        return None
    return (name, step, step.oid == tip) if step.experiment.step else None


def origin(workspace: Workspace) -> bytes:
    """Names all that a run is made from: params, commands, and inputs that no stage makes.

    A run of the same origin goes on with the same experiment.
    """
    graph = workspace.graph
    rows: list[object] = [canonical(state.params_of(workspace))]
    for stage in graph.stages.values():
        lines = fingerprint.take(stage, workspace).lines
        made = (graph.maker(line.name) or any(graph.made_inside(line.name)) for line in lines)
        rows.append(
            [
                stage.address,
                *(
                    line
                    for line, is_made in zip(lines, made, strict=True)
                    if line.kind != "dep" or not is_made
                ),
            ]
        )
    return of_bytes(record.pack(rows))


def begin(workspace: Workspace, request: Request, folder: str, *, reset: bool) -> Going | None:
    """What a run of the workspace has to do with checkpoints; None: nothing.

    Raises:
        BadInput, UsageError
    """
    selected = select(workspace, request, folder).stages
    stages = tuple(stage for stage in selected if stage.has_checkpoints and not stage.frozen)
    if not stages:
        return None
    found = None if reset else here(workspace)
    if found is None:
        return Going(stages, None, reset)
    name, step, is_last = found
    is_same = (
        is_last
        and step.experiment.origin == origin(workspace)
        and not queue.is_taken(workspace.store, name)
    )
    return Going(stages, step, reset, name if is_same else "")
