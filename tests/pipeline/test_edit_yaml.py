"""`edit`: one value is set and every other byte stays as it is."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dodo_exp.errors import BadInput, UsageError
from dodo_exp.pipeline import edit, edit_yaml, yaml12
from dodo_exp.pipeline.values import canonical
from tests.pipeline.kit import compiled
from tests.space import told

FILE = "params.yaml"


def put(text: str, dotted: str, value: Any) -> str:
    return edit.set_value(text, tuple(dotted.split(".")), value, FILE)


def refused(text: str, dotted: str, value: Any) -> UsageError:
    with pytest.raises(UsageError) as caught:
        put(text, dotted, value)
    return caught.value


def read(text: str) -> Any:
    return yaml12.load(text, FILE)


# -- where the value is written ------------------------------------------------------------


@pytest.mark.parametrize(
    "old, dotted, value, new",
    [
        ("a: 1\n", "a", 5, "a: 5\n"),
        ("a: 1", "a", 5, "a: 5"),
        ("a:   1   # why\n", "a", 5, "a:   5   # why\n"),
        ("a : 1\n", "a", 5, "a : 5\n"),
        ("'a': 1\n", "a", 5, "'a': 5\n"),
        ("a: 1\nb: 2\nc: 3\n", "b", 5, "a: 1\nb: 5\nc: 3\n"),
        ("a:\n  b:\n    c: 1\n", "a.b.c", 5, "a:\n  b:\n    c: 5\n"),
        ("a:\nb: 1\n", "a", 5, "a: 5\nb: 1\n"),
        ("a: # why\nb: 1\n", "a", 5, "a: 5 # why\nb: 1\n"),
        ("a: ~\n", "a", 5, "a: 5\n"),
        ("a: x\n  y\nb: 1\n", "a", 5, "a: 5\nb: 1\n"),
        ("a: |\n  x\n  y\nb: 1\n", "a", 5, "a: 5\nb: 1\n"),
        ("a: |+\n  x\n\n\nb: 1\n", "a", 5, "a: 5\nb: 1\n"),
        ("a: >-\n  x", "a", 5, "a: 5"),
        ("a: 'x'\n", "a", "y", "a: 'y'\n"),
        ("a: 'x'\n", "a", "it's", "a: 'it''s'\n"),
        ('a: "x"\n', "a", "y", 'a: "y"\n'),
        ('a: "x"\n', "a", 5, "a: 5\n"),
        ("a: [1, 2]  # c\n", "a.1", 5, "a: [1, 5]  # c\n"),
        ("a: [1,\n    2] # c\n", "a.1", 5, "a: [1,\n    5] # c\n"),
        ("a: [1, 2] # c\n", "a", 5, "a: 5 # c\n"),
        ("a: {b: 1, c: 2}\n", "a.b", 5, "a: {b: 5, c: 2}\n"),
        ("a: {b: , c: 2}\n", "a.b", 5, "a: {b: 5, c: 2}\n"),
        ("a:\n- 1 # one\n- 2 # two\n", "a.1", 5, "a:\n- 1 # one\n- 5 # two\n"),
        ("a:\n-\n- 2\n", "a.0", 5, "a:\n- 5\n- 2\n"),
        ("a:\n- - 1\n  - 2\n- 3\n", "a.0", 5, "a:\n- 5\n- 3\n"),
        ("a:\n- b: 1\n  c: 2\n", "a.0.c", 5, "a:\n- b: 1\n  c: 5\n"),
        ("a:\n  b: 1\nc: 2 # c\n", "a", 5, "a: 5\nc: 2 # c\n"),
        ("a:\n- 1\n- 2\n\n# c\nd: 3\n", "a", 5, "a: 5\n\n# c\nd: 3\n"),
        ("a: 1\n", "a", [1, "x,y"], 'a: [1, "x,y"]\n'),
        ("a: 1\n", "a", {"b": {"c": None}}, "a: {b: {c: null}}\n"),
        ("a: {b: 1}\n", "a", {}, "a: {}\n"),
        ("a: &x 1\nb: 2\n", "a", 5, "a: &x 5\nb: 2\n"),
        ("? a\n: 1\n", "a", 5, "? a\n: 5\n"),
        ("1: x\n", "1", 5, "1: 5\n"),
        ("on: x\n", "on", 5, "on: 5\n"),
        ("'1': x\n1: y\n", "1", 5, "'1': 5\n1: y\n"),
        ("# c\n---\na: 1\n...\n", "a", 5, "# c\n---\na: 5\n...\n"),
        ("é: 😀 # 雪\nb: 1 # c\n", "b", 5, "é: 😀 # 雪\nb: 5 # c\n"),
    ],
)
def test_a_value_is_replaced_in_place(old: str, dotted: str, value: Any, new: str) -> None:
    assert put(old, dotted, value) == new


@pytest.mark.parametrize(
    "old, dotted, new",
    [
        ("", "a", "a: 5\n"),
        ("", "a.b.c", "a:\n  b:\n    c: 5\n"),
        ("# c", "a", "# c\na: 5\n"),
        ("---\n", "a", "---\na: 5\n"),
        ("a: 1\n", "b", "a: 1\nb: 5\n"),
        ("a: 1", "b", "a: 1\nb: 5\n"),
        ("a: 1 # c\n", "b.c", "a: 1 # c\nb:\n  c: 5\n"),
        ("a:\n    b: 1\nc: 2\n", "a.d", "a:\n    b: 1\n    d: 5\nc: 2\n"),
        ("a:\n  b: 1\n\n# c\nd: 2\n", "a.e", "a:\n  b: 1\n  e: 5\n\n# c\nd: 2\n"),
        ("a:\n  b: |\n    x\nd: 2\n", "a.e", "a:\n  b: |\n    x\n  e: 5\nd: 2\n"),
        ("a:\n- b: 1\n- c: 2\n", "a.0.d", "a:\n- b: 1\n  d: 5\n- c: 2\n"),
        ("a: {b: 1}\n", "a.c", "a: {b: 1, c: 5}\n"),
        ("a: {b: 1}\n", "a.c.d", "a: {b: 1, c: {d: 5}}\n"),
        ("a: {b: 1, }\n", "a.c", "a: {b: 1, c: 5, }\n"),
        ("a: {b: 1 # c\n  }\n", "a.c", "a: {b: 1, c: 5 # c\n  }\n"),
        ("a: {}\n", "a.b", "a: {b: 5}\n"),
        ("a:\nb: 1\n", "a.c", "a: {c: 5}\nb: 1\n"),
        ("{}\n", "a", "{a: 5}\n"),
        ("{b: 1}\n", "a", "{b: 1, a: 5}\n"),
        ("a: 1\n...\n", "b", "a: 1\nb: 5\n...\n"),
        ("a: 1\n", "5", 'a: 1\n"5": 5\n'),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", "c.d", "a: &x {b: 1}\nc:\n  <<: *x\n  d: 5\n"),
    ],
)
def test_a_missing_key_is_added_after_its_siblings(old: str, dotted: str, new: str) -> None:
    assert put(old, dotted, 5) == new


@pytest.mark.parametrize(
    "old, dotted, value",
    [
        ("a:   1.0 # c\n", "a", 1.0),
        ("a: 0x1F\n", "a", 31),
        ("a: 'x'\n", "a", "x"),
        ("a: [1,   2]\n", "a", [1, 2]),
        ("a: {c: 1, b: 2}\n", "a", {"b": 2, "c": 1}),
        ("a: .NaN\n", "a", math.nan),
        ("a: &x 1\nb: *x\n", "b", 1),
        ("a:\n", "a", None),
    ],
)
def test_setting_what_is_there_changes_nothing(old: str, dotted: str, value: Any) -> None:
    assert put(old, dotted, value) == old


@pytest.mark.parametrize("value", [1.0, True, "1"])
def test_one_is_not_one_point_nought_nor_true(value: Any) -> None:
    assert put("a: 1\n", "a", value) == f"a: {edit_yaml.emit(value)}\n" != "a: 1\n"


# -- CRLF and comments ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "dotted, value, new",
    [
        ("a", 5, "a: 5 # c\r\nb:\r\n  c: 2\r\nd: |\r\n  x\r\n"),
        ("b.c", 5, "a: 1 # c\r\nb:\r\n  c: 5\r\nd: |\r\n  x\r\n"),
        ("b", 5, "a: 1 # c\r\nb: 5\r\nd: |\r\n  x\r\n"),
        ("d", 5, "a: 1 # c\r\nb:\r\n  c: 2\r\nd: 5\r\n"),
        ("b.e", 5, "a: 1 # c\r\nb:\r\n  c: 2\r\n  e: 5\r\nd: |\r\n  x\r\n"),
        ("e.f", 5, "a: 1 # c\r\nb:\r\n  c: 2\r\nd: |\r\n  x\r\ne:\r\n  f: 5\r\n"),
    ],
)
def test_crlf_is_kept(dotted: str, value: Any, new: str) -> None:
    old = "a: 1 # c\r\nb:\r\n  c: 2\r\nd: |\r\n  x\r\n"
    assert put(old, dotted, value) == new


SCALAR_TEXTS = st.sampled_from(
    ["1", "0.5", "x y", "'q # no'", '"d: \\n"', "[1, 2]", "{k: v}", "", "true", "1e-3", "'it''s'"]
)
NEW_VALUES = st.sampled_from([7, 0.25, "text", "a: b # c", [3], {"n": 1}, None, 1e-7, "yes"])


@settings(max_examples=300, deadline=None)
@given(
    st.lists(SCALAR_TEXTS, min_size=1, max_size=6),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    NEW_VALUES,
    st.data(),
)
def test_comments_and_other_lines_are_kept(
    texts: list[str], eol: str, indented: bool, value: Any, data: st.DataObject
) -> None:
    indent = "  " if indented else ""
    lines = ["# head", *(["top: # above"] if indented else [])]
    for i, text in enumerate(texts):
        lines += [f"{indent}# about k{i}", f"{indent}k{i}: {text} # note {i}", ""]
    old = eol.join([*lines, "# tail", ""])
    i = data.draw(st.integers(0, len(texts) - 1))
    new = put(old, f"top.k{i}" if indented else f"k{i}", value)
    changed = [(a, b) for a, b in zip(old.split(eol), new.split(eol), strict=True) if a != b]
    assert all(a.startswith(f"{indent}k{i}: ") for a, _ in changed) and len(changed) <= 1
    assert all(b.startswith(f"{indent}k{i}: ") and b.endswith(f" # note {i}") for _, b in changed)
    values = read(new)["top"] if indented else read(new)
    assert canonical(values[f"k{i}"]) == canonical(value)


# -- any data ------------------------------------------------------------------------------

PRINTED = st.characters(
    exclude_categories=["Cc", "Cf", "Cn", "Co", "Zl", "Zp", "Cs"],
)
TEXTS = st.one_of(
    st.text(PRINTED, max_size=8),
    st.text(st.characters(codec="utf-8"), max_size=5),
    st.sampled_from("yes on 1e3 1e-05 0o17 010 1:30 2024-01-02 ~ = null .5 - # 'a 😀".split()),
)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS)
KEYS = st.one_of(
    st.text("abcdefg_", min_size=1, max_size=4),
    st.sampled_from(["on", "y", "null", "with space", "é", "#x", "- z", "x: y", "'q'"]),
)
DATA = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=10,
)
FILES = st.dictionaries(KEYS, DATA, min_size=1, max_size=4)


@st.composite
def dumps(draw: st.DrawFn) -> str:
    """Data without aliases, in one of the styles of PyYAML."""
    text: str = yaml.dump(
        draw(FILES),
        Dumper=NoAliases,
        default_flow_style=draw(st.sampled_from([None, False, True])),
        indent=draw(st.sampled_from([2, 4])),
        width=draw(st.sampled_from([20, 80, 1000])),
        allow_unicode=draw(st.booleans()),
        sort_keys=draw(st.booleans()),
        explicit_start=draw(st.booleans()),
    )
    return text


class NoAliases(yaml.SafeDumper):
    """Equal lists are written out each time: an anchor would make the value a shared one."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def paths(value: Any, way: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The way to everything in *value*."""
    steps: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        steps = [(str(key), inner) for key, inner in value.items()]
    elif isinstance(value, list):
        steps = [(str(i), inner) for i, inner in enumerate(value)]
    return [p for step, inner in steps for p in [(*way, step), *paths(inner, (*way, step))]]


