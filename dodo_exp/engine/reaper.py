"""Reaper: nothing that a run started outlives the run, however the run ends.

Before the first stage a small process is forked that holds the reading end of a pipe whose only
writer is us. When the pipe closes without a good-bye we are dead, and it ends every process that
carries our tag in its environment: also those that left their process group or session.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import threading
import time

from dodo_exp.engine.tag import tagged
from dodo_store import locks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

MANY = 1 << 20
"""No process has more descriptors."""

GRACE = 10.0
"""Seconds between asking processes to end and ending them."""


class Reaper:
    """The watcher of one run. Start it before any thread exists: it is a fork."""

    def __init__(self, root: str) -> None:
        self.tag = f"{os.getpid()}-{os.urandom(6).hex()}:{root}"
        read, self._write = os.pipe()
        kept = locks.descriptors()  # before the fork: a lock that guards it stays locked in there
        # What a signal's handler raises in the middle of a fork is dropped by Python.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        self._pid = os.fork()
        if self._pid == 0:
            _watch(read, self.tag, kept)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(read)
        self._groups: set[int] = set()
        self._lock = threading.Lock()
        """Guards `_groups`: each stage's thread adds and removes its own."""

    def add(self, group: int) -> None:
        """A process group of the run has begun."""
        with self._lock:
            self._groups.add(group)
        self._tell(b"+%d\n" % group)

    def done(self, group: int) -> None:
        """The group's first process has been waited for."""
        with self._lock:
            self._groups.discard(group)
        self._tell(b"-%d\n" % group)

    def _tell(self, line: bytes) -> None:
        # The watcher may have been killed; that is no reason for a stage to fail.
        with contextlib.suppress(OSError):
            os.write(self._write, line)

    def signal(self, number: int) -> None:
        """Send a signal to every group that runs."""
        with self._lock:
            groups = list(self._groups)
        for group in groups:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, number)

    def kill(self) -> None:
        """End everything that is left, at once."""
        self.signal(signal.SIGKILL)
        _kill(tagged(self.tag), signal.SIGKILL)

    def close(self) -> None:
        """The run is over; what a stage left running on purpose may stay."""
        self._tell(b"bye\n")
        os.close(self._write)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


def _kill(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _watch(read: int, tag: str, kept: set[int]) -> None:
    """The child's whole life; it leaves only through os._exit.

    It keeps the locks of the run, so that nobody uses the same folder before all has ended in it.
    """
    try:
        os.setsid()
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
        # Holding a copy of the user's pipe open would keep `dodo repro | head` from ending.
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        last = 2
        for fd in sorted({read, *kept}):
            os.closerange(last + 1, fd)
            last = max(last, fd)
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        os.closerange(last + 1, limit if 0 <= limit < MANY else MANY)
        groups: set[int] = set()
        rest = b""
        while data := os.read(read, 4096):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if line == b"bye":
                    os._exit(0)
                change = groups.add if line[:1] == b"+" else groups.discard
                change(int(line[1:]))
        _end(groups, tag)
    finally:
        os._exit(0)


def _living(groups: set[int]) -> set[int]:
    """Those with a member that has not ended; one that only nobody has waited for has.

    On Linux; elsewhere nothing can be said, and each may be one.
    """
    try:
        names = os.listdir("/proc")
    except OSError:
        return groups
    found = set()
    for name in names:
        if name.isdecimal():
            with contextlib.suppress(OSError, ValueError), open(f"/proc/{name}/stat", "rb") as file:
                state, _, group = file.read().rpartition(b")")[2].split()[:3]
                if state not in b"ZX":
                    found.add(int(group))
    return found


def _end(groups: set[int], tag: str) -> None:
    """Ask, wait, insist."""

    def send(number: int) -> bool:
        alive = tagged(tag)
        _kill(alive, number)
        for group in list(groups):
            try:
                os.killpg(group, number)
            except (ProcessLookupError, PermissionError):
                groups.discard(group)
        groups.intersection_update(_living(groups))
        return bool(alive or groups)

    send(signal.SIGTERM)
    until = time.monotonic() + GRACE
    while time.monotonic() < until:
        time.sleep(0.02)
        if not send(0):
            return
    send(signal.SIGKILL)
