"""Data: what the user has added to the project without a stage that makes it; see `dodo add`.

The root's dodo.lock names it. It is compared, brought back where it is missing, and never changed.
"""

from __future__ import annotations

import os

from dodo_exp.events import Note
from dodo_store import restore
from dodo_store.errors import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from dodo_exp.engine.workspace import Workspace
    from dodo_exp.events import Listener
    from dodo_exp.pipeline.model import Stage


def states(workspace: Workspace) -> dict[str, str]:
    """Of what is not as it was added, by path: missing or changed."""
    found = {}
    for path, node in sorted(workspace.data.items()):
        digest = workspace.out_digest(path)
        if digest != node.digest:
            found[path] = "missing" if digest is None else "changed"
    return found


def can_come_back(workspace: Workspace, path: str) -> bool:
    """Whether what is at *path* is, or is in, or holds data that is missing and in the store."""
    return any(
        _meet(each, path) and not _is_there(workspace, each) and workspace.store.is_whole(node)
        for each, node in workspace.data.items()
    )


def around(workspace: Workspace, path: str) -> str | None:
    """The added file or folder that a path is, or is in."""
    return next((e for e in workspace.data if path == e or path.startswith(f"{e}/")), None)


def bring_back(workspace: Workspace, stages: Iterable[Stage], listener: Listener) -> bool:
    """Restore what stages read and what is missing; whether there was any.

    The caller holds the workspace, which reads anew afterwards.
    """
    inputs = [path for stage in stages for path in stage.inputs]
    wanted = [
        (path, node)
        for path, node in workspace.data.items()
        if not _is_there(workspace, path) and any(_meet(path, each) for each in inputs)
    ]
    done = False
    with workspace.store.scratch() as scratch:
        for path, node in wanted:
            try:
                restore.restore(workspace.store, node, workspace.root, path, scratch)
            except StoreError:
                continue  # that it is missing is told where all missing inputs are
            restore.sync(workspace.root, [path])
            listener(Note("info", f"{path} was missing: it is back as it was added"))
            done = True
    if done:
        workspace.forget()
    return done


def _is_there(workspace: Workspace, path: str) -> bool:
    return os.path.lexists(workspace.path(path))


def _meet(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")
