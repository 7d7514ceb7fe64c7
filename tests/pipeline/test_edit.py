"""`edit` in every format: one span changes, setting back gives the bytes that were there."""

from __future__ import annotations

from typing import Any

import pytest

from dodo_exp.errors import UsageError
from dodo_exp.pipeline import edit, params
from dodo_exp.pipeline.values import canonical, lookup, parts

JSON = """\
{
    "lr": 0.1,
    "train": {"layers": [64, 32], "opt": {"name": "adam"}},
    "note": "caf\\u00e9", "e": {}, "empty": [],
    "last": null
}
"""
TOML = """\
# What the model learns with.
lr = 0.1  # rate
name = 'single'  # literal
title = "double"

[train]
layers = [64, 32]  # sizes
opt = { name = "adam", beta = 0.9 }
when = 2024-01-02

[[runs]]
id = 1

[[runs]]
id = 2
"""
PYTHON = """\
# Params of the run.
import os

LR = 0.1  # rate
NAME: str = 'single'; SIZE = 5
TITLE = "double"
SHAPE = (64, 32)
WORDS = {"a", "b"}
HOME = os.environ.get("HOME")
OPTS = {
    "beta": 0.9,  # decay
    "é": {"deep": [1, {"er": 2}]},
}


class Train:
    epochs = 10

    class Opt:
        momentum = -0.5

    def __init__(self):
        self.layers = 5
"""
YAML = """\
# What the model learns with.
lr: 0.1  # rate
name: 'single'
train:
  layers: [64, 32]  # sizes
  opt: {name: adam, beta: 0.9}
runs:
- id: 1  # first
  on: true
- id: 2
last: 1
"""
FILES = {"p.json": JSON, "p.toml": TOML, "p.py": PYTHON, "p.yaml": YAML}

SETS = [
    ("p.json", "lr", 0.25, '"lr": 0.25,'),
    ("p.json", "train.layers", [1], '"layers": [1], "opt"'),
    ("p.json", "train.layers.1", 9, '"layers": [64, 9]'),
    ("p.json", "train.opt.name", "sgd", '{"name": "sgd"}'),
    ("p.json", "note", "né", '"note": "n\\u00e9"'),
    ("p.json", "last", {"a": None}, '"last": {"a": null}\n'),
    ("p.json", "empty", [1.5, True], '"empty": [1.5, true],'),
    ("p.toml", "lr", 0.25, "lr = 0.25  # rate\n"),
    ("p.toml", "name", "other", "name = 'other'  # literal\n"),
    ("p.toml", "title", "other", 'title = "other"\n'),
    ("p.toml", "train.layers", [1, 2, 3], "layers = [1, 2, 3]  # sizes\n"),
    ("p.toml", "train.layers.0", 9, "layers = [9, 32]  # sizes\n"),
    ("p.toml", "train.opt.beta", 1.5, "beta = 1.5 }\n"),
    ("p.toml", "runs.1.id", 7, "[[runs]]\nid = 7\n"),
    ("p.py", "LR", 1e-05, "LR = 1e-05  # rate\n"),
    ("p.py", "NAME", "it's", 'NAME: str = "it\'s"; SIZE = 5\n'),
    ("p.py", "SIZE", 6, "'single'; SIZE = 6\n"),
    ("p.py", "TITLE", "other", 'TITLE = "other"\n'),
    ("p.py", "SHAPE", [1], "SHAPE = (1,)\n"),
    ("p.py", "SHAPE.0", 1, "SHAPE = (1, 32)\n"),
    ("p.py", "WORDS", ["c"], "WORDS = {'c'}\n"),
    ("p.py", "OPTS.beta", None, '"beta": None,  # decay\n'),
    ("p.py", "OPTS.é.deep.1.er", 3, '"é": {"deep": [1, {"er": 3}]},\n'),
    ("p.py", "Train.epochs", 11, "    epochs = 11\n"),
    ("p.py", "Train.Opt.momentum", 0.5, "        momentum = 0.5\n"),
    ("p.py", "Train.layers", 6, "        self.layers = 6\n"),
    ("p.yaml", "train.opt.beta", 0.5, "opt: {name: adam, beta: 0.5}\n"),
    ("p.yaml", "runs.0.id", 7, "- id: 7  # first\n"),
]


