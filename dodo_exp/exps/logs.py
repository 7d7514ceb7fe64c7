"""Logs: one for each run, also for such as failed before their first stage, or were removed."""

from __future__ import annotations

import os

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
