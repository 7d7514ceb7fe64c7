"""View: which rows and columns of a table are shown, and in what order."""

from __future__ import annotations

import math

from dodo_exp.errors import UsageError, did_you_mean
from dodo_exp.exps import columns
from dodo_exp.exps.find import SHORTEST
from dodo_exp.exps.index import PARAM, Column, is_dep
from dodo_exp.exps.side import WORKSPACE
from dodo_exp.exps.table import SNAPSHOT, STEP
from dodo_exp.pipeline.values import all_same, canonical, leaves, parts
from dodo_store.named import Named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dodo_exp.exps.table import Line, Table


class View(Named):
    """What the user wants to see. Names and patterns as given; `number` counts rows."""

    names: tuple[str, ...] = ()
    filter: str = ""
    sort_by: str = ""
    descending: bool = False
    number: int | None = None
    hide: frozenset[str] = frozenset()
    """Of workspace, snapshot, failed, queued, step."""
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    only_changed: bool = False
    params: frozenset[tuple[str, str]] | None = None
    """(file, key) of the only params to show, with all that is below them; None for all."""

    def has_column(self, header: str) -> bool:
        """Whether a column of this header is to be shown, as DVC: patterns match at the start."""
        if not self.keep and not self.drop:
            return True
        import re

        if any(re.match(pattern, header) for pattern in self.keep):
            return True
        return not any(re.match(pattern, header) for pattern in self.drop)


def check(view: View) -> None:
    """Refuse patterns that are none.

    Raises:
        UsageError
    """
    for option, patterns in (("--keep", view.keep), ("--drop", view.drop)):
        for pattern in patterns:
            import re

            try:
                re.compile(pattern)
            except (re.error, OverflowError, RecursionError) as error:
                raise UsageError(f"{option}: {pattern!r} is no pattern: {error}") from None


def apply(table: Table, view: View) -> Table:
    """The table with the rows and columns that are wanted.

    The workspace stays on top however the rest is sorted.

    Raises:
        UsageError: a column or row that is not there, or a query that is none.
    """
    check(view)
    lines = [line for line in table.lines if not _kinds(line) & view.hide]
    if view.names:
        lines = _named(lines, view.names)
    top = [line for line in lines if line.kind == WORKSPACE and not view.names]
    rest = [line for line in lines if line.kind != WORKSPACE or view.names]
    if view.filter:
        from dodo_exp.exps import query

        ask = query.compile(view.filter, columns.finder(table, "--filter", query.in_query))
        rest = [line for line in rest if ask(line)]
    if view.sort_by:
        rest = _sorted(table, rest, view.sort_by, view.descending)
    if view.number is not None and view.number >= 0:
        rest = rest[: view.number] if view.sort_by else _first(rest, view.number)
    return _columns(table._replace(lines=(*top, *rest)), view)


def _kinds(line: Line) -> set[str]:
    return {line.kind if line.kind in (WORKSPACE, SNAPSHOT, STEP) else line.status}


def _first(lines: list[Line], number: int) -> list[Line]:
    """So many lines, with the steps that are below them."""
    kept: list[Line] = []
    for line in lines:
        is_below = bool(kept) and line.kind == STEP and line.of in (kept[-1].name, kept[-1].of)
        if not is_below:
            number -= 1
        if number < 0:
            break
        kept.append(line)
    return kept


def _named(lines: list[Line], names: tuple[str, ...]) -> list[Line]:
    """The lines of these names or ids, in the order of the names.

    Raises:
        UsageError
    """
    found: dict[str, Line] = {}
    for name in names:
        of_name = [line for line in lines if name in (line.name, line.of)]
        if not of_name and len(name) >= SHORTEST:
            of_name = [line for line in lines if line.id.startswith(name.lower())]
        if not of_name:
            known = [line.name for line in lines]
            raise UsageError(f"no experiment {name!r}", did_you_mean(name, known, "experiments"))
        found |= {line.name: line for line in of_name}
    return list(found.values())


def _sorted(table: Table, lines: list[Line], by: str, descending: bool) -> list[Line]:
    """Sorted by a column; rows that have no value there come last either way."""
    get = columns.finder(table, "--sort-by")(by)
    keys = [(_rank(get(line)), line) for line in lines]
    there = [pair for pair in keys if pair[0] is not None]
    there.sort(key=lambda pair: pair[0] or (0, 0), reverse=descending)
    return [line for _, line in there] + [line for rank, line in keys if rank is None]


def _rank(value: Any) -> tuple[int, Any] | None:
    """Numbers before text before the rest; None for what has no place in an order."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, int | float):
        return (0, value)
    return (1, value) if isinstance(value, str) else (2, canonical(value))


def _columns(table: Table, view: View) -> Table:
    """The table with fewer columns."""
    kept = list(range(len(table.columns)))
    if view.keep or view.drop:
        kept = [i for i in kept if view.has_column(table.headers[i])]
    if view.params is not None:
        kept = [i for i in kept if is_dep(table.columns[i], view.params)]
    if view.only_changed:
        varying = set(varies(table))
        kept = [i for i in kept if i in varying]
    return table._replace(
        columns=tuple(table.columns[i] for i in kept),
        headers=tuple(table.headers[i] for i in kept),
    )


def varies(table: Table) -> list[int]:
    """Places of the columns whose values are not the same in all rows."""
    rows = table.rows()
    return [i for i in range(len(table.columns)) if not all_same([row[i] for row in rows])]


def only_deps(file: str, values: Any, params: frozenset[tuple[str, str]]) -> Any:
    """A params file's contents with nothing but what a stage reads."""
    found: dict[str, Any] = {}
    for name, value in leaves(values):
        if is_dep(Column(PARAM, file, name), params):
            place = found
            *before, last = parts(name)
            for key in before:
                place = place.setdefault(key, {})
            place[last] = value
    return found
