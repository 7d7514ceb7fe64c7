"""Submit: the workspace as it is now, with params set, as experiments that are run later or apart.

Nothing in the workspace is touched. It is taken once for all experiments of a sweep; each differs
from it by its params files.
"""

from __future__ import annotations

import contextlib
import os
import time

from dodo_exp.engine import recovery, repro, session
from dodo_exp.engine.workspace import Workspace
from dodo_exp.errors import BadInput
from dodo_exp.events import Note
from dodo_exp.exps import find, going, names, naming, queue, state, temp
from dodo_exp.exps.capture import capture
from dodo_exp.exps.edits import Plan, plan
from dodo_exp.exps.record import Experiment, load
from dodo_exp.exps.steps import AT, Step
from dodo_exp.pipeline import params
from dodo_exp.pipeline.overrides import Change
from dodo_store import record, snapshot
from dodo_store.named import Named
from dodo_store.oid import of_bytes
from dodo_store.pool import Batch
from dodo_store.tree import EXEC, FILE, LINK, Node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, TypeVar

    from dodo_exp.engine.slots import Limits
    from dodo_exp.events import Event, Listener
    from dodo_exp.exps.run import Order
    from dodo_exp.pipeline.graph import Selection
    from dodo_exp.project import Project
    from dodo_store.oid import Oid

    T = TypeVar("T")

Variant = tuple[Change, ...]
"""What one experiment of a sweep sets."""


class _Planned(Named):
    """An experiment that nothing speaks against: the params files it changes, and all params."""

    name: str
    texts: dict[str, str]
    params: dict[str, Any]


def submit(
    project: Project,
    order: Order,
    variants: list[Variant],
    listener: Listener,
    put: Callable[[list[tuple[str, queue.Task]]], T],
    *,
    where: str = queue.QUEUE,
    include: tuple[str, ...] = (),
) -> T:
    """Keep what each experiment starts from, and *put* them where they are found from then on.

    All are in order or none is kept. *include* names paths that are taken even if they are ignored.
    What is queued begins stages with checkpoints anew, unless `order.rev` says from where they go
    on.

    Raises:
        BadInput, UsageError, Failure
    """
    if order.rev is None:
        return _submit(project, order, variants, listener, put, where, include, None)
    project.write(listener)
    found = find.find(project.store, order.rev, find.READABLE)
    with temp.borrow(project) as place:
        step = Step(found.oid, load(project.store, found.oid))
        place.bring(step.experiment.result)
        there = place.project(project.folder)
        step = step._replace(experiment=step.experiment._replace(name=found.name))
        return _submit(there, order, variants, listener, put, where, include, step)


def _submit(
    project: Project,
    order: Order,
    variants: list[Variant],
    listener: Listener,
    put: Callable[[list[tuple[str, queue.Task]]], T],
    where: str,
    include: tuple[str, ...],
    rev: Step | None,
) -> T:
    """The same, from the *project* as it lies there, or from the step that was laid out there."""
    session.tidy(project, listener)
    store = project.store
    workspace = Workspace(project.root, store)
    # Values that a running `exp run -S` has set in params files are not the user's own.
    own = recovery.edited(store, workspace.root) if rev is None else {}
    with contextlib.ExitStack() as instead:
        instead.enter_context(_reading(workspace, own))
        planned = _all_planned(workspace, project, order, variants, listener)
        project.write(listener)  # not before: what is refused leaves no store behind
        queue.create(store)
        extra = tuple(project.inside(path) for path in include)
        made = []
        with store.writing(), store.scratch() as scratch:
            last, parent = rev, state.current(workspace)
            if rev is not None:
                number = rev.experiment.step
                base, name = rev.experiment.result, rev.experiment.name.partition(AT)[0]
                parent = f"{name}{AT}{number}" if number else name
            else:
                reset = order.options.reset or where == queue.QUEUE
                begun = going.begin(workspace, order.request, project.folder, reset=reset)
                outs = begun.captured(workspace) if begun is not None else {}
                base = capture(workspace, listener, after_run=False, include=extra, **outs)
                late = recovery.edited(store, workspace.root)
                if late.keys() - own.keys():  # a run has begun meanwhile
                    own = {**late, **own}
                    instead.enter_context(_reading(workspace, own))
                    planned = _all_planned(workspace, project, order, variants, lambda event: None)
                last = begun.last if begun is not None else None
            if last is not None and not last.experiment.step:
                last = None
            deps = state.deps_of(workspace)
            batch = Batch(scratch)
            try:
                for each in planned:
                    node = _with_texts(workspace, batch, base, _texts(own) | each.texts)
                    job = os.urandom(8).hex()
                    experiment = Experiment(
                        name=each.name,
                        created=time.time(),
                        seconds=0.0,
                        parent=parent,
                        base=node,
                        result=node,
                        state=state.FAILED,
                        params=each.params,
                        metrics={},
                        deps=deps,
                        stages=(),
                        stale=(),
                        tainted=(),
                        message=order.message,
                        job=job,
                        step=last.experiment.step if last is not None else 0,
                        before=last.oid if last is not None else None,
                    )
                    oid = store.add_record(batch, record.EXPERIMENT, experiment._asdict())
                    made.append((each.name, task_of(project, order, job, oid, where)))
                batch.commit()
            finally:
                batch.drop()
            workspace.save_caches()
            return put(made)


