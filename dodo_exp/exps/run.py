"""Run an experiment in a workspace: set params, bring stages up to date, keep the result."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from dodo_exp.engine import decide, repro
from dodo_exp.engine import plan as planning
from dodo_exp.engine.outcome import Confirm, Options, Outcome
from dodo_exp.engine.prune import vanished
from dodo_exp.engine.request import Request
from dodo_exp.engine.workspace import Workspace
from dodo_exp.errors import DodoError, Failure, UsageError
from dodo_exp.events import Listener, Note
from dodo_exp.exps import find, state
from dodo_exp.exps.record import load
from dodo_exp.pipeline.graph import Selection
from dodo_exp.project import Project
from dodo_store.errors import StoreError
from dodo_store.oid import Oid
from dodo_store.store import Store
from dodo_store.tree import Node

if TYPE_CHECKING:
    from dodo_exp.engine.journal import Journal
    from dodo_exp.engine.slots import Pool
    from dodo_exp.exps import queue
    from dodo_exp.exps.advance import Advance
    from dodo_exp.exps.edits import Plan
    from dodo_exp.exps.going import Going
    from dodo_exp.exps.record import Experiment
    from dodo_exp.exps.steps import Step
    from dodo_exp.pipeline.overrides import Change


FAILED = Oid(bytes(16))
"""The state of what has failed: no workspace has it."""


class Start(NamedTuple):
    """What a run in a folder of its own begins from: the folder holds `base`."""

    base: Node
    parent: str | None
    job: str
    claim: queue.Claim
    budget: Pool | None = None
    last: Step | None = None
    """The step that it goes on from."""
    kept_as: str = ""
    """The name under which that is, if it is of an earlier turn."""
    can_wait: bool = False
    """Whether it is put back into the queue when a stage's time is up and a step is kept."""


class Order(NamedTuple):
    """An experiment as asked for. With `start` it is run where that was laid out."""

    request: Request
    options: Options
    changes: tuple[Change, ...] = ()
    name: str | None = None
    message: str = ""
    replace: bool = False
    command: str = "exp run"
    start: Start | None = None
    rev: str | None = None
    """The experiment or step that it begins from, rather than from the workspace."""


class Ran(NamedTuple):
    """What became of it: the experiment's name, and whether it was not kept already."""

    experiment: str | None
    is_new: bool
    outcome: Outcome
    metrics: dict[str, Any]
    params: dict[str, Any]
    is_apart: bool = False
    kept_as: str = ""
    """The name under which a run is kept that has failed."""
    is_put_back: bool = False
    """Whether it is to go on later, because a stage's time was up."""


def run_experiment(
    project: Project, order: Order, listener: Listener, confirm: Confirm | None = None
) -> Ran:
    """Run it where the user stands.

    Raises:
        BadInput, UsageError, Busy, Failure, Stopped
    """
    if order.name is not None:
        from dodo_exp.exps import names

        names.check(order.name)
    workspace = Workspace(project.root, project.store)
    edits = _edits(workspace, order, project.folder)
    if not (edits and edits.texts) and not order.options.force:
        ran = _already(workspace, order, project.folder)
        if ran is not None:
            return ran
    check_name_kept(project, order.name, order.replace, state.current(workspace))
    from dodo_exp.engine import session

    with session.begin(
        project, listener, wait=order.options.wait, stopped=session.OF_A_RUN
    ) as workspace:
        from dodo_exp.exps import queue, recover, watched
        from dodo_exp.exps.save import fresh_name

        if queue.running(project.store):
            recover.recover(project)  # of this workspace none can be alive
        going = _going(workspace, order, project.folder, edits)
        same = going.same if going is not None and order.name in (None, going.same) else ""
        check_name_free(project, order.name, order.replace, same)
        name = order.name or same or fresh_name(project)
        jobs, command = order.options.jobs, order.command
        started = time.monotonic()
        how, reason = "stopped", ""
        try:
            with watched.in_place(project, name, jobs, command, listener) as recorder:
                ran = _run(workspace, project, order, name, edits, recorder, confirm, same)
                reason = reason_of(ran.outcome)
                how = "success" if ran.experiment else "failed"
                for error in ran.outcome.failures:
                    recorder.say(f"error: {error}")
        except (DodoError, StoreError, OSError) as error:
            how, reason = "failed", str(error)
            raise
        finally:
            seconds = time.monotonic() - started
            note = watched.finished(project, name, how, reason, seconds)
            if note is not None:
                listener(note)
        return ran


def run_apart(project: Project, order: Order, name: str, listener: Listener) -> Ran:
    """Run it where `order.start` was laid out, in *project*, a folder of its own.

    Raises:
        BadInput, UsageError, Failure, Stopped
    """
    from dodo_exp.engine import session

    with session.begin(project, listener, stopped="stopped") as workspace:
        return _run(workspace, project, order, name, None, listener, None, "")


