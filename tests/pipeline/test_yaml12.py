"""`yaml12`: what a text means, against ruamel.yaml, which DVC reads with; and what is refused."""

from __future__ import annotations

import datetime
import math
from typing import Any

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from yaml.nodes import MappingNode

from dodo_exp.errors import BadInput
from dodo_exp.pipeline import yaml12
from dodo_exp.pipeline.text import decode
from tests.space import told

FILE = "some.yaml"


def load(text: str) -> Any:
    return yaml12.load(text, FILE)


def fault(text: str) -> str:
    with pytest.raises(BadInput) as caught:
        load(text)
    return told(caught.value)


def oracle(text: str) -> Any:
    """What ruamel.yaml makes of it."""
    return YAML(typ="safe", pure=True).load(text)


def typed(value: Any) -> Any:
    """A form in which 1, 1.0 and true differ and NaN equals itself."""
    if isinstance(value, dict):
        return [(typed(key), typed(item)) for key, item in value.items()]
    if isinstance(value, list):
        return ["list", *map(typed, value)]
    if isinstance(value, float) and math.isnan(value):
        return "float", "nan"
    return type(value).__name__, repr(value)


def is_date(value: Any) -> bool:
    return isinstance(value, datetime.date)


# -- scalars -------------------------------------------------------------------------------

WORDS = (
    "true True TRUE false False null Null NULL ~ .inf .Inf -.INF +.inf .nan .NaN .NAN yes no on off"
    " Yes ON y n inf nan tRUE nUll 1e-3 1E5 +.5 5. .5 .5e3 .5e+3 0o17 017 08 0x1F 0b101 1_000 12:30"
    " 1:30 1_0.5_0 -0 +0 -0.0 1e400 --1 1-1 1.2.3 1e 1e- 0x 0b 0o 0b12 0o8 0xG _1 + . .. -. 1__2"
    " 12e03 -2E-4 1._5 0o_7 0x_f 0b_1 -0x1F +0b11".split()
)
NUMBERS = st.from_regex(
    r"[-+]?[0-9_]{0,4}(\.[0-9_]{0,4})?([eE][-+]?[0-9]{0,3})?|[-+]?0[box][0-9a-fA-F_]{0,5}",
    fullmatch=True,
)
LETTERS = st.text("0123456789+-._eExXobinfaINFAtruefalsnly~TFN", max_size=8)
DATES = st.from_regex(r"[12][0-9]{3}-0[1-9]-1[0-9](T1[0-9]:30:00Z?)?", fullmatch=True)


@pytest.mark.parametrize("text", WORDS)
def test_a_plain_scalar_means_what_it_means_to_ruamel(text: str) -> None:
    assert typed(load(f"x: {text}")) == typed(oracle(f"x: {text}"))


@settings(max_examples=500, deadline=None)
@given(st.one_of(NUMBERS, LETTERS, DATES))
def test_any_plain_scalar_means_what_it_means_to_ruamel(text: str) -> None:
    try:
        expected = oracle(f"[{text}]")[0] if text else oracle(text)
    except (YAMLError, ValueError):
        assume(False)
    if is_date(expected):
        expected = text
    assert typed(load(f"[{text}]")[0] if text else load(text)) == typed(expected)


@pytest.mark.parametrize(
    "text, value",
    [
        ("yes", "yes"),
        ("on", "on"),
        ("off", "off"),
        ("n", "n"),
        ("010", 10),
        ("08", 8),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b101", 5),
        ("1e3", 1000.0),
        ("1e-4", 0.0001),
        ("1E5", 100000.0),
        ("+.5", 0.5),
        ("5.", 5.0),
        ("1_000", 1000),
        ("12:30", "12:30"),
        ("12:30:45", "12:30:45"),
        ("~", None),
        ("", None),
        ("null", None),
        ("nUll", "nUll"),
        ("=", "="),
        ("inf", "inf"),
        (".inf", math.inf),
        ("-.inf", -math.inf),
        ("1e400", math.inf),
        ("1180591620717411303424", 2**70),
        ("0.30000000000000004", 0.1 + 0.2),
        ("2024-01-02", "2024-01-02"),
        ("2024-01-02T03:04:05Z", "2024-01-02T03:04:05Z"),
        ("2024-13-45", "2024-13-45"),
    ],
)
def test_a_scalar_has_the_type_that_dvc_gives_it(text: str, value: Any) -> None:
    assert typed(load(f"x: {text}")["x"]) == typed(value)
    assert typed(yaml12.scalar(text)) == typed(value)


