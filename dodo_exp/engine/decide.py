"""Decide: which stages are out of date, and why; and what a run would do, without running it."""

from __future__ import annotations

from typing import NamedTuple

from dodo_exp.engine import fingerprint, runcache
from dodo_exp.engine.fingerprint import Change, Fingerprint
from dodo_exp.engine.workspace import Workspace
from dodo_exp.errors import BadInput, did_you_mean
from dodo_exp.pipeline.graph import Selection
from dodo_exp.pipeline.model import Stage
from dodo_exp.pipeline.values import leaves
from dodo_store.errors import StoreError
from dodo_store.oid import Oid
from dodo_store.tree import Node

UNCHANGED, RUN, RESTORE, MAYBE = "unchanged", "run", "restore", "maybe"


class Reason(NamedTuple):
    """Why a stage is out of date: `kind` is new, always, forced, changed or out."""

    kind: str
    name: str
    text: str
    change: Change | None = None

    def __str__(self) -> str:
        return self.text


class Verdict(NamedTuple):
    """A stage as it stands: what it would be made from now, and why that is not what it has."""

    stage: Stage
    print: Fingerprint
    reasons: tuple[Reason, ...]


class Step(NamedTuple):
    """What a run would do with a stage; `maybe` hangs on what the stages in `waits` make."""

    verdict: Verdict
    action: str
    waits: tuple[str, ...]


def judge(workspace: Workspace, stage: Stage, known: dict[str, Oid] | None = None) -> Verdict:
    """Compare a stage with its record; *known* digests stand for files not yet there."""
    found = fingerprint.take(stage, workspace, known)
    record = workspace.record(stage)
    reasons: list[Reason] = []
    if stage.frozen:
        return Verdict(stage, found, _out_reasons(workspace, stage))
    if stage.runs_always:
        word = "always_changed" if stage.always else "it has no inputs and no outputs to compare"
        reasons.append(Reason("always", "", f"runs every time ({word})"))
    if record is None:
        reasons.append(Reason("new", "", "not run yet"))
    elif record.key != found.key:
        reasons += [
            Reason("changed", change.name, str(change), change)
            for change in fingerprint.changes(record.lines, found.lines)
        ]
    return Verdict(stage, found, (*reasons, *(_out_reasons(workspace, stage) if record else ())))


def _out_reasons(workspace: Workspace, stage: Stage) -> tuple[Reason, ...]:
    record = workspace.record(stage)
    recorded: dict[str, Node] = dict(record.outs) if record else {}
    reasons = []
    for out in stage.outs:
        node = recorded.get(out.path)
        digest = workspace.out_digest(out.path)
        if digest is None:
            reasons.append(Reason("out", out.path, f"output {out.path} is missing"))
        elif node is not None and digest != node.digest:
            text = f"output {out.path} is not as the stage made it"
            reasons.append(Reason("out", out.path, text))
    return tuple(reasons)


def plan(workspace: Workspace, selection: Selection, *, force: bool, cached: bool) -> list[Step]:
    """What a run would do, stage by stage. Changes nothing.

    Where an earlier stage would be restored, its outputs are known and later stages are judged by
    them; where it would run, what comes after can only be a maybe.
    """
    known: dict[str, Oid] = {}
    restored: dict[str, Node] = {}
    open_stages: set[str] = set()
    steps = []
    for stage in selection.stages:
        waits = tuple(n for n in selection.after[stage.address] if n in open_stages)
        waits = () if stage.frozen else waits
        if restored and not waits:
            waits = _look_into(workspace, stage, restored, known)
        verdict = judge(workspace, stage, known)
        if force and not stage.frozen:
            verdict = verdict._replace(reasons=(*verdict.reasons, Reason("forced", "", "--force")))
        run = None
        if verdict.reasons and cached and not force and stage.is_cacheable and not waits:
            run = runcache.find(workspace.store, verdict.print.key)
        if run is not None:
            restored.update(run.record.outs)
            known.update((path, node.digest) for path, node in run.record.outs)
        step = Step(verdict, _action(verdict, run is not None, waits), waits)
        if step.action in (RUN, MAYBE):
            open_stages.add(stage.address)
        steps.append(step)
    return steps


def _action(verdict: Verdict, has_run: bool, waits: tuple[str, ...]) -> str:
    if verdict.stage.frozen:
        return RESTORE if any("missing" in reason.text for reason in verdict.reasons) else UNCHANGED
    if not verdict.reasons:
        return MAYBE if waits else UNCHANGED
    return RESTORE if has_run else RUN


def _look_into(
    workspace: Workspace, stage: Stage, restored: dict[str, Node], known: dict[str, Oid]
) -> tuple[str, ...]:
    """Digests of inputs that lie in folders which would be restored; the makers of those unclear.

    An input folder that holds a restored output has a digest that nobody has computed yet.
    """
    unclear: dict[str, None] = {}
    for path in stage.inputs:
        if path in restored:
            continue
        for made, node in restored.items():
            if path.startswith(made + "/"):
                try:
                    inner = workspace.store.find(node, path[len(made) + 1 :])
                except StoreError:
                    inner = None
                if inner is not None:
                    known[path] = inner.digest
            elif made.startswith(path + "/") and (maker := workspace.graph.maker(made)):
                unclear[maker] = None
    return tuple(unclear)


def check_inputs(workspace: Workspace, steps: list[Step], selection: Selection) -> None:
    """Fail before anything runs where an input is missing and no stage of the run makes it.

    Raises:
        BadInput
    """
    for step in steps:
        stage = step.verdict.stage
        if stage.frozen or step.action == UNCHANGED:
            continue
        for line in step.verdict.print.missing:
            path, _, key = line.name.partition(":") if line.kind == "param" else (line.name, "", "")
            if _is_made(workspace, selection, path):
                continue
            if key:
                raise _missing_param(workspace, stage, path, key)
            raise _missing_file(workspace, stage, path)


def _is_made(workspace: Workspace, selection: Selection, path: str) -> bool:
    graph = workspace.graph
    makers = {graph.maker(path), *(graph.maker(out) for out in graph.made_inside(path))}
    return any(name in selection.after for name in makers if name)


def _missing_param(workspace: Workspace, stage: Stage, path: str, key: str) -> BadInput:
    names = [name for name, _ in leaves(workspace.params(path))]
    return BadInput(
        stage.at,
        f"stage {stage.address!r} reads {key!r}, which is not in {path}",
        did_you_mean(key, names, f"in {path}"),
    )


def _missing_file(workspace: Workspace, stage: Stage, path: str) -> BadInput:
    maker = workspace.graph.maker(path)
    if maker is not None:
        return BadInput(
            stage.at,
            f"stage {stage.address!r} needs {path!r}, which is not there",
            f"stage {maker!r} makes it: run that first",
        )
    return BadInput(
        stage.at,
        f"stage {stage.address!r} needs {path!r}, but no stage makes it and it is not there",
        _near(workspace, path),
    )


def _near(workspace: Workspace, path: str) -> str | None:
    """A path of nearly the same spelling: an output, or a neighbour on disk."""
    import os

    folder = os.path.dirname(path)
    try:
        beside = [os.path.join(folder, n) for n in os.listdir(workspace.path(folder or "."))[:1000]]
    except OSError:
        beside = []
    outs = [out.path for stage in workspace.graph.stages.values() for out in stage.outs]
    hint = did_you_mean(path, [*beside, *outs])
    return hint if hint and hint.startswith("did you mean") else None
