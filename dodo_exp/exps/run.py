"""Run an experiment in the workspace: set params, bring stages up to date, keep the result."""

from __future__ import annotations

import difflib
import os
import time
from typing import Any, NamedTuple

from dodo_exp.engine import decide, repro, run, session
from dodo_exp.engine.journal import Journal
from dodo_exp.engine.request import Request
from dodo_exp.engine.run import Confirm, Options, Outcome
from dodo_exp.engine.workspace import Workspace
from dodo_exp.errors import BadInput, UsageError
from dodo_exp.events import Listener, Note
from dodo_exp.exps import index, names
from dodo_exp.pipeline.graph import Selection
from dodo_exp.pipeline.model import METRIC, PARAMS_FILE
from dodo_exp.pipeline.overrides import Change
from dodo_exp.project import Project
from dodo_store import durable, record
from dodo_store.errors import StoreError
from dodo_store.oid import Oid, of_bytes
from dodo_store.store import Store
from dodo_store.tree import Node


class Order(NamedTuple):
    """An experiment as asked for."""

    request: Request
    options: Options
    changes: tuple[Change, ...] = ()
    name: str | None = None
    message: str = ""
    replace: bool = False


class Ran(NamedTuple):
    """What became of it: the experiment's name, and whether it was not kept already."""

    experiment: str | None
    is_new: bool
    outcome: Outcome
    metrics: dict[str, Any]
    params: dict[str, Any]


def run_experiment(
    project: Project, order: Order, listener: Listener, confirm: Confirm | None = None
) -> Ran:
    """Run it where the user stands.

    Raises:
        BadInput, UsageError, Busy, Failure, Stopped
    """
    if order.name is not None:
        names.check(order.name)
    workspace = Workspace(project.root, project.store)
    edits = plan_edits(workspace, order.changes, project.folder, lambda note: None)
    if not edits and not order.options.force:
        ran = _already(workspace, order, project.folder)
        if ran is not None:
            return ran
    _check_name_free(project.store, order)
    with session.begin(project, listener) as workspace:
        return _run(workspace, project, order, listener, confirm)


def _run(
    workspace: Workspace,
    project: Project,
    order: Order,
    listener: Listener,
    confirm: Confirm | None,
) -> Ran:
    """Everything from here on is under the workspace lock."""
    started = time.time()
    _check_name_free(project.store, order)
    name = order.name or names.fresh(set(project.store.experiments.names()))
    edits = plan_edits(workspace, order.changes, project.folder, listener)
    with repro.journaled(workspace) as journal:
        _apply(workspace, journal, edits)
        selection, steps = repro.plan(workspace, order.request, order.options, project.folder)
        decide.check_inputs(workspace, steps, selection)
        base = _capture(workspace)
        outcome = run.run(
            workspace,
            selection,
            steps,
            journal,
            order.options,
            listener,
            who=session.describe(),
            experiment=name,
            confirm=confirm,
        )
    workspace.forget()
    if outcome.failures and not order.options.ignore_errors:
        workspace.save_caches()
        return Ran(None, False, outcome, {}, {})
    return _record(workspace, selection, order, outcome, name, base, started, listener)


def _capture(workspace: Workspace) -> Node:
    from dodo_exp.exps.capture import capture

    return capture(workspace)


# -- nothing to do -------------------------------------------------------------------------


def _already(workspace: Workspace, order: Order, folder: str) -> Ran | None:
    """The experiment that holds the workspace's result, where nothing has to run; takes no lock."""
    selection, steps = repro.plan(workspace, order.request, order.options, folder)
    if not repro.is_idle(steps):
        return None
    workspace.save_caches()
    name = known_as(workspace, state_of(workspace))
    if name is None or order.name not in (None, name):
        return None
    outcome = repro.unchanged(selection)
    return Ran(name, False, outcome, metrics_of(workspace), params_of(workspace))


