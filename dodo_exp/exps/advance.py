"""Advance: an experiment that comes into being step by step, while it runs.

Each step is an experiment's record and from then on what the experiment's name stands for: what
is asked for next is on disk before the training goes on, and whatever ends the run then, the last
step is what it has come to.
"""

from __future__ import annotations

import time
from contextlib import contextmanager

from dodo_exp.engine import course
from dodo_exp.engine.course import Course
from dodo_exp.engine.rewind import is_same
from dodo_exp.exps import going, naming, state, steps
from dodo_exp.exps.record import Experiment, keep
from dodo_exp.exps.state import Held
from dodo_exp.exps.steps import Step
from dodo_exp.pipeline import lockfile
from dodo_store import snapshot
from dodo_store.delta import Change
from dodo_store.errors import StoreError
from dodo_store.oid import of_bytes
from dodo_store.pool import Batch
from dodo_store.tree import FILE, Node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from dodo_exp.engine.course import Nodes
    from dodo_exp.engine.fingerprint import Fingerprint
    from dodo_exp.engine.journal import Journal
    from dodo_exp.engine.workspace import Workspace
    from dodo_exp.events import Listener
    from dodo_exp.exps.going import Going
    from dodo_exp.exps.run import Order
    from dodo_exp.pipeline.model import Stage
    from dodo_store.store import Store


def begin(
    workspace: Workspace,
    journal: Journal,
    order: Order,
    name: str,
    base: Node,
    way: Going,
    same: str,
    listener: Listener,
) -> Advance:
    """What keeps the steps of a run; *same* is the experiment that goes on, if one does."""
    start = order.start
    known = way.last.experiment if same and way.last is not None else None
    draft = Experiment(
        name=name,
        created=0.0,
        seconds=0.0,
        parent=_parent(workspace, order, way, known),
        base=base,
        result=base,
        state=state.FAILED,
        params=state.params_of(workspace),
        metrics={},
        deps=going.inputs(workspace),
        stages=(),
        stale=(),
        tainted=(),
        message=order.message or (known.message if known else ""),
        job=start.job if start else known.job if known else "",
        tags=known.tags if known else (),
        was=known.was if known else (),
        origin=going.origin(workspace),
    )

    def name_for(made: Experiment) -> str:
        if start is None or start.kept_as:
            return start.kept_as if start is not None else name
        return naming.result_name(workspace.store, start.claim, made, order.replace)

    return Advance(
        workspace,
        journal,
        draft,
        way,
        name_for,
        listener,
        order.command,
        is_in_place=start is None,
    )


def _parent(workspace: Workspace, order: Order, way: Going, known: Experiment | None) -> str | None:
    """What the experiment has come from: for one that begins from a step, that."""
    if order.start is not None:
        return order.start.parent
    if known is not None:
        return known.parent
    return way.words or state.current(workspace)


