"""Plugins of doit that it loads in every project: a backend, and commands. So they import little.

https://pydoit.org/extending.html
"""

from __future__ import annotations

import os
import sys

from doit.cmd_base import Command
from doit.cmd_dumpdb import DumpDB as CoreDumpDB
from doit.dependency import SqliteDB
from doit.exceptions import InvalidCommand, InvalidDodoFile

from dodo_exp.errors import DodoError, Stopped, in_words
from dodo_store.errors import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from dodo_exp.doit import StageTask
    from dodo_exp.project import Project

FAULTS = (DodoError, StoreError, OSError)

known: dict[str, StageTask] = {}
"""The stages that doit has been given, by their tasks' names."""


class as_doit:
    """Faults of ours in a block as doit tells a user's: in a line, without a traceback."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Stopped):
            die(error)
        if isinstance(error, FAULTS):
            hint = getattr(error, "hint", None)
            others = "".join(f"\n{each}" for each in getattr(error, "others", ()))
            text = in_words(error) + others + (f"\n{hint}" if hint else "")
            raise InvalidDodoFile(text) from None


def die(stop: Stopped) -> None:
    """End as a signal ends a process, now that all is in order."""
    import signal

    from dodo_exp.cli import tell

    tell.line(str(stop))
    number = stop.code - 128
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def command_line() -> str:
    """What the history calls what is changed here."""
    from dodo_exp.cli import options

    return f"doit {options.command_line()}".strip()


def take_away(cleaned: list[StageTask], forgotten: list[StageTask]) -> None:
    """Remove what stages have made, and forget that stages have run."""
    from dodo_exp.cli import tell
    from dodo_exp.exps import clean

    if cleaned or forgotten:
        with as_doit():
            clean.take_away(
                (cleaned + forgotten)[0].front.project,
                command_line(),
                tell.Progress(),
                outs_of=[task.stage for task in cleaned],
                records_of=[task.stage for task in forgotten],
            )


class Records:
    """A backend of doit's that keeps nothing of stages: our records are the truth.

    What doit wants to remember of other tasks, and that a task is to be ignored, is in
    `.dodo/doit.db`, and there as soon as a task has ended.
    """

    desc = "stages have records of their own; other tasks are kept one by one"

    def __init__(self, name: str, codec: Any, *, module_name: str | None = None) -> None:
        self.name = name
        self._codec = codec
        self._db: SqliteDB | None = None
        self._asked: set[str] = set()
        self.cleaned: list[StageTask] = []
        """Stages whose outputs are to go when doit is done."""
        self._forgotten: list[StageTask] = []

    @property
    def _inner(self) -> Any:
        if self._db is None:
            if self.name == ".doit.db":
                with as_doit():
                    project = _project()
                    project.write()
                    self.name = os.path.join(project.state, "doit.db")
            self._db = SqliteDB(self.name, self._codec)
        return self._db

    def _flush(self) -> None:
        if self._db is not None:
            self._db.dump()
            self._db = None

    @property
    def _has_file(self) -> bool:
        if self._db is not None or self.name != ".doit.db":
            return True
        try:
            return os.path.exists(os.path.join(_project().state, "doit.db"))
        except DodoError:
            return False

    def get(self, task_id: str, dependency: str) -> Any:
        """What is known of a task. That a run asks first is how it differs from `forget`."""
        self._asked.add(task_id)
        task = known.get(task_id)
        if task is not None and dependency == "result:":
            return task.front.result(task.stage)
        if (task is not None and dependency != "ignore:") or not self._has_file:
            return None
        return self._inner.get(task_id, dependency)

    def set(self, task_id: str, dependency: str, value: Any) -> None:
        """Remember; doit sets `deps:` last, when a task has ended well."""
        if task_id in known and dependency != "ignore:":
            return
        self._inner.set(task_id, dependency, value)
        if dependency in ("deps:", "ignore:"):
            self._flush()

    def in_(self, task_id: str) -> bool:
        """Whether anything is known of a task."""
        return task_id not in known and self._has_file and self._inner.in_(task_id)

    def remove(self, task_id: str) -> None:
        """Forget a task: the user's wish for a stage, doit's own after a failure."""
        if task_id in known and task_id not in self._asked:
            self._forgotten.append(known[task_id])
        if self._has_file:
            self._inner.remove(task_id)
            self._flush()

    def remove_all(self) -> None:
        """Forget all tasks."""
        self._forgotten = list(known.values())
        if self._has_file:
            self._inner.remove_all()
            self._flush()

    def dump(self) -> None:
        """Called at the end, where other backends write their file."""
        self._flush()
        take_away(self.cleaned, self._forgotten)
        self.cleaned, self._forgotten = [], []


class Exp(Command):  # type: ignore[misc]
    """`doit exp ...`: what `dodo exp ...` does."""

    name = "exp"
    doc_purpose = "run and compare experiments, as `dodo exp`"
    doc_usage = "run|show|diff|apply|... [OPTIONS]"
    doc_description = "`doit exp --help` lists what there is; `doit exp run --help` what it takes."

    def parse_execute(self, in_args: list[str]) -> int:
        """Hand the words on as they are."""
        from dodo_exp.cli import main

        return main.run(["exp", *_all_words(in_args)])


def _all_words(left: list[str]) -> list[str]:
    """The words after `exp`: doit takes those with a `=`, which it reads as variables, out.

    Raises:
        InvalidCommand: they were not on the command line.
    """
    from doit import doit_cmd

    taken = doit_cmd._CMDLINE_VARS or {}
    if not taken:
        return left
    if "exp" in sys.argv:
        words = sys.argv[sys.argv.index("exp") + 1 :]
        if [w for w in words if w[:1] == "-" or "=" not in w] == left:
            return words
    name = next(iter(taken))
    raise InvalidCommand(f"doit has taken {name}= for a variable: write -S{name}=...")


class DumpDB(CoreDumpDB):  # type: ignore[misc]
    """`doit dumpdb`: of stages what dodo.lock says; where there is a database, what that says."""

    name = "dumpdb"

    def execute(self, opt_values: Any, pos_args: Any) -> Any:
        """Print what is known of each task."""
        is_ours = self.config.get("GLOBAL", {}).get("loader") == "dodo"
        if not is_ours and (_has_database(opt_values["dep_file"]) or not _is_project()):
            return super().execute(opt_values, pos_args)
        import pprint

        from dodo_exp.doit import shown
        from dodo_exp.engine.workspace import Workspace
        from dodo_exp.project import Project

        with as_doit():
            project = Project.find()
            workspace = Workspace(project.root, project.store)
            for stage in workspace.graph.stages.values():
                made = workspace.record(stage)
                if made is not None:
                    known = {
                        "key": made.key.hex(),
                        "made from": {f"{e.kind} {e.name}".strip(): e.value for e in made.lines},
                        "outs": {path: node.digest.hex() for path, node in made.outs},
                    }
                    text = pprint.pformat(known, indent=4, width=100, sort_dicts=False)
                    print(f"{shown(project, stage.file, stage.name)} -> {text}")
            for name, known in _own_tasks(os.path.join(project.state, "doit.db")):
                print(f"{name} -> {pprint.pformat(known, indent=4, width=100)}")
        return 0


def _own_tasks(path: str) -> Iterator[tuple[str, Any]]:
    """What the backend keeps of tasks that are no stages."""
    if os.path.exists(path):
        import json
        import sqlite3
        from contextlib import closing

        with closing(sqlite3.connect(path)) as db:
            for name, text in db.execute("select task_id, task_data from doit order by task_id"):
                yield name, json.loads(text)


def _has_database(path: str) -> bool:
    from dbm import whichdb

    return whichdb(path) is not None


def _is_project() -> bool:
    from dodo_exp.pipeline.model import PIPELINE_FILE

    try:
        return os.path.exists(os.path.join(_project().root, PIPELINE_FILE))
    except DodoError:
        return False


def _project() -> Project:
    """The project that the stages are of, else that of the current folder.

    Raises:
        NoProject
    """
    from dodo_exp.project import Project

    return next((task.front.project for task in known.values()), None) or Project.find()
