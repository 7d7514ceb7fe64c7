"""Change: bring paths of the workspace from one state to another, with the way back kept first.

Everything that a command overwrites or removes is in the store, and its name durable in the
journal, before the first file is touched; a command that is killed half-way is undone by the next.
"""

from __future__ import annotations

import os
import stat

from dodo_exp.engine import history
from dodo_exp.engine.journal import journaled
from dodo_exp.errors import Damage, DodoError, Failure
from dodo_exp.events import Note
from dodo_exp.exps import state
from dodo_store import restore, snapshot
from dodo_store.delta import changes
from dodo_store.errors import Damaged, Missing, NotStorable
from dodo_store.ignore import Ignore
from dodo_store.named import Named
from dodo_store.oid import of_bytes
from dodo_store.pool import Batch
from dodo_store.tree import FOLDER, LINK, is_reserved
from dodo_store.walk import Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dodo_exp.engine.workspace import Workspace
    from dodo_exp.events import Listener
    from dodo_store.delta import Change
    from dodo_store.store import Store
    from dodo_store.tree import Node


class Done(Named):
    """What was changed: its step in the history (None: nothing had to be) and the changes."""

    step: int | None
    changes: tuple[Change, ...]


def bring(
    workspace: Workspace,
    plan: Callable[[Batch], Iterable[Change]],
    command: str,
    listener: Listener,
    *,
    refs: tuple[history.Renamed, ...] = (),
    undoes: int | None = None,
) -> Done:
    """Carry out what *plan* comes to; the caller holds the workspace.

    The plan takes what is in the way into the batch it is given.

    Raises:
        Failure: a path leads outside.
        Damage: the store does not have what is wanted.
    """
    store = workspace.store
    left: list[str] = []
    with journaled(workspace) as journal, store.scratch() as scratch, store.writing():
        batch = Batch(scratch)
        try:
            made = tuple(plan(batch))
            batch.commit()
            if not made and not refs:
                return Done(None, ())
            for change in made:
                _check_whole(workspace, change)
                _check_room(workspace, change)
                _check_link(workspace, change)
            restore.check_ways(store, made, workspace.root, scratch)
            held = state.held(store)
            token = os.urandom(8).hex()
            shared = _shared(workspace)
            left = journal.change(list(made), scratch, token, shared) if made else []
            step = history.add(store, command, made, refs, held=held, undoes=undoes, token=token)
            journal.changed()
        except NotStorable as error:
            raise Failure(f"{error.path}: {error}") from None
        except (Missing, Damaged) as error:
            hint = "`dodo store check --repair` says what is lost and mends what it can"
            raise Damage(f"{error.path}: {error}", hint) from None
        finally:
            batch.drop()
    for path in left:
        listener(Note("warning", f"{path}: the folder stays, there is more in it"))
    workspace.forget()
    return Done(step, made)


def _shared(workspace: Workspace) -> set[str]:
    """Outputs that may share their content with the store, where the settings want it."""
    if not workspace.store.links:
        return set()
    stages = workspace.graph.stages.values()
    return {out.path for stage in stages for out in stage.outs if stage.may_share(out)}


def to_nodes(
    workspace: Workspace,
    batch: Batch,
    wanted: Iterable[tuple[str, Node | None, tuple[Node | None, ...]]],
) -> list[Change]:
    """From what lies at each path now, which is taken in, to the node beside it.

    Below a folder only that counts which the node has, or one of the others beside it: whatever
    else is there is nobody's business.
    """
    made = []
    for path, new, others in wanted:
        if is_reserved(path):
            continue  # recorded by an earlier version; the one that is there is not touched
        only = Only(workspace.store, path, (new, *others))
        now = take_in(workspace, batch, path, only)
        batch.commit()  # trees that are compared must be readable
        made += list(changes(workspace.store, now, new, path))
    return made


