"""Clean: take away what stages have made, or what is known of it, with the way back kept."""

from __future__ import annotations

from collections.abc import Iterable

from dodo_exp.engine import session
from dodo_exp.engine.workspace import Workspace
from dodo_exp.events import Listener
from dodo_exp.exps import change
from dodo_exp.pipeline import lockfile
from dodo_exp.pipeline.model import Stage
from dodo_exp.project import Project
from dodo_store.oid import of_bytes
from dodo_store.pool import Batch
from dodo_store.restore import Change
from dodo_store.tree import FILE, Node


def clean(project: Project, stages: Iterable[Stage], command: str, listener: Listener) -> None:
    """Remove the outputs of stages. The store keeps them: they come back without a run.

    Raises:
        Busy, Failure, Stopped
    """
    paths = [out.path for stage in stages for out in stage.outs if out.is_inside]
    with session.begin(project, listener) as workspace:

        def plan(batch: Batch) -> list[Change]:
            return change.to_nodes(workspace, batch, [(path, None, ()) for path in paths])

        change.bring(workspace, plan, command, listener)


def forget(project: Project, stages: Iterable[Stage], command: str, listener: Listener) -> None:
    """Forget that stages have run: they run the next time, and nothing is taken from the run-cache.

    Raises:
        Busy, Failure, Stopped
    """
    with session.begin(project, listener) as workspace:
        known = {stage.address: stage for stage in stages}
        for name in known:
            record = workspace.records.get(name)
            if record is not None:
                workspace.store.runs.drop(record.key)

        def plan(batch: Batch) -> list[Change]:
            return without_records(workspace, batch, known.values())

        change.bring(workspace, plan, command, listener)


def without_records(workspace: Workspace, batch: Batch, stages: Iterable[Stage]) -> list[Change]:
    """Lock files as they are without what they say of some stages."""
    names: dict[str, set[str]] = {}
    for stage in stages:
        names.setdefault(stage.file, set()).add(stage.name)
    wanted: list[tuple[str, Node | None, tuple[Node | None, ...]]] = []
    for file, gone in names.items():
        known = workspace.known_records(file)
        left = {name: record for name, record in known.items() if name not in gone}
        if len(left) < len(known):
            wanted.append((lockfile.beside(file), text_node(workspace, batch, left), ()))
    return change.to_nodes(workspace, batch, wanted)


def text_node(
    workspace: Workspace, batch: Batch, records: dict[str, lockfile.StageRecord]
) -> Node | None:
    """A lock file with these records, in the store; none for none."""
    if not records:
        return None
    data = lockfile.dump(records).encode()
    oid = of_bytes(data)
    batch.add_bytes(workspace.store.objects, oid, data)
    return Node(FILE, oid, len(data), oid)
