"""Run an experiment in a workspace: set params, bring stages up to date, keep the result."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from dodo_exp.engine import decide, disk, repro
from dodo_exp.engine import plan as planning
from dodo_exp.engine.journal import journaled
from dodo_exp.engine.prune import vanished
from dodo_exp.errors import Damage, DodoError
from dodo_exp.events import Note
from dodo_exp.exps import naming, state
from dodo_store.errors import StoreError
from dodo_store.named import Named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dodo_exp.engine.journal import Journal
    from dodo_exp.engine.outcome import Confirm, Options, Outcome
    from dodo_exp.engine.request import Request
    from dodo_exp.engine.slots import Pool
    from dodo_exp.engine.workspace import Workspace
    from dodo_exp.events import Listener
    from dodo_exp.exps import queue
    from dodo_exp.exps.advance import Advance
    from dodo_exp.exps.edits import Plan
    from dodo_exp.exps.steps import Step
    from dodo_exp.pipeline.graph import Selection
    from dodo_exp.pipeline.overrides import Change
    from dodo_exp.project import Project
    from dodo_store.store import Store
    from dodo_store.tree import Node


GOES_ON = "`dodo exp run` goes on from there"


class Start(Named):
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


class Order(Named):
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


class Ran(Named):
    """What became of it: the experiment's name, and whether it was not kept already."""

    experiment: str | None
    is_new: bool
    outcome: Outcome
    metrics: dict[str, Any]
    params: dict[str, Any]
    is_apart: bool = False
    kept_as: str = ""
    """The name under which a run is kept that has failed."""
    has_steps: bool = False
    """Whether what is kept of a failed run ends with a checkpoint."""
    edited: tuple[str, ...] = ()
    """Params files that a failed run in place has changed and leaves changed."""
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
    from dodo_exp.engine import session

    glance = session.glance(project)
    edits = _edits(glance, order, project.folder)
    if not (edits and edits.texts) and not order.options.force:
        ran = _already(glance, order, project.folder)
        if ran is not None:
            _note(project, order, ran)
            return ran
    is_known = _is_known(glance, order, project.folder, edits)
    if not is_known:
        naming.check_kept(project, order.name, order.replace, state.current(glance))
    name, started, how, reason = "", 0.0, "stopped", ""
    try:
        with session.begin(
            project, listener, wait=order.options.wait, stopped=session.OF_A_RUN, seen=glance
        ) as workspace:
            from dodo_exp.exps import going, queue, recover, watched
            from dodo_exp.exps.save import fresh_name

            if queue.running(project.store):
                recover.recover(project)  # of this workspace none can be alive
            same = going.same(workspace, order, project.folder, edits)
            same = same if order.name in (None, same) else ""
            if not is_known:
                naming.check_free(project, order.name, order.replace, same)
            name = order.name or same or fresh_name(project)
            jobs, command = order.options.jobs, order.command
            started = time.monotonic()
            try:
                with watched.in_place(project, name, jobs, command, listener) as (recorder, claim):
                    ran = _run(workspace, project, order, name, edits, recorder, confirm, same)
                    reason = reason_of(ran.outcome)
                    how = "success" if ran.experiment else "failed"
                    for error in ran.outcome.failures:
                        recorder.say(f"error: {error}")
                    if ran.kept_as and not ran.has_steps:
                        from dodo_exp.exps import ending

                        ending.fail_in_place(project, claim, order, ran.kept_as, reason)
            except (DodoError, StoreError, OSError) as error:
                how, reason = "failed", str(error)
                raise
        _note(project, order, ran)
        return ran
    finally:
        # The workspace is free by now: the hook may run any command of ours in it.
        if started:
            seconds = time.monotonic() - started
            note = watched.finished(project, name, how, reason, seconds)
            if note is not None:
                listener(note)


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
    from dodo_exp.exps import find, going
    from dodo_exp.exps.capture import capture

    started, start = time.time(), order.start
    if start is None and (edits is None or not edits.still_holds(workspace)):
        edits = _edits(workspace, order, project.folder)
    held = state.held(workspace.store)
    before = trace.Before(workspace, edits.texts if edits else ()) if start is None else None
    limits = repro.limits_of(project, start.budget if start else None)
    # One scratch folder for all that a run keeps: making files is what it costs on many disks.

    def warn(text: str) -> None:
        listener(Note("warning", text))

    with workspace.store.scratch(), journaled(workspace, warn) as journal:
        _apply(workspace, journal, edits)
        way = going.of_order(workspace, order, project.folder)
        selection, steps = repro.ready(
            workspace, journal, order.request, order.options, project.folder, listener, limits
        )
        for note in edits.notes if edits else ():
            listener(note)
        may_go = order.replace or find.has_failed(project.store, name)
        if start is None and name != same and may_go and project.store.experiments.has(name):
            listener(Note("warning", f"experiment {name!r} will be replaced"))
        with project.store.writing():
            outs = way.captured(workspace) if way is not None and start is None else {}
            base = start.base if start else capture(workspace, listener, after_run=False, **outs)
            journal.hold(base)
            if way is not None and way.last is not None:
                _check_there(project.store, way.last)
                journal.hold_record(way.last.oid)
        course = None
        if way is not None:
            from dodo_exp.exps import advance

            course = advance.begin(workspace, journal, order, name, base, way, same, listener)
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
            journal.fold(workspace.write_lock)
            workspace.forget()
            if before is not None:
                changes = tuple(course.changed(course.last))
                before.remember(workspace, order.command, held=held, outs=changes)
            raise Stopped(stop.number, f"stopped; {course.so_far}", GOES_ON) from None
        journal.fold(workspace.write_lock)
        workspace.forget()
        declined = any(r.how == "skipped" for r in outcome.results) and not outcome.has_run
        has_failed = bool(outcome.failures) and not order.options.ignore_errors
        has_steps = course is not None and course.made > 0
        if start is not None and has_failed:
            # On a full disk any stage fails. The experiment has not: it waits for room.
            disk.check(project.store.folder, outcome.failures)
        is_late = has_failed and all(isinstance(error, TimedOut) for error in outcome.failures)
        if start is not None and start.can_wait and is_late and has_steps:
            return Ran(None, False, outcome, {}, {}, True, is_put_back=True)
        if start is None and not has_steps and has_failed and name != same:
            course = None
        elif start is None and not has_steps and (declined or has_failed):
            if before is not None:
                before.remember(workspace, order.command, held=held)
            workspace.save_caches()
            edited = tuple(edits.texts) if edits is not None and has_failed else ()
            return Ran(None, False, outcome, {}, {}, edited=edited)
        # Inside the journal's block: a run that is stopped before its experiment is kept is a
        # run that has not happened, and its edits are taken back.
        with project.store.writing():
            ran = _record(
                workspace, journal, selection, order, outcome, name, base, started, listener, course
            )
            if before is not None:
                changes = tuple(course.changed(course.last)) if course is not None else ()
                before.remember(workspace, order.command, held=held, outs=changes)
        if ran.kept_as and edits is not None:
            ran = ran._replace(edited=tuple(edits.texts))
        return ran


