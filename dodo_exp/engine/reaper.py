"""Reaper: nothing that a run started outlives the run, however the run ends.

Before the first stage a small process is forked that holds the reading end of a pipe whose only
writer is us. When the pipe closes without a good-bye we are dead, and it ends every process that
the run has left. On Linux that process starts the commands, too, and is their *subreaper* (see
prctl(2)): a process whose parent has ended becomes its child, whatever session, process group or
environment it has given itself. Where there are no subreapers, processes are found by their process
group and, where /proc tells it, by our tag in their environment.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import resource
import signal
import struct
import subprocess
import sys
import threading
import time

from dodo_exp.engine.child import OwnChild, SpawnedChild, own_memory, used
from dodo_exp.engine.tag import descendants, tagged
from dodo_store import locks

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from dodo_exp.engine.child import Child

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

MANY = 1 << 20
"""No process has more descriptors."""

GRACE = 10.0
"""Seconds between asking processes to end and ending them."""

LOOK = 1000
"""Milliseconds after which the watcher looks for commands that ended without a signal."""

KILLING = 5.0
"""Seconds for which processes are killed that still start others."""

PR_SET_CHILD_SUBREAPER = 36

_HEAD = struct.Struct(">II")
"""Of a request: bytes that follow, and descriptors that come before them."""

_FEW = 200
"""Descriptors that are sent at a time; Linux takes 253."""


class Reaper:
    """The watcher of one run. Start it before any thread exists: it is a fork.

    Signals are blocked from its start to `begin`.
    """

    def __init__(
        self, root: str, grace: float = GRACE, *, spawns: bool = sys.platform == "linux"
    ) -> None:
        """With *spawns* it starts the commands, and so knows all that comes of them.

        When we are dead it leaves them *grace* seconds between TERM and KILL.

        Raises:
            OSError: there can be no more processes.
        """
        self.tag = f"{os.getpid()}-{os.urandom(6).hex()}:{root}"
        self._groups: set[int] = set()
        self._lock = threading.Lock()
        """Guards `_groups`, and the order of what is written: each stage has its own thread."""
        self._socket: socket.socket | None = None
        read, self._write = os.pipe()
        theirs = None
        if spawns:
            import socket

            self._socket, theirs = socket.socketpair()
        kept = locks.descriptors()  # before the fork: a lock that guards it stays locked in there
        # Blocked until `begin`: what a signal's handler raises in the middle of a fork is dropped
        # by Python, and what it raises before the caller's `try` would leave the watcher behind,
        # which keeps the locks of the run.
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        try:
            self._pid = os.fork()
            if self._pid == 0:
                _watch(read, theirs, self.tag, kept, grace)
        except OSError:
            os.close(self._write)
            if self._socket is not None:
                self._socket.close()
            self.begin()
            raise
        finally:
            os.close(read)
            if theirs is not None:
                theirs.close()

    def begin(self) -> None:
        """Let signals through again; call it inside the `try` whose `finally` calls `close`."""
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def start(
        self,
        argv: Sequence[str],
        cwd: str,
        environment: Mapping[str, str],
        *,
        output: int,
        stdin: int | None,
        inherited: Sequence[int],
    ) -> Child:
        """Start a command in a process group of its own; see `done`.

        Both its streams go to *output*; *stdin* is a descriptor, or None for no input.

        Raises:
            OSError
            ChildProcessError: the watcher was killed, and may have started it.
        """
        child: Child | None = None
        if self._socket is not None:
            # Where the watcher was killed the command is started from here: no reason to fail.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                fds = [output, *([stdin] if stdin is not None else ()), *inherited]
                order = (list(argv), cwd, dict(environment), stdin is not None)
                child = self._ask(marshal.dumps(order), fds)
        if child is None:
            child = OwnChild(_start(argv, cwd, environment, output, stdin, inherited))
        with self._lock:
            self._groups.add(child.pid)
        self._tell(b"+%d\n" % child.pid)
        return child

    def _ask(self, order: bytes, descriptors: list[int]) -> Child:
        """Let the watcher start a command."""
        import socket

        assert self._socket is not None
        read, write = os.pipe()
        try:
            sent = [write, *descriptors]
            with self._lock:
                self._socket.sendall(_HEAD.pack(len(order), len(sent)))
                for first in range(0, len(sent), _FEW):
                    socket.send_fds(self._socket, [b"f"], sent[first : first + _FEW])
                self._socket.sendall(order)
        except BaseException:
            os.close(read)
            raise
        finally:
            os.close(write)
        try:
            return SpawnedChild(read)
        except BaseException:
            os.close(read)
            raise

    def done(self, child: Child) -> None:
        """The command has been waited for."""
        with self._lock:
            self._groups.discard(child.pid)
        self._tell(b"-%d\n" % child.pid)
        child.close()

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

    def below(self, pids: Iterable[int]) -> set[int]:
        """Of these processes and all below them, those that the run has left."""
        return descendants(pids) & descendants([self._pid])

    def kill(self) -> None:
        """End everything that is left, at once."""
        self.signal(signal.SIGKILL)
        _kill_all(self._pid, self.tag)

    def end(self, *, everything: bool) -> None:
        """The run is over: end *everything* that is left of it, and the watcher.

        A signal has to wait: it would leave the watcher behind with the locks of the run.
        """
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        try:
            if everything:
                self.kill()
            self.close()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def close(self) -> None:
        """The run is over; what a stage left running on purpose may stay."""
        self._tell(b"bye\n")
        os.close(self._write)
        if self._socket is not None:
            self._socket.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


def _start(
    argv: Sequence[str],
    cwd: str,
    environment: Mapping[str, str],
    output: int,
    stdin: int | None,
    inherited: Sequence[int],
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL if stdin is None else stdin,
        stdout=output,
        stderr=output,
        process_group=0,
        pass_fds=inherited,
    )


def _kill_all(watcher: int, tag: str) -> None:
    """Kill all that a run has left, until there is nothing more; the watcher stays.

    A process that is starting another one at this moment is met the next time.
    """
    until = time.monotonic() + KILLING
    while left := (descendants([watcher]) - {watcher}) | set(tagged(tag)):
        # All at once: a shell whose `sleep` is killed before it would go on with its next line.
        _kill(left, signal.SIGSTOP)
        _kill(left, signal.SIGKILL)
        if time.monotonic() > until:
            return  # what does not even end by that waits for a disk
        time.sleep(0.005)


def _kill(pids: Iterable[int], number: int) -> None:
    for pid in sorted(pids):  # mostly parents first
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _watch(
    read: int, requests: socket.socket | None, tag: str, kept: set[int], grace: float
) -> None:
    """The child's whole life; it leaves only through os._exit.

    It keeps the locks of the run, so that nobody uses the same folder before all has ended in it.
    """
    try:
        import gc

        gc.disable()  # what is garbage of the process that has forked us is not ours to take apart
        # Of the same session still: commands have the user's terminal. A handler that does nothing
        # rather than none: what is ignored here would be ignored by them as well.
        os.setpgid(0, 0)
        wake = _woken_by_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (*ENDING, signal.SIGCHLD))
        # Holding a copy of the user's pipe open would keep `dodo repro | head` from ending.
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        wanted = {read, *wake, *kept}
        if requests is not None:
            wanted.add(requests.fileno())
            _adopt_orphans()
        last = 2
        for fd in sorted(wanted):
            os.closerange(last + 1, fd)
            last = max(last, fd)
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        os.closerange(last + 1, limit if 0 <= limit < MANY else MANY)
        groups: set[int] = set()
        if not _serve(read, requests, wake[0], groups):
            _end(groups, tag, grace)
    finally:
        os._exit(0)


def _woken_by_signals() -> tuple[int, int]:
    """A pipe that becomes readable when a process of ours has ended."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    for number in (*ENDING, signal.SIGCHLD):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
    return read, write


