"""Roots: all that keeps content of the store alive, each with the nodes it names."""

from __future__ import annotations

import itertools
import os

from dodo_exp.engine import history, recovery
from dodo_exp.errors import BadInput, DodoError
from dodo_exp.exps import queue, temp
from dodo_exp.exps.steps import chain
from dodo_exp.pipeline import lockfile
from dodo_exp.project import STATE
from dodo_store.errors import StoreError
from dodo_store.oid import of_bytes
from dodo_store.reach import Root
from dodo_store.tree import Node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from dodo_exp.project import Project
    from dodo_store.oid import Oid
    from dodo_store.store import Store

EXPERIMENT = "experiment"
SNAPSHOT = "snapshot"
WORKSPACE = "workspace"
QUEUE = "queue"
RUNNING = "running"
UNDO = "undo"
RUN = "run"
"""Kinds, in the order in which content is put down to them: what is in an experiment is not put
down to the run-cache, though it is there too."""

STEP = "step"
"""No kind of root: of an experiment's steps that are met."""

Known = set[tuple[str, str, str]]

WORDS = {
    EXPERIMENT: "experiments",
    SNAPSHOT: "snapshots",
    WORKSPACE: "the workspace's dodo.lock",
    QUEUE: "the queue",
    RUNNING: "commands that are going on",
    UNDO: "dodo undo",
    RUN: "the run-cache alone",
}


def everything(
    project: Project,
    known: Known | None = None,
    *,
    without: set[tuple[str, str]] = frozenset(),  # type: ignore[assignment]
    once: bool = False,
) -> Iterator[Root]:
    """Every root that is not *known* yet, and makes it known; but not those in *without*.

    Steps that several experiments have in common are put down to each; with *once* to the first.
    """
    known = set() if known is None else known
    met = known if once else None
    store = project.store
    for kind in (EXPERIMENT, SNAPSHOT):
        yield from _refs(store, kind, known, without, met)
    yield from _queue(store, known, met)
    yield from _locks(project, known)
    yield from _journals(store, known, met)
    yield from _steps(store, known, without, met)
    yield from _runs(store, known, without)


def _is_new(known: Known, kind: str, name: str, version: str) -> bool:
    if (kind, name, version) in known:
        return False
    known.add((kind, name, version))
    return True


def _refs(store: Store, kind: str, known: Known, without: Any, met: Known | None) -> Iterator[Root]:
    refs = history.refs_of(store, kind)
    for name in sorted(refs.names()):
        if (kind, name) in without:
            continue
        path = refs.path(name)
        try:
            oid = refs.get(name)
            if oid is None or not _is_new(known, kind, name, oid.hex()):
                continue
            records, nodes, problem = _kept(store, oid, met)
            yield Root(kind, name, path, records, nodes, problem=problem)
        except (StoreError, DodoError) as error:
            at = error.path if isinstance(error, StoreError) else path
            yield Root(kind, name, at, problem=str(error))


def _kept(
    store: Store, oid: Oid, met: Known | None
) -> tuple[tuple[Oid, ...], tuple[Node, ...], str]:
    """An experiment's record and those of the steps before it, and what they name.

    From a step that was *met* already the way is known. The last word says what is wrong with a
    step before it, if anything.

    Raises:
        Missing, Damaged, Damage: of the experiment itself.
    """
    records: list[Oid] = []
    nodes: list[Node] = []
    try:
        for step in chain(store, oid):
            if met is not None and records and not _is_new(met, STEP, step.oid.hex(), ""):
                break
            records.append(step.oid)
            nodes += (step.experiment.base, step.experiment.result)
    except (StoreError, DodoError) as error:
        if not records:
            raise
        where = f"{error.path}: " if isinstance(error, StoreError) else ""
        return tuple(records), tuple(nodes), f"a step before it: {where}{error}"
    return tuple(records), tuple(nodes), ""


def _queue(store: Store, known: Known, met: Known | None) -> Iterator[Root]:
    """What jobs start from; those that have failed or were removed can have another turn."""
    for job in queue.every(store):
        if job.state == queue.SUCCESS:
            continue
        task = queue.task(job)
        if task is None:
            # It has moved meanwhile, or cannot be read: then nothing can be said of it.
            job = next((each for each in queue.every(store) if each.number == job.number), job)
            task = queue.task(job)
            is_bad = task is None and job.state != queue.SUCCESS and not queue.is_lost(job)
            if is_bad and os.path.exists(job.path):
                yield Root(QUEUE, job.name, job.path, problem="cannot be read")
        if task is None or task.record == queue.NOBODY:
            continue
        if not _is_new(known, QUEUE, str(job.number), task.record.hex()):
            continue
        try:
            records, nodes, problem = _kept(store, task.record, met)
            yield Root(QUEUE, job.name, job.path, records, nodes, problem=problem)
        except (StoreError, DodoError) as error:
            yield Root(QUEUE, job.name, job.path, problem=str(error))


