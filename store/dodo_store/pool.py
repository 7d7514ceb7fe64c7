"""Pool: write-once files named by their content, in 256 folders; and the batch that fills it.

A file enters a pool in this order: written under `tmp/`, made durable, renamed to its name, the
folder made durable. So a name in a pool is a promise that its bytes are there.

A file's modification time is made from its name. Whoever writes into the file moves the time, so
one stat tells a file that is as it was put from one that has to be hashed before it is believed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from _thread import allocate_lock

from dodo_store import durable, record
from dodo_store.errors import Changing, Damaged, Missing
from dodo_store.oid import Hasher, Oid, of_bytes, of_file, of_open, parse
from dodo_store.stamps import mark

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dodo_store.stamps import Mark

FICLONE = 0x40049409
"""ioctl that makes one file share another's blocks (Linux; btrfs, xfs, bcachefs)."""

SMALL = 1 << 20
"""Files below this many bytes are read whole."""

BLOCK = 1 << 14
"""Bytes below which writing takes no longer than asking the file system to share blocks."""

BUFFER = 1 << 18
"""Bytes of a larger file that are copied at a time."""

PLENTY = 64 << 20
"""Bytes from which on it is asked whether there is space for a file before it is copied."""

FULL = (errno.ENOSPC, errno.EDQUOT)
"""Errors of a disk, or a quota, that has no room left."""

PUBLISH = 32_768
"""Files that are collected before they are made durable and named: bounds a batch's memory."""


def time_of(oid: Oid) -> int:
    """The modification time (whole even seconds since 1970) of the file of this name.

    Even seconds are what every file system can hold; they fall between 2001 and 2018.
    """
    return 1_000_000_000 + 2 * (int.from_bytes(oid[:4], "big") >> 4)