def updated(value: Any, way: tuple[str, ...], new: Any) -> Any:
    made = copy.deepcopy(value)
    inner = made
    for step in way[:-1]:
        inner = inner[int(step)] if isinstance(inner, list) else inner[step]
    inner[int(way[-1]) if isinstance(inner, list) else way[-1]] = new
    return made


def span(text: str, way: tuple[str, ...]) -> tuple[int, int]:
    """Where PyYAML says that the value stands: after its key or dash, to its last character."""
    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    start = 0
    for step in way:
        if isinstance(node, yaml.MappingNode):
            ((key, node),) = [(k, v) for k, v in node.value if k.value == step]
            start = key.end_mark.index
        else:
            node = node.value[int(step)]
            start = node.start_mark.index
    end = node
    while isinstance(end, yaml.CollectionNode) and not end.flow_style and end.value:
        end = end.value[-1]
        end = end[1] if isinstance(end, tuple) else end
    return start, end.end_mark.index


@settings(max_examples=500, deadline=None)
@given(dumps(), DATA, st.data())
def test_setting_any_value_keeps_every_byte_around_it(
    text: str, value: Any, data: st.DataObject
) -> None:
    old = yaml.safe_load(text)
    way = data.draw(st.sampled_from(paths(old)))
    start, end = span(text, way)
    new = edit.set_value(text, way, value, FILE)
    assert new.startswith(text[:start])
    assert new.endswith(text[end:])
    assert len(new) >= start + len(text) - end
    assert canonical(read(new)) == canonical(updated(read(text), way, value))
    assert canonical(yaml.safe_load(new)) == canonical(updated(old, way, value))


