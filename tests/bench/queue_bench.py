"""Measure the queue beside DVC's, and its folders beside `cp -r` and `git worktree add`.

Contenders work in turn (A B A B ...) on projects of their own with the same files, on the file
system of --folder. DVC is the program that --dvc names, or the one beside the Python that
DODO_ORACLE names, or the one on PATH; without one its column is empty. A command that does not end
in its time is killed with all that it has started, and counts as `did not end`. CPU is that of a
command and all that it has started, daemons too. Prints medians; "times" is theirs / ours, pair by
pair. Nothing here is asserted: see tests/ for that.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

DODO = [sys.executable, "-m", "dodo_exp"]
CLICK = [sys.executable, "-c", "import click"]
PR_SET_CHILD_SUBREAPER = 36

JOBS = 2
TRIVIAL = {"a": ("echo ${x} > a", []), "b": ("cp a b", ["a"]), "c": ("cp b c", ["b"])}
LARGE = {"a": ("ls data/0 > a; echo ${x} >> a", ["data"])}

BRING = """
import sys, time
from dodo_exp.exps import find
from dodo_exp.exps.temp import Place
from dodo_exp.project import Project
project = Project.find()
node = find.experiment(project.store, sys.argv[1]).base
project.write()
started = time.perf_counter()
Place(project, sys.argv[2]).bring(node)
print(time.perf_counter() - started)
"""


class Took(NamedTuple):
    """Seconds, and CPU seconds of everything that was started."""

    wall: float
    cpu: float


Times = list[Took | None]
"""None for what did not end."""


class Row(NamedTuple):
    """A workload and what it took; `beside` is empty where nobody else was measured."""

    what: str
    ours: Times
    beside: str = ""
    theirs: Times = []  # noqa: RUF012
    goal: str = ""

    def columns(self) -> dict[str, object]:
        """Medians."""
        pairs = [(a, b) for a, b in zip(self.ours, self.theirs, strict=False) if a and b]
        times = statistics.median(b.wall / a.wall for a, b in pairs) if pairs else None
        return {
            "what": self.what,
            "ours_wall": _median(self.ours, 0),
            "ours_cpu": _median(self.ours, 1),
            "n": len(self.ours),
            "beside": self.beside,
            "theirs_wall": _median(self.theirs, 0),
            "theirs_cpu": _median(self.theirs, 1),
            "theirs_n": len(self.theirs),
            "times": None if times is None else round(times, 2),
            "goal": self.goal,
        }


def _median(times: Times, field: int) -> float | str | None:
    if not times:
        return None
    ended = [each[field] for each in times if each is not None]
    return round(statistics.median(ended), 4) if len(ended) * 2 > len(times) else "did not end"


# -- commands ------------------------------------------------------------------------------


def surroundings(folder: Path, dvc: str | None) -> dict[str, str]:
    """The environment of every command: nobody's own settings, and who commits."""
    path = os.environ.get("PATH", os.defpath)
    if dvc is not None:
        path = os.path.dirname(dvc) + os.pathsep + path  # its workers are `dvc` again
    return {
        **{k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"},
        "PATH": path,
        **{f"GIT_{who}_NAME": "x" for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_EMAIL": "x@x" for who in ("AUTHOR", "COMMITTER")},
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(folder / "dvc-site"),
        "DVC_GLOBAL_CONFIG_DIR": str(folder / "dvc-global"),
    }


class Runner:
    """Runs commands and ends what they leave running."""

    def __init__(self, env: dict[str, str]) -> None:
        self._env = env
        # Daemons whose parents end become our children, so that they can be counted and ended.
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)

    def __call__(self, command: list[str], folder: Path, timeout: float = 600) -> Took | None:
        """Time one command; None if it does not end in time.

        Raises:
            CalledProcessError
        """
        before = _used()
        started = time.perf_counter()
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
            try:
                code: int | None = process.wait(timeout)
            except subprocess.TimeoutExpired:
                code = None
            wall = time.perf_counter() - started
            _end_all()
            if code is None:
                process.wait()
                return None
            if code:
                errors.seek(0)
                sys.stderr.write(errors.read().decode(errors="replace")[-3000:])
                raise subprocess.CalledProcessError(code, command)
        return Took(wall, _used() - before)

    def output(self, command: list[str], folder: Path) -> str:
        """What a command prints."""
        options = {"cwd": folder, "env": self._env, "check": True, "text": True}
        return str(subprocess.run(command, capture_output=True, **options).stdout)  # type: ignore[call-overload]


def _used() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _end_all() -> None:
    """End every process below this one; all are children of ours once their parents are gone."""
    for _ in range(100):
        below = _below(os.getpid())
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not below:
            return
        time.sleep(0.05)


def _below(top: int) -> list[int]:
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found, fresh = set[int](), {top}
    while fresh:
        fresh = {pid for pid, parent in parents.items() if parent in fresh} - found
        found |= fresh
    return sorted(found)


def in_turn(count: int, *contenders: Callable[[], Took | None] | None) -> list[Times]:
    """Let contenders run one after the other, *count* times; None is one that is not there."""
    times: list[Times] = [[] for _ in contenders]
    for _ in range(count):
        for each, into in zip(contenders, times, strict=True):
            if each is not None:
                into.append(each())
    return times


# -- projects ------------------------------------------------------------------------------


def lay_out(folder: Path, stages: dict[str, tuple[str, list[str]]]) -> Path:
    """A project whose stages have one output each, and one param."""
    folder.mkdir(parents=True)
    lines = ["stages:\n"]
    for name, (command, deps) in stages.items():
        lines.append(f"  {name}:\n    cmd: {command}\n    deps: {json.dumps(deps)}\n")
        lines.append(f"    outs: [{name}]\n")
    (folder / "dvc.yaml").write_text("".join(lines))
    (folder / "params.yaml").write_text("x: -1\n")
    return folder


def commit(run: Runner, folder: Path) -> None:
    """Make a folder a Git repository."""
    run(["git", "init", "-q"], folder)
    run(["git", "add", "-A"], folder)
    run(["git", "commit", "-qm", "x"], folder)


def for_dvc(run: Runner, dvc: str, folder: Path) -> Path:
    """Make a project one of DVC's."""
    run(["git", "init", "-q"], folder)
    run([dvc, "init", "-q"], folder)
    run([dvc, "config", "core.check_update", "false"], folder)
    commit(run, folder)
    return folder


class Bench:
    """The workloads; each returns rows."""

    def __init__(self, run: Runner, base: Path, dvc: str | None, runs: int, slow_runs: int) -> None:
        self._run = run
        self._base = base
        self._dvc = dvc
        self._runs = runs
        self._slow_runs = slow_runs
        self._made = 0

    def _ours(self) -> Path:
        self._made += 1
        return lay_out(self._base / f"ours{self._made}", TRIVIAL)

    def _theirs(self) -> Path | None:
        if self._dvc is None:
            return None
        self._made += 1
        folder = lay_out(self._base / f"theirs{self._made}", TRIVIAL)
        return for_dvc(self._run, self._dvc, folder)

    def queue_one(self) -> Iterable[Row]:
        """`exp run --queue -S x=N`"""
        ours, theirs = self._ours(), self._theirs()
        numbers = iter(range(10_000))

        def queue(command: list[str], folder: Path) -> Callable[[], Took | None]:
            words = [*command, "exp", "run", "--queue", "-S"]
            return lambda: self._run([*words, f"x={next(numbers)}"], folder)

        mine = queue(DODO, ours)
        other = queue([self._dvc], theirs) if self._dvc and theirs else None
        in_turn(1, mine, other)
        times = in_turn(self._runs, mine, other, lambda: self._run(CLICK, ours))
        yield Row("queue one", times[0], "DVC", times[1], "20 times")
        yield Row("queue one", times[0], "Python that imports click", times[2])

    def run_all(self) -> Iterable[Row]:
        """`exp run --run-all` of 20, and what each costs beside its commands."""
        count = 20

        def ours() -> Took | None:
            folder = self._ours()
            sweep = f"x=range({count})"
            self._run([*DODO, "exp", "run", "-q", "--queue", "-S", sweep], folder)
            took = self._run([*DODO, "exp", "run", "--run-all", "--jobs", str(JOBS)], folder)
            found = json.loads(self._run.output([*DODO, "queue", "status", "--json"], folder))
            assert [each["state"] for each in found["experiments"]] == ["success"] * count
            return took

        def shells() -> Took | None:
            """The same commands by as many loops as there are workers."""
            folder = self._ours()
            shell = os.environ.get("SHELL") or "/bin/sh"
            words = f"{shell} --noprofile --norc" if shell.endswith("bash") else shell
            each = "; ".join(
                f"{words} -c '{command.replace('${x}', '1')}'" for command, _ in TRIVIAL.values()
            )
            loop = f"for i in $(seq {count // JOBS}); do {each}; done"
            loops = " ".join(f"(mkdir {n}; cd {n}; {loop}) &" for n in range(JOBS))
            return self._run(["sh", "-c", f"{loops} wait"], folder)

        def theirs() -> Took | None:
            folder = self._theirs()
            assert folder is not None
            assert self._dvc is not None
            for start in range(0, count, 10):
                sweep = f"x=range({start},{start + 10})"
                self._run([self._dvc, "exp", "run", "-q", "--queue", "-S", sweep], folder)
            words = [self._dvc, "exp", "run", "--run-all", "--jobs", str(JOBS)]
            took = self._run(words, folder, timeout=240)
            names = self._run.output([self._dvc, "exp", "list", "--name-only"], folder).split()
            print(f"run-all by DVC: {took}, {len(names)} kept", file=sys.stderr)
            return took if len(names) >= count else None

        ours()
        mine, bare = in_turn(self._runs, ours, shells)
        what = f"run-all of {count}, {JOBS} at a time"
        yield Row(what, mine, "the same commands by bare shells", bare)
        own: Times = [
            Took((a.wall - b.wall) * JOBS / count, (a.cpu - b.cpu) / count)
            for a, b in zip(mine, bare, strict=True)
            if a and b
        ]
        yield Row("... our own cost per experiment", own, goal="under 0.150 s")
        if self._dvc:
            beside, other = in_turn(self._slow_runs, ours, theirs)
            yield Row(what, beside, "DVC", other, "20 times")

    def sweep_and_status(self) -> Iterable[Row]:
        """A sweep of 100 in one command; `queue status` of those, and of 1,000."""
        names = iter(range(10_000))

        def ours() -> Took | None:
            folder = self._ours().rename(self._base / f"sweep{next(names)}")
            words = [*DODO, "exp", "run", "--queue", "-S", "x=range(100)"]
            return self._run(words, folder)

        mine = in_turn(self._runs, ours)[0]
        theirs = self._theirs()
        other: Times = []
        if theirs and self._dvc:
            words = [self._dvc, "exp", "run", "--queue", "-S", "x=range(100)"]
            other = [self._run(words, theirs, timeout=200)]
        yield Row("sweep of 100", mine, "DVC", other)

        large = self._ours()
        self._run([*DODO, "exp", "run", "-q", "--queue", "-S", "x=range(1000)"], large)

        def status(folder: Path) -> Callable[[], Took | None]:
            return lambda: self._run([*DODO, "queue", "status"], folder)

        def dvc_status() -> Took | None:
            assert self._dvc is not None
            assert theirs is not None
            return self._run([self._dvc, "queue", "status"], theirs)

        there = dvc_status if theirs and other[0] else None
        small = status(self._base / "sweep0")
        in_turn(1, status(large), small, there)
        bare = lambda: self._run(CLICK, large)  # noqa: E731
        times = in_turn(self._runs, status(large), small, there, bare)
        yield Row("queue status, 1,000 entries", times[0], "DVC, 100 entries", times[2], "20 times")
        yield Row("queue status, 100 entries", times[1], "DVC, 100 entries", times[2])
        what = "queue status, 1,000 entries"
        yield Row(what, times[0], "Python that imports click", times[3])

    def temp(self) -> Iterable[Row]:
        """`exp run --temp` of 10,000 files, and the part of it that makes the folder."""
        source = lay_out(self._base / "large", LARGE)
        grow(source / "data", 10_000, 10_240)
        repository = self._base / "repository"
        shutil.copytree(source, repository)
        commit(self._run, repository)
        projects = [self._base / f"temp{number}" for number in range(3)]
        first: Times = []
        for folder in projects:
            shutil.copytree(source, folder)
            os.sync()
            time.sleep(0.2)
            first.append(self._run([*DODO, "exp", "run", "--temp", "-n", "first"], folder))
        there = self._temp_of_dvc(source)
        yield Row("exp run --temp of 10,000 files, first", first, "DVC", there[:1])
        folder = projects[0]
        self._run([*DODO, "exp", "run", "--temp", "-n", "same", "-S", "x=1"], folder)
        again: Times = []
        for number in range(self._runs):
            with (folder / "data/0/7").open("a") as file:
                file.write(f"{number}\n")
            time.sleep(0.1)
            name = f"changed{number}"
            again.append(self._run([*DODO, "exp", "run", "--temp", "-n", name], folder))
        yield Row("... again, one file changed", again, "DVC", there[1:])
        yield from self._bring(folder, source, repository)

    def _temp_of_dvc(self, source: Path) -> Times:
        if self._dvc is None:
            return []
        folder = self._base / "large-dvc"
        shutil.copytree(source, folder)
        for_dvc(self._run, self._dvc, folder)
        words = [self._dvc, "exp", "run", "--temp"]
        os.sync()
        times = [self._run(words, folder, timeout=200)]
        with (folder / "data/0/7").open("a") as file:
            file.write("more\n")
        return [*times, self._run(words, folder, timeout=200)] if times[0] else times

    def _bring(self, project: Path, source: Path, repository: Path) -> Iterable[Row]:
        """A folder made from the store, made again, and made one that differs in one file."""

        def bring(name: str, place: Path) -> Took:
            os.sync()
            before = _used()
            words = [sys.executable, "-c", BRING, name, str(place)]
            wall = float(self._run.output(words, project))
            return Took(wall, _used() - before)

        def timed(command: list[str], folder: Path) -> Took | None:
            os.sync()
            return self._run(command, folder)

        found: dict[str, Times] = {}
        for number in range(self._runs):
            place = self._base / f"place{number}"
            copy, tree = self._base / f"copy{number}", self._base / f"tree{number}"
            each: dict[str, Took | None] = {
                "first": bring("changed0", place),
                "cp -r": timed(["cp", "-r", str(source), str(copy)], self._base),
                "git worktree add": timed(
                    ["git", "worktree", "add", "--detach", str(tree)], repository
                ),
                "unchanged": bring("changed0", place),
                "one": bring("changed1", place),
            }
            for name, took in each.items():
                found.setdefault(name, []).append(took)
        copied, added = found["cp -r"], found["git worktree add"]
        what, goal = "folder of 10,000 files, ", "1/10 of it"
        yield Row(f"{what}first", found["first"], "cp -r", copied, "ahead")
        yield Row(f"{what}first", found["first"], "git worktree add", added, "ahead")
        for name, words in (("unchanged", "nothing changed"), ("one", "one file changed")):
            yield Row(f"{what}{words}", found[name], "the first time", found["first"], goal)
            yield Row(f"{what}{words}", found[name], "cp -r", copied, goal)


def grow(folder: Path, files: int, size: int) -> None:
    """A tree of random files, a thousand in a folder."""
    for number in range(files):
        here = folder / str(number // 1000)
        here.mkdir(parents=True, exist_ok=True)
        (here / str(number)).write_bytes(os.urandom(size))


# -- the command ---------------------------------------------------------------------------


def find_dvc(given: str | None) -> str | None:
    """The program, if there is one."""
    if given is None and "DODO_ORACLE" in os.environ:
        given = str(Path(os.environ["DODO_ORACLE"]).with_name("dvc"))
    found = shutil.which(given or "dvc")
    return None if found is None else os.path.abspath(found)


def shown(value: object) -> str:
    """A cell of the table."""
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def main() -> None:
    """Run the workloads and print them as a table, or as JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dvc", help="the program; without one DVC is left out")
    parser.add_argument("--folder", help="where to work; the default is the temporary folder")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--slow-runs", type=int, default=1, help="of what takes DVC minutes")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", action="append", choices=["queue", "run", "sweep", "temp"])
    given = parser.parse_args()
    columns = list(Row("", []).columns())
    if not given.json:
        heads = "what | ours, wall s | CPU s | n | beside | wall s | CPU s | n | times | goal"
        print(f"| {heads} |\n|---|---:|---:|---:|---|---:|---:|---:|---:|---|", flush=True)
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        base = Path(name).resolve()
        dvc = find_dvc(given.dvc)
        run = Runner(surroundings(base, dvc))
        bench = Bench(run, base, dvc, given.runs, given.slow_runs)
        workloads = {
            "queue": bench.queue_one,
            "run": bench.run_all,
            "sweep": bench.sweep_and_status,
            "temp": bench.temp,
        }
        for key, workload in workloads.items():
            for row in workload() if not given.only or key in given.only else ():
                cells = row.columns()
                if given.json:
                    print(json.dumps(cells), flush=True)
                else:
                    print(f"| {' | '.join(shown(cells[c]) for c in columns)} |", flush=True)


if __name__ == "__main__":
    main()
