"""Checkout and commit: outputs made what dodo.lock says, and dodo.lock what the outputs are."""

from __future__ import annotations

import os
from typing import NamedTuple

from dodo_exp.engine import fingerprint, repro, session
from dodo_exp.engine.request import Request, select
from dodo_exp.engine.workspace import Workspace
from dodo_exp.errors import Failure, UsageError
from dodo_exp.events import Listener, Note
from dodo_exp.exps.change import bring, take_in
from dodo_exp.pipeline.lockfile import StageRecord
from dodo_exp.pipeline.model import Stage
from dodo_exp.project import Project
from dodo_store import snapshot
from dodo_store.errors import Changing, NotStorable
from dodo_store.pool import Batch
from dodo_store.restore import Change, changes
from dodo_store.tree import Node
from dodo_store.walk import Source


class Restored(NamedTuple):
    """What was done, path by path, and the outputs that the store does not have."""

    step: int | None
    changes: tuple[Change, ...]
    missing: tuple[str, ...]


def checkout(
    project: Project,
    targets: tuple[str, ...],
    command: str,
    listener: Listener,
    *,
    recursive: bool = False,
    with_deps: bool = False,
    relink: bool = False,
    wait: bool = True,
) -> Restored:
    """Make outputs what their stages' records say; what is in the way is kept for undo.

    Raises:
        BadInput, UsageError, Busy, Failure, Damage, Stopped
    """
    with session.begin(project, listener, wait=wait) as workspace:
        outs, stages = _wanted(workspace, project, targets, recursive, with_deps)
        missing = []
        wanted: list[tuple[str, Node | None]] = []
        for stage in stages:
            record = workspace.record(stage)
            recorded = dict(record.outs) if record is not None else {}
            for out in stage.outs:
                node = recorded.get(out.path)
                if node is None or not out.is_stored or (outs and out.path not in outs):
                    continue
                if not relink and workspace.out_digest(out.path) == node.digest:
                    continue
                if workspace.store.is_whole(node):
                    wanted.append((out.path, node))
                else:
                    missing.append(out.path)

        def plan(batch: Batch) -> list[Change]:
            if relink:
                return [Change(path, node, node) for path, node in wanted]
            return _exactly(workspace, batch, wanted)

        done = bring(workspace, plan, command, listener)
        workspace.save_caches()
    return Restored(done.step, done.changes, tuple(missing))


def _exactly(
    workspace: Workspace, batch: Batch, wanted: list[tuple[str, Node | None]]
) -> list[Change]:
    """From outputs as they lie, all that is in them taken in, to what they shall be."""
    made = []
    for path, new in wanted:
        now = take_in(workspace, batch, path)
        batch.commit()
        made += list(changes(workspace.store, now, new, path))
    return made


def _wanted(
    workspace: Workspace,
    project: Project,
    targets: tuple[str, ...],
    recursive: bool,
    with_deps: bool,
) -> tuple[set[str], tuple[Stage, ...]]:
    """The outputs that were named (none: all) and the stages to look at.

    Raises:
        UsageError
    """
    outs: set[str] = set()
    names: list[str] = []
    for target in targets:
        path = workspace.inside(project.folder, target)
        maker = workspace.graph.maker(path)
        stage = workspace.graph.stages.get(maker) if maker is not None else None
        if stage is not None and not recursive and any(out.path == path for out in stage.outs):
            outs.add(path)
            names.append(stage.address if stage.file == "dvc.yaml" else _full(project, stage))
        else:
            names.append(target)
    request = Request(
        tuple(names), single_item=bool(targets) and not with_deps and not recursive,
        recursive=recursive, all_pipelines=not targets,
    )  # fmt: skip
    return outs, select(workspace, request, project.folder).stages


def _full(project: Project, stage: Stage) -> str:
    return os.path.relpath(stage.file, project.folder or ".") + f":{stage.name}"


def commit(
    project: Project,
    targets: tuple[str, ...],
    listener: Listener,
    *,
    recursive: bool = False,
    with_deps: bool = False,
    wait: bool = True,
) -> list[str]:
    """Record the stages' inputs and outputs as they lie, as if they had just run; says which.

    The run-cache is left alone: nobody vouches that these inputs make these outputs elsewhere.

    Raises:
        BadInput, UsageError, Busy, Failure, Stopped
    """
    with session.begin(project, listener, wait=wait) as workspace:
        _, stages = _wanted(workspace, project, targets, recursive, with_deps)
        made = []
        with repro.journaled(workspace) as journal, workspace.store.writing():
            for stage in stages:
                record = _as_it_lies(workspace, stage)
                if record == workspace.record(stage):
                    continue
                journal.finish_stage(stage.file, stage.name, record, [])
                made.append(stage.address)
        workspace.forget()
        workspace.save_caches()
    return made


def _as_it_lies(workspace: Workspace, stage: Stage) -> StageRecord:
    """What a run that ended just now would have recorded.

    Raises:
        UsageError: an input or output is not there.
        Failure: an output cannot be kept.
    """
    found = fingerprint.take(stage, workspace)
    if found.missing:
        names = ", ".join(repr(line.name.rstrip(":")) for line in found.missing)
        raise UsageError(f"{stage.at}: stage {stage.address!r} needs {names}: not there")
    source = Source(workspace.root, workspace.stamps, workspace.output_ignore, strict=True)
    nodes = []
    with workspace.store.scratch() as scratch:
        batch = Batch(scratch)
        try:
            for out in sorted(stage.outs, key=lambda out: out.path):
                if not os.path.lexists(workspace.path(out.path)):
                    raise UsageError(f"{stage.at}: output {out.path!r} is not there")
                if out.is_stored:
                    nodes.append(
                        (out.path, snapshot.take(workspace.store, batch, source, out.path))
                    )
                else:
                    nodes.append((out.path, workspace.out_node(out.path)))
            batch.commit()
        except (NotStorable, Changing) as error:
            raise Failure(f"{stage.at}: output {error.path!r}: {error}") from None
        finally:
            batch.drop()
    return StageRecord(found.key, found.lines, tuple(nodes))


def tell_missing(missing: tuple[str, ...], listener: Listener) -> None:
    """Name outputs that the store does not have."""
    for path in missing:
        listener(Note("warning", f"{path}: its recorded content is not in the store"))