def test_an_on_is_text_as_in_yaml_1_2_also_as_a_key() -> None:
    assert load("on: off") == {"on": "off"}


def test_minus_zero_keeps_its_sign() -> None:
    assert math.copysign(1, load("-0.0")) == -1


def test_nan_is_a_float() -> None:
    value = load(".nan")
    assert isinstance(value, float) and math.isnan(value)


@pytest.mark.parametrize("text", ["'1'", '"true"', "'null'", '"1e3"', "|-\n  7", ">-\n  .inf"])
def test_a_quoted_scalar_is_text(text: str) -> None:
    value = load(f"x: {text}\n")["x"]
    assert isinstance(value, str) and value in ("1", "true", "null", "1e3", "7", ".inf")


# -- documents -----------------------------------------------------------------------------

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(st.characters(codec="utf-8", exclude_characters="\x85\u2028\u2029"), max_size=12),
)
DATA = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text("abcxyz019_ é-", min_size=1, max_size=6), inner, max_size=4),
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(DATA, st.sampled_from([None, True, False]), st.booleans())
def test_what_pyyaml_writes_means_what_it_means_to_ruamel(
    data: Any, flow: bool | None, unicode: bool
) -> None:
    text = yaml.safe_dump(data, default_flow_style=flow, allow_unicode=unicode)
    try:
        expected = oracle(text)
    except ValueError:  # ruamel.yaml cannot read `-_`
        assume(False)
    assert typed(load(text)) == typed(expected)


@pytest.mark.parametrize(
    "text",
    [
        "a: &x {b: 1}\nc: *x\n",
        "a: &x 1e-3\nb: [*x, *x]\n",
        "&k a: 1\nb: *k\n",
        "a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}\n",
        "a: &x {b: 1}\ne: &y {b: 2, f: 3}\nd: {<<: [*x, *y], g: 4}\n",
        "a: &x {b: 1}\nd: {c: 0, <<: {b: 2, c: 9}}\n",
        "a: &x {b: 1}\nm: &y\n  <<: *x\n  c: 2\nn:\n  <<: *y\n",
        "a: |\n  x\n  y\n\nb: >\n  x\n  y\n",
        "a: |+\n  x\n\n\nb: >-\n  x\n\n  y\n",
        "a: 'it''s'\nb: \"\\u00e9\\n\\t\"\n",
        "? a\n: b\n? c\n",
        "{a, b: , c: 1,}",
        "[1, 2,]",
        "- - 1\n  - 2\n-\n- a: 1\n  b: 2\n",
        "a:\n- 1\n- 2\n",
        "# only\n---\na: 1 # c\n...\n",
        "%YAML 1.2\n---\na: yes\n",
        "a: x y\n  z\n",
        "! 12",
        "!!str 5",
        "!!int '5'",
        "!!float 5",
        "!!bool 'true'",
        "!!null ''",
        "!!map {a: 1}",
        "!!seq [a]",
        "2: a\n2.5: b\nnull: c\ntrue: d\n",
        "'<<': 1\n",
    ],
)
def test_a_document_means_what_it_means_to_ruamel(text: str) -> None:
    expected = oracle(text)
    value = load(text)
    assert sorted(map(repr, typed(value))) == sorted(map(repr, typed(expected)))


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "\n\n", "---\n...\n", "~"])
def test_a_document_without_content_is_none(text: str) -> None:
    assert load(text) is None


def test_keys_keep_the_order_they_are_written_in() -> None:
    assert list(load("b: 1\na: 2\nc: 3\n")) == ["b", "a", "c"]


def test_keys_keep_their_types() -> None:
    assert typed(load("2: a\n'2': b\nnull: c\n")) == typed({2: "a", "2": "b", None: "c"})


# -- keys and merges -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, message",
    [
        ("a: 1\nb: 2\na: 3\n", "some.yaml:3: duplicate key 'a', first on line 1"),
        ("x:\n  k: 1\n  k: 1\n", "some.yaml:3: duplicate key 'k', first on line 2"),
        ("{a: 1,\n 'a': 2}", "some.yaml:2: duplicate key 'a', first on line 1"),
        ("- a: 1\n  b: 2\n  b: 2\n", "some.yaml:3: duplicate key 'b', first on line 2"),
        ("0x10: a\n16: b\n", "some.yaml:2: duplicate key '16', first on line 1"),
        ("&k a: 1\n*k : 2\n", "some.yaml:1: duplicate key 'a', first on line 1"),
    ],
)
def test_a_duplicate_key_is_refused_naming_both_lines(text: str, message: str) -> None:
    assert fault(text) == message


