"""Named behaves as typing.NamedTuple does."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from dodo_store.named import Named


class Ours(Named):
    """A point."""

    x: int
    y: int = 2
    label: str = ""

    @property
    def total(self) -> int:
        """Both."""
        return self.x + self.y


class Theirs(NamedTuple):
    """A point."""

    x: int
    y: int = 2
    label: str = ""

    @property
    def total(self) -> int:
        """Both."""
        return self.x + self.y


class Further(Ours):
    """A class of its own, with no more fields."""

    def doubled(self) -> int:
        """Twice."""
        return 2 * self.total


@pytest.mark.parametrize(
    "ask",
    [
        lambda kind: kind(1),
        lambda kind: kind(1, 5, "a"),
        lambda kind: kind(y=3, x=1),
        lambda kind: kind(1, label="b"),
        lambda kind: kind(1).total,
        lambda kind: kind(1).y,
        lambda kind: kind(1)._replace(y=9, label="c"),
        lambda kind: kind(1)._asdict(),
        lambda kind: kind._make([1, 2, "d"]),
        lambda kind: kind._fields,
        lambda kind: kind._field_defaults,
        lambda kind: kind.__match_args__,
        lambda kind: kind.__doc__,
        lambda kind: kind(1) == (1, 2, ""),
        lambda kind: hash(kind(1)),
        lambda kind: [*kind(1)],
        lambda kind: sorted([kind(3), kind(1)]),
        lambda kind: copy.deepcopy(kind(1, 2, "e")),
        lambda kind: pickle.loads(pickle.dumps(kind(1, 2, "f"))),
        lambda kind: hasattr(kind(1), "__dict__"),
        lambda kind: repr(kind(1)).removeprefix(kind.__name__),
    ],
)
def test_it_does_what_a_named_tuple_does(ask: Callable[[Any], object]) -> None:
    ours, theirs = ask(Ours), ask(Theirs)
    assert ours == theirs
    assert isinstance(ours, Ours) == isinstance(theirs, Theirs)


@pytest.mark.parametrize(
    "ask",
    [
        lambda kind: kind(),
        lambda kind: kind(y=1),
        lambda kind: kind(1, x=1),
        lambda kind: kind(1, z=1),
        lambda kind: kind(1, 2, "a", 4),
        lambda kind: kind._make([1]),
        lambda kind: kind(1)._replace(z=1),
        lambda kind: setattr(kind(1), "x", 3),
        lambda kind: setattr(kind(1), "z", 3),
    ],
)
def test_it_refuses_what_a_named_tuple_refuses(ask: Callable[[Any], object]) -> None:
    with pytest.raises((TypeError, ValueError, AttributeError)) as theirs:
        ask(Theirs)
    with pytest.raises(theirs.type):
        ask(Ours)


def test_it_is_matched_by_position() -> None:
    match Ours(1, 2, "a"):
        case Ours(x, y, label):
            assert (x, y, label) == (1, 2, "a")


def test_a_class_of_such_a_class() -> None:
    made = Further(1, 2)
    assert isinstance(made, Ours)
    assert made.doubled() == 6
    assert made._replace(x=2).doubled() == 8
    assert repr(made) == "Further(x=1, y=2, label='')"