class Pool:
    """The files under one folder."""

    def __init__(self, folder: str, quarantine: str) -> None:
        self.folder = folder
        self._quarantine = quarantine
        self._damaged: set[Oid] = set()
        self._lock = allocate_lock()
        """Guards `_damaged`."""

    @property
    def damaged(self) -> set[Oid]:
        """What `has` has found to be there and not what its name says; a copy."""
        with self._lock:
            return set(self._damaged)

    def _note_damaged(self, oid: Oid) -> None:
        with self._lock:
            self._damaged.add(oid)

    def path(self, oid: Oid) -> str:
        """Where the content of this name is kept."""
        name = oid.hex()
        return f"{self.folder}/{name[:2]}/{name[2:]}"

    def has(self, oid: Oid, size: int | None = None) -> bool:
        """Whether the content is there, of this size, and untouched since it was put or hashed."""
        try:
            found = os.lstat(self.path(oid))
        except OSError:
            return False
        is_file = stat.S_ISREG(found.st_mode)
        if is_file and (size is None or found.st_size == size):
            is_untouched = found.st_mtime_ns == time_of(oid) * 1_000_000_000
            if is_untouched or self.verify(oid):
                return True
            self._note_damaged(oid)
        elif not is_file or not self.verify(oid):
            self._note_damaged(oid)
        return False

    def verify(self, oid: Oid) -> bool:
        """Hash the file; one that is good though its time has moved gets its time back."""
        path = self.path(oid)
        try:
            if not stat.S_ISREG(os.lstat(path).st_mode) or of_file(path) != oid:
                return False
        except OSError:
            return False
        with contextlib.suppress(OSError):
            os.utime(path, (time_of(oid), time_of(oid)))
        return True

    def freshen(self, oid: Oid) -> None:
        """Move the file's change time to now, for whoever removes what is old."""
        with contextlib.suppress(OSError):
            os.utime(self.path(oid), (time_of(oid), time_of(oid)))

    def read(self, oid: Oid) -> bytes:
        """The bytes of a small object, checked against its name.

        Raises:
            Missing, Damaged
        """
        path = self.path(oid)
        try:
            data = record.read_regular(path)
        except FileNotFoundError:
            raise Missing(path, "not in the store") from None
        if of_bytes(data) != oid:
            raise Damaged(path, "its content does not match its name")
        return data

    @contextlib.contextmanager
    def opened(self, oid: Oid, size: int) -> Iterator[int]:
        """The file as a descriptor, its size and kind checked.

        Raises:
            Missing, Damaged
        """
        path = self.path(oid)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            raise Missing(path, "not in the store") from None
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise Damaged(path, "a link, not an object") from None
        try:
            found = os.fstat(fd)
            if found.st_size != size or not stat.S_ISREG(found.st_mode):
                raise Damaged(path, "its size is not the recorded one")
            yield fd
        finally:
            os.close(fd)

    def copy_out(self, oid: Oid, size: int, to: str, mode: int = 0o666) -> Mark:
        """Write the content to *to*, a new file; it is checked before it can be seen elsewhere.

        Raises:
            Missing, Damaged: the object is not there, or is not what its name says.
        """
        with self.opened(oid, size) as source:
            target = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            try:
                is_small = size < SMALL
                copied = _copy_small(source, target, size) if is_small else _copied(source, target)
                found = mark(os.fstat(target))
            except BaseException as error:
                os.unlink(to)  # on a full disk half a file takes the room of others
                if isinstance(error, OSError) and error.filename is None:
                    error.filename = to
                raise
            finally:
                os.close(target)
        if copied != oid:
            os.unlink(to)
            raise Damaged(self.path(oid), "its content does not match its name")
        return found

    def link_out(self, oid: Oid, size: int, to: str) -> bool:
        """Make *to* another name of the file; False where the file system cannot.

        Raises:
            Missing, Damaged
        """
        if not self.has(oid, size):
            with self.opened(oid, size):
                raise Damaged(self.path(oid), "its content does not match its name")
        try:
            os.link(self.path(oid), to)
        except OSError as error:
            if error.errno in (errno.EXDEV, errno.EMLINK, errno.EPERM, errno.ENOTSUP):
                return False
            raise
        return True

    def set_aside(self, oid: Oid) -> None:
        """Take a damaged object out of the way, so that it counts as missing."""
        os.makedirs(self._quarantine, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.path(oid), os.path.join(self._quarantine, oid.hex()))
        with self._lock:
            self._damaged.discard(oid)

    def oids(self) -> list[Oid]:
        """Every name in the pool, in order."""
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
    """Files on their way into the store. Files may be added by several threads.

    What is complete may be published early, to bound memory; whoever refers to it does so after
    `commit`, so nobody can tell.
    """

    def __init__(self, scratch: str, progress: Callable[[int, bool], None] | None = None) -> None:
        """*progress* is told sizes: of each file that was read, and of what needed no reading."""
        self._scratch = scratch
        self._progress = progress
        self._files: list[tuple[str, str]] = []
        self._names: set[str] = set()
        self._folders: set[str] = set()
        self._lock = allocate_lock()

    def add_file(self, pool: Pool, path: str, *, link: bool = False) -> tuple[Oid, os.stat_result]:
        """Copy the file at *path* in; return its name and what it was when it was read.

        With *link* the file itself becomes the object's second name, read-only from then on.

        Raises:
            Changing: it was written to each of the three times it was read.
        """
        temporary = f"{self._scratch}/{durable.temporary_name()}"
        for _ in range(3):
            made = _link_in(pool, path, temporary) if link else None
            try:
                oid, before, after, is_new = made or _take(pool, path, temporary)
            except OSError as error:
                if error.filename is None:  # a full disk does not say what it has no room for
                    error.filename = path
                raise
            if mark(before) == mark(after):
                self.passed(before.st_size, was_read=True)
                if is_new:
                    self._keep(pool, oid, temporary)
                return oid, (os.lstat(path) if made else before)
            _unlink(temporary)
        raise Changing(path, "it is still being written to")

    def take(self, pool: Pool, path: str, found: Mark) -> tuple[bytes, str] | None:
        """Copy a file that was *found* so; its name, and where the copy is if one was needed.

        For other processes: what they say is `put` in here. None where the file has moved, or
        cannot be read: `add_file` says what is wrong with it.
        """
        temporary = f"{self._scratch}/{durable.temporary_name()}"
        try:
            oid, before, after, is_new = _take(pool, path, temporary)
        except OSError:
            return None
        if found == mark(before) == mark(after):
            return oid, temporary if is_new else ""
        _unlink(temporary)
        return None

    def put(self, pool: Pool, oid: Oid, temporary: str, size: int) -> None:
        """Add what was taken by `take`."""
        self.passed(size, was_read=True)
        if temporary:
            self._keep(pool, oid, temporary)

    def passed(self, size: int, *, was_read: bool = False) -> None:
        """So many bytes are dealt with."""
        if self._progress is not None:
            self._progress(size, was_read)

    def add_bytes(self, pool: Pool, oid: Oid, data: bytes) -> None:
        """Add content that is in memory and already named."""
        if pool.path(oid) in self._names or _holds(pool, oid, data):
            return
        temporary = f"{self._scratch}/{durable.temporary_name()}"
        _write(temporary, oid, data)
        self._keep(pool, oid, temporary)

    def adopt(self, pool: Pool, oid: Oid, size: int, temporary: str) -> None:
        """Add a file that lies in the scratch folder already and has been hashed there."""
        if _has_whole(pool, oid, size):
            os.unlink(temporary)
            return
        os.utime(temporary, (time_of(oid), time_of(oid)))
        self._keep(pool, oid, temporary)

    def _keep(self, pool: Pool, oid: Oid, temporary: str) -> None:
        """The file at *temporary* is to have its name."""
        final = pool.path(oid)
        with self._lock:
            is_known = final in self._names
            if not is_known:
                self._names.add(final)
                self._files.append((temporary, final))
            is_full = len(self._files) >= PUBLISH
        if is_known:
            os.unlink(temporary)
        if is_full:
            self._publish()

    def commit(self) -> None:
        """Make everything durable and give it its name; afterwards the batch is empty."""
        self._publish()
        durable.sync_folders(self._folders)
        self._folders.clear()

    def _publish(self) -> None:
        """Give names to what there is. Until `commit` nobody relies on their being durable."""
        with self._lock:
            files, self._files = self._files, []
        try:
            folders = _name(files)
        except BaseException:
            with self._lock:
                self._files += files
            raise
        with self._lock:
            self._folders |= folders
            if files:
                self._names.clear()

    def drop(self) -> None:
        """Forget what has not been committed."""
        for temporary, _ in self._files:
            _unlink(temporary)
        self._files.clear()
        self._names.clear()