@settings(max_examples=300, deadline=None)
@given(dumps(), SCALARS, st.data())
def test_setting_a_value_back_gives_the_data_back(
    text: str, value: Any, data: st.DataObject
) -> None:
    old = yaml.safe_load(text)
    way = data.draw(st.sampled_from(paths(old)))
    before: Any = read(text)
    for step in way:
        before = before[int(step)] if isinstance(before, list) else before[step]
    there = edit.set_value(text, way, value, FILE)
    back = edit.set_value(there, way, before, FILE)
    assert canonical(read(back)) == canonical(read(text))


@settings(max_examples=300, deadline=None)
@given(dumps(), st.text("hijk", min_size=1, max_size=3), SCALARS, st.data())
def test_adding_a_key_keeps_every_other_byte(
    text: str, key: str, value: Any, data: st.DataObject
) -> None:
    old = yaml.safe_load(text)
    homes = [()] + [way for way in paths(old) if isinstance(at(old, way), dict) and at(old, way)]
    home = data.draw(st.sampled_from(homes))
    new = edit.set_value(text, (*home, key), value, FILE)
    kept = next(i for i in range(len(text) + 1) if i == len(text) or text[i] != new[i])
    assert new.endswith(text[kept:])
    assert canonical(read(new)) == canonical(updated(read(text), (*home, key), value))
    assert canonical(yaml.safe_load(new)) == canonical(updated(old, (*home, key), value))


