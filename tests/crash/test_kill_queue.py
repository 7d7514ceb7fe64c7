"""Workers, commands and stages of the queue that die at any moment: nothing is lost or doubled."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dodo_exp.exps import state
from dodo_exp.exps.record import Experiment, load
from dodo_store.oid import of_bytes
from tests.space import Ran, Space, wait_for

# A shell that starts the tests in the background has it ignored, which commands inherit.
signal.signal(signal.SIGQUIT, signal.SIG_DFL)

# -- looking at processes and at the queue ---------------------------------------------------


def children(pid: int) -> list[int]:
    """The processes that a process has started and not waited for."""
    try:
        return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def parent(pid: int) -> int:
    """Who started a process, or who has it since that one has ended."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def is_running(pid: int) -> bool:
    """Whether a process is there and not only waits for somebody to ask how it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def in_session(leader: int) -> list[int]:
    """The processes of a session."""
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[3]) == leader:
                found.append(int(pid))
    return found


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to a process that may be gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def tagged(space: Space) -> list[int]:
    """Processes of runs in this space: those whose environment says so."""
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            tags = [entry for entry in entries if entry.startswith(b"DODO_RUN=")]
            if any(os.fsencode(str(space.base)) + b"/" in tag for tag in tags):
                found.append(int(pid))
    return found


def inside(space: Space) -> list[int]:
    """Processes that stand in this space: stages, and commands with their workers and reapers."""
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{pid}/cwd").startswith(f"{space.base}/"):
                found.append(int(pid))
    return found


def jobs(space: Space) -> list[dict[str, Any]]:
    """What `dodo queue status` says."""
    found: list[dict[str, Any]] = space.dodo("queue", "status", "--json").json["experiments"]
    return found


def kept(space: Space) -> dict[str, Experiment]:
    """Every experiment that is kept, by name."""
    store = space.store
    found = {}
    for name in store.experiments.names():
        oid = store.experiments.get(name)
        if oid is not None:
            found[name] = load(store, oid)
    return found


def output(space: Space, made: Experiment, path: str) -> str:
    """What a file of an experiment's result holds."""
    node = space.store.find(made.result, path)
    assert node is not None, f"{made.name} has no {path}"
    return Path(space.store.objects.path(node.oid)).read_text()


def lines(path: Path) -> list[str]:
    """The lines of a file that may not be there yet."""
    return path.read_text().splitlines() if path.exists() else []


# -- workers and commands that die -----------------------------------------------------------


class Round(NamedTuple):
    """What a round of kills came to."""

    killed: int
    successes: int
    exhausted: int
    """Jobs that three workers died of."""


