"""Collect: give back the space of what nothing needs any more, and say what the rest is for."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from dodo_exp.engine import history
from dodo_exp.events import Note
from dodo_exp.exps import find, index, logs, queue, recover, roots, thin
from dodo_exp.exps.dequeue import forget
from dodo_exp.exps.label import changing_names
from dodo_store import durable, gc, locks, places
from dodo_store.errors import StoreError
from dodo_store.named import Named
from dodo_store.store import PLACES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dodo_exp.events import Listener
    from dodo_exp.project import Project
    from dodo_store.gc import Collected
    from dodo_store.store import Store

DAY = 86_400.0


class Policy(Named):
    """What to let go. Ages are in seconds; None: nothing for that reason."""

    keep_last: int | None = None
    keep_steps: int | None = None
    older_than: float | None = None
    grace: float = DAY
    dry: bool = False


class Result(Named):
    """What was (or would be) let go, and what is kept for what."""

    experiments: tuple[str, ...]
    runs: int
    steps: int
    thinned: int
    """Steps of experiments."""
    collected: Collected
    leftovers: tuple[int, int]


def collect(project: Project, policy: Policy, command: str, listener: Listener) -> Result:
    """Remove experiments by policy, then what nothing refers to.

    A removed experiment can be brought back by undo until its own content is past the grace, too.
    Safe beside any number of runs.

    Raises:
        UsageError, Failure
    """
    store = project.store
    now = time.time()
    if not policy.dry:
        project.write(listener)
        history.finish(store)
        recover.recover(project)
    gone = _experiments(store, policy, now)
    thinned, many = thin.superfluous(project, policy.keep_steps)
    thinned = {base: numbers for base, numbers in thinned.items() if base not in gone}
    number = thin.thin(project, thinned, command) if thinned and not policy.dry else None
    steps = history.drop(store, now - policy.grace)
    if number is not None and policy.grace == 0:
        steps = [*steps, number]
    names = {(roots.EXPERIMENT, each.name) for each in gone}
    names |= {(roots.UNDO, str(number)) for number in steps}
    runs = _runs(project, policy, now, names)
    if not policy.dry:
        gone = _let_go(project, gone, steps, runs, command, policy)
    # A dry run leaves out what the real one has removed by now. The real one leaves nothing out:
    # another command may have made something of the same name since.
    removed = names | {(roots.RUN, os.path.basename(path)) for path in runs}
    without = removed if policy.dry else set()
    progress = _Progress(listener)
    collected = gc.collect(
        store,
        lambda known: roots.everything(project, known, without=without, once=True),
        grace=policy.grace,
        dry=policy.dry,
        progress=progress,
        waiting=lambda owner: listener(Note("info", "waiting for commands that are writing")),
    )
    order = list(roots.WORDS)
    kept = dict(sorted(collected.kept.items(), key=lambda item: order.index(item[0])))
    collected = collected._replace(kept=kept)
    leftovers = _leftovers(project, now - policy.grace, policy.dry)
    return Result(
        tuple(e.name for e in gone),
        len(runs),
        len(steps),
        many,
        collected,
        leftovers,
    )


class _Progress:
    """A word a few seconds apart."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._next = time.monotonic() + 1.0

    def __call__(self, count: int) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + 5.0
            self._listener(Note("info", f"looking for what is needed: {count:,} folders so far"))


def _experiments(store: Store, policy: Policy, now: float) -> list[find.Found]:
    """Those that are beyond the last N, and older than that; unreadable ones stay."""
    if policy.keep_last is None and policy.older_than is None:
        return []
    rows = [row for row in index.rows(store) if not row.problem]
    beyond = rows[policy.keep_last :] if policy.keep_last is not None else rows
    if policy.older_than is not None:
        beyond = [row for row in beyond if row.created < now - policy.older_than]
    return [find.find(store, row.name, (roots.EXPERIMENT,)) for row in beyond]


def _cutoff(store: Store, policy: Policy, now: float, gone: set[str]) -> float | None:
    """The run-cache is kept back to here: the age, or the oldest experiment that stays."""
    if policy.older_than is not None:
        return now - policy.older_than
    if policy.keep_last is None:
        return None
    kept = [r.created - r.seconds for r in index.rows(store) if r.name not in gone and r.created]
    return min(kept, default=now)


def _runs(project: Project, policy: Policy, now: float, without: set[tuple[str, str]]) -> list[str]:
    """Results in the run-cache that are old and that nothing else holds."""
    store = project.store
    gone = {name for kind, name in without if kind == roots.EXPERIMENT}
    cutoff = _cutoff(store, policy, now, gone)
    if cutoff is None:
        return []
    from dodo_store.reach import Reach

    reach = Reach(store)
    kept = roots.of_kind(
        roots.everything(project, without=without),
        roots.EXPERIMENT,
        roots.SNAPSHOT,
        roots.WORKSPACE,
        roots.RUNNING,
    )
    reach.follow(kept)
    held = reach.objects.keys() | reach.trees.keys()
    found = []
    for path in store.runs.paths():
        made = store.runs.read(path)
        if isinstance(made, StoreError) or made[0] >= cutoff:
            continue
        with suppress(KeyError, TypeError, ValueError):
            if any(bytes(node[1]) not in held for _, node in made[1]["outs"]):
                found.append(path)
    return found


