"""Prune: what stages had made for files that are gone, in groups with a stage for each file.

Only outputs that the store can bring back are removed; others are kept under `.dodo/replaced`.
"""

from __future__ import annotations

import os

from dodo_exp.events import Note
from dodo_exp.pipeline.model import address, seen_from_here
from dodo_store.named import Named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dodo_exp.engine.journal import Journal
    from dodo_exp.engine.workspace import Workspace
    from dodo_exp.events import Listener
    from dodo_exp.pipeline.graph import Selection
    from dodo_exp.pipeline.lockfile import StageRecord


class Vanished(Named):
    """A stage on record whose file is gone, and those of its outputs that nobody else needs."""

    pipeline: str
    name: str
    record: StageRecord
    outs: tuple[str, ...]


def vanished(workspace: Workspace, selection: Selection) -> list[Vanished]:
    """Stages on record that the selected groups have no longer."""
    found = []
    for path, file in workspace.files.items():
        for group in file.globs:
            names = {stage.name: stage.address for stage in file.stages if stage.group == group}
            if not all(name in selection.after for name in names.values()):
                continue
            for name, record in workspace.known_records(path).items():
                if name.partition("@")[0] == group and "@" in name and name not in names:
                    found.append(Vanished(path, name, record, _unneeded(workspace, record)))
    return found


def _unneeded(workspace: Workspace, record: StageRecord) -> tuple[str, ...]:
    graph = workspace.graph
    inputs = {path for stage in graph.stages.values() for path in stage.inputs}
    inputs -= {path for file in workspace.files.values() for path in file.matched}
    return tuple(
        path
        for path, _ in record.outs
        if graph.maker(path) is None
        and not graph.made_inside(path)
        and path not in inputs
        and not path.startswith(("/", "../"))
        and not workspace.leads_outside(path)
        and os.path.lexists(workspace.path(path))
    )


def prune(workspace: Workspace, journal: Journal, gone: list[Vanished], listener: Listener) -> None:
    """Remove the outputs and forget the stages; survives being killed like a stage's run.

    Afterwards the workspace reads anew: the outputs may have matched a pattern themselves.
    """
    for stage in gone:
        nodes = dict(stage.record.outs)
        known = {
            path
            for path in stage.outs
            if workspace.out_digest(path) == nodes[path].digest
            and workspace.store.is_whole(nodes[path])
        }
        name = address(stage.pipeline, stage.name)
        moves = journal.aside(name, list(stage.outs), known)
        kept = journal.drop_stage(stage.pipeline, stage.name, moves)
        what = ", ".join(stage.outs) or "nothing"
        listener(Note("info", f"{name!r} has no file any more: removed {what}"))
        if kept is not None:
            where = seen_from_here(workspace.root, kept)
            listener(Note("info", f"outputs that the store does not have are kept in {where}"))
    if gone:
        workspace.forget()