def _locks(project: Project, known: Known) -> Iterator[Root]:
    """Outputs as the lock files of the workspace name them, wherever one lies."""
    for path in lock_files(project.root):
        full = os.path.join(project.root, path)
        try:
            found = os.stat(full)
            if not _is_new(known, WORKSPACE, path, f"{found.st_ino} {found.st_ctime_ns}"):
                continue
            with open(full, encoding="utf-8", errors="replace") as file:
                records = lockfile.parse(file.read(), path)
        except FileNotFoundError:
            continue
        except (OSError, BadInput) as error:
            yield Root(WORKSPACE, path, full, problem=str(error))
            continue
        nodes = tuple(node for made in records.values() for _, node in made.outs)
        yield Root(WORKSPACE, path, full, nodes=nodes, may_lack=True)


def lock_files(root: str) -> list[str]:
    """Every dodo.lock of the project, relative to its root; whether a dvc.yaml is beside or not."""
    found = []
    for folder, names, files in os.walk(root):
        if lockfile.LOCK_FILE in files:
            found.append(os.path.relpath(os.path.join(folder, lockfile.LOCK_FILE), root))
        names[:] = [name for name in names if name not in (STATE, ".git", ".hg", "node_modules")]
    return sorted(found)


def _journals(store: Store, known: Known, met: Known | None) -> Iterator[Root]:
    held = [recovery.held(store.local), *map(recovery.held, temp.locals_of(store))]
    for path, records, nodes, outs in itertools.chain(*held):
        if _is_new(known, RUNNING, path, _version(records, nodes, outs)):
            for oid in records:
                try:
                    oids, more, problem = _kept(store, oid, met)
                    yield Root(RUNNING, path, path, oids, more, problem=problem)
                except (StoreError, DodoError) as error:
                    yield Root(RUNNING, path, path, (oid,), problem=str(error))
            yield Root(RUNNING, path, path, nodes=tuple(nodes))
            yield Root(RUNNING, path, path, nodes=tuple(outs), may_lack=True)


def _version(records: list[Oid], nodes: list[Node], outs: list[Node]) -> str:
    """Changes whenever a journal names something else, also where it names as much as before."""
    named = [*records, *(node.oid for node in (*nodes, *outs))]
    return of_bytes(b"".join(named)).hex()


def _steps(store: Store, known: Known, without: Any, met: Known | None) -> Iterator[Root]:
    for path in history.unreadable(store):
        yield Root(UNDO, os.path.basename(path), path, problem="cannot be read")
    for path, step in history.unfinished(store):
        if _is_new(known, UNDO, os.path.basename(path), ""):
            yield _step_root(store, step, path, met)
    for step in history.steps(store):
        name = str(step.number)
        if (UNDO, name) not in without and _is_new(known, UNDO, name, ""):
            yield _step_root(store, step, history.path_of(store, step), met)


def _step_root(store: Store, step: history.Step, path: str, met: Known | None) -> Root:
    nodes = [n for change in step.changes for n in (change.old, change.new) if n is not None]
    records: list[Oid] = []
    problem = ""
    for oid in (oid for ref in step.refs for oid in (ref.old, ref.new) if oid is not None):
        records.append(oid)
        try:
            more, its, _ = _kept(store, oid, met)
            records += more
            nodes += its
        except (StoreError, DodoError) as error:
            where = f"{error.path}: " if isinstance(error, StoreError) else ""
            problem = f"names {oid.hex()}, which cannot be read: {where}{error}"
    return Root(UNDO, str(step.number), path, tuple(records), tuple(nodes), problem=problem)


def _runs(store: Store, known: Known, without: Any) -> Iterator[Root]:
    for path in store.runs.paths():
        name = os.path.basename(path)
        if (RUN, name) in without or not _is_new(known, RUN, name, ""):
            continue
        found = store.runs.read(path)
        if isinstance(found, StoreError):
            yield Root(RUN, name, path, problem=str(found))
            continue
        try:
            nodes = tuple(Node(*node) for _, node in found[1]["outs"])
            yield Root(RUN, found[1]["stage"], path, nodes=nodes)
        except (KeyError, TypeError, ValueError) as error:
            yield Root(RUN, name, path, problem=f"not as it should be ({error!r})")


def of_kind(roots: Iterable[Root], *kinds: str) -> Iterator[Root]:
    """Those of some kinds."""
    return (root for root in roots if root.kind in kinds)