def _let_go(
    project: Project,
    gone: list[find.Found],
    steps: list[int],
    runs: list[str],
    command: str,
    policy: Policy,
) -> list[find.Found]:
    """Remove what the policy names; returns the experiments that were removed."""
    store = project.store
    if gone:
        gone, added = _remove_names(project, gone, command)
        forget(store, {each.name for each in gone})
        if policy.grace == 0:
            steps = [*steps, *added]
    history.forget(store, steps)
    for path in runs:
        with suppress(FileNotFoundError):
            os.unlink(path)
    return gone


@history.retry_if_names_changed
def _remove_names(
    project: Project, gone: list[find.Found], command: str
) -> tuple[list[find.Found], list[int]]:
    """Remove experiments that have not changed since they were found.

    Returns those, and the number of the undo step, if one was added.
    """
    with changing_names(project) as store:
        same = [each for each in gone if store.experiments.get(each.name) == each.oid]
        refs = tuple(history.Renamed(each.kind, each.name, each.oid, None) for each in same)
        return same, [history.add(store, command, refs=refs)] if refs else []


def _leftovers(project: Project, before: float, dry: bool) -> tuple[int, int]:
    """Temporary files of the dead, old damaged objects, old outputs, locks of finished stages."""
    store = project.store
    if not store.exists:
        return (0, 0)
    if not dry:
        for folder in os.scandir(store.runs.folder):
            durable.sweep(folder.path)
        _sweep_locks(store, before)
        _sweep_states(store)
        places.sweep(f"{store.folder}/{PLACES}", keep=0)
        _sweep_queue(store, before)
        _sweep_logs(store, before)
        _sweep_slots(store, before)
    total = (0, 0)
    for name in ("quarantine", "partial"):
        total = _sum(total, gc.sweep(f"{store.folder}/{name}", before, dry=dry))
    replaced = f"{store.folder}/replaced"
    for name in os.listdir(replaced) if os.path.isdir(replaced) else ():
        total = _sum(total, gc.sweep(f"{replaced}/{name}", before, dry=dry))
        if not dry:
            with suppress(OSError):
                os.rmdir(f"{replaced}/{name}")
    return total


def _sum(one: tuple[int, int], two: tuple[int, int]) -> tuple[int, int]:
    return one[0] + two[0], one[1] + two[1]


def _sweep_locks(store: Store, before: float) -> None:
    """Lock files of run keys; whoever waits for one notices that it is gone (filelock does)."""
    folder = f"{store.folder}/locks/run"
    for entry in os.scandir(folder):
        with suppress(FileNotFoundError):  # another gc has it
            if entry.stat(follow_symlinks=False).st_mtime < before:
                locks.discard(entry.path)


def _sweep_slots(store: Store, before: float) -> None:
    """Pools of commands that are gone: of one that is not, somebody would hold something."""
    for folder, names, files in os.walk(f"{store.folder}/slots"):
        if os.path.basename(folder).startswith("jobs-") and not names:
            with suppress(OSError):
                if os.stat(folder).st_mtime < before:
                    for name in files:
                        locks.discard(f"{folder}/{name}")
                    os.rmdir(folder)


def _sweep_queue(store: Store, before: float) -> None:
    """Jobs that were taken out long ago."""
    for job in queue.every(store):
        if job.state == queue.REMOVED and job.moment < before:
            queue.remove(store, job)


def _sweep_logs(store: Store, before: float) -> None:
    """Old logs of runs of which nothing else is left."""
    known = {(job.number, job.name) for job in queue.jobs(store)}
    for (number, name), files in logs.files_of(store).items():
        if (number, name) in known or store.experiments.has(name):
            continue
        with suppress(OSError):
            if max(os.stat(file).st_mtime for file in files) < before:
                for file in files:
                    os.unlink(file)


def _sweep_states(store: Store) -> None:
    """Notes of which experiment has which state, if one of them names none that there is.

    All of them go, for they count as complete: another may have that state. They are made anew.
    """
    folder = f"{store.folder}/states"
    paths = []
    with suppress(FileNotFoundError):
        paths = os.listdir(folder)
    for path in paths:
        with suppress(OSError):
            with open(f"{folder}/{path}", encoding="utf-8", errors="replace") as file:
                name = file.read(500)
            if not store.experiments.has(name):
                with store.scratch() as scratch:
                    os.rename(folder, f"{scratch}/states")
                return
