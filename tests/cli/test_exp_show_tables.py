"""`dodo exp show`: how its tables look, on terminals and off them, and what chooses their rows."""

from __future__ import annotations

import csv
import datetime
import fcntl
import io
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import pytest
from wcwidth import wcswidth

from tests.space import Space, wait_for

TRAIN = """\
import re

lr = float(re.search(r"lr: (\\S+)", open("params.yaml").read()).group(1))
if lr >= 1:
    raise SystemExit("too fast")
with open("metrics.json", "w") as file:
    file.write('{"acc": %r, "loss": %r}' % (round(1 - lr / 3, 9), lr / 7))
"""
PIPELINE = """\
stages:
  train:
    cmd: python3 train.py
    deps: [train.py, data.txt]
    params: [lr, model]
    metrics: [metrics.json: {cache: false}]
"""
COPY = """\
stages:
  copy:
    cmd: cp params.yaml out.txt
    deps: [params.yaml]
    outs: [out.txt]
"""
SAME = "the same in every row: "
NO_ROOM = "no room for: "
WIDTHS = (60, 80, 160)
BOLD, PLAIN = "\x1b[1m", "\x1b[0m"


# -- projects ------------------------------------------------------------------------------


def made(factory: pytest.TempPathFactory, name: str) -> Space:
    """A space where it is about noon, so that no test sees the date change."""
    space = Space(factory.mktemp(name))
    hour = datetime.datetime.now(datetime.UTC).hour
    space.env["TZ"] = f"NOON{hour - 12:+d}"
    space.env["TERM"] = "xterm"
    return space


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    """Three experiments, a snapshot, one that has failed, one that waits."""
    space = made(tmp_path_factory, "few")
    space.write("dvc.yaml", PIPELINE)
    space.write("train.py", TRAIN)
    space.write("data.txt", "1\n")
    space.write("params.yaml", "lr: 0.1\nmodel: tiny\nunread: 5\n")
    space.exp("-n", "one")
    space.dodo("snapshot", "-n", "kept")
    space.exp("-n", "two", "-S", "lr=0.25")
    space.exp("-n", "three", "-S", "lr=0.03", "-S", "model=large")
    space.dodo("exp", "run", "--queue", "-n", "broken", "-S", "lr=7")
    space.dodo("queue", "start", code=1)
    space.dodo("exp", "run", "--queue", "-n", "waits", "-S", "lr=0.5")
    yield space
    space.check()


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    """200 params of which three vary: p050 and p100, and p150, which is a long text."""
    space = made(tmp_path_factory, "wide")
    space.write("dvc.yaml", COPY)
    space.write("params.yaml", "".join(f"p{i:03}: {i}\n" for i in range(200)))
    space.exp("-n", "one")
    space.exp("-n", "two", "-S", "p050=0.5", "-S", "p150=a-text-of-some-length-here")
    space.exp("-n", "three", "-S", "p100=0.25")
    yield space
    space.check()


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    """Names in Chinese and with emoji, of experiments, params and values."""
    space = made(tmp_path_factory, "names")
    space.write("dvc.yaml", COPY)
    space.write("params.yaml", "学习率: 0.1\n模型: 小\nword: é\nz: 1\n")
    space.exp("-n", "实验-一")
    space.exp("-n", "🚀fast", "-S", "学习率=0.25")
    space.exp("-n", "👩‍🔬lab", "-S", "模型=很大的模型", "-S", "z=2000")
    yield space
    space.check()


MANY_ROWS = 12


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    """More experiments than a terminal of 10 lines has room for."""
    space = made(tmp_path_factory, "many")
    space.write("dvc.yaml", COPY)
    space.write("params.yaml", "a: 1\n")
    space.dodo("exp", "run", "--queue", "-S", f"a=range(1,{MANY_ROWS + 1})")
    yield space
    space.check()


LONG = "x" * 30 + "y" * 30
LONG_NAME = "a-name-" + "n" * 50


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    """Long texts, lists and names."""
    space = made(tmp_path_factory, "long")
    space.write("dvc.yaml", COPY)
    space.write(
        "params.yaml", f"text: {LONG}\nlist: [{', '.join(map(str, range(40)))}]\nwords: 字\n"
    )
    space.exp("-n", "one")
    space.exp("-n", LONG_NAME, "-S", "words=" + "字" * 30)
    yield space
    space.check()


# -- commands ------------------------------------------------------------------------------


def plain(text: str) -> str:
    """Times of day as one word, and digests that end a line as another."""
    text = re.sub(r"\b\d\d:\d\d:\d\d\b", "HH:MM:SS", text)
    return re.sub(r"\b[0-9a-f]{7}(?=\x1b|$)", "digest7", text, flags=re.MULTILINE)