def _adopt_orphans() -> None:
    """Become the parent of every process below us whose own parent ends, where Linux can."""
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _serve(read: int, requests: socket.socket | None, wake: int, groups: set[int]) -> bool:
    """Start commands and say how they end, until we are told to go or nobody is there to tell.

    Notes in *groups* which process groups run. Returns whether there was a good-bye.
    """
    import select

    running: dict[int, tuple[subprocess.Popen[bytes], int, int]] = {}
    poll = select.poll()
    for fd in (read, wake, *([requests.fileno()] if requests is not None else ())):
        poll.register(fd, select.POLLIN)
    rest = b""
    while True:
        ready = {fd for fd, _ in poll.poll(LOOK if running else None)}
        if wake in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(wake, 4096)
        if requests is not None:
            _report(running)
        if requests is not None and requests.fileno() in ready:
            if not _answer(requests, running):
                poll.unregister(requests.fileno())
                requests.close()
                requests = None
        elif read in ready:
            data = os.read(read, 4096)
            if not data:
                return False
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if line == b"bye":
                    return True
                change = groups.add if line[:1] == b"+" else groups.discard
                change(int(line[1:]))


def _answer(requests: socket.socket, running: dict[int, Any]) -> bool:
    """Start one command, as asked for; False where nobody asks any more."""
    import socket

    fds: list[int] = []
    try:
        size, count = _HEAD.unpack(_exactly(requests, _HEAD.size))
        while len(fds) < count:
            data, some, _, _ = socket.recv_fds(requests, 1, _FEW)
            fds += some
            if not data:
                return False
        argv, cwd, environment, has_input = marshal.loads(_exactly(requests, size))
    except (OSError, EOFError):
        return False
    answers, output, *inherited = fds
    stdin = inherited.pop(0) if has_input else None
    own = own_memory()
    try:
        process = _start(argv, cwd, environment, output, stdin, inherited)
        running[process.pid] = process, answers, own
        _say(answers, b"started %d\n" % process.pid)
    except Exception as error:  # what one command cannot do must not end the others
        number, name = getattr(error, "errno", 0) or 0, getattr(error, "filename", "") or ""
        _say(answers, b"failed %d %s\n" % (number, os.fsencode(name)))
        os.close(answers)
    for fd in fds[1:]:
        os.close(fd)
    return True


def _exactly(requests: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = requests.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _report(running: dict[int, Any]) -> None:
    """Say of commands that have ended how they did; let go of orphans that have."""
    while True:
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        if pid in running:
            process, answers, own = running.pop(pid)
            process.returncode = os.waitstatus_to_exitcode(status)
            took = used(usage, own)
            _say(answers, b"%d %.6f %d\n" % (process.returncode, took.cpu, took.memory))
            os.close(answers)


def _say(pipe: int, line: bytes) -> None:
    with contextlib.suppress(OSError):  # nobody may be there any more
        os.write(pipe, line)


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


def _end(groups: set[int], tag: str, grace: float) -> None:
    """Ask, wait, insist."""
    own = os.getpid()

    def send(number: int) -> bool:
        alive = set(tagged(tag)) | (descendants([own]) - {own})
        _kill(alive, number)
        for group in list(groups):
            try:
                os.killpg(group, number)
            except (ProcessLookupError, PermissionError):
                groups.discard(group)
        groups.intersection_update(_living(groups))
        return bool(alive or groups)

    send(signal.SIGTERM)
    until = time.monotonic() + grace
    while time.monotonic() < until:
        time.sleep(0.02)
        if not send(0):
            return
    send(signal.SIGKILL)
    _kill_all(own, tag)
