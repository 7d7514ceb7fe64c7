"""`edit` and `-S` under fuzz: whatever a file's layout, one value changes and no other byte.

The files are written piece by piece, so that each value's place is known without a parser. ONCE
has the smallest file of each edit that was wrong once; REFUSED those that are refused on purpose
and TOMLKIT what tomlkit does, which the fuzz passes over where they can occur. DODO_EXAMPLES says
how many edits each test tries; `--hypothesis-show-statistics` tells how many were refused, and why.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple, TypeVar

import pytest
import tomlkit
from hypothesis import HealthCheck, currently_in_test_context, event, given, settings
from hypothesis import strategies as st

from dodo_exp.errors import BadInput, UsageError
from dodo_exp.pipeline import edit, overrides, params
from dodo_exp.pipeline.sweeps import FUNCTIONS, Sweep
from dodo_exp.pipeline.values import canonical, child, existing, parts
from tests.space import Space

T = TypeVar("T")
Way = tuple[str, ...]

EXAMPLES = int(os.environ.get("DODO_EXAMPLES", "20"))
MANY = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


class Place(NamedTuple):
    """Where an entry begins, and its value; `own` is a value spelled as we would write it."""

    entry: int
    start: int
    end: int
    own: bool = False


@dataclass
class File:
    """A params file that is being written, and the place of each value in it so far.

    `tables` are mappings that stand in no one place: TOML's tables and Python's classes.
    """

    random: Random
    name: str
    text: str = ""
    eol: str = "\n"
    places: dict[Way, Place] = field(default_factory=dict)
    tables: set[Way] = field(default_factory=set)
    has_anchors: bool = False
    above: str = ""

    def __repr__(self) -> str:
        return f"{self.name}: {self.text!r}"

    def pick(self, options: Sequence[T]) -> T:
        return self.random.choice(options)

    def once_in(self, often: int) -> bool:
        return self.random.randint(1, often) == often

    def some(self, keys: Sequence[tuple[str, str]], least: int = 1) -> list[tuple[str, str]]:
        return self.random.sample(keys, self.random.randint(least, min(4, len(keys))))

    def put(self, *texts: str) -> int:
        self.text += "".join(texts).replace("\n", self.eol)
        return len(self.text)

    def note(self) -> str:
        """A comment unlike every other, so that a lost one is missed."""
        odd = self.pick(["", ": 1", " 'q", ' "q', " {[", " \\", " é", ' """'])
        return f"# note {self.text.count('# note')}{odd}"

    def place(self, way: Way, entry: int, start: int, own: bool = False) -> None:
        self.places[way] = Place(entry, start, len(self.text), own)

    def old(self, way: Way) -> str:
        """The value's text."""
        place = self.places.get(way)
        return self.text[place.start : place.end] if place else ""

    def ended(self) -> File:
        """With or without a line break at the end."""
        if self.text.endswith(self.eol) and self.once_in(5):
            self.text = self.text.removesuffix(self.eol)
        return self


# -- YAML ----------------------------------------------------------------------------------

YAML_OWN = [
    *"1 -7 0 123456789012345678901 0.1 -0.5 1.0e-05 1.0e+22 .inf -.inf .nan true false".split(),
    *("null", "word", "a/b.c", "x y", '"yes"', '"1e5"', '"~"', '"a: b"', '"it\'s"', '""', '" x"'),
]
YAML_OTHER = [
    *"+1 1e-3 .5 0x1F 0o17 010 1_000 True ~ Null .NaN yes a#b a:b -a = é😀".split(),
    *("http://h/?q=1#f", "2024-01-02", "12:30", r"C:\dir", "'x'", "'it''s'", "''", "' x '"),
    *("'# no'", "'a: b'", '"word"', r'"a\tb\"\\"', r'"\u00e9\x41"', "&@ 1", "&@ 'x'", "! x"),
    *("!!str 5", '!!int "5"', "!!float 1"),
]
YAML_LINES = ["x\n@y z", "'x\n@y  # no'", '"x\n\n@y\\\n@ z"', "'\n@'"]
YAML_KEYS = [
    *((word, word) for word in "a b lr name é 5 true null 0.5 on a#b a:b x-y a.b".split()),
    *(("a b", "a b"), ("q", "'q'"), ("d", '"d"'), ("'", "''''"), ("", '""'), ("k: v", "'k: v'")),
    *(("# no", '"# no"'), ("\t", r'"\t"'), ("long" * 20, "long" * 20)),
]
YAML_ANCHORS = """\
base: &base
  x: 1
  y: [1, 2]
copy: *base
derived:
  <<: *base
  y: 5
list:
- &item {k: 1}
- *item
last:
  one: *item
"""


def yaml_file(random: Random) -> File:
    f = File(random, "params.yaml")
    f.eol = f.pick(["\n", "\n", "\r\n"])
    f.put(f.pick(["", "", f.note() + "\n", "\n", "---\n", "%YAML 1.2\n---\n", "--- # note 0\n"]))
    if f.once_in(8):
        f.has_anchors = True
        f.put(YAML_ANCHORS)
    if not f.has_anchors and f.once_in(10):
        yaml_flow(f, (), " ", 0, 0, len(f.text))
        yaml_tail(f)
    else:
        yaml_mapping(f, (), "" if f.has_anchors else f.pick(["", "", "", "  "]), 0)
    blank = "" if f.above == "|+" else "\n\n"
    f.put(f.pick(["", "", f.note() + "\n", blank, "...\n", f.note()]))
    return f.ended()


def yaml_gap(f: File, indent: str) -> None:
    """Blank lines and comments; none that a block scalar above them would take for its own."""
    if f.once_in(3):
        blank = [] if f.above == "|+" else ["", "  "]
        deep = [] if f.above else [f"{indent}    {f.note()}"]
        for _ in range(f.pick([1, 1, 2])):
            f.put(f.pick([f.note(), indent + f.note(), *blank, *deep]), "\n")


def yaml_tail(f: File, tab: str = "\t") -> None:
    f.put(f.pick(["", "", "", " ", "  ", f" {f.note()}", tab + f.note()]), "\n")


def yaml_mapping(f: File, way: Way, indent: str, depth: int, inline: bool = False) -> None:
    for name, key in f.some(YAML_KEYS):
        if not inline:
            yaml_gap(f, indent)
            f.put(indent)
        inline = False
        entry = len(f.text)
        f.put(key, f.pick([":", ":", ":", " :"]))
        yaml_value(f, (*way, name), indent, entry, depth)


