"""Front: stages whose turn comes from outside: from doit's own command line, one after the other.

The workspace is held while stages run: from the first to the last one where somebody says when
the whole run begins and ends, else as long as any of them has its turn.
"""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack, contextmanager, suppress

from dodo_exp.engine import data, recovery, repro, run, session, trace
from dodo_exp.engine import plan as planning
from dodo_exp.engine.course import Course
from dodo_exp.engine.decide import judge
from dodo_exp.engine.journal import journaled
from dodo_exp.engine.outcome import Options
from dodo_exp.engine.plan import RUN, Step
from dodo_exp.engine.run import Turn
from dodo_exp.engine.workspace import Workspace
from dodo_exp.errors import DodoError, NoProject, StageFailed
from dodo_exp.pipeline import needs
from dodo_exp.pipeline.graph import Selection
from dodo_exp.pipeline.model import PIPELINE_FILE
from dodo_store import record
from dodo_store.oid import of_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from dodo_exp.engine.decide import Reason
    from dodo_exp.engine.slots import Limits
    from dodo_exp.events import Listener
    from dodo_exp.pipeline.lockfile import StageRecord
    from dodo_exp.pipeline.model import Stage
    from dodo_exp.project import Project

MANY = 2
"""Stands for any number of jobs: no stage reads what is typed, for it may not be alone."""


class Front:
    """The stages of one project. Stages may have their turns in several threads."""

    def __init__(self, project: Project, listener: Listener, command: str) -> None:
        """*command* is what the history calls what is changed here.

        Raises:
            BadInput: with all that is wrong in any dvc.yaml.
            NoProject: there is none.
        """
        self.project = project
        self._listener = listener
        self._command = command
        self._workspace = Workspace(project.root, project.store)
        if not self._workspace.files:
            raise NoProject(f"no {PIPELINE_FILE} in this project", "`dodo stage add` writes one")
        graph = self._workspace.graph
        self.selection: Selection = graph.select(graph.stages)
        self._workspace.go_live()  # others change files between one stage's turn and the next
        self._made: dict[str, StageRecord] = {}
        """Records of stages that this process has brought up to date."""
        self._reader: Workspace | None = None
        self._mark: object = None
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._lock = threading.RLock()
        self._stack = ExitStack()
        self._turn: Turn | None = None
        self._limits: Limits | None = None
        self._busy = 0
        self._is_whole = False

    @property
    def notes(self) -> list[str]:
        """What should be known of the dvc.yaml files."""
        return self._workspace.notes

    def reasons(self, stage: Stage) -> tuple[Reason, ...]:
        """Why a stage is out of date, as things are now.

        Raises:
            DodoError, StoreError, OSError
        """
        return judge(self._workspace, stage).reasons

    def result(self, stage: Stage) -> str | None:
        """Names what the stage's last good run has made; None where there was none."""
        made = self._made.get(stage.address) or self._recorded(stage)
        if made is None:
            return None
        return of_bytes(record.pack([(path, node.digest) for path, node in made.outs])).hex()

    def _recorded(self, stage: Stage) -> StageRecord | None:
        """A stage's record as it is now: other processes of doit's pool make records, too."""
        project = self.project
        with self._lock:
            mark = stage.file, recovery.records_mark(project.store, project.root, stage.file)
            if self._reader is None or self._mark != mark:
                self._reader = Workspace(project.root, project.store)
                self._mark = mark
            return self._reader.record(stage)

    @contextmanager
    def whole(self) -> Iterator[None]:
        """The block is one run: from the first stage on the workspace is held to its end.

        Raises:
            Stopped: a signal ended it.
        """
        self._is_whole = True
        try:
            yield
        except BaseException as error:
            self._close(error)
            raise
        else:
            self._close(None)
        finally:
            self._is_whole = False

    def open(self) -> None:
        """Hold the workspace from here on, if the block is a whole run.

        What follows signals is set up here, so the main thread should be the first to come.
        """
        with self._lock:
            if self._is_whole and self._turn is None:
                self._open()

    def perform(self, stage: Stage, *, force: bool = False) -> DodoError | None:
        """Bring a stage up to date; with *force* run it in any case. Returns why it failed.

        Raises:
            Busy, Failure, Stopped
        """
        with self._at_work() as turn:
            if data.bring_back(self._workspace, [stage], self._listener):
                self._workspace.go_live()
            if turn.is_up_to_date(stage, force=force):
                return None
            failed = turn.failures.get(stage.address) or self._fault(stage)
            if failed is None and not turn.perform(stage):
                if turn.bug is not None:
                    raise turn.bug
                failed = turn.failures.get(stage.address) or StageFailed("the run is being ended")
            made = turn.made.get(stage.address)
            if made is not None:
                self._made[stage.address] = made
            return failed

    def _fault(self, stage: Stage) -> DodoError | None:
        """What a run would refuse."""
        assert self._limits is not None
        alone = Selection((stage,), {stage.address: ()})
        try:
            step = Step(judge(self._workspace, stage), RUN, ())
            planning.check_inputs(self._workspace, [step], alone)
            self._limits.slots.check(needs.of(stage.meta, stage.at), stage.address, stage.at)
        except DodoError as error:
            return error
        return None

    @contextmanager
    def _at_work(self) -> Iterator[Turn]:
        if os.getpid() != self._process:
            _end_with(self._process)
            self._begin()  # a fork: each has its own turn at the workspace
        with self._lock:
            if self._turn is None:
                self._open()
            assert self._turn is not None
            turn = self._turn
            self._busy += 1
        try:
            yield turn
        except BaseException as error:
            self._leave(error)
            raise
        else:
            self._leave(None)

    def _leave(self, error: BaseException | None) -> None:
        with self._lock:
            self._busy -= 1
            if not self._busy and not self._is_whole:
                self._close(error)

    def _open(self) -> None:
        project, listener = self.project, self._listener
        with ExitStack() as stack:
            workspace = stack.enter_context(
                session.begin(project, listener, stopped=session.OF_A_RUN)
            )
            before = trace.Before(workspace)

            def remember() -> None:
                workspace.forget()
                before.remember(workspace, self._command)
                workspace.save_caches()

            stack.callback(remember)
            journal = stack.enter_context(journaled(workspace))
            todo = [stage for stage in self.selection.stages if not stage.frozen]
            part = Selection(tuple(todo), self.selection.after)
            options = Options(jobs=MANY)
            turn = Turn(workspace, part, set(part.after), options, listener, None, {})
            limits = repro.limits_of(project)
            stack.enter_context(
                run.at_work(
                    turn,
                    workspace,
                    journal,
                    listener,
                    who=session.describe(),
                    limits=limits,
                    course=Course(),
                    grace=project.settings.grace,
                )
            )
            self._workspace, self._turn, self._limits = workspace, turn, limits
            self._stack = stack.pop_all()

    def _close(self, error: BaseException | None) -> None:
        """Let go of the workspace, which *error* ends, if anything does.

        Raises:
            Stopped
        """
        stack, self._stack, self._turn = self._stack, ExitStack(), None
        try:
            if error is None:
                stack.close()
            else:
                stack.__exit__(type(error), error, error.__traceback__)
        finally:
            self._workspace.forget()
            self._workspace.go_live()


_PR_SET_PDEATHSIG = 1


def _end_with(parent: int) -> None:
    """Let a TERM tell this process when the one that has forked it ends, where Linux can.

    prctl(2). Else a stage would go on under a pool whose owner is gone.
    """
    import ctypes
    import signal
    import sys

    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)
