"""Space: a folder of its own in which a test runs the real command."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from dodo_exp.exps import roots
from dodo_exp.project import Project
from dodo_store.check import Report, check
from dodo_store.store import Store

THREE_STAGES = """\
stages:
  prepare:
    cmd: cat raw.txt > data.txt && echo prepare >> ../runs.log
    deps: [raw.txt]
    outs: [data.txt]
  train:
    cmd: cat data.txt params.yaml > model.txt && echo train >> ../runs.log
    deps: [data.txt]
    params: [train.lr]
    outs: [model.txt]
  evaluate:
    cmd: >-
      echo "{\\"size\\": $(wc -c < model.txt)}" > metrics.json && echo evaluate >> ../runs.log
    deps: [model.txt]
    metrics: [metrics.json: {cache: false}]
"""
"""prepare -> train -> evaluate; each run leaves a line in runs.log, outside the project."""

PARAMS = """\
# What the model learns with.
train:
  lr: 0.1  # rate
  layers: [64, 32]
seed: 7
"""


def told(error: BaseException) -> str:
    """An error's message without the column, which other tests are about."""
    return re.sub(r"^(\S+?:\d+):\d+: ", r"\1: ", str(error))


INITIALIZED = re.compile(r"^Initialized project in (.+)\n", re.MULTILINE)


class Ran(NamedTuple):
    """How a command ended and what it printed.

    The line about a new project is not in `err`: `root` is what it says, "" without one.
    """

    code: int
    out: str
    err: str
    root: str = ""

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)

    @property
    def stages(self) -> dict[str, str]:
        """What became of each stage, from the JSON of a run."""
        return {stage["stage"]: stage["how"] for stage in self.json["stages"]}


OWN = ("PYTHON", "DODO", "DVC", "XDG")
"""Beginnings of variables that say something to the commands under test."""


class Space:
    """A project folder. `eject` keeps it for a look after the test."""

    def __init__(self, folder: Path) -> None:
        self.base = folder
        self.root = folder / "project"
        self.root.mkdir()
        (folder / "home").mkdir()
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith(OWN)},
            "HOME": str(folder / "home"),
            "NO_COLOR": "1",
            "LC_ALL": "C.UTF-8",
            "SHELL": "/bin/sh",
        }
        self.env.pop("COLUMNS", None)

    # -- files -----------------------------------------------------------------------------

    def write(self, path: str, text: str) -> None:
        """Write a file of the project, with its folders."""
        full = self.root / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_text(textwrap.dedent(text))

    def read(self, path: str) -> str:
        """The text of a file of the project."""
        return (self.root / path).read_text()

    def exists(self, path: str) -> bool:
        """Whether there is such a file or folder."""
        return (self.root / path).exists()

    def remove(self, path: str) -> None:
        """Remove a file of the project."""
        (self.root / path).unlink()

    def three_stages(self) -> None:
        """The project that most tests use."""
        self.write("dvc.yaml", THREE_STAGES)
        self.write("params.yaml", PARAMS)
        self.write("raw.txt", "raw\n")

    @property
    def runs(self) -> list[str]:
        """Which stages' commands have run so far, in order."""
        log = self.base / "runs.log"
        return log.read_text().split() if log.exists() else []

    def forget_runs(self) -> None:
        """Start counting runs anew."""
        (self.base / "runs.log").unlink(missing_ok=True)

    def tree(self) -> dict[str, bytes]:
        """Every file of the project but the store's, with its bytes."""
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and ".dodo" not in path.relative_to(self.root).parts
        }

    # -- commands --------------------------------------------------------------------------

    def start(
        self, *args: str, cwd: str = ".", env: Mapping[str, str] | None = None, **more: Any
    ) -> subprocess.Popen[str]:
        """Begin `dodo ARGS` and do not wait for it."""
        return subprocess.Popen(
            [sys.executable, "-m", "dodo_exp", *args],
            cwd=self.root / cwd,
            env={**self.env, **(env or {})},
            stdin=more.pop("stdin", subprocess.DEVNULL),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="surrogateescape",
            start_new_session=True,
            **more,
        )

    def dodo(
        self,
        *args: str,
        code: int = 0,
        cwd: str = ".",
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
    ) -> Ran:
        """Run `dodo ARGS`; it must end with *code*, and never with a traceback."""
        process = self.start(
            *args, cwd=cwd, env=env, stdin=subprocess.PIPE if stdin else subprocess.DEVNULL
        )
        out, err = process.communicate(stdin, timeout=60)
        assert "Traceback" not in err, err
        assert process.returncode == code, f"exit {process.returncode}\n{out}\n{err}"
        began = INITIALIZED.search(err)
        return Ran(
            process.returncode, out, INITIALIZED.sub("", err), began.group(1) if began else ""
        )

    def exp(self, *args: str, code: int = 0) -> Ran:
        """`dodo exp run ARGS`, with the result as JSON."""
        return self.dodo("exp", "run", "--json", *args, code=code)

    def repro(self, *args: str, code: int = 0) -> Ran:
        """`dodo repro ARGS`, with the result as JSON."""
        return self.dodo("repro", "--json", *args, code=code)

    # -- looking inside --------------------------------------------------------------------

    @property
    def store(self) -> Store:
        """The project's store."""
        return Store(str(self.root / ".dodo"))

    def check(self) -> Report:
        """Read the whole store; nothing in it may be missing or damaged."""
        project = Project(str(self.root), "")
        report = check(project.store, roots.everything(project))
        assert report.problems == ()
        return report


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until something is so; fail if that takes too long."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.005)


def kill_tree(process: subprocess.Popen[str]) -> None:
    """SIGKILL a command that `Space.start` began; what it has started is the reaper's affair."""
    process.send_signal(signal.SIGKILL)
    process.communicate()
