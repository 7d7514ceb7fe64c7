"""Pool: write-once files named by their content, in 256 folders; and the batch that fills it.

A file enters a pool in this order: written under `tmp/`, made durable, renamed to its name, the
folder made durable. So a name in a pool is a promise that its bytes are there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable

from dodo_store import durable
from dodo_store.errors import Changing, Damaged, Missing
from dodo_store.oid import CHUNK, Hasher, Oid, of_bytes, parse
from dodo_store.stamps import mark

FICLONE = 0x40049409
"""ioctl that makes one file share another's blocks (Linux; btrfs, xfs, bcachefs)."""


class Pool:
    """The files under one folder."""

    def __init__(self, folder: str, quarantine: str) -> None:
        self.folder = folder
        self._quarantine = quarantine

    def path(self, oid: Oid) -> str:
        """Where the content of this name is kept."""
        name = oid.hex()
        return f"{self.folder}/{name[:2]}/{name[2:]}"

    def has(self, oid: Oid, size: int | None = None) -> bool:
        """Whether the content is there, and of this size."""
        try:
            found = os.lstat(self.path(oid))
        except OSError:
            return False
        return stat.S_ISREG(found.st_mode) and (size is None or found.st_size == size)

    def read(self, oid: Oid) -> bytes:
        """The bytes of a small object, checked against its name.

        Raises:
            Missing, Damaged
        """
        path = self.path(oid)
        try:
            with open(path, "rb", buffering=0) as file:
                data = file.readall()
        except FileNotFoundError:
            raise Missing(path, "not in the store") from None
        except IsADirectoryError:
            raise Damaged(path, "a folder, not an object") from None
        if of_bytes(data) != oid:
            raise Damaged(path, "its content does not match its name")
        return data

    def copy_out(self, oid: Oid, size: int, to: str) -> None:
        """Write the content to *to*, a new file; it is checked before it can be seen elsewhere.

        Raises:
            Missing, Damaged: the object is not there, or is not what its name says.
        """
        path = self.path(oid)
        hasher = Hasher()
        try:
            source = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise Missing(path, "not in the store") from None
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise Damaged(path, "a link, not an object") from None
        try:
            found = os.fstat(source)
            if found.st_size != size or not stat.S_ISREG(found.st_mode):
                raise Damaged(path, "its size is not the recorded one")
            target = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            try:
                _copy(source, target, hasher)
            finally:
                os.close(target)
        finally:
            os.close(source)
        if hasher.digest() != oid:
            os.unlink(to)
            raise Damaged(path, "its content does not match its name")

    def set_aside(self, oid: Oid) -> None:
        """Take a damaged object out of the way, so that it counts as missing."""
        os.makedirs(self._quarantine, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.path(oid), os.path.join(self._quarantine, oid.hex()))

    def oids(self) -> list[Oid]:
        """Every name in the pool, for checking."""
        found = []
        for ab in _listing(self.folder):
            for rest in _listing(os.path.join(self.folder, ab)):
                with contextlib.suppress(ValueError):
                    found.append(parse(ab + rest))
        return found


def _listing(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


class Batch:
    """Files on their way into the store. Nothing of them is visible before `commit`."""

    def __init__(self, scratch: str, progress: Callable[[int], None] | None = None) -> None:
        """*progress* is told the size of each file that was copied in."""
        self._scratch = scratch
        self._progress = progress
        self._files: list[tuple[str, str]] = []
        self._names: set[str] = set()

    def add_file(self, pool: Pool, path: str) -> tuple[Oid, os.stat_result]:
        """Copy the file at *path* in; return its name and what it was when it was read.

        Raises:
            Changing: it was written to each of the three times it was read.
        """
        for _ in range(3):
            temporary = os.path.join(self._scratch, durable.temporary_name())
            oid, before, after = _take(path, temporary)
            if mark(before) == mark(after):
                if self._progress is not None:
                    self._progress(before.st_size)
                self._keep(pool, oid, before.st_size, temporary)
                return oid, before
            os.unlink(temporary)
        raise Changing(path, "it is still being written to")

    def add_bytes(self, pool: Pool, oid: Oid, data: bytes) -> None:
        """Add content that is in memory and already named."""
        if pool.path(oid) in self._names or pool.has(oid, len(data)):
            return
        temporary = os.path.join(self._scratch, durable.temporary_name())
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            durable.write_all(fd, data)
        finally:
            os.close(fd)
        self._keep(pool, oid, len(data), temporary)

    def _keep(self, pool: Pool, oid: Oid, size: int, temporary: str) -> None:
        final = pool.path(oid)
        if final in self._names or pool.has(oid, size):
            os.unlink(temporary)
            return
        os.chmod(temporary, 0o444)
        self._names.add(final)
        self._files.append((temporary, final))

    def commit(self) -> None:
        """Make everything durable and give it its name; afterwards the batch is empty."""
        if not self._files:
            return
        durable.sync_files([temporary for temporary, _ in self._files])
        folders: set[str] = set()
        for temporary, final in self._files:
            folder = os.path.dirname(final)
            if folder not in folders and not os.path.isdir(folder):
                os.makedirs(folder, exist_ok=True)
                folders.add(os.path.dirname(folder))
            os.rename(temporary, final)
            folders.add(folder)
        for folder in folders:
            durable.sync_folder(folder)
        self._files.clear()
        self._names.clear()

    def drop(self) -> None:
        """Forget what has not been committed."""
        for temporary, _ in self._files:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        self._files.clear()
        self._names.clear()


def _take(path: str, temporary: str) -> tuple[Oid, os.stat_result, os.stat_result]:
    """Copy a file while hashing it; the stats before and after tell whether it held still."""
    source = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        before = os.fstat(source)
        hasher = Hasher()
        target = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            _copy(source, target, hasher)
        except BaseException:
            os.unlink(temporary)
            raise
        finally:
            os.close(target)
        return Oid(hasher.digest()), before, os.fstat(source)
    finally:
        os.close(source)


def _copy(source: int, target: int, hasher: Hasher) -> None:
    """Copy all bytes, hashing them; share blocks instead of copying where the system can."""
    shared = _clone(source, target)
    while chunk := os.read(source, CHUNK):
        hasher.update(chunk)
        if not shared:
            durable.write_all(target, chunk)


def _clone(source: int, target: int) -> bool:
    import fcntl

    try:
        fcntl.ioctl(target, FICLONE, source)
    except OSError:
        return False
    return True