def known_as(workspace: Workspace, state: Oid) -> str | None:
    """The experiment whose stages are as the workspace's are now."""
    store = workspace.store
    try:
        name, kept = record.read(record.CACHE, _pointer(store))
        if kept == state and store.experiments.get(name) is not None:
            return str(name)
    except (OSError, StoreError, ValueError, TypeError):
        pass
    return next((row.name for row in index.rows(store) if row.state == state), None)


def _pointer(store: Store) -> str:
    return f"{store.folder}/workspace"


def remember(store: Store, name: str, state: Oid) -> None:
    """Note which experiment the workspace holds; found again without it, only slower."""
    durable.replace(_pointer(store), record.encode(record.CACHE, [name, state]), sync=False)


def current(workspace: Workspace) -> str | None:
    """The experiment that the workspace was last seen to hold, for a new one's parent."""
    try:
        name, _ = record.read(record.CACHE, _pointer(workspace.store))
    except (OSError, StoreError, ValueError, TypeError):
        return None
    return str(name)


def state_of(workspace: Workspace) -> Oid:
    """Names what all stages were made from and what they made."""
    rows = []
    for address in sorted(workspace.records):
        made = workspace.records[address]
        rows.append((address, made.key, sorted((path, node.digest) for path, node in made.outs)))
    return of_bytes(record.pack(rows))


def _check_name_free(store: Store, order: Order) -> None:
    if order.name is None or order.replace:
        return
    if order.name in set(store.experiments.names()):
        raise UsageError(
            f"there is an experiment {order.name!r} already",
            "choose another name, or --replace it",
        )


# -- params --------------------------------------------------------------------------------


def plan_edits(
    workspace: Workspace, changes: tuple[Change, ...], folder: str, listener: Listener
) -> dict[str, str]:
    """Path of each params file -> its new text, where that differs; changes nothing.

    Raises:
        BadInput, UsageError
    """
    if not changes:
        return {}
    from dodo_exp.pipeline import edit, yaml12

    texts: dict[str, tuple[str, str]] = {}
    seen: set[tuple[str, tuple[str, ...]]] = set()
    for change in changes:
        path = os.path.normpath(os.path.join(folder, change.file))
        if path not in texts:
            texts[path] = (
                ("", "")
                if not _is_there(workspace, path)
                else (
                    (text := yaml12.decode(workspace.read(path), path)),
                    text,
                )
            )
        if (path, change.keys) in seen:
            listener(Note("warning", f"-S {change.name} is given twice: the last one counts"))
        seen.add((path, change.keys))
        _warn_unknown(workspace, path, change, listener)
        old, text = texts[path]
        texts[path] = (old, edit.set_value(text, change.keys, change.value, path))
    return {path: new for path, (old, new) in texts.items() if new != old}


def _is_there(workspace: Workspace, path: str) -> bool:
    """Whether a params file exists; only files that the pipeline reads are ever written.

    Raises:
        UsageError: not a params file of this project.
    """
    tracked = {PARAMS_FILE} | {
        dep.file for stage in workspace.graph.stages.values() for dep in stage.params
    }
    if path not in tracked and os.path.basename(path) != PARAMS_FILE:
        raise UsageError(f"{path} is not a params file of this project", _listed(tracked))
    if path.startswith(("/", "../")):
        raise UsageError(f"{path} lies outside the project")
    if os.path.exists(workspace.path(path)):
        return True
    if path in {dep.file for s in workspace.graph.stages.values() for dep in s.params}:
        return False
    raise UsageError(f"there is no {path}", _listed(tracked - {path}))


def _listed(paths: set[str]) -> str | None:
    return f"params files: {', '.join(sorted(paths))}" if paths else None


