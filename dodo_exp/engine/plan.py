"""Plan: what a run would do, stage by stage, without running anything.

Where a stage would be restored, its outputs are known and the stages after it are judged by them;
where it would run, what comes after can only be a maybe.
"""

from __future__ import annotations

import os

from dodo_exp.engine import data, fingerprint, runcache
from dodo_exp.engine.decide import GOES_ON, Reason, judge, missing_outs
from dodo_exp.errors import BadInput, Faults, did_you_mean
from dodo_exp.pipeline.graph import covers
from dodo_exp.pipeline.values import Ambiguous, leaves, lookup
from dodo_store.errors import StoreError
from dodo_store.named import Named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dodo_exp.engine.decide import Verdict
    from dodo_exp.engine.fingerprint import Fingerprint
    from dodo_exp.engine.outcome import Options
    from dodo_exp.engine.workspace import Workspace
    from dodo_exp.pipeline.graph import Selection
    from dodo_exp.pipeline.model import Out, Stage
    from dodo_store.oid import Oid
    from dodo_store.tree import Node

UNCHANGED, RUN, RESTORE, MAYBE = "unchanged", "run", "restore", "maybe"


class Step(Named):
    """What a run would do with a stage; `maybe` hangs on what the stages in `waits` make."""

    verdict: Verdict
    action: str
    waits: tuple[str, ...]

    @property
    def stage(self) -> Stage:
        """The stage itself."""
        return self.verdict.stage


def plan(workspace: Workspace, selection: Selection, options: Options) -> list[Step]:
    """The steps in the order of the selection. Changes nothing."""
    planner = _Planner(workspace, selection, options)
    steps = [planner.step(stage) for stage in selection.stages]
    wanted = _wanted(workspace, steps) if options.allow_missing else frozenset()
    if wanted:
        planner = _Planner(workspace, selection, options, wanted=wanted)
        steps = [planner.step(stage) for stage in selection.stages]
    if options.goes_on and not _has_work(steps):
        again = _Planner(workspace, selection, options, goes_on=True)
        if any(again.is_to_go_on(stage) for stage in selection.stages):
            return [again.step(stage) for stage in selection.stages]
    return steps


def _wanted(workspace: Workspace, steps: list[Step]) -> frozenset[str]:
    """Stages that are up to date but for outputs which are missing, and which others will read."""
    graph = workspace.graph
    idle = {step.stage.address for step in steps if step.action == UNCHANGED}
    found: set[str] = set()
    for step in steps:
        if step.action not in (RUN, MAYBE):
            continue
        for path in step.stage.inputs:
            for maker in (graph.maker(path), *map(graph.maker, graph.made_inside(path))):
                if maker in idle and any(
                    covers(reason.name, path)
                    for reason in missing_outs(workspace, graph.stages[maker])
                ):
                    found.add(maker)
    return frozenset(found)


def _has_work(steps: list[Step]) -> bool:
    """Whether anything is out of date; what runs every time does not count."""
    return any(reason.kind != "always" for step in steps for reason in step.verdict.reasons)


def is_idle(steps: list[Step]) -> bool:
    """Whether there is nothing to do."""
    return all(step.action == UNCHANGED for step in steps)


