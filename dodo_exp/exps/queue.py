"""Queue: experiments that wait for their turn, have it, or have had it; one small file each.

A job's file is in `todo/`, `running/` or `done/` and moves between them by rename. Whoever runs a
job holds the lock of its number first and moves the file second: a file in `running/` whose lock
is free belongs to somebody who died, and goes back. See docs/design/queue.md.
"""

from __future__ import annotations

import contextlib
import os
import time

from dodo_exp.errors import UsageError, did_you_mean
from dodo_store import durable, locks, record
from dodo_store.errors import Held, StoreError
from dodo_store.named import Named
from dodo_store.oid import Oid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from dodo_store.store import Store

QUEUED, RUNNING = "queued", "running"
SUCCESS, FAILED, KILLED, STOPPED = "success", "failed", "killed", "stopped"
ENDS = (SUCCESS, FAILED, KILLED, STOPPED)
REMOVED = "removed"
"""Taken out before its turn; kept for a while, so that it can be put back."""

QUEUE, TEMP, WORKSPACE = "queue", "temp", "workspace"
"""Where a job is run: whenever a worker is free, at once in a folder of its own, or in place."""

MOST_ATTEMPTS = 3
"""How many workers may die of a job before it counts as failed."""

FOLDERS = {QUEUED: "todo", RUNNING: "running"}


NOBODY = Oid(bytes(16))
"""In place of a record, where there is none: a run in the workspace makes it at its end."""


class Job(Named):
    """One file of the queue, as its name says; `state` is QUEUED, RUNNING or one of ENDS."""

    number: int
    attempts: int
    name: str
    state: str
    path: str

    @property
    def moment(self) -> float:
        """When it was queued, or, if it is over, when it ended; seconds since the epoch."""
        try:
            return os.stat(self.path).st_mtime
        except OSError:
            return 0.0


class Task(Named):
    """What is to be done: the record of the experiment so far, and how it is to be run.

    `id` is the job's own for ever: the experiment that comes of it bears it.
    """

    id: str
    record: Oid
    where: str
    folder: str
    request: dict[str, Any]
    options: dict[str, Any]
    replace: bool
    command: str
    queued: float
    before: tuple[str, ...] = ()
    """The ids of its earlier turns, if it was tried again."""

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all its turns."""
        return (*self.before, self.id)


class Ended(Named):
    """How it went. `attempts` were begun; `reason` says why it is no success; `experiment` is the
    name that the result has, which is another one if the job's own was taken by then.
    """

    how: str
    reason: str
    started: float
    ended: float
    host: str
    attempts: int
    experiment: str = ""


class Runner(Named):
    """Who runs a job, for people and for finding what it has written so far."""

    pid: int
    host: str
    started: float
    command: str
    root: str = ""
    local: str = ""

    def __str__(self) -> str:
        since = time.strftime("%H:%M:%S", time.localtime(self.started))
        return f"pid {self.pid} on {self.host}, since {since}"

    def text(self) -> str:
        """As `runner` reads it."""
        import json

        return json.dumps(self._asdict())


def me(command: str) -> Runner:
    """Us, as others see us."""
    return Runner(os.getpid(), os.uname().nodename, time.time(), command)


def folder(store: Store) -> str:
    """Where the queue is kept."""
    return f"{store.folder}/queue"


def _path(store: Store, number: int, attempts: int, name: str, state: str) -> str:
    stem = f"{number:08}~{attempts}~{name}"
    if state in (*ENDS, REMOVED):
        return f"{folder(store)}/done/{stem}~{state}"
    return f"{folder(store)}/{FOLDERS[state]}/{stem}"


def _in(store: Store, place: str, state: str = "") -> Iterator[Job]:
    at = f"{folder(store)}/{place}"
    try:
        names = os.listdir(at)
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        parts = name.split("~")
        if len(parts) == (3 if state else 4) and parts[0].isdecimal() and parts[1].isdecimal():
            how = state or parts[3]
            if how in (QUEUED, RUNNING, *ENDS, REMOVED):
                yield Job(int(parts[0]), int(parts[1]), parts[2], how, f"{at}/{name}")


def jobs(store: Store) -> list[Job]:
    """Every job, each once, in order of number, but for those that were removed."""
    return [job for job in every(store) if job.state != REMOVED]


def every(store: Store) -> list[Job]:
    """The same, with those that were removed."""
    found: dict[int, Job] = {}
    # In the order in which a job passes through, so that one that moves meanwhile is not missed.
    live = {job.number: job for job in _live(store)}
    for job in _in(store, "done"):
        found[job.number] = job
    # One that has just been given another turn is in two places for a moment: it is to be run.
    found |= live | {job.number: job for job in _live(store) if job.number not in found}
    return [found[number] for number in sorted(found)]


def waiting(store: Store) -> list[Job]:
    """Those that wait for their turn, in order."""
    return sorted(_in(store, "todo", QUEUED))


def running(store: Store) -> list[Job]:
    """Those whose files say that somebody runs them."""
    return sorted(_in(store, "running", RUNNING))


def _live(store: Store) -> Iterator[Job]:
    """Those that are not over; one that goes back meanwhile may come twice."""
    yield from _in(store, "todo", QUEUED)
    yield from _in(store, "running", RUNNING)
    yield from _in(store, "todo", QUEUED)


def is_taken(store: Store, name: str) -> bool:
    """Whether a job that is not over has this name."""
    return name in names(store)


def names(store: Store) -> set[str]:
    """The names of all jobs that are not over."""
    return {job.name for job in _live(store)}


def runner(store: Store, job: Job) -> Runner | None:
    """Who runs it, if that can be read."""
    import json

    try:
        return Runner(**json.loads(locks.text(_lock(store, job.number))))
    except (ValueError, TypeError):
        return None


def _lock(store: Store, number: int) -> str:
    return f"{folder(store)}/locks/{number:08}"


def kill_file(store: Store, job: Job) -> str:
    """What tells the job's runner to end it, where it is there."""
    return f"{folder(store)}/kill/{job.number:08}"


