"""Repro: select, plan, run, fold in: what `dodo repro` does, and what an experiment is built on."""

from __future__ import annotations

from functools import partial

from dodo_exp.engine import data
from dodo_exp.engine import plan as planning
from dodo_exp.engine.outcome import Outcome, StageResult
from dodo_exp.engine.plan import is_idle
from dodo_exp.engine.prune import prune, vanished
from dodo_exp.engine.request import select
from dodo_exp.errors import BadInput, Faults
from dodo_exp.events import Note
from dodo_exp.pipeline import needs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dodo_exp.engine.journal import Journal
    from dodo_exp.engine.outcome import Confirm, Options
    from dodo_exp.engine.plan import Step
    from dodo_exp.engine.request import Request
    from dodo_exp.engine.slots import Limits, Pool
    from dodo_exp.engine.still import Facts
    from dodo_exp.engine.workspace import Workspace
    from dodo_exp.events import Listener
    from dodo_exp.pipeline.graph import Selection
    from dodo_exp.project import Project


def plan(
    workspace: Workspace, request: Request, options: Options, folder: str
) -> tuple[Selection, list[Step]]:
    """What a run would do; changes nothing.

    Raises:
        BadInput, UsageError
    """
    selection = select(workspace, request, folder)
    return selection, planning.plan(workspace, selection, options)


def check(
    workspace: Workspace,
    request: Request,
    options: Options,
    folder: str,
    limits: Limits,
    planned: tuple[Selection, list[Step]] | None = None,
) -> tuple[Selection, list[Step]]:
    """What a run would do, refusing what a run would refuse.

    Raises:
        BadInput, UsageError
    """
    selection, steps = planned or plan(workspace, request, options, folder)
    try:
        planning.check_inputs(workspace, steps, selection)
    except BadInput as error:
        if not options.allow_missing and _can_do_without(workspace, selection, options):
            hint = "--allow-missing skips finished stages whose data is not here"
            error.hint = f"{error.hint}; {hint}" if error.hint else hint
        raise
    faults = Faults()
    for stage in selection.stages:
        if stage.meta is not None:
            with faults:
                limits.slots.check(needs.of(stage.meta, stage.at), stage.address, stage.at)
    faults.tell()
    return selection, steps


def _can_do_without(workspace: Workspace, selection: Selection, options: Options) -> bool:
    """Whether `--allow-missing` would help."""
    steps = planning.plan(workspace, selection, options._replace(allow_missing=True))
    try:
        planning.check_inputs(workspace, steps, selection)
    except BadInput:
        return False
    return True


def ready(
    workspace: Workspace,
    journal: Journal,
    request: Request,
    options: Options,
    folder: str,
    listener: Listener,
    limits: Limits,
    planned: tuple[Selection, list[Step]] | None = None,
) -> tuple[Selection, list[Step]]:
    """What is to be run, with all it needs there, and what is no more out of the way.

    What was *planned* is taken for it, if that is as it would be planned now.

    Raises:
        BadInput, UsageError
    """
    selection, steps = check(workspace, request, options, folder, limits, planned)
    if data.bring_back(workspace, selection.stages, listener):
        selection, steps = check(workspace, request, options, folder, limits)
    gone = vanished(workspace, selection)
    if gone:
        prune(workspace, journal, gone, listener)
        selection, steps = plan(workspace, request, options, folder)
    return selection, steps


def limits_of(project: Project, budget: Pool | None = None) -> Limits:
    """What the commands of a run share with those of others, by the project's settings."""
    from dodo_exp.engine.slots import Limits, Slots, pools

    known = pools(project.settings.resources)
    return Limits(Slots(f"{project.state}/slots", known), budget)


def repro(
    project: Project,
    request: Request,
    options: Options,
    listener: Listener,
    confirm: Confirm | None = None,
    command: str = "repro",
) -> Outcome:
    """Bring stages up to date in the workspace.

    Raises:
        BadInput, UsageError, Busy, Failure, Stopped
    """
    from dodo_exp.engine import session

    glance = session.glance(project)
    planned = plan(glance, request, options, project.folder)
    selection, steps = planned
    workspace = glance
    if is_idle(steps) and not vanished(workspace, selection):
        for note in workspace.notes:
            listener(Note("warning", note))
        workspace.save_caches()
        return unchanged(workspace, selection)
    from dodo_exp.engine import run, trace
    from dodo_exp.engine.journal import journaled

    with (
        session.begin(
            project, listener, wait=options.wait, stopped=session.OF_A_RUN, seen=glance
        ) as workspace,
        workspace.store.scratch(),
    ):
        is_same = workspace is glance and workspace.untouched is not None
        before = trace.Before(workspace)
        with journaled(workspace) as journal:
            limits = limits_of(project)
            selection, steps = ready(
                workspace,
                journal,
                request,
                options,
                project.folder,
                listener,
                limits,
                planned if is_same else None,
            )
            outcome = run.run(
                workspace,
                selection,
                steps,
                journal,
                options,
                listener,
                who=session.describe(),
                limits=limits,
                confirm=confirm,
                grace=project.settings.grace,
            )
        workspace.forget()
        before.remember(workspace, command)
        workspace.save_caches()
        return outcome


def unchanged(workspace: Workspace, selection: Selection, files: tuple[str, ...] = ()) -> Outcome:
    """The outcome of a run that had nothing to do, as *workspace* and *files* say."""
    results = (StageResult(name, "unchanged", (), 0.0, 0.0, 0) for name in selection.after)
    return Outcome(tuple(results), (), (), partial(gather, workspace, files))


def gather(workspace: Workspace, files: tuple[str, ...] = ()) -> Facts | None:
    """What a verdict rests on, for `still`; None where there is something to be told each time."""
    from dodo_exp.engine import facts

    is_told = bool(workspace.notes) or workspace.is_apart
    return None if is_told else facts.gather(workspace, files)
