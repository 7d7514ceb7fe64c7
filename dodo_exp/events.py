"""Events: what a run tells while it goes on. The engine emits them; a progress display listens."""

from __future__ import annotations

from collections.abc import Callable

from dodo_store.named import Named


class StageStarted(Named):
    """A stage's commands are about to run, for these reasons."""

    stage: str
    why: tuple[str, ...]


class CommandStarted(Named):
    """One command line of a stage is about to run."""

    stage: str
    command: str


class Output(Named):
    """Bytes that a stage's command wrote; they may end anywhere."""

    stage: str
    data: bytes


class StageEnded(Named):
    """A stage is done with: ran, restored, unchanged, failed or skipped."""

    stage: str
    how: str
    seconds: float
    cpu: float = 0.0
    memory: int = 0


class StagesUnchanged(Named):
    """Stages that nothing has to be done for."""

    stages: tuple[str, ...]


class Note(Named):
    """Something a user should know; `level` is info or warning."""

    level: str
    text: str


class Waiting(Named):
    """The command waits for another one, described in `owner`.

    `is_idle`: it needs nothing meanwhile that somebody else could use.
    """

    what: str
    owner: str
    is_idle: bool = False


class Resumed(Named):
    """What was waited for is there."""

    what: str


class CheckpointKept(Named):
    """A stage has come a step further, and that is safe; `name` is what the step is called."""

    stage: str
    name: str


Event = (
    StageStarted
    | CommandStarted
    | Output
    | StageEnded
    | StagesUnchanged
    | Note
    | Waiting
    | Resumed
    | CheckpointKept
)
Listener = Callable[[Event], None]
