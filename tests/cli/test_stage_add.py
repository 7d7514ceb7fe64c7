"""`dodo stage add`: what it writes is what a person would."""

from __future__ import annotations

import pytest

from tests.space import Space


def test_the_first_stage_makes_the_file(space: Space) -> None:
    ran = space.dodo(
        *"stage add -n train -d train.py -d data -p lr,opt.name -p other.yaml:a,b".split(),
        *"-o model.pkl -M metrics.json --plots loss.csv".split(),
        *"--desc".split(), "Fit the model", "python", "train.py", "--out", "model.pkl",
    )  # fmt: skip
    assert ran.out == "Added stage 'train' to dvc.yaml\n"
    assert space.read("dvc.yaml") == (
        "stages:\n"
        "  train:\n"
        "    cmd: python train.py --out model.pkl\n"
        "    deps:\n"
        "    - data\n"
        "    - train.py\n"
        "    params:\n"
        "    - lr\n"
        "    - opt.name\n"
        "    - other.yaml:\n"
        "      - a\n"
        "      - b\n"
        "    outs:\n"
        "    - model.pkl\n"
        "    metrics:\n"
        "    - metrics.json:\n"
        "        cache: false\n"
        "    plots:\n"
        "    - loss.csv\n"
        "    desc: Fit the model\n"
    )
    assert space.dodo("stage", "list").out == "train  Fit the model\n"


def test_the_rest_of_the_file_stays_as_it_is(project: Space) -> None:
    before = "# why\n" + project.read("dvc.yaml") + "  # the end\n"
    project.write("dvc.yaml", before)
    project.dodo(
        "stage", "add", "-n", "report", "-d", "metrics.json", "-o", "r.md", "cp metrics.json r.md"
    )
    after = project.read("dvc.yaml")
    added = (
        "  report:\n    cmd: cp metrics.json r.md\n    deps:\n    - metrics.json\n"
        "    outs:\n    - r.md\n"
    )
    assert after.replace(added, "") == before


def test_a_command_of_several_words_is_quoted_for_the_shell(space: Space) -> None:
    space.dodo("stage", "add", "-n", "s", "-o", "x", "echo", "a b", ">x")
    assert space.dodo("stage", "list", "--json").json[0]["cmd"] == ["echo 'a b' '>x'"]


def test_a_stage_of_the_same_name_is_only_replaced_by_force(project: Space) -> None:
    before = project.read("dvc.yaml")
    ran = project.dodo("stage", "add", "-n", "train", "-o", "model.txt", "true", code=2)
    assert ran.err == (
        "error: stage 'train' is in dvc.yaml already\nhint: replace it with --force\n"
    )
    assert project.read("dvc.yaml") == before
    project.dodo("stage", "add", "-f", "-n", "train", "-d", "data.txt", "-o", "model.txt", "true")
    assert project.dodo("stage", "list", "--json", "train").json[0]["cmd"] == ["true"]
    assert project.dodo("stage", "list", "--name-only").out == "prepare\ntrain\nevaluate\n"


@pytest.mark.parametrize(
    "args, says",
    [
        (["-n", "a/b", "true"], "not a name for a new stage: 'a/b'"),
        (["-n", "x", "-o", "data.txt", "true"], "'data.txt' is made by stage"),
        (["-n", "x", "-d", "metrics.json", "-o", "raw.txt", "true"], "stages wait for each other"),
        (["-n", "x", "-o", "../out", "true"], "lies outside the project"),
        (["-n", "x"], "missing argument 'CMD...'"),
        (["true"], "missing option '-n' / '--name'"),
    ],
)
def test_what_would_break_the_pipeline_is_not_written(
    project: Space, args: list[str], says: str
) -> None:
    before = project.read("dvc.yaml")
    assert says in project.dodo("stage", "add", *args, code=2).err
    assert project.read("dvc.yaml") == before


def test_run_runs_it(space: Space) -> None:
    ran = space.dodo("stage", "add", "--run", "-n", "s", "-o", "x", "echo hi > x")
    assert ran.out == "1 ran\n"
    assert space.read("x") == "hi\n"
