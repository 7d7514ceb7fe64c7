"""A plain command line is read without click, and as click would."""

from __future__ import annotations

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dodo_exp.cli import verbs
from dodo_exp.cli.declare import Command
from dodo_exp.cli.grammar import made
from tests.space import Space


def every(table: verbs.Table, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The words of every verb."""
    found = []
    for name, entry in table.items():
        if isinstance(entry, dict):
            found += every(entry, (*path, name))
        elif name:
            found.append((*path, name))
    return found


VERBS = {words: verbs.load(words) for words in every(verbs.VERBS)}
VALUES = ["", "1", "0", "-1", "4096", "2.5", "5%", "30d", "90s", "x", "a=1,b=2", "-", "desc",
          "bash", "NAME@4", "[1, 2]", "é", "a b", "--", "=", "=x"]  # fmt: skip


def by_click(command: Command, words: list[str]) -> dict[str, object] | str:
    """What click makes of a line, or what it has to say of it."""
    try:
        return made(command).make_context("it", list(words)).params
    except click.ClickException as error:
        return error.format_message()
    except click.exceptions.Exit:
        return "help"


@st.composite
def lines(draw: st.DrawFn) -> tuple[Command, list[str]]:
    """A verb and words that it may or may not take."""
    command = VERBS[draw(st.sampled_from(sorted(VERBS)))]
    names = [name for param in command.params for name in param.opts]
    value = st.sampled_from(VALUES)
    word = value
    if names:
        name = st.sampled_from(names)
        word = st.one_of(
            name,
            value,
            st.builds("{}={}".format, name, value),
            st.builds("{}{}".format, name, value),
        )
    return command, draw(st.lists(word, max_size=5))


@settings(max_examples=1500, deadline=None)
@given(lines())
def test_a_line_is_read_as_click_reads_it_or_left_to_click(
    line: tuple[Command, list[str]],
) -> None:
    command, words = line
    plain = command.plain(words)
    if plain is not None:
        assert plain == by_click(command, words)


@pytest.mark.parametrize("words", sorted(VERBS), ids=" ".join)
def test_values_that_nobody_gives_are_those_of_click(words: tuple[str, ...]) -> None:
    command = VERBS[words]
    needed = ["x" for param in command.params if param.get("required") and not param.opts]
    expected = by_click(command, needed)
    plain = command.plain(needed)
    if plain is not None:
        assert plain == expected
    else:
        assert isinstance(expected, str) or words == ("stage", "add")


@pytest.mark.parametrize(
    "words",
    [
        ["exp", "run"],
        ["exp", "run", "-S", "lr=0.1", "-S", "train.epochs=3", "train", "--queue", "-n", "fast"],
        ["exp", "run", "--set-param=lr=0.1", "-j2", "--jobs=3", "-j", "4", "--no-run-cache"],
        ["exp", "run", "-Slr=0.1", "--name", "", "-m", "a note"],
        ["exp", "show", "--sort-by", "acc", "--sort-order", "desc", "-n", "3", "--csv", "--json"],
        ["experiments", "ls"],
        ["exp", "rm", "one", "two"],
        ["exp", "diff", "one", "two"],
        ["gc", "--older-than", "30d", "--keep-last", "3"],
        ["store", "check", "--sample", "5%"],
        ["queue", "worker", "--max-time", "90s"],
        ["init"],
    ],
    ids=" ".join,
)
def test_what_people_type_needs_no_click(words: list[str]) -> None:
    found = verbs.find(words)
    assert found is not None
    command, rest = found
    plain = command.plain(rest)
    assert plain is not None
    assert plain == by_click(command, rest)


@pytest.mark.parametrize(
    "words",
    [
        ["exp", "run", "--help"],
        ["exp", "run", "--quue"],
        ["exp", "run", "-j", "0"],
        ["exp", "run", "-j"],
        ["exp", "run", "-qf"],
        ["exp", "run", "--queue=yes"],
        ["exp", "run", "-S=lr=1"],
        ["exp", "show", "--sort-order", "up"],
        ["exp", "diff", "one", "two", "three"],
        ["exp", "rename", "one"],
        ["repro", "--", "train"],
        ["gc", "--older-than", "long"],
        ["stage", "add", "-n", "a", "echo", "-n"],
    ],
    ids=" ".join,
)
def test_the_rest_is_left_to_click(words: list[str]) -> None:
    found = verbs.find(words)
    assert found is not None
    command, rest = found
    assert command.plain(rest) is None


@pytest.mark.parametrize("words", [[], ["exp"], ["nope"], ["--cd", "x", "status"], ["exp", ""]])
def test_what_names_no_verb_is_left_to_click(words: list[str]) -> None:
    assert verbs.find(words) is None


def test_a_folder_that_is_a_file_is_told_by_click(space: Space) -> None:
    space.write("taken", "")
    ran = space.dodo("init", "taken", code=2)
    assert "is a file" in ran.err