class _Planner:
    """What is known so far: which stages would run, and what others would bring back."""

    def __init__(
        self,
        workspace: Workspace,
        selection: Selection,
        options: Options,
        *,
        goes_on: bool = False,
        wanted: frozenset[str] = frozenset(),
    ) -> None:
        """Missing outputs of stages that are *wanted* are to be brought back in any case."""
        self._wanted = wanted
        self._goes_on = goes_on
        self._workspace = workspace
        self._selection = selection
        self._options = options
        self._actions: dict[str, str] = {}
        self._is_open = False
        """Whether any stage so far would run, or may."""
        self._restored: dict[str, Node] = {}
        self._known: dict[str, Oid] = {}

    def step(self, stage: Stage) -> Step:
        waits = () if stage.frozen else self._waits(stage)
        allow = self._options.allow_missing
        verdict = judge(self._workspace, stage, self._known, allow_missing=allow)
        if stage.address in self._wanted:
            missing = missing_outs(self._workspace, stage)
            verdict = verdict._replace(reasons=(*verdict.reasons, *missing))
        verdict = self._forced(verdict)
        action = self._action(verdict, waits)
        if allow and action == RUN:
            verdict = verdict._replace(print=self._here(stage))
        self._actions[stage.address] = action
        self._is_open = self._is_open or action in (RUN, MAYBE)
        return Step(verdict, action, waits)

    def _waits(self, stage: Stage) -> tuple[str, ...]:
        """Stages whose result is open and that this one reads from."""
        waits: tuple[str, ...] = ()
        if self._is_open:
            after = self._selection.after[stage.address]
            waits = tuple(name for name in after if self._actions[name] in (RUN, MAYBE))
        return waits or (self._look_into(stage) if self._restored else ())

    def _forced(self, verdict: Verdict) -> Verdict:
        """The verdict with what the user's options add to it."""
        stage, text, kind = verdict.stage, "", "forced"
        if stage.frozen:
            return verdict
        if self.is_to_go_on(stage):
            kind = GOES_ON
            text = "--reset" if self._options.reset else "goes on from what it has"
        elif self._options.force:
            text = "--force"
        elif self._options.force_downstream:
            ran = [
                name
                for name in self._selection.after[stage.address]
                if self._actions[name] in (RUN, RESTORE)
            ]
            text = f"--force-downstream after {', '.join(ran)}" if ran else ""
        if not text:
            return verdict
        return verdict._replace(reasons=(*verdict.reasons, Reason(kind, "", text)))

    def is_to_go_on(self, stage: Stage) -> bool:
        """Whether the stage runs because it has checkpoints."""
        return (self._goes_on or self._options.reset) and stage.has_checkpoints and not stage.frozen

    def _action(self, verdict: Verdict, waits: tuple[str, ...]) -> str:
        stage = verdict.stage
        if not verdict.reasons:
            return MAYBE if waits else UNCHANGED
        if stage.frozen:
            record = self._workspace.record(stage)
            return self._bring_back(record.outs if record else ())
        if waits or any(reason.kind == "forced" for reason in verdict.reasons):
            return RUN
        if self._options.allow_missing and self._here(stage).missing:
            record = self._workspace.record(stage)
            if record is not None and record.key == verdict.print.key:
                whole = all(map(self._workspace.store.is_whole, (node for _, node in record.outs)))
                return self._bring_back(record.outs) if whole else RUN
        if not stage.is_cacheable or not self._options.run_cache:
            return RUN
        run = runcache.find(self._workspace.store, verdict.print.key)
        return self._bring_back(run.record.outs) if run is not None else RUN

    def _here(self, stage: Stage) -> Fingerprint:
        """What the stage would be made from, without what is only on record."""
        return fingerprint.take(stage, self._workspace, self._known)

    def _bring_back(self, outs: tuple[tuple[str, Node], ...]) -> str:
        self._restored.update(outs)
        self._known.update((path, node.digest) for path, node in outs)
        return RESTORE

    def _look_into(self, stage: Stage) -> tuple[str, ...]:
        """Digests of inputs inside outputs that would be restored; the makers of what is unclear.

        An input folder that holds a restored output has a digest that nobody has computed yet.
        """
        unclear: dict[str, None] = {}
        graph = self._workspace.graph
        for path in stage.inputs:
            outer = _holder(path, self._restored)
            if outer is not None and outer != path:
                inner = self._inside(self._restored[outer], path[len(outer) + 1 :])
                if inner is not None:
                    self._known[path] = inner.digest
            elif outer is None:
                for made in graph.made_inside(path):
                    maker = graph.maker(made)
                    if made in self._restored and maker is not None:
                        unclear[maker] = None
        return tuple(unclear)

    def _inside(self, node: Node, path: str) -> Node | None:
        try:
            return self._workspace.store.find(node, path)
        except StoreError:
            return None


def _holder(path: str, among: dict[str, Node]) -> str | None:
    """The path itself or the folder around it that is *among* these."""
    while path not in ("", "/"):
        if path in among:
            return path
        path = os.path.dirname(path)
    return None


# -- what has to be there before anything runs ---------------------------------------------


def check_inputs(workspace: Workspace, steps: list[Step], selection: Selection) -> None:
    """Fail before anything runs where an input is missing and no stage of the run makes it.

    Raises:
        BadInput: with all that is missing.
    """
    faults = Faults()
    for step in steps:
        stage = step.stage
        if stage.frozen:
            with faults:
                _check_frozen(workspace, step)
        if stage.frozen or step.action == UNCHANGED:
            continue
        with faults:
            _check_wdir(workspace, selection, stage)
        for out in stage.outs:
            if not out.path.startswith(("/", "../")) and workspace.leads_outside(out.path):
                text = f"stage {stage.address!r}: a link on the way to its output {out.path!r}"
                faults.add(BadInput(stage.at, f"{text} leads outside the project"))
            elif out.is_inside and out.is_stored and (fault := _linked(workspace, stage, out)):
                faults.add(fault)
        for line in step.verdict.print.missing:
            path, _, key = line.name.partition(":") if line.kind == "param" else (line.name, "", "")
            if not _is_made(workspace, selection, stage, path):
                missing = _missing_param if key else _missing_file
                fault = missing(workspace, stage, path, key)
                lost = [r.name for r in step.verdict.reasons if r.kind == "missing"]
                if lost and fault.hint is None and len(lost) == len(step.verdict.reasons):
                    fault.hint = f"its output {lost[0]!r} is missing and the store does not have it"
                faults.add(fault)
    faults.tell()


