"""Trace: what a run has changed among outputs, lock files and params, for taking it back."""

from __future__ import annotations

import os
import stat

from dodo_exp.engine import history
from dodo_exp.pipeline import lockfile
from dodo_store import snapshot
from dodo_store.delta import Change
from dodo_store.errors import Changing, NotStorable
from dodo_store.oid import of_bytes
from dodo_store.pool import Batch
from dodo_store.tree import EXEC, FILE, Node
from dodo_store.walk import Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from dodo_exp.engine.workspace import Workspace
    from dodo_exp.pipeline.graph import Graph
    from dodo_exp.pipeline.lockfile import StageRecord

Text = tuple[int, bytes]
"""A small file: its kind as a node has it, and its bytes."""


class Before:
    """A workspace's records, lock files and *files* as they are before a run."""

    def __init__(self, workspace: Workspace, files: Iterable[str] = ()) -> None:
        self._files = tuple(files)
        self._graph = workspace.graph
        self._records = workspace.records
        self._of_dvc = _made_by_dvc(workspace)
        self._texts = self._read(workspace)

    def remember(
        self,
        workspace: Workspace,
        command: str,
        *,
        held: str | None = None,
        outs: Iterable[Change] = (),
    ) -> None:
        """Keep the difference from then to now, if any, as a step that can be undone.

        Of the outputs *outs* the records do not say the truth: they have changed like this.
        """
        with workspace.store.writing():
            changes = self._changes(workspace, {each.path: each for each in outs})
            if changes:
                history.add(workspace.store, command, changes, held=held)

    def _changes(self, workspace: Workspace, known: dict[str, Change]) -> tuple[Change, ...]:
        """By what the records say, but for what is *known*; both are in the store afterwards."""
        then, here = self._outs_then_and_now(workspace)
        texts, store = self._read(workspace), workspace.store
        made = [
            Change(path, then.get(path), here.get(path))
            for path in sorted(then.keys() | here.keys())
            if then.get(path) != here.get(path) and path not in known
        ]
        made += (each for each in known.values() if each.old != each.new)
        with store.scratch() as scratch:
            batch = Batch(scratch)

            def kept(text: Text | None) -> Node | None:
                if text is None:
                    return None
                kind, data = text
                oid = of_bytes(data)
                batch.add_bytes(store.objects, oid, data)
                return Node(kind, oid, len(data), oid)

            for path in sorted(self._texts.keys() | texts.keys()):
                old, new = self._texts.get(path), texts.get(path)
                if old != new:
                    made.append(Change(path, kept(old), kept(new)))
            batch.commit()
        return tuple(
            each
            for each in made
            if all(node is None or store.is_whole(node) for node in (each.old, each.new))
        )

    def _outs_then_and_now(self, workspace: Workspace) -> tuple[dict[str, Node], dict[str, Node]]:
        """Stored outputs by path; where the stages are the same, of those with another record."""
        then, now = self._records, workspace.records
        names: Iterable[str] = then.keys() | now.keys()
        if workspace.graph is self._graph:
            names = [name for name in names if then.get(name) is not now.get(name)]
        old = _outs(self._graph, then, names)
        return {**self._of_dvc, **old}, _outs(workspace.graph, now, names)

    def _read(self, workspace: Workspace) -> dict[str, Text]:
        """Those of the small files that are there."""
        found: dict[str, Text] = {}
        for path in {*self._files, *map(lockfile.beside, workspace.files)}:
            try:
                with open(workspace.path(path), "rb") as file:
                    is_exec = os.fstat(file.fileno()).st_mode & stat.S_IXUSR
                    found[path] = (EXEC if is_exec else FILE, file.read())
            except (FileNotFoundError, NotADirectoryError):
                continue
        return found


def _made_by_dvc(workspace: Workspace) -> dict[str, Node]:
    """Outputs that only DVC's records know, taken into the store: they are to come back, too."""
    folders = {os.path.dirname(path) for path in workspace.files}
    locks = (workspace.path(os.path.join(folder, lockfile.DVC_LOCK)) for folder in folders)
    if not any(map(os.path.exists, locks)):
        return {}
    stages = [s for s in workspace.graph.stages.values() if workspace.is_made_by_dvc(s)]
    if not stages:
        return {}
    source = Source(workspace.root, workspace.stamps, workspace.output_ignore, strict=False)
    found: dict[str, Node] = {}
    with workspace.store.writing(), workspace.store.scratch() as scratch:
        batch = Batch(scratch)
        try:
            for out in (out for stage in stages for out in stage.outs):
                if out.is_stored and out.is_inside:
                    found[out.path] = snapshot.take(workspace.store, batch, source, out.path)
            batch.commit()
        except (NotStorable, Changing, FileNotFoundError):
            return {}  # whoever runs the stage tells
        finally:
            batch.drop()
    return found


def _outs(graph: Graph, records: dict[str, StageRecord], names: Iterable[str]) -> dict[str, Node]:
    """Stored outputs of some stages by their path, as recorded."""
    found: dict[str, Node] = {}
    for name in names:
        for path, node in records[name].outs if name in records else ():
            maker = graph.maker(path)
            outs = graph.stages[maker].outs if maker else ()
            if any(out.path == path and out.is_stored for out in outs):
                found[path] = node
    return found