@pytest.mark.parametrize("file, name, value, part", SETS)
def test_one_value_changes_and_setting_it_back_gives_the_same_bytes(
    file: str, name: str, value: Any, part: str
) -> None:
    text = FILES[file]
    old = lookup(params.load(text, file), name)
    new = edit.set_value(text, parts(name), value, file)
    assert part in new
    assert len(set(new.splitlines()) ^ set(text.splitlines())) == 2
    assert canonical(lookup(params.load(new, file), name)) == canonical(value)
    if file != "p.py" or not isinstance(old, str | list):
        assert edit.set_value(new, parts(name), old, file) == text


@pytest.mark.parametrize("file, name, value, part", SETS)
@pytest.mark.parametrize("newline", ["\r\n", "\n"])
def test_a_value_that_is_there_already_changes_nothing(
    file: str, name: str, value: Any, part: str, newline: str
) -> None:
    text = FILES[file].replace("\n", newline)
    assert edit.set_value(text, parts(name), lookup(params.load(text, file), name), file) == text


@pytest.mark.parametrize(
    "file, name, value, part",
    [
        ("p.json", "new", 1, '"last": null,\n    "new": 1\n}'),
        ("p.json", "train.opt.beta", 1, '{"name": "adam", "beta": 1}'),
        ("p.json", "e.a.b", 1, '"e": {"a": {"b": 1}},'),
        ("p.toml", "train.new", "x", 'new = "x"\n'),
        ("p.toml", "more.deep", 1, "deep"),
        ("p.py", "NEW", [1, "a"], "self.layers = 5\nNEW = [1, 'a']\n"),
        ("p.py", "OPTS.new", 1, "    'new': 1,\n}"),
        ("p.py", "Train.Opt.beta", 1, "        momentum = -0.5\n        beta = 1\n"),
        ("p.py", "OPTS.é.deep.1.new", 1, "{\"er\": 2, 'new': 1}"),
        ("p.yaml", "train.new", 1, "beta: 0.9}\n  new: 1\nruns"),
    ],
)
def test_a_new_value_is_added_where_it_belongs(file: str, name: str, value: Any, part: str) -> None:
    text = FILES[file]
    new = edit.set_value(text, parts(name), value, file)
    assert part in new
    assert lookup(params.load(new, file), name) == value
    with pytest.raises(KeyError):
        lookup(params.load(edit.delete_value(new, parts(name), file), file), name)


@pytest.mark.parametrize("file", ["p.json", "p.toml", "p.yaml", "p.py"])
def test_an_empty_file_gets_its_first_value(file: str) -> None:
    new = edit.set_value("", ("a",), 1, file)
    assert params.load(new, file) == {"a": 1}
    assert params.load(edit.delete_value(new, ("a",), file), file) == {}


@pytest.mark.parametrize(
    "file, name, gone",
    [
        ("p.json", "lr", '    "lr": 0.1,\n'),
        ("p.json", "last", ',\n    "last": null'),
        ("p.json", "train.layers.0", "64, "),
        ("p.json", "train.layers.1", ", 32"),
        ("p.json", "train.opt.name", '"name": "adam"'),
        ("p.toml", "lr", "lr = 0.1  # rate\n"),
        ("p.toml", "train.when", "when = 2024-01-02\n"),
        ("p.py", "LR", "LR = 0.1  # rate\n"),
        ("p.py", "OPTS.é.deep.0", "1, "),
        ("p.yaml", "lr", "lr: 0.1  # rate\n"),
        ("p.yaml", "train.layers.0", "64, "),
        ("p.yaml", "train.opt.beta", ", beta: 0.9"),
        ("p.yaml", "runs.1", "- id: 2\n"),
        ("p.yaml", "runs.0.on", "  on: true\n"),
        ("p.yaml", "runs.0.id", "id: 1  # first\n  "),
        ("p.yaml", "last", "last: 1\n"),
    ],
)
def test_a_value_is_deleted_and_nothing_else(file: str, name: str, gone: str) -> None:
    text = FILES[file]
    new = edit.delete_value(text, parts(name), file)
    assert gone in text and len(new) == len(text) - len(gone)
    with pytest.raises(KeyError):
        last = lookup(params.load(new, file), name)
        if last != lookup(params.load(text, file), name):
            raise KeyError("the next item took its place")


