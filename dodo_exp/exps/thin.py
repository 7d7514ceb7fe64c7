"""Thin: let some of an experiment's steps go; those that stay keep their numbers.

Like any other change of a name it can be undone, as long as their content is not collected.
"""

from __future__ import annotations

from dodo_exp.engine import history
from dodo_exp.errors import DodoError, UsageError
from dodo_exp.exps import find, index, queue, state, steps
from dodo_exp.exps.label import changing_names
from dodo_store.errors import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dodo_exp.exps.record import Experiment
    from dodo_exp.project import Project
    from dodo_store.oid import Oid
    from dodo_store.store import Store


@history.retry_if_names_changed
def remove_steps(project: Project, names: tuple[str, ...], command: str) -> list[str]:
    """Remove steps, NAME@4, all of those named or none; returns their names.

    Raises:
        UsageError: one is not there, or its experiment runs.
    """
    with changing_names(project) as store:
        wanted: dict[find.Found, set[int]] = {}
        for text in names:
            base = check_step(store, text)
            wanted.setdefault(base, set()).add(int(text.rpartition(steps.AT)[2]))
        refs = []
        for base, numbers in wanted.items():
            new = steps.rebuilt(store, base.oid, _without(numbers))
            refs.append(history.Renamed("experiment", base.name, base.oid, new))
        _set(store, refs, command)
    return sorted(f"{base.name}{steps.AT}{n}" for base, all_ in wanted.items() for n in all_)


def check_step(store: Store, text: str) -> find.Found:
    """The experiment that a step is one of, which can be removed.

    Raises:
        UsageError
    """
    find.find(store, text, find.READABLE)
    base = find.find(store, text.rpartition(steps.AT)[0], ("experiment",))
    if queue.is_taken(store, base.name):
        raise UsageError(f"{base.name!r} is in the queue", "its steps can go when it has run")
    return base


def _without(numbers: set[int]) -> steps.Change:
    def change(experiment: Experiment) -> Experiment | None:
        return None if experiment.step in numbers else experiment

    return change


def superfluous(project: Project, keep: int | None) -> tuple[dict[find.Found, set[int]], int]:
    """Numbers of the steps beyond the last *keep* of each experiment that does not run.

    None: all stay. And how many that are, each counted once however many experiments have it.
    The last one of an experiment is what it has come to, and always stays.
    """
    if keep is None:
        return {}, 0
    store = project.store
    rows, inner = index.with_steps(store)
    going = queue.names(store)
    found: dict[find.Found, set[int]] = {}
    gone: set[str] = set()
    for row in rows:
        before = index.steps_of(row, inner)
        far = before[max(keep - 1, 0) :]
        beyond = {inner[oid].step for oid in far}
        if beyond and row.name not in going and not row.problem:
            found[find.find(store, row.name, ("experiment",))] = beyond
            gone.update(far)
    return found, len(gone)


@history.retry_if_names_changed
def thin(project: Project, wanted: dict[find.Found, set[int]], command: str) -> int | None:
    """Let steps go; experiments that have changed meanwhile, or are damaged, stay as they are.

    Returns the number of its step in the history.
    """
    with changing_names(project) as store:
        refs = []
        for base, numbers in wanted.items():
            new: Oid | None = None
            try:
                if store.experiments.get(base.name) == base.oid:
                    new = steps.rebuilt(store, base.oid, _without(numbers))
            except (StoreError, DodoError):
                continue
            if new is not None:
                refs.append(history.Renamed("experiment", base.name, base.oid, new))
        return _set(store, refs, command) if refs else None


def _set(store: Store, refs: list[history.Renamed], command: str) -> int:
    """Let names stand for what is left; returns the number of the step in the history."""
    former = {
        ref.name: [step.oid for step in steps.chain(store, ref.old)] for ref in refs if ref.new
    }
    number = history.add(store, command, refs=tuple(refs))
    for name, oids in former.items():
        state.follow(store, name, oids)
    return number