class Drained:
    """A project whose queue is filled, run under kills, and looked at, again and again."""

    def __init__(self, space: QueueSpace) -> None:
        self._space = space
        self._counts = space.base / "counts"
        self._number = 0
        space.write("params.yaml", "x: 0\n")
        count = f"echo $DODO_STAGE $(cat params.yaml) >> {self._counts}"
        space.write(
            "dvc.yaml",
            "stages:\n"
            f"  prepare: {{cmd: '{count}; sleep 0.2; cat raw > data',"
            " deps: [raw], outs: [data]}\n"
            f"  train: {{cmd: '{count}; sleep 0.1; cat params.yaml data > model',"
            " deps: [data], params: [x], outs: [model]}\n"
            f"  evaluate: {{cmd: '{count}; sleep 0.02; cat model > score',"
            " deps: [model], outs: [score]}\n",
        )

    def queue(self, size: int) -> dict[str, int]:
        """Queue experiments; returns the value of x that each is to have."""
        space, first = self._space, self._number * 1000
        self._number += 1
        self._counts.unlink(missing_ok=True)
        space.write("raw", f"{self._number}\n")
        values = range(first + 1, first + 1 + size)
        asked = {f"r{self._number}-{i}": value for i, value in enumerate(values, 1)}
        grid = ",".join(map(str, values))
        space.dodo("exp", "run", "--queue", "-S", f"x={grid}", "-n", f"r{self._number}")
        assert [job["name"] for job in jobs(space) if job["state"] == "queued"] == list(asked)
        return asked

    def round(self, size: int, kills: int) -> Round:
        """Queue, run with kills, run until nothing is left, and look."""
        space = self._space
        before = set(kept(space)) if space.store.exists else set()
        asked = self.queue(size)
        with looked_at(space):
            killed, is_command_killed = self._run_with_kills(kills)
            for _ in range(4):
                space.dodo_of(120, "exp", "run", "--run-all", "--jobs", "8", codes=(0, 1))
                if not any(job["state"] in ("queued", "running") for job in jobs(space)):
                    break
        return self.look(asked, before, killed, is_command_killed=is_command_killed)

    def _run_with_kills(self, kills: int) -> tuple[int, bool]:
        """Run all that wait; returns how many workers were killed, and whether the command was."""
        killed, is_command_killed = 0, False
        process = self._space.start("exp", "run", "--run-all", "--jobs", "8")
        with ThreadPoolExecutor(1) as pool:
            ended = pool.submit(process.communicate, timeout=120)
            for turn in range(kills):
                time.sleep(random.uniform(0.0, 0.5))
                workers = children(process.pid)
                if turn == kills - 1 and random.random() < 0.5:
                    is_command_killed = not ended.done()
                    if random.random() < 0.5:
                        for pid in in_session(process.pid):
                            kill(pid)
                        killed += 8  # and perhaps less
                    elif is_command_killed:
                        kill(process.pid)
                elif workers:
                    kill(random.choice(workers))
                    killed += 1
            _, err = ended.result()
        assert "Traceback" not in err and "Exception ignored" not in err, err
        code = process.returncode
        assert code in ((-signal.SIGKILL, 0, 1) if is_command_killed else (0, 1)), err
        return killed, code == -signal.SIGKILL

    def look(
        self, asked: dict[str, int], before: set[str], killed: int, *, is_command_killed: bool
    ) -> Round:
        """All of them are over, once each, as they are to be, and nothing else is left."""
        space = self._space
        over = [job for job in jobs(space) if job["name"] in asked]
        assert Counter(job["name"] for job in over) == dict.fromkeys(asked, 1)
        assert {job["state"] for job in over} <= {"success", "failed"}
        done = [p.name.split("~") for p in (space.root / ".dodo/queue/done").glob("*~*~*~*")]
        assert Counter(parts[2] for parts in done if parts[2] in asked) == dict.fromkeys(asked, 1)
        failed = {job["name"]: job["reason"] for job in over if job["state"] == "failed"}
        assert all("workers have died of it" in reason for reason in failed.values()), failed
        attempts = {job["name"]: job["attempts"] for job in over}
        assert all(attempts[name] == 3 for name in failed)
        # No attempt is lost but by one of our kills.
        assert sum(attempts.values()) - len(over) + len(failed) <= killed, attempts
        self._look_at_results(asked, before, failed)
        self._look_at_counts(asked, attempts, failed, is_command_killed)
        for name in asked:
            assert space.dodo("exp", "logs", name).out.strip(), name
        wait_for(lambda: not inside(space) and not tagged(space), 12)
        space.dodo("snapshot", "-n", f"after-{self._number}")
        folders = [p.name for p in (space.root / ".dodo" / "workspaces").iterdir() if p.is_dir()]
        assert len(folders) <= 1, folders
        space.dodo("gc", "--grace", "0")
        assert list((space.root / ".dodo").rglob(".dodo-tmp-*")) == []
        space.dodo("store", "check", "--full")
        return Round(killed, len(asked) - len(failed), len(failed))

    def _look_at_results(
        self, asked: dict[str, int], before: set[str], failed: dict[str, str]
    ) -> None:
        known = kept(self._space)
        assert set(known) - before - set(failed) == set(asked) - set(failed)
        for name in set(asked) - set(failed):
            made, value = known[name], asked[name]
            assert not made.error, (name, made.error)
            assert made.params["params.yaml"]["data"] == {"x": value}, name
            assert output(self._space, made, "score") == f"x: {value}\n{self._number}\n", name

    def _look_at_counts(
        self,
        asked: dict[str, int],
        attempts: dict[str, int],
        failed: dict[str, str],
        is_command_killed: bool,
    ) -> None:
        ran = Counter(lines(self._counts))
        for name, value in asked.items():
            for stage in ("train", "evaluate"):
                times = ran[f"{stage} x: {value}"]
                assert times >= 1 or name in failed, (name, stage, times)
                # An attempt that the end of the command broke off is not counted.
                assert times <= attempts[name] + is_command_killed, (name, stage, times)