def yaml_list(f: File, way: Way, indent: str, depth: int, inline: bool = False) -> None:
    for i in range(f.pick([1, 2, 3])):
        if not inline:
            yaml_gap(f, indent)
            f.put(indent)
        inline = False
        entry = len(f.text)
        f.put("-")
        yaml_value(f, (*way, str(i)), indent, entry, depth, dash=True)


def yaml_value(f: File, way: Way, indent: str, entry: int, depth: int, dash: bool = False) -> None:
    kinds = ["own", "own", "other", "other", "empty", "lines", "literal", "flow"]
    kind = f.pick(kinds + ["mapping", "list"] * 2 * (depth < 3))
    start, tab, f.above = len(f.text), " " if dash else "\t", ""
    texts = {"own": YAML_OWN, "other": YAML_OTHER, "lines": YAML_LINES}.get(kind, [])
    inner = yaml_mapping if kind == "mapping" else yaml_list
    if kind == "empty":
        f.place(way, entry, start)
        yaml_tail(f, tab)
    elif kind == "literal":
        yaml_literal(f, way, indent, entry)
    elif kind == "flow":
        yaml_flow(f, way, indent + "  ", depth, entry, f.put(f.pick([" ", "  "])))
        yaml_tail(f)
    elif texts:
        start = f.put(f.pick([" ", " ", " ", "   ", tab]))
        indented = f"&n{start}" if kind == "other" else indent + "  "
        f.put(f.pick(texts).replace("&@" if kind == "other" else "@", indented))
        f.place(way, entry, start, kind == "own")
        yaml_tail(f)
    elif dash and f.pick([True, True, False]):
        spaces = f.pick([" ", " ", "   "])
        f.put(spaces)
        inner(f, way, f"{indent} {spaces}", depth + 1, inline=True)
        f.places[way] = Place(entry, start, yaml_end(f, way))
    else:
        f.put(f.pick(["", "", " ", f" {f.note()}"]), "\n")
        steps = [" ", "  ", "    "] + [""] * (kind == "list" and not dash)
        inner(f, way, indent + f.pick(steps), depth + 1)
        f.places[way] = Place(entry, start, yaml_end(f, way))


def yaml_end(f: File, way: Way) -> int:
    """Where a block ends: with the last value in it."""
    return max(place.end for inner, place in f.places.items() if inner[: len(way)] == way)


def yaml_literal(f: File, way: Way, indent: str, entry: int) -> None:
    start = f.put(" ")
    mark = f.pick(["|", ">", "|-", ">-", "|+", ">+", "|2", ">2-"])
    f.put(mark, f.pick(["", "", f" {f.note()}"]), "\n", indent, "  ")
    f.put(f.pick(["x", "# no", "a: b", "- é", "  deeper" if "2" in mark else "x"]))
    f.put(f.pick(["", f"\n{indent}  y  ", f"\n\n{indent}    z\n{indent}  w"]))
    f.put(f.pick(["", "\n", "\n\n"]) if "+" in mark else "")
    f.place(way, entry, start)
    f.put("\n", f.pick(["", "" if "+" in mark else "\n", f.note() + "\n"]))
    f.above = "|+" if "+" in mark else "|"


def yaml_flow(f: File, way: Way, indent: str, depth: int, entry: int, start: int) -> None:
    def space() -> str:
        return f.pick(["", " ", " ", f"\n{indent}", f"  {f.note()}\n{indent}", f"\n\n{indent}"])

    is_list = way != () and f.pick([True, False])
    keys = f.some(YAML_KEYS, 0 if way else 1)
    f.put("[" if is_list else "{")
    for i, (name, key) in enumerate(keys):
        f.put(space())
        begin = len(f.text)
        if not is_list:
            f.put(key, f.pick([": ", ": ", ":  "] + [":"] * (key[0] in "'\"")))
        where = len(f.text)
        inner = (*way, str(i) if is_list else name)
        if depth < 3 and f.once_in(4):
            yaml_flow(f, inner, indent + " ", depth + 1, begin, where)
        else:
            f.put(f.pick(YAML_OWN + YAML_OTHER).replace("&@", f"&n{where}"))
            f.place(inner, begin, where)
        last = i + 1 == len(keys)
        f.put(space() if f.once_in(4) else "", "" if last and not f.once_in(3) else ",")
    f.put(space(), "]" if is_list else "}")
    f.place(way, entry, start)


# -- JSON ----------------------------------------------------------------------------------

JSON_OWN = [
    *"1 -7 0 123456789012345678901 0.1 -0.5 1e-05 1e+22 true false null NaN -Infinity".split(),
    *('"word"', '""', '" x "', r'"a\"b\\"', r'"a\nb"', '"yes"', '"# no"', '"{,}:["', "[]", "{}"),
]
JSON_OTHER = [*"1E5 1e-5 -0 -0.0 1.50 1e400".split(), r'"\u0041\/"', r'"\ud83d\ude00"', '"é😀"']
JSON_KEYS = [
    *((word, f'"{word}"') for word in ["a", "b", "lr", "é", "5", "null", "a.b", "a b", "", "{,:"]),
    *(("\\", r'"\\"'), ('"', r'"\""'), ("u", r'"\u0075"'), ("\n", r'"\n"')),
]


def json_file(random: Random) -> File:
    f = File(random, "params.json")
    f.eol = f.pick(["\n", "\n", "\r\n"])
    json_value(f, (), 0, f.put(f.pick(["", "", "\n", "  "])), "", 0)
    f.put(f.pick(["\n", "\n", "", " \n\n"]))
    return f


