"""`dodo why`: each kind of change has its words."""

from __future__ import annotations

from tests.space import Space


def test_up_to_date(project: Space) -> None:
    project.repro()
    assert project.dodo("why", "train").out == "train is up to date\n"


def test_every_change_of_a_stage_is_told_from_what_to_what(project: Space) -> None:
    project.repro()
    project.write("params.yaml", "train: {lr: '0.1'}\n")
    project.write("extra.txt", "x\n")
    changed = project.read("dvc.yaml").replace("[data.txt]\n    params", "[extra.txt]\n    params")
    project.write("dvc.yaml", changed.replace("cat data.txt params", "cat extra.txt params"))
    project.write("model.txt", "mine\n")
    assert project.dodo("why", "train").out == (
        "train:\n"
        "  command: cat data.txt params.yaml > model.txt && echo train >> ../runs.log"
        " -> cat extra.txt params.yaml > model.txt && echo train >> ../runs.log\n"
        '  params.yaml:train.lr: 0.1 -> "0.1"\n'
        "  data.txt is no longer a dependency\n"
        "  extra.txt is a new dependency\n"
        "  output model.txt is not as the stage made it\n"
    )


def test_what_it_waits_for_is_told_with_its_own_reason(project: Space) -> None:
    project.repro()
    project.write("params.yaml", "train: {lr: 3}\n")
    assert project.dodo("why", "evaluate").out == (
        "evaluate:\n  waits for train (params.yaml:train.lr: 0.1 -> 3)\n"
    )


def test_json_has_old_and_new(project: Space) -> None:
    project.repro()
    project.write("params.yaml", "train: {lr: 3}\n")
    assert project.dodo("why", "train", "--json").json == [
        {
            "stage": "train",
            "action": "run",
            "reasons": [
                {
                    "kind": "param",
                    "name": "params.yaml:train.lr",
                    "old": "0.1",
                    "new": "3",
                    "text": "params.yaml:train.lr: 0.1 -> 3",
                }
            ],
            "after": [],
        }
    ]


def test_an_unknown_stage_is_met_with_the_nearest(project: Space) -> None:
    assert project.dodo("why", "trian", code=2).err == (
        "error: no stage 'trian' in dvc.yaml\nhint: did you mean 'train'?\n"
    )