def reason_of(outcome: Outcome) -> str:
    """Why it is no success, in a line; "" for one that is."""
    if not outcome.failures:
        return ""
    first, *others = outcome.failures
    return f"{first} (and {len(others)} more)" if others else str(first)


def _run(
    workspace: Workspace,
    project: Project,
    order: Order,
    name: str,
    edits: Plan | None,
    listener: Listener,
    confirm: Confirm | None,
    same: str,
) -> Ran:
    """Everything from here on is under the workspace lock; *same* is who goes on, if anybody."""
    from dodo_exp.engine import run, session, trace
    from dodo_exp.engine.execute import TimedOut
    from dodo_exp.engine.signals import Signalled
    from dodo_exp.errors import Stopped

    started, start = time.time(), order.start
    if start is None and (edits is None or not edits.still_holds(workspace)):
        edits = _edits(workspace, order, project.folder)
    held = state.held(workspace.store)
    before = trace.Before(workspace, edits.texts if edits else ()) if start is None else None
    limits = repro.limits_of(project, start.budget if start else None)
    with repro.journaled(workspace) as journal:
        _apply(workspace, journal, edits)
        going = _going_now(workspace, order, project.folder)
        selection, steps = repro.ready(
            workspace, journal, order.request, order.options, project.folder, listener, limits
        )
        for note in edits.notes if edits else ():
            listener(note)
        if start is None and name != same and project.store.experiments.has(name):
            listener(Note("warning", f"experiment {name!r} will be replaced"))
        with project.store.writing():
            base = start.base if start else _base(workspace, going, listener)
            journal.hold(base)
        course = None
        if going is not None and going.last is not None:
            journal.hold_record(going.last.oid)
        if going is not None:
            course = _advance(workspace, journal, order, name, base, going, same, listener)
        try:
            outcome = run.run(
                workspace,
                selection,
                steps,
                journal,
                order.options,
                listener,
                who=f"experiment {name!r} ({session.describe()})",
                limits=limits,
                experiment=name,
                confirm=confirm,
                home=project.home if start else None,
                course=course,
                grace=project.settings.grace,
            )
        except Signalled as stop:
            if course is None or not course.made or start is not None:
                raise
            journal.fold({path: workspace.lock_records(path) for path in workspace.files})
            workspace.forget()
            if before is not None:
                outs = tuple(course.changed(course.last))
                before.remember(workspace, order.command, held=held, outs=outs)
            raise Stopped(stop.number, f"stopped; {_so_far(course)}", GOES_ON) from None
        journal.fold({path: workspace.lock_records(path) for path in workspace.files})
        workspace.forget()
        declined = any(r.how == "skipped" for r in outcome.results) and not outcome.has_run
        has_failed = bool(outcome.failures) and not order.options.ignore_errors
        has_steps = course is not None and course.made > 0
        is_late = has_failed and all(isinstance(error, TimedOut) for error in outcome.failures)
        if start is not None and start.can_wait and is_late and has_steps:
            return Ran(None, False, outcome, {}, {}, True, is_put_back=True)
        if start is None and not has_steps and (declined or has_failed):
            if before is not None:
                before.remember(workspace, order.command, held=held)
            workspace.save_caches()
            return Ran(None, False, outcome, {}, {})
        # Inside the journal's block: a run that is stopped before its experiment is kept is a
        # run that has not happened, and its edits are taken back.
        with project.store.writing():
            ran = _record(
                workspace, journal, selection, order, outcome, name, base, started, listener, course
            )
            if before is not None:
                outs = tuple(course.changed(course.last)) if course is not None else ()
                before.remember(workspace, order.command, held=held, outs=outs)
        return ran


def _already(workspace: Workspace, order: Order, folder: str) -> Ran | None:
    """The experiment that holds the workspace's result, where nothing has to run; takes no lock."""
    selection, steps = repro.plan(workspace, order.request, order.options, folder)
    if not planning.is_idle(steps) or vanished(workspace, selection):
        return None
    name = state.known_as(workspace, state.of(workspace))
    if name is None or order.name not in (None, name):
        return None
    outcome = repro.unchanged(selection)
    ran = Ran(name, False, outcome, state.metrics_of(workspace), state.params_of(workspace))
    workspace.save_caches()
    return ran


def check_name_free(
    project: Project, name: str | None, replace: bool, mine: str | None = None
) -> None:
    """The name is to be nobody's but *mine*.

    Raises:
        UsageError
    """
    if name is None or name == mine:
        return
    from dodo_exp.exps import queue

    if queue.is_taken(project.store, name):
        raise UsageError(f"there is an experiment {name!r} in the queue", "choose another name")
    check_name_kept(project, name, replace)


