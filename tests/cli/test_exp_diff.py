"""`dodo exp diff`, `params diff` and `metrics diff`."""

from __future__ import annotations

import csv
import io

import pytest

from tests.space import Space

TWO = (
    "Path          Metric  one  two  Change\n"
    "metrics.json  size     86   87       1\n"
    "\n"
    "Path         Param     one   two  Change\n"
    "params.yaml  train.lr  0.1  0.25    0.15\n"
)
DATA = {
    "metrics": {"metrics.json": {"size": {"old": 86, "new": 87, "diff": 1}}},
    "params": {"params.yaml": {"train.lr": {"old": 0.1, "new": 0.25, "diff": 0.15}}},
}


@pytest.fixture
def two(project: Space) -> Space:
    """`one` with a rate of 0.1, then `two` with 0.25, which lies in the workspace."""
    project.exp("-n", "one")
    project.exp("-n", "two", "-S", "train.lr=0.25")
    return project


def test_two_names_in_every_form(two: Space) -> None:
    assert two.dodo("exp", "diff", "one", "two").out == TWO
    assert two.dodo("exp", "diff", "one", "two", "--json").json == DATA
    assert two.dodo("exp", "diff", "one", "two", "--md").out == (
        "| Path | Metric | one | two | Change |\n"
        "| --- | --- | ---: | ---: | ---: |\n"
        "| metrics.json | size | 86 | 87 | 1 |\n"
        "\n"
        "| Path | Param | one | two | Change |\n"
        "| --- | --- | ---: | ---: | ---: |\n"
        "| params.yaml | train.lr | 0.1 | 0.25 | 0.15 |\n"
    )
    assert two.dodo("exp", "diff", "one", "two", "--no-path").out == (
        "Metric  one  two  Change\n"
        "size     86   87       1\n"
        "\n"
        "Param     one   two  Change\n"
        "train.lr  0.1  0.25    0.15\n"
    )
    assert two.dodo("exp", "diff", "two", "one", "--json").json["params"] == {
        "params.yaml": {"train.lr": {"old": 0.25, "new": 0.1, "diff": -0.15}}
    }


def test_default_sides_and_equal_sides(two: Space) -> None:
    equal = two.dodo("exp", "diff", "two", "workspace")
    assert equal.out == "No differences between 'two' and 'workspace'.\n"
    assert equal.err == ""
    assert two.dodo("exp", "diff", "one", "--json").json == DATA
    two.write("params.yaml", two.read("params.yaml").replace("seed: 7", "seed: 8"))
    changed = {"params": {"params.yaml": {"seed": {"old": 7, "new": 8, "diff": 1}}}}
    shown = two.dodo("exp", "diff", "--json")
    assert shown.json == changed
    assert shown.err == "comparing the workspace with 'two'\n"
    assert two.dodo("exp", "diff", "--param-deps", "--json").json == {}


def test_without_names_an_experiment_that_has_not_changed_is_compared_with_its_parent(
    two: Space,
) -> None:
    shown = two.dodo("exp", "diff")
    assert shown.out == TWO
    assert shown.err == "comparing 'two' with its parent 'one'\n"
    assert two.dodo("exp", "diff", "--json").json == DATA
    assert two.dodo("params", "diff", "--json").json == DATA["params"]
    shown = two.dodo("metrics", "diff", "--json")
    assert shown.json == DATA["metrics"]
    assert shown.err == "comparing 'two' with its parent 'one'\n"
    two.exp("-n", "three", "-S", "train.lr=0.5")
    assert two.dodo("exp", "diff").err == "comparing 'three' with its parent 'two'\n"
    two.dodo("exp", "rename", "two", "second")
    assert two.dodo("exp", "diff").err == "comparing 'three' with its parent 'second'\n"
    two.dodo("exp", "remove", "second")
    assert two.dodo("exp", "diff").err == (
        "'two', the parent of experiment 'three', is not there any more\n"
        "comparing the workspace with 'three'\n"
    )


def test_an_experiment_without_a_parent_is_said_to_have_none(two: Space) -> None:
    two.dodo("exp", "apply", "one")
    for verb in ("exp", "params", "metrics"):
        shown = two.dodo(verb, "diff", "--json")
        assert shown.json == {}
        assert shown.err == (
            "experiment 'one' has no parent, and the workspace has not changed since\n"
            "comparing the workspace with 'one'\n"
        )


def test_with_files_an_edit_of_a_file_is_a_change_of_the_workspace(two: Space) -> None:
    shown = two.dodo("exp", "diff", "--files", "--json")
    assert shown.err == "comparing 'two' with its parent 'one'\n"
    assert {"path": "params.yaml", "change": "changed"} in shown.json["files"]
    two.write("notes.txt", "new\n")
    shown = two.dodo("exp", "diff", "--files", "--json")
    assert shown.err == "comparing the workspace with 'two'\n"
    assert shown.json == {"files": [{"path": "notes.txt", "change": "added"}]}


