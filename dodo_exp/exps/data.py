"""Data: keep files and folders that no stage makes; see engine/data.py."""

from __future__ import annotations

import os

from dodo_exp.engine import session
from dodo_exp.errors import Failure, UsageError, did_you_mean
from dodo_exp.exps import change
from dodo_exp.exps.capture import Progress
from dodo_exp.exps.clean import text_node
from dodo_exp.pipeline import lockfile
from dodo_exp.pipeline.lockfile import DATA, StageRecord
from dodo_exp.pipeline.model import PIPELINE_FILE
from dodo_exp.project import STATE
from dodo_store import snapshot
from dodo_store.errors import Changing, NotStorable
from dodo_store.pool import Batch
from dodo_store.tree import is_reserved
from dodo_store.walk import Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from dodo_exp.engine.workspace import Workspace
    from dodo_exp.events import Listener
    from dodo_exp.project import Project
    from dodo_store.delta import Change
    from dodo_store.tree import Node


def add(
    project: Project, paths: Iterable[str], command: str, listener: Listener
) -> dict[str, Node]:
    """Take what lies at some paths into the store and let dodo.lock name it; returns it all.

    Raises:
        UsageError: not there, outside the project, or made by a stage.
        Busy, Failure, Stopped
    """
    with session.begin(project, listener) as workspace:
        inside = [_checked(workspace, project, path) for path in dict.fromkeys(paths)]
        store = workspace.store
        with store.writing():
            taken = _taken(workspace, inside, listener)
            records = {
                f"{DATA}{path}": StageRecord(node.digest, (), ((path, node),))
                for path, node in taken.items()
            }
            old = {
                name: record
                for name, record in _records(workspace).items()
                if not any(name.startswith(f"{DATA}{path}/") for path in inside)
            }
            _write(workspace, {**old, **records}, command, listener)
        workspace.save_caches()
    return taken


def forget(project: Project, paths: Iterable[str], command: str, listener: Listener) -> list[str]:
    """Let dodo.lock name some paths no longer; the files stay.

    Raises:
        UsageError: not added.
        Busy, Failure, Stopped
    """
    with session.begin(project, listener) as workspace:
        inside = [project.inside(path) for path in dict.fromkeys(paths)]
        for path in inside:
            if path not in workspace.data:
                shown, known = project.shown(path), map(project.shown, workspace.data)
                raise UsageError(f"{shown!r} was not added", did_you_mean(shown, known, "added"))
        gone = {f"{DATA}{path}" for path in inside}
        left = {name: each for name, each in _records(workspace).items() if name not in gone}
        _write(workspace, left, command, listener)
    return inside


def _records(workspace: Workspace) -> dict[str, StageRecord]:
    if PIPELINE_FILE in workspace.files:
        return workspace.known_records(PIPELINE_FILE)
    return workspace.lock_records(PIPELINE_FILE)


def _write(
    workspace: Workspace, records: dict[str, StageRecord], command: str, listener: Listener
) -> None:
    def plan(batch: Batch) -> list[Change]:
        node = text_node(workspace, batch, records)
        return change.to_nodes(workspace, batch, [(lockfile.LOCK_FILE, node, ())])

    change.bring(workspace, plan, command, listener)


def _taken(workspace: Workspace, paths: list[str], listener: Listener) -> dict[str, Node]:
    source = Source(workspace.root, workspace.stamps, workspace.output_ignore, strict=True)
    with workspace.store.scratch() as scratch:
        batch = Batch(scratch, Progress(listener, "adding"))
        try:
            taken = {path: snapshot.take(workspace.store, batch, source, path) for path in paths}
            batch.commit()
        except (NotStorable, Changing) as error:
            raise Failure(f"{error.path}: {error}") from None
        finally:
            batch.drop()
    return taken


def _checked(workspace: Workspace, project: Project, given: str) -> str:
    """The path, relative to the root, if it may be added.

    Raises:
        UsageError
    """
    path = project.inside(given)
    if path == ".":
        raise UsageError("the whole project cannot be added", "name what is in it")
    if path.startswith(("/", "../")) or path == ".." or workspace.leads_outside(path):
        raise UsageError(f"{given!r} is outside the project")
    if is_reserved(path):
        whose = "dodo itself" if STATE in path.split("/") else "Git"
        raise UsageError(f"{given!r} belongs to {whose}")
    try:
        path.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(given).decode(errors="backslashreplace")
        raise UsageError(f"the name '{shown}' is not UTF-8", "rename it") from None
    if not os.path.lexists(workspace.path(path)):
        beside = os.path.dirname(workspace.path(path))
        names = os.listdir(beside)[:1000] if os.path.isdir(beside) else []
        hint = did_you_mean(os.path.basename(path), names)
        raise UsageError(f"{given!r} is not there", hint)
    if os.path.islink(workspace.path(path)):
        raise UsageError(f"{given!r} is a link: what it leads to would not be kept")
    maker = workspace.graph.maker(path)
    if maker is not None:
        raise UsageError(f"stage {maker!r} makes {given!r}, and it is kept with that")
    made = workspace.graph.made_inside(path)
    if made:
        shown = project.shown(made[0])
        raise UsageError(f"{given!r} holds {shown!r}, which a stage makes", "add the other files")
    around = [each for each in workspace.data if path.startswith(f"{each}/")]
    if around:
        shown = project.shown(around[0])
        raise UsageError(f"{given!r} is in {shown!r}, which was added", f"add {shown!r}")
    return path
