"""Table: the workspace, snapshots and experiments as rows of values, for every form of output."""

from __future__ import annotations

import os

from dodo_exp.engine.workspace import Workspace
from dodo_exp.errors import DodoError
from dodo_exp.exps import index, queue
from dodo_exp.exps.index import DEP, METRIC, PARAM
from dodo_exp.exps.record import load
from dodo_exp.exps.side import WORKSPACE, Contents
from dodo_exp.exps.state import current_metrics, deps_of, metrics_since, params_of
from dodo_store import record
from dodo_store.errors import StoreError
from dodo_store.named import Named
from dodo_store.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from dodo_exp.exps.index import Column
    from dodo_exp.exps.queue import Runner
    from dodo_exp.project import Project

ENDS = {queue.STOPPED: "interrupted", queue.KILLED: "killed"}
"""What is said of an experiment that failed because somebody ended it."""
SNAPSHOT, EXPERIMENT, STEP = "snapshot", "experiment", "step"


class Line(Named):
    """One row: its `values` stand under its own `columns`."""

    kind: str
    name: str
    id: str
    created: float | None
    seconds: float | None
    parent: str | None
    columns: tuple[Column, ...]
    values: list[Any]
    packed: bytes
    flags: tuple[str, ...] = ()
    message: str = ""
    tags: tuple[str, ...] = ()
    status: str = ""
    """running, queued or failed; "" for one that has ended well, and for what is no experiment."""
    where: str = ""
    """Where it runs or will run: workspace, temp or queue."""
    runner: Runner | None = None
    error: str = ""
    """Why it has failed."""
    how: str = ""
    """How it failed, where that is another word: interrupted or killed."""
    step: int = 0
    """Which step it is, of one with checkpoints."""
    of: str = ""
    """The experiment that a step is one of, and not the last."""
    is_first: bool = False
    """Whether no step is shown before it."""

    @property
    def state(self) -> str:
        """How it stands, and, where the numbers may not belong to the params, one word more."""
        words = [*dict.fromkeys(flag.split(":")[0] for flag in self.flags)]
        if self.kind == STEP:
            return ""
        status = self.how or self.status or (SNAPSHOT if self.kind == SNAPSHOT else "")
        return ", ".join([status.capitalize(), *words] if status else words)

    @property
    def typ(self) -> str:
        """What DVC calls such a row; up to 2.58 it had words for steps."""
        if self.kind not in (EXPERIMENT, STEP):
            return "baseline"
        if not self.step:
            return "branch_commit"
        if self.kind == EXPERIMENT:
            return "checkpoint_tip"
        return "checkpoint_base" if self.is_first else "checkpoint_commit"

    @property
    def contents(self) -> Contents:
        """What was read of its files."""
        return Contents(*record.unpack(self.packed))


class Table(Named):
    """Rows, and the columns that are shown of them under their headers."""

    lines: tuple[Line, ...]
    columns: tuple[Column, ...]
    headers: tuple[str, ...]

    def getter(self, column: Column) -> Callable[[Line], Any]:
        """What gives a line's value in a column; None where it has none."""
        places: dict[int, int | None] = {}

        def get(line: Line) -> Any:
            shape = id(line.columns)
            if shape not in places:
                is_there = column in line.columns
                places[shape] = line.columns.index(column) if is_there else None
            place = places[shape]
            return None if place is None else line.values[place]

        return get

    def rows(self) -> list[list[Any]]:
        """Each line's values under the table's columns."""
        ways: dict[int, list[int] | None] = {}
        made = []
        for line in self.lines:
            shape = id(line.columns)
            if shape not in ways:
                places = {column: i for i, column in enumerate(line.columns)}
                way = [places.get(column, -1) for column in self.columns]
                is_same = way == list(range(len(line.columns)))
                ways[shape] = None if is_same else way
            known = ways[shape]
            if known is None:
                made.append(line.values)
            else:
                values = [*line.values, None]
                made.append([values[place] for place in known])
        return made