class QueueSpace(Space):
    """A space whose commands may take longer and end in one of several ways."""

    def dodo_of(self, seconds: float, *args: str, codes: tuple[int, ...] = (0,)) -> Ran:
        """Run `dodo ARGS`; it must end in time, with one of *codes*, without a traceback."""
        process = self.start(*args)
        out, err = process.communicate(timeout=seconds)
        assert "Traceback" not in err and "Exception ignored" not in err, err
        assert process.returncode in codes, f"exit {process.returncode}\n{out}\n{err}"
        return Ran(process.returncode, out, err)


@contextlib.contextmanager
def looked_at(space: Space) -> Iterator[None]:
    """Ask for the state of the queue all the time while a block lasts; each answer is whole."""
    is_over = threading.Event()
    with ThreadPoolExecutor(1) as pool:

        def look() -> None:
            while not is_over.is_set():
                jobs(space)
                time.sleep(0.05)

        looking = pool.submit(look)
        try:
            yield
        finally:
            is_over.set()
        looking.result()


@pytest.fixture
def wide(tmp_path: Path) -> Iterator[QueueSpace]:
    """A folder of its own; when the test is done nothing runs in it and its store is sound."""
    made = QueueSpace(tmp_path)
    try:
        yield made
        if made.store.exists:
            made.check()
    finally:
        for pid in {*tagged(made), *inside(made)}:
            kill(pid)


def test_a_queue_whose_workers_are_killed_is_run_once_and_whole(wide: QueueSpace) -> None:
    Drained(wide).round(10, 4)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_queue_whose_workers_are_killed_is_run_once_and_whole_sample(wide: QueueSpace) -> None:
    drained = Drained(wide)
    for _ in range(3):
        print(drained.round(30, 8))


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(5))
def test_thirty_rounds_of_a_queue_whose_workers_are_killed(wide: QueueSpace, part: int) -> None:
    drained = Drained(wide)
    for _ in range(6):
        print(drained.round(30, 8))


def _kill_everything(space: QueueSpace, rounds: int) -> None:
    """Workers, watchers and stages, all at once, again and again; then run what is left."""
    drained = Drained(space)
    asked = drained.queue(20)
    for _ in range(rounds):
        process = space.start("exp", "run", "--run-all", "--jobs", "8")
        time.sleep(random.uniform(0.2, 1.2))
        while pids := [pid for pid in inside(space) if is_running(pid)]:
            for pid in pids:
                kill(pid)
        process.communicate()
    space.dodo_of(120, "exp", "run", "--run-all", "--jobs", "8", codes=(0, 1))
    drained.look(asked, set(), 8 * rounds, is_command_killed=False)


def test_after_everything_was_killed_at_once_the_queue_is_run_once_and_whole(
    wide: QueueSpace,
) -> None:
    _kill_everything(wide, 2)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(10))
def test_ten_times_everything_is_killed_at_once_and_again(wide: QueueSpace, part: int) -> None:
    _kill_everything(wide, 4)


# -- stages that several experiments share ---------------------------------------------------