def json_value(f: File, way: Way, entry: int, start: int, indent: str, depth: int) -> None:
    kind = f.pick(["own", "other", *["mapping", "list"] * (depth < 4)]) if depth else "mapping"
    if kind in ("own", "other"):
        f.put(f.pick(JSON_OWN if kind == "own" else JSON_OTHER))
        f.place(way, entry, start, kind == "own")
        return
    minified, step = f.once_in(3), f.pick(["  ", "\t", "    "])

    def space() -> str:
        return "" if minified else f.pick([f"\n{indent}{step}"] * 3 + ["", " ", "\n\n\t", "\t"])

    keys = f.some(JSON_KEYS, 0 if depth else 1)
    f.put("[" if kind == "list" else "{")
    for i, (name, key) in enumerate(keys):
        f.put("," if i else "", space())
        begin = len(f.text)
        if kind == "mapping":
            f.put(key, "" if minified else f.pick(["", "", " "]), ":", "" if minified else " ")
        inner = (*way, str(i) if kind == "list" else name)
        json_value(f, inner, begin, len(f.text), indent + step, depth + 1)
    f.put("" if minified else f.pick([f"\n{indent}"] * 3 + ["", " "]))
    f.put("]" if kind == "list" else "}")
    f.place(way, entry, start)


# -- TOML ----------------------------------------------------------------------------------

TOML_OWN = [
    *"1 -7 0 123456789012345678901 0.1 -0.5 1e-05 1e+22 true false inf -inf nan".split(),
    *('"word"', '""', '" x "', r'"a\"b\\"', r'"a\nb"', '"yes"', '"# no"', '"é😀"'),
]
TOML_OTHER = [
    *"+1 0x1F 0o17 0b101 1_000 1e5 1E-5 +0.5 3.0 6.02e+23 +inf -nan 1_0.2_5".split(),
    *("'word'", "''", "'a\"b'", r"'C:\dir'", "'# no'", r'"\u00e9\U0001F600"', '"""word"""'),
    *("'''word'''", '"""\nx\n  y # no\n"""', "'''\nx\n\"q\"'''", '"""a\\\n   b"""', '"""q"" """'),
    *("2024-01-02", "2024-01-02T03:04:05Z", "2024-01-02 03:04:05.123", "03:04:05"),
]
TOML_KEYS = [
    *((word, word) for word in "a b lr name 5 true null x-y".split()),
    *(("q", '"q"'), ("s", "'s'"), ("a.b", '"a.b"'), ("a b", "'a b'"), ("é", '"é"')),
    *(("# no", '"# no"'), ("k = v", "'k = v'"), ("", '""'), ("\t", r'"\t"')),
]


def toml_file(random: Random) -> File:
    """Keys of the root, then tables and tables in tables, in any order, and arrays of tables."""
    f = File(random, "params.toml")
    f.eol = f.pick(["\n", "\n", "\r\n"])
    names = f.random.sample(TOML_KEYS, len(TOML_KEYS))
    toml_entries(f, (), names[: f.pick([1, 2, 3])])
    headers: list[list[tuple[str, str]]] = []
    for table in names[4 : 4 + f.pick([0, 1, 2, 3])]:
        headers += [[table], *([table, inner] for inner in f.some(names[8:], 0)[:2])]
    for header in f.random.sample(headers, len(headers)):
        way, keys = tuple(name for name, _ in header), ".".join(key for _, key in header)
        inside = [each[1] for each in headers if len(each) == 2 and each[0] == header[0]]
        f.tables.add(way)
        if len(header) == 1 and not inside and f.once_in(3):
            for i in range(f.pick([1, 2, 3])):
                f.tables.add((*way, str(i)))
                toml_header(f, f"[[{keys}]]", f"[[ {keys} ]]")
                toml_entries(f, (*way, str(i)), f.some(names[:3], 0))
        else:
            toml_header(f, f"[{keys}]", f"[ {keys} ]")
            own = [] if len(header) == 2 else inside
            toml_entries(f, way, [each for each in f.some(TOML_KEYS, 0) if each not in own])
    f.put(f.pick(["", "", "\n", f.note() + "\n", f.note()]))
    return f.ended()


def toml_gap(f: File) -> None:
    if f.once_in(3):
        gaps = ["\n", "\n\n", f"{f.note()}\n", f"  {f.note()}\n", "  \n", f"\n{f.note()}\n"]
        f.put(f.pick(gaps))


def toml_tail(f: File) -> None:
    f.put(f.pick(["", "", "", " ", f"  {f.note()}", "\t" + f.note()]), "\n")


def toml_header(f: File, *spellings: str) -> None:
    toml_gap(f)
    f.put(f.pick([spellings[0], *spellings]))
    toml_tail(f)


def toml_entries(f: File, way: Way, names: Sequence[tuple[str, str]]) -> None:
    """Lines of a table; some keys dotted, so that they make tables of their own."""
    for name, key in names:
        indent = f.pick(["", "", "  ", "\t"])
        rows = [((*way, name), key)]
        if f.once_in(5):
            f.tables.add((*way, name))
            dot = f.pick([".", ".", " . "])
            rows = [((*way, name, inner), key + dot + last) for inner, last in f.some(TOML_KEYS)]
        for inner_way, dotted in rows:
            toml_gap(f)
            entry = f.put(indent)
            f.put(dotted, f.pick([" = ", " = ", "=", "   = "]))
            toml_value(f, inner_way, entry, 1)
            toml_tail(f)


def toml_value(f: File, way: Way, entry: int, depth: int) -> None:
    start = len(f.text)
    kind = f.pick(["own", "own", "other", "other", *["list", "table"] * (depth < 3)])
    if kind in ("own", "other"):
        f.put(f.pick(TOML_OWN if kind == "own" else TOML_OTHER))
        f.place(way, entry, start, kind == "own")
        return

    def space() -> str:
        lines = ["\n  ", f"  {f.note()}\n\t", f"\n  {f.note()}\n  "] if kind == "list" else []
        return f.pick(["", " ", " ", *lines])

    keys = f.some(TOML_KEYS, 0)
    f.put("[" if kind == "list" else "{")
    for i, (name, key) in enumerate(keys):
        f.put(space())
        begin = len(f.text)
        if kind == "table":
            f.put(key, f.pick([" = ", "=", "  = "]))
        toml_value(f, (*way, str(i) if kind == "list" else name), begin, depth + 1)
        comma = i + 1 < len(keys) or (kind == "list" and f.pick([True, False]))
        f.put(space() if f.once_in(4) else "", "," if comma else "")
    f.put(space(), "]" if kind == "list" else "}")
    f.place(way, entry, start)


# -- Python --------------------------------------------------------------------------------

