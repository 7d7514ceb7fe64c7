"""Child: the process of a command, and what it has used when it has ended."""

from __future__ import annotations

import os
import resource
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

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._own = _own_memory()
        self._used = Used()

    def has_ended(self) -> bool:
        """Whether it has, without waiting."""
        return self._look(os.WNOHANG)

    def wait(self) -> tuple[int, Used]:
        """Its exit code as Popen has it, and what it used."""
        self._look(0)
        return self._process.returncode, self._used

    def _look(self, flags: int) -> bool:
        if self._process.returncode is None:
            pid, status, usage = os.wait4(self._process.pid, flags)
            if pid:
                self._process.returncode = os.waitstatus_to_exitcode(status)
                self._used = Used(
                    usage.ru_utime + usage.ru_stime, _memory(usage.ru_maxrss * _UNIT, self._own)
                )
        return self._process.returncode is not None

    def has_company(self) -> bool:
        """Whether others of its process group go on."""
        try:
            os.killpg(self._process.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return True

    def end(self, number: int) -> None:
        """Send a signal to its process group."""
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            return


def _memory(most: int, own: int) -> int:
    """Bytes from what the system says; 0 for what is hidden behind our *own* most.

    It counts what a process was before it became the command, and that is what we are.
    """
    return most if most > own * 1.02 else 0


def _own_memory() -> int:
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