class Shared:
    """Experiments that differ in their last stage alone; the two before it are the same."""

    def __init__(self, space: QueueSpace, size: int, *, middle: str = "sleep 0.3") -> None:
        self.space = space
        self.counts = space.base / "counts"
        self.pids = space.base / "pids"
        self.names = [f"e-{i}" for i in range(1, size + 1)]
        count = f"echo $DODO_STAGE >> {self.counts}; echo $$ >> {self.pids}"
        space.write("params.yaml", "x: 0\n")
        space.write("raw", "raw\n")
        space.write(
            "dvc.yaml",
            "stages:\n"
            f"  one: {{cmd: '{count}; sleep 0.3; cat raw > a', deps: [raw], outs: [a]}}\n"
            f"  two: {{cmd: '{count}; {middle}; cat a > b', deps: [a], outs: [b]}}\n"
            f"  three: {{cmd: '{count}; cat params.yaml b > c',"
            " deps: [b], params: [x], outs: [c]}\n",
        )
        grid = ",".join(map(str, range(1, size + 1)))
        space.dodo("exp", "run", "--queue", "-S", f"x={grid}", "-n", "e")

    def start(self) -> subprocess.Popen[str]:
        """Run all that wait, eight at a time."""
        return self.space.start("exp", "run", "--run-all", "--jobs", "8")

    def ran(self) -> Counter[str]:
        """How often each stage has run so far."""
        return Counter(lines(self.counts))

    def results(self) -> None:
        """Each experiment is there with what it is to hold."""
        known = kept(self.space)
        assert set(known) == set(self.names)
        for i, name in enumerate(self.names, 1):
            assert not known[name].error
            assert known[name].params["params.yaml"]["data"] == {"x": i}
            assert output(self.space, known[name], "c") == f"x: {i}\nraw\n"


def test_what_experiments_share_is_run_once(wide: QueueSpace) -> None:
    shared = Shared(wide, 32)
    wide.dodo_of(60, "exp", "run", "--run-all", "--jobs", "8")
    assert shared.ran() == {"one": 1, "two": 1, "three": 32}
    shared.results()


def test_when_its_runner_is_killed_what_experiments_share_is_run_once_more(
    wide: QueueSpace,
) -> None:
    shared = Shared(wide, 32, middle="sleep 1.5")
    process = shared.start()
    wait_for(lambda: shared.ran()["two"] == 1)
    time.sleep(0.7)
    worker = int(lines(shared.pids)[-1])
    while parent(worker) != process.pid:
        worker = parent(worker)
        assert worker > 1
    kill(worker)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert shared.ran() == {"one": 1, "two": 2, "three": 32}
    assert sorted(job["attempts"] for job in jobs(wide)) == [*[1] * 31, 2]
    shared.results()


def test_when_what_experiments_share_fails_all_that_wait_for_it_fail(wide: QueueSpace) -> None:
    shared = Shared(wide, 32, middle="sleep 2; exit 3")
    wide.dodo_of(60, "exp", "run", "--run-all", "--jobs", "8", codes=(1,))
    ran = shared.ran()
    print(ran)
    assert ran["one"] == 1 and ran["two"] <= 4 and ran["three"] == 0
    over = jobs(wide)
    assert [job["name"] for job in over] == shared.names
    assert {job["state"] for job in over} == {"failed"}
    assert all("'two'" in job["reason"] for job in over), over
    told = [name for name in shared.names if wide.dodo("exp", "logs", name).out.strip()]
    assert told == shared.names


# -- commands at the same time ---------------------------------------------------------------

Command = tuple[str, ...]


