"""Places: folders that are filled from snapshots, used by one process at a time, and used again.

`<folder>/<n>/` is a place and `<n>.lock` is held by whoever uses it. One that nobody uses is kept
for the next, since what is there already need not be written; more than that is removed.
"""

from __future__ import annotations

import contextlib
import os
import time

from dodo_store import locks
from dodo_store.errors import Held
from dodo_store.mirror import wipe

SPARE = 1
"""How many places that nobody uses are kept."""


def take(folder: str, held: contextlib.ExitStack) -> str:
    """Use a place until *held* is closed: one that is there, or a new one; returns its path."""
    os.makedirs(folder, exist_ok=True)
    who = f"pid {os.getpid()}, since {time.strftime('%H:%M:%S')}"
    known = numbers(folder)
    for number in (*known, *range(1, len(known) + 1025)):
        path = f"{folder}/{number}"
        try:
            held.enter_context(locks.hold(f"{path}.lock", who, timeout=0))
        except Held:
            continue
        os.makedirs(path, exist_ok=True)
        return path
    raise AssertionError("BUG: a thousand places are in use")


def numbers(folder: str) -> list[int]:
    """The places that are there, used or not."""
    try:
        entries = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(int(name) for name in entries if name.isdecimal())


def idle(folder: str) -> list[int]:
    """Those that nobody uses."""
    return [number for number in numbers(folder) if locks.is_free(f"{folder}/{number}.lock")]


def sweep(folder: str, keep: int = SPARE) -> None:
    """Remove places that nobody uses, but for *keep* of them, and locks without a place."""
    if not os.path.isdir(folder):
        return
    for number in idle(folder)[keep:]:
        with contextlib.suppress(Held, OSError):
            with locks.hold(f"{folder}/{number}.lock", "", timeout=0):
                wipe(f"{folder}/{number}")
    for name in os.listdir(folder):
        number_of, dot, _ = name.partition(".lock")
        if dot and not os.path.exists(f"{folder}/{number_of}"):
            locks.discard(f"{folder}/{name}")