@pytest.mark.parametrize(
    "text, name, new",
    [
        ("a: {b: 1}\n", "a.b", "a: {}\n"),
        ("a:\n  b: 1\nc: 2\n", "a.b", "a: {}\nc: 2\n"),
        ("a:\n- 1\nc: 2\n", "a.0", "a: []\nc: 2\n"),
        ("# all\na: 1\n", "a", "# all\n"),
        ("a:\n  b: |\n    x\n    y\n  c: 1\n", "a.b", "a:\n  c: 1\n"),
        ("a: 1\n\n# of b\nb: 2\n", "a", "\n# of b\nb: 2\n"),
        ("5: a\ntrue: b\n", "5", "true: b\n"),
        ("s:\n  ? a\n  : 1\n  ? b\n  : 2\n", "s.a", "s:\n  ? b\n  : 2\n"),
        ("s:\n  ? a\n  : 1\n  ? b\n  : 2\n", "s.b", "s:\n  ? a\n  : 1\n"),
    ],
)
def test_a_yaml_entry_is_deleted(text: str, name: str, new: str) -> None:
    assert edit.delete_value(text, parts(name), "p.yaml") == new


@pytest.mark.parametrize(
    "file, text, name, value, says",
    [
        ("p.toml", TOML, "lr", None, "TOML has no null"),
        ("p.toml", TOML, "train", {"a": [None]}, "TOML has no null"),
        ("p.py", PYTHON, "Train", 5, "it is a class"),
        ("p.py", PYTHON, "HOME", 5, "computed, not a literal"),
        ("p.py", PYTHON, "a b", 5, "is no name in Python"),
        ("p.py", PYTHON, "LR", float("inf"), "has no literal"),
        ("p.py", "class A: x = 1\n", "A.y", 2, "stands on one line"),
        ("p.json", JSON, "lr.x", 5, "is not a mapping"),
        ("p.json", JSON, "train.layers.2", 5, "no item 2 in a list of 2"),
        ("p.yaml", "a: &x {b: 1}\nc: *x\n", "a.b", 2, "shared through an anchor"),
        ("p.yaml", "a: &x {b: 1}\nc: *x\n", "c.b", 2, "an alias or merged in"),
    ],
)
def test_a_value_that_cannot_be_set_alone_is_refused_with_the_reason(
    file: str, text: str, name: str, value: Any, says: str
) -> None:
    with pytest.raises(UsageError) as caught:
        edit.set_value(text, parts(name), value, file)
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"{file}: ")


@pytest.mark.parametrize("name, left", [("SHAPE.0", "(32,)"), ("SHAPE.1", "(64,)")])
def test_a_tuple_of_one_keeps_its_comma(name: str, left: str) -> None:
    assert f"SHAPE = {left}\n" in edit.delete_value(PYTHON, parts(name), "p.py")


def test_a_class_keeps_its_last_value() -> None:
    with pytest.raises(UsageError, match="all there is in its class"):
        edit.delete_value("class A:\n    x = 1\n", ("A", "x"), "p.py")


def test_a_statement_beside_another_is_not_deleted() -> None:
    with pytest.raises(UsageError, match="shares its line"):
        edit.delete_value("A = 1; B = 2\n", ("B",), "p.py")
