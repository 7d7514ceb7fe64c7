"""Tell: words for people, on standard error: errors, warnings, what a run is doing."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from _thread import allocate_lock

from dodo_exp.events import Note, Waiting
from dodo_exp.wording import Wording, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, Any

    from dodo_exp.events import Event

READER_CHECK = 100
"""Milliseconds to wait for the reader of standard error before looking for a signal."""

RED, YELLOW, BOLD, DIM = "31", "33", "1", "2"


def styled(text: str, style: str, stream: IO[str] | None = None) -> str:
    """Colour for a terminal, unless NO_COLOR (https://no-color.org) or a dumb terminal says no."""
    stream = stream if stream is not None else sys.stderr
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain or not stream.isatty() else f"\x1b[{style}m{text}\x1b[0m"


def line(text: str) -> None:
    """Write one line. A closed standard error is no failure: a run does not need a reader."""
    _write_text(printable(text) + "\n")


def error(message: str, hint: str | None = None) -> None:
    """What went wrong, and what now."""
    _labelled("error:", RED, message)
    if hint:
        _labelled("hint:", BOLD, hint)


def placed(error: Exception) -> str:
    """An error's message; a file of the project that it begins with as it is typed in this folder.

    Messages name such a file relative to the root. One that is not followed by a line may be one
    that the user named, relative to this folder.
    """
    from dodo_exp.errors import DodoError
    from dodo_exp.project import Project
    from dodo_store.errors import StoreError

    text = str(error)
    file = text.partition(":")[0]
    try:
        project = Project.find()
    except (DodoError, StoreError, OSError):
        return text
    rest = text[len(file) :]
    is_ours = rest[1:2].isdigit() or not os.path.lexists(file)
    if project.folder and is_ours and os.path.isfile(os.path.join(project.root, file)):
        return project.shown(file) + rest
    return text


def warning(message: str) -> None:
    """Something to know that does not stop the command."""
    _labelled("warning:", YELLOW, message)


def notes(workspace: Any) -> None:
    """What should be known of the project's dvc.yaml files."""
    for text in workspace.notes:
        warning(text)


def _labelled(label: str, style: str, text: str) -> None:
    _write_text(f"{styled(label, style)} {printable(text)}\n")


class Progress:
    """Prints what a run does as it does it; *label* names its lines among those of others."""

    def __init__(self, *, jobs: int = 1, quiet: bool = False, label: str = "") -> None:
        self._wording = Wording(jobs=jobs, label=label)
        self._quiet = quiet
        self._lock = allocate_lock()
        """Guards the wording, which knows of half lines, and keeps what is written in order."""
        self._label = f"{label} | " if label else ""

    def __call__(self, event: Event) -> None:
        """Listen to a run; called from the threads that run stages."""
        if isinstance(event, Note) and event.level == "warning":
            warning(f"{self._label}{event.text}")
        elif not self._quiet or isinstance(event, Waiting):
            with self._lock:
                _write(self._wording(event))


def _write_text(text: str) -> None:
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    _write(text.encode(encoding, "backslashreplace"))


def _write(data: bytes) -> None:
    """Write bytes to standard error; after a signal, do not wait for a reader that has stopped.

    A pager that is left alone would otherwise keep the command from ending.
    """
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
        try:
            fd = sys.stderr.fileno()
        except (AttributeError, OSError, ValueError):  # a notebook's, or one that Python redirects
            sys.stderr.write(data.decode(errors="replace"))
            return
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        left = memoryview(data)
        while left:
            if poll.poll(READER_CHECK):
                # When poll says so there is room for this much, so the write does not block.
                left = left[os.write(fd, left[: select.PIPE_BUF]) :]
            else:
                from dodo_exp.engine import signals

                if signals.is_ending():
                    return


class Bytes:
    """A word a few seconds apart while much is read or copied: how much, how fast, how long yet."""

    def __init__(self, what: str, total: int = 0) -> None:
        self._what = what
        self._total = total
        self._started = time.monotonic()
        self._next = self._started + 1.0
        self._done = 0

    def __call__(self, size: int) -> None:
        """So many more bytes are done."""
        self._done += size
        now = time.monotonic()
        if now >= self._next:
            self._next = now + 2.0
            line(f"{self._what}: {self.words(now)}")

    def words(self, now: float) -> str:
        """For example: 1.2 GB of 4.0 GB, 310 MB/s, 9 s left."""
        from dodo_exp.cli.options import size

        speed = self._done / max(now - self._started, 0.001)
        text = size(self._done)
        if self._total:
            text += f" of {size(self._total)}"
        text += f", {size(int(speed))}/s"
        if self._total > self._done and speed:
            text += f", {(self._total - self._done) / speed:.0f} s left"
        return text
