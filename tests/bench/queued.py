"""The queue: one more experiment, a sweep, running them all, and looking at many."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.bench.contest import Contender, Entry, Goal, Ground, Workload, expect, share
from tests.bench.experiments import for_tool, program, trivial, values
from tests.bench.peers import ours
from tests.bench.runner import Took

FAMILY = "queue"
JOBS = 2
LONG = 600.0
"""Seconds that a peer may take for many experiments."""


def waiting(ground: Ground, name: str, folder: Path) -> int:
    """How many experiments wait."""
    if name == "dodo":
        found = json.loads(ground.run.output([ours(), "queue", "status", "--json"], folder))
        return sum(each["state"] == "queued" for each in found["experiments"])
    words = [program(ground, name), "queue", "status"]
    return ground.run.output(words, folder).count("Queued")


def one(name: str) -> Contender:
    """`exp run --queue -S`, with another value each time."""

    def enter(ground: Ground, size: int) -> Entry:
        folder = for_tool(ground, name, trivial)
        words = [program(ground, name), "exp", "run", "--queue", "-S"]
        ground.run([*words, "x=-2"], folder)

        def verify() -> None:
            expect(waiting(ground, name, folder) == 2, "not queued")

        return Entry(lambda number: ground.run([*words, f"x={next(values)}"], folder), _no, verify)

    return Contender(name, enter)


def _no(number: int) -> None:
    """Nothing before a round."""


def sweep(name: str) -> Contender:
    """Many experiments by one command, in a project of its own each time."""

    def enter(ground: Ground, size: int) -> Entry:
        tool = program(ground, name)
        folders: list[Path] = []

        def measure(number: int) -> Took:
            words = [tool, "exp", "run", "--queue", "-S", f"x=range(0,{size})"]
            return ground.run(words, folders[-1], timeout=LONG)

        return Entry(
            measure,
            before=lambda number: folders.append(for_tool(ground, name, trivial)),
            verify=lambda: expect(waiting(ground, name, folders[-1]) == size, "not all queued"),
        )

    slow = name == "dvc"
    return Contender(
        name, enter, 0 if slow else 1000, 100 if slow else 1000, slow, 2 if slow else None
    )


def run_all(name: str) -> Contender:
    """Everything that waits, two at a time."""

    def enter(ground: Ground, size: int) -> Entry:
        tool = program(ground, name)
        folders: list[Path] = []

        def before(number: int) -> None:
            folders.append(for_tool(ground, name, trivial))
            words = [tool, "exp", "run", "--queue", "-S", f"x=range(0,{size})"]
            ground.run(words, folders[-1], timeout=LONG)

        def measure(number: int) -> Took:
            words = [tool, "exp", "run", "--run-all", "--jobs", str(JOBS)]
            return ground.run(words, folders[-1], timeout=LONG)

        def verify() -> None:
            names = ground.run.output([tool, "exp", "list", "--name-only"], folders[-1]).split()
            expect(len(names) >= size, f"{len(names)} experiments kept of {size}")

        return Entry(measure, before, verify)

    return Contender(name, enter, slow=name == "dvc", rounds=1 if name == "dvc" else None)


def shells(ground: Ground, size: int) -> Entry:
    """The commands of all these experiments by as many loops as there are workers."""
    each = "; ".join(f"/bin/sh -c '{command}'" for command in ("echo 1 > a", "cp a b", "cp b c"))
    loop = f"for i in $(seq {size // JOBS}); do {each}; done"
    loops = " ".join(f"(mkdir {n}; cd {n}; {loop}) &" for n in range(JOBS))
    folders: list[Path] = []

    def before(number: int) -> None:
        folders.append(ground.new("shells"))
        folders[-1].mkdir()

    return Entry(
        lambda number: ground.run(["/bin/sh", "-c", f"{loops} wait"], folders[-1]),
        before,
        lambda: expect((folders[-1] / "1" / "c").exists(), "the last command was not run"),
    )


def status(ground: Ground, size: int) -> Entry:
    """`queue status` with many."""
    folder = for_tool(ground, "dodo", trivial)
    ground.run([ours(), "exp", "run", "-q", "--queue", "-S", f"x=range(0,{size})"], folder)
    expect(waiting(ground, "dodo", folder) == size, "not all queued")
    return ground.command([ours(), "queue", "status"], folder)


def click(ground: Ground, size: int) -> Entry:
    """Python that imports click."""
    return ground.command([sys.executable, "-c", "import click"], ground.folder)


def goals(size: int) -> Iterable[Goal]:
    """What is promised beside DVC."""
    yield share("dvc", 1 / 20, "1/20 of DVC")


WORKLOADS = (
    Workload(FAMILY, "queue one", "", (1,), (one("dodo"), one("dvc")), goals=goals),
    Workload(
        FAMILY,
        "sweep",
        "experiments",
        (100, 1000),
        (sweep("dodo"), sweep("dvc")),
        goals=lambda size: goals(size) if size == 100 else (),
    ),
    Workload(
        FAMILY,
        f"run all, {JOBS} at a time",
        "experiments",
        (20,),
        (run_all("dodo"), Contender("shells", shells), run_all("dvc")),
        goals=goals,
    ),
    Workload(
        FAMILY,
        "queue status",
        "experiments",
        (100, 1000),
        (Contender("dodo", status), Contender("import click", click)),
    ),
)
