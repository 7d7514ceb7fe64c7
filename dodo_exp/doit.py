"""doit: the stages of dvc.yaml as tasks of doit, on doit's own command line.

With `loader = "dodo"` in doit.cfg or pyproject.toml they are all there is; in a dodo.py `stages()`
puts them beside tasks of your own:

    from dodo_exp.doit import stages

    DOIT_CONFIG = {"backend": "dodo"}

    def task_pipeline():
        yield from stages()

Whether a stage is up to date is asked of the same records as `dodo` asks, and what a stage has
made is on record when it ends. doit: https://pydoit.org; its plugins:
https://pydoit.org/extending.html
"""

from __future__ import annotations

import codecs
import functools
import os
import signal

from doit.action import BaseAction
from doit.cmd_base import TaskLoader2
from doit.exceptions import InvalidCommand, InvalidDodoFile, TaskError, TaskFailed
from doit.globals import Globals
from doit.task import Task

from dodo_exp.doit_plugins import (
    FAULTS,
    Records,
    as_doit,
    command_line,
    die,
    known,
    take_away,
)
from dodo_exp.engine.doit_tasks import task_name
from dodo_exp.engine.front import Front
from dodo_exp.engine.session import OF_A_RUN
from dodo_exp.errors import Stopped, in_words
from dodo_exp.events import Note, Output, Waiting
from dodo_exp.pipeline.model import PIPELINE_FILE
from dodo_exp.project import Project

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import IO, Any

    from dodo_exp.events import Event
    from dodo_exp.pipeline.model import Stage

__all__ = ["Loader", "stages"]


def stages(
    folder: str | None = None, *, task_dep: Mapping[str, Sequence[str]] | None = None
) -> Iterator[Task]:
    """The stages of the project that *folder* (by default the current one) belongs to, as tasks.

    A task of yours that has an output of a stage among its `file_dep` follows the stage, and a
    stage follows the task that has one of its dependencies among its `targets`. *task_dep* says
    by name what else stages follow: `{"prepare": ["download"]}`.

    Raises:
        InvalidDodoFile: a dvc.yaml cannot be used as it is, or there is none.
    """
    return iter(_tasks(_front(folder), task_dep or {}))


# -- tasks ---------------------------------------------------------------------------------


class _Sinks:
    """Where what stages write goes: to the stream that doit gives for each task."""

    def __init__(self) -> None:
        self.open: dict[str, _Action] = {}

    def __call__(self, event: Event) -> None:
        """Listen to a run; called from the threads that run stages."""
        from dodo_exp.cli import tell

        if isinstance(event, Output):
            action = self.open.get(event.stage)
            if action is not None:
                action.write(event.data)
        elif isinstance(event, Note):
            tell.warning(event.text) if event.level == "warning" else tell.line(event.text)
        elif isinstance(event, Waiting):
            tell.line(f"waiting for {event.what}, held by {event.owner}")


class StageTask(Task):  # type: ignore[misc]
    """A stage, as doit sees it.

    `file_dep` is there for doit to find out what comes first, and goes when doit would compare the
    files itself: the stage's own records do.
    """

    front: Front
    stage: Stage
    was_fresh = False
    """Whether it was up to date when its turn came: then it runs because doit is told so."""

    def pickle_safe_dict(self) -> dict[str, Any]:
        """What goes to a process of doit's pool and back, which knows the stage itself."""
        found: dict[str, Any] = super().pickle_safe_dict()
        return {key: value for key, value in found.items() if key not in ("front", "stage")}

    def clean(self, outstream: IO[str], dryrun: bool) -> None:
        """Remove the outputs; the store keeps them."""
        inside = (out.path for out in self.stage.outs if out.is_inside)
        there = [path for path in inside if os.path.lexists(_full(self.front.project, path))]
        for path in there:
            outstream.write(f"{self.name} - removing {_path(self.front.project, path)!r}\n")
        if there and not dryrun:
            backend = getattr(Globals.dep_manager, "backend", None)
            if isinstance(backend, Records):
                backend.cleaned.append(self)  # all at once, to be undone at once
            else:
                take_away([self], [])


