"""Logs: one for each run, also for such as failed before their first stage, or were removed."""

from __future__ import annotations

import os

from dodo_store.store import Store


def log_path(store: Store, number: int, name: str) -> str:
    """Where a run's log is."""
    return f"{store.folder}/logs/{number:08}~{name}.log"


def every(store: Store) -> list[tuple[int, str, str]]:
    """Number, name and path of every run's log, in order."""
    folder = f"{store.folder}/logs"
    found = []
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        number, tilde, rest = name.partition("~")
        if tilde and number.isdecimal() and rest.endswith(".log"):
            found.append((int(number), rest.removesuffix(".log"), f"{folder}/{name}"))
    return sorted(found)