def _reading(
    workspace: Workspace, files: dict[str, bytes | None]
) -> contextlib.AbstractContextManager[None]:
    return workspace.reading_instead({path: data or b"" for path, data in files.items()})


def _texts(files: dict[str, bytes | None]) -> dict[str, str | None]:
    return {path: data.decode() if data is not None else None for path, data in files.items()}


def check(project: Project, order: Order, variants: list[Variant], listener: Listener) -> None:
    """Refuse what `submit` would refuse, and keep nothing.

    Raises:
        BadInput, UsageError, Failure
    """
    _all_planned(Workspace(project.root, project.store), project, order, variants, listener)


def _all_planned(
    workspace: Workspace,
    project: Project,
    order: Order,
    variants: list[Variant],
    listener: Listener,
) -> list[_Planned]:
    wanted = _names(project, order, len(variants))
    for text in workspace.notes:
        listener(Note("warning", text))
    limits = repro.limits_of(project)
    said: set[Event] = set()

    def once(event: Event) -> None:
        """Pass on a note that several experiments of a sweep give rise to once."""
        if event not in said:
            said.add(event)
            listener(event)

    return [
        _plan(workspace, project, order, name, variant, limits, once)
        for name, variant in zip(wanted, variants, strict=True)
    ]


def task_of(project: Project, order: Order, job: str, oid: Oid, where: str) -> queue.Task:
    """The task of an order whose experiment so far is the record *oid*."""
    return queue.Task(
        id=job,
        record=oid,
        where=where,
        folder=project.folder,
        request=order.request._asdict(),
        options=order.options._replace(reset=False)._asdict(),
        replace=order.replace,
        command=order.command,
        queued=time.time(),
    )


def _names(project: Project, order: Order, count: int) -> list[str]:
    """A name for each: the one that was given, numbered if there are several, or fresh ones."""
    store = project.store
    if order.name is not None:
        names.check(order.name)
        given = [f"{order.name}-{i}" for i in range(1, count + 1)] if count > 1 else [order.name]
        for name in given:
            names.check(name)
            naming.check_free(project, name, order.replace)
        return given
    taken = {*store.experiments.names(), *store.snapshots.names(), *queue.names(store)}
    made: list[str] = []
    for _ in range(count):
        made.append(names.fresh(lambda name: name in taken))
        taken.add(made[-1])
    return made


def _plan(
    workspace: Workspace,
    project: Project,
    order: Order,
    name: str,
    variant: Variant,
    limits: Limits,
    listener: Listener,
) -> _Planned:
    """Work out what an experiment sets, and refuse what its run would refuse.

    Raises:
        BadInput, UsageError
    """
    edits = plan(workspace, variant, project.folder) if variant else Plan({}, (), {})
    for note in edits.notes:
        listener(note)
    values = {path: params.parse(text.encode(), path) for path, text in edits.texts.items()}
    with workspace.supposing(values):
        selection, _ = repro.check(workspace, order.request, order.options, project.folder, limits)
        _check_inside(selection)
        return _Planned(name, edits.texts, state.params_of(workspace))


def _check_inside(selection: Selection) -> None:
    """What is outside the project is not where a folder beside it would look.

    Raises:
        BadInput
    """
    for stage in selection.stages:
        for path in stage.inputs:
            if path.split("/")[0] == "..":
                raise BadInput(
                    stage.at,
                    f"stage {stage.address!r} reads {path!r}, outside the project, which is"
                    " not there from a folder of its own",
                    "give its absolute path, or run it in place",
                )


def _with_texts(
    workspace: Workspace, batch: Batch, base: Node, texts: Mapping[str, str | None]
) -> Node:
    """The snapshot with other contents of some files, None for no file.

    A link's contents go where it leads.
    """
    if not texts:
        return base
    store = workspace.store
    graft: dict[str, Node | None] = {}
    for path, text in texts.items():
        if text is None:
            graft[path] = None
            continue
        data = text.encode()
        oid = of_bytes(data)
        batch.add_bytes(store.objects, oid, data)
        old = store.find(base, path)
        if old is not None and old.kind == LINK:
            target = os.path.relpath(os.path.realpath(workspace.path(path)), workspace.root)
            path, old = (target, None) if not target.startswith("..") else (path, None)
        kind = EXEC if old is not None and old.kind == EXEC else FILE
        graft[path] = Node(kind, oid, len(data), oid)
    return snapshot.overlay(store, batch, base, snapshot.graft_of(graft))
