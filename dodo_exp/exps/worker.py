"""Worker: a process that runs the queue's experiments, one after the other.

It needs no one: it claims what waits, and what it leaves undone by dying goes to the next. Control
files tell it what to do; see exps/workers.py.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
import traceback

from dodo_exp.engine import disk, run, signals
from dodo_exp.engine.signals import Signalled
from dodo_exp.errors import DodoError, Stopped
from dodo_exp.events import Resumed, Waiting
from dodo_exp.exps import ending, queue, temp, workers
from dodo_exp.exps import job as jobs
from dodo_exp.exps.recover import recover
from dodo_store import forks
from dodo_store.errors import StoreError
from dodo_store.named import Named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from dodo_exp.engine.slots import Pool
    from dodo_exp.events import Event, Listener
    from dodo_exp.exps.ending import Performed
    from dodo_exp.project import Project

KILL = signal.SIGUSR1
"""What a job's end by `queue kill` looks like inside."""

LOOK_UP = 0.25
"""Seconds between two looks at control files and at an empty queue."""

ENOUGH = 75
"""Exit code of a worker that was told to take no more."""

WAITS = f"{disk.GC}, then `dodo queue start` runs what is left in the queue"
"""What to do when the disk has no room for an experiment."""


class Told(Named):
    """What a worker tells as it goes on; all may be called from any thread of it."""

    listener: Callable[[queue.Job], Listener]
    """Listens to one job's run."""
    began: Callable[[queue.Job], None]
    ended: Callable[[queue.Job, Performed], None]
    put_back: Callable[[queue.Job], None]
    idle: Callable[[bool], None]
    """Whether it does nothing but wait for another run's result."""
    fault: Callable[[DodoError], None]
    """Why a worker under this command could not go on; the others still do."""


class Terms(Named):
    """How long to work: seconds in all, and seconds to wait when nothing waits to be run."""

    max_time: float | None = None
    idle_exit: float = 0.0


def work(project: Project, terms: Terms, told: Told, command: str, budget: Pool | None) -> int:
    """Run jobs until nothing waits, the time is up, or somebody says so; returns an exit code.

    Raises:
        Stopped: by a signal; the job that was running waits for its turn again.
        NoRoom: the disk is full or read-only; the job waits for its turn again.
    """
    worker: _Worker | None = None
    try:
        queue.create(project.store)
        with signals.caught() as caught, workers.registered(project.store, command) as me:
            worker = _Worker(project, told, caught, me, terms, budget)
            try:
                with worker.alarms():
                    return worker.run()
            finally:
                worker.leave()
    except Signalled as stop:
        if stop.number == signal.SIGALRM:
            return ENOUGH if worker is not None and worker.is_told_to_stop else 0
        raise Stopped(stop.number, "stopped") from None
    except (OSError, StoreError, DodoError) as error:
        full = disk.cause(error)
        if full is None:
            raise
        found = disk.no_room(full, project.state, WAITS)
        workers.note_fault(project.store, f"{found} ({found.hint})")
        raise found from error