# -- contents ------------------------------------------------------------------------------


def task(job: Job) -> Task | None:
    """What the job's file says is to be done; None where it cannot be read."""
    try:
        row = record.read(record.JOB, job.path, lists=True)
        return Task(**row["task"])
    except (OSError, StoreError, KeyError, TypeError):
        return None


def is_blank(job: Job) -> bool:
    """Whether its file is empty or holds zeros, as a power cut leaves one that was not synced."""
    try:
        with open(job.path, "rb") as file:
            return not file.read().strip(b"\0")
    except OSError:
        return False


def is_lost(job: Job) -> bool:
    """Whether it ended because its file could not be read: there is nothing to run again."""
    try:
        return record.read(record.JOB, job.path, lists=True)["task"] is None
    except (OSError, StoreError, KeyError, TypeError):
        return False


def end_of(job: Job) -> Ended | None:
    """How a job that is over has gone."""
    try:
        return Ended(**record.read(record.JOB, job.path, lists=True)["end"])
    except (OSError, StoreError, KeyError, TypeError):
        return None


# -- moving --------------------------------------------------------------------------------


def create(store: Store) -> None:
    """Make the folders, if they are not there."""
    for name in ("todo", "running", "done", "locks", "kill", "workers"):
        os.makedirs(f"{folder(store)}/{name}", exist_ok=True)


def add(store: Store, tasks: list[tuple[str, Task]]) -> list[Job]:
    """Put named tasks into the queue, durably; what they name must be durable already."""
    store.check_writing()
    create(store)
    with locks.share(f"{folder(store)}/lock", exclusive=True):
        taken = names(store)
        for name, _ in tasks:
            if name in taken:
                raise UsageError(f"there is an experiment {name!r} in the queue by now")
        first = _next(store)
        paths = []
        files = []
        for number, (name, each) in enumerate(tasks, first):
            path = _path(store, number, 0, name, QUEUED)
            data = record.encode(record.JOB, {"task": each._asdict()})
            files.append((os.path.basename(path), data))
            paths.append(path)
        if paths:
            durable.create_all(os.path.dirname(paths[0]), files, 0o644)
    return [
        Job(number, 0, name, QUEUED, path)
        for path, (number, (name, _)) in zip(paths, enumerate(tasks, first), strict=True)
    ]


def _next(store: Store) -> int:
    """A number that no job and no log has."""
    last = max((job.number for job in every(store)), default=0)
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(f"{store.folder}/logs"):
            head, tilde, _ = name.partition("~")
            if tilde and head.isdecimal():
                last = max(last, int(head))
    return last + 1


