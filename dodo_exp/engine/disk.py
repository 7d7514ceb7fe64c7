"""Disk: recognizes errors of a full or read-only disk, and words them for the user."""

from __future__ import annotations

import contextlib
import errno
import os

from dodo_exp.errors import NoRoom
from dodo_store import durable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Codes of errors that last until the user changes something about the disk."""

ROOM = 1 << 20
"""Bytes that must be free for an experiment of the queue to begin."""

LITTLE = 100_000_000
"""Bytes; with less free a disk may have been full a moment ago."""

GC = "`dodo gc` gives space back"


def cause(error: BaseException | None) -> OSError | None:
    """The disk's error that *error* is, or that led to it."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in ERRORS:
            return error
        error = error.__cause__ or error.__context__
    return None


def probe(folder: str) -> OSError | None:
    """Try to write ROOM bytes in *folder*; return the error of a full or read-only disk."""
    path = os.path.join(folder, durable.temporary_name())
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.unlink(path)
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(fd, 0, ROOM)
            else:
                durable.write_all(fd, bytes(ROOM))
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno in ERRORS:
            words = f"{os.strerror(error.errno)}: an experiment needs 1 MiB to begin"
            return OSError(error.errno, words, folder)
    return None


def check(folder: str, failures: Iterable[BaseException] = (), then: str = GC) -> None:
    """Refuse to go on where the disk led to one of *failures*, or has no room in *folder*.

    Raises:
        NoRoom
    """
    found = next(filter(None, map(cause, failures)), None) or probe(folder)
    if found is not None:
        raise no_room(found, folder, then) from found


def blame(folder: str, output: bytes) -> OSError | None:
    """The disk error that a failed command reported, if it concerns this disk.

    The command's words alone are not believed: they may be about another disk (/dev/shm, say).
    """
    for code in ERRORS:
        if os.strerror(code).encode() in output:
            break
    else:
        return None
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    # Another command may have made some room since.
    is_nearly_full = found.f_bavail * found.f_frsize < LITTLE or not found.f_favail
    if (code == errno.ENOSPC and is_nearly_full) or probe(folder) is not None:
        return OSError(code, os.strerror(code), folder)
    return None


@contextlib.contextmanager
def told(folder: str, then: str = GC) -> Iterator[None]:
    """Raise the errors of a full or read-only disk in a block as `NoRoom`."""
    try:
        yield
    except OSError as error:
        if error.errno not in ERRORS:
            raise
        raise no_room(error, folder, then) from error


def no_room(error: OSError, folder: str, then: str = GC) -> NoRoom:
    """The error in words: where, what, how much is free, and *then*: what to do.

    A failed write or fsync does not say of which file; it is one in *folder*.
    """
    where = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else folder
    if error.errno == errno.EROFS:
        then = then.replace(GC, "remount the disk writable")
    return NoRoom(f"{where}: {error.strerror or error}", f"{_left(error, where)}; {then}")


def _left(error: OSError, where: str) -> str:
    """What the disk that holds *where* has left."""
    from dodo_exp.units import format_size

    if error.errno == errno.EROFS:
        return "that disk is read-only"
    if error.errno == errno.EDQUOT:
        return "your quota on that disk is used up"
    while where and not os.path.exists(where):
        where = os.path.dirname(where)
    try:
        found = os.statvfs(where or ".")
    except OSError:
        return "that disk is full"
    if found.f_files and not found.f_favail:
        return "that disk can hold no more files"
    return f"{format_size(found.f_bavail * found.f_frsize)} free there"
