"""Going: from where a run goes on that has stages with checkpoints.

In place that is what the workspace holds: the last step of the experiment that it was last seen to
hold, or the step that was applied. Without changes the same experiment goes on; with changed
params, commands or inputs a new one begins from that step.
"""

from __future__ import annotations

from dodo_exp.engine import fingerprint
from dodo_exp.engine.decide import going_on
from dodo_exp.engine.moved_outputs import keep_replaced
from dodo_exp.engine.request import select
from dodo_exp.engine.rewind import is_same, rewind
from dodo_exp.errors import Damage, DodoError
from dodo_exp.events import Note
from dodo_exp.exps import queue, state, steps
from dodo_exp.exps.record import load
from dodo_exp.pipeline import params
from dodo_exp.pipeline.model import seen_from_here
from dodo_exp.pipeline.values import ABSENT, canonical
from dodo_store import record
from dodo_store.errors import StoreError
from dodo_store.named import Named
from dodo_store.oid import of_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dodo_exp.engine import plan as planning
    from dodo_exp.engine.request import Request
    from dodo_exp.engine.workspace import Workspace
    from dodo_exp.events import Listener
    from dodo_exp.exps.edits import Plan
    from dodo_exp.exps.record import Experiment
    from dodo_exp.exps.run import Order
    from dodo_exp.exps.state import Held
    from dodo_exp.exps.steps import Step
    from dodo_exp.pipeline.graph import Graph
    from dodo_exp.pipeline.lockfile import Line
    from dodo_exp.pipeline.model import Stage
    from dodo_store.oid import Oid
    from dodo_store.store import Store
    from dodo_store.tree import Node


class Going(Named):
    """What a run has to do with checkpoints: which stages keep them, from which step they go on."""

    stages: tuple[Stage, ...]
    """Those that are to run."""
    every: tuple[Stage, ...]
    """All of the project."""
    last: Step | None
    reset: bool
    is_tip: bool = False
    """Whether `last` is the last step of its experiment."""

    @property
    def words(self) -> str:
        """The step that they go on from, by name; "" for none."""
        if self.last is None:
            return ""
        return f"{self.last.experiment.name}{steps.AT}{self.last.experiment.step}"

    @property
    def paths(self) -> frozenset[str]:
        """Outputs of the stages that are to run."""
        return frozenset(out.path for stage in self.stages for out in stage.outs)

    def captured(self, workspace: Workspace) -> dict[str, Any]:
        """What a snapshot of the workspace takes for those outputs; see `capture`.

        Raises:
            Missing, Damaged
        """
        if self.reset:
            return {"instead": dict.fromkeys(self.paths)}
        if self.last is None:
            return {"as_is": self.paths}
        result = self.last.experiment.result
        return {"instead": dict(steps.outs(workspace.store, result, self.stages))}


def begin(workspace: Workspace, request: Request, folder: str, *, reset: bool) -> Going | None:
    """What a run of the workspace has to do with checkpoints; None: nothing.

    Raises:
        BadInput, UsageError
    """
    every = tuple(stage for stage in workspace.graph.stages.values() if stage.has_checkpoints)
    if not every:
        return None
    selected = select(workspace, request, folder).stages
    stages = tuple(stage for stage in selected if stage.has_checkpoints and not stage.frozen)
    found = None if reset and stages else _here(workspace, every)
    if found is None:
        return Going(stages, every, None, reset)
    name, step, is_tip = found
    outs = steps.outs(workspace.store, step.experiment.result, stages)
    if stages and not any(node for _, node in outs):
        return Going(stages, every, None, reset)  # it has nothing that these could go on from
    step = step._replace(experiment=step.experiment._replace(name=name))
    return Going(stages, every, step, reset, is_tip)


