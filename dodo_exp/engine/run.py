"""Run: bring the selected stages up to date, several at a time, through doit.

The caller holds the workspace lock and has checked that every input is there or will be made.
"""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager

from dodo_exp.engine import decide, disk, signals
from dodo_exp.engine.course import Course
from dodo_exp.engine.decide import GOES_ON, Reason
from dodo_exp.engine.execute import Executor, Stopping
from dodo_exp.engine.make import Maker
from dodo_exp.engine.outcome import Outcome, StageResult
from dodo_exp.engine.plan import UNCHANGED
from dodo_exp.engine.reaper import GRACE, Reaper
from dodo_exp.engine.signals import Signalled
from dodo_exp.errors import DodoError, StageFailed, in_words, starting
from dodo_exp.events import Note, StageEnded, StagesUnchanged
from dodo_exp.pipeline.graph import Selection
from dodo_store import restore
from dodo_store.errors import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from threading import Event

    from dodo_exp.engine.journal import Journal
    from dodo_exp.engine.outcome import Confirm, Options
    from dodo_exp.engine.plan import Step
    from dodo_exp.engine.slots import Limits
    from dodo_exp.engine.workspace import Workspace
    from dodo_exp.events import Listener
    from dodo_exp.pipeline.lockfile import StageRecord
    from dodo_exp.pipeline.model import Stage


def run(
    workspace: Workspace,
    selection: Selection,
    steps: list[Step],
    journal: Journal,
    options: Options,
    listener: Listener,
    *,
    who: str,
    limits: Limits,
    experiment: str | None = None,
    confirm: Confirm | None = None,
    home: str | None = None,
    course: Course | None = None,
    grace: float = GRACE,
) -> Outcome:
    """Run what is out of date.

    *course* keeps checkpoints. Commands that are to end have *grace* seconds for it. *home* is
    where the workspace's project is, if that is another folder: then what a failed stage has made
    stays where it is.

    Raises:
        Signalled: a signal ended it; no process of it is left, finished stages are kept.
    """
    todo = {step.stage.address for step in steps if step.action != UNCHANGED}
    again = {
        step.stage.address: reason
        for step in steps
        for reason in step.verdict.reasons
        if reason.kind == GOES_ON
    }
    turn = Turn(workspace, selection, todo, options, listener, confirm, again)
    if options.allow_missing:
        turn.missing = {
            step.stage.address: tuple(r for r in step.verdict.reasons if r.kind == "missing")
            for step in steps
        }
    if todo:
        with at_work(
            turn,
            workspace,
            journal,
            listener,
            who=who,
            limits=limits,
            experiment=experiment,
            stdin=options.jobs == 1 and confirm is None and home is None,
            home=home,
            course=course or Course(reset=options.reset),
            grace=grace,
        ):
            _through_doit(selection, todo, turn, options)
    return turn.outcome()


@contextmanager
def at_work(
    turn: Turn,
    workspace: Workspace,
    journal: Journal,
    listener: Listener,
    *,
    who: str,
    limits: Limits,
    experiment: str | None = None,
    stdin: bool = False,
    home: str | None = None,
    course: Course,
    grace: float,
) -> Iterator[None]:
    """All that stages need to have their turn, for a block; see `run`.

    Whatever ends the block, no process of it is left, but for what a stage left on purpose. What
    stages have made or restored in the workspace is on disk at the end of a block that ends well.
    """
    with starting():
        reaper = Reaper(home or workspace.root, grace)
    try:
        reaper.begin()
        with workspace.store.scratch() as scratch, signals.caught() as caught:
            executor = Executor(
                workspace.root,
                reaper,
                listener,
                experiment,
                stdin=stdin,
                limits=limits,
                who=who,
                grace=grace,
            )
            turn.maker = Maker(
                workspace,
                journal,
                executor,
                listener,
                scratch,
                who,
                leave_partial=home is not None,
                course=course,
                options=turn.options,
            )
            try:
                yield
                if home is None:
                    restore.sync(workspace.root, turn.touched)
            except BaseException as stop:
                number = stop.number if isinstance(stop, Signalled) else signal.SIGTERM
                _end(executor, reaper, turn, number, caught.hurry, grace)
                raise
    finally:
        reaper.end(everything=home is not None)  # such a folder is about to be another run's