PYTHON_OWN = [
    *"1 -7 0 123456789012345678901 0.1 -0.5 1e-05 1e+22 True False None".split(),
    *("'word'", "''", "' x '", "'a\"b'", r"'a\nb'", "'# no'", "'é😀'", '"it\'s"', "[]", "{}"),
]
PYTHON_OTHER = [
    *"+1 0x1F 0o17 0b101 1_000 1E5 .5 3. 1+2j () (1) -(1) (-1) (1,2) (1,) {1,2}".split(),
    *('"word"', 'r"C:\\dir"', "u'x'", "b'raw'", '"""x"""', "'''x\n  # no\n'''", '"""\\\nx"""'),
    *("'a' 'b'", "'a' \"b\"", "('a'\n  'b')", "('a'  # no\n     'b')", "( 'x' )", "'a' \\\n 'b'"),
    *("- 1", "{'b', 'a'}", "(\n1\n)"),
]
PYTHON_NAMES = [(name, name) for name in "a b lr name LR é _x self_ true null on".split()]
PYTHON_KEYS = [
    *((word, f'"{word}"') for word in "a b lr é 5 a.b # on".split()),
    *(("q", "'q'"), ("t", '"""t"""'), ("7", "7"), ("x", "'' 'x'"), ("", "''"), ("-3", "-3")),
]
PYTHON_NOISE = [
    *("import os", "def helper(x=1):\n@    return {'a': x}", "pass", "X = Y = 1", "P, Q = 1, 2"),
    *('"""A text."""', "Z: int", "HOME = os.environ['HOME']", "SUM = 1 + len('x')", "L = [HOME]"),
    *("if True:\n@    W = 1", "for i in ():\n@    pass", "@property\n@def p(self): return 1"),
]


def python_file(random: Random) -> File:
    f = File(random, "params.py")
    f.eol = f.pick(["\n", "\n", "\r\n"])
    f.put(f.pick(["", "", "#!/usr/bin/env python\n", '"""What the model learns with."""\n', "\n"]))
    python_body(f, (), "", 0)
    f.put(f.pick(["", "", f.note() + "\n", "\n\n", f.note()]))
    return f.ended()


def python_body(f: File, way: Way, indent: str, depth: int) -> None:
    for name, _ in f.some(PYTHON_NAMES):
        if f.once_in(3):
            f.put(f.pick(["\n", f.note() + "\n", indent + f.note() + "\n", "  \n", "\f\n"]))
        if f.once_in(3):
            f.put(indent, f.pick(PYTHON_NOISE).replace("\n@", f"\n{indent}"), "\n")
        if depth < 3 and f.once_in(4):
            f.tables.add((*way, name))
            f.put(indent, f.pick(["", "", f"@decorated\n{indent}"]))
            f.put(f"class {name}{f.pick(['', '()', '(Base)'])}:", f.pick(["", f"  {f.note()}"]))
            f.put("\n")
            python_body(f, (*way, name), indent + f.pick(["    ", "  ", "\t"]), depth + 1)
            continue
        is_init = bool(way) and f.once_in(8)
        f.put(f"{indent}def __init__(self):\n" if is_init else "")
        entry = f.put(indent, "    " if is_init else "")
        f.put("self." if is_init else "", name)
        f.put(f.pick([" = ", " = ", "=", ": int = ", ": 'T[int]'=", " = \\\n  "]))
        python_value(f, (*way, name), entry, indent, 1)
        f.put(f.pick([*[""] * 8, f"  {f.note()}", ";", "; pass", "; OTHER = 1  # no"]), "\n")


def python_value(f: File, way: Way, entry: int, indent: str, depth: int) -> None:
    start = len(f.text)
    kind = f.pick(["own", "own", "other", "other", *["list", "dict", "tuple"] * (depth < 3)])
    if kind in ("own", "other"):
        f.put(f.pick(PYTHON_OWN if kind == "own" else PYTHON_OTHER))
        f.place(way, entry, start, kind == "own")
        return

    def space() -> str:
        return f.pick(["", " ", "", f"\n{indent}    ", f"  {f.note()}\n{indent}  ", "\n\n"])

    keys = f.some(PYTHON_KEYS, 0)
    f.put({"list": "[", "dict": "{", "tuple": "("}[kind])
    for i, (name, key) in enumerate(keys):
        f.put(space())
        begin = len(f.text)
        if kind == "dict":
            f.put(key, f.pick([": ", ":", " : "]))
        inner = (*way, name if kind == "dict" else str(i))
        python_value(f, inner, begin, indent + "    ", depth + 1)
        comma = i + 1 < len(keys) or (kind == "tuple" and i == 0) or f.pick([True, False])
        f.put("," if comma else "")
    f.put(space(), {"list": "]", "dict": "}", "tuple": ")"}[kind])
    f.place(way, entry, start)


# -- what must hold ------------------------------------------------------------------------

WORDS = ["word", "x y", "yes", "1e5", "~", "", " x ", "a: b", "# no", "it's", 'q"', "'\"", "null"]
WORDS += [
    "a\nb",
    "\n",
    "\r\n",
    "\\",
    "\\n",
    "\t",
    "é雪😀",
    "\x85",
    "\u2028",
    "\x7f",
    "\ufeff",
    "\0",
]
WORDS += ["0x1F", "2024-01-02", "1:30", "- x", "[1]", "{a: 1}", "'''", '"""', "<<", "x" * 200]
TEXTS = st.sampled_from(WORDS) | st.text(st.characters(codec="utf-8"), max_size=6)
NUMBERS = st.sampled_from([10**30, -(10**20), 1e-07, 1e22, 0.1, -0.0, 1.0, 5e-324, float("nan")])
SCALARS = st.one_of(TEXTS, NUMBERS, st.integers(-9, 9), st.floats(), st.booleans(), st.none())
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
RANDOMS = st.randoms(use_true_random=False)


class Fault(AssertionError):
    """An edit that is not as it must be; *kind* says in what."""

    def __init__(self, kind: str, *details: Any) -> None:
        super().__init__(kind, *details)
        self.kind = kind


def tell(what: str) -> None:
    if currently_in_test_context():
        event(what)


def is_anchored(f: File, way: Way) -> bool:
    return f.has_anchors and way[0] in ("base", "copy", "derived", "list", "last")


def tomlkit_differs(f: File, way: Way) -> bool:
    """Whether reading and writing alone changes the text."""
    return tomlkit.dumps(tomlkit.parse(f.text)) != f.text


