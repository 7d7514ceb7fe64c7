"""Child: the process of a command, and what it has used when it has ended."""

from __future__ import annotations

import os
import resource
import select
import sys

from dodo_store.named import Named

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess


class Used(Named):
    """What commands took: seconds of processor time, bytes of the largest process.

    The memory is 0 where it was no more than our own.
    """

    cpu: float = 0.0
    memory: int = 0

    def plus(self, other: Used) -> Used:
        """Of commands that ran one after the other."""
        return Used(self.cpu + other.cpu, max(self.memory, other.memory))


class Child:
    """A command's process; what it used is known when it has ended."""

    descriptors: tuple[int, ...] = ()
    """What becomes readable when it ends, where anything does."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None
        self._used = Used()

    def has_ended(self) -> bool:
        """Whether it has, without waiting."""
        return self._look(is_waiting=False)

    def wait(self) -> tuple[int, Used]:
        """Its exit code as Popen has it, and what it used.

        Raises:
            ChildProcessError: nobody can say how it ended.
        """
        self._look(is_waiting=True)
        if self._code is None:
            raise ChildProcessError("the process that starts commands was killed")
        return self._code, self._used

    def _look(self, *, is_waiting: bool) -> bool:
        raise NotImplementedError

    def has_company(self) -> bool:
        """Whether others of its process group go on."""
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return True

    def end(self, number: int) -> None:
        """Send a signal to its process group."""
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return

    def close(self) -> None:
        """Nothing more is asked of it."""


class OwnChild(Child):
    """One that this process has started."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        super().__init__(process.pid)
        self._process = process
        self._own = own_memory()

    def _look(self, *, is_waiting: bool) -> bool:
        if self._code is None:
            pid, status, usage = os.wait4(self.pid, 0 if is_waiting else os.WNOHANG)
            if pid:
                self._process.returncode = self._code = os.waitstatus_to_exitcode(status)
                self._used = used(usage, self._own)
        return self._code is not None


class SpawnedChild(Child):
    """One that another process has started, which says through a pipe how it has ended."""

    def __init__(self, pipe: int) -> None:
        """Read from *pipe* that it has started.

        Raises:
            OSError: it has not; as it was met there.
            ChildProcessError: the other process is gone.
        """
        self._pipe = pipe
        self._data = b""
        self._is_over = False
        while b"\n" not in self._data and self._read():
            pass
        line, _, self._data = self._data.partition(b"\n")
        word, *rest = line.split(b" ", 2)
        if word == b"failed" and len(rest) == 2:
            number = int(rest[0])
            raise OSError(number, os.strerror(number), os.fsdecode(rest[1]) or None)
        if word != b"started" or not rest:
            raise ChildProcessError("the process that starts commands was killed")
        super().__init__(int(rest[0]))
        self.descriptors = (pipe,)

    def _read(self) -> bool:
        data = os.read(self._pipe, 4096)
        self._data += data
        return bool(data)

    def _look(self, *, is_waiting: bool) -> bool:
        poll = select.poll()
        poll.register(self._pipe, select.POLLIN)
        while not self._is_over and (b"\n" in self._data or is_waiting or poll.poll(0)):
            is_there = b"\n" in self._data or self._read()
            if b"\n" in self._data:
                code, cpu, memory = self._data.split()[:3]
                self._code, self._used = int(code), Used(float(cpu), int(memory))
            self._is_over = self._code is not None or not is_there
        return self._is_over

    def close(self) -> None:
        """Nothing more is asked of it."""
        os.close(self._pipe)


def used(usage: resource.struct_rusage, own: int) -> Used:
    """What a process took, started by one that had *own* bytes at most."""
    return Used(usage.ru_utime + usage.ru_stime, _memory(usage.ru_maxrss * _UNIT, own))


def _memory(most: int, own: int) -> int:
    """Bytes from what the system says; 0 for what is hidden behind our *own* most.

    It counts what a process was before it became the command, and that is what we are.
    """
    return most if most > own * 1.02 else 0


def own_memory() -> int:
    """Bytes that we have had at most, ourselves."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT


_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes in which the system counts memory."""
