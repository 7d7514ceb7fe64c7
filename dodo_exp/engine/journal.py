"""Journal: what one run has changed in the workspace and not yet folded in, for whoever comes next.

One append-only file a run, held under the workspace lock. Its entries:

    begin   the content of each lock file at the start
    edit    a params file as it was, and what it became
    aside   a stage is about to run; its old outputs lie elsewhere
    was     a stage with checkpoints is about to run; its outputs before
    stay    a stage with checkpoints runs; cut short, its outputs are to be these, if that step has
            its name
    back    the stage failed; its old outputs are where they were
    keep    the run has ended well: its edits stay
    name    the same, if an experiment of this name and id is there, which the workspace holds
    stage   the stage went well; its record
    gone    the stage is no more; its record goes, and its outputs
    hold    a node that the run will refer to later; gc keeps it
    record  an experiment's record that it will refer to, with the steps before it
    change  paths are about to change from one node to another, all of them or none
    changed they have

A run that ends folds the records into the lock files and removes the journal. After a kill the
next command does the same, and puts back what an unfinished stage or edit had moved.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from itertools import count

from dodo_exp.engine import history, moved_outputs, rewind
from dodo_exp.engine.moved_outputs import Move
from dodo_exp.engine.param_edits import roll_back
from dodo_exp.pipeline import lockfile
from dodo_exp.pipeline.lockfile import StageRecord
from dodo_exp.pipeline.model import address
from dodo_store import durable, record, restore
from dodo_store.delta import Change
from dodo_store.errors import StoreError
from dodo_store.oid import Oid, of_bytes
from dodo_store.tree import Node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from dodo_exp.engine.param_edits import Edit
    from dodo_exp.engine.workspace import Workspace
    from dodo_store.store import Store


Kept = tuple[str, Oid, Oid]
"""An experiment's name, its record, and what that names as result."""

Stay = list[tuple[str, Node | None]]
"""A stage's outputs by path; None for one that is not there."""

NAMING = frozenset({"name", "stage", "hold", "record", "change", "was", "stay"})
"""Entries that name content of the store, for which the commit lock has to be held."""

POINTER = "workspace"
"""File that names what the workspace holds; see exps/state.py."""

Locks = dict[str, dict[str, StageRecord]]
"""Path of a dvc.yaml -> stage name -> record."""


Write = Callable[[str, dict[str, StageRecord | None]], None]
"""Renews the records of stages of a dvc.yaml; see `Workspace.write_lock`."""


def journal_folder(store: Store) -> str:
    return f"{store.local}/journal"


def paths(local: str) -> list[str]:
    try:
        names = sorted(os.listdir(f"{local}/journal"))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [f"{local}/journal/{name}" for name in names if name.endswith(".journal")]


def entries(path: str) -> list[Any]:
    """The whole entries of a journal; a torn last one was never acted on."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return []
    found, start = [], 0
    while start < len(data):
        try:
            value, start = record.split(record.JOURNAL, data, path, start)
        except StoreError:
            break
        found.append(value)
    return found


def lock_content(root: str, pipeline: str) -> bytes:
    """Name of the lock file's content, or nothing where there is none."""
    try:
        with open(os.path.join(root, lockfile.beside(pipeline)), "rb") as file:
            return of_bytes(file.read())
    except FileNotFoundError:
        return b""