def _linked(workspace: Workspace, stage: Stage, out: Out) -> BadInput | None:
    """The fault of an output that is a link to another disk, found before it is moved."""
    target = workspace.link_outside(out.path)
    if target is None:
        return None
    return BadInput(
        stage.at,
        f"stage {stage.address!r}: its output {out.path!r} is a link that leads outside the"
        f" project, to {target!r}",
        "with 'cache: false' the stage writes through it; for stored outputs on another disk make"
        " `.dodo`, or the project, a link to that disk",
    )


def _check_wdir(workspace: Workspace, selection: Selection, stage: Stage) -> None:
    full = workspace.path(stage.wdir)
    if workspace.leads_outside(f"{stage.wdir}/."):
        text = f"stage {stage.address!r}: a link leads its working folder {stage.wdir!r}"
        raise BadInput(stage.at, f"{text} outside the project")
    if os.path.isdir(full) or selection.after[stage.address]:
        return  # a stage before it can make the folder without saying so
    what = "is no folder" if os.path.lexists(full) else "is not there"
    raise BadInput(stage.at, f"stage {stage.address!r}: its working folder {stage.wdir!r} {what}")


def _check_frozen(workspace: Workspace, step: Step) -> None:
    """A frozen stage is never run, so what it lacks has to be in the store."""
    record = workspace.record(step.stage)
    nodes = dict(record.outs) if record else {}
    for reason in step.verdict.reasons:
        node = nodes.get(reason.name)
        if node is None or not workspace.store.is_whole(node):
            raise BadInput(
                step.stage.at,
                f"stage {step.stage.address!r} is frozen, its output {reason.name!r} is missing"
                " and the store does not have it",
                "remove 'frozen: true' to let it run",
            )


def _is_made(workspace: Workspace, selection: Selection, stage: Stage, path: str) -> bool:
    graph = workspace.graph
    if data.can_come_back(workspace, path):
        return True
    makers = {graph.maker(path), *(graph.maker(out) for out in graph.made_inside(path))}
    first = selection.after[stage.address] if selection.is_in_turn else selection.after
    return any(name in first for name in makers if name)


def _missing_param(workspace: Workspace, stage: Stage, path: str, key: str) -> BadInput:
    values = workspace.params(path) or {}
    names = [name for name, _ in leaves(values)]
    try:
        lookup(values, key)
    except Ambiguous as error:
        return BadInput(
            stage.at,
            f"stage {stage.address!r} reads {key!r}, which {path} has as a key and as nested keys",
            f"for the key write '{error.quoted}'",
        )
    except KeyError:
        pass
    return BadInput(
        stage.at,
        f"stage {stage.address!r} reads {key!r}, which is not in {path}",
        did_you_mean(key, names, f"in {path}") or f"{path} has no params",
    )


def _missing_file(workspace: Workspace, stage: Stage, path: str, _: str = "") -> BadInput:
    maker = workspace.graph.maker(path)
    if maker is not None:
        return BadInput(
            stage.at,
            f"stage {stage.address!r} needs {path!r}, which is not there",
            f"stage {maker!r} makes it: run that first",
        )
    if os.path.islink(workspace.path(path)):
        target = os.readlink(workspace.path(path))
        return BadInput(
            stage.at,
            f"stage {stage.address!r} needs {path!r}, a link to {target!r}, which is not there",
        )
    return BadInput(
        stage.at,
        f"stage {stage.address!r} needs {path!r}, but no stage makes it and it is not there",
        _tracked(workspace, path) or _near(workspace, path),
    )


def _tracked(workspace: Workspace, path: str) -> str | None:
    """A hint where the path, or a folder around it, was added as data, here or to DVC."""
    added = data.around(workspace, path)
    if added is not None:
        return f"it was there when {added} was added: `dodo checkout {added}` brings it back"
    while path not in ("", "/"):
        if os.path.isfile(workspace.path(f"{path}.dvc")):
            return f"{path}.dvc tracks it: `dvc checkout` or `dvc pull` brings it here"
        path = os.path.dirname(path)
    return None


def _near(workspace: Workspace, path: str) -> str | None:
    """A path of nearly the same spelling: an output, or a neighbour on disk."""
    folder = os.path.dirname(path)
    try:
        beside = [os.path.join(folder, n) for n in os.listdir(workspace.path(folder or "."))[:1000]]
    except OSError:
        beside = []
    outs = [out.path for stage in workspace.graph.stages.values() for out in stage.outs]
    hint = did_you_mean(path, [*beside, *outs], cutoff=0.8)
    return hint if hint and hint.startswith("did you mean") else None