class Shown:
    """`dodo exp show ARGS` while it runs, on a terminal of some size or before a pipe."""

    begun: ClassVar[list[subprocess.Popen[bytes]]] = []

    def __init__(
        self,
        space: Space,
        *args: str,
        columns: int = 80,
        lines: int = 50,
        pipe: bool = False,
        pager: str | None = "cat",
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._reader, writer = os.pipe() if pipe else pty.openpty()
        if not pipe:
            fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self._seen = b""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dodo_exp", "exp", "show", *args],
            cwd=space.root,
            env={**space.env, **({"DODO_PAGER": pager} if pager else {}), **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=writer,
            start_new_session=True,
        )
        os.close(writer)
        Shown.begun.append(self.process)

    @property
    def text(self) -> str:
        """All that it has printed so far."""
        while select.select([self._reader], [], [], 0)[0]:
            try:
                data = os.read(self._reader, 1 << 16)
            except OSError:
                break  # a terminal whose last program is gone
            if not data:
                break
            self._seen += data
        return plain(self._seen.decode(errors="replace").replace("\r\n", "\n"))

    def wait(self, condition: Callable[[str], bool]) -> str:
        """Wait until what it has printed is as it should be; return that."""
        wait_for(lambda: condition(self.text))
        return self.text

    def end(self, code: int = 0) -> str:
        """Wait for its end, which must be with *code*; return all that it has printed."""
        self.wait(lambda _: self.process.poll() is not None)
        text = self.text
        os.close(self._reader)
        assert self.process.returncode == code, text
        assert "Traceback" not in text
        return text

    def interrupt(self) -> str:
        """Ctrl-C; it must end well."""
        self.process.send_signal(signal.SIGINT)
        return self.end()


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    """Commands that a failed test has left running end with it."""
    yield
    while Shown.begun:
        process = Shown.begun.pop()
        if process.poll() is None:
            process.kill()
        process.wait()


def on_terminal(space: Space, *args: str, columns: int = 80, lines: int = 50, **env: str) -> str:
    """What `dodo exp show ARGS` prints on a terminal."""
    return Shown(space, *args, columns=columns, lines=lines, env=env).end()


def show(space: Space, *args: str, **env: str) -> str:
    """What `dodo exp show ARGS` prints where there is no terminal; it must have no warnings."""
    ran = space.dodo("exp", "show", *args, env=env)
    assert ran.err == ""
    return plain(ran.out)


def everywhere(space: Space, columns: int) -> str:
    """The table at so many columns: the same before a pipe, on a terminal, and with colours.

    Notes below the table are one line each, however they are broken.
    """
    out = show(space, COLUMNS=str(columns))
    assert on_terminal(space, columns=columns) == out
    header, rest = out.split("\n", 1)
    assert on_terminal(space, columns=columns, NO_COLOR="") == f"{BOLD}{header}{PLAIN}\n{rest}"
    return unbroken(out)


def unbroken(out: str) -> str:
    """Output whose notes below the table are one line each."""
    table, blank, notes = out.partition("\n\n")
    notes = " ".join(notes.split()).replace(f" {NO_ROOM}", f"\n{NO_ROOM}")
    return f"{table}\n\n{notes}\n" if blank else table


def rows_of(out: str) -> list[str]:
    """The lines of the table, without the notes below it."""
    return out.partition("\n\n")[0].splitlines()


def names_of(space: Space, *args: str) -> list[str]:
    """The first column below its header."""
    return [line.split()[0] for line in rows_of(show(space, *args))[1:]]


def headers(space: Space, *args: str, **env: str) -> list[str]:
    """The words of the first line."""
    return show(space, *args, **env).split("\n", 1)[0].split()


def laid_out(*columns: list[str]) -> str:
    """A table of columns of cells; those whose header begins with `>` are set to the right."""
    sides = []
    for column in columns:
        cells = [column[0].removeprefix(">"), *column[1:]]
        widest = max(wcswidth(cell) for cell in cells)
        gaps = [" " * (widest - wcswidth(cell)) for cell in cells]
        is_right = column[0].startswith(">")
        pairs = zip(cells, gaps, strict=True)
        sides.append([gap + cell if is_right else cell + gap for cell, gap in pairs])
    return "".join("  ".join(row).rstrip() + "\n" for row in zip(*sides, strict=True))


# -- a handful of experiments --------------------------------------------------------------

FEW = """\
Experiment  Created   State         acc       loss    lr  model  unread
workspace   -         -            0.99  0.0042857  0.03  large       5
kept        HH:MM:SS  Snapshot  0.96667   0.014286   0.1  tiny        5
three       HH:MM:SS  -            0.99  0.0042857  0.03  large       5
two         HH:MM:SS  -         0.91667   0.035714  0.25  tiny        5
one         HH:MM:SS  -         0.96667   0.014286   0.1  tiny        5
waits       HH:MM:SS  Queued          -          -   0.5  large       5
broken      HH:MM:SS  Failed          -          -     7  large       5
"""
FEW_AT_60 = """\
Experiment  Created   State         acc       loss    lr
workspace   -         -            0.99  0.0042857  0.03
kept        HH:MM:SS  Snapshot  0.96667   0.014286   0.1
three       HH:MM:SS  -            0.99  0.0042857  0.03
two         HH:MM:SS  -         0.91667   0.035714  0.25
one         HH:MM:SS  -         0.96667   0.014286   0.1
waits       HH:MM:SS  Queued          -          -   0.5
broken      HH:MM:SS  Failed          -          -     7

the same in every row: unread 5
no room for: model (--drop makes room; --csv and --json have them)
"""


@pytest.mark.parametrize(("columns", "expected"), [(60, FEW_AT_60), (80, FEW), (160, FEW)])
def test_a_handful_of_experiments(few: Space, columns: int, expected: str) -> None:
    assert everywhere(few, columns) == expected


def test_without_a_terminal_the_table_is_whole(few: Space) -> None:
    assert show(few) == FEW


def test_the_workspace_then_snapshots_then_done_then_waiting_then_failed(few: Space) -> None:
    assert names_of(few) == ["workspace", "kept", "three", "two", "one", "waits", "broken"]


def test_columns_of_the_environment_go_before_the_size_of_the_terminal(few: Space) -> None:
    assert unbroken(on_terminal(few, columns=160, COLUMNS="60")) == FEW_AT_60


def test_a_dumb_terminal_has_no_bold_header(few: Space) -> None:
    assert on_terminal(few, NO_COLOR="", TERM="dumb") == FEW


# -- many params ---------------------------------------------------------------------------

TEXT = "a-text-of-some-length-here"


def of_wide(*constant: int, has_deps: bool) -> str:
    """The table of `wide` with some of the params that do not vary."""
    values = {f"p{i:03}": [str(i)] * 4 for i in constant}
    values |= {"p050": ["0.5", "0.5", "0.5", "50"], "p100": ["0.25", "0.25", "100", "100"]}
    values["p150"] = [TEXT, TEXT, TEXT, "150"]
    return laid_out(
        ["Experiment", "workspace", "three", "two", "one"],
        ["Created", "-", *["HH:MM:SS"] * 3],
        *([name if name == "p150" else f">{name}", *values[name]] for name in sorted(values)),
        *([["params.yaml", *["digest7"] * 4]] if has_deps else []),
    )


def told(first: int, last: int, more: int) -> str:
    """The note on params of `wide` that do not vary."""
    numbers = [i for i in range(first, last + 1) if i not in (50, 100, 150)]
    return f"\n{SAME}{', '.join(f'p{i:03} {i}' for i in numbers)} and {more} more\n"


HOW = " (--drop makes room; --csv and --json have them)\n"
WIDE = {
    60: of_wide(has_deps=False) + told(0, 15, 181) + f"{NO_ROOM}params.yaml{HOW}",
    80: of_wide(0, has_deps=True) + told(1, 23, 173),
    160: of_wide(*range(14), has_deps=True) + told(14, 63, 134),
}


@pytest.mark.parametrize("columns", WIDTHS)
def test_of_200_params_those_that_vary_are_shown(wide: Space, columns: int) -> None:
    assert everywhere(wide, columns) == WIDE[columns]


@pytest.mark.parametrize("columns", WIDTHS)
def test_every_row_of_the_table_fits(wide: Space, columns: int) -> None:
    rows = rows_of(show(wide, COLUMNS=str(columns)))
    assert len(rows) == 5
    assert max(map(wcswidth, rows)) <= columns


@pytest.mark.parametrize("columns", WIDTHS)
def test_every_note_below_the_table_fits(wide: Space, columns: int) -> None:
    out = show(wide, COLUMNS=str(columns))
    assert max(map(wcswidth, out.splitlines())) <= columns


@pytest.mark.parametrize("columns", [20, 40, 60, 61, 79, 80, 100, 160, 300])
def test_no_column_is_lost_without_a_word(wide: Space, columns: int) -> None:
    out = unbroken(show(wide, COLUMNS=str(columns)))
    shown = len(rows_of(out)[0].split()) - 2
    for label, beside in ((SAME, 0), (NO_ROOM, len(HOW) - 1)):
        for line in out.splitlines():
            if line.startswith(label):
                line = line[: len(line) - beside]
                more = re.search(r" and ([\d,]+) more$", line)
                shown += line.count(",") + 1 + (int(more[1]) if more else 0)
    assert shown == 200 + 1


def test_without_a_terminal_all_200_params_are_there(wide: Space) -> None:
    assert show(wide) == of_wide(*(i for i in range(200) if i not in (50, 100, 150)), has_deps=True)


def test_only_changed_leaves_a_table_without_notes(wide: Space) -> None:
    assert show(wide, "--only-changed", COLUMNS="80") == of_wide(has_deps=True)


@pytest.mark.parametrize("by", ["p007", "p199", "params.yaml:p007"])
def test_the_column_that_rows_are_sorted_by_is_always_shown(wide: Space, by: str) -> None:
    name = by.split(":")[-1]
    for columns, others in (("28", []), ("34", ["p050"]), ("40", ["p050", "p100"])):
        shown = headers(wide, "--sort-by", by, COLUMNS=columns)
        assert shown == ["Experiment", "Created", *sorted([name, *others])]


# -- other scripts -------------------------------------------------------------------------

NAMES = """\
Experiment  Created   学习率  模型        word     z  params.yaml
workspace   -           0.25  很大的模型  é     2000  digest7
👩‍🔬lab       HH:MM:SS    0.25  很大的模型  é     2000  digest7
🚀fast      HH:MM:SS    0.25  小          é        1  digest7
实验-一     HH:MM:SS     0.1  小          é        1  digest7
"""
NAMES_AT_60 = """\
Experiment  Created   学习率  模型           z  params.yaml
workspace   -           0.25  很大的模型  2000  digest7
👩‍🔬lab       HH:MM:SS    0.25  很大的模型  2000  digest7
🚀fast      HH:MM:SS    0.25  小             1  digest7
实验-一     HH:MM:SS     0.1  小             1  digest7

the same in every row: word é
"""


@pytest.mark.parametrize(("columns", "expected"), [(60, NAMES_AT_60), (80, NAMES), (160, NAMES)])
def test_chinese_and_emoji(names: Space, columns: int, expected: str) -> None:
    assert everywhere(names, columns) == expected


@pytest.mark.parametrize("columns", WIDTHS)
def test_columns_stand_under_one_another_by_their_width_on_a_terminal(
    names: Space, columns: int
) -> None:
    edges = [
        [
            (wcswidth(line[: cell.start()]), wcswidth(line[: cell.end()]))
            for cell in re.finditer(r"\S+", line)
        ]
        for line in rows_of(show(names, COLUMNS=str(columns)))
    ]
    for column in zip(*edges, strict=True):
        starts, ends = zip(*column, strict=True)
        assert len(set(starts)) == 1 or len(set(ends)) == 1


def test_a_terminal_that_knows_ascii_only_gets_escapes(names: Space) -> None:
    out = show(names, "--rev", "实验-一", "--drop", "word", PYTHONIOENCODING="ascii")
    assert out.splitlines()[1].split()[0] == r"\u5b9e\u9a8c-\u4e00"


def test_names_in_csv_json_and_markdown(names: Space) -> None:
    experiments = ["👩‍🔬lab", "🚀fast", "实验-一"]
    table = list(csv.DictReader(io.StringIO(show(names, "--csv"))))
    assert [row["Experiment"] for row in table] == ["", *experiments]
    assert [row["模型"] for row in table] == ["很大的模型", "很大的模型", "小", "小"]
    assert [row["parent"] for row in table] == ["", "🚀fast", "实验-一", ""]
    _, project = json.loads(show(names, "--json"))
    assert [each["name"] for each in project["experiments"]] == experiments
    assert show(names, "--md", "--drop", "params").splitlines() == [
        "| Experiment | Created | 学习率 | 模型 | word | z |",
        "| --- | --- | ---: | --- | --- | ---: |",
        "| workspace | - | 0.25 | 很大的模型 | é | 2000 |",
        "| 👩‍🔬lab | HH:MM:SS | 0.25 | 很大的模型 | é | 2000 |",
        "| 🚀fast | HH:MM:SS | 0.25 | 小 | é | 1 |",
        "| 实验-一 | HH:MM:SS | 0.1 | 小 | é | 1 |",
    ]


# -- long values ---------------------------------------------------------------------------

LIST = str(list(range(40)))


def cut_to(text: str, width: int) -> str:
    """ASCII text as it is shown in so many columns; 0 for any number."""
    return f"{text[: width - 1]}…" if width else text


def of_long(*shown: str, own: int = 0, value: int = 0) -> str:
    """The table of `long` with some of its columns; names and values cut to some widths."""
    text = cut_to(LONG, value)
    words = "字" * ((value - 1) // 2) + "…" if value else "字" * 30
    columns = {
        "text": ["text", text, text, text],
        "list": ["list", *[cut_to(LIST, value)] * 3],
        "words": ["words", words, words, "字"],
        "deps": ["params.yaml", *["digest7"] * 3],
    }
    return laid_out(
        ["Experiment", "workspace", cut_to(LONG_NAME, own), "one"],
        ["Created", "-", "HH:MM:SS", "HH:MM:SS"],
        *(columns[each] for each in shown),
    )


def folded(value: int) -> str:
    """What is told below the table."""
    same = f"text {cut_to(LONG, value)}, list {cut_to(LIST, value)}"
    return f"\n{SAME}{same}\n{NO_ROOM}params.yaml{HOW}"


LONG_AT_60 = of_long("words", own=18, value=26) + folded(26)
LONG_AT_80 = of_long("words", own=28, value=40) + folded(40)
LONG_AT_160 = (
    of_long("text", "words", "deps", own=40, value=40) + f"\n{SAME}list {cut_to(LIST, 40)}\n"
)


@pytest.mark.parametrize(
    ("columns", "expected"), [(60, LONG_AT_60), (80, LONG_AT_80), (160, LONG_AT_160)]
)
def test_long_values_are_cut_where_there_is_a_width(
    long: Space, columns: int, expected: str
) -> None:
    assert everywhere(long, columns) == expected


def test_long_values_are_whole_where_there_is_none(long: Space) -> None:
    assert show(long) == of_long("text", "list", "words", "deps")


def test_long_values_are_whole_in_csv_and_markdown_on_a_terminal_too(long: Space) -> None:
    table = list(csv.DictReader(io.StringIO(on_terminal(long, "--csv", columns=60))))
    assert [row["Experiment"] for row in table] == ["", LONG_NAME, "one"]
    assert {(row["text"], row["list"]) for row in table} == {(LONG, LIST)}
    assert f"| {LONG_NAME} | HH:MM:SS | {LONG} | {'字' * 30} |" in on_terminal(
        long, "--md", "--drop", "list", columns=60
    )


def test_where_there_is_room_some_value_that_varies_is_shown(long: Space) -> None:
    assert len(headers(long, COLUMNS="80")) > 2


def test_long_names_and_tags_fit_a_narrow_terminal(space: Space) -> None:
    space.write("dvc.yaml", COPY)
    space.write("params.yaml", "a: 1\n")
    space.exp("-n", LONG_NAME)
    space.dodo("exp", "tag", "a-tag-of-some-length-for-the-table", LONG_NAME)
    assert max(map(wcswidth, rows_of(show(space, COLUMNS="60")))) <= 60


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Space:
    """Values with unusual characters, before the first run."""
    space = made(tmp_path_factory, "odd")
    space.write("dvc.yaml", "stages: {}\n")
    lines = {"joined": "a" + "👩‍🔬" * 30, "accents": "e\u0301" * 60, "bar": "a|b"}
    space.write(
        "params.yaml",
        "".join(f'{name}: "{value}"\n' for name, value in lines.items())
        + 'tab: "x\\ty"\nbreak: "one\\ntwo"\nred: "\\e[31mred"\n'
        + "nan: .nan\ninf: -.inf\nyes: true\nnothing: null\n",
    )
    return space


@pytest.mark.parametrize("name", ["joined", "accents"])
def test_emoji_and_accents_of_several_characters_are_cut_by_width(odd: Space, name: str) -> None:
    text = rows_of(show(odd, "--drop", ".", "--keep", f"{name}$", COLUMNS="80"))[1]
    assert text.endswith("…")
    assert wcswidth(text) >= 39
    assert text[-2] != "\u200d"


def test_what_could_move_the_cursor_is_escaped(odd: Space) -> None:
    args = [arg for name in ("Exp", "break", "red") for arg in ("--keep", name)]
    assert show(odd, "--drop", ".", *args) == (
        "Experiment  break     red\nworkspace   one\\ntwo  \\x1b[31mred\n"
    )


def test_a_tab_is_escaped(odd: Space) -> None:
    assert show(odd, "--drop", ".", "--keep", "tab") == "tab\nx\\ty\n"


def test_csv_has_line_breaks_and_tabs_as_they_are(odd: Space) -> None:
    out = odd.dodo("exp", "show", "--csv").out
    (row,) = csv.DictReader(io.StringIO(out, newline=""))
    assert (row["tab"], row["break"], row["red"]) == ("x\ty", "one\ntwo", "\x1b[31mred")


def test_markdown_escapes_bars(odd: Space) -> None:
    assert show(odd, "--md", "--drop", ".", "--keep", "bar") == "| bar |\n| --- |\n| a\\|b |\n"


def test_json_has_no_nan_and_no_infinity(odd: Space) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    out = odd.dodo("exp", "show", "--json").out
    workspace, _ = json.loads(out, parse_constant=refuse)
    data = workspace["data"]["params"]["params.yaml"]["data"]
    assert (data["nan"], data["inf"], data["yes"], data["nothing"]) == (None, None, True, None)
    assert data["break"] == "one\ntwo"


# -- the order of rows ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ("--sort-by acc", "two kept one three waits broken"),
        ("--sort-by acc --sort-order asc", "two kept one three waits broken"),
        ("--sort-by acc --sort-order desc", "three kept one two waits broken"),
        ("--sort-by metrics.json:loss", "three kept one two waits broken"),
        ("--sort-by lr", "three kept one two waits broken"),
        ("--sort-by lr --sort-order desc", "broken waits two kept one three"),
        ("--sort-by model", "three waits broken kept two one"),
        ("--sort-by unread", "kept three two one waits broken"),
        ("--sort-by Experiment", "broken kept one three two waits"),
        ("--sort-by name --sort-order desc", "waits two three one kept broken"),
        ("--sort-by Created", "one kept two three broken waits"),
        ("--sort-by created --sort-order desc", "waits broken three two kept one"),
        ("--sort-by lr --drop lr", "three kept one two waits broken"),
        ("--sort-by lr -n 2", "three kept"),
        ("--sort-by lr --sort-order desc -n 3", "broken waits two"),
        ("--sort-by acc --hide-snapshots -n 1", "two"),
        ("-n 3", "kept three two"),
        ("-n 0", ""),
        ("-n 1000", "kept three two one waits broken"),
    ],
)
def test_rows_are_sorted_and_counted_below_the_workspace(
    few: Space, args: str, expected: str
) -> None:
    assert names_of(few, *args.split()) == ["workspace", *expected.split()]


