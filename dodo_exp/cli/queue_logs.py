"""`dodo queue logs`"""

from __future__ import annotations

import sys
import time

from dodo_exp.cli import declare, options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LOOK_UP = 0.1
"""Seconds between two looks at a log that is followed."""


@declare.command("logs")
@declare.argument("names", nargs=-1, shell_complete=options.complete_logged)
@declare.option("-f", "--follow", is_flag=True, help="Go on until the experiment is over.")
@declare.option(
    "--all",
    "everything",
    is_flag=True,
    help="Of all that are running now; without --follow, of all that there are.",
)
def command(names: tuple[str, ...], follow: bool, everything: bool) -> int:
    """Print what an experiment's commands wrote, and why it ended.

    NAMES are experiments, also such as have failed or were removed, and runs in the workspace;
    without any, the last run. Of several, each line says whose it is.
    """
    from dodo_exp.errors import UsageError
    from dodo_exp.exps.recover import recover
    from dodo_exp.project import Project

    if names and everything:
        raise UsageError("name experiments, or --all of them")
    project = Project.find()
    recover(project)
    tails: dict[int, _Tail] = {}
    while True:
        going = _going(project, names, everything) if follow else set()
        found = _found(project, names, everything, follow, is_first=not tails)
        width = max((len(name) for _, name, _ in found), default=0)
        for number, name, path in found:
            if number not in tails:
                is_one = len(names) < 2 and not everything
                tails[number] = _Tail(path, "" if is_one else f"{name:{width}} | ")
        for tail in tails.values():
            tail.print()
        if not going:
            break
        time.sleep(LOOK_UP)
        recover(project)
    for tail in tails.values():
        tail.end()
    return 0


def _going(project: Any, names: tuple[str, ...], everything: bool) -> set[int]:
    """Numbers of those that are meant and not over; with *everything*, as long as anybody works."""
    from dodo_exp.exps import queue, workers

    store = project.store
    running, waiting = queue.running(store), queue.waiting(store)
    if everything:
        is_worked_on = bool(waiting) and bool(workers.alive(store))
        return {job.number for job in (*running, *(waiting if is_worked_on else ()))}
    if not names:
        return {job.number for job in running}
    live = (*running, *waiting)
    return {job.number for job in live if job.name in names or str(job.number) in names}


def _running(project: Any) -> list[Any]:
    from dodo_exp.exps import queue

    return queue.running(project.store)


def _found(
    project: Any, names: tuple[str, ...], everything: bool, follow: bool, *, is_first: bool
) -> list[tuple[int, str, str]]:
    """Number, name and path of each log that is meant and there."""
    from dodo_exp.errors import UsageError, did_you_mean
    from dodo_exp.exps import logs, queue

    known = logs.every(project.store)
    if everything:
        running = {job.number for job in _running(project)}
        return [log for log in known if not follow or log[0] in running]
    if not names:
        if not known:
            raise UsageError("nothing has run here", "`dodo exp run` runs the pipeline")
        return known[-1:] if is_first else []
    found = []
    for name in names:
        of_name = logs.of(project.store, name)
        of_name = of_name or [log for log in known if name.isdecimal() and log[0] == int(name)]
        if not of_name:
            waits = any(job.name == name for job in queue.waiting(project.store))
            if waits and follow:
                continue
            if waits:
                raise UsageError(f"{name!r} waits in the queue and has not run yet")
            raise UsageError(f"no log of {name!r}", did_you_mean(name, [log[1] for log in known]))
        found.append(of_name[-1])
    return found


class _Tail:
    """A log, printed as it grows."""

    def __init__(self, path: str, prefix: str) -> None:
        self._path = path
        self._prefix = prefix.encode(errors="surrogateescape")
        self._read: dict[str, int] = {}
        self._rest = b""

    def print(self) -> None:
        """What is new."""
        from dodo_exp.engine import log

        for path in log.parts(self._path):
            try:
                with open(path, "rb") as file:
                    file.seek(self._read.get(path, 0))
                    while data := file.read(1 << 16):
                        self._write(data)
                    self._read[path] = file.tell()
            except FileNotFoundError:
                continue

    def _write(self, data: bytes) -> None:
        out = sys.stdout.buffer
        if not self._prefix:
            out.write(data)
        else:
            *lines, self._rest = (self._rest + data).split(b"\n")
            out.write(b"".join(self._prefix + line + b"\n" for line in lines))
        out.flush()

    def end(self) -> None:
        """A last line without an end."""
        if self._rest:
            self._write(b"\n")