class Journal:
    """The journal of the run that is going on in this process."""

    def __init__(self, store: Store, root: str, pipelines: list[str]) -> None:
        self._store = store
        self._root = root
        self._stem = f"{journal_folder(store)}/{os.getpid()}-{durable.temporary_name()}"
        self.path = f"{self._stem}.journal"
        self._fd = os.open(
            self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        self._edited: list[Edit] = []
        self._open: tuple[list[Change], str] | None = None
        self._asides: dict[str, list[Move]] = {}
        self._stays: dict[str, Stay] = {}
        self._was: dict[str, Stay] = {}
        self._going = 0
        self._unheld: list[tuple[str, Oid, str]] = []
        self._made: dict[str, dict[str, StageRecord | None]] = {}
        self._serial = count()
        self._lock = threading.Lock()
        """Guards the file and every collection above: stages of a run call from their threads."""
        self._has_durable_name = False
        self._write(["begin", {path: lock_content(root, path) for path in pipelines}])

    def _write(self, entry: list[Any], *, sync: bool = False) -> None:
        if entry[0] in NAMING:
            self._store.check_writing()
        data = record.encode(record.JOURNAL, entry)
        with self._lock:
            size = os.fstat(self._fd).st_size
            try:
                durable.write_all(self._fd, data)
            except BaseException:
                os.ftruncate(self._fd, size)  # half an entry would hide what comes after it
                raise
        if sync:
            durable.sync_fd(self._fd)
            self._sync_name()

    def _sync_name(self) -> None:
        """Make the journal's own name durable, once."""
        if not self._has_durable_name:
            durable.sync_folder(journal_folder(self._store))
            self._has_durable_name = True

    def expect(self, name: str, oid: Oid, held: str = "") -> None:
        """The run ends well, and its edits stay, once this experiment has its name.

        *held* is what the workspace holds from then on, in words for its pointer: see `held`.
        """
        self._write(["name", name, oid, held], sync=True)
        if held:
            self._unheld.append((name, oid, held))

    def held(self) -> None:
        """The workspace's pointer says what `expect` has said of it."""
        self._unheld.clear()

    def edit(self, path: str, new: bytes) -> None:
        """Replace a params file, in a way that can be taken back."""
        full = os.path.realpath(os.path.join(self._root, path))
        old: bytes | None = None
        with contextlib.suppress(FileNotFoundError), open(full, "rb") as file:
            old = file.read()
        edit = (path, old, of_bytes(new))
        self._write(["edit", *edit], sync=True)
        self._edited.append(edit)
        durable.replace(full, new)

    def aside(self, stage: str, paths: list[str], known: set[str]) -> list[Move]:
        """Move a stage's outputs out of the way; say from where to where.

        The entry is durable before an output is moved that the store cannot bring back: after a
        power cut it is what leads back to the output.
        """
        moves = [
            Move(path, self._spot(os.path.join(self._root, path)), path in known) for path in paths
        ]
        is_only_copy = any(move.spot and not move.is_known for move in moves)
        self._write(["aside", stage, moves], sync=is_only_copy)
        with self._lock:
            self._asides[stage] = moves
        for move in moves:
            if move.spot:
                os.makedirs(os.path.dirname(move.spot), exist_ok=True)
                os.rename(os.path.join(self._root, move.path), move.spot)
        return moves

    def _spot(self, full: str) -> str:
        """Where to put what is at *full*, on the same file system; nothing for nothing."""
        if not os.path.lexists(full):
            return ""
        parent = os.path.dirname(full)
        if os.stat(parent).st_dev != os.stat(self._store.local).st_dev:
            return f"{parent}/{durable.temporary_name()}"
        return f"{self._stem}.aside/{next(self._serial)}"

    def put_back(self, stage: str, moves: list[Move]) -> None:
        """Undo `aside`; what the stage left meanwhile is kept for a look, as `partial`."""
        moved_outputs.put_back(self._store, self._root, stage, moves)
        with self._lock:
            self._asides.pop(stage, None)
        self._write(["back", stage])

    def note_was(self, stage: str, outs: Stay) -> None:
        """So a stage's outputs were before the run."""
        self._write(["was", stage, outs], sync=True)
        with self._lock:
            self._was[stage] = outs

    @property
    def was(self) -> dict[str, Stay]:
        """Outputs of stages that go on, as they were before the run; a copy."""
        with self._lock:
            return dict(self._was)

    def stay(self, stage: str, outs: Stay, kept: Kept | None = None) -> None:
        """The stage has come so far: cut short from here on, its outputs are to be these.

        With *kept* only if that is there: an experiment's name, the record that it is about to be
        given, or one that has come of that, and the record's result. Then `stayed` follows.
        """
        self._write(["stay", stage, outs, kept], sync=True)
        if kept is None:
            self.stayed(stage, outs)

    def stayed(self, stage: str, outs: Stay) -> None:
        """What `stay` has said holds. What was out of the stage's way can go: see `let_go`."""
        with self._lock:
            self._stays[stage] = outs
            self._asides.pop(stage, None)

    def back_to_stay(self, stage: str, scratch: str) -> list[str]:
        """The stage was cut short: bring its outputs to where it had come; says which were not."""
        with self._lock:
            outs = self._stays[stage]
        partial = moved_outputs.place(self._store, "partial", stage)
        restore.remove(partial)
        changed = rewind.rewind(self._store, self._root, outs, partial, scratch)
        with self._lock:
            self._stays.pop(stage)
        self._write(["back", stage])
        return changed

    def leave(self, stage: str, moves: list[Move]) -> str | None:
        """The stage's new outputs stay though they have no record; see `finish_stage`."""
        with self._lock:
            self._asides.pop(stage, None)
            self._stays.pop(stage, None)
        kept = self.let_go(stage, moves)
        self._write(["back", stage])
        return kept

    def let_go(self, stage: str, moves: list[Move]) -> str | None:
        """Drop what was moved out of the stage's way.

        Returns where those outputs are kept that the store does not know.
        """
        with self._lock:
            self._going += 1
        kept = moved_outputs.let_go(self._store, stage, moves)
        with self._lock:
            self._going -= 1
        return kept

    def finish_stage(
        self, pipeline: str, name: str, made: StageRecord, moves: list[Move]
    ) -> str | None:
        """The stage went well: make its record durable, let its old outputs go.

        Returns where those are kept that the store does not know.
        """
        self._write(["stage", pipeline, name, lockfile.plain(made)], sync=True)
        with self._lock:
            self._asides.pop(address(pipeline, name), None)
            self._stays.pop(address(pipeline, name), None)
            self._made.setdefault(pipeline, {})[name] = made
        return self.let_go(address(pipeline, name), moves)

    def drop_stage(self, pipeline: str, name: str, moves: list[Move]) -> str | None:
        """The stage is no more: forget its record, let its outputs go.

        Returns where those are kept that the store does not know.
        """
        self._write(["gone", pipeline, name], sync=True)
        with self._lock:
            self._asides.pop(address(pipeline, name), None)
            self._made.setdefault(pipeline, {})[name] = None
        return self.let_go(address(pipeline, name), moves)

    def hold(self, node: Node) -> None:
        """Keep a node's content from being collected as long as the run lasts."""
        self._write(["hold", node], sync=True)

    def hold_record(self, oid: Oid) -> None:
        """Keep an experiment's record from being collected as long as the run lasts."""
        self._write(["record", oid], sync=True)

    def change(self, wanted: list[Change], scratch: str, token: str, shared: set[str]) -> list[str]:
        """Carry out changes, all of them or none; both sides of each are in the store.

        They stay once a step with *token* is in the history; what is at or below *shared* may share
        its content with the store. Returns the folders that could not go, because more is in them.

        Raises:
            NotStorable, Missing, Damaged: everything is as it was.
        """
        self._write(["change", [list(each) for each in wanted], token], sync=True)
        self._open = (wanted, token)
        return restore.apply(self._store, wanted, self._root, scratch, shared)

    def changed(self) -> None:
        """What `change` did is to stay."""
        self._open = None
        self._write(["changed"], sync=True)

    def _settle(self) -> None:
        """Put back outputs, and take back a change, that an error has left half-way.

        Where that fails too, the journal stays for the next command.
        """
        with self._lock:
            asides, stays = dict(self._asides), list(self._stays)
        for stage, moves in asides.items():
            self.put_back(stage, moves)
        for stage in stays:
            with self._store.scratch() as scratch:
                self.back_to_stay(stage, scratch)
        if self._open is None:
            return
        wanted, token = self._open
        if not history.is_done(self._store, token):
            with self._store.scratch() as scratch:
                change_back(self._store, self._root, wanted, scratch)
        self.changed()

    def keep(self) -> None:
        """The run's edits are to stay, however it ends; `expect` says so to the next command."""
        self._edited.clear()
        with contextlib.suppress(OSError):
            self._write(["keep"], sync=True)

    @property
    def made(self) -> dict[str, dict[str, StageRecord | None]]:
        """Records of stages that are finished and not folded in: pipeline -> stage -> record.

        A copy: other stages of the run may finish while the caller reads it.
        """
        with self._lock:
            return {pipeline: dict(made) for pipeline, made in self._made.items()}

    def fold(self, write: Write) -> None:
        """Let the records of finished stages be written into the lock files."""
        for pipeline, made in self.made.items():
            write(pipeline, made)
        with self._lock:
            self._made.clear()

    def close(self, write: Write, *, keep_edits: bool) -> list[str]:
        """Fold everything in: lock files first, then the journal goes.

        Says which edits could not be taken back.
        """
        notes: list[str] = []
        try:
            self._settle()
        except (OSError, StoreError):
            self._shut()
            return notes
        self.fold(write)
        if self._going or not self._points():
            # Old outputs that nobody knows lie aside still, or there was no room for the pointer:
            # the next command sees to it.
            self._shut()
            return notes
        if keep_edits:
            self._write(["keep"])
        else:
            _, notes = roll_back(self._root, self._edited)
        self._shut()
        os.unlink(self.path)
        restore.remove(f"{self._stem}.aside")
        return notes

    def _points(self) -> bool:
        """Let the workspace's pointer say what it is to, where an error has come between."""
        try:
            for name, oid, held in self._unheld:
                if is_there(self._store, name, oid):
                    point(self._store, held)
        except OSError:
            return False
        return True

    def _shut(self) -> None:
        # A thread that comes too late must not write into what has this number next.
        with self._lock:
            fd, self._fd = self._fd, -1
            os.close(fd)


@contextlib.contextmanager
def journaled(
    workspace: Workspace, warn: Callable[[str], None] = lambda text: None
) -> Iterator[Journal]:
    """A journal that is folded in at the end of the block, whichever way it ends.

    Edits stay when stages had their turn, also if one failed; they are taken back when the run
    was stopped or never began. *warn* is told which could not be.
    """
    journal = Journal(workspace.store, workspace.root, list(workspace.files))
    keep = False
    try:
        yield journal
        keep = True
    finally:
        for text in journal.close(workspace.write_lock, keep_edits=keep):
            warn(text)


def change_back(store: Store, root: str, made: list[Change], scratch: str) -> None:
    """Undo changes some of which may have been made."""
    back = [Change(each.path, each.new, each.old) for each in made]
    restore.apply(store, back, root, scratch)


def stay_of(entry: Any) -> Stay:
    return [(path, Node(*node) if node else None) for path, node in entry[2]]


def changes_of(entry: Any) -> list[Change]:
    return [
        Change(path, Node(*old) if old else None, Node(*new) if new else None)
        for path, old, new in entry[1]
    ]


def has_leftovers(store: Store) -> bool:
    """Whether a run is going on or was cut short."""
    try:
        return bool(os.listdir(journal_folder(store)))
    except (FileNotFoundError, NotADirectoryError):
        return False


def point(store: Store, held: str) -> None:
    durable.replace(f"{store.local}/{POINTER}", held.encode())


def is_there(store: Store, name: str, oid: bytes) -> bool:
    try:
        return store.experiments.get(name) == oid
    except StoreError:
        return False
