"""Table: the workspace and all experiments as rows of values, for every form of output."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from dodo_exp.engine.workspace import Workspace
from dodo_exp.errors import DodoError
from dodo_exp.exps import index, queue
from dodo_exp.exps.queue import Runner
from dodo_exp.exps.record import load
from dodo_exp.exps.state import metrics_of, metrics_since, params_of
from dodo_exp.pipeline.values import leaves
from dodo_exp.project import Project
from dodo_store.errors import StoreError
from dodo_store.store import Store


class Line(NamedTuple):
    """One row: `name` is empty for the workspace; metrics and params are
    {file: {"data": contents}} or {file: {"error": words}}."""

    name: str
    id: str
    created: float | None
    seconds: float | None
    parent: str | None
    metrics: dict[str, Any]
    params: dict[str, Any]
    deps: dict[str, str]
    flags: tuple[str, ...]
    message: str
    status: str = ""
    """running, queued or failed; "" for one that has ended well, and for the workspace."""
    where: str = ""
    """Where it runs or will run: workspace, temp or queue."""
    runner: Runner | None = None
    error: str = ""
    """Why it has failed."""

    @property
    def state(self) -> str:
        """How it stands, and, where the numbers may not belong to the params, one word more."""
        words = [flag.split(":")[0] for flag in self.flags]
        return ", ".join([self.status.capitalize(), *words] if self.status else words)


class Table(NamedTuple):
    """Rows, and the columns their values make: (file, dotted name) of metrics and of params."""

    lines: tuple[Line, ...]
    metrics: tuple[tuple[str, str], ...]
    params: tuple[tuple[str, str], ...]

    def headers(self) -> list[str]:
        """Column names; a name stands alone where no other file has the same."""
        names = [name for _, name in (*self.metrics, *self.params)]
        return [
            name if name and names.count(name) == 1 else f"{file}:{name}".rstrip(":")
            for file, name in (*self.metrics, *self.params)
        ]

    def values(self, line: Line) -> list[Any]:
        """The row's values under the columns; None where it has none."""
        found = {**_cells(line.metrics), **_cells(line.params)}
        return [found.get(column) for column in (*self.metrics, *self.params)]


def show(project: Project) -> Table:
    """The workspace, then experiments that run, are done, wait, and have failed.

    Each kind the newest first. Waits for no lock.
    """
    workspace = Workspace(project.root, project.store)
    lines = [
        Line("", "", None, None, None, metrics_of(workspace), params_of(workspace), {}, (), "")
    ]
    going = _going(project, workspace)
    names = {line.name for line in going}
    done = [_line(row) for row in index.rows(project.store)]
    # One that has failed and has another turn is seen as that.
    done = [line for line in done if not line.error or line.name not in names]
    lines += [line for line in going if line.status == queue.RUNNING]
    lines += [line for line in done if not line.status]
    lines += [line for line in going if line.status == queue.QUEUED]
    lines += [line for line in done if line.status]
    workspace.save_caches()
    return Table(
        tuple(lines),
        _columns(line.metrics for line in lines),
        _columns(line.params for line in lines),
    )


def _going(project: Project, workspace: Workspace) -> list[Line]:
    """Experiments that run, with what they have written so far, or wait; the newest first."""
    store = project.store
    found = []
    for job in reversed(queue.jobs(store)):
        task = queue.task(job) if job.state in (queue.RUNNING, queue.QUEUED) else None
        if task is None:
            continue
        who = queue.runner(store, job) if job.state == queue.RUNNING else None
        try:
            draft = None if task.record == queue.NOBODY else load(store, task.record)
        except (StoreError, DodoError):
            continue
        params = draft.params if draft is not None else params_of(workspace)
        found.append(
            Line(
                job.name,
                draft.job if draft is not None else "",
                who.started if who is not None else task.queued,
                None,
                draft.parent if draft is not None else None,
                _so_far(project, workspace, task, who),
                params,
                draft.deps if draft is not None else {},
                (),
                draft.message if draft is not None else "",
                job.state,
                task.where,
                who,
            )
        )
    return found


def _so_far(
    project: Project, workspace: Workspace, task: queue.Task, who: Runner | None
) -> dict[str, Any]:
    """The metrics that a run has written."""
    if task.where == queue.WORKSPACE and who is not None:
        return metrics_since(workspace, who.started)
    if who is None or not who.root or not os.path.isdir(who.root):
        return {}
    try:
        there = Workspace(who.root, Store(project.state, who.local), tolerant=True)
        return metrics_since(there, who.started)
    except (StoreError, DodoError, OSError):
        return {}  # it is over by now, or on another machine


def _line(row: index.Row) -> Line:
    flags = []
    if row.problem:
        flags.append(f"unreadable: {row.problem}")
    if row.stale and not row.error:
        flags.append(f"partial: {', '.join(row.stale)} out of date")
    if row.tainted:
        flags.append(f"tainted: inputs of {', '.join(row.tainted)} changed while it ran")
    return Line(
        row.name,
        row.id,
        row.created,
        row.seconds,
        row.parent,
        row.metrics,
        row.params,
        row.deps,
        tuple(flags),
        row.message,
        queue.FAILED if row.error else "",
        queue.QUEUE if row.error else "",
        error=row.error,
    )


def _columns(contents: Any) -> tuple[tuple[str, str], ...]:
    seen: dict[tuple[str, str], None] = {}
    for files in contents:
        seen.update(dict.fromkeys(_cells(files)))
    return tuple(seen)


def _cells(files: dict[str, Any]) -> dict[tuple[str, str], Any]:
    """(file, dotted name) -> value; a file that could not be read has no cells."""
    return {
        (file, name): value
        for file, contents in files.items()
        if "data" in contents
        for name, value in leaves(contents["data"])
        if name or value != {}
    }
