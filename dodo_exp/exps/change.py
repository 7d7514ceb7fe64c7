"""Change: bring paths of the workspace from one state to another, with the way back kept first.

Everything that a command overwrites or removes is in the store, and its name durable in the
journal, before the first file is touched; a command that is killed half-way is undone by the next.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from typing import NamedTuple

from dodo_exp.engine import repro
from dodo_exp.engine.workspace import Workspace
from dodo_exp.errors import Damage, Failure
from dodo_exp.events import Listener, Note
from dodo_exp.exps import history, state
from dodo_store import snapshot
from dodo_store.errors import Damaged, Missing, NotStorable
from dodo_store.pool import Batch
from dodo_store.restore import Change, changes
from dodo_store.tree import Node
from dodo_store.walk import Source


class Done(NamedTuple):
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
    with repro.journaled(workspace) as journal, store.scratch() as scratch, store.writing():
        batch = Batch(scratch)
        try:
            made = tuple(plan(batch))
            batch.commit()
            if not made and not refs:
                return Done(None, ())
            for change in made:
                _check_whole(workspace, change)
            held = state.current(workspace)
            left = journal.change(list(made), scratch) if made else []
            step = history.add(store, command, made, refs, held=held, undoes=undoes)
            journal.changed()
        except NotStorable as error:
            raise Failure(f"{error.path}: {error}") from None
        except (Missing, Damaged) as error:
            hint = "`dodo store check --repair` says what is lost and mends what it can"
            raise Damage(f"{error.path}: {error}", hint) from None
        finally:
            batch.drop()
    for path in left:
        listener(Note("warning", f"{path}: not replaced, there is more in it"))
    workspace.forget()
    return Done(step, made)


def to_nodes(
    workspace: Workspace, batch: Batch, wanted: Iterable[tuple[str, Node | None]]
) -> list[Change]:
    """From whatever lies at each path now, which is taken in, to the node beside it."""
    made = []
    for path, new in wanted:
        now = take_in(workspace, batch, path)
        batch.commit()  # trees that are compared must be readable
        made += list(changes(workspace.store, now, new, path))
    return made


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


def take_in(workspace: Workspace, batch: Batch, path: str) -> Node | None:
    """Whatever lies at a path, into the store; None for nothing."""
    ignore = workspace.output_ignore
    source = Source(workspace.root, workspace.stamps, ignore, strict=False)
    try:
        found = os.lstat(workspace.path(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not (
        stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode) or stat.S_ISLNK(found.st_mode)
    ):
        raise NotStorable(path, "neither a file, a folder nor a link; it is in the way")
    return snapshot.take(workspace.store, batch, source, path)
