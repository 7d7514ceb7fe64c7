"""Python: what the command line does, for notebooks, scripts and sweeps.

    from dodo_exp import api

    api.run({"train.lr": 0.1})                        # in place, as `dodo exp run -S train.lr=0.1`
    trial = api.queue({"train.lr": 0.2})              # as `--queue`
    trial.wait().metrics["accuracy"]
    api.exp_show(filter="accuracy > 0.9", sort_by="accuracy")

Each function works on the project of the current folder, or of *project*. Names, queries and errors
are those of the command line: a `dodo_exp.errors.DodoError` says what is wrong, and its `hint` what
now.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from dodo_exp.engine import disk
from dodo_exp.engine.outcome import Options
from dodo_exp.engine.request import Request
from dodo_exp.errors import DodoError, Failure, UsageError, starting
from dodo_exp.exps import queue as jobs
from dodo_exp.exps.run import Order
from dodo_exp.live import of_array
from dodo_exp.pipeline.overrides import Change
from dodo_exp.pipeline.values import parts
from dodo_exp.project import Project
from dodo_store.named import Named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dodo_exp.events import Event

Path = str | os.PathLike[str]
Params = Mapping[str, Any]
F = TypeVar("F", bound=Callable[..., Any])
POLL = 0.02
"""Seconds between two looks at an experiment that is waited for; it grows to ten times as many."""


class Result(Named):
    """An experiment that has run. Metrics and params by dotted names, `file:name` for twins."""

    name: str
    metrics: dict[str, Any]
    params: dict[str, Any]
    is_new: bool = True
    """False if an experiment with the same result was kept already: `name` is that one."""


# -- messages --------------------------------------------------------------------------------


def _in_python(function: F) -> F:
    """Lets the errors of a function name its parameters rather than the options of a command."""

    @functools.wraps(function)
    def wrapped(*args: Any, **given: Any) -> Any:
        try:
            return function(*args, **given)
        except DodoError as error:
            known = function.__kwdefaults__ or {}
            error.args = (_named(str(error), known),)
            error.hint = _named(error.hint, known) if error.hint else None
            raise

    return cast("F", wrapped)


def _named(text: str, known: Mapping[str, Any]) -> str:
    """A message with parameters for options; what is between backquotes is a command and stays."""

    def parameter(match: re.Match[str]) -> str:
        name = match[1].replace("-", "_")
        if name not in known:
            return match[0]
        return f"{name}=True" if known[name] is False else name

    pieces = text.split("`")
    for i in range(0, len(pieces), 2):
        plain = re.sub(r"(?<!\S)-S (?=\S)", "params: ", pieces[i])
        plain = re.sub(r"--filter '(.*)'", r'filter="\1"', plain)
        pieces[i] = re.sub(r"(?<![\w-])--([a-z][a-z-]*)", parameter, plain)
    return "`".join(pieces)


# -- looking ---------------------------------------------------------------------------------


@_in_python
def exp_show(
    *,
    filter: str = "",
    sort_by: str = "",
    descending: bool = False,
    num: int | None = None,
    names: tuple[str, ...] | list[str] = (),
    as_dataframe: bool = False,
    project: Path = ".",
) -> Any:
    """The table of `dodo exp show`: a list with a dict for each row.

    Keys are those of `--csv`: Experiment (None for the workspace), rev, typ, Created (ISO 8601 or
    None), parent, State, Executor, Tags, Note, then every metric, param and dependency; None where
    a row has no value. With *as_dataframe*, a pandas DataFrame.

    Raises:
        DodoError, ImportError: without pandas
    """
    from dodo_exp.exps import side, table, view
    from dodo_exp.exps.recover import recover

    there = _project(project)
    recover(there)
    wanted = view.View(tuple(names), filter, sort_by, descending, num)
    chosen = view.apply(table.show(there), wanted)
    rows = []
    for line, values in zip(chosen.lines, chosen.rows(), strict=True):
        row = {
            "Experiment": None if line.kind == side.WORKSPACE else line.name,
            "rev": line.kind if line.kind == side.WORKSPACE else line.id,
            "typ": line.typ,
            "Created": _iso(line.created),
            "parent": line.parent,
            "State": line.state or None,
            "Executor": line.where or None,
            "Tags": list(line.tags),
            "Note": line.message or None,
        }
        rows.append({**row, **dict(zip(chosen.headers, values, strict=True))})
    if not as_dataframe:
        return rows
    import pandas

    return pandas.DataFrame(rows)


def _iso(seconds: float | None) -> str | None:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(seconds)) if seconds else None


@_in_python
def params_show(
    *targets: str, rev: str | None = None, deps: bool = False, project: Path = "."
) -> dict[str, Any]:
    """Params of the workspace, or of the experiment *rev*, of all files or of *targets*.

    Nested, as in the files, which are merged; of two files with the same key at the top, each is
    under `file:key`. With *deps* only params that a stage reads.

    Raises:
        DodoError
    """
    return _show(targets, rev, deps, project, "params")


@_in_python
def metrics_show(*targets: str, rev: str | None = None, project: Path = ".") -> dict[str, Any]:
    """Metrics of the workspace, or of the experiment *rev*, in the shape of `params_show`.

    Raises:
        DodoError
    """
    return _show(targets, rev, False, project, "metrics")


def _show(
    targets: tuple[str, ...], rev: str | None, deps: bool, project: Path, what: str
) -> dict[str, Any]:
    from dodo_exp.exps import side, view

    there = _project(project)
    found = side.side(there, rev or "workspace")
    paths = [there.inside(target) for target in targets]
    if paths:
        from dodo_exp.exps import named_files

        kind = "param" if what == "params" else "metric"
        found = named_files.with_targets(there, found, kind, paths)
    files = getattr(found.contents, what)
    for path in paths:
        if not any(side.is_below(file, path) for file in files):
            raise UsageError(f"no {what} file {path!r}", f"there are {', '.join(files) or 'none'}")
    wanted = [f for f in files if not paths or any(side.is_below(f, path) for path in paths)]
    data = {path: files[path].get("data") for path in wanted}
    data = {path: value if isinstance(value, dict) else {"": value} for path, value in data.items()}
    if deps:
        read = side.params_of_stages(there)
        data = {path: view.only_deps(path, value, read) for path, value in data.items()}
    keys = [key for value in data.values() for key in value]
    return {
        key if keys.count(key) == 1 and key else f"{path}:{key}".rstrip(":"): inner
        for path, value in data.items()
        for key, inner in value.items()
    }


# -- running ---------------------------------------------------------------------------------


@_in_python
def run(
    params: Params | None = None,
    *,
    targets: tuple[str, ...] | list[str] = (),
    name: str | None = None,
    message: str = "",
    jobs: int = 1,
    force: bool = False,
    replace: bool = False,
    allow_missing: bool = False,
    listener: Callable[[Event], None] | None = None,
    project: Path = ".",
) -> Result:
    """Run the pipeline in place with these params set, as `dodo exp run -S`.

    Params are named as with `-S`: `train.lr`, `conf/other.yaml:lr`. NumPy's numbers and arrays are
    taken as numbers and lists. Stages with checkpoints go on from their last one. What a stage
    writes goes to the *listener* (see dodo_exp.events), and to the experiment's log.
    *allow_missing* skips stages whose data is missing if nothing else has changed.

    If *name* is there already with the same result, that is returned; another result is refused,
    unless *replace*. A run that fails is kept as a failed experiment.

    Raises:
        DodoError: also if a stage fails.
    """
    from dodo_exp.exps.run import run_experiment

    there = _project(project)
    order = _order(
        params,
        targets,
        name,
        message,
        jobs=jobs,
        force=force,
        replace=replace,
        allow_missing=allow_missing,
    )
    with disk.told(there.state):
        ran = run_experiment(there, order, listener or _quiet)
    if ran.outcome.failures:
        raise ran.outcome.failures[0]
    if ran.experiment is None:
        raise Failure("nothing has run")
    metrics, params_ = _flat(ran.metrics), _flat(ran.params)
    return Result(ran.experiment, metrics, params_, ran.is_new)


@_in_python
def queue(
    params: Params | None = None,
    *,
    targets: tuple[str, ...] | list[str] = (),
    name: str | None = None,
    message: str = "",
    allow_missing: bool = False,
    project: Path = ".",
) -> Handle:
    """Queue an experiment with these params set, as `dodo exp run --queue -S`.

    Raises:
        DodoError
    """
    from dodo_exp.exps.submit import submit

    there = _project(project)
    order = _order(params, targets, name, message, allow_missing=allow_missing)

    def put(tasks: list[tuple[str, jobs.Task]]) -> list[jobs.Job]:
        return jobs.add(there.store, tasks)

    with disk.told(there.state):
        (job,) = submit(there, order, [order.changes], _quiet, put)
    return Handle(there, job.name, job.number)


class Handle:
    """An experiment in the queue."""

    def __init__(self, project: Project, name: str, number: int) -> None:
        self.name = name
        self._project = project
        self._number = number

    def __repr__(self) -> str:
        return f"<experiment {self.name!r}: {self.state}>"

    @property
    def state(self) -> str:
        """queued, running, success, failed, killed, stopped or removed."""
        job = self._job()
        return job.state if job is not None else jobs.REMOVED

    def _job(self) -> jobs.Job | None:
        from dodo_exp.exps.recover import recover

        recover(self._project)
        there = jobs.jobs(self._project.store)
        return next((job for job in there if job.number == self._number), None)

    def wait(self, timeout: float | None = None, *, workers: int = 1) -> Result:
        """Wait until it has run. Unless so many workers are there already, they are started.

        Raises:
            DodoError: it has failed, was killed or removed; its `hint` says where the log is.
            Failure: no worker can start; it waits in the queue.
            NoRoom: the disk is full or read-only; it waits in the queue.
            TimeoutError: it has not ended in so many seconds; it goes on.
        """
        started, pause, looked = time.monotonic(), POLL, 0.0
        until = None if timeout is None else started + timeout
        starter = _Workers(self._project, workers)
        while True:
            job = self._job()
            if job is None or job.state == jobs.REMOVED:
                raise Failure(f"experiment {self.name!r} was removed from the queue")
            if job.state in jobs.ENDS:
                return self._result(job)
            now = time.monotonic()
            if job.state == jobs.QUEUED and now - looked > 0.5:
                disk.check(self._project.state)
                starter.start(until)
                looked = now = time.monotonic()
            if until is not None and now >= until:
                raise TimeoutError(f"experiment {self.name!r} is {job.state} after {timeout} s")
            time.sleep(pause if until is None else min(pause, max(0.0, until - now)))
            pause = min(pause * 1.2, POLL * 10)

    def _result(self, job: jobs.Job) -> Result:
        from dodo_exp.exps import find

        end = jobs.end_of(job)
        name = end.experiment if end is not None and end.experiment else self.name
        if job.state != jobs.SUCCESS:
            reason = end.reason if end is not None else ""
            words = f"experiment {self.name!r}: {reason or job.state}"
            raise Failure(words, f"`dodo queue logs {self.name}` has what it wrote")
        experiment = find.experiment(self._project.store, name, ("experiment",))
        metrics, params = _flat(experiment.metrics), _flat(experiment.params)
        return Result(name, metrics, params, name == self.name)


_started: list[tuple[str, subprocess.Popen[bytes]]] = []
"""Workers that this process has started, and for which project; asked now and then, so that none
stays a zombie."""
IDLE = 10
"""Seconds that a worker which was started here waits for something more to run."""


MOST_FAILED = 3
"""Workers that end as soon as they begin, after which no more are started."""
AT_ONCE = 5.0
"""Seconds within which a worker that fails has not begun."""
_lock = threading.Lock()
"""Guards `_started`: threads may wait side by side."""


class _Workers:
    """Workers for somebody who waits. Gives up where they cannot start."""

    def __init__(self, project: Project, count: int) -> None:
        self._project = project
        self._count = count
        self._mine: dict[subprocess.Popen[bytes], float] = {}
        self._failed = 0
        self._log = f"{project.state}/logs/queue.log"

    def start(self, until: float | None) -> None:
        """Start as many as there are too few; return when they have registered, or at *until*.

        Raises:
            Failure: they cannot start.
        """
        self._check()
        with _lock:
            _started[:] = [each for each in _started if each[1].poll() is None]
            # Some may have yet to register; they count, else more would be started for ever.
            pids = self._registered()
            own = [process.pid for state, process in _started if state == self._project.state]
            there = len(pids) + sum(pid not in pids for pid in own)
            for _ in range(self._count - there):
                process = self._begin()
                self._mine[process] = time.monotonic()
                _started.append((self._project.state, process))
        last = time.monotonic() + 3
        last = last if until is None else min(last, until)
        while self._count > there and time.monotonic() < last:
            if len(self._registered()) >= self._count:
                return
            self._check()
            time.sleep(POLL)

    def _registered(self) -> list[int]:
        from dodo_exp.exps import workers

        return [worker.who.pid for worker in workers.alive(self._project.store)]

    def _begin(self) -> subprocess.Popen[bytes]:
        os.makedirs(os.path.dirname(self._log), exist_ok=True)
        with open(self._log, "ab") as out, starting():
            return subprocess.Popen(
                [sys.executable, "-m", "dodo_exp", "queue", "worker", "--idle-exit", str(IDLE)],
                cwd=self._project.root,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def _check(self) -> None:
        """Raises: Failure"""
        from dodo_exp.exps.worker import ENOUGH

        for process, began in list(self._mine.items()):
            code = process.poll()
            if code is None:
                continue
            del self._mine[process]
            if code not in (0, ENOUGH) and time.monotonic() - began < AT_ONCE:
                self._failed += 1
            if self._failed >= MOST_FAILED:
                where = os.path.relpath(self._log, self._project.root)
                raise Failure(
                    f"workers exit with {code} at once; {self._last_line()}",
                    f"{where} has what they wrote; the experiment waits in the queue",
                )

    def _last_line(self) -> str:
        with contextlib.suppress(OSError), open(self._log, "rb") as file:
            file.seek(max(0, os.path.getsize(self._log) - 4096))
            lines = file.read().decode(errors="replace").split("\n")
            found = [line for line in lines if line.strip() and not line.startswith("hint:")]
            if found:
                return f"last line: {found[-1].strip():.200}"
        return "they wrote nothing"


@_in_python
def apply(name: str, *paths: str, exact: bool = False, project: Path = ".") -> list[str]:
    """Bring an experiment's files, or *paths* of them, into the workspace; returns what changed.

    What was there is kept: `dodo undo` brings it back.

    Raises:
        DodoError
    """
    from dodo_exp.exps.apply import apply as bring

    words = " ".join(("exp apply", name, *paths))
    there = _project(project)
    with disk.told(there.state):
        done = bring(there, name, paths, words, _quiet, exact=exact)
    return [change.path for change in done.changes]


def _order(
    params: Params | None,
    targets: tuple[str, ...] | list[str],
    name: str | None,
    message: str,
    *,
    jobs: int = 1,
    force: bool = False,
    replace: bool = False,
    allow_missing: bool = False,
) -> Order:
    changes = tuple(_change(key, value) for key, value in (params or {}).items())
    return Order(
        Request(tuple(targets)),
        Options(jobs=jobs, force=force, allow_missing=allow_missing, goes_on=True),
        changes,
        name,
        message,
        replace,
        "dodo_exp.api",
    )


def _change(key: str, value: Any) -> Change:
    """One param as `-S` has it: `[file:]name`."""
    from dodo_exp.pipeline.model import PARAMS_FILE

    file, colon, name = key.rpartition(":")
    return Change(file if colon else PARAMS_FILE, parts(name), _plain(key, value))


def _plain(key: str, value: Any) -> Any:
    """Raises: UsageError"""
    value = of_array(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(key, inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(key, inner) for inner in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise UsageError(f"{key}: {type(value).__name__} is no value for a param")


def _flat(files: Mapping[str, Any]) -> dict[str, Any]:
    """{file: {"data": contents}} by dotted names."""
    from dodo_exp.exps.index import flat
    from dodo_exp.exps.table import headers

    columns, values = flat(dict(files), {}, {})
    return dict(zip(headers(columns), values, strict=True))


def _quiet(event: Event) -> None:
    """Nobody listens."""


def _project(path: Path) -> Project:
    return Project.find(os.path.abspath(path))
