"""`values`: finding a value, its leaves, and its one canonical text."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dodo_exp.pipeline import values

NESTED = {
    "lr": 0.1,
    "train": {"layers": [64, {"size": 32}], "opt": {"name": "adam"}},
    "a.b": "dotted",
    "a": {"c": "nested"},
    "x.y": 1,
    "x": {"y": 2, "p.q": {"z": 3}},
    5: "five",
    True: "yes",
    None: "nothing",
    "7": "text",
}


def test_a_key_with_a_dot_beside_a_way_of_the_same_name_is_ambiguous() -> None:
    with pytest.raises(values.Ambiguous):
        values.lookup(NESTED, "x.y")


@pytest.mark.parametrize(
    "dotted, value",
    [
        ("lr", 0.1),
        ("train.opt.name", "adam"),
        ("train.opt", {"name": "adam"}),
        ("train.layers.0", 64),
        ("train.layers.1.size", 32),
        ("a.b", "dotted"),
        ("a.c", "nested"),
        ('"a.b"', "dotted"),
        ('"x.y"', 1),
        ('x."y"', 2),
        ('x."p.q".z', 3),
        ("5", "five"),
        ("true", "yes"),
        ("null", "nothing"),
        ("7", "text"),
    ],
)
def test_a_value_is_found_by_its_dotted_name(dotted: str, value: Any) -> None:
    assert values.lookup(NESTED, dotted) == value


@pytest.mark.parametrize(
    "dotted",
    [
        "nope",
        "lr.x",
        "train.nope",
        "train.layers.2",
        "train.layers.-3",
        "train.layers.x",
        "train.layers[0]",
        "train.",
        ".lr",
        "train..opt",
        "6",
        "*",
    ],
)
def test_a_value_that_is_not_there_is_a_key_error(dotted: str) -> None:
    with pytest.raises(KeyError):
        values.lookup(NESTED, dotted)


@pytest.mark.parametrize("value", [None, 5, "text", [1]])
def test_nothing_is_found_in_what_is_no_mapping(value: Any) -> None:
    with pytest.raises(KeyError):
        values.lookup(value, "a")


def test_a_list_item_is_found_by_its_index() -> None:
    assert values.lookup([10, [20, 30]], "1.0") == 20


@pytest.mark.parametrize(
    "value, leaves",
    [
        ({"a": {"b": 1, "c": {"d": 2}}, "e": 3}, [("a.b", 1), ("a.c.d", 2), ("e", 3)]),
        ({"a": [1, {"b": 2}]}, [("a", [1, {"b": 2}])]),
        ({"a": {}, "b": None}, [("a", {}), ("b", None)]),
        ({"a": {"b.c": 1}}, [('a."b.c"', 1)]),
        ({1: {2: "x"}}, [("1.2", "x")]),
        (0.5, [("", 0.5)]),
        ({}, [("", {})]),
    ],
)
def test_leaves_are_all_that_is_no_mapping(value: Any, leaves: list[tuple[str, Any]]) -> None:
    assert list(values.leaves(value)) == leaves


NAMES = st.text("abcxyz", min_size=1, max_size=3)
TREES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3)),
    lambda inner: st.one_of(st.dictionaries(NAMES, inner, max_size=3), st.lists(inner, max_size=3)),
    max_leaves=10,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(NAMES, TREES, min_size=1, max_size=4))
def test_every_leaf_is_found_by_its_name(tree: dict[str, Any]) -> None:
    for name, value in values.leaves(tree):
        assert values.lookup(tree, name) == value


@pytest.mark.parametrize(
    "value, text",
    [
        (1, "1"),
        (1.0, "1.0"),
        (True, "true"),
        (None, "null"),
        ("1", '"1"'),
        ("é\n", '"é\\n"'),
        (math.nan, "NaN"),
        (-math.nan, "NaN"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (0.1 + 0.2, "0.30000000000000004"),
        (-0.0, "-0.0"),
        (2**70, "1180591620717411303424"),
        ({"b": 1, "a": [True, {}]}, '{"a": [true, {}], "b": 1}'),
        ({2: 1, "2": 1}, '{"2": 1, 2: 1}'),
        ((1, 2), "[1, 2]"),
        ([], "[]"),
    ],
)
def test_a_value_has_one_canonical_text(value: Any, text: str) -> None:
    assert values.canonical(value) == text


def test_one_and_one_point_nought_and_true_are_three_values() -> None:
    alike: list[Any] = [1, 1.0, True, "1", "true", [1], {"1": 1}, {1: 1}, None, "null", "", [], {}]
    assert len({values.canonical(value) for value in alike}) == len(alike)


def test_the_order_of_keys_does_not_count_but_that_of_a_list_does() -> None:
    assert values.canonical({"a": 1, "b": {"c": 2, "d": 3}}) == values.canonical(
        {"b": {"d": 3, "c": 2}, "a": 1}
    )
    assert values.canonical([1, 2]) != values.canonical([2, 1])


@settings(max_examples=300, deadline=None)
@given(TREES, TREES)
def test_equal_texts_mean_equal_values(one: Any, other: Any) -> None:
    if values.canonical(one) == values.canonical(other):
        assert one == other
        assert repr(type(one)) == repr(type(other))


@settings(max_examples=100, deadline=None)
@given(TREES)
def test_no_canonical_text_is_the_text_of_an_absent_value(tree: Any) -> None:
    assert not values.canonical(tree).startswith(values.ABSENT[0])
