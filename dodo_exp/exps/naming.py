"""Naming: who may have which name; and what stood for one before can be had back."""

from __future__ import annotations

from dodo_exp.errors import Busy, Damage, Failure, UsageError
from dodo_exp.exps import find
from dodo_exp.exps.record import load
from dodo_store.errors import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dodo_exp.exps import queue
    from dodo_exp.exps.record import Experiment
    from dodo_exp.project import Project
    from dodo_store.oid import Oid
    from dodo_store.store import Store


class TakenOver(Failure):
    """A job is not ours any more; what has come of it is nobody's."""


def check_free(project: Project, name: str | None, replace: bool, mine: str | None = None) -> None:
    """The name is to be nobody's but *mine*.

    Raises:
        UsageError
    """
    if name is None or name == mine:
        return
    from dodo_exp.exps import queue

    if queue.is_taken(project.store, name):
        raise UsageError(f"there is an experiment {name!r} in the queue", "choose another name")
    check_kept(project, name, replace)


def check_kept(project: Project, name: str | None, replace: bool, mine: str | None = None) -> None:
    """Of what has run, or is kept as a snapshot, nothing has the name.

    Raises:
        UsageError
    """
    check_kept_in(project.store, name, replace, mine)


def check_kept_in(store: Store, name: str | None, replace: bool, mine: str | None = None) -> None:
    """As `check_kept`, of a store.

    Raises:
        UsageError
    """
    if name is None or name == mine:
        return
    if store.snapshots.has(name):
        raise UsageError(f"there is a snapshot {name!r} already", "choose another name")
    if replace or not store.experiments.has(name):
        return
    if not find.has_failed(store, name) or find.has_steps(store, name):
        raise UsageError(
            f"there is an experiment {name!r} already",
            "choose another name, or replace it with --replace",
        )


def give(store: Store, made: Experiment, oid: Oid, command: str) -> None:
    """Let a name stand for a record; what it stood for and is none of that can be had back."""
    from dodo_exp.engine import history

    while True:
        try:
            old = store.experiments.get(made.name)
            is_free = old is None or old == oid or _is_part(old, load(store, old), made)
        except (StoreError, Damage):
            old, is_free = None, True
        try:
            if is_free:
                history.give(store, made.name, old, oid)
            else:
                ref = history.Renamed("experiment", made.name, old, oid)
                history.add(store, command, refs=(ref,))
            return
        except Busy:
            continue  # the name was given to something else in between: a result is not lost for it


def _is_part(oid: Oid, old: Experiment, made: Experiment) -> bool:
    """Whether nothing of *old* is lost: it is a step of *made*, or has failed at once."""
    place = (made.step, made.before, made.base)
    return (
        oid == made.before
        or (old.unfinished and (old.step, old.before, old.base) == place)
        or (bool(old.job) and old.job == made.job)
        or (bool(old.error) and not old.step)
    )


def result_name(store: Store, claim: queue.Claim, made: Experiment, replace: bool) -> str:
    """The name for a job's result; another one if somebody has its own by now.

    What has failed does not take the place of what has not.

    Raises:
        TakenOver
    """
    if not claim.is_ours:
        raise TakenOver(f"experiment {made.name!r} has been taken over by somebody else")
    may_replace = (replace and not made.error) or _may_go(store, claim, made.name)
    is_free = may_replace or not store.experiments.has(made.name)
    return made.name if is_free and not store.snapshots.has(made.name) else other_name(made)


def _may_go(store: Store, claim: queue.Claim, name: str) -> bool:
    """Whether what has a name has failed, and either has no steps or is the job's own."""
    if not find.has_failed(store, name):
        return False
    from dodo_exp.exps import queue

    task = queue.task(claim.job)
    ours = task.ids if task is not None else ()
    return not find.has_steps(store, name) or find.experiment(store, name).job in ours


def other_name(made: Experiment) -> str:
    """For a result whose name somebody else has."""
    return f"{made.name[:80]}-{made.job[:6]}"


def turns(draft: Experiment, task: queue.Task) -> tuple[str, ...]:
    """The names that what came of a job's turns may have."""
    return (draft.name, *(other_name(draft._replace(job=each)) for each in task.ids))
