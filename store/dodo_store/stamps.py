"""Stamps: what a file's size, times and inode were when its content was last hashed.

A file whose stamp has not moved is not read again. The table may be deleted at any time.

A file that was changed and hashed within one tick of its file system's clock could change again
without its stamp moving (git calls such entries racy), so a stamp younger than the clock's
resolution is not kept: the file is hashed once more next time.
"""

from __future__ import annotations

import os
import time

from dodo_store import durable, record
from dodo_store.errors import StoreError
from dodo_store.oid import Oid

Mark = tuple[int, int, int, int]
"""Size, mtime_ns, ctime_ns, inode."""

FINE = 50_000_000
"""Nanoseconds to wait where file times carry nanoseconds: several kernel ticks (at most 10 ms)."""

COARSE = 2_000_000_000
"""Nanoseconds to wait where file times are whole milliseconds or seconds (FAT: 2 s)."""


def mark(found: os.stat_result) -> Mark:
    """The part of a stat that moves whenever the content can have changed."""
    return (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def is_settled(found: Mark, now: int) -> bool:
    """Whether a change after *now* must move this mark."""
    _, mtime, ctime, _ = found
    tick = COARSE if mtime % 1_000_000 == 0 or ctime % 1_000_000 == 0 else FINE
    return max(mtime, ctime) + tick < now


class Stamps:
    """The table for one folder: path relative to it -> mark and Oid."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._table: dict[str, tuple[int, int, int, int, bytes]] = {}
        self._dirty = False
        self._loaded = False

    def _load(self) -> dict[str, tuple[int, int, int, int, bytes]]:
        if not self._loaded:
            self._loaded = True
            try:
                found = record.read(record.CACHE, self._path)
            except (OSError, StoreError):
                found = {}
            self._table = found if isinstance(found, dict) else {}
        return self._table

    def get(self, path: str, found: Mark) -> Oid | None:
        """The content's name, if the file has not moved since it was hashed."""
        entry = self._load().get(path)
        is_ours = isinstance(entry, tuple) and len(entry) == 5
        return Oid(entry[4]) if entry is not None and is_ours and entry[:4] == found else None

    def set(self, path: str, found: Mark, oid: Oid, started: int) -> None:
        """Remember that hashing, begun at *started* (ns), saw this content."""
        if is_settled(found, started):
            self._load()[path] = (*found, oid)
            self._dirty = True

    def save(self) -> None:
        """Write the table if it changed; where that is not allowed, nothing is lost but time."""
        if not self._dirty:
            return
        try:
            durable.replace(self._path, record.encode(record.CACHE, self._table), sync=False)
            self._dirty = False
        except (OSError, StoreError):
            return


def now() -> int:
    """The clock that file times are compared with, in nanoseconds."""
    return time.time_ns()
