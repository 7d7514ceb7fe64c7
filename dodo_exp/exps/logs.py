"""Logs: one for each run, also for such as failed before their first stage, or were removed."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dodo_store.store import Store


def log_path(store: Store, number: int, name: str) -> str:
    """Where a run's log is."""
    return f"{store.folder}/logs/{number:08}~{name}.log"


def every(store: Store) -> list[tuple[int, str, str]]:
    """Number, name and path of every run's log, in order."""
    return [(number, name, files[0]) for (number, name), files in files_of(store).items()]


def files_of(store: Store) -> dict[tuple[int, str], list[str]]:
    """The files of every run's log, by number and name, in order."""
    folder = f"{store.folder}/logs"
    found: dict[tuple[int, str], list[str]] = {}
    for file in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        number, tilde, rest = file.partition("~")
        name, dot, part = rest.rpartition(".log")
        if tilde and number.isdecimal() and dot and (not part or part[1:].isdecimal()):
            found.setdefault((int(number), name), []).append(f"{folder}/{file}")
    return found


def of(store: Store, name: str) -> list[tuple[int, str, str]]:
    """The logs of an experiment by name, in order; of one that was renamed, the one it had."""
    known = every(store)
    found = [log for log in known if log[1] == name]
    if found or not store.experiments.has(name):
        return found
    from dodo_exp.errors import DodoError
    from dodo_exp.exps import find
    from dodo_store.errors import StoreError

    try:
        experiment = find.experiment(store, name, ("experiment",))
        before = [log for log in known if log[1] in experiment.was]
        return sorted(before, key=lambda log: -abs(os.stat(log[2]).st_mtime - experiment.created))
    except (DodoError, StoreError, OSError):
        return []
