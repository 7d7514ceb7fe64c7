"""Experiments: one run in place; shown, compared and applied among many."""

from __future__ import annotations

import itertools
import json
import os
import random
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from dodo_exp.exps.record import load
from dodo_exp.project import Project
from dodo_store import durable, record
from dodo_store.oid import Oid
from dodo_store.pool import Batch
from tests.bench.contest import Contender, Entry, Goal, Ground, Workload, expect, settle, share
from tests.bench.peers import ours
from tests.bench.runner import Took

FAMILY = "experiments"
TRIVIAL = {"a": ("echo ${x} > a", []), "b": ("cp a b", ["a"]), "c": ("cp b c", ["b"])}
"""Three stages, the first of which reads the param."""

MANY = """\
stages:
  train:
    cmd: 'echo "{\\"acc\\": 0.5, \\"loss\\": 0.1}" > m.json'
    deps: [in]
    params: [train]
    metrics: [m.json: {cache: false}]
"""
PARAMS = 50

values = itertools.count()
"""Values of a param that no experiment has had."""


def trivial(folder: Path) -> Path:
    """A project of three stages and one param."""
    folder.mkdir(parents=True)
    lines = ["stages:\n"]
    for name, (command, deps) in TRIVIAL.items():
        lines.append(f"  {name}:\n    cmd: {command}\n    deps: {json.dumps(deps)}\n")
        lines.append(f"    outs: [{name}]\n")
    (folder / "dvc.yaml").write_text("".join(lines))
    (folder / "params.yaml").write_text("x: -1\n")
    return folder


def write_params(folder: Path, first: float = 0.5) -> None:
    """Fifty params, of which the first is given."""
    rows = "".join(f"  p{k:02}: {first if k == 0 else k + 0.5}\n" for k in range(PARAMS))
    (folder / "params.yaml").write_text(f"train:\n{rows}")


def many(folder: Path) -> Path:
    """A project of one stage with fifty params."""
    folder.mkdir(parents=True)
    (folder / "dvc.yaml").write_text(MANY)
    (folder / "in").write_text("x\n")
    write_params(folder)
    return folder


def program(ground: Ground, name: str) -> str:
    """Ours, or the peer's."""
    return ours() if name == "dodo" else ground.peers.program(name)


def for_tool(ground: Ground, name: str, make: Callable[[Path], Path]) -> Path:
    """A project, which for DVC is a Git repository too."""
    tool = program(ground, name)
    folder = make(ground.new(name))
    if name == "dvc":
        git = ground.peers.program("git")
        ground.run([git, "init", "-q"], folder)
        ground.run([tool, "init", "-q"], folder)
        ground.run([tool, "config", "core.check_update", "false"], folder)
        ground.run([git, "add", "-A"], folder)
        ground.run([git, "commit", "-qm", "x"], folder)
    return folder


# -- run -----------------------------------------------------------------------------------


def in_place(name: str) -> Contender:
    """`exp run -S` with another value each time."""

    def enter(ground: Ground, size: int) -> Entry:
        folder = for_tool(ground, name, trivial)
        words = [program(ground, name), "exp", "run", "-S"]
        ground.run([*words, "x=-2"], folder)
        last: list[int] = []

        def measure(number: int) -> Took:
            last[:] = [next(values)]
            return ground.run([*words, f"x={last[0]}"], folder)

        def verify() -> None:
            expect((folder / "c").read_text() == f"{last[0]}\n", "the last stage was not run")

        return Entry(measure, verify=verify)

    return Contender(name, enter)


# -- show, diff, apply ---------------------------------------------------------------------


