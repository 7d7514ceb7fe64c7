"""Names of experiments."""

from __future__ import annotations

import random

import pytest

from dodo_exp.errors import UsageError
from dodo_exp.exps import names


def test_a_fresh_name_is_one_that_the_rules_allow() -> None:
    for _ in range(200):
        names.check(names.fresh(lambda name: False))


def test_a_taken_name_is_not_given_again() -> None:
    assert names.fresh(lambda name: name.count("-") == 1).count("-") == 2


def test_a_scripts_seed_has_no_say() -> None:
    drawn = set()
    for _ in range(20):
        random.seed(1)
        drawn.add(names.fresh(lambda name: False))
    assert len(drawn) > 1


@pytest.mark.parametrize("name", ["a", "lr-0.1", "Exp_2", "7", "größe", "实验"])
def test_names_that_are_allowed(name: str) -> None:
    names.check(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "-x", "_x", ".x", "a/b", "a b", "a\n", "a:b", "HEAD", "x.", "é" * 60]
)
def test_names_that_are_not(name: str) -> None:
    with pytest.raises(UsageError):
        names.check(name)