class Advance(Course):
    """The steps of one run, as records; may be asked by the threads of several stages."""

    def __init__(
        self,
        workspace: Workspace,
        journal: Journal,
        draft: Experiment,
        way: Going,
        name_for: Callable[[Experiment], str],
        listener: Listener,
        command: str,
        *,
        is_in_place: bool,
    ) -> None:
        """*draft* is what all steps have in common; *name_for* gives the name for the first one."""
        super().__init__(reset=way.reset)
        self._words = way.words
        self._workspace = workspace
        self._store = workspace.store
        self._journal = journal
        self._draft = draft
        self._stages = way.every
        self._running = way.stages
        self._listener = listener
        self._command = command
        self._from = way.last
        self._name_for = name_for
        self._is_in_place = is_in_place
        self._result = draft.base
        self._folded: dict[str, set[str]] = {}
        self._began = time.time()
        self.last = way.last
        """The last step that is kept, of this run or the one that it goes on from."""
        self.name = draft.name

    def bring(self, stage: Stage) -> None:
        """Make the stage's outputs what they were at the step that it goes on from.

        Raises:
            Damage, Failure
        """
        if self._from is not None:
            going.bring(self._workspace, stage, self._from, self._listener)

    def begins_with(self, stage: Stage) -> str:
        """The step that the stage goes on from, by name; "" where it begins."""
        if self._from is None or self.reset:
            return ""
        outs = steps.outs(self._store, self._from.experiment.result, (stage,))
        return self._words if any(node for _, node in outs) else ""

    def changed(self, last: Step | None) -> Iterator[Change]:
        """How outputs of stages that have gone on have changed up to a step."""
        for outs in self._journal.was.values():
            for path, node in outs:
                find = self._store.find
                yield Change(path, node, find(last.experiment.result, path) if last else node)

    @property
    def so_far(self) -> str:
        """How far the experiment has come, in words."""
        number = self.last.experiment.step if self.last is not None else 0
        return f"kept as {self.name!r} up to checkpoint {number}"

    def has(self, path: str, node: Node) -> bool:
        """Whether the last step has this for an output."""
        last = self.last
        try:
            found = self._store.find(last.experiment.result, path) if last else None
        except StoreError:
            return False
        return found is not None and is_same(found, node)

    @contextmanager
    def step(self, stage: Stage, found: Fingerprint, outs: Nodes) -> Iterator[course.Step]:
        """A step, whose outputs are in the store durably: kept when the block ends.

        Raises:
            StoreError, OSError, Failure
        """
        with self._lock:
            number = self.last.experiment.step + 1 if self.last is not None else 1
            step = self._draft._replace(
                created=time.time(),
                seconds=time.time() - self._began,
                result=self._grown(outs),
                metrics=self._metrics(),
                step=number,
                before=self.last.oid if self.last is not None else None,
                unfinished=True,
                by=stage.address,
                error=f"stopped at checkpoint {number}",
            )
            if not self.made:
                self.name = self._name_for(step)
            step = step._replace(name=self.name)
            oid = keep(self._store, step)
            text = f"{self.name}{steps.AT}{number}"
            made = course.Step(text, (self.name, oid, step.result.oid))
            yield made
            try:
                self._commit(Step(oid, step))
            finally:
                made.is_kept = self.last is not None and self.last.oid == oid

    def _commit(self, step: Step) -> None:
        """Let the experiment's name stand for the step: from here on it is kept."""
        is_first = not self.made
        held = Held(self.name, step.oid)
        if is_first:
            # Who goes on from here needs the params of here, and to know where he is.
            self._journal.expect(self.name, step.oid, str(held) if self._is_in_place else "")
        try:
            naming.give(self._store, step.experiment, step.oid, self._command)
        finally:
            if self._is_named(step):  # also if it is only not known to be durable
                self.made += 1
                self.last = step
                if is_first:
                    self._journal.keep()
                if self._is_in_place:
                    state.hold(self._store, held)
                    self._journal.held()

    def _is_named(self, step: Step) -> bool:
        try:
            return self._store.experiments.get(self.name) == step.oid
        except (OSError, StoreError):
            return False

    def _grown(self, outs: Nodes) -> Node:
        """The snapshot of the last step, or of the beginning, with what has come about since."""
        store = self._store
        grafts: dict[str, Node | None] = {}
        with store.scratch() as scratch:
            batch = Batch(scratch)
            try:
                if self._result is self._draft.base and self._from is not None:
                    # Steps of an earlier turn, which the beginning of this one knows nothing of.
                    came = self._from.experiment.result
                    grafts |= dict(steps.outs(store, came, self._running))
                for pipeline, made in self._journal.made.items():
                    if self._folded.get(pipeline) != set(made):
                        self._folded[pipeline] = set(made)
                        records = {**self._workspace.known_records(pipeline), **made}
                        there = {name: each for name, each in records.items() if each is not None}
                        data = lockfile.dump(there).encode()
                        oid = of_bytes(data)
                        batch.add_bytes(store.objects, oid, data)
                        grafts[lockfile.beside(pipeline)] = Node(FILE, oid, len(data), oid)
                        for record in made.values():
                            nodes = record.outs if record is not None else ()
                            grafts |= {p: n for p, n in nodes if store.is_whole(n)}
                if self._result is self._draft.base:
                    later = (out.path for stage in self._waiting() for out in stage.outs)
                    grafts |= dict.fromkeys(later)
                grafts |= outs
                self._result = _overlaid(store, batch, self._result, grafts)
            finally:
                batch.drop()
        return self._result

    def _metrics(self) -> dict[str, Any]:
        """Metrics but for those that are of an earlier run."""
        waiting = {stage.address for stage in self._waiting()}
        return {
            path: contents
            for path, contents in state.metrics_of(self._workspace).items()
            if self._workspace.graph.maker(path) not in waiting
        }

    def _waiting(self) -> list[Stage]:
        """Stages after those with checkpoints that have yet to run: they hold an earlier run's."""
        graph, made = self._workspace.graph, self._journal.made
        later = graph.downstream([stage.address for stage in self._running])
        stages = (graph.stages[name] for name in later)
        return [
            stage
            for stage in stages
            if not stage.has_checkpoints and stage.name not in made.get(stage.file, ())
        ]

    def like(self, made: Experiment) -> Experiment:
        """The run's end with what all its steps have in common."""
        same = ("parent", "message", "job", "tags", "was", "origin")
        return made._replace(**{key: getattr(self._draft, key) for key in same})

    # -- the end ---------------------------------------------------------------------------

    def close(self, made: Experiment) -> Experiment:
        """The run's end as a step: in the last one's place, unless its stage has gone on since."""
        if self.last is None:
            return made if made.error else made._replace(step=1)
        known = self.last.experiment
        if not self._is_in_place:
            made = made._replace(result=self._rewound(made, known.result))
        made = steps.after(self._store, made, self.last, self._stages)
        if made.error and made.step == known.step:
            return made._replace(result=known.result, metrics=known.metrics, deps=known.deps)
        return made

    def _rewound(self, made: Experiment, last: Node) -> Node:
        """What a turn has come to: of stages that have not come to their end, their last step.

        Their outputs need not lie there, where the turn did not come as far as bringing them.
        """
        cut = {name for name, how, *_ in made.stages if how in ("failed", "skipped")}
        stages = [stage for stage in self._running if stage.address in cut]
        if not stages:
            return made.result
        with self._store.scratch() as scratch:
            batch = Batch(scratch)
            try:
                outs = dict(steps.outs(self._store, last, stages))
                return _overlaid(self._store, batch, made.result, outs)
            finally:
                batch.drop()

    def is_nothing_new(self, made: Experiment) -> bool:
        """Whether the run has brought nothing that the experiment does not have."""
        last = self.last.experiment if self.last is not None else None
        if last is None or self.made or last.error or last.name != made.name:
            return False
        stages = tuple(self._workspace.graph.stages.values())
        outs = [steps.outs(self._store, each.result, stages) for each in (made, last)]
        return made.metrics == last.metrics and outs[0] == outs[1]


def _overlaid(store: Store, batch: Batch, node: Node, grafts: dict[str, Node | None]) -> Node:
    """A snapshot with other outputs in it (None: without them), in the store durably."""
    grafts = {
        path: graft
        for path, graft in grafts.items()
        if steps.is_inside(path) and (graft is not None or store.find(node, path) is not None)
    }
    made = snapshot.overlay(store, batch, node, snapshot.graft_of(grafts))
    batch.commit()
    return made
