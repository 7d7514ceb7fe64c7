"""Locks of the kernel (flock): they end with their holder, however it ends.

The text inside a lock file is for people; who holds a lock is never decided by it. Lock files stay.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from _thread import allocate_lock
from functools import cache

from dodo_store.errors import Held
from dodo_store.stamps import is_settled, mark, now

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dodo_store.stamps import Mark

_held: dict[str, int] = {}
"""Descriptors of locks that this process holds, by path."""
_guard = allocate_lock()
"""Guards `_held`: threads take and release locks of their own."""


def descriptors() -> set[int]:
    """Descriptors of the locks that are held now.

    A fork that keeps them keeps the locks, when the process that took them is gone.
    """
    with _guard:
        return set(_held.values())


def descriptor(path: str) -> int | None:
    """The same of one of them. Whoever inherits it has the lock too, until it is released."""
    with _guard:
        return _held.get(path)


def _note(path: str, fd: int | None) -> None:
    with _guard:
        if fd is None:
            _held.pop(path, None)
        else:
            _held[path] = fd


def owner(path: str) -> str:
    """Who wrote itself into the lock file at *path*, in words."""
    return text(path)[:500].strip() or "another process"


def text(path: str) -> str:
    """All that the holder wrote into the lock file at *path*."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(1 << 16)
    except OSError:
        return ""


@contextlib.contextmanager
def hold(
    path: str,
    who: str,
    *,
    timeout: float = -1,
    waiting: Callable[[str], None] | None = None,
    is_enough: Callable[[], bool] = lambda: False,
) -> Iterator[Mark | None]:
    """Hold the lock at *path* for a block; says what `untouched` had said if it still holds.

    Args:
        who: what others are told while they wait, e.g. "pid 12 `dodo repro`, since 10:02".
        timeout: seconds to wait; negative for as long as it takes, 0 for not at all.
        waiting: called once with the holder's words if it takes longer than a moment.
        is_enough: asked now and then whether to give up waiting.

    Raises:
        Held: the time is up, or it is enough.
    """
    with contextlib.ExitStack() as kept:
        # Nearly always nobody holds it; then loading the library would take the longest.
        at_once = _at_once(path, os.O_CREAT)
        if at_once is not None:
            kept.callback(os.close, at_once)
            fd = at_once
        else:
            fd = _in_turn(path, kept, timeout, waiting, is_enough)
        _note(path, fd)
        kept.callback(_note, path, None)
        found = None
        with contextlib.suppress(OSError):
            found = mark(os.fstat(fd))
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{who}\n".encode(errors="backslashreplace"), 0)
        yield found


def _in_turn(
    path: str,
    kept: contextlib.ExitStack,
    timeout: float,
    waiting: Callable[[str], None] | None,
    is_enough: Callable[[], bool],
) -> int:
    """Wait for the lock; see `hold`. It is released with *kept*."""
    from filelock import FileLock, Timeout

    lock = FileLock(path, fallback_to_soft=False, thread_local=False)
    kept.callback(lock.release)
    patience = 0.5 if timeout < 0 else min(0.5, timeout)
    started = time.monotonic()
    try:
        lock.acquire(timeout=patience, poll_interval=0.02)
    except Timeout:
        if waiting is not None and timeout != 0:
            waiting(owner(path))
        until = math.inf if timeout < 0 else started + timeout
        while True:
            left = max(0.0, min(0.5, until - time.monotonic()))
            try:
                lock.acquire(timeout=left, poll_interval=0.05)
                break
            except Timeout:
                if time.monotonic() >= until or is_enough():
                    raise Held(path, owner(path)) from None
    fd = lock._context.lock_file_fd
    assert fd is not None
    return fd


def clear(path: str) -> None:
    """Take our words out of a lock that we hold and are about to let go; see `untouched`."""
    with contextlib.suppress(OSError):
        os.truncate(path, 0)


def untouched(path: str) -> Mark | None:
    """Something that `hold` will say again unless somebody has held the lock since, or does now.

    Who holds it has his words in it, and takes them out. None where that is so, where somebody who
    held it was killed, or where the clock cannot tell.
    """
    try:
        found = mark(os.stat(path))
    except OSError:
        return None
    return found if found[0] == 0 and is_settled(found, now()) else None


def is_free(path: str) -> bool:
    """Whether nobody holds the lock at *path* at this moment."""
    fd = _at_once(path)
    if fd is not None:
        os.close(fd)
    return fd is not None or not os.path.exists(path)


@contextlib.contextmanager
def if_free(path: str) -> Iterator[bool]:
    """Hold the lock at *path* for a block if nobody else does; says whether we do."""
    fd = _at_once(path, os.O_CREAT)
    try:
        yield fd is not None
    finally:
        if fd is not None:
            os.close(fd)


def _at_once(path: str, create: int = 0) -> int | None:
    """The lock file at *path*, held by us as long as it is open; None if that cannot be."""
    import fcntl

    flags = os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        fd = os.open(path, os.O_RDWR | create | flags, 0o644)
    except OSError:
        if create:
            return None  # the library says why
        try:
            fd = os.open(path, os.O_RDONLY | flags)  # on a disk that is read-only by now
        except OSError:
            return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_nlink:
            return fd
    except OSError:
        pass
    os.close(fd)
    return None


@contextlib.contextmanager
def share(
    path: str, *, exclusive: bool = False, waiting: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Hold the lock at *path* together with others, or, if *exclusive*, alone, for a block."""
    import fcntl

    kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    started = time.monotonic()
    fd = _opened(path)
    try:
        while True:
            try:
                fcntl.flock(fd, kind | fcntl.LOCK_NB)
                if os.fstat(fd).st_nlink:
                    break
                # Somebody took it for one that was left, and has removed it.
                again = _opened(path)
                os.close(fd)
                fd = again
            except BlockingIOError:
                if waiting is not None and time.monotonic() - started > 0.5:
                    waiting("another command")
                    waiting = None
                time.sleep(0.01)
        yield
    finally:
        os.close(fd)


def _opened(path: str) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags, 0o644)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return os.open(path, flags, 0o644)


class Shared:
    """One process's share of a lock: its threads and nested blocks hold it together."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._count = 0
        self._guard = allocate_lock()
        self._held = contextlib.ExitStack()

    @property
    def is_held(self) -> bool:
        """Whether a thread of this process is in such a block now."""
        return self._count > 0

    @contextlib.contextmanager
    def enter(self, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
        """Hold it for a block."""
        with self._guard:
            if self._count == 0:
                self._held.enter_context(share(self._path, waiting=waiting))
            self._count += 1
        try:
            yield
        finally:
            with self._guard:
                self._count -= 1
                if self._count == 0:
                    self._held.close()


@cache
def shared(path: str) -> Shared:
    """This process's share of the lock at *path*: one, whoever in the process asks for it."""
    return Shared(path)


# A fork has none of the threads that hold a share.
os.register_at_fork(after_in_child=shared.cache_clear)


def discard(path: str) -> bool:
    """Remove a lock file that nobody holds; True if it is gone.

    It is removed while it is held, and whoever acquires a lock looks whether its file is still
    there, so nobody ends up alone with a file that is not.
    """
    fd = _at_once(path)
    if fd is None:
        return False
    try:
        os.unlink(path)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True