def test_a_number_and_its_text_are_two_keys() -> None:
    assert load("1: a\n'1': b\n") == {1: "a", "1": "b"}


@pytest.mark.parametrize("key", ["[a]", "{a: 1}", "\n  - a\n"])
def test_a_list_or_mapping_as_a_key_is_refused(key: str) -> None:
    assert "a key must be a word or a number" in fault(f"? {key}\n: 1\n")


def test_an_own_key_wins_over_a_merged_one_wherever_it_stands() -> None:
    assert load("a: &x {k: 1}\nb: {<<: *x, k: 2}\nc: {k: 3, <<: *x}\n") == {
        "a": {"k": 1},
        "b": {"k": 2},
        "c": {"k": 3},
    }


def test_of_several_merged_mappings_the_first_wins() -> None:
    text = "a: &x {k: 1}\nb: &y {k: 2, l: 3}\nc: {<<: [*x, *y]}\n"
    assert load(text)["c"] == {"k": 1, "l": 3}


def test_a_merged_mapping_may_itself_merge() -> None:
    assert load("a: &x {k: 1}\nb: &y {<<: *x, l: 2}\nc: {<<: *y}\n")["c"] == {"k": 1, "l": 2}


@pytest.mark.parametrize("source", ["5", "[1]", "~", "[{a: 1}, b]"])
def test_only_mappings_can_be_merged(source: str) -> None:
    assert fault(f"x: 1\n<<: {source}\n") == (
        "some.yaml:2: '<<' takes a mapping, or a list of them"
    )


def test_an_alias_is_a_value_like_any_other() -> None:
    assert load("a: &x [1, {b: 2}]\nc: *x\n")["c"] == [1, {"b": 2}]


# -- bombs ---------------------------------------------------------------------------------


def levels(first: str, later: str, count: int) -> str:
    lines = [f"a0: &a0 {first}"]
    lines += [f"a{i}: &a{i} " + later.replace("*", f"*a{i - 1}") for i in range(1, count)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "text",
    [
        levels("[x, x]", "[*, *, *, *, *, *, *, *, *]", 12),
        levels("{k: x}", "{<<: [*, *, *, *, *, *, *, *, *]}", 12),
        levels("{k: x}", "{a: *, b: *, c: *}", 30),
        levels("{k: x}", "{<<: [*, *]}", 60),
    ],
    ids=["lists", "merges", "mappings", "long"],
)
def test_an_alias_bomb_is_refused(text: str) -> None:
    assert "aliases that expand to more than 1,000,000 values" in fault(text)


def test_more_than_a_thousand_aliases_are_refused_at_the_first_too_many() -> None:
    assert fault("a: &x 1\nb:\n" + "- *x\n" * 1001) == "some.yaml:1003: more than 1000 aliases"
    assert len(load("a: &x 1\nb:\n" + "- *x\n" * 1000)["b"]) == 1000


@pytest.mark.parametrize("text", ["a: &a [*a]", "&a {b: *a}", "&a [1, {b: [*a]}]", "&a {<<: *a}"])
def test_an_anchor_that_contains_itself_is_refused(text: str) -> None:
    assert fault(text) == "some.yaml:1: an alias that contains itself"


@pytest.mark.parametrize(
    "text, line",
    [
        ("".join(" " * i + "a:\n" for i in range(3000)), 65),
        ("[" * 100_000, 1),
        ("[" * 100_000 + "]" * 100_000, 1),
        ("{a: " * 100_000, 1),
        ("- " * 3000 + "a", 1),
        ("? " * 3000 + "a", 1),
        ("".join(" " * i + "-\n" for i in range(3000)), 65),
        ("[{a: " * 50_000, 1),
        ("[\n" * 3000, 65),
    ],
    ids=["block", "open", "flow", "maps", "dashes", "questions", "items", "mixed", "lines"],
)
def test_a_bottomless_file_is_refused_where_it_gets_too_deep(text: str, line: int) -> None:
    assert fault(text) == f"some.yaml:{line}: nested more than 64 levels deep"


