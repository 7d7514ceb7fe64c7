"""Save: keep the workspace as it is, as an experiment or a snapshot, without running anything."""

from __future__ import annotations

import time

from dodo_exp.engine import decide, history, session
from dodo_exp.errors import UsageError
from dodo_exp.events import Note
from dodo_exp.exps import names, queue, state
from dodo_exp.exps.capture import capture
from dodo_exp.exps.going import following
from dodo_exp.exps.record import Experiment, keep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dodo_exp.engine.workspace import Workspace
    from dodo_exp.events import Listener
    from dodo_exp.pipeline.model import Stage
    from dodo_exp.project import Project


@history.retry_if_names_changed
def save(
    project: Project,
    kind: str,
    name: str | None,
    message: str,
    command: str,
    listener: Listener,
    *,
    replace: bool = False,
    include: tuple[str, ...] = (),
    wait: bool = True,
) -> Experiment:
    """Keep everything that is not ignored, and *include*, under a name.

    Raises:
        UsageError, BadInput, Busy, Failure, Stopped
    """
    if name is not None:
        names.check(name)
    with session.begin(project, listener, wait=wait, tolerant=kind == "snapshot") as workspace:
        store = project.store
        refs = history.refs_of(store, kind)
        if name is not None:
            _check_free(project, kind, name, replace)
        name = name or fresh_name(project)
        extra = tuple(project.inside(path) for path in include)
        with store.writing():
            node = capture(workspace, listener, after_run=True, include=extra)
            params, metrics = state.params_of(workspace), state.metrics_of(workspace)
            experiment = Experiment(
                name=name,
                created=time.time(),
                seconds=0.0,
                parent=state.current(workspace),
                base=node,
                result=node,
                state=state.of(workspace),
                params=params,
                metrics=metrics,
                deps=state.deps_of(workspace),
                stages=(),
                stale=_stale(workspace),
                tainted=(),
                message=message,
            )
            if kind == "experiment":
                experiment = following(workspace, experiment)
            oid = keep(store, experiment)
            old = refs.get(name) if refs.has(name) else None
            history.add(store, command, refs=(history.Renamed(kind, name, old, oid),))
        for path, contents in {**params, **metrics}.items():
            if "error" in contents:
                listener(Note("warning", f"{contents['error']}: {path} is left out"))
        if kind == "experiment":
            state.remember(store, name, experiment.state)
        workspace.save_caches()
    return experiment


def _check_free(project: Project, kind: str, name: str, replace: bool) -> None:
    """Experiments and snapshots have their names from one set.

    Raises:
        UsageError
    """
    other = "snapshot" if kind == "experiment" else "experiment"
    if history.refs_of(project.store, other).has(name):
        raise UsageError(f"there is {_a(other)} {name!r} already", "choose another name")
    if queue.is_taken(project.store, name):
        raise UsageError(f"there is an experiment {name!r} in the queue", "choose another name")
    if not replace and history.refs_of(project.store, kind).has(name):
        hint = "choose another name, or --force to replace it"
        raise UsageError(f"there is {_a(kind)} {name!r} already", hint)


def _a(kind: str) -> str:
    return f"{'an' if kind == 'experiment' else 'a'} {kind}"


def is_taken(project: Project, name: str) -> bool:
    """Whether an experiment, done or to be done, or a snapshot has this name."""
    store = project.store
    return store.experiments.has(name) or store.snapshots.has(name) or queue.is_taken(store, name)


def fresh_name(project: Project) -> str:
    """A name that nothing has."""
    return names.fresh(lambda each: is_taken(project, each))


def _stale(workspace: Workspace) -> tuple[str, ...]:
    """Stages that are out of date in what is kept."""
    return tuple(
        stage.address
        for stage in workspace.graph.stages.values()
        if _is_new(workspace, stage)
        or any(r.kind != "always" for r in decide.judge(workspace, stage).reasons)
    )


def _is_new(workspace: Workspace, stage: Stage) -> bool:
    """Known without a look at its inputs, which may be large."""
    return not stage.frozen and workspace.record(stage) is None