class Pairs:
    """A project in which any two commands are run at the same time, again and again."""

    def __init__(self, space: QueueSpace) -> None:
        self._space = space
        self._number = 0
        self._asked: dict[str, int] = {}
        self._removed: set[str] = set()
        self._queued: set[str] = set()
        space.write("params.yaml", "x: 0\n")
        space.write("more.yaml", "z: 0\n")
        space.write("raw", "raw\n")
        space.write(
            "dvc.yaml",
            "stages:\n"
            "  first: {cmd: 'sleep 0.05; cat raw > a', deps: [raw], outs: [a]}\n"
            "  last: {cmd: 'cat params.yaml > b; sleep 0.1; cat a more.yaml >> b', deps: [a],"
            " params: [x, more.yaml: [z]], outs: [b]}\n",
        )
        for _ in range(3):
            space.dodo(*self._run())

    def _new(self) -> Command:
        self._number += 1
        name = f"e{self._number}"
        self._asked[name] = self._number
        return ("-S", f"x={self._number}", "-S", f"more.yaml:z={self._number}", "-n", name)

    def _run(self) -> Command:
        return ("exp", "run", *self._new(), *random.choice([(), ("--no-wait",)]))

    def _queue(self) -> Command:
        words = self._new()
        self._queued.add(words[-1])
        return ("exp", "run", "--queue", *words)

    def _remove(self) -> Command:
        name = random.choice(list(self._asked))
        self._removed.add(name)
        return ("exp", "remove", name)

    def _any(self) -> Command:
        verbs: list[Callable[[], Command]] = [
            self._run,
            self._queue,
            self._remove,
            lambda: ("exp", "run", "--temp", *self._new()),
            lambda: ("exp", "apply", random.choice(list(self._asked))),
            lambda: ("gc", "--grace", "0"),
            lambda: ("exp", "show", "--json"),
            lambda: ("exp", "run", "--run-all", "--jobs", "2"),
        ]
        return random.choice(verbs)()

    def pair(self) -> None:
        """Run two commands at the same time, and look at what has come of them."""
        pair = [self._any(), self._any()]
        processes = []
        for args in pair:
            processes.append(self._space.start(*args))
            time.sleep(random.choice([0.0, 0.0, random.uniform(0.0, 0.3)]))
        ended = [(p, *p.communicate(timeout=60)) for p in processes]
        told = "\n".join(
            f"dodo {' '.join(args)}: {p.returncode}\n{err}"
            for args, (p, _, err) in zip(pair, ended, strict=True)
        )
        for args, (process, _, _) in zip(pair, ended, strict=True):
            if args[:2] == ("exp", "run") and "-n" in args and process.returncode != 0:
                name = args[args.index("-n") + 1]
                del self._asked[name]
                self._queued.discard(name)
        for _, (process, _, err) in zip(pair, ended, strict=True):
            code = process.returncode
            assert "Traceback" not in err and "Exception ignored" not in err, told
            assert code in (0, 2, 4), told
            assert code != 4 or "held by" in err, told
            assert code != 2 or "no experiment" in err or "is running" in err, told
        self._look(told)

    def finish(self) -> None:
        """Run what waits still, and look at everything."""
        self._space.dodo("exp", "run", "--run-all", "--jobs", "2")
        assert {job["state"] for job in jobs(self._space)} <= {"success"}
        self._queued.clear()
        self._look("at the end")
        self._space.dodo("store", "check", "--full")

    def _look(self, told: str) -> None:
        known = kept(self._space)
        assert set(known) <= set(self._asked), (set(known) - set(self._asked), told)
        missing = set(self._asked) - set(known) - self._removed - self._queued
        assert not missing, (missing, told)
        for name, made in known.items():
            value = self._asked[name]
            params = {path: contents.get("data") for path, contents in made.params.items()}
            assert params == {"params.yaml": {"x": value}, "more.yaml": {"z": value}}, (name, told)
            assert not made.error, (name, made.error, told)
            assert output(self._space, made, "b") == f"x: {value}\nraw\nz: {value}\n", (name, told)
        waiting = {job["name"] for job in jobs(self._space) if job["state"] == "queued"}
        lost = self._queued - self._removed - set(known) - waiting
        assert not lost, (lost, told)


def _run_pairs(space: QueueSpace, count: int) -> None:
    pairs, wrong = Pairs(space), []
    for _ in range(count):
        try:
            pairs.pair()
        except AssertionError as error:
            wrong.append(str(error))
    assert not wrong, "\n".join(wrong)
    pairs.finish()


def test_any_two_commands_at_the_same_time_go_well_or_say_why_not(wide: QueueSpace) -> None:
    _run_pairs(wide, 12)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_hundred_pairs_of_commands_at_the_same_time_go_well(wide: QueueSpace) -> None:
    _run_pairs(wide, 100)


# -- signals ---------------------------------------------------------------------------------

SIGNALS = ("INT", "TERM", "HUP", "KILL", "QUIT")
COMMANDS: dict[str, Command] = {
    "place": ("exp", "run", "-n", "here"),
    "temp": ("exp", "run", "--temp", "-n", "here"),
    "all": ("exp", "run", "--run-all", "--jobs", "2"),
    "worker": ("queue", "worker"),
}