class _Member(str):
    """The name of a group's member among the group's `task_dep`.

    doit's `result_dep` on a group takes the results of the tasks whose names begin with `group:`.
    Stages are called `group@key`, and would be left out: the result would never change.
    """

    __slots__ = ()

    def startswith(self, prefix: Any, *where: Any) -> bool:
        """As of a text, and true of the group's name with a colon."""
        return super().startswith(prefix, *where) or prefix == f"{self.rpartition('@')[0]}:"


class _Check:
    """doit's question whether a stage is up to date; in words it is why not."""

    def __init__(self, front: Front, stage: Stage) -> None:
        self._front = front
        self._stage = stage
        self._why: tuple[str, ...] = ()

    def __call__(self, task: StageTask) -> bool:
        """Called by doit in the main thread, when all that the stage waits for is done."""
        task.file_dep = set()
        try:
            self._why = tuple(map(str, self._front.reasons(self._stage)))
        except FAULTS as error:
            self._why = (in_words(error),)
        task.was_fresh = not self._why
        if self._why:
            with as_doit():
                self._front.open()
        return task.was_fresh

    def __repr__(self) -> str:
        return "; ".join(self._why)


class _Action(BaseAction):  # type: ignore[misc]
    """Brings one stage up to date."""

    def __init__(self, front: Front, stage: Stage, sinks: _Sinks) -> None:
        self._front = front
        self._stage = stage
        self._sinks = sinks
        self._stream: IO[str] | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.task: StageTask | None = None
        self.out = self.err = ""
        self.result: str | None = None
        self.values: dict[str, Any] = {}

    def __str__(self) -> str:
        return "; ".join(self._stage.cmds)

    def write(self, data: bytes) -> None:
        """Take what the stage's commands have written, on either of their streams."""
        text = self._decoder.decode(data)
        self.out += text
        if self._stream is not None:
            self._stream.write(text)
            self._stream.flush()

    def execute(self, out: IO[str] | None = None, err: IO[str] | None = None) -> Any:
        """Called by doit, in a thread or a process of its pool."""
        assert self.task is not None
        self._stream = out
        self.task.file_dep = set()
        self._sinks.open[self._stage.address] = self
        try:
            failed = self._front.perform(self._stage, force=self.task.was_fresh)
        except Stopped as stop:
            die(stop)
        except FAULTS as error:
            return TaskError(in_words(error))
        finally:
            del self._sinks.open[self._stage.address]
        if failed is not None:
            hint = f"\n{failed.hint}" if failed.hint else ""
            return TaskFailed(f"{failed}{hint}")
        self.result = self._front.result(self._stage)
        return None


def _front(folder: str | None) -> tuple[Front, _Sinks]:
    sinks = _Sinks()
    with as_doit():
        return Front(Project.find(folder), sinks, command_line()), sinks


def _tasks(made: tuple[Front, _Sinks], follows: Mapping[str, Sequence[str]]) -> list[Task]:
    """Stages in the order in which they can run, and a task for each group of them."""
    front, sinks = made
    from dodo_exp.cli import tell

    tell.notes(front)
    project = front.project
    found: list[Task] = []
    groups: dict[str, Task] = {}
    names = {s.address: shown(project, s.file, s.name) for s in front.selection.stages}
    for stage in front.selection.stages:
        name = names[stage.address]
        after = front.selection.after[stage.address]
        deps = [names[address] for address in after]
        group = shown(project, stage.file, stage.group) if stage.group else None
        deps += [*follows.get(name, ()), *(follows.get(group, ()) if group else ())]
        task = StageTask(
            name,
            [_Action(front, stage, sinks)],
            file_dep=[_path(project, path) for path in stage.inputs if "://" not in path],
            targets=[_path(project, out.path) for out in stage.outs if "://" not in out.path],
            task_dep=deps,
            uptodate=[_Check(front, stage)],
            doc=_doc(project, stage),
            meta=_meta(project, stage),
            subtask_of=group,
        )
        task.front, task.stage = front, stage
        known[name] = task
        found.append(task)
        if group is not None:
            if group not in groups:
                groups[group] = Task(group, None, has_subtask=True, doc=f"stages {group}@...")
                found.append(groups[group])
            groups[group].task_dep.append(_Member(name))
    missing = follows.keys() - {task.name for task in found}
    if missing:
        from dodo_exp.errors import did_you_mean

        name = min(missing)
        hint = did_you_mean(name, (task.name for task in found), "stages")
        raise InvalidDodoFile(f"task_dep: no stage {name!r}" + (f"\n{hint}" if hint else ""))
    return found


