"""Log: what a run's commands wrote, in files that cannot fill the disk.

The first part is kept, and the last ones: `x.log` takes 16 MiB, what comes then goes to `x.log.1`,
`x.log.2` and so on, of which the last two are kept.
"""

from __future__ import annotations

import contextlib
import os
import threading

PART = 16 << 20
"""Bytes after which a new part is begun."""

TAIL = 2000
"""Bytes of the end that are known without reading them again."""

KEPT = 2
"""How many parts are kept besides the first."""


class Log:
    """A log that is being written. May be written by several threads."""

    def __init__(self, path: str, *, goes_on: bool = False) -> None:
        """With *goes_on* it is added to what is there already."""
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.path = path
        there = parts(path) if goes_on or _may_have_parts(path) else [path]
        if not goes_on:
            for old in there:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(old)
            there = []
        self._number = _number(there[-1]) if there else 0
        self._fd = self._open()
        self._size = os.fstat(self._fd).st_size
        self._lock = threading.Lock()
        self.last = b""
        """The end of what was written, also where there was no room for it."""

    def _open(self) -> int:
        path = f"{self.path}.{self._number}" if self._number else self.path
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def write(self, data: bytes) -> None:
        """Add to it. A log that cannot be written, on a full disk, is no reason to fail."""
        with self._lock, contextlib.suppress(OSError):
            self.last = (self.last + data[-TAIL:])[-TAIL:]
            if self._fd >= 0:
                if self._size and self._size + len(data) > PART:
                    self._turn()
                self._size += os.write(self._fd, data)

    def _turn(self) -> None:
        os.close(self._fd)
        self._fd = -1
        self._number += 1
        gone = f"{self.path}.{self._number - KEPT}"
        if self._number > KEPT and os.path.exists(gone):
            if self._number == KEPT + 1:
                self._say_gap()
            os.unlink(gone)
        self._fd, self._size = self._open(), 0

    def _say_gap(self) -> None:
        """At the end of the first part: what came next is gone."""
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            os.write(fd, b"\n[... the log is too large: a part of it is left out ...]\n")
        finally:
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


def _may_have_parts(path: str) -> bool:
    """Whether a log has come so far that there can be more of it than the first part.

    Spares a look at the whole folder, which has a log for each stage.
    """
    try:
        return os.stat(path).st_size > PART // 2
    except FileNotFoundError:
        return False


def parts(path: str) -> list[str]:
    """The files of a log that are there, in the order in which they were written."""
    folder, name = os.path.split(path)
    try:
        names = [each for each in os.listdir(folder) if each.startswith(name)]
    except FileNotFoundError:
        return []
    found = [each for each in names if each == name or each[len(name) + 1 :].isdecimal()]
    return sorted((f"{folder}/{each}" for each in found), key=_number)


def _number(path: str) -> int:
    """Which part of its log a file is; the first is 0."""
    number = path.rpartition(".")[2]
    return int(number) if number.isdecimal() else 0