class Sleeping:
    """A project whose stage has children that sleep: in the background, and in their own session.

    Each says that it is there by its number in a file, or the stage would be looked at too early.
    """

    def __init__(self, folder: Path, kind: str, *, ignores: bool = False) -> None:
        folder.mkdir()
        self.space = QueueSpace(folder)
        self.pids = folder / "pids"
        self.kind = kind
        note = f"echo $$ >> {self.pids}; exec sleep 600"
        shield = 'trap "" INT; ' if ignores else ""
        self.space.write(
            "stage.sh",
            f"{shield}sh -c '{note}' &\n"
            f"sh -c \"setsid sh -c '{note}' &\"\n"
            f"{note if not ignores else f'echo $$ >> {self.pids}; while :; do sleep 600; done'}\n",
        )
        self.space.write("params.yaml", "x: 0\n")
        self.space.write(
            "dvc.yaml",
            "stages:\n  long: {cmd: sh stage.sh, deps: [stage.sh], params: [x], outs: [out]}\n",
        )
        self.names: list[str] = []
        if kind in ("all", "worker"):
            self.names = ["e-1", "e-2", "e-3"]
            self.space.dodo("exp", "run", "--queue", "-S", "x=1,2,3", "-n", "e")
        self.process = self.space.start(*COMMANDS[kind])
        stages = 2 if kind == "all" else 1
        wait_for(lambda: len(lines(self.pids)) == 3 * stages, 30)

    def signal(self, name: str) -> None:
        """Send a signal to the command alone."""
        self.process.send_signal(signal.Signals[f"SIG{name}"])

    def end(self, seconds: float = 12) -> tuple[int, str]:
        """The exit code and what was said; nothing of the run is left within that time."""
        until = time.monotonic() + seconds
        _, err = self.process.communicate(timeout=seconds)
        assert "Traceback" not in err and "Exception ignored" not in err, err
        left = max(0.1, until - time.monotonic())
        wait_for(lambda: not tagged(self.space) and not inside(self.space), left)
        assert [pid for pid in lines(self.pids) if is_running(int(pid))] == []
        return self.process.returncode, err

    def close(self) -> None:
        """Nothing stays, whatever the test has come to."""
        for pid in {*tagged(self.space), *inside(self.space)}:
            kill(pid)
        self.process.communicate()


@contextlib.contextmanager
def sleeping(folder: Path, kind: str, *, ignores: bool = False) -> Iterator[Sleeping]:
    """A command that runs such a stage, for a block."""
    made = Sleeping(folder, kind, ignores=ignores)
    try:
        yield made
    finally:
        made.close()


def signalled(folder: Path, kind: str, name: str) -> None:
    """One signal to one command: all of it ends, and what it has not finished waits again."""
    number = signal.Signals[f"SIG{name}"]
    time.sleep(random.uniform(0.0, 0.5))
    with sleeping(folder, kind) as run:
        time.sleep(random.uniform(0.0, 0.2))
        run.signal(name)
        code, err = run.end()
        is_caught = name in ("INT", "TERM", "HUP")
        assert code == (128 + number if is_caught else -number), (kind, name, err)
        space, found = run.space, jobs(run.space)
        if run.names:
            assert [job["name"] for job in found] == run.names, (kind, name)
            assert {job["state"] for job in found} == {"queued"}, (kind, name, found)
        elif kind == "place":
            assert not [job for job in found if job["state"] in ("queued", "running")]
            assert kept(space) == {}
        else:
            ended = {"stopped"} if is_caught else {"failed"}
            assert {job["state"] for job in found} == ended, (kind, name, found)
            assert [job["reason"] for job in found] != [""]
        if name == "KILL":
            for job in (job for job in found if job["attempts"]):
                assert space.dodo("exp", "logs", job["name"]).out.strip(), (kind, job)
        if name in ("INT", "KILL"):
            # All is as before: another run goes well.
            space.write("stage.sh", "cat params.yaml > out\n")
            space.dodo("exp", "run", "-n", "next")
            space.dodo("store", "check", "--full")


