"""Durable writes: what has been reported as written survives a crash and is never seen half.

The order is always: write a temporary file, fsync it, rename it over the name, fsync the folder.
A failed fsync is never retried on the same file (the kernel may have dropped the pages): the
temporary file goes and the error is the caller's.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from functools import cache
from itertools import count

from xxhash import xxh32_hexdigest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_serial = count()

BATCH = "batch"
FULL = "full"
OFF = "off"
LEVELS = (BATCH, FULL, OFF)
"""How hard a process tries: everything durable before it is named, many files at once; the same
with each file on its own; or nothing at all, for stores that may be lost with the power."""

_level = BATCH


def set_level(level: str) -> None:
    """Choose for this process; the project's settings do so before the first write."""
    global _level
    _level = level


def is_off() -> bool:
    """Whether nothing is made durable."""
    return _level == OFF


MANY = 32
"""Above this many files one syncfs is cheaper than an fsync each."""

TEMPORARY = ".dodo-tmp-"
"""Prefix of temporary names that stand beside users' files; snapshots and globs pass them over."""


def temporary_name() -> str:
    """A name that no other live thread or process uses in the same folder."""
    return f"{TEMPORARY}{_host()}-{os.getpid()}-{next(_serial)}"


@cache
def _host() -> str:
    """Tells machines that share a disk apart."""
    return xxh32_hexdigest(os.uname().nodename.encode())


def replace(path: str, data: bytes, *, sync: bool = True, mode: int | None = None) -> None:
    """Make *data* the content of *path*, all or nothing, keeping the mode of what was there."""
    folder = os.path.dirname(path) or "."
    if mode is None:
        try:
            mode = os.stat(path).st_mode & 0o777
        except FileNotFoundError:
            mode = None
    temporary = os.path.join(folder, temporary_name())
    try:
        _write_new(temporary, data, mode, sync)
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    if sync:
        sync_folder(folder)


def create_all(folder: str, files: list[tuple[str, bytes]], mode: int) -> None:
    """Make new files in a folder; all are durable before the first has its name."""
    made = [(f"{folder}/{temporary_name()}", f"{folder}/{name}", data) for name, data in files]
    try:
        for temporary, _, data in made:
            _write_new(temporary, data, mode, False)
        sync_files([temporary for temporary, _, _ in made])
        for temporary, path, _ in made:
            os.rename(temporary, path)
    except BaseException:
        for temporary, _, _ in made:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise
    sync_folder(folder)


def _write_new(path: str, data: bytes, mode: int | None, sync: bool) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        if mode is not None:
            os.fchmod(fd, mode)
        write_all(fd, data)
        if sync:
            sync_fd(fd)
    finally:
        os.close(fd)


def sweep(folder: str) -> None:
    """Remove temporary files in *folder* whose writer is dead, as a kill leaves them."""
    try:
        names = [name for name in os.listdir(folder) if name.startswith(TEMPORARY)]
    except OSError:
        return
    for name in names:
        host, _, rest = name.removeprefix(TEMPORARY).partition("-")
        pid = rest.partition("-")[0]
        path = os.path.join(folder, name)
        with contextlib.suppress(OSError):
            if host == _host() and pid.isdecimal():
                is_dead = not _is_alive(int(pid))
            else:
                is_dead = time.time() - os.lstat(path).st_mtime > 86_400
            if is_dead:
                os.unlink(path)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write every byte of *data*; a single os.write may stop early."""
    done = os.write(fd, data)
    while done < len(data):
        done += os.write(fd, memoryview(data)[done:])


def sync_fd(fd: int) -> None:
    """Make the content of an open file durable."""
    if _level != OFF:
        os.fsync(fd)


def sync_folder(path: str) -> None:
    """Make the names in this folder durable."""
    if _level == OFF:
        return
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_folders(paths: set[str]) -> None:
    """Make the names in these folders durable; they lie on one file system."""
    if len(paths) > MANY and _level == BATCH and _syncfs(next(iter(paths))):
        return
    for path in sorted(paths):
        sync_folder(path)


def sync_files(paths: list[str]) -> None:
    """Make the content of these files durable; they lie on one file system."""
    if _level == OFF or (_level == BATCH and len(paths) > MANY and _syncfs(paths[0])):
        return
    for path in paths:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def sync_paths(paths: Iterable[str], root: str = "") -> None:
    """Make files, and folders with all that is in them, durable where they are, on any file system.

    With *root* also their names, up to the folder *root*. For a missing path, its removal becomes
    durable. Links are not followed below a folder.
    """
    if _level == OFF:
        return
    todo = _Sync()
    for path in paths:
        todo.add(path)
        folder = os.path.dirname(path)
        while root and len(folder) >= len(root) and todo.add_folder(folder):
            folder = os.path.dirname(folder)
    todo.run()


class _Sync:
    """Paths to sync, grouped by file system; beyond MANY files of one only a few are kept."""

    def __init__(self) -> None:
        self._files: dict[int, list[str]] = {}
        self._folders: dict[int, list[str]] = {}
        self._seen: set[str] = set()

    def _all(self, device: int) -> list[str]:
        return [*self._files.get(device, ()), *self._folders.get(device, ())]

    def _is_enough(self, device: int) -> bool:
        return _level == BATCH and len(self._files.get(device, ())) > MANY

    def add(self, path: str) -> None:
        """A file, or a folder with what is in it."""
        try:
            found = os.stat(path)
        except OSError:
            return
        if stat.S_ISREG(found.st_mode):
            if not self._is_enough(found.st_dev):
                self._files.setdefault(found.st_dev, []).append(path)
        elif stat.S_ISDIR(found.st_mode) and not os.path.islink(path):
            for folder, _, names in os.walk(path):
                self.add_folder(folder)
                for name in names:
                    if self._is_enough(found.st_dev):
                        return
                    full = os.path.join(folder, name)
                    if os.path.isfile(full):
                        self._files.setdefault(found.st_dev, []).append(full)

    def add_folder(self, path: str) -> bool:
        """A folder's names; whether they were not known yet."""
        if path in self._seen:
            return False
        self._seen.add(path)
        with contextlib.suppress(OSError):
            self._folders.setdefault(os.stat(path).st_dev, []).append(path)
        return True

    def run(self) -> None:
        """Sync it."""
        for device in self._files.keys() | self._folders.keys():
            paths = self._all(device)
            readable = [path for path in paths if os.access(path, os.R_OK)]
            is_each = len(readable) == len(paths) and (_level != BATCH or len(paths) <= MANY)
            if not is_each and readable and _syncfs(readable[0]):
                continue
            for path in readable:
                with contextlib.suppress(FileNotFoundError):
                    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
                    try:
                        os.fsync(fd)
                    finally:
                        os.close(fd)


def _syncfs(path: str) -> bool:
    """Flush the file system that holds *path* in one call; False where the system cannot."""
    import ctypes

    call = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if call is None:
        return False
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if call(fd) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), path)
    finally:
        os.close(fd)
    return True