def _warn_unknown(workspace: Workspace, path: str, change: Change, listener: Listener) -> None:
    from dodo_exp.pipeline.params import leaves, lookup

    values = workspace.params(path) or {}
    try:
        lookup(values, change.name)
    except KeyError:
        known = [name for name, _ in leaves(values)]
        close = difflib.get_close_matches(change.name, known, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        listener(Note("warning", f"{change.name!r} is not in {path}: added{hint}"))


def _apply(workspace: Workspace, journal: Journal, edits: dict[str, str]) -> None:
    for path, text in edits.items():
        journal.edit(path, text.encode())
    if edits:
        workspace.forget()


# -- the record ----------------------------------------------------------------------------


def _record(
    workspace: Workspace,
    selection: Selection,
    order: Order,
    outcome: Outcome,
    name: str,
    base: Node,
    started: float,
    listener: Listener,
) -> Ran:
    """Keep the experiment, unless one with the same stages and outputs is kept already."""
    from dodo_exp.exps.record import Experiment, save

    store = workspace.store
    state = state_of(workspace)
    params, metrics = params_of(workspace), metrics_of(workspace)
    known = None if order.name or outcome.tainted else known_as(workspace, state)
    if known is not None:
        remember(store, known, state)
        workspace.save_caches()
        return Ran(known, False, outcome, metrics, params)
    stale = _stale(workspace, selection, outcome)
    if stale:
        listener(Note("warning", f"left out of date: {', '.join(stale)}"))
    experiment = Experiment(
        name=name,
        created=time.time(),
        seconds=time.time() - started,
        parent=current(workspace),
        base=base,
        result=_capture(workspace),
        state=state,
        params=params,
        metrics=metrics,
        deps=_deps(workspace),
        stages=tuple((r.stage, r.how, r.seconds) for r in outcome.results),
        stale=stale,
        tainted=outcome.tainted,
        message=order.message,
    )
    save(store, experiment)
    remember(store, name, state)
    workspace.save_caches()
    return Ran(name, True, outcome, metrics, params)


def _stale(workspace: Workspace, selection: Selection, outcome: Outcome) -> tuple[str, ...]:
    """Stages connected with those that ran which are out of date now."""
    graph = workspace.graph
    connected = graph.component(selection.after)
    ran_now = {r.stage for r in outcome.results if r.how in ("ran", "restored")}
    return tuple(
        name
        for name, stage in graph.stages.items()
        if name in connected
        and not (stage.runs_always and name in ran_now)
        and name not in outcome.tainted
        and any(r.kind != "always" for r in decide.judge(workspace, stage).reasons)
    )


def _deps(workspace: Workspace) -> dict[str, str]:
    """Inputs that no stage makes, with their digests as recorded."""
    found = {}
    for address, made in workspace.records.items():
        del address
        for line in made.lines:
            if line.kind == "dep" and workspace.graph.maker(line.name) is None:
                found[line.name] = line.value
    return dict(sorted(found.items()))


def params_of(workspace: Workspace) -> dict[str, Any]:
    """Every params file that the pipeline reads, as {"data": ...} or {"error": ...}."""
    files = {PARAMS_FILE: None} | {
        dep.file: None for stage in workspace.graph.stages.values() for dep in stage.params
    }
    found: dict[str, Any] = {}
    for path in files:
        try:
            values = workspace.params(path)
        except BadInput as error:
            found[path] = {"error": str(error)}
            continue
        if values is not None:
            found[path] = {"data": plainly(values)}
    return found


def metrics_of(workspace: Workspace) -> dict[str, Any]:
    """Every metrics file that is there, as {"data": ...} or {"error": ...}."""
    paths = {
        out.path: None
        for stage in workspace.graph.stages.values()
        for out in stage.outs
        if out.role == METRIC
    }
    paths |= {path: None for file in workspace.files.values() for path in file.metrics}
    found: dict[str, Any] = {}
    for path in paths:
        try:
            found[path] = {"data": plainly(workspace.metrics(path))}
        except BadInput as error:
            found[path] = {"error": str(error)}
        except (OSError, NotADirectoryError):
            continue
    return found


def plainly(value: Any) -> Any:
    """A value that every record can hold: integers beyond 64 bits become their text."""
    if isinstance(value, dict):
        return {key: plainly(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plainly(inner) for inner in value]
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        return str(value)
    return value
