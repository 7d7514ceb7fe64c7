"""Store: the folder `.dodo/` as a whole, opened for reading or made ready for writing."""

from __future__ import annotations

import contextlib
import os

from dodo_store import durable, locks, record
from dodo_store.boot import boot_id
from dodo_store.errors import Damaged, Missing, NewerFormat
from dodo_store.ledger import Ledger
from dodo_store.oid import of_bytes, parse
from dodo_store.pool import Batch, Pool
from dodo_store.refs import Refs
from dodo_store.tree import FOLDER, RESERVED
from dodo_store.tree import decode as decode_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from dodo_store.oid import Oid
    from dodo_store.tree import Entries, Node

VERSION = "1"

FOLDERS = (
    "objects",
    "trees",
    "records",
    "runs",
    "exps",
    "snapshots",
    "undo",
    "locks/run",
    "tmp",
)
LOCAL_FOLDERS = ("journal", "locks")
PLACES = "workspaces"
"""Where folders are kept that are filled from snapshots."""
QUEUES = ("queue/todo", "queue/running", "queue/done")


class Store:
    """Paths and parts of one store. Opening reads one small file and creates nothing."""

    def __init__(self, folder: str, local: str | None = None) -> None:
        """*local* is where one workspace's own files are: caches, journal, what its runs set aside.

        Without it they are in *folder*, which is right for the workspace that has the store in it.
        """
        self.folder = folder
        self.local = local or folder
        self.objects = Pool(f"{folder}/objects", f"{folder}/quarantine")
        self.trees = Pool(f"{folder}/trees", f"{folder}/quarantine")
        self.records = Pool(f"{folder}/records", f"{folder}/quarantine")
        self.runs = Ledger(f"{folder}/runs", self.check_writing)
        self.experiments = Refs(f"{folder}/exps", self.check_writing)
        self.snapshots = Refs(f"{folder}/snapshots", self.check_writing)
        self.links = False
        """Whether restored files share their content with the store; the project's settings say."""
        self.trusts_stat = True
        """Whether a file whose stat has not moved is not read again; the settings say."""
        self.exists = self._check_version()
        self._scratch: str | None = None
        self._writers = locks.shared(f"{folder}/locks/commit")
        self._is_removing = False

    def _check_version(self) -> bool:
        path = f"{self.folder}/VERSION"
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                found = file.read(20).strip()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except IsADirectoryError:
            raise Damaged(path, "a folder, not a store version") from None
        if found != VERSION:
            if found.isdecimal() and int(found) > int(VERSION):
                raise NewerFormat(path, f"store format {found} is newer than this version reads")
            raise Damaged(path, f"not a store version: {found!r}")
        return True

    def create(self) -> None:
        """Make the folder ready for writing, if it is not; also where parts of it were removed."""
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        for name in FOLDERS:
            os.makedirs(f"{self.folder}/{name}", exist_ok=True)
        for name in LOCAL_FOLDERS:
            os.makedirs(f"{self.local}/{name}", exist_ok=True)
        if self.exists:
            self._settle()
            return
        # Keeps the store out of anybody's repository without touching the user's own files.
        durable.replace(f"{self.folder}/.gitignore", b"*\n", mode=0o644)
        durable.replace(f"{self.folder}/VERSION", f"{VERSION}\n".encode(), mode=0o644)
        durable.sync_folder(os.path.dirname(self.folder) or ".")
        self.exists = True
        self._settle()

    def _settle(self) -> None:
        """Remember that something was written without being made durable, and put that right.

        After another start of the machine nothing written so is believed before it is hashed.
        """
        path = f"{self.folder}/unsynced"
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                then = file.read(100).strip()
        except FileNotFoundError:
            then = None
        if then is not None and then != boot_id():
            self._doubt()
        elif then is not None and not durable.is_off():
            os.sync()
        if durable.is_off():
            durable.replace(path, boot_id().encode(), mode=0o644)
        elif then is not None:
            os.unlink(path)

    def _doubt(self) -> None:
        """Take from every object the time that says that nobody has touched it."""
        self.lose()
        for oid in self.objects.oids():
            with contextlib.suppress(OSError):
                os.utime(self.objects.path(oid))

    def generation(self) -> tuple[int, ...]:
        """Moves whenever the store may have lost something that it once had."""
        return (
            *_moves(f"{self.folder}/quarantine", times=True),
            *_moves(self.objects.folder, times=False),
            *_moves(self.trees.folder, times=False),
        )

    def lose(self) -> None:
        """Say, before things are removed, that nothing seen here earlier can be relied on."""
        folder = f"{self.folder}/quarantine"
        os.makedirs(folder, exist_ok=True)
        os.utime(folder)

    @contextlib.contextmanager
    def writing(self, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
        """Hold off whoever removes what nothing refers to, until it is referred to.

        From the first look at whether something is in the store already to the durable record that
        names it. May be entered again inside itself, from any thread.
        """
        with self._writers.enter(waiting):
            yield

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Hold off gc for a block that reads what names refer to; others may write.

        Where the lock cannot be taken, on a read-only disk, nobody can remove anything either.
        """
        with contextlib.ExitStack() as held:
            if self.exists:
                with contextlib.suppress(OSError):
                    held.enter_context(self.writing())
            yield

    @contextlib.contextmanager
    def removing(self, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
        """Keep all writers out for a block."""
        with locks.share(f"{self.folder}/locks/commit", exclusive=True, waiting=waiting):
            self._is_removing = True
            try:
                yield
            finally:
                self._is_removing = False

    def check_writing(self) -> None:
        """Called by everything that names a record or a node, before it does so.

        Without the commit lock gc could remove what is named between the look and the name.

        Raises:
            RuntimeError: the caller does not hold the commit lock; see `writing`.
        """
        if not self._writers.is_held and not self._is_removing:
            raise RuntimeError("content of the store is named without holding the commit lock")

    def tree(self, oid: Oid) -> Entries:
        """Read one folder's tree, without reserved names that earlier versions recorded.

        Raises:
            Missing, Damaged
        """
        entries = self.recorded_tree(oid)
        if any(name in RESERVED for name, _ in entries):
            return tuple(entry for entry in entries if entry[0] not in RESERVED)
        return entries

    def recorded_tree(self, oid: Oid) -> Entries:
        """Read one folder's tree exactly as it was recorded.

        Raises:
            Missing, Damaged
        """
        return decode_tree(oid, self.trees.read(oid), self.trees.path(oid))

    def is_whole(self, node: Node, *, clean: bool = False) -> bool:
        """Whether everything that a restore of *node* needs is here, by name and size.

        With *clean* also whether it holds no reserved name, which a restore would leave out.
        """
        if node.kind != FOLDER:
            return self.objects.has(node.oid, node.size)
        try:
            entries = self.recorded_tree(node.oid) if clean else self.tree(node.oid)
        except (Missing, Damaged):
            return False
        if clean and any(name in RESERVED for name, _ in entries):
            return False
        return all(self.is_whole(inner, clean=clean) for _, inner in entries)

    def find(self, node: Node, path: str) -> Node | None:
        """The node at *path* below *node*; None where there is none.

        Raises:
            Missing, Damaged
        """
        for name in path.split("/") if path else ():
            if node.kind != FOLDER:
                return None
            inner = dict(self.tree(node.oid)).get(name)
            if inner is None:
                return None
            node = inner
        return node

    def named(self, path: str) -> tuple[Pool, Oid]:
        """Which object, tree or record is kept at *path*."""
        for pool in (self.objects, self.trees, self.records):
            if path.startswith(pool.folder + "/"):
                return pool, parse(path[len(pool.folder) + 1 :].replace("/", ""))
        raise ValueError(path)

    def put_record(self, kind: int, value: Any) -> Oid:
        """Keep a record under its content's name; what it names must be durable already."""
        with self.scratch() as scratch:
            batch = Batch(scratch)
            oid = self.add_record(batch, kind, value)
            batch.commit()
        return oid

    def add_record(self, batch: Batch, kind: int, value: Any) -> Oid:
        """The same for one of several, kept when the batch is committed."""
        self.check_writing()
        data = record.encode(kind, value)
        oid = of_bytes(data)
        batch.add_bytes(self.records, oid, data)
        return oid

    def get_record(self, kind: int, oid: Oid) -> Any:
        """Read back what `put_record` kept.

        Raises:
            Missing, Damaged, NewerFormat
        """
        path = self.records.path(oid)
        return record.decode(kind, self.records.read(oid), path, lists=True)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[str]:
        """A folder for temporary files on the store's file system, alive as long as we are.

        It is locked by us; a scratch folder whose lock is free belonged to a process that died.
        """
        if self._scratch is not None:
            yield self._scratch
            return
        folder = f"{self.folder}/tmp/{durable.temporary_name()}"
        # The lock first: a folder without one would look like a dead process's.
        with locks.share(f"{folder}.lock", exclusive=True):
            os.mkdir(folder, 0o700)
            self._scratch = folder
            try:
                yield folder
            finally:
                self._scratch = None
                _remove(folder)
                os.unlink(f"{folder}.lock")

    def sweep(self) -> None:
        """Remove what processes that died have left of scratch folders and temporary files."""
        if os.path.isdir(f"{self.folder}/{PLACES}"):
            from dodo_store import places

            places.sweep(f"{self.folder}/{PLACES}")

        for name in ("", "exps", "snapshots", "undo", "states", *QUEUES):
            durable.sweep(f"{self.folder}/{name}")

        for name in os.listdir(f"{self.folder}/tmp"):
            path = f"{self.folder}/tmp/{name}".removesuffix(".lock")
            if path == self._scratch:
                continue
            # The lock file is there before the folder and goes after it. If it is missing it is
            # created here: another sweep may have removed the one of a command that now begins.
            with locks.if_free(f"{path}.lock") as is_left:
                if is_left:
                    _remove(path)
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(f"{path}.lock")


def _remove(folder: str) -> None:
    """Remove a folder and what is in it, as far as that can be done."""
    try:
        os.rmdir(folder)
    except OSError:
        import shutil  # which loads every kind of compression

        shutil.rmtree(folder, ignore_errors=True)


def _moves(path: str, *, times: bool) -> tuple[int, ...]:
    """Inode of a folder, and its time of change if asked for; zeros where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return (0, 0)
    return (found.st_ino, found.st_mtime_ns if times else 0)