REFUSALS: dict[str, Callable[[File, Way, str], bool]] = {
    "its value is shared through an anchor": lambda f, way, value: is_anchored(f, way),
    "it is an alias or merged in": lambda f, way, value: is_anchored(f, way),
    "TOML has no null": lambda f, way, value: "null" in value,
    "other lines would change too": lambda f, way, value: (
        way in f.tables or tomlkit_differs(f, way)
    ),
    "Python has no literal for": lambda f, way, value: "NaN" in value or "Infinity" in value,
    "it is a class": lambda f, way, value: way in f.tables,
    "it shares its line with another statement": lambda f, way, value: ";" in f.text,
    "it is all there is in its class": lambda f, way, value: way[:-1] in f.tables,
}
"""What may be refused: by the message, and where it may say so."""


def attempt(f: File, op: str, way: Way, value: Any) -> str | None:
    """The new text; None if it is refused for a reason that holds."""
    tell(f"{f.name} {op}")
    try:
        if op == "delete":
            return edit.delete_value(f.text, way, f.name)
        return edit.set_value(f.text, way, value, f.name)
    except UsageError as error:
        says = next((each for each in REFUSALS if each in str(error)), "")
        if isinstance(error, BadInput) or not (says and REFUSALS[says](f, way, canonical(value))):
            raise Fault("refused", str(error), f, way, value) from None
        tell(f"{f.name} {op} refused: {says}")
        return None
    except Exception as error:
        raise Fault("crash", repr(error), f, way, value) from error


def at(value: Any, way: Way) -> Any:
    for part in way:
        value = child(value, part)
    return value


def changed(value: Any, way: Way, change: Callable[[Any, Any], None]) -> Any:
    """A copy of *value* with a *change* made to what holds the last step of the way."""
    copied = list(value) if isinstance(value, list) else dict(value or {})
    key = int(way[0]) if isinstance(copied, list) else existing(copied, way[0])
    if len(way) == 1:
        change(copied, key)
    else:
        copied[key] = changed(copied[key], way[1:], change)
    return copied


def as_kept(f: File, value: Any) -> Any:
    """The value as the format can hold it: keys are texts in JSON and TOML."""
    if isinstance(value, list):
        return [as_kept(f, inner) for inner in value]
    if not isinstance(value, dict):
        return value
    typed = f.name.endswith(("yaml", "py"))
    return {
        key if typed or isinstance(key, str) else canonical(key): as_kept(f, inner)
        for key, inner in value.items()
    }


def compare(f: File, new: str, wanted: Any) -> None:
    if canonical(params.load(new, f.name)) != canonical(as_kept(f, wanted)):
        raise Fault("values", f, new, wanted)


def check_ends(f: File, place: Place, new: str) -> str:
    """What stands at the place now; around it nothing may be different."""
    head, tail = f.text[: place.start], f.text[place.end :]
    if not new.startswith(head) or not new[len(head) :].endswith(tail):
        raise Fault("other bytes", f, new)
    return new[len(head) : len(new) - len(tail)]


def same_ends(old: str, new: str) -> int:
    """How many characters the two share at both ends."""

    def first(one: str, other: str) -> int:
        pairs = enumerate(zip(one, other, strict=False))
        return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))

    return first(old, new) + first(old[::-1], new[::-1])


def without_comma(old: str, new: str) -> str:
    """*new* without the comma that goes before the comment of what was the last entry."""
    pairs = enumerate(zip(old, new, strict=False))
    i = next((i for i, (one, other) in pairs if one != other), len(old))
    return new[:i] + new[i + 1 :] if re.match(r",[ \t]*#", new[i:]) else new


def notes(text: str) -> dict[str, set[str]]:
    """Each comment and how its line begins and ends without it, or the one below that has text."""
    rows = text.splitlines()
    found = {}
    for row, below in zip(rows, [*rows[1:], ""], strict=False):
        if match := re.search(r"# note \d+", row):
            about = row[: match.start()].strip(" \t,") or below.strip()
            found[match[0]] = {about[:1], about[-1:]}
    return found


def check_set(f: File, way: Way, value: Any) -> None:
    """Only the value's own characters change; setting what is there changes nothing.

    Setting the old value back gives the old bytes where it was spelled as we would: numbers as
    Python writes them (in YAML `1.0e-05`), `true` and `null` as the format has them, texts bare in
    YAML where two readers agree on them, else in double quotes, in Python in single ones.
    """
    values = params.load(f.text, f.name)
    old = at(values, way)
    if edit.set_value(f.text, way, old, f.name) != f.text:
        raise Fault("not the same", f, way)
    new = attempt(f, "set", way, value)
    if new is None:
        return
    compare(f, new, changed(values, way, lambda held, key: held.__setitem__(key, value)))
    if way not in f.places:
        return
    place = f.places[way]
    written = check_ends(f, place, new)
    if "\n" in written and "\n" not in f.old(way):
        raise Fault("lines", f, way, new)
    texts = isinstance(value, str) and isinstance(old, str)  # the style of the new one stays
    if place.own and not texts and not isinstance(value, list | dict):
        back = attempt(File(f.random, f.name, new), "set", way, old)
        if back != f.text:
            raise Fault("not back", f, way, new, back)


def check_add(f: File, way: Way, value: Any) -> None:
    """Text is put in at one place, with the file's line ends; deleting gives the old bytes.

    Comments stay at what they stood at. The brackets of an empty mapping may be written anew, a
    last line without a line break gets one, a comma may go before the comment of the entry above.
    """
    values = params.load(f.text, f.name)
    new = attempt(f, "add", way, value)
    if new is None:
        return
    compare(f, new, changed(values, way, lambda held, key: held.__setitem__(key, value)))
    home = f.places.get(way[:-1])
    if home and not at(values, way[:-1]):
        check_ends(f, home, new)
        return
    if same_ends(f.text, without_comma(f.text, new)) < len(f.text):
        raise Fault("other bytes", f, way, new)
    if "\r\n" in f.text and re.search(r"(?<!\r)\n", new):
        raise Fault("line ends", f, way, new)
    after = notes(new)
    if not all(about & after.get(note, set()) for note, about in notes(f.text).items()):
        raise Fault("comments", f, way, new)
    if f.text.endswith("\n"):
        back = edit.delete_value(new, way, f.name)
        if without_comma(f.text, back) != f.text:
            raise Fault("not back", f, way, new)