def test_a_sorted_table(few: Space) -> None:
    assert (
        show(few, "--sort-by", "acc", "--sort-order", "desc", "-n", "5")
        == """\
Experiment  Created   State         acc       loss    lr  model  unread
workspace   -         -            0.99  0.0042857  0.03  large       5
three       HH:MM:SS  -            0.99  0.0042857  0.03  large       5
kept        HH:MM:SS  Snapshot  0.96667   0.014286   0.1  tiny        5
one         HH:MM:SS  -         0.96667   0.014286   0.1  tiny        5
two         HH:MM:SS  -         0.91667   0.035714  0.25  tiny        5
waits       HH:MM:SS  Queued          -          -   0.5  large       5
"""
    )


@pytest.mark.parametrize("form", ["--csv", "--md", "--json"])
def test_every_form_has_the_rows_in_the_same_order(few: Space, form: str) -> None:
    args = ["--sort-by", "lr", "--hide-workspace", "--hide-snapshots", "-n", "4"]
    out = show(few, form, *args)
    if form == "--json":
        (project,) = json.loads(out)
        found = [each["name"] for each in project["experiments"]]
    else:
        lines = out.splitlines()[1 if form == "--csv" else 2 :]
        found = [line.removeprefix("| ").split(",")[0].split(" |")[0] for line in lines]
    assert found == ["three", "one", "two", "waits"]


