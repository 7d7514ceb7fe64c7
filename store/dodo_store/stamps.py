"""Stamps: what a file's size, times and inode were when its content was last hashed.

A file whose stamp has not moved is not read again. A folder in which nothing moved is not even
looked at file by file: its *memo* says what it came to. The table may be deleted at any time.

A file that was changed and hashed within one tick of its file system's clock could change again
without its stamp moving (git calls such entries racy), so a stamp younger than the clock's
resolution is not kept: the file is hashed once more next time.

A stamp says nothing of the disk: after a power cut a file can have its size and times and hold
zeros. So an entry is `unsynced` until its file is known to have been synced since it was hashed
(`sync_files`), and unsynced entries are not believed once the machine has started anew.

Folders are kept packed and only those that are looked at are unpacked, so that the table of a
million files takes about 70 bytes for each.
"""

from __future__ import annotations

import contextlib
import os
import struct
import time
from _thread import RLock

import msgpack

from dodo_store import durable, record
from dodo_store.boot import boot_id
from dodo_store.errors import StoreError
from dodo_store.oid import Oid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    Memo = list[Any]
    """What a walk keeps of a folder; see walk.py."""

Mark = tuple[int, int, int, int]
"""Size, mtime_ns, ctime_ns, inode."""

FINE = 50_000_000
"""Nanoseconds to wait where file times carry nanoseconds: several kernel ticks (at most 10 ms)."""

COARSE = 2_000_000_000
"""Nanoseconds to wait where file times are whole milliseconds or seconds (FAT: 2 s)."""

VERSION = 4
UNSYNCED = b"f"
"""Last byte of an entry whose file may not have reached the disk."""
_LENGTHS = (48, 49)
"""Bytes of an entry: mark and oid, then perhaps UNSYNCED."""

OPEN = 512
"""How many folders are held unpacked at a time."""

PACKED = 60
"""Bytes for a file in a packed folder, but for its name."""

_AFTER = chr(ord("/") + 1)
"""What comes next to a slash in order."""

_MARK = struct.Struct(">QqqQ")