def exactly(
    workspace: Workspace, batch: Batch, wanted: Iterable[tuple[str, Node | None]]
) -> list[Change]:
    """From what lies at each path now, all that is in it taken in, to what shall be there."""
    made: list[Change] = []
    for path, new in wanted:
        now = take_in(workspace, batch, path)
        batch.commit()  # trees that are compared must be readable
        made += changes(workspace.store, now, new, path)
    return made


class Only(Ignore):
    """Passes over all but the paths that some nodes have."""

    def __init__(self, store: Store, path: str, nodes: tuple[Node | None, ...]) -> None:
        super().__init__("", (), defaults=False)
        self._inside: dict[str, list[str]] = {}
        self._paths = {path}
        for node in nodes:
            if node is not None:
                self._add(store, path, node)
        self.tag = "only"

    def _add(self, store: Store, path: str, node: Node) -> None:
        self._paths.add(path)
        if node.kind == FOLDER:
            for name, inner in store.tree(node.oid):
                self._inside.setdefault(path, []).append(name)
                self._add(store, f"{path}/{name}" if path else name, inner)

    def skips(self, path: str, is_folder: bool) -> bool:
        """Whether nobody has it."""
        return path not in self._paths

    def is_default(self, path: str, is_folder: bool) -> bool:
        """There are no defaults."""
        return False

    def mark(self, folder: str, folders: list[str]) -> bytes:
        """Moves with what is passed over in the folder."""
        names = sorted(self._inside.get(folder, ()))
        return of_bytes("/".join(names).encode(errors="surrogateescape"))


def _check_whole(workspace: Workspace, change: Change) -> None:
    """Before anything is touched: can the store give what is wanted?

    Raises:
        Damaged, Missing
    """
    if change.new is None or workspace.store.is_whole(change.new):
        return
    from dodo_store.reach import Reach, Root

    reach = Reach(workspace.store)
    reach.follow([Root("change", change.path, change.path, nodes=(change.new,))])
    for lack in reach.lacks:
        raise Damaged(lack.path, f"{lack.what}, needed for {change.path!r}")


def _check_room(workspace: Workspace, change: Change) -> None:
    """A file that is to be in a folder's place must not push out what nobody has kept.

    Raises:
        Failure
    """
    if change.old is None or change.new is None or change.old.kind != FOLDER:
        return
    if change.new.kind == FOLDER:
        return
    only = Only(workspace.store, change.path, (change.old,))
    for folder, names, files in os.walk(workspace.path(change.path)):
        for name in (*names, *files):
            path = os.path.relpath(os.path.join(folder, name), workspace.root)
            if only.skips(path, False):
                raise Failure(
                    f"{change.path}: a file is to be put there, and {path!r} is in the folder",
                    "nothing was changed; move it out of the way first",
                )


def _check_link(workspace: Workspace, change: Change) -> None:
    """An output that is the user's link to another disk is never replaced.

    Raises:
        Failure
    """
    if change.old is None or change.old.kind != LINK:
        return
    target = workspace.link_outside(change.path)
    if target is None:
        return
    try:
        stages = workspace.graph.stages.values()
    except DodoError:
        return  # what is an output cannot be told
    if any(out.path == change.path for stage in stages for out in stage.outs):
        raise Failure(
            f"{change.path}: this output is a link that leads outside the project, to {target!r}",
            "nothing was changed; remove the link, or move it out of the way, first",
        )


def take_in(
    workspace: Workspace, batch: Batch, path: str, ignore: Ignore | None = None
) -> Node | None:
    """Whatever lies at a path, into the store; None for nothing."""
    source = Source(
        workspace.root, workspace.stamps, ignore or workspace.output_ignore, strict=False
    )
    try:
        found = os.lstat(workspace.path(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    kept = (stat.S_ISREG, stat.S_ISDIR, stat.S_ISLNK)
    if not any(is_kind(found.st_mode) for is_kind in kept):
        raise NotStorable(path, "neither a file, a folder nor a link; it is in the way")
    return snapshot.take(workspace.store, batch, source, path)