def at(value: Any, way: tuple[str, ...]) -> Any:
    for step in way:
        value = value[int(step)] if isinstance(value, list) else value[step]
    return value


# -- what is emitted -----------------------------------------------------------------------


@settings(max_examples=500, deadline=None)
@given(DATA)
def test_what_is_emitted_reads_the_same_in_yaml_1_1_and_1_2(value: Any) -> None:
    text = f"x: {edit_yaml.emit(value)}\n"
    assert text.count("\n") == 1
    assert canonical(read(text)["x"]) == canonical(value)
    assert canonical(yaml.safe_load(text)["x"]) == canonical(value)


@settings(max_examples=300, deadline=None)
@given(st.floats())
def test_a_float_reads_the_same_in_yaml_1_1_and_1_2(value: float) -> None:
    text = edit_yaml.emit(value)
    for back in (read(text), yaml.safe_load(text)):
        assert isinstance(back, float)
        assert canonical(back) == canonical(value)


WORDS = st.text("0123456789+-.eExobTrueFalsnuyYN:~= aZ#'\"[]{},&*!|>%@`?<\\", max_size=8)


@settings(max_examples=500, deadline=None)
@given(WORDS, st.sampled_from([None, "'", '"']))
def test_a_text_reads_the_same_in_yaml_1_1_and_1_2(text: str, style: str | None) -> None:
    written = f"x: {edit_yaml.emit(text, style)}\n"
    assert read(written) == {"x": text}
    assert yaml.safe_load(written) == {"x": text}


