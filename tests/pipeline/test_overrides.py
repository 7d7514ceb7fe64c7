"""`overrides`: what stands behind `-S`."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dodo_exp.errors import UsageError
from dodo_exp.pipeline import overrides
from dodo_exp.pipeline.overrides import ABSENT, Change
from dodo_exp.pipeline.values import canonical


def value_of(text: str) -> Any:
    (change,) = overrides.parse(f"x={text}")
    assert (change.file, change.keys) == ("params.yaml", ("x",))
    return change.value


def refused(text: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        overrides.parse(text)
    return caught.value


# -- values --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, value",
    [
        ("1", 1),
        ("-3", -3),
        ("+3", 3),
        ("0", 0),
        ("1_000", 1000),
        ("1.5", 1.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("-.5", -0.5),
        ("1e-5", 1e-5),
        ("1E5", 1e5),
        ("1_0.2_5", 10.25),
        ("inf", math.inf),
        ("-INF", -math.inf),
        ("nan", math.nan),
        ("1e400", math.inf),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("Null", None),
        ("", ""),
        ("  ", ""),
        ("abc", "abc"),
        ("a b  c", "a b  c"),
        ("  abc  ", "abc"),
        ("yes", "yes"),
        ("on", "on"),
        ("~", "~"),
        ("none", "none"),
        ("0x10", "0x10"),
        ("010", "010"),
        ("1__0", "1__0"),
        ("1_", "1_"),
        ("1e", "1e"),
        ("1.2.3", "1.2.3"),
        ("2024-01-02", "2024-01-02"),
        ("12:30", "12:30"),
        ("-", "-"),
        ("a#b", "a#b"),
        ("=1", "=1"),
        ("1=2", "1=2"),
        ("http://h/?q=1", "http://h/?q=1"),
        ("../a/b.txt", "../a/b.txt"),
        ("*.csv", "*.csv"),
        ("%x", "%x"),
        ("`cmd`", "`cmd`"),
        ("$HOME", "$HOME"),
        ("é雪😀", "é雪😀"),
        ("a\nb", "a\nb"),
        (r"a\,b", "a,b"),
        (r"\[1\]", "[1]"),
        (r"a\=b", "a=b"),
        (r"a\\b", r"a\b"),
        (r"C:\dir", r"C:\dir"),
        (r"1\ ", "1 "),
    ],
)
def test_an_unquoted_value_is_a_number_a_word_or_text(text: str, value: Any) -> None:
    assert canonical(value_of(text)) == canonical(value)


@pytest.mark.parametrize(
    "text, value",
    [
        ("''", ""),
        ("'1'", "1"),
        ('"true"', "true"),
        ("'null'", "null"),
        ("'a,b=c'", "a,b=c"),
        ("'[1, 2]'", "[1, 2]"),
        ('"it\'s"', "it's"),
        ("'a\"b'", 'a"b'),
        (r"'it\'s'", "it's"),
        (r"'a\\'", "a\\"),
        (r"'a\b'", r"a\b"),
        (r"'a\\b'", r"a\\b"),
        (r"'\\\'x'", r"\'x"),
        ("' x '", " x "),
        ("  'x'  ", "x"),
    ],
)
def test_a_quoted_value_is_text(text: str, value: str) -> None:
    assert value_of(text) == value


@pytest.mark.parametrize(
    "text, value",
    [
        ("[]", []),
        ("[1, 2]", [1, 2]),
        ("[1,2]", [1, 2]),
        ("[ 1 , 2 ]", [1, 2]),
        ("[1.0, true, null, a b, 'c,d']", [1.0, True, None, "a b", "c,d"]),
        ("[[1], [], {a: 1}]", [[1], [], {"a": 1}]),
        ("[a:b, c=d]", ["a:b", "c=d"]),
        (r"[a\,b, c\]]", ["a,b", "c]"]),
        ("{}", {}),
        ("{a: 1}", {"a": 1}),
        ("{a:1,b:x}", {"a": 1, "b": "x"}),
        ("{ a : 1 , b : [2] }", {"a": 1, "b": [2]}),
        ("{a: {b: {c: 1}}}", {"a": {"b": {"c": 1}}}),
        ("{'a b': 1, \"c\": 2}", {"a b": 1, "c": 2}),
        ("{2: a, null: b}", {2: "a", None: "b"}),
        ("{a: b:c}", {"a": "b:c"}),
    ],
)
def test_a_value_may_be_a_list_or_a_mapping(text: str, value: Any) -> None:
    assert canonical(value_of(text)) == canonical(value)


# -- keys ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, file, keys",
    [
        ("lr=1", "params.yaml", ("lr",)),
        ("train.lr=1", "params.yaml", ("train", "lr")),
        ("layers.0=1", "params.yaml", ("layers", "0")),
        ("p.yaml:lr=1", "p.yaml", ("lr",)),
        ("sub/p.yaml:train.lr=1", "sub/p.yaml", ("train", "lr")),
        ("../p.yaml:lr=1", "../p.yaml", ("lr",)),
        (" lr = 1 ", "params.yaml", ("lr",)),
        ("p.yaml:lr = 1", "p.yaml", ("lr",)),
        ("é=1", "params.yaml", ("é",)),
        ("5=1", "params.yaml", ("5",)),
        ("a-b_c/d=1", "params.yaml", ("a-b_c/d",)),
    ],
)
def test_a_key_may_name_its_file_and_its_parts(text: str, file: str, keys: tuple[str, ...]) -> None:
    (change,) = overrides.parse(text)
    assert change == Change(file, keys, 1)
    assert change.name == ".".join(keys)


@pytest.mark.parametrize(
    "text, pairs",
    [
        ("a=1,b=2", [("a", 1), ("b", 2)]),
        ("a=1, b=2 , c=3", [("a", 1), ("b", 2), ("c", 3)]),
        ("a=[1, 2],b={c: 3, d: 4}", [("a", [1, 2]), ("b", {"c": 3, "d": 4})]),
        ("a='x,y=z',b=2", [("a", "x,y=z"), ("b", 2)]),
        (r"a=x\,y,b=2", [("a", "x,y"), ("b", 2)]),
        ("a=x,b.c=", [("a", "x"), ("b.c", "")]),
        ("a=1,a=2", [("a", 1), ("a", 2)]),
    ],
)
def test_commas_join_assignments(text: str, pairs: list[tuple[str, Any]]) -> None:
    assert [(change.name, change.value) for change in overrides.parse(text)] == pairs


def test_each_assignment_may_name_its_file() -> None:
    assert [change.file for change in overrides.parse("p.yaml:a=1,b=2,q.yaml:c=3")] == [
        "p.yaml",
        "params.yaml",
        "q.yaml",
    ]


# -- what is refused -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, says",
    [
        ("", "no '=' in it"),
        ("x", "no '=' in it"),
        ("a.b", "no '=' in it"),
        ("=1", "no key before '='"),
        (" = 1", "no key before '='"),
        ("a b=1", "no key before '='"),
        ("a[0]=1", "a list's item is written with a dot"),
        (":x=1", "not a parameter name: ':x'"),
        ("a..b=1", "not a parameter name: 'a..b'"),
        (".a=1", "not a parameter name: '.a'"),
        ("a.=1", "not a parameter name: 'a.'"),
        ("+p.yaml:x=1", "not a parameter name: '+p.yaml:x'"),
        ("+++x=1", "not a parameter name: '+++x'"),
        ("~", "no '=' in it"),
        ("~x=1,2", "a deletion takes one value"),
        ("x=[1", "expected ',' or ']' at the end"),
        ("x=[1 2", "expected ',' or ']' at the end"),
        ("x=['a' b]", "expected ',' or ']' at 'b]'"),
        ("x=[1,", "a value is missing at the end"),
        ("x=[1,]", "a value is missing at ']'"),
        ("x=[,1]", "a value is missing at ',1]'"),
        ("x={a", "expected ':' at the end"),
        ("x={a: 1", "expected ',' or '}' at the end"),
        ("x={a:", "a value is missing at the end"),
        ("x={: 1}", "a value is missing at ': 1}'"),
        ("x={a, b}", "expected ':' at ', b}'"),
        ("x='u", "the quote ' is not closed"),
        ('x="u', 'the quote " is not closed'),
        (r"x='u\'", "the quote ' is not closed"),
        ("x='a' b", "what is 'b' after the value?"),
        ("x=[1]]", "what is ']' after the value?"),
        ("x=a]", "a value with ']' in it needs quotes"),
        ("x=a{b", "a value with '{' in it needs quotes"),
        ("x=[1,choice(1,2)]", "a sweep cannot be inside a list or a mapping"),
        ("x=,2", "a value is missing at ',2'"),
    ],
)
def test_what_is_no_assignment_is_refused_with_an_example(text: str, says: str) -> None:
    error = refused(text)
    assert str(error).startswith(f"-S {text!r}: ")
    assert says in str(error)
    assert error.hint == overrides.EXAMPLE or error.hint == "write file:+key=value"


# -- adding, deleting ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, file, name, value, op",
    [
        ("+a.b=1", "params.yaml", "a.b", 1, "+"),
        ("++a=x", "params.yaml", "a", "x", "++"),
        ("p.toml:+a=1", "p.toml", "a", 1, "+"),
        ("~a", "params.yaml", "a", ABSENT, "~"),
        ("~a=5", "params.yaml", "a", 5, "~"),
        ("~a=", "params.yaml", "a", "", "~"),
        ("p.toml:~a.b", "p.toml", "a.b", ABSENT, "~"),
        ('"a.b".c=1', "params.yaml", '"a.b".c', 1, ""),
        ("~a,b=1", "params.yaml", "a", ABSENT, "~"),
    ],
)
def test_a_sign_before_the_key_adds_or_deletes(
    text: str, file: str, name: str, value: Any, op: str
) -> None:
    change = overrides.parse(text)[0]
    assert (change.file, change.name, change.op) == (file, name, op)
    assert change.value is value or change.value == value


# -- sweeps ----------------------------------------------------------------------------------


def swept(text: str) -> list[Any]:
    """The values that one sweep gives its param."""
    return [made[0].value for made in overrides.expand(overrides.parse(text))]


@pytest.mark.parametrize(
    "text, values",
    [
        ("x=1,2", [1, 2]),
        ("x=a,'b',[1],{c: 2}", ["a", "b", [1], {"c": 2}]),
        ("x=1,2,y=3", [1, 2]),
        ("x=choice(1,a,'b c')", [1, "a", "b c"]),
        ("x=choice(a)", ["a"]),
        ("x=range(3)", [0, 1, 2]),
        ("x=range(1,8,3)", [1, 4, 7]),
        ("x=range(3,0,-1)", [3, 2, 1]),
        ("x=range(start=1,stop=3)", [1, 2]),
        ("x=range(0.1,0.5,0.1)", [0.1, 0.2, 0.3, 0.4]),
        ("x=range(1,0,-0.25)", [1.0, 0.75, 0.5, 0.25]),
        ("x=sort(3,1,2)", [1, 2, 3]),
        ("x=sort(3,1,2,reverse=true)", [3, 2, 1]),
        ("x=sort(choice(b,a))", ["a", "b"]),
        ("x=sort([3,1,2])", [[1, 2, 3]]),
        ("x=tag(t1,t2,choice(a,b))", ["a", "b"]),
        ("x=int(1.5,2.5)", [1, 2]),
        ("x=str(range(1,3))", ["1", "2"]),
        ("x=int(3.7)", [3]),
        ("x=float([1,2])", [[1.0, 2.0]]),
        ("x=bool(1)", [True]),
        ("x=str(true)", ["true"]),
        ("x=int('3')", [3]),
        ("x=shuffle(7)", [[7]]),
    ],
)
def test_a_sweep_or_a_function_gives_values(text: str, values: list[Any]) -> None:
    found = swept(text)
    assert found == values and list(map(type, found)) == list(map(type, values))


def test_a_shuffled_sweep_has_the_same_values() -> None:
    assert sorted(swept("x=shuffle(range(20))")) == list(range(20))


def test_sweeps_of_several_params_multiply_in_the_order_of_the_options() -> None:
    changes = overrides.parse("units=choice(1,2)") + overrides.parse("lr=range(0.1,0.3,0.1)")
    assert [tuple(c.value for c in made) for made in overrides.expand(changes)] == [
        (1, 0.1),
        (1, 0.2),
        (2, 0.1),
        (2, 0.2),
    ]


def test_a_param_given_again_counts_last() -> None:
    changes = overrides.parse("a=1,2") + overrides.parse("b=5") + overrides.parse("a=3")
    (made,) = overrides.expand(changes)
    assert {change.name: change.value for change in made} == {"a": 3, "b": 5}


def test_a_pattern_of_files_is_a_sweep_over_those_that_match() -> None:
    (change,) = overrides.parse("data=glob([d/*.csv, e/*.csv], exclude=*/test*)")
    files = {"d/*.csv": ["d/b.csv", "d/test.csv"], "e/*.csv": ["e/a.csv"]}
    made = overrides.expand([change], lambda pattern: files[pattern])
    assert [each[0].value for each in made] == ["d/b.csv", "e/a.csv"]
    with pytest.raises(UsageError, match="no file matches"):
        overrides.expand([change], lambda pattern: [])


@pytest.mark.parametrize(
    "text, says",
    [
        ("x=range(10**9)", "cannot convert|takes numbers"),
        ("x=range(1000000000)", "1,000,000,000 values; at most 10,000"),
        ("x=range(1,99999999999999999999)", "range"),
        ("x=range(1,2,0)", "never ends"),
        ("x=range(2,1)", "no values"),
        ("x=range(a)", "takes numbers"),
        ("x=range(1,inf)", "finite"),
        ("x=choice()", "nothing to choose from"),
        ("x=choice(choice(1,2))", "a choice in a choice"),
        ("x=interval(0,1)", "have no end"),
        ("x=bool(maybe)", "neither true nor false"),
        ("x=int(a)", "int"),
        ("x=sort(1,a)", "sort"),
        ("x=foo(1)", "there is no function 'foo'"),
        ("x=range(start=1,2)", "a value without a name"),
        ("x=range(1,2,3,4)", "range"),
        ("x=choice(1", "expected ',' or"),
    ],
)
def test_a_function_that_is_misused_is_refused(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        overrides.parse(text)


def test_a_sweep_too_large_is_refused() -> None:
    changes = [c for key in "abcde" for c in overrides.parse(f"{key}=range(100)")]
    with pytest.raises(UsageError, match="10,000,000,000 experiments; at most 10,000"):
        overrides.expand(changes)


@pytest.mark.parametrize("text", ["x=1,[2", "y=1,b=[", "a=1,b=2,c=range()"])
def test_a_fault_after_a_good_assignment_is_found(text: str) -> None:
    refused(text)


PIECES = st.sampled_from(
    [
        *"x a.b p.yaml: = , [ ] { } : ' \" \\ ( ) + ~ $ # . 1 1e5 null true _ é".split(),
        " ",
        "\n",
        "\t",
    ]
)


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.text(max_size=30), st.lists(PIECES, max_size=15).map("".join)))
def test_any_text_is_a_list_of_changes_or_a_usage_error(text: str) -> None:
    try:
        changes = overrides.parse(text)
    except UsageError as error:
        assert str(error).startswith("-S ")
        return
    assert changes
    for change in changes:
        assert isinstance(change, Change)
        assert change.file and change.keys and all(change.keys)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=20), st.lists(PIECES, max_size=12).map("".join)))
def test_any_value_is_read_or_a_usage_error(text: str) -> None:
    try:
        changes = overrides.parse(f"x={text}")
    except UsageError:
        return
    assert changes[0].keys == ("x",)


TEXTS = st.text(st.characters(exclude_characters="'\\\0", exclude_categories=["Cs"]), max_size=10)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=8,
)


def written(value: Any) -> str:
    """A value in the override grammar."""
    if isinstance(value, str):
        return f"'{value}'"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{written(k)}: {written(v)}" for k, v in value.items()) + "}"
    return "null" if value is None else repr(value)


@settings(max_examples=300, deadline=None)
@given(VALUES)
def test_a_value_that_is_written_out_is_read_back(value: Any) -> None:
    assert canonical(value_of(written(value))) == canonical(value)


@settings(max_examples=200, deadline=None)
@given(st.floats())
def test_a_float_is_read_as_python_writes_it(value: float) -> None:
    assert canonical(value_of(repr(value))) == canonical(value)
