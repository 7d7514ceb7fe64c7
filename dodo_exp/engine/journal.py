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
import time
from collections.abc import Callable
from itertools import count

from dodo_exp.engine import history, rewind
from dodo_exp.pipeline import lockfile
from dodo_exp.pipeline.lockfile import StageRecord
from dodo_exp.pipeline.model import address
from dodo_store import durable, record, restore
from dodo_store.delta import Change
from dodo_store.errors import StoreError
from dodo_store.named import Named
from dodo_store.oid import Oid, of_bytes
from dodo_store.tree import Node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from dodo_exp.engine.workspace import Workspace
    from dodo_store.store import Store


class Move(Named):
    """An output in its stage's way: its path, where it lies meanwhile ("" if there was none), and
    whether it can be dropped once the stage has gone well, because the store can bring it back.
    """

    path: str
    spot: str
    is_known: bool


Edit = tuple[str, bytes | None, bytes]
"""A file's path, what it was (None: not there), and the name of what it became."""

Kept = tuple[str, Oid, Oid]
"""An experiment's name, its record, and what that names as result."""

Stay = list[tuple[str, Node | None]]
"""A stage's outputs by path; None for one that is not there."""

NAMING = frozenset({"name", "stage", "hold", "record", "change", "was", "stay"})
"""Entries that name content of the store, for which the commit lock has to be held."""

UNRECORDED = "unrecorded outputs"
"""Under `replaced/`: outputs that lay in a journal's folder and that no journal speaks of."""

POINTER = "workspace"
"""File that names what the workspace holds; see exps/state.py."""

KEPT = 5
"""How many times outputs that were in a stage's way are kept."""

Locks = dict[str, dict[str, StageRecord]]
"""Path of a dvc.yaml -> stage name -> record."""


Write = Callable[[str, dict[str, StageRecord | None]], None]
"""Renews the records of stages of a dvc.yaml; see `Workspace.write_lock`."""


def _folder(store: Store) -> str:
    return f"{store.local}/journal"


def _paths(local: str) -> list[str]:
    try:
        names = sorted(os.listdir(f"{local}/journal"))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [f"{local}/journal/{name}" for name in names if name.endswith(".journal")]


def _entries(path: str) -> list[Any]:
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


def _lock_content(root: str, pipeline: str) -> bytes:
    """Name of the lock file's content, or nothing where there is none."""
    try:
        with open(os.path.join(root, lockfile.beside(pipeline)), "rb") as file:
            return of_bytes(file.read())
    except FileNotFoundError:
        return b""