@pytest.mark.parametrize(
    "value, text",
    [
        (1e-05, "1.0e-05"),
        (1.5e-7, "1.5e-07"),
        (1e22, "1.0e+22"),
        (0.1, "0.1"),
        (1.0, "1.0"),
        (math.inf, ".inf"),
        (-math.inf, "-.inf"),
        (math.nan, ".nan"),
        (None, "null"),
        (True, "true"),
        (10**30, "1" + "0" * 30),
        ("plain", "plain"),
        ("a b/c.d", "a b/c.d"),
        ("yes", '"yes"'),
        ("1e-5", '"1e-5"'),
        ("0o17", '"0o17"'),
        ("2024-01-02", '"2024-01-02"'),
        ("12:30", '"12:30"'),
        ("~", '"~"'),
        ("", '""'),
        (" x", '" x"'),
        ("x ", '"x "'),
        ("a: b", '"a: b"'),
        ("a #b", '"a #b"'),
        ("a\nb", '"a\\nb"'),
        ("- a", '"- a"'),
        ([], "[]"),
        ({}, "{}"),
    ],
)
def test_a_value_is_emitted_as(value: Any, text: str) -> None:
    assert edit_yaml.emit(value) == text


# -- what is refused -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, dotted, value",
    [
        ("a: &x 1\nb: *x\n", "a", 5),
        ("a: &x 1\nb: *x\n", "b", 5),
        ("a: &x {k: 1}\nb: *x\n", "a.k", 5),
        ("a: &x {k: 1}\nb: *x\n", "b.k", 5),
        ("a: &x {k: 1}\nb: *x\n", "b.l", 5),
        ("a: &x [1, 2]\nb: [*x]\n", "b.0.1", 5),
        ("a: &x {k: 1}\nb:\n  <<: *x\n", "a.k", 5),
        ("a: &x {k: 1}\nb:\n  <<: *x\n", "b.k", 5),
        ("a: &x {k: {l: 1}}\nb:\n  <<: *x\n", "b.k.l", 5),
    ],
)
def test_a_shared_value_cannot_be_set_alone(text: str, dotted: str, value: Any) -> None:
    error = refused(text, dotted, value)
    assert "cannot be set alone" in str(error)
    assert error.hint == "edit the file by hand"


@pytest.mark.parametrize(
    "text, dotted, says",
    [
        ("a: 1\n", "a.b", "1 is not a mapping"),
        ("a: x\n", "a.b.c", '"x" is not a mapping'),
        ("a: [1]\n", "a.1", "no item 1 in a list of 1"),
        ("a: [1]\n", "a.x", "no item x in a list of 1"),
        ("a: [1]\n", "a.-1", "no item -1 in a list of 1"),
        ("a: []\n", "a.0", "no item 0 in a list of 0"),
    ],
)
def test_a_way_through_what_is_no_mapping_is_refused(text: str, dotted: str, says: str) -> None:
    message = str(refused(text, dotted, 5))
    assert message.startswith("params.yaml: ") and dotted in message and message.endswith(says)


@pytest.mark.parametrize("text", ["a: [\n", "a: 1\na: 2\n", "a: !x {b}\n", "a: 1\n---\nb: 2\n"])
def test_a_file_that_is_not_plain_yaml_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match=r"params\.yaml:[123]:[14]: "):
        put(text, "a", 5)


# -- stages --------------------------------------------------------------------------------

BODY = {"cmd": "python x.py", "deps": ["a"], "outs": ["b", {"c": {"cache": False}}]}
STAGE = """\
  train:
    cmd: python x.py
    deps:
    - a
    outs:
    - b
    - c:
        cache: false
"""


def put_stage(text: str, name: str = "train", body: dict[str, Any] | None = None) -> str:
    return edit_yaml.set_stage(text, name, BODY if body is None else body, "dvc.yaml")


@pytest.mark.parametrize(
    "old, new",
    [
        ("", f"stages:\n{STAGE}"),
        ("# mine\n", f"# mine\nstages:\n{STAGE}"),
        ("# mine", f"# mine\nstages:\n{STAGE}"),
        ("stages:\n", f"stages:\n{STAGE}"),
        ("stages: {}\n", f"stages:\n{STAGE}"),
        ("stages: null\nmetrics: [m]\n", f"stages:\n{STAGE}metrics: [m]\n"),
        ("metrics: [m] # c\n", f"metrics: [m] # c\nstages:\n{STAGE}"),
        ("stages:\n  b:\n    cmd: y # c\n", f"stages:\n  b:\n    cmd: y # c\n{STAGE}"),
        ("stages:\n  b:\n    cmd: y", f"stages:\n  b:\n    cmd: y\n{STAGE}"),
        (
            "stages:\n  b: {cmd: y} # c\n\n# tail\nmetrics: [m]\n",
            f"stages:\n  b: {{cmd: y}} # c\n{STAGE}\n# tail\nmetrics: [m]\n",
        ),
    ],
)
def test_a_stage_is_added_after_the_others(old: str, new: str) -> None:
    assert put_stage(old) == new