def check_name_kept(
    project: Project, name: str | None, replace: bool, mine: str | None = None
) -> None:
    """Of what has run, or is kept as a snapshot, nothing has the name.

    Raises:
        UsageError
    """
    store = project.store
    if name is None or name == mine:
        return
    if store.snapshots.has(name):
        raise UsageError(f"there is a snapshot {name!r} already", "choose another name")
    if replace or not store.experiments.has(name):
        return
    if not find.has_failed(store, name) or find.has_steps(store, name):
        raise UsageError(
            f"there is an experiment {name!r} already",
            "choose another name, or --replace it",
        )


def result_name(store: Store, claim: queue.Claim, made: Experiment, replace: bool) -> str:
    """The name for a job's result; another one if somebody has its own by now.

    What has failed does not take the place of what has not.

    Raises:
        TakenOver
    """
    if not claim.is_ours:
        raise TakenOver(f"experiment {made.name!r} has been taken over by somebody else")
    may_replace = (replace and not made.error) or _may_go(store, claim, made.name)
    is_free = may_replace or not store.experiments.has(made.name)
    return made.name if is_free and not store.snapshots.has(made.name) else other_name(made)


def _may_go(store: Store, claim: queue.Claim, name: str) -> bool:
    """Whether what has a name has failed, and either has no steps or is the job's own."""
    if not find.has_failed(store, name):
        return False
    from dodo_exp.exps import queue

    task = queue.task(claim.job)
    ours = task.ids if task is not None else ()
    return not find.has_steps(store, name) or find.experiment(store, name).job in ours


def other_name(made: Experiment) -> str:
    """For a result whose name somebody else has."""
    return f"{made.name[:80]}-{made.job[:6]}"


def turns(draft: Experiment, task: queue.Task) -> tuple[str, ...]:
    """The names that what came of a job's turns may have."""
    return (draft.name, *(other_name(draft._replace(job=each)) for each in task.ids))


class TakenOver(Failure):
    """A job is not ours any more; what has come of it is nobody's."""


def set_name(store: Store, made: Experiment, oid: Oid, command: str) -> None:
    """Give a result its name; one that loses it can have it back."""
    from dodo_exp.engine import history

    try:
        old = store.experiments.get(made.name)
    except StoreError:
        old = None
    is_ours = old is not None and old in (oid, made.before)
    has_nothing = find.has_failed(store, made.name) and not find.has_steps(store, made.name)
    if old is None or is_ours or has_nothing or _is_step_of(store, old, made):
        store.experiments.set(made.name, oid)
    else:
        history.add(store, command, refs=(history.Renamed("experiment", made.name, old, oid),))


def _edits(workspace: Workspace, order: Order, folder: str) -> Plan | None:
    if not order.changes:
        return None
    from dodo_exp.exps import edits

    return edits.plan(workspace, order.changes, folder)


def _apply(workspace: Workspace, journal: Journal, edits: Plan | None) -> None:
    if edits is None or not edits.texts:
        return
    for path, text in edits.texts.items():
        journal.edit(path, text.encode())
    workspace.forget()


# -- checkpoints ---------------------------------------------------------------------------

GOES_ON = "`dodo exp run` goes on from there"


def _going(workspace: Workspace, order: Order, folder: str, edits: Plan | None) -> Going | None:
    """From where the run would go on, with its params set.

    Raises:
        BadInput, UsageError
    """
    from dodo_exp.exps import going
    from dodo_exp.pipeline import params

    texts = edits.texts if edits is not None else {}
    values = {path: params.parse(text.encode(), path) for path, text in texts.items()}
    with workspace.supposing(values):
        return going.begin(workspace, order.request, folder, reset=order.options.reset)


def _going_now(workspace: Workspace, order: Order, folder: str) -> Going | None:
    """From where the run goes on."""
    from dodo_exp.exps import going

    found = going.begin(workspace, order.request, folder, reset=order.options.reset)
    if found is not None and order.start is not None:
        return found._replace(last=order.start.last, reset=False)
    return found


def _base(workspace: Workspace, going: Going | None, listener: Listener) -> Node:
    """The workspace as the run finds it."""
    from dodo_exp.exps.capture import capture

    outs = going.captured(workspace) if going is not None else {}
    return capture(workspace, listener, after_run=False, **outs)


def _advance(
    workspace: Workspace,
    journal: Journal,
    order: Order,
    name: str,
    base: Node,
    going: Going,
    same: str,
    listener: Listener,
) -> Advance:
    """What keeps the run's steps."""
    from dodo_exp.exps.advance import Advance
    from dodo_exp.exps.going import origin
    from dodo_exp.exps.record import Experiment

    start = order.start
    known = going.last.experiment if same and going.last is not None else None
    draft = Experiment(
        name=name,
        created=0.0,
        seconds=0.0,
        parent=start.parent if start else known.parent if known else state.current(workspace),
        base=base,
        result=base,
        state=FAILED,
        params=state.params_of(workspace),
        metrics={},
        deps={},
        stages=(),
        stale=(),
        tainted=(),
        message=order.message or (known.message if known else ""),
        job=start.job if start else known.job if known else "",
        tags=known.tags if known else (),
        was=known.was if known else (),
        origin=origin(workspace),
    )

    def name_for(made: Experiment) -> str:
        if start is None or start.kept_as:
            return start.kept_as if start is not None else name
        return result_name(workspace.store, start.claim, made, order.replace)

    return Advance(workspace, journal, draft, going, name_for, listener, is_in_place=start is None)


