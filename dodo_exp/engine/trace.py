"""Trace: what a run has changed among outputs and lock files, for taking it back."""

from __future__ import annotations

from dodo_exp.engine.workspace import Workspace
from dodo_exp.pipeline import lockfile
from dodo_store.oid import of_bytes
from dodo_store.pool import Batch
from dodo_store.restore import Change
from dodo_store.tree import FILE, Node


class Before:
    """A workspace's records and lock files as they are when a run begins."""

    def __init__(self, workspace: Workspace) -> None:
        self._outs = _outs(workspace)
        self._locks = _locks(workspace)

    def changes(self, workspace: Workspace) -> tuple[Change, ...]:
        """From then to now, by what the records say; both sides are in the store afterwards."""
        now, locks = _outs(workspace), _locks(workspace)
        made = [
            Change(path, self._outs.get(path), now.get(path))
            for path in sorted(self._outs.keys() | now.keys())
            if self._outs.get(path) != now.get(path)
        ]
        store = workspace.store
        with store.scratch() as scratch:
            batch = Batch(scratch)

            def kept(text: bytes | None) -> Node | None:
                if text is None:
                    return None
                oid = of_bytes(text)
                batch.add_bytes(store.objects, oid, text)
                return Node(FILE, oid, len(text), oid)

            for path in sorted(self._locks.keys() | locks.keys()):
                old, new = self._locks.get(path), locks.get(path)
                if old != new:
                    made.append(Change(path, kept(old), kept(new)))
            batch.commit()
        return tuple(each for each in made if all(map(store.is_whole, _sides(each))))


def _sides(change: Change) -> list[Node]:
    return [node for node in (change.old, change.new) if node is not None]


def _outs(workspace: Workspace) -> dict[str, Node]:
    """Stored outputs by their path, as recorded."""
    stored = {
        out.path for stage in workspace.graph.stages.values() for out in stage.outs if out.is_stored
    }
    found: dict[str, Node] = {}
    for record in workspace.records.values():
        found.update((path, node) for path, node in record.outs if path in stored)
    return found


def _locks(workspace: Workspace) -> dict[str, bytes | None]:
    found: dict[str, bytes | None] = {}
    for pipeline in workspace.files:
        path = lockfile.beside(pipeline)
        try:
            with open(workspace.path(path), "rb") as file:
                found[path] = file.read()
        except (FileNotFoundError, NotADirectoryError):
            found[path] = None
    return found
