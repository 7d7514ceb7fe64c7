"""`dodo status`."""

from __future__ import annotations

from tests.space import Space


def test_a_fresh_project_has_not_run_yet(project: Space) -> None:
    assert project.dodo("status").out == (
        "prepare: out of date\n    not run yet\n"
        "train: out of date\n    not run yet\n"
        "evaluate: out of date\n    not run yet\n"
    )
    assert not project.exists(".dodo")


def test_it_says_what_changed_and_what_hangs_on_it(project: Space) -> None:
    project.repro()
    project.write("params.yaml", "train: {lr: 0.2}\n")
    assert project.dodo("status").out == (
        "train: out of date\n"
        "    params.yaml:train.lr: 0.1 -> 0.2\n"
        "evaluate: depends on what train makes\n"
    )
    assert project.dodo("status", "--json").json == {
        "train": [{"changed deps": {"params.yaml": {"train.lr": "modified"}}}]
    }
    project.dodo("status", "-q", code=1)


def test_a_result_in_the_run_cache_is_said_to_be_there(project: Space) -> None:
    project.repro()
    project.remove("model.txt")
    assert project.dodo("status").out == (
        "train: out of date, its result is in the run-cache\n    output model.txt is missing\n"
    )


def test_json_has_the_shape_of_dvcs(project: Space) -> None:
    project.repro()
    project.write("raw.txt", "other\n")
    project.write("model.txt", "mine\n")
    project.write("dvc.yaml", project.read("dvc.yaml").replace("size", "bytes"))
    assert project.dodo("status", "--json").json == {
        "prepare": [{"changed deps": {"raw.txt": "modified"}}],
        "train": [{"changed outs": {"model.txt": "modified"}}],
        "evaluate": [{"changed deps": {"model.txt": "modified"}}, "changed command"],
    }


def test_a_target_narrows_it_to_what_the_target_needs(project: Space) -> None:
    assert "evaluate" not in project.dodo("status", "train").out


def test_a_dvc_yaml_without_stages_is_no_fault(space: Space) -> None:
    space.write("dvc.yaml", "")
    assert space.dodo("status").out == "There are no stages in this project.\n"


def test_outside_a_project_it_ends_with_3(space: Space) -> None:
    ran = space.dodo("status", code=3)
    assert ran.err.startswith("error: no dvc.yaml here or in any folder above\nhint: ")
