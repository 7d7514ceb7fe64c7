"""Patterns that are compiled when they are first asked."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Iterator
from typing import Any

import pytest

from dodo_store import own
from dodo_store.pattern import compiled_later, pattern


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a process of our own."""
    monkeypatch.setattr(own, "_is_ours", True)
    yield


def test_it_answers_as_a_compiled_one() -> None:
    word = pattern(r"(?i)a(\d+)")
    assert word.fullmatch("A12") is not None
    assert word.findall("a1 b2 a3") == ["1", "3"]
    assert word.sub("-", "xa1") == "x-"
    assert word.pattern == r"(?i)a(\d+)"
    assert word.search("b") is None


def test_a_copy_is_a_compiled_one() -> None:
    made = pattern("a+")
    for copied in (copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert isinstance(copied, re.Pattern)
        assert copied.match("aa") is not None
    with pytest.raises(AttributeError):
        _ = made._unheard_of  # type: ignore[attr-defined]


def test_what_others_compile_while_they_load_waits(ours: None) -> None:
    with compiled_later():
        made: Any = re.compile("B", re.IGNORECASE)
    assert not isinstance(made, re.Pattern)
    assert made.match("b") is not None
    assert isinstance(re.compile("c"), re.Pattern)


def test_nobody_else_gets_one() -> None:
    with compiled_later():
        assert isinstance(re.compile("d"), re.Pattern)
