"""What each command may import: every module here costs every user at every call."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.space import Space

HEAVY = {
    "click", "inspect",
    "asyncio", "doit", "filelock", "logging", "multiprocessing", "pathlib", "shutil", "socket",
    "sqlite3", "subprocess", "tempfile", "tomllib", "urllib", "yaml",
}  # fmt: skip
"""Modules that cost a millisecond or more and that a command has to earn."""

SHOW_MODULES = """\
import sys
from dodo_exp.cli import main
code = main.run({args!r})
sys.stdout.flush()
print(code, *sorted(name for name in sys.modules if "." not in name), file=sys.stderr)
"""


LIGHT = {"enum", "json", "re", "signal", "typing"}
"""Modules of a millisecond that reading what is kept does not need."""


def loaded(space: Space, *args: str) -> set[str]:
    """Modules that `dodo ARGS` has imported when it is done."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", SHOW_MODULES.format(args=list(args))],
        cwd=space.root,
        env=space.env,
        capture_output=True,
        text=True,
        check=True,
    )
    code, *names = done.stderr.splitlines()[-1].split()
    assert code == "0", done.stderr
    return set(names)


def heavy(space: Space, *args: str) -> set[str]:
    """The heavy ones of them."""
    return HEAVY & loaded(space, *args)


@pytest.fixture
def settled(project: Space) -> Space:
    """An up-to-date project whose files' stamps are old enough to be trusted."""
    import time

    project.exp()
    time.sleep(0.06)
    project.exp()
    return project


@pytest.mark.parametrize(
    "args, allowed",
    [
        (["--version"], set()),
        (["--help"], {"click", "inspect", "shutil"}),
        (["exp", "--help"], {"click", "inspect", "shutil"}),
        (["exp", "run"], set()),
        (["exp", "run", "--dry"], set()),
        (["exp", "show"], set()),
        (["exp", "logs"], set()),
        (["queue", "status"], set()),
        (["repro"], set()),
        (["status"], set()),
        (["why", "train"], set()),
        (["dag"], set()),
        (["stage", "list"], set()),
        (["init"], set()),
        (["store", "check"], set()),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_with_nothing_to_do_imports_nothing_heavy(
    settled: Space, args: list[str], allowed: set[str]
) -> None:
    assert heavy(settled, *args) <= allowed


@pytest.mark.parametrize(
    "args",
    [
        ["--version"],
        ["exp", "diff", "one", "two"],
        ["exp", "list"],
        ["store", "ls"],
    ],
    ids=" ".join,
)
def test_what_looks_at_experiments_loads_little_of_python(settled: Space, args: list[str]) -> None:
    settled.dodo("exp", "run", "-n", "one", "-S", "train.lr=0.5")
    settled.dodo("exp", "run", "-n", "two", "-S", "train.lr=0.6")
    assert not loaded(settled, *args) & (HEAVY | LIGHT)


def test_a_changed_dvc_yaml_costs_yaml_and_no_more(settled: Space) -> None:
    settled.write("dvc.yaml", settled.read("dvc.yaml") + "# a comment\n")
    assert heavy(settled, "status") == {"yaml"}


def test_help_of_the_whole_imports_no_verb(space: Space) -> None:
    code = (
        "import sys; from dodo_exp.cli import main; main.run(['--help']);"
        " print(*[m for m in sys.modules if m.startswith('dodo_exp.cli.')], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    )
    loaded = {name.removeprefix("dodo_exp.cli.") for name in done.stderr.split()}
    assert loaded == {"main", "verbs", "grammar", "declare"}