def test_a_column_to_sort_by_that_is_not_there(few: Space) -> None:
    ran = few.dodo("exp", "show", "--sort-by", "modle", code=2)
    assert (ran.out, ran.err) == (
        "",
        "error: --sort-by: no column 'modle'\nhint: did you mean 'model'?\n",
    )


# -- rows by name --------------------------------------------------------------------------


def ids(space: Space) -> dict[str, str]:
    """Name -> id."""
    first, *others = json.loads(show(space, "--json"))
    assert first["rev"] == "workspace"
    known = {each["name"]: each["rev"] for each in others}
    for each in others[0]["experiments"]:
        known[each["name"]] = each["revs"][0]["rev"]
    return known


@pytest.mark.parametrize(
    ("names_given", "expected"),
    [
        ("one", "one"),
        ("one two", "one two"),
        ("two workspace one", "two workspace one"),
        ("waits kept broken", "waits kept broken"),
        ("one one", "one"),
    ],
)
def test_rows_by_name_come_in_the_order_of_the_names(
    few: Space, names_given: str, expected: str
) -> None:
    args = [arg for name in names_given.split() for arg in ("--rev", name)]
    assert names_of(few, *args) == expected.split()


def test_rows_by_the_beginning_of_an_id(few: Space) -> None:
    known = ids(few)
    args = ["--rev", known["one"][:7], "--rev", known["kept"], "--rev", known["two"][:8].upper()]
    assert names_of(few, *args) == ["one", "kept", "two"]


