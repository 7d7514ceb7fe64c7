"""Tell: words for people, on standard error: errors, warnings, what a run is doing."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import IO, Any

from dodo_exp.events import (
    CommandStarted,
    Event,
    Note,
    Output,
    StageEnded,
    StageStarted,
    Waiting,
)

RED, YELLOW, BOLD, DIM = "31", "33", "1", "2"
FEW = 20
"""Above this many stages the unchanged ones are counted rather than listed."""


def styled(text: str, style: str, stream: IO[str] | None = None) -> str:
    """Colour for a terminal, unless NO_COLOR (https://no-color.org) or a dumb terminal says no."""
    stream = stream if stream is not None else sys.stderr
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain or not stream.isatty() else f"\x1b[{style}m{text}\x1b[0m"


def printable(text: str) -> str:
    """Text whose control characters cannot move a terminal's cursor or colours."""
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)


def line(text: str) -> None:
    """One line; where nobody listens any more, none: a run does not end for want of a reader."""
    data = printable(text) + "\n"
    with contextlib.suppress(OSError, ValueError):
        try:
            sys.stderr.write(data)
        except UnicodeEncodeError:
            sys.stderr.write(data.encode("ascii", "backslashreplace").decode())
        sys.stderr.flush()


def error(message: str, hint: str | None = None) -> None:
    """What went wrong, and what now."""
    _labelled("error:", RED, message)
    if hint:
        _labelled("hint:", BOLD, hint)


def warning(message: str) -> None:
    """Something to know that does not stop the command."""
    _labelled("warning:", YELLOW, message)


def notes(workspace: Any) -> None:
    """What should be known of the project's dvc.yaml files."""
    for text in workspace.notes:
        warning(text)


def _labelled(label: str, style: str, text: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(styled(label, style) + " ")
    line(text)


class Progress:
    """Prints what a run does as it does it. With several stages at once, each line is named."""

    def __init__(self, *, jobs: int = 1, quiet: bool = False) -> None:
        self._jobs = jobs
        self._quiet = quiet
        self._open: dict[str, bytes] = {}
        self._unchanged = 0

    def __call__(self, event: Event) -> None:
        """Listen to a run; called from the threads that run stages."""
        if isinstance(event, Note):
            warning(event.text) if event.level == "warning" else self._say(event.text)
        elif isinstance(event, Waiting):
            line(f"waiting for {event.what}, held by {event.owner}")
        elif self._quiet:
            return
        elif isinstance(event, Output):
            self._output(event)
        elif isinstance(event, StageStarted):
            self._say(f"Running stage {event.stage!r}: {_first(event.why)}")
        elif isinstance(event, CommandStarted):
            self._say(f"{self._prefix(event.stage)}> {event.command}")
        elif isinstance(event, StageEnded):
            self._ended(event)

    def _say(self, text: str) -> None:
        if not self._quiet:
            line(text)

    def _prefix(self, stage: str) -> str:
        return f"{stage} | " if self._jobs > 1 else ""

    def _output(self, event: Output) -> None:
        """Alone, a stage's bytes pass as they come; together, in whole lines under its name."""
        if self._jobs == 1:
            _write(event.data)
            return
        *lines, rest = (self._open.pop(event.stage, b"") + event.data).split(b"\n")
        prefix = self._prefix(event.stage).encode(errors="surrogateescape")
        if lines:
            _write(b"".join(prefix + each + b"\n" for each in lines))
        self._open[event.stage] = rest

    def _ended(self, event: StageEnded) -> None:
        rest = self._open.pop(event.stage, b"")
        if rest:
            _write(self._prefix(event.stage).encode(errors="surrogateescape") + rest + b"\n")
        if event.how == "restored":
            line(f"Stage {event.stage!r} is cached - skipping run, checking out outputs")
        elif event.how == "adopted":
            line(f"Stage {event.stage!r} is as dvc.lock says, skipping")
        elif event.how == "unchanged":
            self._unchanged += 1
            if self._unchanged <= FEW:
                line(f"Stage {event.stage!r} didn't change, skipping")
            elif self._unchanged == FEW + 1:
                line("... and others that didn't change")


def _first(why: tuple[str, ...]) -> str:
    if not why:
        return "out of date"
    return why[0] if len(why) == 1 else f"{why[0]} (and {len(why) - 1} more)"


def _write(data: bytes) -> None:
    """Bytes of a user's program, as they are."""
    stream = getattr(sys.stderr, "buffer", None)
    if stream is not None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
            stream.write(data)
            stream.flush()


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