def show(project: Project, *, live: bool = True) -> Table:
    """The workspace, snapshots, then experiments that run, are done, wait, and have failed.

    Each kind the newest first, and each experiment with its steps below it. Waits for no lock.
    Unless *live*, what those that run have written so far is not looked at.
    """
    workspace, first = _workspace(project)
    lines = [first]
    jobs = queue.jobs(project.store)
    going = _going(project, workspace, jobs, live)
    names = {line.name for line in going}
    ends = {job.name: ENDS[job.state] for job in jobs if job.state in ENDS}
    rows, inner = index.with_steps(project.store)
    done = [_line(row, EXPERIMENT) for row in rows]
    if ends:
        done = [
            line._replace(how=ends.get(line.name, line.how)) if line.error else line
            for line in done
        ]
    below = _below(rows, inner)
    # One that has failed and has another turn is seen as that; so is one that goes on.
    for line in done:
        if line.name in names and (line.error or line.step):
            below[line.name] = [*_step(line, line.name), *below.get(line.name, [])]
    done = [line for line in done if not (line.name in names and (line.error or line.step))]
    lines += [_line(row, SNAPSHOT) for row in index.snapshots(project.store)]
    lines += [line for line in going if line.status == queue.RUNNING]
    lines += [line for line in done if not line.status or line.step]
    lines += [line for line in going if line.status == queue.QUEUED]
    lines += [line for line in done if line.status and not line.step]
    workspace.save_caches()
    return table_of(each for line in lines for each in (line, *_steps(line, below)))


def _workspace(project: Project) -> tuple[Workspace, Line]:
    """The workspace and its row; a pipeline that cannot be read is an error of this row alone."""
    workspace = Workspace(project.root, project.store)
    try:
        contents = params_of(workspace), current_metrics(workspace), deps_of(workspace)
    except DodoError as error:
        line = _line_of(WORKSPACE, WORKSPACE, {}, {}, {})
        line = line._replace(error=str(error), flags=(f"broken: {error}",))
        return Workspace(project.root, project.store, tolerant=True), line
    line = _line_of(WORKSPACE, WORKSPACE, *contents)
    stale: dict[str, list[str]] = {}
    for path, words in line.contents.stale.items():
        stale.setdefault(words, []).append(path)
    flags = (f"stale: {', '.join(paths)}: {words}" for words, paths in stale.items())
    return workspace, line._replace(flags=tuple(flags))


Below = dict[str, list[Line]]
"""Steps by the experiment that they are shown under, the last one first."""


def _below(rows: list[index.Row], inner: index.Steps) -> Below:
    """Each step under one experiment: the one whose run kept it, else the oldest that has it."""
    tips = {row.id for row in rows} | {_place(row) for row in rows}
    chains = {row.name: index.steps_of(row, inner) for row in rows if row.before}
    owners: dict[str, str] = {}
    for name, ids in chains.items():
        owners |= {oid: name for oid in ids if inner[oid].name == name}
    for row in reversed(rows):
        for oid in chains.get(row.name, ()):
            owners.setdefault(oid, row.name)
    below: Below = {}
    for name, ids in chains.items():
        mine = [oid for oid in ids if owners[oid] == name and not {oid, _place(inner[oid])} & tips]
        lines = [each for oid in mine for each in _step(_line(inner[oid], STEP), name)]
        if lines:
            below[name] = [*lines[:-1], lines[-1]._replace(is_first=True)]
    return below


def _place(row: index.Row) -> tuple[str, int, str]:
    """Which step of what it is: the end of a run has the place of its last step."""
    return row.name, row.step, row.before


def _step(line: Line, name: str) -> list[Line]:
    """An experiment's line as one of a step of it; none for one without steps."""
    if not line.step:
        return []
    plain = line._replace(kind=STEP, name=f"{name}@{line.step}", of=name, parent=name)
    return [plain._replace(status="", where="", error="", how="")]


