"""Clean: take away what stages have made, or what is known of it, with the way back kept."""

from __future__ import annotations

from dodo_exp.engine import session
from dodo_exp.exps import change
from dodo_exp.pipeline import lockfile
from dodo_store.oid import of_bytes
from dodo_store.tree import FILE, Node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from dodo_exp.engine.workspace import Workspace
    from dodo_exp.events import Listener
    from dodo_exp.pipeline.model import Stage
    from dodo_exp.project import Project
    from dodo_store.delta import Change
    from dodo_store.pool import Batch


def take_away(
    project: Project,
    command: str,
    listener: Listener,
    *,
    outs_of: Iterable[Stage] = (),
    records_of: Iterable[Stage] = (),
) -> None:
    """Remove what stages have made, and forget that stages have run; one step to undo.

    Outputs stay in the store and come back without a run. What is forgotten runs the next time:
    the run-cache does not know it any more, either.

    Raises:
        Busy, Failure, Stopped
    """
    forgotten = tuple(records_of)
    paths = [out.path for stage in outs_of for out in stage.outs if out.is_inside]
    with session.begin(project, listener) as workspace:
        for stage in forgotten:
            record = workspace.records.get(stage.address)
            if record is not None:
                workspace.store.runs.drop(record.key)

        def plan(batch: Batch) -> list[Change]:
            made = change.exactly(workspace, batch, [(path, None) for path in paths])
            return made + without_records(workspace, batch, forgotten, keep_outs=True)

        change.bring(workspace, plan, command, listener)


def without_records(
    workspace: Workspace, batch: Batch, stages: Iterable[Stage], *, keep_outs: bool = False
) -> list[Change]:
    """Lock files as they are without what they say of some stages.

    With *keep_outs* they still say what the stages have made, so that this counts as known.
    """
    names: dict[str, set[str]] = {}
    for stage in stages:
        names.setdefault(stage.file, set()).add(stage.name)
    wanted: list[tuple[str, Node | None, tuple[Node | None, ...]]] = []
    for file, gone in names.items():
        known = workspace.known_records(file)
        left = {name: record for name, record in known.items() if name not in gone}
        if keep_outs:
            left |= {n: r._replace(key=lockfile.FORGOTTEN) for n, r in known.items() if n in gone}
        if left != known:
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