def check_delete(f: File, way: Way, value: Any = None) -> None:
    """Text is cut out at one place; where at most one item is left, its brackets may be new.

    Comments on other lines stay, but for those in brackets that are empty then.
    """
    values = params.load(f.text, f.name)
    new = attempt(f, "delete", way, None)
    if new is None:
        return
    wanted = changed(values, way, lambda held, key: held.__delitem__(key))
    left = len(at(wanted, way[:-1]))
    if left or not f.name.endswith("toml"):  # in TOML `a.b = 1` takes `a` with it
        compare(f, new, wanted)
    place, home = f.places.get(way), f.places.get(way[:-1])
    if place is None:
        return
    if same_ends(f.text, new) < len(new):
        if not home or left > 1:
            raise Fault("other bytes", f, way, new)
        check_ends(f, home, new)
    start, end = (home.start, home.end) if home and not left else (place.entry, place.end)
    line = f.text.rfind("\n", 0, start) + 1
    stay = {**notes(f.text[:line]), **notes(f.text[end:].partition("\n")[2])}
    if not stay.keys() <= notes(new).keys():
        raise Fault("comments", f, way, new)


CHECKS = {"set": check_set, "add": check_add, "delete": check_delete}


# -- what was wrong once, and what is refused ------------------------------------------------


def nowhere(f: File, way: Way, value: Any) -> bool:
    return False


def anywhere(f: File, way: Way, value: Any) -> bool:
    return True


def old_has(pattern: str, *, back: int = 0) -> Callable[[File, Way, Any], bool]:
    """The text of the value (*back* 1: of what holds it) has something that matches."""

    def hits(f: File, way: Way, value: Any) -> bool:
        holder = way[: len(way) - back]
        text = f.old(holder) if holder in f.places else f.text
        return bool(re.search(pattern, text))

    return hits


def text_has(pattern: str) -> Callable[[File, Way, Any], bool]:
    return lambda f, way, value: bool(re.search(pattern, f.text))


def has_odd_breaks(f: File, way: Way, value: Any) -> bool:
    return len((f.text + canonical(value)).splitlines()) > len(f.text.split("\n"))


class Known(NamedTuple):
    """A fault: the edit of the smallest file, its value between « and », and where else it hits."""

    name: str
    op: str
    kind: str
    why: str
    text: str
    way: str
    value: Any = None
    hits: Callable[[File, Way, Any], bool] = nowhere

    def file(self) -> File:
        start, end = self.text.find("«"), self.text.find("»") - 1
        f = File(Random(0), f"params.{self.name}", re.sub("[«»]", "", self.text))
        if start >= 0:
            line = f.text.rfind("\n", 0, start) + 1
            f.places[parts(self.way)] = Place(line, start, end)
        return f


ONCE = [
    Known(
        *("yaml", "set", "refused", "a key without a value in braces has no colon"),
        *("a: {b, c: 1}\n", "a.b", 5),
    ),
    Known(
        *("yaml", "set", "refused", "`y` is true in YAML 1.1 and needs quotes there"),
        *("%YAML 1.1\n---\na: «1»\n", "a", "y"),
    ),
    Known(
        *("yaml", "set", "refused", "the pairs of an ordered mapping are taken for a list"),
        *("a: !!omap [x: «1»]\n", "a.x", 2),
    ),
    Known(
        *("yaml", "add", "refused", "the column of `? a` is not that of a new key"),
        *("? a\n: 1\n", "b", 5),
    ),
    Known(
        *("yaml", "delete", "refused", "an item below its dash leaves the dash"),
        *("a:\n-«\n  b: 1»\n- 2\n", "a.0", None, text_has(r"-[ \t]*(#[^\n]*)?\r?\n")),
    ),
    Known(
        *("yaml", "delete", "comments", "the last item takes the comment of the one before it"),
        *("a: [1,  # note 0\n  «2»]\n", "a.1", None, old_has(r"^[\[{]", back=1)),
    ),
    Known(
        *("yaml", "delete", "comments", "the first key behind a dash takes the next one's comment"),
        *("a:\n- b: «1»\n  # note 0\n  c: 2\n", "a.0.b", None, text_has(r"- ")),
    ),
    Known(
        *("json", "set", "refused", "a key that is a number is not written as text"),
        *('{"a": «1»}\n', "a", {5: 1}),
    ),
    Known(
        *("toml", "set", "refused", "a key that is a number is not written as text"),
        *("a = «1»\n", "a", {5: 1}),
    ),
    Known(
        *("toml", "delete", "refused", "a dotted key's table goes with its last key"),
        *("a.b = «1»\n", "a.b", None, lambda f, way, value: way[:-1] in f.tables),
    ),
    Known(
        *("py", "set", "refused", "a set has no order: a list that has one is written as a set"),
        *("A = «{1, 2}»\n", "A", [2, 1], old_has("^{")),
    ),
    Known(
        *("py", "set", "refused", "`true` is not found among a dict's keys"),
        *("A = {True: «1»}\n", "A.true", 5),
    ),
    Known(
        *("py", "add", "refused", "the last statement shares its line"),
        *("A = 1; B = 2\n", "C", 5, text_has(";")),
    ),
    Known(
        *("py", "add", "refused", "a new key is put inside the last value's parentheses"),
        *("A = {'b': (1)}\n", "A.c", 5, old_has(r"\)", back=1)),
    ),
    Known(
        *("py", "add", "other bytes", "the space before a bracket is moved to the line above"),
        *("A = {\n    'b': 1 }\n", "A.c", 5, old_has(r"[ \t][}]\Z", back=1)),
    ),
    Known(
        *("py", "add", "not back", "the space before a bracket is moved to the line above"),
        *("A = {\n    'b': 1, }\n", "A.c", 5, old_has(r"[ \t][}]\Z", back=1)),
    ),
    Known(
        *("py", "add", "not back", "a key that goes takes the comment of the one before it"),
        *('A = {\n    "b": 1,  # note 0\n}\n', "A.c", 5, text_has("#")),
    ),
    Known(
        *("py", "delete", "refused", "an item in parentheses leaves one of them"),
        *("A = [«1», (2)]\n", "A.0", None, old_has(r"\(", back=1)),
    ),
    Known(
        *("py", "delete", "refused", "of a name given twice only the last goes"),
        *("A = 1\nA = «2»\n", "A"),
    ),
    Known(
        *("py", "delete", "refused", "a class leaves its decorators"),
        *("@d\nclass A:\n    b = 1\nC = 1\n", "A", None, lambda f, way, value: way in f.tables),
    ),
    Known(
        *("py", "delete", "comments", "the last item takes the comment of the one before it"),
        *("A = [\n    1,  # note 0\n    «2»,\n]\n", "A.1", None, old_has("#", back=1)),
    ),
]
REFUSED = [
    Known(
        *("yaml", "delete", "refused", "a comment stands between the item and its comma"),
        *("a: [«1»  # note 0\n  , 2]\n", "a.0", None, old_has(r"#[^\n]*\s*,", back=1)),
    ),
    Known(
        *("yaml", "add", "refused", "a block scalar without a line break at its end gets one"),
        *("a: |\n  x", "b", 5, text_has(r"[|>][^\n]*\n[^|>]*[^\n]\Z")),
    ),
    Known(
        *("yaml", "delete", "refused", "what is below it falls to the block scalar above"),
        *("a: |\n  x\nb: «1»\n    # note 0\nc: 2\n", "b", None, text_has("[|>]")),
    ),
    Known(
        *("yaml", "delete", "refused", "what comes up behind the dash stands in another column"),
        *("a:\n-   -   «1»\n    - - 2\n      - 3\n", "a.0.0", None, text_has("- +-")),
    ),
    Known(
        *("yaml", "delete", "refused", "`...` alone is no document"),
        *("a: «1»\n...\n", "a", None, text_has(r"\.\.\.\s*\Z")),
    ),
]
TOMLKIT = [
    Known(
        *("toml", "set", "other bytes", "tomlkit drops the space behind a date"),
        *("a = [ «2024-01-02» ]\n", "a.0", 5, lambda f, way, value: tomlkit_differs(f, way)),
    ),
    Known(
        *("toml", "add", "refused", "a header that ends the file without a line break"),
        *("[[a]]", "a.0.b", 5, text_has(r"\][^\n]*\Z")),
    ),
    Known(
        *("toml", "add", "other bytes", "an inline table loses the space in its brace"),
        *("a = { b = 1 }\n", "a.c", 5, anywhere),
    ),
    Known(
        *("toml", "add", "comments", "a new key stands below the comment of the next table"),
        *("[a]\nb = 1\n\n# note 0\n[c]\n", "a.d", 5, anywhere),
    ),
    Known(
        *("toml", "add", "not back", "the blank line below a new key stays when it goes"),
        *("a = 1\n[b]\n", "c", 5, anywhere),
    ),
    Known(
        *("toml", "delete", "other bytes", "an inline table gets a space for its last key"),
        *("a = {b = 1, c = 2, d = «3»}\n", "a.d", None, anywhere),
    ),
    Known(
        *(
            "toml",
            "delete",
            "comments",
            "a header after its own inner table's goes when it is empty",
        ),
        *("[a.b]\n[c]\n[a]  # note 0\nd = «1»\n", "a.d", None, anywhere),
    ),
]
"""What tomlkit, which edits TOML, lays out anew or does not write."""