def test_rows_by_name_can_be_sorted(few: Space) -> None:
    args = ["--rev", "two", "--rev", "workspace", "--rev", "one", "--sort-by", "lr"]
    assert names_of(few, *args) == ["workspace", "one", "two"]


def test_one_row_alone(few: Space) -> None:
    assert show(few, "--rev", "one") == (
        "Experiment  Created       acc      loss   lr  model  unread\n"
        "one         HH:MM:SS  0.96667  0.014286  0.1  tiny        5\n"
    )


def test_a_name_that_is_not_there(few: Space) -> None:
    ran = few.dodo("exp", "show", "--rev", "thre", code=2)
    assert (ran.out, ran.err) == ("", "error: no experiment 'thre'\nhint: did you mean 'three'?\n")


# -- rows that are hidden ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ("--hide-workspace", "kept three two one waits broken"),
        ("--hide-snapshots", "workspace three two one waits broken"),
        ("--hide-queued", "workspace kept three two one broken"),
        ("--hide-failed", "workspace kept three two one waits"),
        ("--hide-workspace --hide-snapshots --hide-queued --hide-failed", "three two one"),
        ("--hide-workspace -n 1", "kept"),
    ],
)
def test_rows_are_hidden_by_kind(few: Space, args: str, expected: str) -> None:
    assert names_of(few, *args.split()) == expected.split()


def test_where_all_is_done_there_is_no_state(few: Space) -> None:
    assert (
        show(few, "--hide-queued", "--hide-failed", "--hide-snapshots")
        == """\
Experiment  Created       acc       loss    lr  model  unread
workspace   -            0.99  0.0042857  0.03  large       5
three       HH:MM:SS     0.99  0.0042857  0.03  large       5
two         HH:MM:SS  0.91667   0.035714  0.25  tiny        5
one         HH:MM:SS  0.96667   0.014286   0.1  tiny        5
"""
    )


# -- columns -------------------------------------------------------------------------------

