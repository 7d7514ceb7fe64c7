"""Render: what a verb returns, as text, JSON, CSV or Markdown on standard output."""

from __future__ import annotations

import math
import os
import sys
from typing import Any, NamedTuple
from unicodedata import combining, east_asian_width

from dodo_exp.cli.tell import BOLD, styled
from dodo_exp.errors import Failure
from dodo_exp.wording import printable


class Grid(NamedTuple):
    """A table; columns in `keep` are never left out to fit a terminal."""

    headers: list[str]
    rows: list[list[Any]]
    keep: int = 1


class Report(NamedTuple):
    """A verb's result: `data` for JSON, `text` or `grid` for people, in the `form` asked for."""

    data: Any = None
    text: str = ""
    grid: Grid | None = None
    form: str = "text"
    code: int = 0
    precision: int | None = 5


def emit(report: Report) -> int:
    """Print a report; return the exit code."""
    if report.form == "json":
        out = to_json(report.data)
    elif report.form == "csv" and report.grid is not None:
        out = to_csv(report.grid)
    elif report.form == "md" and report.grid is not None:
        out = to_markdown(report.grid, report.precision)
    elif report.grid is not None:
        out = printable(report.text) + to_text(report.grid, report.precision)
    else:
        out = printable(report.text)
    if out:
        _print(out if out.endswith("\n") else out + "\n")
    return report.code


def _print(text: str) -> None:
    try:
        try:
            sys.stdout.write(text)
        except UnicodeEncodeError:
            sys.stdout.write(text.encode("ascii", "backslashreplace").decode())
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Failure(f"cannot write to standard output: {error.strerror}") from None


def to_json(data: Any) -> str:
    """Valid JSON: NaN and infinities become null."""
    import json

    return json.dumps(_finite(data), indent=2, ensure_ascii=False, default=_plain)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value


def _plain(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def to_csv(grid: Grid) -> str:
    """RFC 4180, numbers in full; empty for what is not there."""
    import csv
    import io

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(grid.headers)
    writer.writerows([["" if v is None else cell(v, None) for v in row] for row in grid.rows])
    return out.getvalue()


def to_markdown(grid: Grid, precision: int | None) -> str:
    """A GitHub-flavoured table."""

    def row(cells: list[str]) -> str:
        return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |\n"

    body = [[cell(value, precision) for value in each] for each in grid.rows]
    rule = row(["---:" if _is_number_column(grid, i) else "---" for i in range(len(grid.headers))])
    return row([cell(head, None) for head in grid.headers]) + rule + "".join(map(row, body))


def to_text(grid: Grid, precision: int | None) -> str:
    """Columns under headers, numbers to the right; on a terminal, as many as fit."""
    cells = [
        [cell(head, None) for head in grid.headers],
        *([cell(v, precision) for v in row] for row in grid.rows),
    ]
    widths = [max(width(row[i]) for row in cells) for i in range(len(grid.headers))]
    shown = _fitting(grid, widths)
    right = [_is_number_column(grid, i) for i in shown]
    lines = []
    for number, row in enumerate(cells):
        columns = [padded(row[i], widths[i], right=r) for i, r in zip(shown, right, strict=True)]
        text = "  ".join(columns).rstrip()
        lines.append(styled(text, BOLD, sys.stdout) if number == 0 else text)
    left_out = [grid.headers[i] for i in range(len(grid.headers)) if i not in shown]
    note = f"\nnot shown: {', '.join(left_out)} (a wider terminal or --json has them)\n"
    return "\n".join(lines) + "\n" + (note if left_out else "")


def _fitting(grid: Grid, widths: list[int]) -> list[int]:
    """Columns to show: of those that do not vary the widest go first, then the last ones."""
    everything = list(range(len(widths)))
    limit = _terminal_width()
    if limit is None:
        return everything
    constant = [i for i in everything if i >= grid.keep and _is_constant(grid, i)]
    varying = [i for i in everything if i >= grid.keep and i not in constant]
    shown = set(everything)
    constant.sort(key=lambda i: -widths[i])
    for i in [*constant, *reversed(varying)]:
        if sum(widths[j] + 2 for j in shown) - 2 <= limit:
            break
        shown.discard(i)
    return sorted(shown)


def _terminal_width() -> int | None:
    if os.environ.get("COLUMNS", "").isdecimal():
        return int(os.environ["COLUMNS"])
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except (OSError, ValueError):
        return None


def _is_constant(grid: Grid, i: int) -> bool:
    return len(grid.rows) > 1 and all(row[i] == grid.rows[0][i] for row in grid.rows)


def _is_number_column(grid: Grid, i: int) -> bool:
    values = [row[i] for row in grid.rows if row[i] is not None]
    return bool(values) and all(
        isinstance(v, int | float) and not isinstance(v, bool) for v in values
    )


def cell(value: Any, precision: int | None) -> str:
    """A value on one line; floats to *precision* significant digits, `-` for what is not there."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value) if precision is None else f"{value:.{precision}g}"
    if isinstance(value, str):
        return printable(value).replace("\n", "\\n")
    if isinstance(value, list | tuple | dict):
        from dodo_exp.pipeline.values import canonical

        return canonical(value)
    return str(value)


def width(text: str) -> int:
    """Columns that a terminal needs for a text: wide East Asian characters take two."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def padded(text: str, to: int, *, right: bool = False) -> str:
    """A text made as wide as the others of its column."""
    space = " " * (to - width(text))
    return space + text if right else text + space