def named(known: Known) -> str:
    return f"{known.name}-{known.op}-{known.why}"


@pytest.mark.parametrize(
    "known",
    [
        pytest.param(
            known,
            marks=pytest.mark.xfail(strict=True, raises=Fault, reason=f"tomlkit: {known.why}"),
        )
        for known in TOMLKIT
    ],
    ids=map(named, TOMLKIT),
)
def test_what_tomlkit_lays_out_anew(known: Known) -> None:
    CHECKS[known.op](known.file(), parts(known.way), known.value)


@pytest.mark.parametrize("known", ONCE, ids=named)
def test_an_edit_that_went_wrong_once_is_right(known: Known) -> None:
    CHECKS[known.op](known.file(), parts(known.way), known.value)


@pytest.mark.parametrize(
    "text, new", [("A = 1,\n", "A = ()\n"), ("A = 1, 2\n", "A = 2,\n"), ("A = (1, 2)", "A = (2,)")]
)
def test_the_first_item_of_a_tuple_is_deleted(text: str, new: str) -> None:
    assert edit.delete_value(text, ("A", "0"), "p.py") == new


@pytest.mark.parametrize("known", REFUSED, ids=named)
def test_an_edit_that_would_change_more_is_refused(known: Known) -> None:
    f, way = known.file(), parts(known.way)
    with pytest.raises(UsageError, match="cannot be set alone: more than it would change") as told:
        if known.op == "delete":
            edit.delete_value(f.text, way, f.name)
        else:
            edit.set_value(f.text, way, known.value, f.name)
    assert told.value.hint == "edit the file by hand"


def check(op: str, f: File, way: Way, value: Any) -> None:
    """As CHECKS, but for what is refused on purpose."""
    try:
        CHECKS[op](f, way, value)
    except Fault as fault:
        for known in (*REFUSED, *TOMLKIT):
            same = (f"params.{known.name}", known.op, known.kind) == (f.name, op, fault.kind)
            if same and known.hits(f, way, value):
                tell(f"{f.name} {op} refused: {known.why}")
                return
        raise


# -- edits ---------------------------------------------------------------------------------

MAKERS = pytest.mark.parametrize("make", [yaml_file, json_file, toml_file, python_file])


def ways(f: File) -> list[Way]:
    """The way to every value in the file, and what an anchor shares more often."""
    shared = [("base",), ("base", "y", "0"), ("copy",), ("copy", "x"), ("derived",)]
    shared += [("derived", "x"), ("derived", "y"), ("list", "1"), ("last",), ("last", "one")]
    return [*filter(None, f.places), *sorted(f.tables), *(shared if f.has_anchors else [])]


@MAKERS
@MANY
@given(RANDOMS, VALUES)
def test_a_value_is_set_and_nothing_else_changes(
    make: Callable[[Random], File], random: Random, value: Any
) -> None:
    f = make(random)
    check("set", f, f.pick(ways(f)), value)


@MAKERS
@MANY
@given(RANDOMS, VALUES)
def test_a_value_is_added_and_nothing_else_changes(
    make: Callable[[Random], File], random: Random, value: Any
) -> None:
    f = make(random)
    values = params.load(f.text, f.name)
    homes = [way for way in ways(f) if isinstance(at(values, way), dict)]
    check("add", f, (*f.pick([(), *homes]), f.pick(["zz", "Znew"])), value)