def mark(found: os.stat_result) -> Mark:
    """The part of a stat that moves whenever the content can have changed."""
    return (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def _pack(found: Mark) -> bytes:
    """A mark as 32 bytes; none for times that no clock of ours has."""
    try:
        return _MARK.pack(*found)
    except struct.error:
        return b""


def is_settled(found: Mark, now: int) -> bool:
    """Whether a change after *now* must move this mark."""
    _, mtime, ctime, _ = found
    tick = COARSE if mtime % 1_000_000 == 0 or ctime % 1_000_000 == 0 else FINE
    return max(mtime, ctime) + tick < now


class _Folder:
    """One folder unpacked: name -> mark and oid (48 bytes), UNSYNCED or nothing; tag -> memo.

    Its files are unpacked when they are asked for: where nothing has moved the memo is enough.
    """

    __slots__ = ("_files", "_packed", "is_dirty", "memos")

    def __init__(self, packed: bytes | None) -> None:
        self._packed = b""
        self._files: dict[str, bytes] | None = None
        self.memos: dict[str, Memo] = {}
        self.is_dirty = False
        found = _unpacked(packed) if packed is not None else None
        if isinstance(found, list) and len(found) == 2:
            files, memos = found
            if isinstance(files, bytes) and isinstance(memos, dict):
                self._packed, self.memos = files, memos

    @property
    def files(self) -> dict[str, bytes]:
        """What is known of the folder's own files."""
        if self._files is None:
            found = _unpacked(self._packed) if self._packed else {}
            self._files = found if isinstance(found, dict) else {}
        return self._files

    @files.setter
    def files(self, files: dict[str, bytes]) -> None:
        self._files = files

    def pack(self) -> bytes:
        if self._files is not None:
            self._packed = record.pack(self._files)
        return record.pack([self._packed, self.memos])


def _unpacked(packed: bytes) -> Any:
    try:
        return msgpack.unpackb(packed, unicode_errors="surrogateescape")
    except (ValueError, TypeError, msgpack.UnpackException):
        return None


class Stamps:
    """The table for one root: path relative to it -> mark and Oid; folder -> memos."""

    def __init__(
        self, path: str, generation: Callable[[], Any] = lambda: None, *, is_trusted: bool = True
    ) -> None:
        """*generation* tells when memos may no longer be believed; see `Store.generation`.

        A table that is not *trusted* knows nothing of any file: each is hashed whenever it counts.
        """
        self._is_trusted = is_trusted
        self._path = path
        self._lock = RLock()
        """Held in every public method: stages of a run ask from threads of their own."""
        self._generation = generation
        self._packed: dict[str, bytes] = {}
        self._open: dict[str, _Folder] = {}
        self._dirty = False
        self._loaded = False
        self._born: Any = None
        self._unsynced: set[str] = set()
        """Folders that have unsynced entries."""
        self._names: list[str] | None = None
        """Folders of the table as it was read, in order."""

    # -- files -----------------------------------------------------------------------------

    def get(self, path: str, found: Mark) -> Oid | None:
        """The content's name, if the file has not moved since it was hashed."""
        folder, _, name = path.rpartition("/")
        return self.seen(folder, name, found)

    def seen(self, folder: str, name: str, found: Mark) -> Oid | None:
        """The same, of a name in a folder."""
        if not self._is_trusted:
            return None
        with self._lock:
            entry = self._folder(folder).files.get(name)
        if isinstance(entry, bytes) and len(entry) in _LENGTHS and entry[:32] == _pack(found):
            return Oid(entry[32:48])
        return None

    def of(self, path: str, found: os.stat_result) -> Oid | None:
        """As `get`, of what a stat has just said; most of what a large pipeline asks."""
        if not self._is_trusted:
            return None
        folder, _, name = path.rpartition("/")
        with self._lock:
            held = self._open.get(folder) or self._folder(folder)
            entry = held.files.get(name)
        if isinstance(entry, bytes) and len(entry) in _LENGTHS:
            try:
                now = _MARK.pack(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
            except struct.error:
                return None
            if entry.startswith(now):
                return Oid(entry[32:48])
        return None

    def set(self, path: str, found: Mark, oid: Oid, started: int) -> None:
        """Remember that hashing, begun at *started* (ns), saw this content."""
        if is_settled(found, started):
            folder, _, name = path.rpartition("/")
            with self._lock:
                kept = self._folder(folder)
                self._set(folder, kept, name, _pack(found) + oid)

    def _set(self, folder: str, kept: _Folder, name: str, entry: bytes) -> None:
        if kept.files.get(name) != entry:
            kept.files[name] = entry + UNSYNCED
            kept.is_dirty = self._dirty = True
            self._unsynced.add(folder)

    def set_all(self, seen: Iterable[tuple[str, Mark, Oid]], started: int) -> None:
        """The same of many paths; those of one folder best come one after another."""
        last, kept = None, None
        with self._lock:
            for path, found, oid in seen:
                if not is_settled(found, started):
                    continue
                folder, _, name = path.rpartition("/")
                if kept is None or folder != last:
                    last, kept = folder, self._folder(folder)
                self._set(folder, kept, name, _pack(found) + oid)

    def sync_files(self, root: str) -> None:
        """Sync the files that were hashed since the last time, so that later boots believe it.

        *root* is what paths are relative to. A file that has moved, or cannot be synced, stays
        unsynced.
        """
        with self._lock:
            self._load()
            if durable.is_off() or not self._unsynced:
                return
            unsynced = [
                (folder, name, entry, os.path.join(root, folder, name))
                for folder in sorted(self._unsynced)
                for name, entry in self._folder(folder).files.items()
                if _is_unsynced(entry)
            ]
        synced = []
        for folder, name, entry, full in unsynced:
            with contextlib.suppress(OSError):
                if entry[:32] == _pack(mark(os.stat(full))):
                    synced.append((folder, name, entry, full))
        try:
            durable.sync_paths([full for *_, full in synced])
        except OSError:
            # One of them cannot be synced (some network file systems): the others still can.
            synced = [each for each in synced if _can_sync(each[3])]
        with self._lock:
            for folder, name, entry, _ in synced:
                kept = self._folder(folder)
                if kept.files.get(name) == entry:
                    kept.files[name] = entry[:48]
                    kept.is_dirty = self._dirty = True
            self._unsynced = {folder for folder in self._unsynced if self._has_unsynced(folder)}

    def _has_unsynced(self, folder: str) -> bool:
        return any(map(_is_unsynced, self._folder(folder).files.values()))

    # -- folders ---------------------------------------------------------------------------

    def memo(self, folder: str, tag: str) -> Memo | None:
        """What a walk kept of the folder under *tag*."""
        if not self._is_trusted:
            return None
        with self._lock:
            return self._folder(folder).memos.get(tag)

    def keep(self, folder: str, tag: str, memo: Memo, names: dict[str, Any]) -> None:
        """Keep a memo of a folder whose files are *names*; stamps of other names go."""
        with self._lock:
            kept = self._folder(folder)
            kept.memos[tag] = memo
            if len(kept.files) > len(names):
                kept.files = {name: entry for name, entry in kept.files.items() if name in names}
            kept.is_dirty = self._dirty = True

    def known(self, folder: str) -> list[tuple[str, int]]:
        """Folders at and below one as the table was read, and about how many files are in each."""
        from bisect import bisect_left

        with self._lock:
            self._load()
            if self._names is None:
                self._names = sorted(
                    name
                    for name, packed in self._packed.items()
                    if isinstance(packed, bytes) and _is_path(name)
                )
            names, packed = self._names, self._packed
        if folder:
            first, last = (bisect_left(names, folder + each) for each in ("/", _AFTER))
            own = [folder] if isinstance(packed.get(folder), bytes) else []
            names = [*own, *names[first:last]]
        return [(name, len(packed.get(name, b"")) // PACKED) for name in names]

    def renew(self) -> None:
        """Forget all memos if the store they speak of has lost something since they were read."""
        with self._lock:
            self._load()
            if self._generation() != self._born:
                self._forget_memos()

    def _forget_memos(self) -> None:
        for name in list(self._packed):
            folder = self._folder(name)
            if folder.memos:
                folder.memos = {}
                folder.is_dirty = self._dirty = True
        for folder in self._open.values():
            folder.memos = {}
        self._born = self._generation()

    def forget(self) -> None:
        """Forget everything; the next walk reads every file."""
        with self._lock:
            self._loaded = True
            self._packed, self._open, self._unsynced = {}, {}, set()
            self._born = self._generation()
            self._dirty = True

    # -- the file --------------------------------------------------------------------------

    def _folder(self, name: str) -> _Folder:
        folder = self._open.get(name)
        if folder is None and not self._loaded:
            self._load()
            folder = self._open.get(name)
        if folder is None:
            if len(self._open) >= OPEN:
                self._close_oldest()
            folder = self._open[name] = _Folder(self._packed.get(name))
        return folder

    def _close_oldest(self) -> None:
        for name in list(self._open)[: OPEN // 4]:
            folder = self._open.pop(name)
            if folder.is_dirty:
                self._packed[name] = folder.pack()

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        self._born = self._generation()
        try:
            found = record.read(record.CACHE, self._path)
        except (OSError, StoreError):
            return
        if not isinstance(found, tuple) or len(found) != 5 or found[0] != VERSION:
            return
        _, born, boot, unsynced, packed = found
        if isinstance(packed, dict) and isinstance(unsynced, tuple):
            self._packed = packed
            self._unsynced = {name for name in unsynced if isinstance(name, str)}
            if born != self._born:
                self._forget_memos()
            if boot != boot_id():
                self._forget_unsynced()

    def _forget_unsynced(self) -> None:
        """The machine has started anew: what may not have been on disk is not known."""
        for name in self._unsynced:
            folder = self._folder(name)
            folder.files = {
                leaf: entry for leaf, entry in folder.files.items() if not _is_unsynced(entry)
            }
            folder.memos = {}
            folder.is_dirty = self._dirty = True
        self._unsynced = set()

    def save(self) -> None:
        """Write the table if it changed; where that is not allowed, nothing is lost but time."""
        with self._lock:
            if not self._dirty:
                return
            self.renew()
            for name, folder in self._open.items():
                if folder.is_dirty:
                    self._packed[name] = folder.pack()
                    folder.is_dirty = False
            try:
                row = [VERSION, self._born, boot_id(), sorted(self._unsynced), self._packed]
                data = record.encode(record.CACHE, row)
                durable.replace(self._path, data, sync=False)
                self._dirty = False
            except (OSError, StoreError):
                return


def _can_sync(path: str) -> bool:
    try:
        durable.sync_paths([path])
    except OSError:
        return False
    return True


def _is_unsynced(entry: Any) -> bool:
    return isinstance(entry, bytes) and len(entry) == 49


def _is_path(name: Any) -> bool:
    """Whether a name can be that of a folder of ours: what is in a cache may be anybody's."""
    if not isinstance(name, str) or "\0" in name:
        return False
    parts = f"/{name}/"
    return not name or not any(part in parts for part in ("//", "/./", "/../"))


def now() -> int:
    """The clock that file times are compared with, in nanoseconds."""
    return time.time_ns()