def _check_there(store: Store, step: Step) -> None:
    """Raises: Damage"""
    if not store.records.has(step.oid) or not store.is_whole(step.experiment.result):
        name = f"{step.experiment.name}@{step.experiment.step}"
        raise Damage(f"{name} was removed while the run began", "run the command again")


def _already(workspace: Workspace, order: Order, folder: str) -> Ran | None:
    """The experiment that holds the workspace's result, where nothing has to run; takes no lock."""
    selection, steps = repro.plan(workspace, order.request, order.options, folder)
    if not planning.is_idle(steps) or vanished(workspace, selection):
        return None
    held = state.of(workspace)
    name = state.known_as(workspace, held)
    if name is None or order.name not in (None, name):
        return None
    where = state.noted_at(workspace.store, name, held)
    outcome = repro.unchanged(workspace, selection, where)
    ran = Ran(name, False, outcome, state.metrics_of(workspace), state.params_of(workspace))
    workspace.save_caches()
    return ran


def _note(project: Project, order: Order, ran: Ran) -> None:
    """Keep the message of an order whose result was kept already with that experiment."""
    if not order.message or ran.is_new or ran.experiment is None:
        return
    from dodo_exp.exps import label

    label.note(project, ran.experiment, order.message, order.command)


def _is_known(workspace: Workspace, order: Order, folder: str, edits: Plan | None) -> bool:
    """Whether the experiment of the order's name has the result that its run would bring back."""
    from dodo_exp.engine import runcache
    from dodo_exp.exps import find
    from dodo_exp.pipeline import params

    store, name = workspace.store, order.name
    if name is None or order.replace or order.options.force or not store.experiments.has(name):
        return False
    texts = edits.texts if edits is not None else {}
    values = {path: params.parse(text.encode(), path) for path, text in texts.items()}
    with workspace.supposing(values):
        _, steps = repro.plan(workspace, order.request, order.options, folder)
        made = dict(workspace.records)
        for step in steps:
            if step.action == planning.UNCHANGED:
                continue
            run = None
            if step.action == planning.RESTORE and not step.stage.frozen:
                run = runcache.find(store, step.verdict.print.key)
            if run is None:
                return False
            made[step.stage.address] = run.record
        wanted = state.of(workspace, made)
    try:
        found = find.experiment(store, name, ("experiment",))
    except (DodoError, StoreError):
        return False
    return found.state == wanted and not found.error


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
    from dodo_exp.exps import find
    from dodo_exp.exps.capture import capture
    from dodo_exp.exps.record import Experiment, keep

    store = workspace.store
    has_failed = bool(outcome.failures) and not order.options.ignore_errors
    held = state.FAILED if has_failed else state.of(workspace)
    params, metrics = state.params_of(workspace), state.metrics_of(workspace)
    if has_failed:
        since = order.start.claim.who.started if order.start is not None else started
        metrics = state.metrics_since(workspace, since)
    # A run in place that has failed without a checkpoint is kept as one of the queue is.
    is_plain_failure = has_failed and order.start is None and course is None
    known = None
    may_be_known = not order.name or (order.start is None and not order.replace)
    if not has_failed and may_be_known and not outcome.tainted and course is None:
        known = state.known_as(workspace, held)
    if known is not None and order.name in (None, known):
        state.remember(store, known, held)
        workspace.save_caches()
        return Ran(known, False, outcome, metrics, params)
    for path, contents in {**params, **metrics}.items():
        if "error" in contents:
            listener(Note("warning", f"{contents['error']}: {path} is left out"))
    allow = order.options.allow_missing
    stale = _stale(workspace, selection, outcome, allow)
    if stale and not has_failed:
        listener(Note("warning", f"left out of date: {', '.join(stale)}"))
    experiment = Experiment(
        name=name,
        created=time.time(),
        seconds=time.time() - started,
        parent=order.start.parent if order.start else state.current(workspace),
        base=base,
        result=capture(
            workspace,
            listener,
            after_run=True,
            instead=_unmade(workspace, outcome) if is_plain_failure else {},
            allow_missing=allow,
        ),
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
        name = naming.result_name(store, order.start.claim, experiment, order.replace)
        experiment = experiment._replace(name=name)
    if is_plain_failure:
        experiment = experiment._replace(job=os.urandom(8).hex())
        if store.experiments.has(name) and not find.has_failed(store, name):
            name = naming.other_name(experiment)
            experiment = experiment._replace(name=name, was=(order.name,) if order.name else ())
    elif order.start is None and course is None:
        naming.check_kept_in(store, order.name, order.replace)
    oid = keep(store, experiment)
    is_held = order.start is None and not is_plain_failure
    journal.expect(name, oid, str(state.Held(name, oid)) if is_held else "")
    naming.give(store, experiment, oid, order.command)
    if course is not None and course.made and course.name != name:
        # Where its steps were while the name was another's, or of an earlier turn.
        with suppress(FileNotFoundError):
            store.experiments.delete(course.name)
    if not has_failed:
        state.remember(store, name, held)
    elif is_held:
        state.hold_tip(store, name)
    journal.held()
    workspace.save_caches()
    if has_failed and order.start is None:
        return Ran(None, True, outcome, metrics, params, kept_as=name, has_steps=is_held)
    return Ran(name, True, outcome, metrics, params)


def _unmade(workspace: Workspace, outcome: Outcome) -> dict[str, Node | None]:
    """Outputs of stages that have failed or were skipped: what is there is of an earlier run."""
    stages = workspace.graph.stages
    cut = [stages[each.stage] for each in outcome.results if each.how in ("failed", "skipped")]
    return {out.path: None for stage in cut for out in stage.outs}


def _stale(
    workspace: Workspace, selection: Selection, outcome: Outcome, allow_missing: bool
) -> tuple[str, ...]:
    """Stages connected with those that ran which are out of date now."""
    graph = workspace.graph
    whole = graph.select(graph.component(selection.after))
    stale: set[str] = set()
    for stage in whole.stages:
        name = stage.address
        reasons = decide.judge(workspace, stage, allow_missing=allow_missing).reasons
        is_open = any(reason.kind != "always" for reason in reasons) and name not in outcome.tainted
        if is_open or (not stage.frozen and any(n in stale for n in whole.after[name])):
            stale.add(name)
    return tuple(stage.address for stage in whole.stages if stage.address in stale)
