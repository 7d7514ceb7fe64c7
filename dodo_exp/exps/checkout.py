"""Checkout and commit: outputs made what dodo.lock says, and dodo.lock what the outputs are."""

from __future__ import annotations

import os

from dodo_exp.engine import fingerprint, history, session
from dodo_exp.engine.journal import journaled
from dodo_exp.engine.request import Request, select
from dodo_exp.errors import Failure, UsageError, did_you_mean
from dodo_exp.events import Note
from dodo_exp.exps.change import bring, exactly, take_in
from dodo_exp.pipeline import lockfile
from dodo_exp.pipeline.lockfile import StageRecord
from dodo_store import snapshot
from dodo_store.delta import Change
from dodo_store.errors import Changing, NotStorable
from dodo_store.named import Named
from dodo_store.pool import Batch
from dodo_store.walk import Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dodo_exp.engine.workspace import Workspace
    from dodo_exp.events import Listener
    from dodo_exp.pipeline.model import Out, Stage
    from dodo_exp.project import Project
    from dodo_store.tree import Node


class Restored(Named):
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
        added, others = _added(workspace, project, targets)
        parts, stages = {}, ()  # type: dict[str, Out], tuple[Stage, ...]
        if others or (not targets and workspace.files):
            parts, stages = _wanted(workspace, project, others, recursive, with_deps)
        missing = []
        wanted: list[tuple[str, Node | None]] = []
        recorded = [*_recorded(workspace, parts, stages), *added.items()]
        for path, node in recorded:
            if not workspace.store.is_whole(node):
                missing.append(path)
            elif relink or not _is_at(workspace, path, node):
                wanted.append((path, node))

        def plan(batch: Batch) -> list[Change]:
            if relink:
                return [Change(path, node, node) for path, node in wanted]
            return exactly(workspace, batch, wanted)

        done = bring(workspace, plan, command, listener)
        workspace.save_caches()
    return Restored(done.step, done.changes, tuple(missing))


def _added(
    workspace: Workspace, project: Project, targets: tuple[str, ...]
) -> tuple[dict[str, Node], tuple[str, ...]]:
    """Data that targets name, with what it was, and the targets that name none; see `dodo add`."""
    data = workspace.data
    if not targets:
        return data, ()
    paths = {target: workspace.inside(project.folder, target) for target in targets}
    named = {path: data[path] for path in paths.values() if path in data}
    return named, tuple(target for target, path in paths.items() if path not in named)


def _is_at(workspace: Workspace, path: str, node: Node) -> bool:
    """Whether a path is what a node says, modes and empty folders too."""
    here = workspace.out_look(path)
    return here is not None and (here.kind, here.oid) == (node.kind, node.oid)


def _recorded(
    workspace: Workspace, parts: dict[str, Out], stages: tuple[Stage, ...]
) -> Iterator[tuple[str, Node]]:
    """What the lock files say of the outputs of *stages*, and of *parts* of outputs.

    Raises:
        UsageError: a part that its output does not have.
    """
    recorded: dict[str, Node] = {}
    for record in workspace.records.values():
        recorded.update(record.outs)
    for path, out in parts.items():
        whole = recorded.get(out.path)
        inner = path[len(out.path) :].strip("/")
        node = workspace.store.find(whole, inner) if whole is not None else None
        if node is None:
            raise UsageError(f"{path!r} is not in what is recorded of output {out.path!r}")
        if out.is_stored:
            yield path, node
    for stage in stages:
        for out in stage.outs:
            if out.is_stored and out.path in recorded:
                yield out.path, recorded[out.path]


def _wanted(
    workspace: Workspace,
    project: Project,
    targets: tuple[str, ...],
    recursive: bool,
    with_deps: bool,
) -> tuple[dict[str, Out], tuple[Stage, ...]]:
    """Outputs, or parts of them, that were named as paths, and the stages that were named.

    Raises:
        UsageError
    """
    graph = workspace.graph
    parts: dict[str, Out] = {}
    makers: list[str] = []
    names: list[str] = []
    for target in targets:
        path = workspace.inside(project.folder, target)
        maker = None if recursive else graph.maker(path)
        outs = graph.stages[maker].outs if maker is not None else ()
        out = next((o for o in outs if path == o.path or path.startswith(f"{o.path}/")), None)
        if maker is None or out is None:
            names.append(target)
        else:
            parts[path] = out
            makers.append(maker)
    if parts and not names and not with_deps:
        return parts, ()
    request = Request(
        tuple(names), single_item=bool(names) and not with_deps and not recursive,
        recursive=recursive, all_pipelines=not targets,
    )  # fmt: skip
    try:
        stages = select(workspace, request, project.folder).stages if names or not parts else ()
    except UsageError:
        _suggest(workspace, names, project)
        raise
    before = graph.select(makers).stages if with_deps else ()
    also = tuple(each for each in before if each.address not in makers and each not in stages)
    return parts, (*stages, *also)


def _suggest(workspace: Workspace, names: list[str], project: Project) -> None:
    """Of names that mean nothing, one may be meant for an output.

    Raises:
        UsageError
    """
    stages = workspace.graph.stages.values()
    outs = [project.shown(out.path) for stage in stages for out in stage.outs]
    for name in names:
        hint = did_you_mean(name, outs)
        if hint and hint.startswith("did you mean") and name not in workspace.graph.stages:
            raise UsageError(f"no stage or output {name!r}", hint)


def commit(
    project: Project,
    targets: tuple[str, ...],
    command: str,
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
        parts, stages = _wanted(workspace, project, targets, recursive, with_deps)
        makers = {workspace.graph.maker(path) or "" for path in parts}
        makers -= {stage.address for stage in stages}
        stages = (*stages, *(workspace.graph.stages[name] for name in sorted(makers)))
        made = []
        locks = {lockfile.beside(stage.file): None for stage in stages}
        with workspace.store.writing():
            before = _texts(workspace, locks)
            with journaled(workspace) as journal:
                whole = {stage.address for stage in stages if _is_kept(workspace, stage)}
                records = [(stage, _as_it_lies(workspace, stage)) for stage in stages]
                for stage, record in records:
                    if record != workspace.record(stage) or stage.address not in whole:
                        journal.finish_stage(stage.file, stage.name, record, [])
                        made.append(stage.address)
            if made:
                history.add(workspace.store, command, _edited(workspace, locks, before))
        workspace.forget()
        workspace.save_caches()
    return made


def _is_kept(workspace: Workspace, stage: Stage) -> bool:
    """Whether the store has every output that is on record and that it may have."""
    record = workspace.record(stage)
    nodes = dict(record.outs) if record is not None else {}
    stored = (nodes[out.path] for out in stage.outs if out.is_stored and out.path in nodes)
    return all(map(workspace.store.is_whole, stored))


def _texts(workspace: Workspace, paths: Iterable[str]) -> dict[str, Node | None]:
    """Files as they are, in the store."""
    with workspace.store.scratch() as scratch:
        batch = Batch(scratch)
        found = {path: take_in(workspace, batch, path) for path in paths}
        batch.commit()
    return found


def _edited(
    workspace: Workspace, paths: Iterable[str], before: dict[str, Node | None]
) -> tuple[Change, ...]:
    after = _texts(workspace, paths)
    made = (Change(path, before[path], after[path]) for path in paths)
    return tuple(change for change in made if change.old != change.new)


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