def _so_far(course: Advance) -> str:
    assert course.last is not None
    return f"kept as {course.name!r} up to checkpoint {course.last.experiment.step}"


def _is_step_of(store: Store, old: Oid, made: Experiment) -> bool:
    """Whether *old* is the last step, or one before it, of what *made* has come of."""
    from dodo_exp.exps import steps

    if made.before is None and not made.step:
        return False
    try:
        if load(store, old).job == made.job != "":
            return True
        return any(step.oid == old for step in steps.chain(store, made.before)) or (
            load(store, old).before == made.before and load(store, old).unfinished
        )
    except (StoreError, DodoError):
        return False


# -- the record ----------------------------------------------------------------------------


def _record(
    workspace: Workspace,
    journal: Journal,
    selection: Selection,
    order: Order,
    outcome: Outcome,
    name: str,
    base: Node,
    started: float,
    listener: Listener,
    course: Advance | None,
) -> Ran:
    """Keep the experiment, unless one with the same stages and outputs is kept already."""
    from dodo_exp.exps.capture import capture
    from dodo_exp.exps.record import Experiment, keep

    store = workspace.store
    has_failed = bool(outcome.failures) and not order.options.ignore_errors
    held = FAILED if has_failed else state.of(workspace)
    params, metrics = state.params_of(workspace), state.metrics_of(workspace)
    if has_failed:
        since = order.start.claim.who.started if order.start is not None else started
        metrics = state.metrics_since(workspace, since)
    known = None
    if not order.name and not outcome.tainted and course is None:
        known = state.known_as(workspace, held)
    if known is not None:
        state.remember(store, known, held)
        workspace.save_caches()
        return Ran(known, False, outcome, metrics, params)
    for path, contents in {**params, **metrics}.items():
        if "error" in contents:
            listener(Note("warning", f"{contents['error']}: {path} is left out"))
    stale = _stale(workspace, selection, outcome)
    if stale and not has_failed:
        listener(Note("warning", f"left out of date: {', '.join(stale)}"))
    experiment = Experiment(
        name=name,
        created=time.time(),
        seconds=time.time() - started,
        parent=order.start.parent if order.start else state.current(workspace),
        base=base,
        result=capture(workspace, listener, after_run=True),
        state=held,
        params=params,
        metrics=metrics,
        deps=state.deps_of(workspace),
        stages=tuple((r.stage, r.how, r.seconds, r.cpu, r.memory) for r in outcome.results),
        stale=stale,
        tainted=outcome.tainted,
        message=order.message,
        error=reason_of(outcome) if has_failed else "",
        job=order.start.job if order.start else "",
    )
    if course is not None:
        experiment = course.close(course.like(experiment))
        if course.is_nothing_new(experiment):
            state.remember(store, name, held)
            workspace.save_caches()
            return Ran(name, False, outcome, metrics, params)
    if order.start is not None:
        name = result_name(store, order.start.claim, experiment, order.replace)
        experiment = experiment._replace(name=name)
    oid = keep(store, experiment)
    journal.expect(name, oid)
    set_name(store, experiment, oid, order.command)
    if course is not None and course.made and course.name != name:
        # Where its steps were while the name was another's, or of an earlier turn.
        with suppress(FileNotFoundError):
            store.experiments.delete(course.name)
    if not has_failed:
        state.remember(store, name, held)
    elif order.start is None:
        state.hold_tip(store, name)
    workspace.save_caches()
    if has_failed and order.start is None:
        return Ran(None, True, outcome, metrics, params, kept_as=name)
    return Ran(name, True, outcome, metrics, params)


def _stale(workspace: Workspace, selection: Selection, outcome: Outcome) -> tuple[str, ...]:
    """Stages connected with those that ran which are out of date now."""
    graph = workspace.graph
    whole = graph.select(graph.component(selection.after))
    stale: set[str] = set()
    for stage in whole.stages:
        name = stage.address
        reasons = decide.judge(workspace, stage).reasons
        is_open = any(reason.kind != "always" for reason in reasons) and name not in outcome.tainted
        if is_open or (not stage.frozen and any(n in stale for n in whole.after[name])):
            stale.add(name)
    return tuple(stage.address for stage in whole.stages if stage.address in stale)
