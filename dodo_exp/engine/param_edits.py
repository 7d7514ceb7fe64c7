"""Param edits: what a run has set in params files, and how it is taken back."""

from __future__ import annotations

import contextlib
import os

from dodo_store import durable
from dodo_store.oid import of_bytes

Edit = tuple[str, bytes | None, bytes]
"""A file's path, what it was (None: not there), and the name of what it became."""

MOST_NAMED = 5
"""Values of a params file that a note names."""


def roll_back(root: str, edits: list[Edit]) -> tuple[list[str], list[str]]:
    """Take edits back, the last first, where the file is still what we wrote.

    Returns the paths that are as before, and a note for each that somebody else has edited since.
    """
    undone, notes = [], []
    for path, old, new in reversed(edits):
        full = os.path.realpath(os.path.join(root, path))
        with contextlib.suppress(FileNotFoundError):
            with open(full, "rb") as file:
                current = file.read()
            if of_bytes(current) == new:
                if old is None:
                    os.unlink(full)
                else:
                    durable.replace(full, old)
                undone.append(path)
            elif current != old:
                notes.append(_not_taken_back(path, old, current))
    return undone, notes


def _not_taken_back(path: str, old: bytes | None, current: bytes) -> str:
    """Say what a params file holds that was edited by somebody else during the run."""
    from dodo_exp.errors import DodoError

    text = f"{path} was edited during the run, so what the run had set in it was not taken back"
    try:
        before, now = _values(old or b"", path), _values(current, path)
    except DodoError:
        return text
    found = []
    for name in {**now, **before}:
        if name not in now:
            found.append(f"{name} is gone")
        elif name not in before:
            found.append(f"{name} is {now[name]} (new)")
        elif now[name] != before[name]:
            found.append(f"{name} is {now[name]} (was {before[name]})")
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return f"{text}: {', '.join(found[:MOST_NAMED])}{more}" if found else text


def _values(data: bytes, path: str) -> dict[str, str]:
    """The values of a params file by name, as text.

    Raises:
        DodoError: it cannot be read.
    """
    from dodo_exp.pipeline import params
    from dodo_exp.pipeline.values import canonical, leaves

    return {name: canonical(value) for name, value in leaves(params.parse(data, path)) if name}