ALL = "Experiment Created State acc loss lr model unread"


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ("--drop l", "Experiment Created State acc model unread"),
        ("--drop oss", ALL),
        ("--drop .*oss", "Experiment Created State acc lr model unread"),
        ("--drop acc --drop model", "Experiment Created State loss lr unread"),
        ("--drop acc|lr", "Experiment Created State loss model unread"),
        ("--drop l --keep loss", "Experiment Created State acc loss model unread"),
        ("--keep loss --drop l", "Experiment Created State acc loss model unread"),
        ("--drop . --keep lr --keep Exp", "Experiment lr"),
        ("--keep lr", ALL),
        ("--keep nothing-of-the-kind", ALL),
        ("--drop Created", "Experiment State acc loss lr model unread"),
        ("--drop State", "Experiment Created acc loss lr model unread"),
        ("--drop C --keep Cre", ALL),
        ("--drop Exp", "Created State acc loss lr model unread"),
        ("--only-changed", "Experiment Created State acc loss lr model"),
        ("--only-changed --drop acc", "Experiment Created State loss lr model"),
        ("--only-changed --keep unread", "Experiment Created State acc loss lr model"),
        ("--only-changed --rev one --rev kept", "Experiment Created State"),
        ("--only-changed --rev one --rev three", "Experiment Created acc loss lr model"),
        ("--param-deps", "Experiment Created State acc loss lr model"),
    ],
)
def test_columns_are_chosen(few: Space, args: str, expected: str) -> None:
    assert headers(few, *args.split()) == expected.split()


def test_a_pattern_that_is_none(few: Space) -> None:
    for option in ("--drop", "--keep"):
        ran = few.dodo("exp", "show", option, "(", code=2)
        assert ran.err.startswith(f"error: {option}: '(' is no pattern: ")
        assert ran.out == ""


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("", ""),
        ("--csv", ""),
    ],
)
def test_without_any_column_nothing_is_printed(few: Space, form: str, expected: str) -> None:
    assert show(few, *form.split(), "--drop", ".") == expected


def test_params_that_a_stage_reads_with_all_below_them(space: Space) -> None:
    space.write("dvc.yaml", "stages: {a: {cmd: 'true', params: [train, more.yaml: ]}}\n")
    space.write("params.yaml", "train: {lr: 1, deep: {er: 2}}\ntrainer: 3\nunread: 4\n")
    space.write("more.yaml", "x: 5\ny: {z: 6}\n")
    assert headers(space, "--param-deps")[2:] == ["train.lr", "train.deep.er", "x", "y.z"]


def test_ids_in_place_of_names(few: Space) -> None:
    known = ids(few)
    names = ["kept", "three", "two", "one", "waits", "broken"]
    out = few.dodo("exp", "show", "--sha").out.splitlines()
    assert [line.split()[0] for line in out[1:]] == ["workspace", *(known[n][:7] for n in names)]
    assert [plain(line)[10:] for line in out] == [line[10:] for line in FEW.splitlines()]


@pytest.mark.parametrize(
    ("digits", "acc", "loss"),
    [("1", "0.9", "0.04"), ("2", "0.92", "0.036"), ("12", "0.916666667", "0.0357142857143"),
     ("17", "0.91666666699999999", "0.035714285714285712")],
)  # fmt: skip
def test_numbers_have_so_many_digits(few: Space, digits: str, acc: str, loss: str) -> None:
    args = ["--rev", "two", "--precision", digits, "--drop", "l", "--keep", "loss"]
    row = show(few, *args).splitlines()[1].split()
    assert row == ["two", "HH:MM:SS", acc, loss, "tiny", "5"]


@pytest.mark.parametrize("digits", ["0", "-1", "18", "few"])
def test_a_number_of_digits_that_is_none(few: Space, digits: str) -> None:
    ran = few.dodo("exp", "show", "--precision", digits, code=2)
    assert ran.out == ""
    assert ran.err.startswith("error: invalid value for '--precision': ")


def test_a_dependency_that_is_the_same_in_a_snapshot_has_no_column(space: Space) -> None:
    space.write("dvc.yaml", PIPELINE)
    space.write("train.py", TRAIN)
    space.write("data.txt", "1\n")
    space.write("params.yaml", "lr: 0.1\nmodel: tiny\n")
    space.dodo("snapshot", "-n", "clean")
    space.exp("-n", "one")
    header = space.dodo("exp", "show").out.splitlines()[0].split()
    assert header == ["Experiment", "Created", "State", "acc", "loss", "lr", "model"]


# -- CSV, JSON, Markdown -------------------------------------------------------------------


def test_csv(few: Space) -> None:
    out = few.dodo("exp", "show", "--csv").out
    header, *rows = csv.reader(io.StringIO(out))
    assert ",".join(header) == (
        "Experiment,rev,typ,Created,parent,State,Executor"
        ",acc,loss,lr,model,unread,data.txt,train.py"
    )
    known = ids(few)
    for row in rows[1:]:
        assert row[1] == known[row[0]][:7]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", row[3])
        assert all(re.fullmatch(r"[0-9a-f]{32}", digest) for digest in row[-2:])
    assert rows[0][:7] == ["", "workspace", "baseline", "", "", "", ""]
    assert [",".join([row[0], row[2], *row[4:-2]]) for row in rows] == [
        ",baseline,,,,0.99,0.004285714285714286,0.03,large,5",
        "kept,baseline,one,Snapshot,,0.966666667,0.014285714285714287,0.1,tiny,5",
        "three,branch_commit,two,,,0.99,0.004285714285714286,0.03,large,5",
        "two,branch_commit,one,,,0.916666667,0.03571428571428571,0.25,tiny,5",
        "one,branch_commit,,,,0.966666667,0.014285714285714287,0.1,tiny,5",
        "waits,branch_commit,three,Queued,Dvc-task,,,0.5,large,5",
        "broken,branch_commit,three,Failed,Dvc-task,,,7,large,5",
    ]


def test_csv_without_states_has_no_columns_of_them(names: Space) -> None:
    first = show(names, "--csv").splitlines()[0]
    assert first == "Experiment,rev,typ,Created,parent,学习率,模型,word,z,params.yaml"


def test_csv_and_json_have_every_digit_whatever_the_precision(few: Space) -> None:
    for form in ("--csv", "--json"):
        assert show(few, form, "--precision", "2") == show(few, form)


