"""Decide: is a stage out of date, and why."""

from __future__ import annotations

from dodo_exp.engine import fingerprint
from dodo_exp.pipeline.lockfile import FORGOTTEN
from dodo_exp.pipeline.values import ABSENT
from dodo_store.named import Named
from dodo_store.oid import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dodo_exp.engine.fingerprint import Change, Fingerprint
    from dodo_exp.engine.workspace import Workspace
    from dodo_exp.pipeline.lockfile import StageRecord
    from dodo_exp.pipeline.model import Stage
    from dodo_store.oid import Oid
    from dodo_store.tree import Node

GOES_ON = "goes on"
"""The kind of reason that a stage with checkpoints has though nothing is out of date."""


class Reason(Named):
    """Why a stage is out of date: `kind` is new, forgotten, always, forced, goes on, changed,
    missing or edited (an output)."""

    kind: str
    name: str
    text: str
    change: Change | None = None

    def __str__(self) -> str:
        return self.text


class Verdict(Named):
    """A stage as it stands: what it would be made from now, and why that is not what it has."""

    stage: Stage
    print: Fingerprint
    reasons: tuple[Reason, ...]


def going_on(reasons: tuple[Reason, ...], where: str) -> tuple[Reason, ...]:
    """The reasons of a stage that goes on from a step, called *where*.

    That its outputs are that step's, or are not there, is no reason of its own.
    """
    own = ("new", "edited", GOES_ON)
    others = (reason for reason in reasons if reason.kind not in own)
    return (Reason(GOES_ON, "", f"goes on from {where}"), *others)


def judge(
    workspace: Workspace,
    stage: Stage,
    known: dict[str, Oid] | None = None,
    *,
    allow_missing: bool = False,
) -> Verdict:
    """Compare a stage with its record; *known* digests stand for files not yet there.

    A frozen stage is taken as it is: it is only out of date where an output is missing.
    With *allow_missing*, a missing dependency is as recorded, and a missing output no reason.
    """
    record = workspace.record(stage)
    if allow_missing:
        known = {**as_recorded(workspace, stage), **(known or {})}
    found = fingerprint.take(stage, workspace, known, record.lines if record else ())
    reasons: list[Reason] = []
    if stage.frozen:
        missing = () if allow_missing else missing_outs(workspace, stage)
        return Verdict(stage, found, missing)
    if allow_missing and record is None and workspace.is_made_by_dvc(stage, allow_missing=True):
        return Verdict(stage, found, ())
    if stage.runs_always:
        word = "always_changed" if stage.always else "it has no inputs and no outputs to compare"
        reasons.append(Reason("always", "", f"runs every time ({word})"))
    if record is None:
        reasons.append(Reason("new", "", "not run yet"))
    elif record.key == FORGOTTEN:
        reasons.append(Reason("forgotten", "", "was forgotten: is to run again"))
    elif record.lines is not found.lines:
        reasons += [
            Reason("changed", change.name, str(change), change)
            for change in fingerprint.changes(record.lines, found.lines)
        ]
    if record is not None:
        outs = _out_reasons(workspace, stage, record)
        reasons += [each for each in outs if each.kind != "missing" or not allow_missing]
    return Verdict(stage, found, tuple(reasons))


def missing_outs(workspace: Workspace, stage: Stage) -> tuple[Reason, ...]:
    """A reason for each output that is not there."""
    reasons = _out_reasons(workspace, stage, workspace.record(stage))
    return tuple(reason for reason in reasons if reason.kind == "missing")


def as_recorded(workspace: Workspace, stage: Stage) -> dict[str, Oid]:
    """Digests of missing dependencies, as the last run of their makers or of *stage* had them."""
    record = workspace.record(stage)
    found: dict[str, Oid] = {}
    if record is None:
        return found
    for path in stage.deps:
        if "://" in path or workspace.digest(path) is not None:
            continue
        maker = workspace.graph.maker(path)
        made = workspace.records.get(maker) if maker is not None else None
        node = dict(made.outs).get(path) if made is not None else None
        values = [line.value for line in record.lines if line[:2] == ("dep", path)]
        if node is not None:
            found[path] = node.digest
        elif values and values[0] != ABSENT:
            found[path] = parse(values[0])
    return found


def _out_reasons(workspace: Workspace, stage: Stage, record: StageRecord | None) -> list[Reason]:
    recorded: dict[str, Node] = dict(record.outs) if record else {}
    reasons: list[Reason] = []
    for out in stage.outs:
        node = recorded.get(out.path)
        digest = workspace.out_digest(out.path)
        if digest is None:
            reasons.append(Reason("missing", out.path, f"output {out.path} is missing"))
        elif node is not None and digest != node.digest:
            text = f"output {out.path} is not as the stage made it"
            reasons.append(Reason("edited", out.path, text))
    return reasons
