"""Stages as doit tasks. doit schedules; whether a stage is up to date is asked of our own records.

doit writes its database only when a run ends, so nothing of ours is ever kept there.
"""

from __future__ import annotations

import queue

from doit.control import TaskControl
from doit.dependency import Dependency, DependencyStatus
from doit.exceptions import TaskFailed
from doit.runner import MThreadRunner
from doit.task import Task

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from dodo_exp.pipeline.graph import Selection
    from dodo_exp.pipeline.model import Stage

    UpToDate = Callable[[Stage], bool]
    Perform = Callable[[Stage], bool]
    _Queue = queue.Queue[Any]
else:
    _Queue = queue.Queue

LOOK_UP = 0.1
"""Seconds after which a waiting thread looks whether a signal has come."""


class NoMemory:
    """A doit backend that keeps nothing: our records are the truth."""

    def __init__(self, name: str, codec: Any = None, *, module_name: str | None = None) -> None:
        self.name = name

    def set(self, task_id: str, dependency: str, value: Any) -> None:
        """Part of the backend's contract."""

    def get(self, task_id: str, dependency: str) -> None:
        """Nothing is ever known."""

    def in_(self, task_id: str) -> bool:
        """No task is ever known."""
        return False

    def remove(self, task_id: str) -> None:
        """Part of the backend's contract."""

    def remove_all(self) -> None:
        """Part of the backend's contract."""

    def dump(self) -> None:
        """Where other backends write their file."""


class _Attentive(_Queue):
    """A queue whose `get` notices signals.

    A signal that comes just before a thread blocks, or in another thread, wakes nobody: Python
    would handle it when the next stage ends, hours later. So it looks up now and then.
    """

    is_over = False
    """Whether the run is: then who waits for more is told that there is none."""

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        while block and timeout is None:
            try:
                return super().get(timeout=LOOK_UP)
            except queue.Empty:
                if self.is_over:
                    return None
        return super().get(block, timeout)


class _Asking(Dependency):  # type: ignore[misc]
    def get_status(
        self, task: Task, tasks_dict: dict[str, Task], get_log: bool = False
    ) -> DependencyStatus:
        """As doit's own, for tasks that have nothing but checkers which take nothing.

        doit would look into the signature of each.
        """
        status = DependencyStatus(get_log)
        task.dep_changed = []
        for check, _, _ in task.uptodate:
            if not check():
                status.add_reason("uptodate_false", (check, [], {}))
        return status


class _Runner(MThreadRunner):  # type: ignore[misc]
    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        self._queues: list[_Attentive] = []

    def Queue(self) -> _Attentive:
        """Called by doit for its queues."""
        self._queues.append(_Attentive())
        return self._queues[-1]

    def close(self) -> None:
        """No thread of the run waits for anything more."""
        for each in self._queues:
            each.is_over = True


class Quiet:
    """A doit reporter that says nothing: the engine's events tell more."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def _pass(self, *args: Any) -> None:
        return None

    initialize = get_status = execute_task = add_success = _pass
    skip_uptodate = skip_ignore = teardown_task = complete_run = _pass

    def add_failure(self, task: Task, failure: Any) -> None:
        """A stage that failed has said so itself; anything else is a bug worth its text."""
        if not isinstance(failure, TaskFailed) and type(failure).__name__ != "UnmetDependency":
            self.errors.append(failure.get_msg())

    def cleanup_error(self, failure: Any) -> None:
        """Tasks here have no teardown."""

    def runtime_error(self, message: str) -> None:
        """Kept for the caller to raise."""
        self.errors.append(message)


class _Action:
    """Performs one stage; False from it is the stage's failure."""

    def __init__(self, stage: Stage, perform: Perform) -> None:
        self._stage = stage
        self._perform = perform
        self.task: Task | None = None
        self.out = self.err = ""
        self.result: str | None = None
        self.values: dict[str, Any] = {}

    def execute(self, out: Any = None, err: Any = None) -> TaskFailed | None:
        """Called by doit in a thread of its pool."""
        return None if self._perform(self._stage) else TaskFailed(self._stage.address)


def tasks(selection: Selection, up_to_date: UpToDate, perform: Perform) -> list[Task]:
    """One task a stage, waiting for the stages it reads from."""
    made = []
    for stage in selection.stages:
        task = Task(
            task_name(stage.address),
            None,
            task_dep=[task_name(name) for name in selection.after[stage.address]],
            uptodate=[_check(stage, up_to_date)],
            doc=stage.desc,
        )
        task._action_instances = [_Action(stage, perform)]
        task.options = {}  # else doit parses an empty command line for each
        made.append(task)
    return made


def _check(stage: Stage, up_to_date: UpToDate) -> Callable[[], bool]:
    return lambda: up_to_date(stage)


def task_name(address: str) -> str:
    """doit reads `=` and `*` in a name, and a `-` that begins it, in its own way."""
    name = address.replace("%", "%25").replace("=", "%3D").replace("*", "%2A")
    return f"%2D{name[1:]}" if name.startswith("-") else name


def run(made: list[Task], *, jobs: int, keep_going: bool) -> None:
    """Run tasks, *jobs* at a time; without *keep_going* nothing starts after a failure.

    Raises:
        RuntimeError: doit itself could not go on, which is a bug.
        KeyboardInterrupt, or what a signal handler raises in the main thread.
    """
    control = TaskControl(made)
    control.process(None)
    reporter = Quiet()
    memory = _Asking(NoMemory, "")
    runner = _Runner(memory, reporter, continue_=keep_going, num_process=jobs)
    try:
        runner.run_all(control.task_dispatcher())
    finally:
        runner.close()
    if reporter.errors:
        raise RuntimeError("; ".join(reporter.errors))