class _Worker:
    """One worker's life."""

    def __init__(
        self,
        project: Project,
        told: Told,
        caught: signals.Signals,
        me: workers.Registered,
        terms: Terms,
        budget: Pool | None,
    ) -> None:
        self._project = project
        self._store = project.store
        self._told = told
        self._caught = caught
        self._me = me
        self._budget = budget
        self._idle_exit = terms.idle_exit
        self._until = None if terms.max_time is None else time.monotonic() + terms.max_time
        self._claim: queue.Claim | None = None
        self._can_be_killed = False
        self.is_told_to_stop = False
        """Whether somebody wants no more of us."""

    def _looks_for_a_stop(self) -> bool:
        self.is_told_to_stop = self.is_told_to_stop or os.path.exists(f"{self._me.path}.stop")
        return self.is_told_to_stop

    def run(self) -> int:
        """Claim and perform until there is a reason to end."""
        idle_since = time.monotonic()
        with contextlib.ExitStack() as held:
            place: temp.Place | None = None
            while True:
                if self._looks_for_a_stop():
                    return ENOUGH
                if self._until is not None and time.monotonic() > self._until:
                    return 0
                recover(self._project)
                claim = self._next()
                if claim is not None:
                    place = place or held.enter_context(temp.borrow(self._project))
                    self._perform(claim, place)
                    idle_since = time.monotonic()
                elif queue.waiting(self._store):
                    time.sleep(0.05)  # others are about to have them
                elif time.monotonic() - idle_since >= self._idle_exit:
                    return 0
                else:
                    time.sleep(LOOK_UP)

    def _next(self) -> queue.Claim | None:
        waiting = queue.waiting(self._store)
        if waiting:
            disk.check(self._store.folder, then=WAITS)
        for job in waiting:
            who = self._me.who._replace(started=time.time())
            with forks.undisturbed():
                self._claim = queue.claim(self._store, who, job)
            if self._claim is not None:
                return self._claim
        return None

    def _perform(self, claim: queue.Claim, place: temp.Place) -> None:
        self._told.began(claim.job)
        try:
            done = self._done(claim, place)
        finally:
            self._claim = None
            claim.close()
        if done.how == queue.QUEUED:
            self._told.put_back(claim.job)
        else:
            self._told.ended(claim.job, done)
        if run.is_stuck():
            # Something of that run cannot be ended. It must not go on in the next one's folder.
            raise Signalled(signal.SIGALRM)

    def _done(self, claim: queue.Claim, place: temp.Place) -> Performed:
        """Run it and let it be over; or put it back, and raise what the signal was.

        Raises:
            Signalled
        """
        job = claim.job
        listener = _Idling(self._told.listener(job), self._told.idle)
        try:
            try:
                self._can_be_killed = True
                return jobs.perform(
                    self._project, claim, place, listener, self._budget, can_wait=True
                )
            finally:
                self._can_be_killed = False
        except (Stopped, Signalled) as stop:
            number = stop.number if isinstance(stop, Signalled) else stop.code - 128
        except Exception as error:
            if disk.cause(error) is not None:
                self._put_back(claim)
                raise
            # A fault of ours. It would be the next worker's too, so the job is over.
            ending.log(self._project, job, traceback.format_exc())
            reason = f"internal error: {type(error).__name__}: {error}"
            return ending.give_up(self._project, claim, place, queue.FAILED, reason)
        if number == KILL:
            self._caught.again()
        try:
            if number == KILL or workers.is_to_end(self._store, job):
                done = self._killed(claim, place)
                if number == KILL:
                    return done
                self._told.ended(job, done)
        except Signalled as second:
            number = second.number
        self._put_back(claim)
        raise Signalled(number)

    def _killed(self, claim: queue.Claim, place: temp.Place) -> Performed:
        return ending.give_up(self._project, claim, place, queue.KILLED, "killed")

    def leave(self) -> None:
        """What is ours still is for others."""
        if self._claim is not None:
            self._put_back(self._claim)
            self._claim.close()

    def _put_back(self, claim: queue.Claim) -> None:
        try:
            if claim.put_back():
                self._told.put_back(claim.job)
        except OSError:  # on a read-only disk; the next command that looks puts it back
            pass

    # -- control files ---------------------------------------------------------------------

    @contextlib.contextmanager
    def alarms(self) -> Iterator[None]:
        """Look at the control files now and then, in the main thread."""
        before = signal.signal(signal.SIGALRM, self._alarm)
        signal.setitimer(signal.ITIMER_REAL, LOOK_UP, LOOK_UP)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def _alarm(self, number: int, frame: FrameType | None) -> None:
        if self._caught.number is not None:
            return
        if self._until is not None and time.monotonic() > self._until:
            self._caught(signal.SIGALRM, frame)
        with contextlib.suppress(OSError), open(f"{self._me.path}.stop") as file:
            if file.read(10) == "now":
                self.is_told_to_stop = True
                self._caught(signal.SIGALRM, frame)
        claim = self._claim
        if self._can_be_killed and claim and workers.is_to_end(self._store, claim.job):
            self._caught(KILL, frame)


class _Idling:
    """Tells when a run does nothing but wait for another one's result, and when that is over."""

    def __init__(self, onward: Listener, idle: Callable[[bool], None]) -> None:
        self._onward = onward
        self._idle = idle
        self._waits: set[str] = set()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Waiting) and event.is_idle:
            self._waits.add(event.what)
            self._idle(True)
        elif isinstance(event, Resumed) and event.what in self._waits:
            self._waits.discard(event.what)
            self._idle(bool(self._waits))
        self._onward(event)
