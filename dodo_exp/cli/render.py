"""Render: what a verb returns, as text, JSON, CSV or Markdown on standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from dodo_exp.cli.tell import BOLD, styled
from dodo_exp.errors import Failure
from dodo_exp.pipeline.values import all_same, canonical, finite
from dodo_exp.wording import printable
from dodo_store.named import Named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from dodo_exp.engine.still import Facts


class Grid(Named):
    """A table; the first `keep` columns, and `pinned` ones, are the last to be left out.

    The last `minor` ones are shown to people only where they vary.
    """

    headers: list[str]
    rows: list[list[Any]]
    keep: int = 1
    minor: int = 0
    pinned: frozenset[int] = frozenset()
    elsewhere: str = "a wider terminal or --json has them"
    """Where columns are that have no room."""


class Report(Named):
    """A verb's result: `data` for JSON, `text` or `grid` for people, in the `form` asked for.

    `more` are grids that follow the first, `after` is text below them all. With `frames` there is
    one report after the other.
    """

    data: Any = None
    text: str = ""
    grid: Grid | None = None
    form: str = "text"
    code: int = 0
    precision: int | None = 5
    more: tuple[Grid, ...] = ()
    after: str = ""
    is_compact: bool = False
    """JSON on one line: for much of it."""
    pages: bool = True
    """Whether what is longer than the terminal goes through a pager."""
    frames: Iterator[Report] | None = None
    facts: Callable[[], Facts | None] | None = None
    """For what can be said again as long as nothing moves: makes out what it rests on."""


def emit(report: Report) -> int:
    """Print a report; return the exit code."""
    if report.frames is not None:
        return _play(report.frames)
    out = shown(report)
    if out:
        _out(out, pages=report.pages and report.form == "text")
    return report.code


def shown(report: Report) -> str:
    """A report's whole output, with the end of its last line."""
    if report.form == "json":
        out = to_json(report.data, compact=report.is_compact)
    elif report.form == "csv" and report.grid is not None:
        out = to_csv(report.grid)
    elif report.form == "md" and report.grid is not None:
        grids = (report.grid, *report.more)
        out = "\n".join(to_markdown(grid, report.precision) for grid in grids)
    elif report.grid is not None:
        grids = (report.grid, *report.more)
        out = printable(report.text)
        out += "\n".join(to_text(grid, report.precision) for grid in grids)
        out += printable(report.after)
    else:
        out = printable(report.text)
    return out if not out or out.endswith("\n") else out + "\n"


def _play(frames: Iterator[Report]) -> int:
    """Show one report in the other's place, until the user has seen enough.

    Where there is no terminal, only what differs from the last one is printed.
    """
    before = None
    is_terminal = sys.stdout.isatty()
    try:
        for report in frames:
            out = shown(report)
            if is_terminal:
                lines = out.splitlines()
                rows = _terminal_size()[1] - 1
                if len(lines) > rows > 1:
                    more = f"... and {len(lines) - rows + 1} lines more"
                    lines = [*lines[: rows - 1], more]
                _print("\x1b[H" + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J")
            elif out != before:
                _print(out if before is None else "\n" + out)
            before = out
    except KeyboardInterrupt:
        return 0
    return 0


def _out(text: str, *, pages: bool) -> None:
    if pages and is_long(text):
        pager = os.environ.get("DODO_PAGER", os.environ.get("PAGER", "less"))
        if pager.strip() not in ("", "cat") and _page(text, pager):
            return
    _print(text)


def is_long(text: str) -> bool:
    """Whether there is a terminal and it has fewer lines."""
    return sys.stdout.isatty() and text.count("\n") >= _terminal_size()[1] > 0


def _page(text: str, pager: str) -> bool:
    """Show a text through a pager; False where there is none."""
    import subprocess

    env = {**os.environ, "LESS": os.environ.get("LESS", "FRSX")}
    try:
        there = subprocess.Popen(
            pager, shell=True, stdin=subprocess.PIPE, env=env, encoding="utf-8", errors="replace"
        )
    except OSError:
        return False
    try:
        there.communicate(text)
    except (BrokenPipeError, KeyboardInterrupt):
        there.wait()
    return there.returncode not in (126, 127)  # the shell's words for "no such command"


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


def to_json(data: Any, *, compact: bool = False) -> str:
    """Valid JSON: NaN and infinities become null."""
    import json

    def dump(value: Any) -> str:
        return json.dumps(
            value,
            indent=None if compact else 2,
            ensure_ascii=False,
            default=_plain,
            allow_nan=False,
        )

    try:
        text = dump(data)
    except ValueError:
        text = dump(finite(data))
    if sys.stdout.isatty():  # JSON itself escapes only the first 32 control characters
        text = text.translate({code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)})
    return text