def _through_doit(selection: Selection, todo: set[str], turn: Turn, options: Options) -> None:
    """Hand doit the stages that may have to run; the others are known to be up to date."""
    from dodo_exp.engine import lean

    with lean.doit():
        from dodo_exp.engine import doit_tasks

    part = Selection(
        tuple(stage for stage in selection.stages if stage.address in todo),
        {name: tuple(n for n in selection.after[name] if n in todo) for name in todo},
    )
    made = doit_tasks.tasks(part, turn.is_up_to_date, turn.perform)
    # A stage that the user declines ends its branch, not the run.
    keep_going = options.keep_going or turn.asks
    jobs = 1 if selection.is_in_turn else options.jobs
    with starting():
        doit_tasks.run(made, jobs=jobs, keep_going=keep_going)
    if turn.bug is not None:
        raise turn.bug


class Turn:
    """Each stage's turn: is it up to date, and if not, make it. Collects what became of them."""

    maker: Maker | None = None
    bug: Exception | None = None

    def __init__(
        self,
        workspace: Workspace,
        selection: Selection,
        todo: set[str],
        options: Options,
        listener: Listener,
        confirm: Confirm | None,
        again: dict[str, Reason],
    ) -> None:
        self._again = again
        self._workspace = workspace
        self._selection = selection
        self.options = options
        self._listener = listener
        self._confirm = confirm
        self._why: dict[str, tuple[Reason, ...]] = {}
        self._results: dict[str, StageResult] = {}
        self.made: dict[str, StageRecord | None] = {}
        """Records of the stages that it has made, by address."""
        self.missing: dict[str, tuple[Reason, ...]] = {}
        """Outputs to bring back though missing ones are allowed, by address of their stage."""
        self.failures: dict[str, DodoError] = {}
        """Why stages have failed, by address."""
        self._tainted: list[str] = []
        self._forced: set[str] = set()
        self._busy = 0
        self._idle = threading.Condition()
        """Guards all that is collected above; stages end in threads of their own."""
        for stage in selection.stages:
            if stage.frozen:
                text = f"stage {stage.address!r} is frozen: its dependencies are not looked at"
                listener(Note("info", text))
        unchanged = tuple(name for name in selection.after if name not in todo)
        if unchanged:
            listener(StagesUnchanged(unchanged))
        self._unchanged = frozenset(unchanged)
        workspace.go_live()

    @property
    def asks(self) -> bool:
        """Whether the user is asked about each stage."""
        return self._confirm is not None

    def is_up_to_date(self, stage: Stage, *, force: bool = False) -> bool:
        """Asked once, when all that the stage waits for is done; never so with *force*."""
        try:
            allow = self.options.allow_missing
            verdict = decide.judge(self._workspace, stage, allow_missing=allow)
        except (DodoError, StoreError, OSError) as error:
            self._fail(stage, error, 0.0)
            return False
        why = (*verdict.reasons, *self.missing.get(stage.address, ()))
        if not stage.frozen:
            if stage.address in self._again:
                why += (self._again[stage.address],)
            elif force or self.options.force:
                why += (Reason("forced", "", "--force"),)
            elif self.options.force_downstream:
                with self._idle:
                    results = {
                        name: self._results[name].how
                        for name in self._selection.after[stage.address]
                        if name in self._results
                    }
                why += tuple(
                    Reason("forced", name, f"{name!r} ran (--force-downstream)")
                    for name, how in results.items()
                    if how in ("ran", "restored")
                )
            if any(reason.kind in ("forced", GOES_ON) for reason in why):
                with self._idle:
                    self._forced.add(stage.address)
        if why and self._confirm is not None and not self._is_confirmed(stage):
            self._end(stage, "skipped", 0.0)
            return False
        with self._idle:
            self._why[stage.address] = why
        if not why:
            self._end(stage, "unchanged", 0.0)
        return not why

    def _is_confirmed(self, stage: Stage) -> bool:
        if self._confirm is None or (self.failures and not self.options.keep_going):
            return False
        answer = self._confirm(stage.address)
        if answer == "all":
            self._confirm = None
        elif answer == "quit":
            signal.raise_signal(signal.SIGINT)
        return answer in ("yes", "all")

    def perform(self, stage: Stage) -> bool:
        """Make one stage, in a thread of doit's pool; False if it failed."""
        started = time.monotonic()
        with self._idle:
            if stage.address in self._results:
                return False
            self._busy += 1
        try:
            how = self._make(stage)
        except Stopping:
            return False
        except (DodoError, StoreError, OSError) as error:
            self._fail(stage, error, time.monotonic() - started)
            return self.options.ignore_errors
        except Exception as error:
            # A bug. doit would raise another exception in its place, without its traceback.
            self.bug = error
            return False
        finally:
            with self._idle:
                self._busy -= 1
                self._idle.notify_all()
        self._end(stage, how, time.monotonic() - started)
        return True

    def _fail(self, stage: Stage, error: Exception, seconds: float) -> None:
        if not isinstance(error, DodoError):
            found, full = error, disk.cause(error)
            hint = disk.no_room(full, self._workspace.root).hint if full is not None else None
            error = StageFailed(f"stage {stage.address!r}: {in_words(error)}", hint)
            error.__cause__ = found
        with self._idle:
            self.failures[stage.address] = error
        self._end(stage, "failed", seconds)

    def _make(self, stage: Stage) -> str:
        assert self.maker is not None
        if stage.frozen:
            self.maker.restore_frozen(stage, self._workspace.record(stage))
            return "restored"
        with self._idle:
            why = self._why.get(stage.address, ())
            look_up = self.options.run_cache and stage.address not in self._forced
        made = self.maker.make(stage, why, look_up=look_up)
        with self._idle:
            self.made[stage.address] = made.record
            if made.record is None:
                self._tainted.append(stage.address)
        return made.how

    def _end(self, stage: Stage, how: str, seconds: float) -> None:
        used = self.maker.used(stage) if self.maker is not None else ()
        with self._idle:
            why = tuple(map(str, self._why.get(stage.address, ())))
            self._results[stage.address] = StageResult(stage.address, how, why, seconds, *used)
        self._listener(StageEnded(stage.address, how, seconds, *used))

    @property
    def touched(self) -> list[str]:
        """Outputs that were made or restored."""
        with self._idle:
            results = dict(self._results)
        return [
            out.path
            for stage in self._selection.stages
            if stage.address in results and results[stage.address].how in ("ran", "restored")
            for out in stage.outs
            if out.is_inside
        ]

    def tell(self, text: str) -> None:
        """A word to whoever listens."""
        self._listener(Note("info", text))

    def wait(self, seconds: float, hurry: Event | None = None) -> bool:
        """Wait until no stage is in the making; False if that takes longer, or there is a hurry."""
        until = time.monotonic() + seconds
        with self._idle:
            while self._busy and time.monotonic() < until and not (hurry and hurry.is_set()):
                self._idle.wait(0.05)
            return self._busy == 0

    def outcome(self) -> Outcome:
        """The stages in order; those that never had their turn were skipped."""
        unchanged = self._unchanged
        with self._idle:
            made, failures = dict(self._results), tuple(self.failures.values())
            tainted = tuple(self._tainted)
        results = tuple(
            made.get(name)
            or StageResult(name, "unchanged" if name in unchanged else "skipped", (), 0.0, 0.0, 0)
            for name in self._selection.after
        )
        return Outcome(results, failures, tainted)


def _end(
    executor: Executor, reaper: Reaper, turn: Turn, number: int, hurry: Event, grace: float
) -> None:
    """Pass the signal on, wait, then insist; a second signal insists at once."""
    executor.stop()
    is_known = number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    reaper.signal(number if is_known else signal.SIGTERM)
    if not turn.wait(1.0, hurry):
        turn.tell("waiting for the commands to end; a second Ctrl-C ends them at once")
        if not turn.wait(grace / 2, hurry):
            reaper.signal(signal.SIGTERM)
            turn.wait(grace / 2, hurry)
    reaper.kill()
    if not turn.wait(GRACE):
        _stuck.append(turn)


_stuck: list[Turn] = []


def is_stuck() -> bool:
    """Whether a thread of an earlier run goes on, which nothing could end."""
    return any(not turn.wait(0) for turn in _stuck)