def _path(project: Project, path: str) -> str:
    """A path relative to the root, as doit sees it from where it works."""
    return os.path.relpath(_full(project, path))


def _full(project: Project, path: str) -> str:
    return os.path.join(project.root, path)


def shown(project: Project, file: str, name: str) -> str:
    """What a stage is called by one who stands in the project's folder: as for `dodo`."""
    path = _path(project, file)
    return task_name(name if path == PIPELINE_FILE else f"{path}:{name}")


def _doc(project: Project, stage: Stage) -> str:
    if stage.desc:
        return stage.desc
    outs = ", ".join(_path(project, out.path) for out in stage.outs)
    return f"Makes {outs}" if outs else str(stage.cmds[0]) if stage.cmds else ""


def _meta(project: Project, stage: Stage) -> dict[str, Any]:
    """What `doit info` shows of a stage besides."""
    params = {_path(project, dep.file): list(dep.keys) for dep in stage.params}
    rows = {
        "cmd": list(stage.cmds),
        "deps": [_path(project, path) for path in stage.deps],
        "params": params,
        "frozen": stage.frozen,
    }
    return {key: value for key, value in rows.items() if value}


# -- plugins -------------------------------------------------------------------------------


class Loader(TaskLoader2):  # type: ignore[misc]
    """Loads the stages of the project as doit's tasks: `loader = "dodo"`."""

    def __init__(self) -> None:
        super().__init__()
        self._made: tuple[Front, _Sinks] | None = None

    def setup(self, opt_values: Any) -> None:
        """Read every dvc.yaml."""
        self._made = _front(None)

    def load_doit_config(self) -> dict[str, Any]:
        """Defaults: our records, a stage's output as it comes, the current folder's stages."""
        assert self._made is not None
        front = self._made[0]
        project = front.project
        names = [
            shown(project, stage.file, stage.name)
            for stage in front.selection.stages
            if _path(project, stage.file) == PIPELINE_FILE
        ]
        found: dict[str, Any] = {"backend": "dodo", "verbosity": 2}
        for section in ("GLOBAL", "run"):  # what the user has written wins
            for name in self.config.get(section, {}):
                found.pop(name, None)
        return {**found, "default_tasks": names} if names else found

    def load_tasks(self, cmd: Any, pos_args: Sequence[str]) -> list[Task]:
        """One task a stage, and one a group."""
        assert self._made is not None
        if cmd.name in ("reset-dep", "strace"):
            raise InvalidCommand(
                f"{cmd.name}: not for stages; `dodo commit` takes outputs as they are"
            )
        if cmd.name == "run":
            self._hold(cmd, self._made[0])
        return _tasks(self._made, {})

    @staticmethod
    def _hold(cmd: Any, front: Front) -> None:
        """Make doit's run one run of ours: the workspace is held throughout, signals end it well.

        Stages are processes in any case, so threads are enough to wait for them.
        """
        perform = cmd._execute

        @functools.wraps(perform)
        def execute(**given: Any) -> Any:
            given["par_type"] = "thread"
            try:
                with front.whole():
                    return perform(**given)
            except (Stopped, KeyboardInterrupt) as stop:
                # A second Ctrl-C may come when all is in order and we are about to end.
                ended = stop if isinstance(stop, Stopped) else Stopped(signal.SIGINT, OF_A_RUN)
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                die(ended)
                return ended.code

        cmd._execute = execute