def test_a_stage_is_replaced_where_it_was_and_comments_around_it_stay() -> None:
    old = """\
# head
stages:
  # about a
  a:
    cmd: x  # why
  # about train
  train:
    cmd: old
    outs: [gone]

  # about z
  z:
    cmd: z
# tail
metrics: [m]
"""
    cut = "  train:\n    cmd: old\n    outs: [gone]\n"
    assert put_stage(old) == old.replace(cut, STAGE)


def test_the_indent_of_the_other_stages_is_taken_over() -> None:
    new = put_stage("stages:\n    a: {cmd: x}\n")
    assert new.startswith("stages:\n    a: {cmd: x}\n    train:\n      cmd: python x.py\n")


def test_an_added_stage_is_what_dvc_yaml_says_afterwards() -> None:
    body = {
        "cmd": "echo 'a: b' # c",
        "wdir": "src",
        "deps": ["x y", "z"],
        "params": ["lr", {"p.yaml": ["a", "b"]}, {"q.yaml": None}],
        "outs": [{"big": {"cache": False, "persist": True}}, "yes"],
        "always_changed": True,
        "desc": 'it\'s "so"',
    }
    (made,) = compiled(put_stage("", "train", body)).stages
    assert made.cmds == ("echo 'a: b' # c",)
    assert made.wdir == "src" and made.always and made.desc == 'it\'s "so"'
    assert made.deps == ("src/x y", "src/z")
    assert [(dep.file, dep.keys) for dep in made.params] == [
        ("src/params.yaml", ("lr",)),
        ("src/p.yaml", ("a", "b")),
        ("src/q.yaml", ()),
    ]
    assert [(out.path, out.cache, out.persist) for out in made.outs] == [
        ("src/big", False, True),
        ("src/yes", True, False),
    ]


STAGE_NAMES = st.text("abc", min_size=1, max_size=2)
BODIES = st.fixed_dictionaries(
    {"cmd": st.text(PRINTED, min_size=1, max_size=10)},
    optional={
        "deps": st.lists(st.text(PRINTED, max_size=5), min_size=1, max_size=3),
        "outs": st.lists(
            st.one_of(
                TEXTS, st.dictionaries(KEYS, st.just({"cache": False}), min_size=1, max_size=1)
            ),
            min_size=1,
            max_size=3,
        ),
        "frozen": st.booleans(),
    },
)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(STAGE_NAMES, BODIES, min_size=1, max_size=3),
    STAGE_NAMES,
    BODIES,
    st.sampled_from([2, 4]),
    st.booleans(),
)
def test_setting_a_stage_leaves_the_others(
    stages: dict[str, Any], name: str, body: dict[str, Any], indent: int, last: bool
) -> None:
    top = {"stages": stages} if last else {"stages": stages, "x-more": {"a": [1]}}
    text = yaml.dump(top, Dumper=NoAliases, indent=indent, sort_keys=False, allow_unicode=True)
    new = put_stage(text, name, body)
    wanted = read(text)
    wanted["stages"][name] = body
    assert canonical(read(new)) == canonical(wanted)
    assert canonical(yaml.safe_load(new)["stages"][name]) == canonical(body)


@pytest.mark.parametrize(
    "text, says",
    [
        ("- a\n", "dvc.yaml: cannot add to it: it is not a block mapping"),
        ("{metrics: [m]}\n", "dvc.yaml: cannot add to it: it is not a block mapping"),
        ("x-a: 1\nstages: {a: {cmd: x}}\n", "dvc.yaml:2: 'stages' is not a block mapping"),
        ("a: [\n", "dvc.yaml:2: not valid YAML: did not find expected node content"),
    ],
)
def test_a_file_that_no_stage_can_be_added_to_is_refused(text: str, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        put_stage(text)
    assert told(caught.value) == says
