"""Execute: a stage's commands, run as DVC runs them.

Each command is a process of its own: the user's shell ($SHELL, else /bin/sh) without start-up
files, in the stage's folder, in a process group of its own. What it writes goes to the listener
as it comes, and to the stage's log.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
from typing import IO

from dodo_exp.engine.reaper import TAG, Reaper
from dodo_exp.errors import StageFailed
from dodo_exp.events import CommandStarted, Listener, Output
from dodo_exp.pipeline.model import Stage


class Stopping(Exception):
    """The run is being ended; this stage with it."""


class Executor:
    """Runs commands for one run; `stop` keeps it from starting more."""

    def __init__(
        self, root: str, reaper: Reaper, listener: Listener, experiment: str | None, stdin: bool
    ) -> None:
        self._root = root
        self._reaper = reaper
        self._listener = listener
        self._stdin = None if stdin and not _is_terminal(0) else subprocess.DEVNULL
        self._stopping = threading.Event()
        self._environment = _environment(root, reaper.tag, experiment)

    def stop(self) -> None:
        """Start nothing more; what ends from here on ends because of us."""
        self._stopping.set()

    @property
    def is_stopping(self) -> bool:
        """Whether the run is being ended."""
        return self._stopping.is_set()

    def run(self, stage: Stage, log: str) -> None:
        """Run the stage's commands in turn.

        Raises:
            StageFailed: a command could not start, or did not exit with 0.
            Stopping: the run is being ended.
        """
        wdir = os.path.join(self._root, stage.wdir)
        if not os.path.isdir(wdir):
            raise StageFailed(
                f"{stage.at}: stage {stage.address!r}: its working folder {stage.wdir!r}"
                " is not there"
            )
        os.makedirs(os.path.dirname(log), exist_ok=True)
        with open(log, "wb", buffering=0) as file:
            for command in stage.cmds:
                self._command(stage, command, wdir, file)

    def _command(self, stage: Stage, command: str, wdir: str, log: IO[bytes]) -> None:
        self._listener(CommandStarted(stage.address, command))
        log.write(f"> {command}\n".encode(errors="surrogateescape"))
        environment = {**self._environment, "DVC_STAGE": stage.address}
        environment["DODO_STAGE"] = stage.address
        read, write = os.pipe()
        try:
            if self.is_stopping:
                raise Stopping
            try:
                process = subprocess.Popen(
                    shell(command),
                    cwd=wdir,
                    env=environment,
                    stdin=self._stdin,
                    stdout=write,
                    stderr=write,
                    process_group=0,
                )
            except OSError as error:
                raise StageFailed(f"stage {stage.address!r}: cannot start: {error}") from None
            finally:
                os.close(write)
            self._reaper.add(process.pid)
            try:
                self._forward(stage, process, read, log)
                code = process.wait()
            finally:
                self._reaper.done(process.pid)
        finally:
            os.close(read)
        if self.is_stopping:
            raise Stopping
        if code != 0:
            raise StageFailed(
                f"stage {stage.address!r} failed: {command!r} {_ending(code)}",
                f"its output is in {os.path.relpath(log.name, self._root)}",
            )

    def _forward(
        self, stage: Stage, process: subprocess.Popen[bytes], read: int, log: IO[bytes]
    ) -> None:
        """Pass output on until the command has ended.

        The pipe may stay open beyond that, in a process left in the background: nobody waits for
        it.
        """
        ended = False
        while True:
            ready, _, _ = select.select([read], [], [], 0 if ended else 0.05)
            if ready:
                data = os.read(read, 1 << 16)
                if not data:
                    return
                log.write(data)
                self._listener(Output(stage.address, data))
            elif ended:
                return
            else:
                ended = process.poll() is not None


def shell(command: str) -> list[str]:
    """How the user's shell runs one command, without its start-up files."""
    path = os.environ.get("SHELL") or "/bin/sh"
    options = {
        "bash": ["--noprofile", "--norc"],
        "zsh": ["--no-rcs"],
        "fish": ["--no-config", "--private"],
    }.get(os.path.basename(path), [])
    return [path, *options, "-c", command]


def _environment(root: str, tag: str, experiment: str | None) -> dict[str, str]:
    names = {"DVC_ROOT": root, "DODO_ROOT": root, TAG: tag}
    if experiment is not None:
        names |= {"DVC_EXP_NAME": experiment, "DODO_EXP_NAME": experiment}
    # Through a pipe Python would hold back its output; people want to watch their training.
    return {"PYTHONUNBUFFERED": "1", **os.environ, **names}


def _ending(code: int) -> str:
    if code >= 0:
        return f"exited with {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def _is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False