class Claim:
    """A job that is ours to run, as long as we hold its lock."""

    def __init__(self, store: Store, job: Job, held: contextlib.ExitStack, who: Runner) -> None:
        self.job = job
        self.who = who
        self._store = store
        self._held = held

    def tell(self, **changes: Any) -> None:
        """Say more about who runs it, for those who look."""
        self.who = self.who._replace(**changes)
        with contextlib.suppress(OSError), open(_lock(self._store, self.job.number), "w") as file:
            file.write(self.who.text())

    @property
    def is_ours(self) -> bool:
        """Whether the file is where we have put it."""
        return os.path.exists(self.job.path)

    def put_back(self) -> bool:
        """Let somebody else run it; this attempt does not count. False if it is not ours."""
        job = self.job
        back = _path(self._store, job.number, job.attempts - 1, job.name, QUEUED)
        try:
            os.rename(job.path, back)
        except FileNotFoundError:
            return False
        return True

    def finish(
        self, how: str, reason: str = "", experiment: str = "", again: Task | None = None
    ) -> None:
        """It is over: that is durable before its place among the running is given up.

        *again* is the task of a retry; by default the job's own. Nothing is said of a job that is
        somebody else's by now.
        """
        if self.is_ours:
            each = again or task(self.job)
            _finish(self._store, self.job, each, how, reason, self.who.started, experiment)
        self.close()

    def drop(self) -> None:
        """Nothing is left to remember of it."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.job.path)
        self.close()

    def close(self) -> None:
        """Let go of the lock; its file is of no use where the job is not."""
        with contextlib.suppress(OSError):
            os.unlink(kill_file(self._store, self.job))
        self._held.close()
        if not os.path.exists(self.job.path):
            with contextlib.suppress(OSError):
                locks.discard(_lock(self._store, self.job.number))


def claim(store: Store, who: Runner, job: Job) -> Claim | None:
    """Take a job that waits; None if somebody else has it."""
    held = contextlib.ExitStack()
    try:
        held.enter_context(locks.hold(_lock(store, job.number), who.text(), timeout=0))
    except Held:
        return None
    if not os.path.exists(job.path):
        # Another worker has run it since it was listed: its end must stay.
        held.close()
        return None
    _forget_end(store, job)
    # Lock first, then rename: a job in running/ without a lock is dead, so it must never be there
    # before it is locked.
    path = _path(store, job.number, job.attempts + 1, job.name, RUNNING)
    try:
        os.rename(job.path, path)
    except FileNotFoundError:
        held.close()
        return None
    except BaseException:
        held.close()
        raise
    with contextlib.suppress(FileNotFoundError):
        os.unlink(kill_file(store, job))  # meant for an earlier turn
    return Claim(store, Job(job.number, job.attempts + 1, job.name, RUNNING, path), held, who)


def begin(store: Store, name: str, each: Task, who: Runner) -> Claim:
    """Run something that has not waited: it is in the queue for others to see.

    Its file is not synced. A run that a power cut ends has nothing to be tried again, so `recover`
    drops what is left of the file.
    """
    if each.record != NOBODY:
        store.check_writing()
    create(store)
    held = contextlib.ExitStack()
    with locks.share(f"{folder(store)}/lock", exclusive=True):
        number = _next(store)
        held.enter_context(locks.hold(_lock(store, number), who.text(), timeout=0))
        path = _path(store, number, 1, name, RUNNING)
        data = record.encode(record.JOB, {"task": each._asdict()})
        durable.replace(path, data, sync=False, mode=0o644)
    return Claim(store, Job(number, 1, name, RUNNING, path), held, who)


def _finish(
    store: Store,
    job: Job,
    each: Task | None,
    how: str,
    reason: str,
    started: float,
    experiment: str,
) -> Job:
    host = os.uname().nodename
    end = Ended(how, reason, started, time.time(), host, job.attempts, experiment or job.name)
    row = {"task": each._asdict() if each else None, "end": end._asdict()}
    path = _path(store, job.number, job.attempts, job.name, how)
    durable.replace(path, record.encode(record.JOB, row), mode=0o644)
    # What is left of an earlier turn first: of two ends nobody could tell which counts.
    others = [each.path for each in _in(store, "done") if each.number == job.number]
    for old in (*(each for each in others if each != path), job.path):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(old)
    return Job(job.number, job.attempts, job.name, how, path)


def has_ended(store: Store, job: Job) -> bool:
    """Whether this very attempt has its end on record, though it is among the running still."""
    return any(
        (each.number, each.attempts) == (job.number, job.attempts) and each.state in ENDS
        for each in _in(store, "done")
    )


def again(store: Store, job: Job) -> Job | None:
    """Let a job that is over, or was removed, wait for its turn; None if it is gone meanwhile.

    Raises:
        UsageError: it is not over.
    """
    if job.state not in (*ENDS, REMOVED):
        raise UsageError(f"{job.name!r} is {job.state}, not over")
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(locks.hold(_lock(store, job.number), "", timeout=0))
        except Held:
            return None
        held.enter_context(store.writing())
        each = task(job)
        if each is None or any(live.number == job.number for live in _live(store)):
            return None  # somebody else was faster
        path = _path(store, job.number, 0, job.name, QUEUED)
        new = each._replace(where=QUEUE, id=os.urandom(8).hex(), before=each.ids)
        row = {"task": new._asdict()}
        durable.replace(path, record.encode(record.JOB, row), mode=0o644)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(job.path)
    return Job(job.number, 0, job.name, QUEUED, path)


def remove(store: Store, job: Job) -> bool:
    """Forget a job that is over, or take out one that waits; False if it has begun, or is gone."""
    if job.state == RUNNING:
        return False
    if job.state == QUEUED:
        held = claim(store, Runner(os.getpid(), os.uname().nodename, time.time(), "remove"), job)
        if held is None:
            return False
        gone = _path(store, job.number, 0, job.name, REMOVED)
        os.rename(held.job.path, gone)
        os.utime(gone)
        held.close()
        return True
    with contextlib.suppress(FileNotFoundError):
        os.unlink(job.path)
    with contextlib.suppress(OSError):
        locks.discard(_lock(store, job.number))
    return True


def rename(store: Store, old: str, new: str) -> None:
    """Let jobs that are over go by the new name of what came of them."""
    for job in _in(store, "done"):
        if job.name == old and job.state in ENDS:
            with contextlib.suppress(FileNotFoundError):
                os.rename(job.path, _path(store, job.number, job.attempts, new, job.state))


def _forget_end(store: Store, job: Job) -> None:
    """The end of an earlier turn, which a command that was killed has left; the lock is ours."""
    for each in _in(store, "done"):
        if each.number == job.number:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(each.path)


def settle(store: Store) -> None:
    """Of jobs that wait for another turn, forget how the last one ended."""
    over = {job.number for job in _in(store, "done")}
    for job in waiting(store) if over else ():
        if job.number in over:
            with contextlib.suppress(Held, OSError):
                with locks.hold(_lock(store, job.number), "", timeout=0):
                    if os.path.exists(job.path):
                        _forget_end(store, job)


def dead(store: Store) -> list[tuple[Job, Claim]]:
    """Jobs whose runner has died, each held by us now."""
    found = []
    for job in running(store):
        held = contextlib.ExitStack()
        who = runner(store, job) or Runner(0, "", job.moment, "")
        try:
            held.enter_context(locks.hold(_lock(store, job.number), who.text(), timeout=0))
        except (Held, OSError):
            continue
        if os.path.exists(job.path):
            found.append((job, Claim(store, job, held, who)))
        else:
            held.close()
    return found


def requeue(store: Store, held: Claim) -> None:
    """Give a dead runner's job another turn; that attempt counts."""
    job = held.job
    os.rename(job.path, _path(store, job.number, job.attempts, job.name, QUEUED))
    held.close()


def find(store: Store, text: str, *, removed: bool = False) -> Job:
    """By number or by name; of several with one name the latest. With *removed* also one of those.

    Raises:
        UsageError
    """
    known = jobs(store)
    gone = [job for job in every(store) if job.state == REMOVED] if removed else []
    for job in (*reversed(known), *reversed(gone)):
        if job.name == text:
            return job
    for job in known:
        if text.isdecimal() and int(text) == job.number:
            return job
    hint = did_you_mean(text, [job.name for job in known], "in the queue")
    raise UsageError(f"no experiment {text!r} in the queue", hint or "`dodo queue status` shows it")
