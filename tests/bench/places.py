"""The folder that an experiment of the queue runs in, made from what is kept."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from dodo_exp.project import PROJECT
from tests.bench.contest import Contender, Entry, Goal, Ground, Workload, expect, settle, share
from tests.bench.peers import ours
from tests.bench.runner import Took
from tests.bench.trees import grow

FAMILY = "places"
FIRST = "folder of an experiment, first"
NEXT = "folder of an experiment, one file changed"
BYTES = 10_240
SIZES = (1000, 10_000)

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
with open(sys.argv[3], "w") as file:
    file.write(repr(time.perf_counter() - started))
"""
"""The part of a worker that makes the folder; what it takes is written by itself, as a worker has
started long before. CPU and memory are those of the whole process."""


def project(ground: Ground, size: int) -> Path:
    """A project with two experiments that differ in one file of many."""

    def make() -> Path:
        folder = ground.new("project")
        grow(folder / "data", size, BYTES)
        stage = "a: {cmd: ls data/0 > a, deps: [data], outs: [a]}"
        (folder / "dvc.yaml").write_text(f"stages:\n  {stage}\n")
        for name in ("odd", "even"):
            with (folder / "data/0/7").open("a") as file:
                file.write(f"{name}\n")
            settle()
            ground.run([ours(), "exp", "run", "--temp", "-n", name], folder)
        return folder

    return ground.once(("project", size), make)


def bring(ground: Ground, size: int, name: str, into: Path) -> Took:
    """Make the folder."""
    out = ground.folder / "seconds"
    words = [sys.executable, "-c", BRING, name, str(into), str(out)]
    took = ground.run(words, project(ground, size))
    return took._replace(wall=float(out.read_text()))


def first(ground: Ground, size: int) -> Entry:
    """A folder that was not there."""
    project(ground, size)
    into = ground.new("place")

    def before(number: int) -> None:
        _put_away(ground, into)

    def verify() -> None:
        found = _files(into / PROJECT / "data")
        expect(found == size, f"{found} files in {into}")

    return Entry(lambda number: bring(ground, size, "odd", into), before, verify)


def following(ground: Ground, size: int) -> Entry:
    """The folder of an experiment before, of which one file is another one."""
    project(ground, size)
    into = ground.new("place")
    bring(ground, size, "odd", into)

    def measure(number: int) -> Took:
        return bring(ground, size, ("even", "odd")[number % 2], into)

    def verify() -> None:
        found = (into / PROJECT / "data/0/7").read_bytes()
        expect(found.endswith(b"even\n"), "the file is the old one")

    return Entry(measure, lambda number: settle(), verify)


def copy(ground: Ground, size: int) -> Entry:
    """`cp -r`."""
    source, into = project(ground, size), ground.new("copy")
    words = [ground.peers.program("cp"), "-r", "data", str(into)]
    return ground.command(
        words,
        source,
        before=lambda number: _put_away(ground, into),
        verify=lambda: expect(_files(into) == size, "not all copied"),
    )


def worktree(ground: Ground, size: int) -> Entry:
    """`git worktree add`."""
    git, into = ground.peers.program("git"), ground.new("worktree")

    def make() -> Path:
        repository = ground.new("repository")
        shutil.copytree(project(ground, size) / "data", repository / "data")
        ground.run([git, "init", "-q"], repository)
        ground.run([git, "add", "-A"], repository)
        ground.run([git, "commit", "-qm", "x"], repository)
        return repository

    repository = ground.once(("repository", size), make)

    def before(number: int) -> None:
        _put_away(ground, into)
        ground.run([git, "worktree", "prune"], repository)
        settle()

    return ground.command(
        [git, "worktree", "add", "--detach", str(into)],
        repository,
        before=before,
        verify=lambda: expect(_files(into / "data") == size, "not all there"),
    )


def _put_away(ground: Ground, folder: Path) -> None:
    ground.put_away(folder)
    settle()


def _files(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


def first_goals(size: int) -> Iterable[Goal]:
    """Ahead of both."""
    if size < SIZES[-1]:
        return
    yield share("cp -r", 1, "ahead of cp -r")
    yield share("git worktree add", 1, "ahead of git worktree add")


def next_goals(size: int) -> Iterable[Goal]:
    """Only what differs is made."""
    if size < SIZES[-1]:
        return
    yield share("cp -r", 1 / 10, "1/10 of cp -r")
    yield share("git worktree add", 1 / 10, "1/10 of git worktree add")


PEERS = (Contender("cp -r", copy), Contender("git worktree add", worktree))
WORKLOADS = (
    Workload(FAMILY, FIRST, "files", SIZES, (Contender("dodo", first), *PEERS), goals=first_goals),
    Workload(
        FAMILY, NEXT, "files", SIZES, (Contender("dodo", following), *PEERS), goals=next_goals
    ),
)