def _steps(line: Line, below: Below) -> list[Line]:
    return below.get(line.name, []) if line.kind == EXPERIMENT else []


def kept(project: Project, *, with_steps: bool = False) -> Table:
    """Experiments that have run, the newest first; nothing but the index is read."""
    rows, inner = index.with_steps(project.store)
    lines = [_line(row, EXPERIMENT) for row in rows]
    below = _below(rows, inner) if with_steps else {}
    return table_of(each for line in lines for each in (line, *_steps(line, below)))


def table_of(lines: Iterable[Line]) -> Table:
    """A table of lines with all their columns: metrics, params, dependencies."""
    lines = tuple(lines)
    shapes = {id(line.columns): line.columns for line in lines}
    seen: dict[Column, None] = {}
    for columns in shapes.values():
        seen.update(dict.fromkeys(columns))
    ordered = tuple(c for kind in (METRIC, PARAM, DEP) for c in seen if c.kind == kind)
    return Table(lines, ordered, tuple(headers(ordered)))


OWN = ("Experiment", "rev", "typ", "Created", "parent", "State", "Executor", "Tags", "Note")
"""Headers of what every row has of its own."""


def headers(columns: tuple[Column, ...]) -> list[str]:
    """Column names; a name stands alone where no other column has the same."""
    times = dict.fromkeys(OWN, 1)
    for column in columns:
        name = column.name or column.file
        times[name] = times.get(name, 0) + 1
    return [
        column.file
        if not column.name
        else column.name
        if times[column.name] == 1
        else f"{column.file}:{column.name}"
        for column in columns
    ]


def _line_of(
    kind: str, name: str, params: dict[str, Any], metrics: dict[str, Any], deps: dict[str, str]
) -> Line:
    columns, values = index.flat(metrics, params, deps)
    packed = record.pack([params, metrics, deps])
    return Line(kind, name, "", None, None, None, columns, values, packed)


def _going(project: Project, workspace: Workspace, jobs: list[queue.Job], live: bool) -> list[Line]:
    """Experiments that run, with what they have written so far, or wait; the newest first."""
    store = project.store
    found = []
    for job in reversed(jobs):
        task = queue.task(job) if job.state in (queue.RUNNING, queue.QUEUED) else None
        if task is None:
            continue
        who = queue.runner(store, job) if job.state == queue.RUNNING else None
        try:
            draft = None if task.record == queue.NOBODY else load(store, task.record)
        except (StoreError, DodoError):
            continue
        line = _line_of(
            EXPERIMENT,
            job.name,
            draft.params if draft is not None else params_of(workspace),
            _so_far(project, workspace, task, who) if live else {},
            draft.deps if draft is not None else {},
        )
        found.append(
            line._replace(
                id=draft.job if draft is not None else "",
                created=who.started if who is not None else task.queued,
                parent=draft.parent if draft is not None else None,
                message=draft.message if draft is not None else "",
                status=job.state,
                where=task.where,
                runner=who,
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


def _line(row: index.Row, kind: str) -> Line:
    flags: tuple[str, ...] = ()
    if row.problem or row.tainted or (row.stale and kind == EXPERIMENT):
        flags = _flags(row)
    return Line(
        kind,
        row.name,
        row.id,
        row.created,
        row.seconds,
        row.parent,
        row.columns,
        row.values,
        row.contents,
        flags,
        row.message,
        row.tags,
        queue.FAILED if row.error else "",
        queue.QUEUE if row.error else "",
        None,
        row.error,
        ENDS[queue.STOPPED] if row.unfinished else "",
        row.step,
    )


def _flags(row: index.Row) -> tuple[str, ...]:
    flags = []
    if row.problem:
        flags.append(f"unreadable: {row.problem}")
    if row.stale and not row.error:
        flags.append(f"partial: {', '.join(row.stale)} out of date")
    if row.tainted:
        flags.append(f"tainted: inputs of {', '.join(row.tainted)} changed while it ran")
    return tuple(flags)