def same(workspace: Workspace, order: Order, folder: str, edits: Plan | None) -> str:
    """The experiment that an order goes on with, its params set; "" where a new one begins.

    Raises:
        BadInput, UsageError
    """
    if not any(stage.has_checkpoints for stage in workspace.graph.stages.values()):
        return ""
    texts = edits.texts if edits is not None else {}
    values = {path: params.parse(text.encode(), path) for path, text in texts.items()}
    with workspace.supposing(values):
        found = begin(workspace, order.request, folder, reset=order.options.reset)
        if found is None or found.last is None or not found.is_tip:
            return ""
        last = found.last.experiment
        is_free = not queue.is_taken(workspace.store, last.name)
        return last.name if is_free and last.origin == origin(workspace) else ""


def of_order(workspace: Workspace, order: Order, folder: str) -> Going | None:
    """What an order has to do with them, its params set; one of the queue says itself from where.

    Raises:
        BadInput, UsageError
    """
    found = begin(workspace, order.request, folder, reset=order.options.reset)
    if found is not None and order.start is not None:
        return found._replace(last=order.start.last, reset=False)
    return found


def told(workspace: Workspace, planned: list[planning.Step]) -> list[planning.Step]:
    """What a run would do, saying of stages that go on from a step that they do, and from where.

    That their outputs are that step's, or are not there, is no other reason.
    """
    every = tuple(stage for stage in workspace.graph.stages.values() if stage.has_checkpoints)
    if not every or not any(step.verdict.reasons for step in planned):
        return planned
    found = _here(workspace, every)
    return [_told(workspace, step, found) if found is not None else step for step in planned]


def _told(
    workspace: Workspace, planned: planning.Step, found: tuple[str, Step, bool]
) -> planning.Step:
    name, step, _ = found
    verdict = planned.verdict
    if not verdict.stage.has_checkpoints or verdict.stage.frozen or not verdict.reasons:
        return planned
    if any(str(reason) == "--reset" for reason in verdict.reasons):
        return planned
    outs = steps.outs(workspace.store, step.experiment.result, (verdict.stage,))
    if not any(node for _, node in outs):
        return planned
    reasons = going_on(verdict.reasons, f"{name}{steps.AT}{step.experiment.step}")
    return planned._replace(verdict=verdict._replace(reasons=reasons))


def following(workspace: Workspace, made: Experiment) -> Experiment:
    """What is kept without a run, after the steps of what the workspace holds."""
    every = tuple(stage for stage in workspace.graph.stages.values() if stage.has_checkpoints)
    found = _here(workspace, every) if every else None
    if found is None:
        return made
    made = steps.after(workspace.store, made, found[1], every)
    return made._replace(origin=origin(workspace))


def _here(workspace: Workspace, every: tuple[Stage, ...]) -> tuple[str, Step, bool] | None:
    """The experiment that the workspace holds, the step of it, and whether that is the last one.

    That which it was last seen to hold; but where the outputs are an earlier step's, by an undo or
    by hand, it is that; and where a run has made them that keeps no experiment, it is none.
    """
    store, held = workspace.store, state.holds(workspace.store)
    try:
        tip = store.experiments.get(held.name) if held is not None else None
        step = _held_step(store, held, tip)
        if held is None or step is None:
            return None
        paths = sorted(out.path for stage in every for out in stage.outs if out.checkpoint)
        lies = {path: workspace.out_look(path) for path in paths if steps.is_inside(path)}
        if not _is_at(workspace, step, lies) and any(lies.values()):
            known = (each for each in steps.chain(store, tip) if _is_at(workspace, each, lies))
            found = next(known, None)
            if found is None and _is_recorded(workspace, every, lies):
                return None
            step = found or step
    except (StoreError, Damage):
        return None
    return held.name, step, step.oid == tip


