"""`--filter`: what a query means, and what is said of a broken one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dodo_exp.errors import UsageError
from dodo_exp.exps import columns, query
from dodo_exp.exps.index import flat
from dodo_exp.exps.table import Line, Table, table_of
from tests.space import Space

CREATED = time.mktime((2026, 3, 1, 12, 0, 0, 0, 0, -1))


def line(name: str, params: dict[str, Any], metrics: dict[str, Any], **more: Any) -> Line:
    """An experiment of a table."""
    made, values = flat(
        {"m.json": {"data": metrics}}, {"params.yaml": {"data": params}, "other.yaml": OTHER}, {}
    )
    given = {"created": CREATED, "seconds": 90.0, **more}
    return Line(
        "experiment", name, "", given.pop("created"), given.pop("seconds"), None,
        made, values, b"", **given,
    )  # fmt: skip


OTHER = {"data": {"seed": 1}}
TABLE: Table = table_of(
    [
        line(
            "a",
            {"lr": 0.1, "model": "resnet", "a b": 3, "seed": 7, "on": True, "deep": {"x": 1}},
            {"acc": 0.5, "loss": 2},
            tags=("best", "old"),
            message="first try",
        ),
        line(
            "b",
            {"lr": 0.5, "model": "vgg", "a b": 4, "seed": 7, "on": False, "deep": {"x": 2}},
            {"acc": 0.75},
            created=CREATED + 86_400,
            seconds=30.0,
        ),
        line(
            "c",
            {"lr": "auto", "model": "res", "a b": 5, "seed": 8, "on": 1, "deep": {"x": 3}},
            {"acc": float("nan"), "loss": 0.5},
            created=CREATED + 2 * 86_400,
            seconds=None,
            status="failed",
        ),
    ]
)


def holds(text: str) -> str:
    """The names of the rows for which a query holds."""
    ask = query.compile(text, columns.finder(TABLE, "--filter"))
    return "".join(each.name for each in TABLE.lines if ask(each))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("acc == 0.5", "a"),
        ("acc = 0.5", "a"),
        ("acc=.5", "a"),
        ("acc != 0.5", "bc"),
        ("acc < 0.75", "a"),
        ("acc <= 0.75", "ab"),
        ("acc > 5e-1", "b"),
        ("acc >= 0.5", "ab"),
        ("acc > -1", "ab"),
        ("loss < 1_000", "ac"),
        ("0.5 < acc", "b"),
        ("0.1 <= lr < 0.5", "a"),
        ("0.1 < lr <= 0.5", "b"),
        ("acc < lr < 2", ""),
        ("model =~ '^res'", "ac"),
        ("model =~ es", "ac"),
        ("model !~ '^res'", "b"),
        ("model in (resnet, vgg)", "ab"),
        ("model in [resnet, vgg,]", "ab"),
        ("name in (a, c)", "ac"),
        ("'es' in model", "ac"),
        ("not model == vgg", "ac"),
        ("! (model == vgg)", "ac"),
        ("not not model == vgg", "b"),
        ("acc > 0.6 or loss == 2", "ab"),
        ("acc > 0.6 || loss == 2", "ab"),
        ("acc > 0.4 && loss == 2", "a"),
        ("acc > 0.4 AND loss == 2", "a"),
        ("name == a or name == b and acc > 0.9", "a"),
        ("(name == a or name == b) and acc > 0.6", "b"),
        ("not name == a and name == b", "b"),
        ("((((name == a))))", "a"),
        ("name == a\n or\tname == b", "ab"),
    ],
)
def test_operators_and_how_they_bind(text: str, names: str) -> None:
    assert holds(text) == names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("loss == null", "b"),
        ("loss != null", "ac"),
        ("loss == None", "b"),
        ("null == null", "abc"),
        ("loss < 1", "c"),
        ("loss >= 0", "ac"),
        ("not loss < 1", "ab"),
        ("loss != 2", "bc"),
        ("loss in (null, 2)", "ab"),
        ("acc == nan", "c"),
        ("lr == auto", "c"),
        ("lr == '0.1'", ""),
        ("lr < zzz", "c"),
        ("lr > 0", "ab"),
        ("lr =~ '0'", ""),
        ("on == true", "a"),
        ("on", "ac"),
        ("not on", "b"),
        ("on == 1", "c"),
    ],
)
def test_what_is_not_there_and_what_is_no_number(text: str, names: str) -> None:
    assert holds(text) == names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("`a b` == 4", "b"),
        ("`params.yaml:lr` == 0.1", "a"),
        ("params.yaml:seed == 8", "c"),
        ("other.yaml:seed == 1", "abc"),
        ("m.json:acc > 0.6", "b"),
        ("deep.x >= 2", "bc"),
        ("model == `model`", "abc"),
        ('model == "resnet"', "a"),
        (r"model == 'res\net'", "a"),
        ("created < 2026-03-02", "a"),
        ("created >= 2026-03-02", "bc"),
        ("created > 2026-03-02T12:00", "c"),
        ("created <= 2026-03-02T12:00:00", "ab"),
        ("2026-03-02 <= created < 2026-03-03", "b"),
        ("seconds <= 30s", "b"),
        ("seconds > 1m", "a"),
        ("seconds < 1h", "ab"),
        ("seconds == 1.5m", "a"),
        ("seconds < 0.5d", "ab"),
        ("age > 100000d", ""),
        ("'best' in tags", "a"),
        ("tags =~ '^o'", "a"),
        ("'be' in tags", ""),
        ("note == 'first try'", "a"),
        ("note =~ try", "a"),
        ("state == failed", "c"),
        ("state == done", "ab"),
        ("Experiment == a", "a"),
    ],
)
def test_names_dates_durations_tags_and_notes(text: str, names: str) -> None:
    assert holds(text) == names


BROKEN = [
    ("acc >", "a column or a value expected at its end"),
    ("> 1", "a column or a value expected at '> 1'"),
    ("acc > 1 and", "a column or a value expected at its end"),
    ("acc > 1 acc < 2", "'and' or 'or' expected at 'acc < 2'"),
    ("(acc > 1", "')' expected at its end"),
    ("acc > 1)", "'and' or 'or' expected at ')'"),
    ("acc in ()", "a column or a value expected at ')'"),
    ("acc in (1, 2", "')' expected at its end"),
    ("acc ** 2", "not understood at '** 2'"),
    ("model == 'vgg", 'not understood at "\'vgg"'),
    ("`acc > 1", "not understood at '`acc > 1'"),
    ("model =~ '['", "a regular expression expected at \"'['\""),
    ("model =~ 3", "a regular expression expected at '3'"),
    ("model =~ acc", "a regular expression expected at 'acc'"),
    ("(" * 60 + "acc" + ")" * 60, "too deeply nested at"),
    ("not", "a column or a value expected at its end"),
    ("acc > 3x", "neither a duration nor a size at '3x'"),
]


@pytest.mark.parametrize(("text", "what"), BROKEN)
def test_a_broken_query_is_told_with_its_place(text: str, what: str) -> None:
    with pytest.raises(UsageError) as caught:
        holds(text)
    assert str(caught.value).startswith(f"--filter: {what}")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "error", "hint"),
    [
        ("acx > 1", "no column 'acx'", "did you mean 'acc'?"),
        ("x == 1", "no column 'x'", "did you mean 'deep.x'?"),
        ("modl == vgg", "no column 'modl'", "did you mean 'model'?"),
        (
            "seed == 7",
            "'seed' is in several files",
            "name one of params.yaml:seed, other.yaml:seed",
        ),
    ],
)
def test_an_unknown_or_ambiguous_column_has_a_hint(text: str, error: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        holds(text)
    assert (str(caught.value), caught.value.hint) == (f"--filter: {error}", hint)


def test_a_date_that_is_none_has_a_hint() -> None:
    with pytest.raises(UsageError) as caught:
        holds("created > 2026-13-01")
    assert caught.value.hint


def test_a_number_of_very_many_digits_is_no_traceback() -> None:
    with pytest.raises(UsageError, match="a number too long"):
        holds("lr = " + "1" * 5000)


PIECES = ["acc", "lr", "model", "seed", "`a b`", "and", "or", "not", "in", "(", ")", "[", "]",
          ",", "==", "!=", "<", "<=", "=~", "!~", "!", "&&", "null", "true", "'x'", '"(a+)+$"',
          "0.5", "1e999", "-3", "7d", "2026-03-01", "2026-99-99", "nan", "'", "\\", "name",
          "tags", "created", "state"]  # fmt: skip


def never_a_traceback(text: str) -> None:
    """A query holds or does not, or is refused, and within a second."""
    began = time.monotonic()
    try:
        holds(text)
    except UsageError as error:
        assert str(error).startswith("--filter: ")
        assert "\n" not in str(error)
    assert time.monotonic() - began < 1


@settings(max_examples=400, deadline=None)
@given(st.text(max_size=200))
def test_any_text_as_a_query_is_answered(text: str) -> None:
    never_a_traceback(text)


@settings(max_examples=800, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=25).map(" ".join))
def test_any_words_of_the_language_as_a_query_are_answered(text: str) -> None:
    never_a_traceback(text)


@pytest.mark.parametrize(
    "make",
    [
        lambda: "not " * 20_000 + "acc",
        lambda: "acc > 0 and " * 5_000 + "acc > 0",
        lambda: "(" * 20_000,
        lambda: "acc" + " < 1" * 5_000,
        lambda: "acc in (" + "1," * 20_000 + "1)",
        lambda: "'" + "\\a" * 20_000,
        lambda: "(" * 40 + "acc in (1)" + ") in (1)" * 40,
    ],
    ids=["not", "and", "open", "chain", "list", "quote", "groups"],
)
def test_a_very_long_query_is_answered_within_a_second(make: Callable[[], str]) -> None:
    never_a_traceback(make())


def test_the_command_says_what_is_wrong_in_two_lines(space: Space) -> None:
    space.write("dvc.yaml", "params: [params.yaml]\nmetrics: [m.json]\n")
    space.write("params.yaml", "{lr: 0.1, model: vgg}\n")
    space.write("m.json", '{"acc": 0.5}\n')
    space.dodo("exp", "save", "-n", "one")
    for text in ("acc >", "(acc", "acx > 1", "model =~ '['", "acc ** 2"):
        for verb in ("show", "list"):
            ran = space.dodo("exp", verb, "--filter", text, code=2)
            first, second = ran.err.splitlines()
            assert first.startswith("error: --filter: ")
            assert second.startswith("hint: ")
            assert ran.out == ""
    shown = space.dodo("exp", "show", "--filter", "acc > 0.9").out.splitlines()
    assert [row.split()[0] for row in shown] == ["Experiment", "workspace"]
    assert space.dodo("exp", "list", "--filter", "acc < 0.9", "--name-only").out == "one\n"


@pytest.mark.parametrize(
    "text, hint",
    [
        ("'lr' > 0.2", "between backquotes it is a column: `lr`"),
        ('"a b" > 4', "between backquotes it is a column: `a b`"),
        ("'nothing' == 'x'", "quotes are for values, backquotes for columns: `nothing`"),
        ("not ('lr' < 1 or acc > 0)", "between backquotes it is a column: `lr`"),
        ("'x' in ('x', y)", "quotes are for values, backquotes for columns: `x`"),
        ("'lr'", "between backquotes it is a column: `lr`"),
        ("1 < 2", "for example: --filter 'acc > 0.9 and train.lr < 0.1'"),
        ("0.1 < lr < 2 < 3", "for example: --filter 'acc > 0.9 and train.lr < 0.1'"),
    ],
)
def test_a_comparison_of_constants_is_refused(text: str, hint: str) -> None:
    with pytest.raises(UsageError, match="--filter: no column to compare at") as caught:
        query.compile(text, columns.finder(TABLE, "--filter"))
    assert caught.value.hint == hint


@pytest.mark.parametrize("text", ["'best' in tags", "0.1 <= lr < 0.5", "model == resnet", "true"])
def test_a_constant_beside_a_column_is_not(text: str) -> None:
    query.compile(text, columns.finder(TABLE, "--filter"))


def test_a_hint_names_a_column_as_a_query_reads_it(space: Space) -> None:
    space.write("dvc.yaml", "params: [params.yaml]\nstages: {}\n")
    space.write("params.yaml", "a b: 9\nk.d: 9\nplain: 9\n")
    space.dodo("exp", "save", "-n", "one")
    for text, name in (("k.d", '`"k.d"`'), ("a", "`a b`"), ("plian", "plain")):
        ran = space.dodo("exp", "show", "--filter", f"{text} > 4", code=2)
        assert ran.err.endswith(f"hint: did you mean {name!r}?\n")
        shown = space.dodo("exp", "show", "--csv", "--hide-workspace", "--filter", f"{name} > 4")
        assert shown.out.splitlines()[1].startswith("one,")
    ran = space.dodo("exp", "show", "--sort-by", "k.d", code=2)
    assert ran.err.endswith("hint: did you mean '\"k.d\"'?\n")