def test_columns_of_csv_are_chosen_too(few: Space) -> None:
    first = show(few, "--csv", "--drop", ".*e", "--keep", "rev").splitlines()[0]
    assert first == "rev,typ,acc,loss,lr,data.txt,train.py"


DATA = {"rev", "timestamp", "params", "metrics", "deps", "outs", "meta"}


def test_json_is_in_the_shape_of_dvcs(few: Space) -> None:
    found = few.dodo("exp", "show", "--json").json
    assert isinstance(found, list)
    assert found[0]["rev"] == "workspace"
    revisions = list(found)
    for baseline in found:
        assert set(baseline) == {"rev", "name", "data", "error", "experiments"}
        assert baseline["experiments"] is None or baseline["experiments"]
        for experiment in baseline["experiments"] or ():
            assert set(experiment) == {"revs", "executor", "name"}
            (revision,) = experiment["revs"]
            assert set(revision) == {"rev", "name", "data", "error"}
            assert revision["name"] == experiment["name"]
            revisions.append(revision)
    for revision in revisions:
        assert set(revision["data"]) == DATA
        assert revision["data"]["rev"] == revision["rev"]
    assert len({revision["rev"] for revision in revisions}) == len(revisions)
    assert [revision["name"] for revision in revisions] == [
        None, "project", "kept", "three", "two", "one", "waits", "broken"
    ]  # fmt: skip


def experiments(space: Space) -> dict[str, Any]:
    """Name -> entry of the JSON."""
    found = space.dodo("exp", "show", "--json").json
    return {each["name"]: each for each in found[1]["experiments"]}


def test_json_of_an_experiment(few: Space) -> None:
    two = experiments(few)["two"]
    revision = two["revs"][0]
    data = revision["data"]
    assert data.pop("rev") == revision.pop("rev")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", data.pop("timestamp"))
    assert data["meta"].pop("seconds") >= 0
    for dep in data["deps"].values():
        assert re.fullmatch(r"[0-9a-f]{32}", dep.pop("hash"))
    assert two == {
        "name": "two",
        "executor": None,
        "revs": [
            {
                "name": "two",
                "error": None,
                "data": {
                    "params": {"params.yaml": {"data": {"lr": 0.25, "model": "tiny", "unread": 5}}},
                    "metrics": {
                        "metrics.json": {"data": {"acc": 0.916666667, "loss": 0.03571428571428571}}
                    },
                    "deps": {
                        "data.txt": {"size": None, "nfiles": None},
                        "train.py": {"size": None, "nfiles": None},
                    },
                    "outs": {},
                    "meta": {"parent": "one", "message": "", "tags": [], "flags": []},
                },
            }
        ],
    }


def test_json_has_the_executor_of_what_waits_and_of_what_has_failed(few: Space) -> None:
    found = experiments(few)
    executors = {name: each["executor"] for name, each in found.items()}
    assert executors == {
        "three": None,
        "two": None,
        "one": None,
        "waits": {"state": "queued", "name": "dvc-task", "local": None},
        "broken": {"state": "failed", "name": "dvc-task", "local": None},
    }
    errors = {name: each["revs"][0]["error"] for name, each in found.items()}
    assert errors.pop("broken") == {
        "msg": "stage 'train' failed: 'python3 train.py' exited with 1",
        "type": "DodoError",
    }
    assert set(errors.values()) == {None}


def test_json_has_snapshots_as_baselines(few: Space) -> None:
    _, _, kept = few.dodo("exp", "show", "--json").json
    assert (kept["name"], kept["error"], kept["experiments"]) == ("kept", None, None)
    assert kept["data"]["params"]["params.yaml"]["data"]["lr"] == 0.1


def test_json_without_any_experiment(odd: Space) -> None:
    assert [(e["rev"], e["experiments"]) for e in odd.dodo("exp", "show", "--json").json] == [
        ("workspace", None),
        ("0" * 32, None),
    ]


def test_markdown(few: Space) -> None:
    assert (
        show(few, "--md")
        == """\
| Experiment | Created | State | acc | loss | lr | model | unread |
| --- | --- | --- | ---: | ---: | ---: | --- | ---: |
| workspace | - | - | 0.99 | 0.0042857 | 0.03 | large | 5 |
| kept | HH:MM:SS | Snapshot | 0.96667 | 0.014286 | 0.1 | tiny | 5 |
| three | HH:MM:SS | - | 0.99 | 0.0042857 | 0.03 | large | 5 |
| two | HH:MM:SS | - | 0.91667 | 0.035714 | 0.25 | tiny | 5 |
| one | HH:MM:SS | - | 0.96667 | 0.014286 | 0.1 | tiny | 5 |
| waits | HH:MM:SS | Queued | - | - | 0.5 | large | 5 |
| broken | HH:MM:SS | Failed | - | - | 7 | large | 5 |
"""
    )


def test_markdown_on_a_terminal_has_no_colours_and_all_columns(few: Space) -> None:
    assert on_terminal(few, "--md", columns=40, NO_COLOR="") == show(few, "--md")


# -- the pager -----------------------------------------------------------------------------

PAGER = "sed s/^/P:/"


def paged(text: str) -> str:
    """A text as PAGER shows it."""
    return "".join(f"P:{line}\n" for line in text.splitlines())


def test_a_table_longer_than_the_terminal_goes_through_the_pager(many: Space) -> None:
    out = show(many)
    assert out.count("\n") == MANY_ROWS + 2
    assert on_terminal(many, lines=10, DODO_PAGER=PAGER) == paged(out)


def test_the_usual_pager_does_where_there_is_none_for_this_command(many: Space) -> None:
    for env, is_paged in (({"PAGER": PAGER}, True), ({"PAGER": "cat"}, False)):
        shown = Shown(many, lines=10, env=env, pager=None).end()
        assert shown == (paged(show(many)) if is_paged else show(many))