def records_mark(store: Store, root: str, pipeline: str) -> list[tuple[int, int, int] | None]:
    """A value that is another one after any process has recorded a stage of *pipeline*."""
    found: list[tuple[int, int, int] | None] = []
    for path in (os.path.join(root, lockfile.beside(pipeline)), *_paths(store.local)):
        try:
            stat = os.stat(path)
        except FileNotFoundError:
            found.append(None)
        else:
            found.append((stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return found


def overlay(store: Store, root: str, locks: Locks) -> None:
    """Put the records of unfinished journals over those of the lock files.

    A lock file that somebody has replaced since the run began is taken as it is.
    """
    for path in _paths(store.local):
        begun: dict[str, bytes] = {}
        for entry in _entries(path):
            if entry[0] == "begin":
                begun = entry[1]
            elif entry[0] == "stage":
                _, pipeline, name, row = entry
                if begun.get(pipeline, b"") == _lock_content(root, pipeline):
                    locks.setdefault(pipeline, {})[name] = lockfile.of_plain(row)
            elif entry[0] == "gone":
                locks.get(entry[1], {}).pop(entry[2], None)


class Journal:
    """The journal of the run that is going on in this process."""

    def __init__(self, store: Store, root: str, pipelines: list[str]) -> None:
        self._store = store
        self._root = root
        self._stem = f"{_folder(store)}/{os.getpid()}-{durable.temporary_name()}"
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
        self._write(["begin", {path: _lock_content(root, path) for path in pipelines}])

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
            durable.sync_folder(_folder(self._store))
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
        _put_back(self._store, self._root, stage, moves)
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

    def let_go(self, stage: str, moves: list[Move]) -> str | None:
        """Drop what was moved out of the stage's way; returns where that is kept which the store
        does not know."""
        return self._let_go(stage, moves)

    def back_to_stay(self, stage: str, scratch: str) -> list[str]:
        """The stage was cut short: bring its outputs to where it had come; says which were not."""
        with self._lock:
            outs = self._stays[stage]
        partial = place(self._store, "partial", stage)
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
        kept = self._let_go(stage, moves)
        self._write(["back", stage])
        return kept

    def _let_go(self, stage: str, moves: list[Move]) -> str | None:
        with self._lock:
            self._going += 1
        kept = _let_go(self._store, stage, moves)
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
        return self._let_go(address(pipeline, name), moves)

    def drop_stage(self, pipeline: str, name: str, moves: list[Move]) -> str | None:
        """The stage is no more: forget its record, let its outputs go.

        Returns where those are kept that the store does not know.
        """
        self._write(["gone", pipeline, name], sync=True)
        with self._lock:
            self._asides.pop(address(pipeline, name), None)
            self._made.setdefault(pipeline, {})[name] = None
        return self._let_go(address(pipeline, name), moves)

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
                _change_back(self._store, self._root, wanted, scratch)
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
            _, notes = _roll_back(self._root, self._edited)
        self._shut()
        os.unlink(self.path)
        restore.remove(f"{self._stem}.aside")
        return notes

    def _points(self) -> bool:
        """Let the workspace's pointer say what it is to, where an error has come between."""
        try:
            for name, oid, held in self._unheld:
                if _is_there(self._store, name, oid):
                    _point(self._store, held)
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


def _change_back(store: Store, root: str, made: list[Change], scratch: str) -> None:
    """Undo changes some of which may have been made."""
    back = [Change(each.path, each.new, each.old) for each in made]
    restore.apply(store, back, root, scratch)


def _change_back_each(store: Store, root: str, made: list[Change]) -> list[str]:
    """The same, for what a killed command left: what cannot be put back does not keep the rest."""
    notes = []
    with store.scratch() as scratch:
        try:
            _change_back(store, root, made, scratch)
        except (StoreError, PermissionError):
            for each in reversed(made):
                try:
                    _change_back(store, root, [each], scratch)
                except (StoreError, PermissionError) as error:
                    notes.append(f"{each.path} could not be put back: {error}")
    return notes


def held(local: str) -> Iterator[tuple[str, list[Oid], list[Node], list[Node]]]:
    """What journals keep alive: each one's path, records of experiments, nodes that must be whole,
    and stages' outputs.

    *local* is where a workspace has what is its own; see `Store`.
    """
    for path in _paths(local):
        records: list[Oid] = []
        nodes: list[Node] = []
        outs: list[Node] = []
        stays: dict[str, list[list[Node]]] = {}
        for entry in _entries(path):
            if entry[0] == "hold":
                nodes.append(Node(*entry[1]))
            elif entry[0] == "record":
                records.append(Oid(entry[1]))
            elif entry[0] == "change":
                for each in _changes(entry):
                    nodes += [node for node in (each.old, each.new) if node is not None]
            elif entry[0] == "stage":
                outs += [node for _, node in lockfile.of_plain(entry[3]).outs]
            elif entry[0] == "was":
                nodes += (node for _, node in _stay(entry) if node is not None)
            elif entry[0] == "stay":
                known = stays.setdefault(entry[1], [])
                known.append([node for _, node in _stay(entry) if node is not None])
                del known[:-2]  # the last one may not hold
        nodes += (node for last in stays.values() for each in last for node in each)
        yield path, records, nodes, outs


def _stay(entry: Any) -> Stay:
    return [(path, Node(*node) if node else None) for path, node in entry[2]]


def _holds(store: Store, kept: Any = None) -> bool:
    """Whether the step that a `stay` is of has its name; see `Journal.stay`."""
    if kept is None:
        return True
    name, wanted, result = kept
    try:
        oid = store.experiments.get(name)
        while oid is not None:
            row = store.get_record(record.EXPERIMENT, oid)
            if oid == wanted or row["result"][1] == result:
                return True
            oid = row.get("before")
    except (StoreError, KeyError, TypeError, IndexError):
        pass
    return False


def _changes(entry: Any) -> list[Change]:
    return [
        Change(path, Node(*old) if old else None, Node(*new) if new else None)
        for path, old, new in entry[1]
    ]


def place(store: Store, what: str, stage: str) -> str:
    """Where a stage's `partial` or `replaced` outputs or its part of the `logs` are kept."""
    # '~' is in the names of runs' logs, in the same folder; '.' and '..' would lead out of it.
    name = stage.replace("%", "%25").replace("/", "%2F").replace("~", "%7E")
    name = f"%2E{name[1:]}" if name.startswith(".") else name
    if len(os.fsencode(name)) > 200:
        # '%' and '-': no shorter name has them side by side.
        name = f"{name[:40]}%-{of_bytes(os.fsencode(stage)).hex()}"
    return f"{store.local}/{what}/{name}"


def keep_replaced(store: Store, stage: str, places: dict[str, str]) -> str:
    """Keep outputs that no recorded run had made, the last few times; say where.

    *places* are the outputs' paths and where they lie.
    """
    folder = place(store, "replaced", stage)
    os.makedirs(folder, exist_ok=True)
    for old in sorted(os.listdir(folder))[: -(KEPT - 1)]:
        restore.remove(f"{folder}/{old}")
    seconds, rest = divmod(time.time_ns(), 1_000_000_000)
    moment = time.strftime("%Y-%m-%dT%H.%M.%S", time.localtime(seconds))
    kept = f"{folder}/{moment}.{rest:09}"
    for path, spot in places.items():
        os.makedirs(os.path.dirname(f"{kept}/{path}"), exist_ok=True)
        rewind.move(spot, f"{kept}/{path}")
    return kept


def _here(root: str, journal: str, move: Move) -> Move:
    """A move in the project where the journal lies now: one that was copied has its own outputs."""
    if not move.spot:
        return move
    folder, name = os.path.split(move.spot)
    if not name.startswith(durable.TEMPORARY):
        folder = journal.removesuffix(".journal") + ".aside"
    else:
        folder = os.path.dirname(os.path.join(root, move.path))
    return move._replace(spot=f"{folder}/{name}")


def _let_go(store: Store, stage: str, moves: list[Move]) -> str | None:
    """Drop old outputs that the store knows and keep the others; say where."""
    strange = {m.path: m.spot for m in moves if not m.is_known and os.path.lexists(m.spot)}
    kept = keep_replaced(store, stage, strange) if strange else None
    for move in moves:
        if move.spot:
            restore.remove(move.spot)
    return kept


def _put_back(store: Store, root: str, stage: str, moves: list[Move]) -> None:
    """Old outputs to where they were; what lies there to `partial`.

    An output that was there and is not aside was never moved: it is the old one still.
    """
    kept = place(store, "partial", stage)
    restore.remove(kept)
    for path, spot, _ in moves:
        full = os.path.join(root, path)
        is_aside = os.path.lexists(spot)
        if os.path.lexists(full) and (is_aside or not spot):
            os.makedirs(os.path.dirname(f"{kept}/{path}"), exist_ok=True)
            rewind.move(full, f"{kept}/{path}")
        if is_aside:
            os.makedirs(os.path.dirname(full), exist_ok=True)
            os.rename(spot, full)


def _roll_back(root: str, edits: list[Edit]) -> tuple[list[str], list[str]]:
    """Take edits back, the last first, where the file is still what we wrote.

    Returns the paths that are as before, and a note for each that somebody else has edited since.
    """
    undone, notes = [], []
    for path, old, new in reversed(edits):
        full = os.path.realpath(os.path.join(root, path))
        with contextlib.suppress(FileNotFoundError):
            with open(full, "rb") as file:
                current = file.read()
            if of_bytes(current) == new:
                if old is None:
                    os.unlink(full)
                else:
                    durable.replace(full, old)
                undone.append(path)
            elif current != old:
                notes.append(_not_taken_back(path, old, current))
    return undone, notes


MOST_NAMED = 5
"""Values of a params file that a note names."""


def _not_taken_back(path: str, old: bytes | None, current: bytes) -> str:
    """Say what a params file holds that was edited by somebody else during the run."""
    from dodo_exp.errors import DodoError

    text = f"{path} was edited during the run, so what the run had set in it was not taken back"
    try:
        before, now = _values(old or b"", path), _values(current, path)
    except DodoError:
        return text
    found = []
    for name in {**now, **before}:
        if name not in now:
            found.append(f"{name} is gone")
        elif name not in before:
            found.append(f"{name} is {now[name]} (new)")
        elif now[name] != before[name]:
            found.append(f"{name} is {now[name]} (was {before[name]})")
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return f"{text}: {', '.join(found[:MOST_NAMED])}{more}" if found else text


def _values(data: bytes, path: str) -> dict[str, str]:
    """The values of a params file by name, as text.

    Raises:
        DodoError: it cannot be read.
    """
    from dodo_exp.pipeline import params
    from dodo_exp.pipeline.values import canonical, leaves

    return {name: canonical(value) for name, value in leaves(params.parse(data, path)) if name}


def edited(store: Store, root: str) -> dict[str, bytes | None]:
    """Params files that hold what a run has set for itself, with the user's own bytes of each.

    None stands for no file. A file that somebody has edited since is the user's own as it is.
    """
    found: dict[str, bytes | None] = {}
    for path in _paths(store.local):
        edits: list[Edit] = []
        for entry in _entries(path):
            if entry[0] == "edit":
                edits.append(entry[1:])
            elif entry[0] == "keep" or (entry[0] == "name" and _is_there(store, *entry[1:3])):
                edits.clear()
        for name, old, new in edits:
            with contextlib.suppress(OSError), open(os.path.join(root, name), "rb") as file:
                if of_bytes(file.read()) == new:
                    found[name] = old
    return found


def _write_lock(root: str, pipeline: str, records: dict[str, StageRecord]) -> None:
    text = lockfile.dump(records).encode()
    path = os.path.join(root, lockfile.beside(pipeline))
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        if file.read() == text:
            return
    durable.replace(path, text)


def has_leftovers(store: Store) -> bool:
    """Whether a run is going on or was cut short."""
    try:
        return bool(os.listdir(_folder(store)))
    except (FileNotFoundError, NotADirectoryError):
        return False


def sweep(store: Store) -> list[str]:
    """Clear folders that outlived their journals; the caller holds the workspace lock.

    Says where outputs are kept that lay in one of them.
    """
    notes = []
    for name in os.listdir(_folder(store)):
        path = f"{_folder(store)}/{name}"
        if name.endswith(".aside") and not os.path.exists(path.removesuffix("aside") + "journal"):
            notes += _clear_aside(store, path)
    return notes


def _clear_aside(store: Store, folder: str) -> list[str]:
    """Remove the folder of a journal that is over; outputs that are still in it are kept.

    Every output that a journal speaks of has left the folder by then. What is in it lost its entry
    in a power cut, and nothing says what it was or whether there is a copy.
    """
    try:
        left = sorted(os.listdir(folder))
    except OSError:
        left = []
    notes = []
    if left:
        kept = keep_replaced(store, UNRECORDED, {name: f"{folder}/{name}" for name in left})
        notes.append(f"outputs that a run had moved before a power cut are kept in {kept}")
    restore.remove(folder)
    return notes


def recover(store: Store, root: str, locks: Locks) -> list[str]:
    """Finish what killed runs left; the caller holds the workspace lock. Says what was put back.

    *locks* are the lock files' records with `overlay` applied.
    """
    notes = []
    for path in _paths(store.local):
        pipelines: set[str] = set()
        open_asides: dict[str, list[Move]] = {}
        stays: dict[str, Stay] = {}
        open_changes: list[Change] = []
        edits: list[Edit] = []
        for entry in _entries(path):
            if entry[0] == "edit":
                edits.append(entry[1:])
            elif entry[0] == "keep":
                edits.clear()
            elif entry[0] == "name" and _is_there(store, *entry[1:3]):
                edits.clear()
                held = entry[3] if len(entry) > 3 else ""
                if held:
                    _point(store, held)
            elif entry[0] == "aside":
                open_asides[entry[1]] = [_here(root, path, Move(*move)) for move in entry[2]]
                stays.pop(entry[1], None)
            elif entry[0] == "stay" and _holds(store, *entry[3:]):
                stays[entry[1]] = _stay(entry)
                _let_go(store, entry[1], open_asides.pop(entry[1], []))
            elif entry[0] == "back":
                open_asides.pop(entry[1], None)
                stays.pop(entry[1], None)
            elif entry[0] == "change":
                open_changes = [] if history.is_done(store, entry[2]) else _changes(entry)
            elif entry[0] == "changed":
                open_changes = []
            elif entry[0] in ("stage", "gone"):
                pipelines.add(entry[1])
                stage = address(entry[1], entry[2])
                stays.pop(stage, None)
                _let_go(store, stage, open_asides.pop(stage, []))
        if open_changes:
            notes.append("a command that was changing files was cut short; they are as before")
            notes += _change_back_each(store, root, open_changes)
        for stage, moves in open_asides.items():
            _put_back(store, root, stage, moves)
            notes.append(f"stage {stage!r} was cut short; its outputs are as they were before")
        for stage, outs in stays.items():
            notes += _rewound(store, root, stage, outs)
        for pipeline in (*locks, *(edit[0] for edit in edits)):
            _sweep(os.path.dirname(os.path.join(root, pipeline)))
        for pipeline in pipelines:
            _write_lock(root, pipeline, locks.get(pipeline, {}))
        undone, not_undone = _roll_back(root, edits)
        notes += [f"{name} is as it was before the run that was cut short" for name in undone]
        notes += not_undone
        os.unlink(path)
        notes += _clear_aside(store, path.removesuffix(".journal") + ".aside")
    return notes


def _rewound(store: Store, root: str, stage: str, outs: Stay) -> list[str]:
    """Outputs of a stage with checkpoints, back to where it had come."""
    text = f"stage {stage!r} was cut short"
    partial = place(store, "partial", stage)
    restore.remove(partial)
    try:
        with store.scratch() as scratch:
            changed = rewind.rewind(store, root, outs, partial, scratch)
    except (StoreError, PermissionError) as error:
        return [f"{text}; its outputs could not be put back: {error}"]
    more = f"; {', '.join(changed)} as before" if changed else ""
    return [f"{text}; it goes on from its last checkpoint{more}"]


def _point(store: Store, held: str) -> None:
    durable.replace(f"{store.local}/{POINTER}", held.encode())


def _is_there(store: Store, name: str, oid: bytes) -> bool:
    try:
        return store.experiments.get(name) == oid
    except StoreError:
        return False


def _sweep(folder: str) -> None:
    """Remove temporary files that a kill left beside a lock or params file."""
    for name in os.listdir(folder):
        if name.startswith(durable.TEMPORARY):
            restore.remove(os.path.join(folder, name))
