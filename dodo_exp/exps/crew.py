"""Crew: several workers under one command, which ends when nothing is left to run.

Workers are forks of the command, so that one costs no start of Python. Each has a pipe to it, which
tells when it begins to wait for another one's result (then one more may work meanwhile) and, by its
end, that it is gone, however. If the command dies the kernel tells them to stop.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import time

from dodo_exp.engine import disk, signals
from dodo_exp.engine.signals import Signalled
from dodo_exp.engine.slots import Pool
from dodo_exp.errors import DodoError, Failure, Stopped, in_words, starting
from dodo_exp.exps import queue, worker, workers
from dodo_exp.exps.recover import recover
from dodo_exp.exps.worker import ENOUGH
from dodo_exp.project import Project
from dodo_store.errors import StoreError
from dodo_store.named import Named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dodo_exp.exps.worker import Told

PR_SET_PDEATHSIG = 1
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
MOST = 4
"""So many times as many workers as were asked for may be there, all but those waiting for others'
results."""


FAULT = 74
"""Exit code of a worker that could not go on, and has said why through its pipe."""


class Member(Named):
    """A worker of ours."""

    pid: int
    pipe: int


class Drained(Named):
    """The jobs that have ended since, in order, and why others may be left.

    `is_enough` if somebody wanted no more; `fault` if workers could not go on.
    """

    jobs: list[queue.Job]
    is_enough: bool
    fault: DodoError | None


def run_all(project: Project, size: int, told: Told, command: str) -> Drained:
    """Run what waits, *size* at a time, until nothing is left that anybody runs.

    Raises:
        Stopped: by a signal; what was running waits for its turn again.
        Failure: workers do not come up.
    """
    project.write()
    store = project.store
    queue.create(store)
    disk.check(store.folder, then=worker.WAITS)
    before = {job.number for job in queue.jobs(store) if job.state in queue.ENDS}
    known = {job.number for job in queue.jobs(store)} - before
    crew = _Crew(project, size, told, command)
    try:
        with signals.caught() as caught:
            try:
                crew.run()
            except BaseException as stop:
                number = stop.number if isinstance(stop, Signalled) else signal.SIGTERM
                crew.end(number, caught)
                raise
            finally:
                crew.close()
    except Signalled as stop:
        raise Stopped(stop.number, "stopped; what was running is in the queue again") from None
    done = [
        job
        for job in queue.jobs(store)
        if job.state in queue.ENDS
        and job.number not in before
        and (job.number in known or job.number > max(before | known, default=0))
    ]
    return Drained(done, crew.is_enough, crew.fault)


class _Crew:
    """The workers of one command."""

    def __init__(self, project: Project, size: int, told: Told, command: str) -> None:
        self._project = project
        self._store = project.store
        self._size = size
        self._told = told
        self._command = command
        self._budget = Pool(f"jobs-{os.getpid()}", size, 1.0)
        self._members: dict[int, Member] = {}
        # Here, so that a disk that is read-only is told once.
        os.makedirs(self._folder, exist_ok=True)
        self._idle: set[int] = set()
        self._futile = 0
        self.is_enough = False
        """Whether a worker was told to take no more."""
        self.fault: DodoError | None = None
        """Why the first worker ended that could not go on."""

    def run(self) -> None:
        """Have workers as long as something waits; then wait for others' workers."""
        while True:
            full = recover(self._project)
            if self._wants_more():
                self._add()
                continue
            if self._members:
                self._listen()
            elif full is not None:
                self._cannot_go_on(disk.no_room(full, self._store.folder, worker.WAITS))
                return
            elif self.is_enough or self.fault or not queue.running(self._store):
                return
            else:
                time.sleep(0.1)  # somebody else is at it

    def _wants_more(self) -> bool:
        at_work = len(self._members) - len(self._idle)
        if self.is_enough or self.fault or at_work >= self._size:
            return False
        if len(self._members) >= MOST * self._size:
            return False
        # Workers that are about to take something are at work; more waits only if they are fewer.
        return len(queue.waiting(self._store)) > self._unclaimed()

    def _unclaimed(self) -> int:
        """Workers of ours that have no job yet."""
        runners = [queue.runner(self._store, job) for job in queue.running(self._store)]
        host = os.uname().nodename
        busy = {who.pid for who in runners if who is not None and who.host == host}
        return sum(1 for member in self._members.values() if member.pid not in busy)

    def _add(self) -> None:
        read, write = os.pipe()
        parent = os.getpid()
        # Between the fork and the note of it a signal would find neither here nor there.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        try:
            with starting():
                pid = os.fork()
        except BaseException:
            os.close(read)
            os.close(write)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            raise
        if pid == 0:
            for pipe in (read, *self._members):
                os.close(pipe)
            signals.forget()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            _be(self._project, self._told, self._command, self._budget, write, parent)
        os.close(write)
        self._members[read] = Member(pid, read)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _listen(self) -> None:
        poll = select.poll()
        for pipe in self._members:
            poll.register(pipe, select.POLLIN | select.POLLHUP)
        for pipe, _ in poll.poll(worker.LOOK_UP * 1000):
            words, brace, fault = os.read(pipe, select.PIPE_BUF * 4).partition(b"{")
            if brace:
                self._cannot_go_on(_as_error(brace + fault))
            if not words:
                if not brace:
                    self._gone(pipe)
                continue
            self._futile = 0
            last = words.strip(b"b")[-1:]
            if last == b"w":
                self._idle.add(pipe)
            elif last == b"r":
                self._idle.discard(pipe)

    def _gone(self, pipe: int) -> None:
        member = self._members.pop(pipe)
        os.close(pipe)
        self._idle.discard(pipe)
        _, status = os.waitpid(member.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        if code == ENOUGH and not self.is_enough:
            self.is_enough = True
            ours = {each.pid for each in self._members.values()}
            known = workers.alive(self._store)
            workers.stop(self._store, [w for w in known if w.who.pid in ours], now=False)
        elif code == FAULT:
            self._cannot_go_on(_as_error(b""))
        elif code != 0:
            self._futile += 1
            if self._futile > queue.MOST_ATTEMPTS * self._size:
                raise Failure(f"workers exit with {code} at once")

    def _cannot_go_on(self, error: DodoError) -> None:
        """Start no more workers; the user is told the first reason."""
        if self.fault is None:
            self.fault = error
            self._told.fault(error)

    def end(self, number: int, caught: signals.Signals) -> None:
        """Pass a signal on, and wait; each further one is passed on as well."""
        self._send(number)
        while self._members:
            if caught.hurry.is_set():
                caught.hurry.clear()
                self._send(number)
            with contextlib.suppress(Failure):
                self._listen()

    def _send(self, number: int) -> None:
        for member in self._members.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(member.pid, number)

    def close(self) -> None:
        """Nothing of the budget stays."""
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _folder(self) -> str:
        return f"{self._project.state}/slots/{os.uname().nodename}/{self._budget.name}"


def _be(project: Project, told: Told, command: str, budget: Pool, write: int, parent: int) -> None:
    """A worker's whole life; it leaves only through os._exit."""
    code = 1
    try:
        # The terminal's Ctrl-C is the parent's to pass on.
        os.setpgid(0, 0)
        _die_with(parent)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)

        def tell(word: bytes) -> None:
            with contextlib.suppress(OSError):
                os.write(write, word)

        def began(job: queue.Job) -> None:
            tell(b"b")
            told.began(job)

        def idle(is_idle: bool) -> None:
            tell(b"w" if is_idle else b"r")

        ours = told._replace(began=began, idle=idle)
        fresh = Project(project.root, project.folder, project.home)
        fresh.write()
        code = worker.work(fresh, worker.Terms(), ours, command, budget)
    except Stopped as stop:
        code = stop.code
    except (DodoError, StoreError, OSError) as error:
        code = FAULT
        tell(_as_bytes(error))
    except Exception:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def _as_bytes(error: Exception) -> bytes:
    """An error, for the parent; short enough to arrive in one piece."""
    import json

    hint = getattr(error, "hint", None)
    return json.dumps({"text": in_words(error)[:1000], "hint": hint and hint[:1000]}).encode()


def _as_error(data: bytes) -> DodoError:
    """What `_as_bytes` was given."""
    import json

    try:
        said = json.loads(data)
    except ValueError:
        return Failure("a worker could not go on", "`dodo queue logs NAME` may say why")
    return Failure(said["text"], said["hint"])


def _die_with(parent: int) -> None:
    """Ask the kernel for a TERM when the parent dies, where it does that (Linux)."""
    import ctypes

    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)
