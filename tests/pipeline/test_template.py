"""`template`: what is a template, what fills it, and what cannot."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dodo_exp.pipeline import template
from dodo_exp.pipeline.template import Arguments, Context, TemplateError

VALUES: dict[str, Any] = {
    "num": 5,
    "f": 1.0,
    "sci": 1e-7,
    "t": True,
    "nil": None,
    "name": "a b",
    "lst": ["x", {"y": 1}],
    "train": {"lr": 0.1, "deep": {"er": 3}},
    "a-b": 1,
    "a b": 2,
}


def context(**more: Any) -> Context:
    return Context().plus({**VALUES, **more}, "params.yaml")


def fill(text: str, **how: Any) -> Any:
    return context().fill(text, **how)


@pytest.mark.parametrize(
    "text, value",
    [
        ("plain", "plain"),
        ("${num}", 5),
        ("${t}", True),
        ("${nil}", None),
        ("${ num }", 5),
        ("${lst[0]}", "x"),
        ("${lst.0}", "x"),
        ("${lst[-2]}", "x"),
        ("${lst[1].y}", 1),
        ("${lst[ 1 ] . y}", 1),
        ("${train.deep.er}", 3),
        ("${a-b}${a b}", "12"),
        ("${num} ${f} ${sci} ${t} ${nil}", "5 1.0 1e-07 true None"),
        (r"\${num}", "${num}"),
        (r"${num}\${HOME}", "5${HOME}"),
        ("$HOME $(x) {y}", "$HOME $(x) {y}"),
        ("$${num}", "$5"),
    ],
)
def test_a_template_is_filled(text: str, value: Any) -> None:
    found = fill(text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    "text, says",
    [
        ("${nope}", "'${nope}' is not defined"),
        ("${train.nope}", "'${train.nope}' is not defined"),
        ("${num.x}", "is not defined"),
        ("${lst[2]}", "is not defined"),
        ("${lst.x}", "is not defined"),
        ("${}", "is not a variable's name"),
        ("${a.}", "is not a variable's name"),
        ("${.a}", "is not a variable's name"),
        ("${a[0}", "is not a variable's name"),
        ("${a[0]b}", "is not a variable's name"),
        ("${num", "'${' is not closed on its line"),
        ("${num\n}", "'${' is not closed on its line"),
        ("${a${num}}", "a template in a template"),
        ("${lst}", "is a list, which cannot stand here"),
        ("${train}", "is a mapping, which cannot stand here"),
        ("x ${lst}", "a list cannot stand in the midst of a text"),
        ("x ${train}", "a mapping cannot stand in the midst of a text"),
        ("x ${glob('*')}", "glob() can be all of"),
    ],
)
def test_what_cannot_be_filled_is_told(text: str, says: str) -> None:
    with pytest.raises(TemplateError) as caught:
        fill(text)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "text, hint",
    [
        ("${nmu}", "did you mean 'num'?"),
        ("${train.lrr}", "did you mean 'train.lr'?"),
        ("${HOME}", r"for a variable of the shell write '\${HOME}'"),
    ],
)
def test_a_name_that_is_not_there_comes_with_a_hint(text: str, hint: str) -> None:
    with pytest.raises(TemplateError) as caught:
        fill(text)
    assert caught.value.hint == hint


ODD = {
    "lr": 0.1,
    "on": True,
    "off": False,
    "name": "a b",
    "layers": [1, 2],
    "names": ["x", "y z"],
    "nested": {"a": {"b": 3}},
    "nil": None,
    "e": {},
    "none": [],
    "odd key": "$x",
}


@pytest.mark.parametrize(
    "how, words",
    [
        (
            Arguments(),
            "--lr 0.1 --on --name 'a b' --layers 1 2 --names x 'y z' --nested.a.b 3 --nil None"
            " '--odd key' '$x'",
        ),
        (
            Arguments("boolean_optional", "append"),
            "--lr 0.1 --on --no-off --name 'a b' --layers 1 --layers 2 --names x --names 'y z'"
            " --nested.a.b 3 --nil None '--odd key' '$x'",
        ),
    ],
)
def test_a_mapping_in_a_command_becomes_arguments(how: Arguments, words: str) -> None:
    filled = context(odd=ODD).fill("run ${odd} end", in_command=True, arguments=how)
    assert filled == f"run {words} end"


def test_a_list_of_lists_is_no_argument() -> None:
    with pytest.raises(TemplateError, match="list of lists"):
        context(odd={"a": [[1]]}).fill("run ${odd}", in_command=True)


def test_mappings_merge_and_anything_else_is_set_once() -> None:
    both = context().plus({"train": {"extra": 6}, "new": 1}, "more.yaml")
    assert both.fill("${train.extra}${train.lr}${new}") == "60.11"
    assert both.source(("train", "extra")) == "more.yaml"
    assert both.source(("train", "lr")) == "params.yaml"
    with pytest.raises(TemplateError) as caught:
        both.plus({"train": {"deep": {"er": 4}}}, "vars[0]")
    assert str(caught.value) == (
        "cannot redefine 'train.deep.er' from 'vars[0]' as it already exists in 'params.yaml'"
    )


def test_adding_to_a_context_leaves_it_as_it_was() -> None:
    first = context()
    first.plus({"train": {"extra": 6}}, "more.yaml")
    with pytest.raises(TemplateError):
        first.fill("${train.extra}")


def test_an_item_hides_a_variable_and_cannot_be_set() -> None:
    bound = context(item=1).bind({"item": {"a": 2}})
    assert bound.fill("${item.a}") == 2
    with pytest.raises(TemplateError, match="the stage's own item"):
        bound.plus({"item": 3}, "vars[0]")


@pytest.mark.parametrize(
    "loads, says",
    [
        ([(), ()], None),
        ([("a",), ("b",)], None),
        ([(), ("a",)], "cannot partially load 'p.yaml:a' as it's already loaded"),
        ([("a",), ()], "cannot load 'p.yaml' as it's partially loaded already"),
        ([("a",), ("a",)], "cannot load 'p.yaml:a' as it's partially loaded already"),
        ([("c",)], "there is no 'c' in p.yaml"),
    ],
)
def test_a_file_is_loaded_once_whole_or_in_parts(
    loads: list[tuple[str, ...]], says: str | None
) -> None:
    def load() -> None:
        made = Context()
        for keys in loads:
            made = made.plus_file("p.yaml", keys, {"a": 1, "b": 2})

    if says is None:
        load()
    else:
        with pytest.raises(TemplateError) as caught:
            load()
        assert str(caught.value) == says


def test_keys_that_are_no_text_cannot_be_named() -> None:
    with pytest.raises(TemplateError):
        context(odd={1: "a", "b": {True: "c"}}).fill("${odd.1}")


@given(st.text(st.sampled_from("${}\\ab.[]0 \n")))
def test_any_text_is_filled_or_refused(text: str) -> None:
    try:
        filled = context(a={"b": [1]}).fill(text, freely=True)
    except TemplateError:
        return
    if "${" not in text:
        assert filled == text
    assert template.is_template(text) or filled == text
