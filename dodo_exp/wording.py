"""Wording: what a run tells, as lines of text, for terminals and for logs."""

from __future__ import annotations

from dodo_exp.events import (
    CheckpointKept,
    CommandStarted,
    Output,
    Resumed,
    StageEnded,
    StageStarted,
    StagesUnchanged,
    Waiting,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dodo_exp.events import Event

FEW = 20
"""Above this many stages the unchanged ones are counted rather than listed."""


def printable(text: str) -> str:
    """Text whose control characters cannot move a terminal's cursor or colours."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in HARMLESS else repr(c)[1:-1] for c in text)


HARMLESS = "\n\t\u200c\u200d"
"""Among them the joiners, which make one emoji of several and shape letters."""


class Wording:
    """Events into bytes. With several stages at once each line is named; *label* names them all."""

    def __init__(self, *, jobs: int = 1, label: str = "") -> None:
        self._jobs = jobs
        self._label = f"{label} | " if label else ""
        self._open: dict[str, bytes] = {}
        self._unchanged = 0

    def __call__(self, event: Event) -> bytes:
        """The event's lines; those of a command that are not ended yet come with the next ones."""
        if isinstance(event, Output):
            return self._output(event)
        if isinstance(event, StageEnded):
            if event.how == "unchanged":
                return self._unchanged_ones((event.stage,))
            return self._rest(event.stage) + self.line(self._ended(event))
        if isinstance(event, StagesUnchanged):
            return self._unchanged_ones(event.stages)
        if isinstance(event, StageStarted):
            return self.line(f"Running stage {event.stage!r}: {_first(event.why)}")
        if isinstance(event, CommandStarted):
            return self.line(f"{self._of(event.stage)}> {event.command}")
        if isinstance(event, CheckpointKept):
            return self._rest(event.stage) + self.line(f"{self._of(event.stage)}Kept {event.name}")
        if isinstance(event, Waiting):
            return self.line(f"waiting for {event.what}, held by {event.owner}")
        if isinstance(event, Resumed):
            return b""
        return self.line(f"warning: {event.text}" if event.level == "warning" else event.text)

    def line(self, text: str) -> bytes:
        """One line under the label; nothing for nothing."""
        if not text:
            return b""
        return f"{self._label}{printable(text)}\n".encode(errors="surrogateescape")

    def _unchanged_ones(self, stages: tuple[str, ...]) -> bytes:
        listed = max(FEW - self._unchanged, 0)
        lines = [self.line(f"Stage {name!r} didn't change, skipping") for name in stages[:listed]]
        if self._unchanged <= FEW < self._unchanged + len(stages):
            lines.append(self.line("... and others that didn't change"))
        self._unchanged += len(stages)
        return b"".join(lines)

    def _of(self, stage: str) -> str:
        return f"{stage} | " if self._jobs > 1 else ""

    def _output(self, event: Output) -> bytes:
        """Alone, a stage's bytes pass as they come; together, in whole lines under its name."""
        if self._jobs == 1 and not self._label:
            return event.data
        *lines, rest = (self._open.pop(event.stage, b"") + event.data).split(b"\n")
        self._open[event.stage] = rest
        before = self._before(event.stage)
        return b"".join(before + each + b"\n" for each in lines)

    def _before(self, stage: str) -> bytes:
        return f"{self._label}{self._of(stage)}".encode(errors="surrogateescape")

    def _rest(self, stage: str) -> bytes:
        rest = self._open.pop(stage, b"")
        return self._before(stage) + rest + b"\n" if rest else b""

    def _ended(self, event: StageEnded) -> str:
        if event.how == "restored":
            return f"Stage {event.stage!r} is cached - skipping run, checking out outputs"
        if event.how == "adopted":
            return f"Stage {event.stage!r} is as dvc.lock says, skipping"
        return ""


def _first(why: tuple[str, ...]) -> str:
    if not why:
        return "out of date"
    return why[0] if len(why) == 1 else f"{why[0]} (and {len(why) - 1} more)"