def _signal_each(folder: Path, rounds: int) -> None:
    cases = [(k, s, i) for i in range(rounds) for k in COMMANDS for s in SIGNALS]
    with ThreadPoolExecutor(5) as pool:
        running = [pool.submit(signalled, folder / f"{k}-{s}-{i}", k, s) for k, s, i in cases]
    wrong = [
        f"{case}: {error}"
        for case, done in zip(cases, running, strict=True)
        if (error := done.exception()) is not None
    ]
    assert not wrong, "\n".join(wrong)


def test_after_a_signal_nothing_runs_on_and_nothing_of_the_queue_is_lost(tmp_path: Path) -> None:
    _signal_each(tmp_path, 1)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_after_twenty_rounds_of_signals_nothing_runs_on(tmp_path: Path) -> None:
    _signal_each(tmp_path, 20)


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_second_interrupt_ends_at_once_what_ignores_the_first(tmp_path: Path, kind: str) -> None:
    with sleeping(tmp_path / kind, kind, ignores=True) as run:
        run.signal("INT")
        time.sleep(0.7)
        assert run.process.poll() is None
        run.signal("INT")
        code, err = run.end(3)
        assert code == 130, err
        states = [job["state"] for job in jobs(run.space)]
        assert states == ["queued"] * len(run.names) if run.names else "running" not in states


def _stop_again_and_again(space: QueueSpace, kind: str, size: int) -> None:
    """Run a queue of short stages; each command is stopped at a random moment, but for the last."""
    counts = space.base / "counts"
    counts.unlink(missing_ok=True)
    space.write("params.yaml", "x: 0\n")
    command = f"echo $(cat params.yaml) >> {counts}; sleep 0.05; cat params.yaml > out"
    space.write("dvc.yaml", f"stages:\n  one: {{cmd: '{command}', params: [x], outs: [out]}}\n")
    prefix, first = f"s{random.getrandbits(40)}", random.getrandbits(40)
    asked = {f"{prefix}-{i}": first + i for i in range(1, size + 1)}
    grid = ",".join(map(str, asked.values()))
    space.dodo("exp", "run", "--queue", "-S", f"x={grid}", "-n", prefix)
    stops = 0
    while any(job["state"] == "queued" for job in jobs(space)):
        process = space.start(*COMMANDS[kind])
        name = random.choice(("INT", "TERM", "HUP"))
        if stops < size:
            time.sleep(random.uniform(0.35, 0.7))
            process.send_signal(signal.Signals[f"SIG{name}"])
            stops += 1
        _, err = process.communicate(timeout=30)
        assert "Traceback" not in err and "Exception ignored" not in err, err
        number = signal.Signals[f"SIG{name}"]
        assert process.returncode in (0, 128 + number, -number), err
        assert not tagged(space)
    over = {job["name"]: job for job in jobs(space) if job["name"] in asked}
    assert {(job["state"], job["attempts"]) for job in over.values()} == {("success", 1)}, over
    assert over.keys() == asked.keys()
    known = kept(space)
    for job_name, value in asked.items():
        assert known[job_name].params["params.yaml"]["data"] == {"x": value}
        assert output(space, known[job_name], "out") == f"x: {value}\n"
    assert all(times <= 1 + stops for times in Counter(lines(counts)).values())


@pytest.mark.parametrize("kind", ["all", "worker"])
def test_what_is_stopped_at_any_moment_waits_again_and_has_lost_no_attempt(
    wide: QueueSpace, kind: str
) -> None:
    _stop_again_and_again(wide, kind, 5)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["all", "worker"])
def test_twenty_queues_stopped_at_any_moment_lose_nothing(wide: QueueSpace, kind: str) -> None:
    for _ in range(20):
        _stop_again_and_again(wide, kind, 10)