def _name(files: list[tuple[str, str]]) -> set[str]:
    """Make files durable and give them their names; returns the folders that are to be synced."""
    folders: set[str] = set()
    if not files:
        return folders
    durable.sync_files([temporary for temporary, _ in files])
    for temporary, final in files:
        folder = final.rpartition("/")[0]
        if folder not in folders and not os.path.isdir(folder):
            os.makedirs(folder, exist_ok=True)
            folders.add(os.path.dirname(folder))
        try:
            os.rename(temporary, final)
        except IsADirectoryError:
            _clear(final)
            os.rename(temporary, final)
        folders.add(folder)
    return folders


def _clear(final: str) -> None:
    """Put a folder that is in an object's place into the quarantine."""
    store = os.path.dirname(os.path.dirname(os.path.dirname(final)))
    os.makedirs(f"{store}/quarantine", exist_ok=True)
    os.rename(final, f"{store}/quarantine/{durable.temporary_name()}")


def _holds(pool: Pool, oid: Oid, data: bytes) -> bool:
    """Whether the pool has exactly these bytes; then they are as good as just put."""
    path = pool.path(oid)
    if not os.access(path, os.F_OK):  # as it mostly is, and an exception takes 3 us
        return False
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        if os.fstat(fd).st_size != len(data) or os.read(fd, len(data) + 1) != data:
            return False
    except OSError:
        return False
    finally:
        os.close(fd)
    pool.freshen(oid)
    return True


