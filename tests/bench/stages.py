"""Pipelines in which nothing is to be done, or one stage, or all of them."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import msgpack

from tests.bench import pipelines
from tests.bench.contest import (
    Contender,
    Entry,
    Goal,
    Ground,
    Term,
    Workload,
    expect,
    settle,
    share,
)
from tests.bench.peers import ours
from tests.bench.pipelines import LEAF, TOOLS

FAMILY = "stages"
NOTHING = "nothing to do, repro"
LEAF_CHANGED = "one leaf changed"
SIZES = (10, 100, 1000, 10_000)
FLOOR = """\
import os, sys, msgpack
with open(sys.argv[1], "rb") as file:
    known = msgpack.unpackb(file.read())
for path, *stamp in known:
    found = os.stat(path)
    if [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino] != stamp:
        sys.exit(path + " has changed")
"""


# -- nothing to do -------------------------------------------------------------------------


def idle(name: str, most: int = sys.maxsize, large: int = sys.maxsize) -> Contender:
    """A tool that looks whether there is something to do."""

    def enter(ground: Ground, size: int) -> Entry:
        folder = pipelines.up_to_date(ground, TOOLS[name], size)
        return ground.command(TOOLS[name].command(ground), folder)

    return Contender(name, enter, most, large)


def floor(ground: Ground, size: int) -> Entry:
    """A Python that reads one file with every stamp, and looks at the files."""
    folder = pipelines.up_to_date(ground, TOOLS["dodo"], size)
    every = [*pipelines.inputs(size), *(copy.out for copy in pipelines.copies(size))]
    known = []
    for path in every:
        found = os.stat(folder / path)
        known.append([path, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino])
    stamps = ground.new("stamps")
    stamps.write_bytes(msgpack.packb(known))
    return ground.command([sys.executable, "-c", FLOOR, str(stamps)], folder)


def exp_run(name: str) -> Contender:
    """`exp run` of what is up to date."""

    def enter(ground: Ground, size: int) -> Entry:
        folder = pipelines.up_to_date(ground, TOOLS[name], size)
        words = [ours() if name == "dodo" else ground.peers.program(name), "exp", "run"]
        said = ground.run.output(words, folder)
        expect("> cp" not in said and "Running stage" not in said, f"something was run:\n{said}")
        return ground.command(words, folder)

    return Contender(name, enter, most=sys.maxsize if name == "dodo" else 100, large=1000)


def nothing_goals(size: int) -> Iterable[Goal]:
    """What is promised of a look."""
    if size == 10:
        yield share("dvc", 1 / 20, "1/20 of DVC")
    if size == 1000:
        yield share("dvc", 1 / 50, "1/50 of DVC")
    if size == 10_000:
        yield share("floor", 1.5, "1.5 x the floor")
        yield Goal("80 MiB", plus=80, field="peak")


def exp_run_goals(size: int) -> Iterable[Goal]:
    """What is promised where DVC looks as well."""
    if size == 10:
        yield share("dvc", 1 / 20, "1/20 of DVC")


# -- one leaf ------------------------------------------------------------------------------

_contents = itertools.count()


def leaf(name: str, most: int = sys.maxsize) -> Contender:
    """A tool that has to run the one stage whose input is another one each time."""

    def enter(ground: Ground, size: int) -> Entry:
        folder = pipelines.up_to_date(ground, TOOLS[name], size)

        def before(number: int) -> None:
            (folder / LEAF.dep).write_text(f"other {next(_contents)}\n")
            settle()

        def verify() -> None:
            expect(
                (folder / LEAF.out).read_text() == (folder / LEAF.dep).read_text(), "leaf not run"
            )

        return ground.command(TOOLS[name].command(ground), folder, before=before, verify=verify)

    return Contender(name, enter, most, most)


def leaf_goals(size: int) -> Iterable[Goal]:
    """A look, and one stage: what that takes is told by the smallest pipeline."""
    if size == 10_000:
        terms = (
            Term(1, "dodo", NOTHING, 10_000),
            Term(1, "dodo", LEAF_CHANGED, 10),
            Term(-1, "dodo", NOTHING, 10),
        )
        yield Goal("nothing to do + one stage + 50 ms", terms, plus=0.05)


# -- first run -----------------------------------------------------------------------------


def first(name: str, jobs: int, most: int = 1000, large: int = 1000) -> Contender:
    """A tool that has to run every stage."""
    tool = TOOLS[name]

    def enter(ground: Ground, size: int) -> Entry:
        tool.command(ground)
        folder: Path = ground.once(("first", name), lambda: pipelines.lay_out(ground, tool, size))

        def before(number: int) -> None:
            pipelines.clean(folder, tool, size)
            settle()

        return ground.command(
            tool.command(ground, jobs if name != "dvc" else None),
            folder,
            before=before,
            verify=lambda: pipelines.has_run(folder, size),
        )

    return Contender(name, enter, most, large)


def first_goals(workload: str, size: int) -> Iterable[Goal]:
    """Little beyond make, and as much for each stage of many as of few."""
    if size in (100, 1000):
        yield Goal("1.3 x make + 3 ms a stage", (Term(1.3, "make"),), plus=0.003 * size)
    if size == 1000:
        terms = (Term(1.2 * 1000 / 100, "dodo", workload, 100),)
        yield Goal("a stage 1.2 x as of 100 stages", terms)


def _first_run(jobs: int) -> Workload:
    name = f"first run, -j {jobs}"
    contenders = [
        first("dodo", jobs, large=10_000),
        first("make", jobs, large=10_000),
        first("ninja", jobs, large=10_000),
        first("doit", jobs),
        first("snakemake", jobs, 100, 100),
    ]
    if jobs == 1:
        contenders.append(first("dvc", jobs, 100, 100))
    return Workload(
        FAMILY,
        name,
        "stages",
        (10, 100, 1000),
        tuple(contenders),
        large=(10_000,),
        goals=lambda size: first_goals(name, size),
    )


WORKLOADS = (
    Workload(
        FAMILY,
        NOTHING,
        "stages",
        SIZES,
        (
            idle("dodo"),
            Contender("floor", floor),
            idle("make"),
            idle("ninja"),
            idle("doit"),
            idle("snakemake", 100, 1000),
            idle("dvc", 1000),
        ),
        goals=nothing_goals,
    ),
    Workload(
        FAMILY,
        "nothing to do, exp run",
        "stages",
        SIZES,
        (exp_run("dodo"), exp_run("dvc")),
        goals=exp_run_goals,
    ),
    Workload(
        FAMILY,
        LEAF_CHANGED,
        "stages",
        SIZES,
        (leaf("dodo"), leaf("make"), leaf("ninja"), leaf("doit"), leaf("dvc", 100)),
        goals=leaf_goals,
    ),
    _first_run(1),
    _first_run(2),
)
