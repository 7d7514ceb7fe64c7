"""How long it takes until anything happens."""

from __future__ import annotations

import sys

from tests.bench.contest import Contender, Entry, Ground, Workload, expect, share
from tests.bench.peers import ours

CLICK = "import click"
GOAL = share(CLICK, 1.3, "1.3 x Python that imports click")
COMPLETE = {
    "_DODO_COMPLETE": "bash_complete",
    "COMP_WORDS": "dodo exp r",
    "COMP_CWORD": "2",
}


def dodo(*words: str) -> Contender:
    """Ours, with these arguments."""

    def enter(ground: Ground, size: int) -> Entry:
        expect(bool(ground.run.output([ours(), *words], ground.folder).strip()), "nothing printed")
        return ground.command([ours(), *words], ground.folder)

    return Contender("dodo", enter)


def python(name: str, code: str) -> Contender:
    """The Python that runs ours, with this code."""
    return Contender(
        name, lambda ground, size: ground.command([sys.executable, "-c", code], ground.folder)
    )


def version(name: str) -> Contender:
    """A peer's `--version`."""

    def enter(ground: Ground, size: int) -> Entry:
        return ground.command([ground.peers.program(name), "--version"], ground.folder)

    return Contender(name, enter)


def complete(ground: Ground, size: int) -> Entry:
    """What click's shell completion asks for at every press of the tab key."""
    words = ["env", *(f"{k}={v}" for k, v in COMPLETE.items()), ours()]
    said = ground.run.output(words, ground.folder)
    expect("plain,run" in said, f"not completed: {said}")
    return ground.command([ours()], ground.folder, env=COMPLETE)


BARE = (python(CLICK, "import click"), python("python", "pass"))
PEERS = tuple(version(name) for name in ("dvc", "snakemake", "doit"))


def _workload(name: str, *contenders: Contender) -> Workload:
    return Workload("startup", name, "", (1,), contenders, goals=lambda size: (GOAL,))


WORKLOADS = (
    _workload("--version", dodo("--version"), *BARE, *PEERS),
    _workload("--help", dodo("--help"), *BARE),
    _workload("completion", Contender("dodo", complete), *BARE),
)