def test_sixty_four_levels_are_allowed_and_one_more_is_not() -> None:
    assert load("[" * 64 + "]" * 64) is not None
    assert "nested more than 64 levels deep" in fault("[" * 65 + "]" * 65)


def test_depth_made_of_aliases_is_depth_too() -> None:
    assert "nested more than 64 levels deep" in fault(levels("[1]", "[*]", 80))


# -- tags, damage, bytes -------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system [id]",
        "!!python/name:os.system",
        "!ENV HOME",
        "!<tag:example.org,2024:x> 1",
        "!!map [a]",
        "!!seq {a: 1}",
        "!!str [a]",
    ],
)
def test_a_tag_that_is_not_plain_data_is_refused(text: str) -> None:
    message = fault(f"x: 1\ny: {text}\n")
    assert message.startswith("some.yaml:2: the tag ")
    assert "is not allowed" in message


@pytest.mark.parametrize(
    "text, value",
    [
        ("!!binary aGk=", "aGk="),
        ("!!timestamp 2024-01-01", "2024-01-01"),
        ("!!set {a, b}", ["a", "b"]),
        ("!!omap [a: 1, b: [2]]", {"a": 1, "b": [2]}),
    ],
)
def test_a_tag_that_json_has_no_type_for_is_read_as_the_nearest(text: str, value: Any) -> None:
    assert load(f"x: {text}") == {"x": value}


@pytest.mark.parametrize("text", ["!!int x", "!!int 1.5", "!!bool yes", "!!float x", "!!null x"])
def test_a_core_tag_must_fit_its_value(text: str) -> None:
    assert fault(f"x: 1\ny: {text}\n").startswith("some.yaml:2: ")


@pytest.mark.parametrize(
    "text, line",
    [
        ("a: 1\n---\nb: 2\n", 2),
        ("a: 1\n\tb: 2\n", 2),
        ("x: 1\na: 'open\nb: 1\n", 2),
        ("x: 1\na: b: c\n", 2),
        ("x: 1\na: *nowhere\n", 2),
        ("x: 1\na: ]\n", 2),
        ("x: 1\n@a: 1\n", 2),
        ("<<<<<<< mine\na: 1\n=======\n", 2),
    ],
)
def test_what_is_not_one_yaml_document_is_refused_with_its_line(text: str, line: int) -> None:
    assert fault(text).startswith(f"some.yaml:{line}: not valid YAML: ")


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("a1 -:?[]{},&*!|>'\"%@`#\n\t~<x."), max_size=30))
def test_any_text_is_read_or_refused_with_its_place(text: str) -> None:
    try:
        load(text)
    except BadInput as error:
        assert str(error).startswith("some.yaml:")


@pytest.mark.parametrize(
    "data, message",
    [
        (b"a: 1\nb: \xff\n", "some.yaml:2: not UTF-8 text"),
        (b"a: caf\xe9\n", "some.yaml:1: not UTF-8 text"),
        ("a: 1".encode("utf-16"), "some.yaml:1: not UTF-8 text"),
        (b"a: 1\nb\0: 2\n", "some.yaml:2: a NUL byte in the text"),
        (b" " * ((10 << 20) + 1), "some.yaml: larger than 10 MiB"),
    ],
    ids=["stray byte", "latin-1", "utf-16", "nul", "large"],
)
def test_bytes_that_are_not_text_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        decode(data, FILE)
    assert told(caught.value) == message


def test_a_file_of_ten_mebibytes_is_read() -> None:
    assert len(decode(b" " * (10 << 20), FILE)) == 10 << 20


def test_a_byte_order_mark_and_crlf_make_no_difference() -> None:
    plain = load("a: 1\nb: [x, y]\n")
    assert load(decode(b"\xef\xbb\xbfa: 1\r\nb: [x, y]\r\n", FILE)) == plain


def test_lines_are_counted_the_same_with_crlf() -> None:
    assert fault("a: 1\r\nb: 2\r\na: 3\r\n").startswith("some.yaml:3: duplicate key")


def test_nodes_know_their_lines() -> None:
    node = yaml12.compose("# c\na:\n  b: 1\n", FILE)
    assert isinstance(node, MappingNode)
    ((key, key_node, value_node),) = yaml12.pairs(node, FILE)
    assert (key, yaml12.line(key_node), yaml12.line(value_node)) == ("a", 2, 3)