@pytest.mark.parametrize(("rows", "pages"), [(3, False), (7, False), (8, True), (9, True)])
def test_a_short_table_does_not(many: Space, rows: int, pages: bool) -> None:
    out = show(many, "-n", str(rows))
    expected = paged(out) if pages else out
    assert on_terminal(many, "-n", str(rows), lines=10, DODO_PAGER=PAGER) == expected


@pytest.mark.parametrize("args", ["--no-pager", "--csv", "--md", "--json"])
def test_nor_does_what_is_not_to_be_paged(many: Space, args: str) -> None:
    assert on_terminal(many, args, lines=10, DODO_PAGER=PAGER) == show(many, args)


def test_without_a_terminal_there_is_no_pager(many: Space) -> None:
    assert "P:" not in show(many, DODO_PAGER=PAGER)


@pytest.mark.parametrize("pager", ["", "cat"])
def test_no_pager_and_cat_are_none(many: Space, pager: str) -> None:
    assert on_terminal(many, lines=10, DODO_PAGER=pager) == show(many)


def test_a_pager_that_is_not_there_does_not_hide_the_table(many: Space) -> None:
    assert on_terminal(many, lines=10, DODO_PAGER="no-such-pager 2>&-").endswith(show(many))


def test_a_pager_that_ends_early_is_no_failure(many: Space) -> None:
    expected = "".join(show(many).splitlines(keepends=True)[:2])
    assert on_terminal(many, lines=10, DODO_PAGER="head -n 2") == expected


def test_the_pager_gets_colours_and_the_width_of_the_terminal(wide: Space) -> None:
    header, rest = show(wide, COLUMNS="60").split("\n", 1)
    shown = on_terminal(wide, columns=60, lines=6, NO_COLOR="", DODO_PAGER=PAGER)
    assert shown == paged(f"{BOLD}{header}{PLAIN}\n{rest}")


def test_notes_that_take_several_lines_count_as_such_for_the_pager(wide: Space) -> None:
    needed = sum(-(-wcswidth(line) // 60) or 1 for line in show(wide, COLUMNS="60").splitlines())
    assert on_terminal(wide, columns=60, lines=needed, DODO_PAGER=PAGER).startswith("P:")


# -- watching ------------------------------------------------------------------------------

PAUSE = 1.6
"""Seconds in which it looks again at least once."""


@pytest.fixture
def watched(space: Space) -> Space:
    """Two experiments, one of them about to go."""
    space.env["TERM"] = "xterm"
    space.write("dvc.yaml", COPY)
    space.write("params.yaml", "a: 1\n")
    space.exp("-n", "one")
    space.exp("-n", "two", "-S", "a=2")
    return space


def test_without_a_terminal_watching_prints_again_what_has_changed(watched: Space) -> None:
    first = show(watched)
    shown = Shown(watched, "--watch", pipe=True)
    shown.wait(lambda text: text == first)
    time.sleep(PAUSE)
    assert shown.text == first
    watched.dodo("exp", "remove", "one")
    second = show(watched)
    assert second != first
    shown.wait(lambda text: text == f"{first}\n{second}")
    assert shown.interrupt() == f"{first}\n{second}"


def frames(text: str) -> list[list[str]]:
    """The lines of every whole frame: each begins at the top and clears what was there."""
    found = re.findall(r"\x1b\[H(.*?)\x1b\[J", text, re.DOTALL)
    assert text == "".join(f"\x1b[H{frame}\x1b[J" for frame in found)
    lines = [frame.splitlines() for frame in found]
    assert all(line.endswith("\x1b[K") for frame in lines for line in frame)
    return [[line.removesuffix("\x1b[K") for line in frame] for frame in lines]


def test_on_a_terminal_watching_shows_one_table_in_the_others_place(watched: Space) -> None:
    first = show(watched).splitlines()
    shown = Shown(watched, "--watch")
    shown.wait(lambda text: "\x1b[J" in text)
    watched.dodo("exp", "remove", "one")
    second = show(watched).splitlines()
    count = len(frames(shown.text))
    shown.wait(lambda text: text.endswith("\x1b[J") and len(frames(text)) > count)
    found = frames(shown.interrupt())
    assert found[0] == first
    assert found[-1] == second
    assert all(frame in (first, second) for frame in found)


def test_what_breaks_while_watching_is_told_and_watching_goes_on(watched: Space) -> None:
    first = show(watched)
    shown = Shown(watched, "--watch", pipe=True)
    shown.wait(lambda text: text == first)
    pipeline = watched.read("dvc.yaml")
    watched.write("dvc.yaml", "stages: [\n")
    assert "error: " in shown.wait(lambda text: text != first and text.endswith("\n"))
    watched.write("dvc.yaml", pipeline)
    shown.wait(lambda text: text.endswith(f"\n\n{first}"))
    assert shown.interrupt().count("error: ") == 1


def test_the_header_is_bold_while_watching(few: Space) -> None:
    shown = Shown(few, "--watch", env={"NO_COLOR": ""})
    shown.wait(lambda text: "\x1b[J" in text)
    header, *rest = FEW.splitlines()
    assert frames(shown.interrupt())[0] == [f"{BOLD}{header}{PLAIN}", *rest]


def test_a_long_table_that_is_watched_says_how_much_more_there_is(many: Space) -> None:
    expected = [*show(many).splitlines()[:8], "... and 6 lines more"]
    shown = Shown(many, "--watch", lines=10, env={"DODO_PAGER": PAGER})
    shown.wait(lambda text: "\x1b[J" in text)
    assert frames(shown.interrupt())[0] == expected


def test_a_watched_table_fits_the_terminal_with_its_notes(wide: Space) -> None:
    shown = Shown(wide, "--watch", columns=60, lines=10)
    shown.wait(lambda text: "\x1b[J" in text)
    frame = frames(shown.interrupt())[0]
    assert sum(-(-wcswidth(line) // 60) or 1 for line in frame) < 10


def test_bad_options_are_refused_before_watching(few: Space) -> None:
    ran = few.dodo("exp", "show", "--watch", "--sort-by", "nope-nope", code=2)
    assert ran.out == ""
    assert "no column 'nope-nope'" in ran.err