def fill(folder: Path, count: int) -> None:
    """So many experiments more, ten of whose params vary; by the library, or it takes minutes."""
    rng = random.Random(1)
    project = Project.find(str(folder))
    store = project.write()
    oid = store.experiments.get("one")
    assert oid is not None
    base, made = load(store, oid), []
    with store.writing(), store.scratch() as scratch:
        batch = Batch(scratch)
        for i in range(count):
            params = {f"p{k:02}": rng.random() if k < 10 else k + 0.5 for k in range(PARAMS)}
            one = base._replace(
                name=f"exp-{i:05}",
                created=time.time() - count + i,
                params={"params.yaml": {"data": {"train": params}}},
                metrics={"m.json": {"data": {"acc": rng.random(), "loss": rng.random()}}},
                state=Oid(os.urandom(16)),
            )
            made.append((one.name, store.add_record(batch, record.EXPERIMENT, one._asdict())))
        batch.commit()
        batch.drop()
    durable.set_level("off")
    with store.writing():
        for name, each in made:
            store.experiments.set(name, each)


def filled(ground: Ground, name: str, size: int) -> Path:
    """A project with so many experiments; `one` and `two` are real ones."""

    def make() -> Path:
        folder = for_tool(ground, name, many)
        tool = program(ground, name)
        for number, each in enumerate(("one", "two")):
            write_params(folder, number + 0.25)
            ground.run([tool, "exp", "run", "-n", each], folder)
        if name == "dodo":
            fill(folder, size - 2)
        else:
            for number in range(2, size):
                write_params(folder, number + 0.25)
                ground.run([tool, "exp", "save", "-n", f"exp-{number:05}"], folder)
        settle()
        return folder

    return ground.once(("experiments", name, size), make)


def among(
    name: str,
    words: list[str],
    has: Callable[[str, int], bool],
    most: int = 5000,
) -> Contender:
    """A verb that only looks; *has* says whether what it prints is right."""

    def enter(ground: Ground, size: int) -> Entry:
        folder = filled(ground, name, size)
        each = [program(ground, name), *words]
        said = ground.run.output(each, folder)
        expect(has(said, size), f"not what was asked for:\n{said[-1000:]}")
        return ground.command(each, folder)

    return Contender(name, enter, most, most)


def shows(said: str, size: int) -> bool:
    """One row an experiment."""
    return said.count("exp-") == size - 2 and "two" in said


def differs(said: str, size: int) -> bool:
    """The param in which the two differ, with both values."""
    return "p00" in said and "0.25" in said and "1.25" in said


def apply(name: str) -> Contender:
    """`exp apply` of two experiments in turn."""

    def enter(ground: Ground, size: int) -> Entry:
        folder = filled(ground, name, size)
        words = [program(ground, name), "exp", "apply"]
        write_params(folder, 0.25)
        ground.run([*words, "one"], folder)

        def verify() -> None:
            expect("p00: 1.25" in (folder / "params.yaml").read_text(), "not applied")

        return Entry(
            lambda number: ground.run([*words, ("two", "one")[number % 2]], folder), verify=verify
        )

    return Contender(name, enter, most=100, large=100)


def goals(size: int) -> Iterable[Goal]:
    """What is promised beside DVC."""
    if size == 100:
        yield share("dvc", 1 / 15, "1/15 of DVC")


def show_goals(size: int) -> Iterable[Goal]:
    """And of thousands."""
    yield from goals(size)
    if size == 5000:
        yield Goal("0.5 s", plus=0.5)


DIFF = ["exp", "diff", "one", "two"]
WORKLOADS = (
    Workload(
        FAMILY,
        "exp run -S in place",
        "stages",
        (3,),
        (in_place("dodo"), in_place("dvc")),
        goals=lambda size: (share("dvc", 1 / 15, "1/15 of DVC"),),
    ),
    Workload(
        FAMILY,
        "exp show",
        "experiments",
        (20, 100, 5000),
        (among("dodo", ["exp", "show"], shows), among("dvc", ["exp", "show"], shows, 100)),
        goals=show_goals,
    ),
    Workload(
        FAMILY,
        "exp diff",
        "experiments",
        (20, 100),
        (among("dodo", DIFF, differs), among("dvc", DIFF, differs)),
        goals=goals,
        linear=False,
    ),
    Workload(
        FAMILY,
        "exp apply",
        "experiments",
        (20, 100),
        (apply("dodo"), apply("dvc")),
        goals=goals,
        linear=False,
    ),
)