def _held_step(store: Store, held: Held | None, tip: Oid | None) -> Step | None:
    """The step that the workspace holds, if its experiment is still the one that it was.

    A label makes a new record of the same result; and of an experiment that was thinned out, or
    whose last step was removed, the other steps are what they were.

    Raises:
        Missing, Damaged, Damage
    """
    if held is None or tip is None or not load(store, tip).step:
        return None
    if held.record in (None, tip):
        return next(iter(steps.chain(store, tip)))
    every = list(steps.chain(store, tip))
    known = [step.experiment.result.oid for step in steps.chain(store, held.record)]
    for step in every:
        if step.experiment.result.oid == known[0]:
            return every[0] if held.grows else step
    is_the_one = any(step.experiment.result.oid in known for step in every)
    return every[0] if is_the_one and held.grows else None


def _is_at(workspace: Workspace, step: Step, lies: dict[str, Node | None]) -> bool:
    store, result = workspace.store, step.experiment.result
    return all(is_same(node, store.find(result, path)) for path, node in lies.items())


def _is_recorded(
    workspace: Workspace, every: tuple[Stage, ...], lies: dict[str, Node | None]
) -> bool:
    """Whether all that lies there is what the stages' records say."""
    known: dict[str, Node] = {}
    for stage in every:
        made = workspace.record(stage)
        known |= dict(made.outs) if made is not None else {}
    return all(is_same(node, known.get(path)) for path, node in lies.items())


def bring(workspace: Workspace, stage: Stage, last: Step, listener: Listener) -> None:
    """Make a stage's outputs what they were at the step that it goes on from.

    What lies there instead and is on no record is kept.

    Raises:
        Damage, Failure
    """
    store = workspace.store
    try:
        outs = steps.outs(store, last.experiment.result, (stage,))
        wanted = [(p, n) for p, n in outs if not is_same(workspace.out_look(p), n)]
        strange = {p: workspace.path(p) for p, _ in wanted if _is_strange(workspace, stage, p)}
        if strange:
            kept = keep_replaced(store, stage.address, strange)
            where = seen_from_here(workspace.root, kept)
            text = f"outputs of {stage.address!r} that are no step's are kept in {where}"
            listener(Note("info", text))
        with store.scratch() as scratch:
            rewind(store, workspace.root, wanted, f"{scratch}/aside", scratch)
    except StoreError as error:
        hint = "`dodo store check --repair` says what is lost; --reset begins anew"
        raise Damage(f"{error.path}: {error}", hint) from None


def _is_strange(workspace: Workspace, stage: Stage, path: str) -> bool:
    """Whether something lies there that the stage's record does not name, or the store lacks."""
    here = workspace.out_look(path)
    if here is None:
        return False
    record = workspace.record(stage)
    node = dict(record.outs).get(path) if record is not None else None
    return not is_same(here, node) or node is None or not workspace.store.is_whole(node)


def inputs(workspace: Workspace) -> dict[str, str]:
    """Inputs that no stage makes, with their digests as they are now."""
    graph = workspace.graph
    found: dict[str, str] = {}
    for stage in graph.stages.values():
        for line in _lines(workspace, stage):
            if line.kind == "dep" and line.value != ABSENT and graph.maker(line.name) is None:
                found[line.name] = line.value
    return dict(sorted(found.items()))


def origin(workspace: Workspace) -> bytes:
    """Names all that a run is made from: params, commands, and inputs that no stage makes.

    A run of the same origin goes on with the same experiment.
    """
    graph = workspace.graph
    rows: list[object] = [canonical(state.params_of(workspace))]
    for stage in graph.stages.values():
        lines = _lines(workspace, stage)
        rows.append([stage.address, *(line for line in lines if not _is_made(graph, line))])
    return of_bytes(record.pack(rows))


def _lines(workspace: Workspace, stage: Stage) -> tuple[Line, ...]:
    """What a stage is made from; nothing for one of another run that cannot be read now."""
    try:
        return fingerprint.take(stage, workspace).lines
    except DodoError:
        return ()


def _is_made(graph: Graph, line: Line) -> bool:
    """Whether it is the digest of what a stage makes."""
    return line.kind == "dep" and bool(graph.maker(line.name) or graph.made_inside(line.name))
