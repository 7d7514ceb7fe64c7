"""Columns: which of a table's a user means, by header, by file and name, or by their own words."""

from __future__ import annotations

import time

from dodo_exp.errors import UsageError, did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from dodo_exp.exps.table import Line, Table

    Get = Callable[[Line], Any]
    Find = Callable[[str], Get]

OWN: dict[str, Get] = {
    "experiment": lambda line: line.name,
    "name": lambda line: line.name,
    "id": lambda line: line.id,
    "created": lambda line: line.created,
    "age": lambda line: None if line.created is None else time.time() - line.created,
    "seconds": lambda line: line.seconds,
    "state": lambda line: (
        line.how or line.status or (line.kind if line.kind != "experiment" else "done")
    ),
    "tags": lambda line: list(line.tags),
    "note": lambda line: line.message,
    "step": lambda line: line.step or None,
    "parent": lambda line: line.parent,
}
"""What every row has of its own; a metric or param of the same name goes before it."""


def finder(table: Table, what: str, spelled: Callable[[str], str] = str) -> Find:
    """What finds a column by its name; *what* is the option that names it.

    *spelled* gives a column's name as it has to be written there, for hints.

    A function that raises:
        UsageError: there is none, or several.
    """

    known: list[str] = []

    def find(text: str) -> Get:
        if text in table.headers:
            return table.getter(table.columns[table.headers.index(text)])
        exact = [c for c in table.columns if c.name and f"{c.file}:{c.name}" == text]
        named = exact or [c for c in table.columns if c.name == text]
        if len(named) > 1:
            every = ", ".join(f"{c.file}:{c.name}" for c in named)
            raise UsageError(f"{what}: {text!r} is in several files", f"name one of {every}")
        if named:
            return table.getter(named[0])
        if text.lower() in OWN:
            return OWN[text.lower()]
        ends = [
            header
            for header in table.headers
            if header.endswith(f".{text}") or header.startswith(f"{text} ")
        ]
        if not known:
            known.extend(map(spelled, (*table.headers, *OWN)))
        near = spelled(ends[0]) if ends else ""
        hint = f"did you mean {near!r}?" if near else did_you_mean(text, known, "columns")
        few = "`dodo exp show --csv` has all of them in its first line"
        raise UsageError(f"{what}: no column {text!r}", hint or few)

    return find
