"""Runs one command and says what it took, with all that it has started."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

PR_SET_CHILD_SUBREAPER = 36

# A process starts with the peak memory of who forked it, and we are larger than most contenders. So
# a shell of a MiB forks it, before the clock starts: it waits for a line, then becomes the command.
# The shell ends at once; the command is then our child, as every process below us is whose parent
# has ended (see PR_SET_CHILD_SUBREAPER).
START = 'exec 3<&0; (read -r go <&3; exec "$@" 3<&- >/dev/null) & echo $!'


class Took(NamedTuple):
    """Seconds, CPU seconds (children and daemons too) and MiB that one process had at most."""

    wall: float
    cpu: float = 0.0
    peak: float = 0.0
    note: str = ""


class Failed(Exception):
    """A command did not do what it should have done; says which, and what it printed."""


class TimedOut(Exception):
    """A command did not end in its time; says the seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"over {seconds:g} s")


class Runner:
    """Runs commands in an environment without anybody's own settings."""

    def __init__(self, home: Path, timeout: float) -> None:
        self.timeout = timeout
        kept = {
            k: v for k, v in os.environ.items() if k not in ("PYTHONDONTWRITEBYTECODE", "SHELL")
        }
        self._env = {
            **{
                k: v for k, v in kept.items() if not k.startswith(("GIT_", "XDG_", "DODO_", "DVC_"))
            },
            "HOME": str(home),
            "SHELL": "/bin/sh",  # what dodo, make, ninja and doit start is then the same
            "COLUMNS": "160",
            **{f"GIT_{who}_NAME": "x" for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": "x@x" for who in ("AUTHOR", "COMMITTER")},
            "GIT_CONFIG_NOSYSTEM": "1",
            "DVC_NO_ANALYTICS": "1",
            "RESTIC_PASSWORD": "x",
        }
        home.mkdir()
        libc = ctypes.CDLL(None)
        if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
            raise OSError("prctl(PR_SET_CHILD_SUBREAPER) failed; daemons could not be counted")

    def __call__(
        self,
        words: list[str],
        folder: Path,
        env: Mapping[str, str] = {},
        timeout: float | None = None,
    ) -> Took:
        """Time one command, its output thrown away.

        Raises:
            Failed: it ended with an error
            TimedOut: it and all that it had started are gone
        """
        limit = self.timeout if timeout is None else timeout
        with tempfile.TemporaryFile() as errors:
            shell = subprocess.Popen(
                ["/bin/sh", "-c", START, "sh", *words],
                cwd=folder,
                env=self._env_for(words, env),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
            assert shell.stdin is not None
            assert shell.stdout is not None
            pid = int(shell.stdout.readline())
            shell.wait()
            ended = os.pidfd_open(pid)
            try:
                started = time.perf_counter()
                shell.stdin.write(b"go\n")
                shell.stdin.flush()
                in_time = bool(select.select([ended], [], [], limit)[0])
                wall = time.perf_counter() - started
            finally:
                os.close(ended)
                shell.stdin.close()
                shell.stdout.close()
                statuses = end_all(pid)
            if not in_time:
                raise TimedOut(limit)
            code = os.waitstatus_to_exitcode(statuses.codes[pid])
            if code:
                errors.seek(0)
                said = errors.read().decode(errors="replace")[-3000:]
                raise Failed(f"{' '.join(words)[:300]} ended with {code}\n{said}")
        return Took(wall, statuses.cpu, statuses.peak)

    def output(self, words: list[str], folder: Path, timeout: float | None = None) -> str:
        """What a command prints, on both streams.

        Raises:
            Failed
            TimedOut
        """
        with tempfile.TemporaryFile("w+", errors="replace") as said:
            process = subprocess.Popen(
                words,
                cwd=folder,
                env=self._env_for(words, {}),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
            )
            limit = self.timeout if timeout is None else timeout
            try:
                code = process.wait(limit)
            except subprocess.TimeoutExpired:
                raise TimedOut(limit) from None
            finally:
                end_all()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0)  # already reaped; lets the object know
            said.seek(0)
            text = said.read()
        if code:
            raise Failed(f"{' '.join(words)[:300]} ended with {code}\n{text[-3000:]}")
        return text

    def _env_for(self, words: list[str], env: Mapping[str, str]) -> dict[str, str]:
        """With the program's own folder first on PATH: DVC's workers are `dvc` again."""
        path = self._env.get("PATH", os.defpath)
        if os.path.isabs(words[0]):
            path = os.path.dirname(words[0]) + os.pathsep + path
        return {**self._env, "PATH": path, **env}


class Statuses:
    """What was reaped: how each ended, and what all of them have used."""

    def __init__(self) -> None:
        self.codes: dict[int, int] = {}
        self.cpu = 0.0
        self.peak = 0.0

    def reap(self) -> None:
        """Take in whoever has ended."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status, used = os.wait4(-1, os.WNOHANG)
                if not pid:
                    return
                self.codes[pid] = status
                self.cpu += used.ru_utime + used.ru_stime
                self.peak = max(self.peak, used.ru_maxrss / 1024)


def end_all(main: int | None = None) -> Statuses:
    """Kill every process below this one and reap it; all become our children in the end.

    The main process, if it has ended by itself, keeps the status that it ended with.
    """
    found = Statuses()
    found.reap()
    for _ in range(200):
        below = _below(os.getpid())
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        found.reap()
        if not below:
            break
        time.sleep(0.02)
    if main is not None:
        found.codes.setdefault(main, signal.SIGKILL)
    return found


def _below(top: int) -> set[int]:
    """Every process that this one, or one below it, has started."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found, fresh = set[int](), {top}
    while fresh:
        fresh = {pid for pid, parent in parents.items() if parent in fresh} - found
        found |= fresh
    return found - {top}
