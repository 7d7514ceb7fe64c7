"""A run whose result is known already: its name, and the note that comes with it."""

from __future__ import annotations

from typing import Any

import pytest

from dodo_exp import api
from dodo_exp.errors import DodoError, UsageError
from tests.space import Space


@pytest.fixture
def two(project: Space) -> Space:
    """`one` with a rate of 0.1, then `two` with 0.5, which lies in the workspace."""
    project.exp("-n", "one", "-S", "train.lr=0.1")
    project.exp("-n", "two", "-S", "train.lr=0.5")
    project.forget_runs()
    return project


def notes(space: Space) -> dict[str, Any]:
    """Notes of all experiments by name."""
    return {each["name"]: each["note"] for each in space.dodo("exp", "list", "--json").json}


def test_the_same_run_under_the_same_name_returns_the_experiment(two: Space) -> None:
    oid = two.store.experiments.get("one")
    ran = two.dodo("exp", "run", "-n", "one", "-S", "train.lr=0.1")
    assert ran.out.startswith("2 restored, 1 unchanged: the same result as experiment 'one'\n")
    assert "replaced" not in ran.err
    assert two.store.experiments.get("one") == oid
    assert two.runs == []
    assert "lr: 0.1" in two.read("params.yaml")
    two.exp("-n", "three", "-S", "train.lr=0.25")
    assert two.exp("-n", "one", "-S", "train.lr=0.1").json["new"] is False


def test_another_result_under_the_same_name_is_refused(two: Space) -> None:
    for rate in ("0.25", "0.5"):  # a run that would run, and one whose result is another's
        ran = two.dodo("exp", "run", "-n", "one", "-S", f"train.lr={rate}", code=2)
        assert ran.err == (
            "error: there is an experiment 'one' already\n"
            "hint: choose another name, or replace it with --replace\n"
        )
    assert "lr: 0.5" in two.read("params.yaml")
    assert two.runs == []
    assert two.exp("-n", "one", "-S", "train.lr=0.25", "--replace").json["new"] is True


def test_a_cell_that_is_run_twice_gives_the_same_experiment(two: Space) -> None:
    for _ in range(2):
        first = api.run({"train.lr": 0.1}, name="one", project=two.root)
        second = api.run({"train.lr": 0.5}, name="two", project=two.root)
        assert [(ran.name, ran.is_new) for ran in (first, second)] == [
            ("one", False),
            ("two", False),
        ]
    with pytest.raises(UsageError) as caught:
        api.run({"train.lr": 0.75}, name="one", project=two.root)
    assert str(caught.value) == "there is an experiment 'one' already"
    assert caught.value.hint == "choose another name, or replace it with replace=True"
    assert api.run({"train.lr": 0.75}, name="one", replace=True, project=two.root).is_new


@pytest.mark.parametrize(
    "call, says",
    [
        (lambda at: api.exp_show(filter="nix > 1", project=at), "filter: no column 'nix'"),
        (lambda at: api.exp_show(filter="seed >", project=at), "filter: a column or a value"),
        (lambda at: api.exp_show(sort_by="nix", project=at), "sort_by: no column 'nix'"),
        (lambda at: api.run({"seed": "${nix}"}, project=at), "params: seed: '${nix}' names no"),
    ],
    ids=["filter", "query", "sort", "params"],
)
def test_messages_of_python_name_its_parameters(two: Space, call: Any, says: str) -> None:
    with pytest.raises(DodoError) as caught:
        call(two.root)
    assert str(caught.value).startswith(says)
    assert "--filter" not in (caught.value.hint or "")


def test_a_note_is_kept_where_the_result_is_known(two: Space) -> None:
    two.dodo("exp", "run", "-m", "here already")
    assert notes(two) == {"one": "", "two": "here already"}
    two.dodo("exp", "run", "-m", "back again", "-S", "train.lr=0.1")
    assert notes(two) == {"one": "back again", "two": "here already"}
    two.dodo("exp", "run")
    two.dodo("exp", "run", "-m", "back again")
    two.dodo("exp", "run", "-m", "another")
    assert notes(two)["one"] == "another"
    two.dodo("exp", "note", "one", "by hand")
    two.dodo("exp", "run", "-m", "another")
    assert notes(two)["one"] == "another"
    two.dodo("undo")
    assert notes(two)["one"] == "by hand"