def _stop_at_any_moment(space: QueueSpace, rounds: int) -> None:
    """Runs of a short pipeline, in place and apart, each stopped at a moment of its own."""
    space.write("params.yaml", "x: 0\n")
    stage = "sleep 0.05; cat params.yaml > out"
    space.write("dvc.yaml", f"stages:\n  s: {{cmd: '{stage}', params: [x], outs: [out]}}\n")
    wrong = []
    for number in range(1, rounds + 1):
        before = set(kept(space)) if space.store.exists else set()
        apart = random.choice([(), ("--temp",)])
        args = ("exp", "run", *apart, "-n", f"e{number}", "-S", f"x={number}")
        process = space.start(*args)
        name = random.choice(("INT", "TERM", "HUP"))
        moment = random.uniform(0.2, 0.5)
        time.sleep(moment)
        process.send_signal(signal.Signals[f"SIG{name}"])
        _, err = process.communicate(timeout=30)
        code, number_of = process.returncode, signal.Signals[f"SIG{name}"]
        assert not tagged(space)
        made = {key: each for key, each in kept(space).items() if key not in before}
        whole = [key for key, each in made.items() if not each.error]
        if "Traceback" in err or code not in (0, 128 + number_of, -number_of):
            wrong.append(f"{args} {name} after {moment:.3f}: {code}\n{err[-900:]}")
        elif not (code == 0) <= (f"e{number}" in whole) or set(whole) - {f"e{number}"}:
            # What is stopped when it has been kept a moment ago may stay.
            wrong.append(f"{args} {name} after {moment:.3f}: {code}, kept {made.keys()}\n{err}")
        for key in whole:
            assert output(space, made[key], "out") == f"x: {number}\n"
        running = [job for job in jobs(space) if job["state"] in ("running", "queued")]
        if running:
            wrong.append(f"{args} {name} after {moment:.3f}: {running}")
    assert not wrong, f"{len(wrong)} of {rounds}\n" + "\n".join(wrong)
    space.dodo("snapshot", "-n", "last")
    space.dodo("store", "check", "--full")


def test_a_run_that_is_stopped_at_any_moment_says_so_and_leaves_nothing(wide: QueueSpace) -> None:
    _stop_at_any_moment(wide, 8)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_two_hundred_runs_stopped_at_any_moment_leave_nothing(wide: QueueSpace) -> None:
    _stop_at_any_moment(wide, 200)


# -- more at the same time -------------------------------------------------------------------


def test_collections_at_the_same_time_go_well(wide: QueueSpace) -> None:
    wide.write("params.yaml", "x: 0\n")
    wide.write("dvc.yaml", "stages:\n  s: {cmd: cat params.yaml > out, params: [x], outs: [out]}\n")
    wide.dodo("exp", "run", "-n", "one")
    for _ in range(3):
        for i in range(400):  # as many stages have run
            (wide.root / ".dodo" / "locks" / "run" / f"{i:032x}").touch()
        processes = [wide.start("gc", "--grace", "0") for _ in range(3)]
        told = [process.communicate(timeout=60)[1] for process in processes]
        assert [process.returncode for process in processes] == [0, 0, 0], told


def test_the_first_results_of_two_workers_can_be_kept_at_the_same_time(
    wide: QueueSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide.store.create()
    make = os.makedirs

    def make_after_another(path: str, *args: Any, **more: Any) -> None:
        if path.endswith("/states"):
            make(path, exist_ok=True)  # as the other one does at this moment
        make(path, *args, **more)

    monkeypatch.setattr(os, "makedirs", make_after_another)
    state.remember(wide.store, "one", of_bytes(b"one"))
    assert (wide.root / ".dodo" / "states" / of_bytes(b"one").hex()).read_text() == "one"


DEAF = """\
import os, signal, time
from dodo_exp.engine import signals

class Last:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)

with signals.caught():
    try:
        Last()
        time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        print("lost")
    except signals.Signalled:
        print("heard")
"""
"""Python drops an exception in a finalizer, and in what it does after a fork."""


def test_a_signal_that_python_has_dropped_does_not_shut_out_the_next() -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", DEAF], env=env, capture_output=True, text=True, timeout=20
    )
    assert done.stdout == "heard\n", done.stderr