def test_an_empty_name_is_none(two: Space) -> None:
    """As of a variable in a script that is not set."""
    assert two.dodo("exp", "diff", "one", "", "--json").json == DATA
    assert two.dodo("exp", "diff", "", "one", "--json").json["params"] == {
        "params.yaml": {"train.lr": {"old": 0.25, "new": 0.1, "diff": -0.15}}
    }
    assert two.dodo("exp", "diff", "", "").out == two.dodo("exp", "diff").out


def test_all_tells_of_what_is_the_same_too(two: Space) -> None:
    data = two.dodo("exp", "diff", "one", "two", "--all", "--json").json
    params = data["params"]["params.yaml"]
    assert params["seed"]["old"] == params["seed"]["new"] == 7
    assert set(params) == {"train.lr", "train.layers", "seed"}
    only = two.dodo("exp", "diff", "one", "two", "--all", "--param-deps", "--json").json
    assert set(only["params"]["params.yaml"]) == {"train.lr"}


def test_csv_has_metrics_and_params(two: Space) -> None:
    out = two.dodo("exp", "diff", "one", "two", "--csv").out
    assert "train.lr" in out


def test_csv_of_one_kind_has_numbers_in_full(two: Space) -> None:
    two.exp("-n", "fine", "-S", "train.lr=0.12345678901")
    args = ("diff", "one", "fine")
    (row,) = csv.DictReader(io.StringIO(two.dodo("params", *args, "--csv").out))
    assert row == {"Path": "params.yaml", "Param": "train.lr", "one": "0.1",
                   "fine": "0.12345678901"}  # fmt: skip
    assert "0.12346 " in two.dodo("params", *args).out.replace("\n", " ")
    assert "0.123 " in two.dodo("params", *args, "--precision", "3").out.replace("\n", " ")


def test_snapshots_ids_and_queued_experiments_are_sides(two: Space) -> None:
    two.dodo("snapshot", "-n", "kept")
    two.dodo("exp", "run", "--queue", "-n", "later", "-S", "train.lr=0.5")
    ids = {e["name"]: e["id"] for e in two.dodo("exp", "list", "--json").json}
    assert two.dodo("exp", "diff", ids["one"][:7], ids["two"][:7]).out == TWO
    assert two.dodo("exp", "diff", "one", "kept", "--json").json == DATA
    later = two.dodo("exp", "diff", "one", "later", "--json").json
    assert later["params"]["params.yaml"]["train.lr"]["new"] == 0.5


def test_files_and_patches(two: Space) -> None:
    out = two.dodo("exp", "diff", "one", "two", "--files").out
    table = out[len(TWO) + 1 :]
    assert out.startswith(TWO)
    assert [row.split() for row in table.splitlines()] == [
        ["File", "Change"],
        ["dodo.lock", "changed"],
        ["metrics.json", "changed"],
        ["model.txt", "changed"],
        ["params.yaml", "changed"],
    ]
    files = two.dodo("exp", "diff", "one", "two", "--files", "--json").json["files"]
    assert files[0] == {"path": "dodo.lock", "change": "changed"}
    patch = two.dodo("exp", "diff", "one", "two", "-p").out
    assert "--- a/params.yaml\n+++ b/params.yaml\n" in patch
    assert "-  lr: 0.1  # rate\n+  lr: 0.25  # rate\n" in patch
    assert "a/model.txt" not in patch
    assert "a/dodo.lock" not in patch
    two.write("notes.md", "new\n")
    files = two.dodo("exp", "diff", "two", "--files", "--json").json["files"]
    assert {"path": "notes.md", "change": "added"} in files


def test_params_diff_and_metrics_diff_have_a_shape_of_their_own(two: Space) -> None:
    assert two.dodo("params", "diff", "one", "two", "--json").json == DATA["params"]
    assert two.dodo("metrics", "diff", "one", "two", "--json").json == DATA["metrics"]
    assert two.dodo("params", "diff", "one", "two").out == (
        "Path         Param     one   two\nparams.yaml  train.lr  0.1  0.25\n"
    )
    assert two.dodo("metrics", "diff", "one", "two", "--md").out == (
        "| Path | Metric | one | two | Change |\n"
        "| --- | --- | ---: | ---: | ---: |\n"
        "| metrics.json | size | 86 | 87 | 1 |\n"
    )
    data = two.dodo("metrics", "diff", "one", "two", "--targets", "nothing.json", "--json").json
    assert data == {}


@pytest.mark.parametrize("verb", ["exp", "params", "metrics"])
def test_nothing_to_compare_with_is_an_error_with_a_hint(project: Space, verb: str) -> None:
    assert project.dodo(verb, "diff", code=2).err == (
        "error: there is no experiment to compare with\nhint: `dodo exp run` makes one\n"
    )
    assert not project.exists(".dodo")
    project.exp("-n", "one")
    ran = project.dodo(verb, "diff", "onr", code=2)
    assert ran.err.endswith("hint: did you mean 'one'?\n")
    assert ran.out == ""
