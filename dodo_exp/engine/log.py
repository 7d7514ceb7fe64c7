"""Log: what a run's commands wrote, in files that cannot fill the disk.

The first part is kept, and the last: `x.log` takes 16 MiB; what comes then goes to `x.log.1`, and
when that is full it becomes `x.log.2`, in place of the one before.
"""

from __future__ import annotations

import os
import threading

PART = 16 << 20
"""Bytes of each of the three files at most."""


class Log:
    """A log that is being written. May be written by several threads."""

    def __init__(self, path: str, *, goes_on: bool = False) -> None:
        """With *goes_on* it is added to what is there already."""
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.path = path
        if not goes_on:
            for old in (path, f"{path}.1", f"{path}.2"):
                if os.path.lexists(old):
                    os.unlink(old)
        self._is_first = not os.path.exists(f"{path}.1")
        self._fd = self._open(path if self._is_first else f"{path}.1")
        self._size = os.fstat(self._fd).st_size
        self._has_gap = False
        self._lock = threading.Lock()

    def _open(self, path: str) -> int:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def write(self, data: bytes) -> None:
        """Add to it. A log that cannot be written, on a full disk, is no reason to fail."""
        with self._lock:
            if self._fd < 0:
                return
            try:
                if self._size + len(data) > PART:
                    self._turn()
                self._size += os.write(self._fd, data)
            except OSError:
                return

    def _turn(self) -> None:
        os.close(self._fd)
        self._fd = -1
        if os.path.exists(f"{self.path}.2"):
            self._say_gap()
        if not self._is_first:
            os.replace(f"{self.path}.1", f"{self.path}.2")
        self._fd = self._open(f"{self.path}.1")
        self._size, self._is_first = 0, False

    def _say_gap(self) -> None:
        """At the end of the first part, once: what came next is gone."""
        if not self._has_gap:
            self._has_gap = True
            fd = self._open(self.path)
            os.write(fd, b"\n[... the log is too large: a part of it is left out ...]\n")
            os.close(fd)

    def close(self) -> None:
        """Nothing more will come."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def parts(path: str) -> list[str]:
    """The files of a log that are there, in the order in which they were written."""
    return [each for each in (path, f"{path}.2", f"{path}.1") if os.path.exists(each)]