def _unlink(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC

READ_ONLY = 0o444
"""Mode of what is kept, less what the umask takes. Who opens a file anew may still write it."""


def _seal(fd: int, oid: Oid) -> None:
    """Give a file the time that says that nobody has written to it."""
    os.utime(fd, (time_of(oid), time_of(oid)))


def _write(temporary: str, oid: Oid, data: bytes) -> None:
    fd = os.open(temporary, _NEW, READ_ONLY)
    try:
        durable.write_all(fd, data)
        _seal(fd, oid)
    except BaseException:
        _unlink(temporary)
        raise
    finally:
        os.close(fd)


_Taken = tuple[Oid, os.stat_result, os.stat_result, bool]
"""The name, what the file was before and after it was read, and whether a copy was made."""


def _take(pool: Pool, path: str, temporary: str) -> _Taken:
    """Copy a file while hashing it; content that the pool has is not kept twice."""
    source = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        before = os.fstat(source)
        if before.st_size < SMALL:
            data = os.read(source, before.st_size + 1)  # a larger buffer costs 20 us to come by
            after = os.fstat(source)
            oid = of_bytes(data)
            is_new = mark(before) == mark(after) and not _holds(pool, oid, data)
            if is_new:
                _write(temporary, oid, data)
            return oid, before, after, is_new
        try:
            oid, is_new = _copy_large(source, temporary), True
        except OSError as error:
            if error.errno not in FULL:
                raise
            # There is no room for a copy. None is needed if the content is in the store already.
            oid, is_new = _name_open(source), False
            if not _has_whole(pool, oid, before.st_size):
                raise
        after = os.fstat(source)
    finally:
        os.close(source)
    # One that is there already stays, if it is what it says: the first good one wins.
    has_moved = mark(before) != mark(after)
    if is_new and not has_moved and _has_whole(pool, oid, before.st_size):
        os.unlink(temporary)
        is_new = False
    if not is_new:
        pool.freshen(oid)
    return oid, before, after, is_new


def _has_whole(pool: Pool, oid: Oid, size: int) -> bool:
    """Whether the content is there; unlike `has` this reads it."""
    return pool.has(oid, size) and pool.verify(oid)


def _copy_large(source: int, temporary: str) -> Oid:
    """Copy an open file to a new one; name what was copied."""
    target = os.open(temporary, _NEW, READ_ONLY)
    try:
        oid = _copied(source, target)
        _seal(target, oid)
    except BaseException:
        os.unlink(temporary)
        raise
    finally:
        os.close(target)
    return oid


def _name_open(source: int) -> Oid:
    """Name an open file's content, from its beginning."""
    with open(source, "rb", buffering=0, closefd=False) as file:
        file.seek(0)
        return of_open(file)


def _link_in(pool: Pool, path: str, temporary: str) -> _Taken | None:
    """Make *temporary* another name of a file, and both read-only; None where that cannot be."""
    before = os.lstat(path)
    if before.st_nlink > 1:
        return None
    try:
        os.link(path, temporary, follow_symlinks=False)
    except OSError:
        return None
    oid = of_file(path)
    after = os.lstat(path)
    # The link itself moves the change time; size and modification time tell of a writer.
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        os.unlink(temporary)
        return None
    if pool.has(oid, before.st_size):
        os.unlink(temporary)
        return oid, before, before, False
    os.chmod(temporary, 0o444)
    os.utime(temporary, (time_of(oid), time_of(oid)))
    return oid, before, before, True


def _copy_small(source: int, target: int, size: int) -> Oid:
    """Copy a small file in one piece; name what was copied."""
    data = os.read(source, size + 1)  # a larger buffer costs 20 us to come by
    if size < BLOCK or not _clone(source, target, os.fstat(source).st_dev):
        durable.write_all(target, data)
    return of_bytes(data)


def _copied(source: int, target: int) -> Oid:
    hasher = Hasher()
    _copy(source, target, hasher)
    return Oid(hasher.digest())


def _copy(source: int, target: int, hasher: Hasher) -> None:
    """Copy all bytes, hashing them; share blocks instead of copying where the system can.

    Raises:
        OSError: there is not enough space, which is known before the disk is full.
    """
    found = os.fstat(source)
    shared = _clone(source, target, found.st_dev)
    if not shared:
        _check_space(target, found.st_size)
    if not shared and found.st_blocks * 512 < found.st_size:
        _copy_parts(source, target, hasher, found.st_size)
        return
    # One buffer that stays in the processor's cache from reading over hashing to writing.
    buffer = memoryview(bytearray(BUFFER))
    while count := os.readv(source, [buffer]):
        part = buffer[:count]
        hasher.update(part)
        if not shared:
            durable.write_all(target, part)


def _check_space(target: int, size: int) -> None:
    if size < PLENTY:
        return
    found = os.fstatvfs(target)
    free = found.f_bavail * found.f_frsize
    if size > free:
        text = f"no space left: {size:,} bytes are needed, {free:,} are free"
        raise OSError(errno.ENOSPC, text)


def _copy_parts(source: int, target: int, hasher: Hasher, size: int) -> None:
    """Copy a file with holes, leaving them holes."""
    zeros, at = bytes(BUFFER), 0
    while at < size:
        try:
            start = os.lseek(source, at, os.SEEK_DATA)
            end = os.lseek(source, start, os.SEEK_HOLE)
        except OSError:  # no more data
            start = end = size
        for place in range(at, start, BUFFER):
            hasher.update(zeros[: min(BUFFER, start - place)])
        for place in range(start, end, BUFFER):
            data = os.pread(source, min(BUFFER, end - place), place)
            hasher.update(data)
            os.lseek(target, place, os.SEEK_SET)
            durable.write_all(target, data)
        at = max(end, at + 1)
    os.ftruncate(target, size)


_cannot_clone: set[int] = set()
"""Devices whose file systems have said so: they are asked once. Only added to, one by one."""


def _clone(source: int, target: int, device: int) -> bool:
    """Share the blocks of two files on one file system."""
    if device in _cannot_clone:
        return False
    import fcntl

    try:
        fcntl.ioctl(target, FICLONE, source)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.ENOTTY, errno.ENOSYS):
            _cannot_clone.add(device)
        return False
    return True