def _plain(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def to_csv(grid: Grid) -> str:
    """RFC 4180, numbers in full and text as it is; empty for what is not there."""
    import csv
    import io

    if not grid.headers:
        return ""
    is_seen = sys.stdout.isatty()

    def exact(value: Any) -> str:
        if isinstance(value, str) and not is_seen:
            return value
        return "" if value is None else cell(value, None)

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(list(map(exact, grid.headers)))
    writer.writerows([list(map(exact, row)) for row in grid.rows])
    return out.getvalue()


def to_markdown(grid: Grid, precision: int | None) -> str:
    """A GitHub-flavoured table."""

    def row(cells: list[str]) -> str:
        return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |\n"

    columns = [i for i in range(len(grid.headers)) if i not in _quiet(grid)]
    body = [[cell(each[i], precision) for i in columns] for each in grid.rows]
    rule = row(["---:" if _is_number_column(grid, i) else "---" for i in columns])
    return row([cell(grid.headers[i], None) for i in columns]) + rule + "".join(map(row, body))


def _quiet(grid: Grid) -> set[int]:
    """Minor columns that do not vary among the rows that have them."""
    count = len(grid.headers)
    found = set()
    for i in range(count - grid.minor, count):
        there = [row[i] for row in grid.rows if row[i] is not None]
        if len(there) < 2 or all_same(there):
            found.add(i)
    return found


def to_text(grid: Grid, precision: int | None) -> str:
    """Columns under headers, numbers to the right; on a terminal, as many as fit."""
    limit = _terminal_size()[0]
    of_value = CUT if limit >= 80 else max(12, limit // 2 - 4)
    own = _own_widths(grid, precision, limit)
    made: dict[int, list[str]] = {}

    def texts(i: int, rows: list[list[Any]]) -> list[str]:
        found = [printable(grid.headers[i]), *(cell(row[i], precision) for row in rows)]
        most = own[i] if i < grid.keep and limit else of_value
        return [cut(text, most) for text in found] if limit else found

    def column(i: int) -> list[str]:
        if i not in made:
            made[i] = texts(i, grid.rows)
        return made[i]

    def first(i: int) -> list[str]:
        """All there is to know of a column that does not vary."""
        return texts(i, grid.rows[:1])

    columns, folded, missing = _fitting(grid, column, first, limit)
    padded_ = [_aligned(column(i), right=_is_number_column(grid, i)) for i in columns]
    lines = ["  ".join(row).rstrip() for row in zip(*padded_, strict=True)]
    if lines:
        lines[0] = styled(lines[0], BOLD, sys.stdout)
    notes = []
    if folded:
        values = [" ".join(first(i)) for i in folded]
        notes += _note("the same in every row: ", values, "", limit)
    if missing:
        where = f" ({grid.elsewhere})"
        names = [cut(printable(grid.headers[i]), of_value) for i in missing]
        notes += _note("no room for: ", names, where, limit)
    return "".join(f"{line}\n" for line in [*lines, *([""] if notes else []), *notes])


def _own_widths(grid: Grid, precision: int | None, limit: int) -> list[int]:
    """How wide each of the first columns may be: half of the terminal for all, if there are others.

    The widest gives way first.
    """
    if not limit:
        return []
    columns = [
        [printable(grid.headers[i]), *(cell(row[i], precision) for row in grid.rows)]
        for i in range(min(grid.keep, len(grid.headers)))
    ]
    widths = [min(CUT, _widest(texts)) for texts in columns]
    half = limit // 2 if len(grid.headers) > len(widths) else limit + 2
    for room, least in ((half, 16), (limit + 2, 8)):
        while sum(widths) + 2 * len(widths) > room and max(widths) > least:
            widths[widths.index(max(widths))] -= 1
    return widths


def _widest(texts: list[str]) -> int:
    return max(map(len if "".join(texts).isascii() else width, texts))


def _aligned(texts: list[str], *, right: bool) -> list[str]:
    """A column's texts made equally wide."""
    widest = _widest(texts)
    if "".join(texts).isascii():
        return [text.rjust(widest) if right else text.ljust(widest) for text in texts]
    return [padded(text, widest, right=right) for text in texts]


NARROWEST = 4
TRIES = 20
"""After so many columns that do not fit no more are tried: each is made into text for that."""
CUT = 40
"""Columns that a cell takes at most on a terminal."""
NOTE_LINES = 3


def _note(label: str, names: list[str], after: str, limit: int) -> list[str]:
    """Names in a few lines, as many as have room; those that have none are counted."""
    limit = max(limit, 20)
    words = [*(f"{name}," for name in names[:-1]), *names[-1:]]
    room = limit * NOTE_LINES - width(label)
    taken = 0
    while taken < len(words) and room - width(words[taken]) > 16:
        room -= width(words[taken]) + 1
        taken += 1
    if taken < len(words):
        left = f"{len(words) - taken:,}"
        words = [*words[: taken - 1], *(word.rstrip(",") for word in words[:taken][-1:])]
        words += ["and", left, "more"]
    lines = [label.rstrip()]
    for word in (*words, *after.split()):
        if width(lines[-1]) + 1 + width(word) > limit and lines[-1]:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines


Texts = Callable[[int], list[str]]


def _fitting(
    grid: Grid, column: Texts, first: Texts, limit: int
) -> tuple[list[int], list[int], list[int]]:
    """Columns to show; such as do not vary and are folded; such as there is no room for.

    Of those that do not vary the widest go first, then the last of the others. Few columns beyond
    what fits are made into text: there may be hundreds, of thousands of rows.
    """
    count = len(grid.headers)
    constant = {
        i for i in range(grid.keep, count) if all_same([row[i] for row in grid.rows])
    } - grid.pinned
    quiet = _quiet(grid)
    everything = [i for i in range(count) if i not in quiet]
    if not limit:
        return everything, [], []
    shown, room = [], limit + 2
    varying = [i for i in everything if i not in constant]
    missing: list[int] = []
    tries = 0
    for i in sorted(varying, key=lambda i: (i >= grid.keep and i not in grid.pinned, i)):
        is_open = room >= NARROWEST and tries < TRIES
        wide = _widest(column(i)) + 2 if is_open or i < grid.keep else 0
        if i >= grid.keep and (not is_open or wide > room):
            tries += 1
            missing.append(i)
            continue
        room -= wide
        shown.append(i)
    folded = []
    wide_of = {
        i: _widest(first(i)) + 2
        for i in everything
        if i in constant
    } if room > 0 and not missing else {}  # fmt: skip
    for i in sorted((i for i in everything if i in constant), key=lambda i: wide_of.get(i, 0)):
        if i in wide_of and wide_of[i] <= room:
            room -= wide_of[i]
            shown.append(i)
        else:
            folded.append(i)
    return sorted(shown), sorted(folded), sorted(missing)


def _terminal_size() -> tuple[int, int]:
    """Columns and lines of the terminal; zeros where there is none and COLUMNS does not say."""
    try:
        there = os.get_terminal_size(sys.stdout.fileno())
        columns, lines = there.columns or 80, there.lines
    except (OSError, ValueError):
        columns = lines = 0
    if os.environ.get("COLUMNS", "").isdecimal():
        columns = int(os.environ["COLUMNS"])
    return columns, lines


def _is_number_column(grid: Grid, i: int) -> bool:
    kinds = {type(row[i]) for row in grid.rows} - {type(None)}
    return bool(kinds) and kinds <= {int, float}


def cell(value: Any, precision: int | None) -> str:
    """A value on one line; floats to *precision* significant digits, `-` for what is not there."""
    kind = type(value)
    if kind is float:
        return repr(value) if precision is None else f"{value:.{precision}g}"
    if kind is int:
        return str(value)
    if kind is str:
        text: str = value
        if text.isprintable():
            return text
        return printable(text).replace("\n", "\\n").replace("\t", "\\t")
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple | dict):
        return canonical(value)
    return str(value)


def width(text: str) -> int:
    """Columns that a terminal needs for a text: Chinese and emoji take two a character."""
    if text.isascii():
        return len(text)
    from wcwidth import wcswidth

    return max(int(wcswidth(text)), 0)


def cut(text: str, to: int) -> str:
    """A text with its end cut off if it is wider than so many columns."""
    if len(text) <= to and (text.isascii() or width(text) <= to):
        return text
    text = text[: to - 1] if text.isascii() else text[: to * 8]
    while width(text) > to - 1:
        text = text[:-1]
    text = text.rstrip("\u200d")
    return text + "…"


def padded(text: str, to: int, *, right: bool = False) -> str:
    """A text made as wide as the others of its column."""
    space = " " * (to - width(text))
    return space + text if right else text + space
