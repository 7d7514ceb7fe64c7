"""Watched: a run that others can see while it goes on, and read about when it is over.

It has a place among the running, and a log, `.dodo/logs/<number>~<name>.log`, from before its
first stage to why it ended.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from _thread import allocate_lock

from dodo_exp.engine.execute import shell
from dodo_exp.engine.log import Log
from dodo_exp.errors import UsageError
from dodo_exp.events import Note, StageEnded
from dodo_exp.exps import logs, queue
from dodo_exp.wording import Wording

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO, Any

    from dodo_exp.events import Event, Listener
    from dodo_exp.project import Project


class Recorder:
    """Writes what a run tells into its log, and passes it on."""

    def __init__(self, log: Log, jobs: int, onward: Listener) -> None:
        self._log = log
        self._wording = Wording(jobs=jobs)
        self._onward = onward
        self._lock = allocate_lock()
        """Guards the wording, which knows of half lines."""

    def __call__(self, event: Event) -> None:
        """Listen to a run; called from the threads that run stages."""
        with self._lock:
            self._log.write(self._wording(event))
        if isinstance(event, StageEnded) and event.how in ("ran", "failed"):
            used = f"{event.seconds:.1f} s, {event.cpu:.1f} s of processor"
            if event.memory:
                used += f", {event.memory / 1e6:,.0f} MB of memory"
            self.say(f"# {event.stage!r} {event.how}: {used}")
        self._onward(event)

    def say(self, text: str) -> None:
        """For the log alone."""
        self._log.write(self._wording.line(text))


@contextlib.contextmanager
def recorded(
    project: Project, job: queue.Job, jobs: int, onward: Listener, command: str
) -> Iterator[Recorder]:
    """A log for a block."""
    with Log(logs.log_path(project.store, job.number, job.name), goes_on=True) as log:
        recorder = Recorder(log, jobs, onward)
        moment = time.strftime("%Y-%m-%d %H:%M:%S")
        recorder.say(f"# {job.name}: `dodo {command}`, {moment}")
        try:
            yield recorder
        except BaseException as error:
            recorder.say(f"error: {error or type(error).__name__}")
            raise


@contextlib.contextmanager
def in_place(
    project: Project, name: str, jobs: int, command: str, onward: Listener
) -> Iterator[tuple[Recorder, queue.Claim]]:
    """A run in the workspace itself, visible while it lasts.

    Unless the block finishes the claim, no job is left of it.
    """
    each = queue.Task(
        id="",
        record=queue.NOBODY,
        where=queue.WORKSPACE,
        folder=project.folder,
        request={},
        options={},
        replace=False,
        command=command,
        queued=time.time(),
    )
    claim = queue.begin(project.store, name, each, queue.me(command))
    try:
        with recorded(project, claim.job, jobs, onward, command) as recorder:
            yield recorder, claim
    finally:
        claim.drop()


def finished(project: Project, name: str, how: str, reason: str, seconds: float) -> Note | None:
    """Run the settings' `on_finish` command; a note if it fails.

    The caller does not hold the workspace: the command may need it.
    """
    try:
        command = project.settings.on_finish
    except UsageError as error:
        return Note("warning", f"on_finish: {error}")
    if not command:
        return None
    facts = {
        "DODO_EXP_NAME": name,
        "DODO_STATUS": how,
        "DODO_REASON": reason,
        "DODO_SECONDS": f"{seconds:.1f}",
    }
    try:
        with _standard_error() as stream:
            done = subprocess.run(
                shell(command),
                cwd=project.home,
                env={**os.environ, **facts},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                timeout=60,
            )
    except (OSError, subprocess.SubprocessError) as error:
        return Note("warning", f"on_finish: {error}")
    if done.returncode:
        return Note("warning", f"on_finish: {command!r} exited with {done.returncode}")
    return None


@contextlib.contextmanager
def _standard_error() -> Iterator[IO[Any]]:
    """A file for what a command writes, which comes to `sys.stderr` whatever that is.

    A notebook's, or one that is redirected in Python, has no descriptor. A file rather than a
    pipe: a process left in the background keeps nobody waiting.
    """
    stream = sys.stderr
    try:
        stream.fileno()
    except (AttributeError, OSError, ValueError):
        pass
    else:
        yield stream
        return
    import tempfile

    with tempfile.TemporaryFile() as file:
        try:
            yield file
        finally:
            file.seek(0)
            text = file.read().decode(errors="replace")
            with contextlib.suppress(AttributeError, OSError, ValueError):
                stream.write(text)