@MAKERS
@MANY
@given(RANDOMS)
def test_a_value_is_deleted_and_nothing_else_changes(
    make: Callable[[Random], File], random: Random
) -> None:
    f = make(random)
    check("delete", f, f.pick(ways(f)), None)


@MANY
@given(
    st.text(st.characters(codec="utf-8", exclude_characters="'\"\\"), max_size=8),
    st.sampled_from(
        [
            *(("params.yaml", "a: 'x'  # c\n"), ("params.yaml", 'a: "x"\n')),
            *(("params.toml", "a = 'x'  # c\n"), ("params.toml", 'a = "x"\n')),
            *(("params.py", "a = 'x'  # c\n"), ("params.py", 'a: str = "x"; B = 1\n')),
            *(("params.yaml", "b: {a: 'x'}\n"), ("params.toml", "b = {a = 'x'}\n")),
        ]
    ),
)
def test_a_text_stays_in_its_quotes_and_comes_back(text: str, layout: tuple[str, str]) -> None:
    name, old = layout
    way = ("b", "a") if old.startswith("b") else ("a",)
    quote = "'" if "'" in old else '"'
    new = edit.set_value(old, way, text, name)
    assert at(params.load(new, name), way) == text
    if text.isprintable():
        assert f"{quote}{text}{quote}" in new
        assert edit.set_value(new, way, "x", name) == old


def test_a_byte_order_mark_and_crlf_stay(space: Space) -> None:
    texts = {
        "p.yaml": "lr: 1  # c\r\nb: |\r\n  x\r\n",
        "p.json": '{\r\n\t"lr": 1,\r\n\t"b": [1]}',
        "p.toml": "lr = 1  # c\r\nb = '''\r\nx'''\r\n",
        "p.py": 'lr = 1  # c\r\nb = """\r\nx"""\r\n',
    }
    for name, text in texts.items():
        (space.root / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
    files = "".join(f"    - {name}:\n" for name in texts)
    space.write("dvc.yaml", f"stages:\n  s:\n    cmd: 'true'\n    params:\n{files}")
    space.exp(*(word for name in texts for word in ("-S", f"{name}:lr=2")))
    for name, text in texts.items():
        new = text.replace("1", "2", 1).encode()
        assert (space.root / name).read_bytes() == b"\xef\xbb\xbf" + new


# -- what stands behind -S -------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        *"x a.b p.yaml: = , [ ] { } : ' \" \\ ( ) + ~ $ # . 1 0.5 -2 1e5 null true inf _ é".split(),
        *("\\=", "\\,", "\\ ", "${a}", "${", "a=", "~a", '"a.b"', "reverse=", "list=", "step="),
        *(f"{name}(" for name in FUNCTIONS),
        *(" ", "\t", "\n", "\0", "\ud800"),
    ]
)


@MANY
@given(st.lists(PIECES, max_size=12).map("".join))
def test_any_override_is_read_or_refused(text: str) -> None:
    for change in read(text) + read(f"x={text}"):
        assert change.keys and all(change.keys)


def read(text: str) -> list[overrides.Change]:
    """The changes that a text asks for; none if it is refused."""
    try:
        return overrides.parse(text)
    except UsageError as error:
        assert str(error).startswith("-S ")
        return []


REPEATED = [
    *(
        "(",
        ")",
        "[",
        "]",
        "[1,",
        "{",
        "}",
        "\\",
        '"',
        "'",
        ",",
        "=",
        "a=",
        "~",
        "+",
        "$",
        "${",
        "${a}",
        " ",
        "\t",
    ),
    *("a", "1", "1_", ".", "1e", "-", ":", "a:", "a,", "a=1,", "=,", "\\\\", '\\"', "\\,", "'a"),
    *('"a"', "''", "a b", "choice(", "range(", "{a:", "a.", ".a", "~a,", "~a:", "é", "inf", "a ("),
]


@pytest.mark.parametrize("piece", REPEATED)
def test_a_long_override_takes_no_long_time(piece: str) -> None:
    started = time.process_time()
    for before in ("", "x=", "x='", "x=[", "~"):
        read((before + piece * 50_000)[:50_000])
    assert time.process_time() - started < 3


@pytest.mark.parametrize(
    "text",
    [
        *("x=1,choice(2,3)", "x=choice(range(3),5)", "x=choice(glob(*),1)", "x=int(1,range(2))"),
        *("x=sort(choice(1,2),choice(3,4))", "x=[range(2)]", "x={a: choice(1,2)}"),
        "x=choice(glob(*))",
    ],
)
def test_a_sweep_in_a_sweep_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        overrides.parse(text)


@pytest.mark.parametrize("text", ["x=sort(sweep=5)", "x=shuffle(sweep=a)"])
def test_a_sweep_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        overrides.parse(text)


def test_an_escaped_equals_sign_is_part_of_a_value() -> None:
    (change,) = overrides.parse("x=a,b\\=c")
    assert change.value == Sweep(("a", "b=c"), is_simple=True)


def test_of_two_values_the_last_counts_also_after_one_that_names_a_param(project: Space) -> None:
    project.exp("-S", "seed=${train.lr}", "-S", "seed=5")
    assert "seed: 5\n" in project.read("params.yaml")


def test_a_mapping_named_by_another_param_replaces_the_old_one(project: Space) -> None:
    project.write("params.yaml", "train: {lr: 1, old: 2}\nother: {lr: 3}\n")
    project.exp("-S", "train=${other}")
    assert project.read("params.yaml") == "train: {lr: 3}\nother: {lr: 3}\n"


def test_a_mapping_with_a_param_in_it_goes_in_key_by_key(project: Space) -> None:
    project.write("params.yaml", "train: {lr: 1}\nother: {old: 2}\n")
    project.exp("-S", "+other={new: '${train.lr}'}")
    assert project.read("params.yaml") == "train: {lr: 1}\nother: {old: 2, new: 1}\n"


def test_a_key_that_is_a_number_stays_one_in_a_mapping_that_is_there(project: Space) -> None:
    project.write("params.yaml", "train: {lr: 1}\n")
    project.exp("-S", "+train={5: 2}")
    assert project.read("params.yaml") == "train: {lr: 1, 5: 2}\n"
    project.exp("-S", "train={5: 3}")
    assert project.read("params.yaml") == "train: {lr: 1, 5: 3}\n"
