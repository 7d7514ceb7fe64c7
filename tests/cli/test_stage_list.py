"""`dodo stage list`."""

from __future__ import annotations

from tests.space import Space


def test_a_line_each(project: Space) -> None:
    assert project.dodo("stage", "list").out == (
        "prepare   Outputs data.txt\ntrain     Outputs model.txt\nevaluate  Outputs metrics.json\n"
    )


def test_json_has_each_stage_as_it_is_run(project: Space) -> None:
    assert project.dodo("stage", "list", "--json", "train").json == [
        {
            "name": "train",
            "cmd": ["cat data.txt params.yaml > model.txt && echo train >> ../runs.log"],
            "wdir": ".",
            "deps": ["data.txt"],
            "params": {"params.yaml": {"train.lr": 0.1}},
            "outs": [{"path": "model.txt", "cache": True, "persist": False}],
            "metrics": [],
            "plots": [],
            "frozen": False,
            "always_changed": False,
            "desc": "",
        }
    ]


def test_names_in_other_folders_carry_their_file(space: Space) -> None:
    space.write("dvc.yaml", "stages: {a: {cmd: touch a, outs: [a]}}\n")
    space.write("sub/dvc.yaml", "stages: {b: {cmd: touch b, outs: [b]}}\n")
    assert space.dodo("stage", "list", "--name-only").out == "a\n"
    assert space.dodo("stage", "list", "--name-only", "--all").out == "a\nsub/dvc.yaml:b\n"
