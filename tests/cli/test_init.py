"""`dodo init` and where the root is."""

from __future__ import annotations

import pytest

from tests.space import Space


def test_init_settles_the_root(space: Space) -> None:
    (space.root / ".git").mkdir()
    space.write("sub/dvc.yaml", "stages: {a: {cmd: touch a, outs: [a]}}\n")
    assert space.dodo("init", cwd="sub").out == (
        f"Made {space.root}/sub a project. Next: `dodo exp run`\n"
    )
    assert space.dodo("init", cwd="sub").out == "This is a project already.\n"
    assert space.dodo("repro", "--json", cwd="sub").stages == {"a": "ran"}
    assert not space.exists(".dodo")


@pytest.mark.parametrize("mark", [".git", ".dvc"])
def test_without_init_a_repository_is_the_root(space: Space, mark: str) -> None:
    (space.root / mark).mkdir()
    space.write("sub/dvc.yaml", "stages: {a: {cmd: touch a, outs: [a]}}\n")
    assert space.dodo("repro", "--json", cwd="sub").stages == {"sub/dvc.yaml:a": "ran"}
    assert space.exists(".dodo")


def test_without_anything_the_folder_of_the_dvc_yaml_is_the_root(space: Space) -> None:
    space.write("dvc.yaml", "stages: {a: {cmd: touch a, outs: [a]}}\n")
    space.write("sub/x", "x")
    assert space.dodo("status", cwd="sub").out == "a: out of date\n    not run yet\n"


def test_the_store_keeps_itself_out_of_repositories(project: Space) -> None:
    project.exp()
    assert project.read(".dodo/.gitignore") == "*\n"
    assert (project.root / ".dodo").stat().st_mode & 0o777 == 0o700


def test_a_repository_without_a_pipeline_is_no_project_to_run(space: Space) -> None:
    (space.root / ".git").mkdir()
    assert "no dvc.yaml in this project" in space.dodo("exp", "run", code=3).err
    assert space.dodo("status").out == "There are no stages in this project.\n"


# -- what is proposed ----------------------------------------------------------------------

CLEAN = """\
import pandas as pd
from pathlib import Path
import helper

RAW = Path("raw")
table = pd.read_csv(RAW / "table.csv")
table.to_parquet("work/clean.parquet")
"""
FIT = """\
import argparse, json, yaml, joblib
import pandas as pd

options = argparse.ArgumentParser()
options.add_argument("--model", default="models/model.pkl")
args = options.parse_args()
params = yaml.safe_load(open("params.yaml"))["fit"]
data = pd.read_parquet("work/clean.parquet")
joblib.dump(data, args.model)
with open("metrics.json", "w") as file:
    json.dump({"score": 1}, file)
data.plot().savefig("plots/curve.png")
print("see https://example.com/a.csv")
"""


def scripts(space: Space) -> None:
    space.write("raw/table.csv", "a\n1\n")
    space.write("params.yaml", "fit: {degree: 2}\nother: 1\n")
    space.write("src/helper.py", "open('never.txt', 'w')\n")
    space.write("src/clean.py", CLEAN)
    space.write("src/01_fit.py", FIT)
    space.write("src/utils.py", "open('x.txt', 'w')\n")
    space.write("test_fit.py", "open('y.txt', 'w')\n")
    space.write("look.py", "print(open('raw/table.csv').read())\n")
    space.write("broken.py", "open('z.txt', 'w'\n")
    space.write("pack.sh", "tar c models > models.tar  # from models/model.pkl\n")


def test_stages_are_proposed_from_what_scripts_read_and_write(space: Space) -> None:
    scripts(space)
    assert space.dodo("init", "--propose").out == (
        "stages:\n"
        "  pack:\n"
        "    cmd: sh pack.sh\n"
        "    deps:\n"
        "    - pack.sh\n"
        "    outs:\n"
        "    - models.tar\n"
        "  clean:\n"
        "    cmd: python src/clean.py\n"
        "    deps:\n"
        "    - raw/table.csv\n"
        "    - src/clean.py\n"
        "    - src/helper.py\n"
        "    outs:\n"
        "    - work/clean.parquet\n"
        "  fit:\n"
        "    cmd: python src/01_fit.py\n"
        "    deps:\n"
        "    - src/01_fit.py\n"
        "    - work/clean.parquet\n"
        "    params:\n"
        "    - fit\n"
        "    outs:\n"
        "    - models/model.pkl\n"
        "    metrics:\n"
        "    - metrics.json:\n"
        "        cache: false\n"
        "    plots:\n"
        "    - plots/curve.png\n"
    )
    assert not space.exists("dvc.yaml") and not space.exists(".dodo")


def test_the_user_is_asked_about_each_stage(space: Space) -> None:
    scripts(space)
    ran = space.dodo("init", "-i", stdin="n\nwhat\ny\n\n")
    assert ran.out.endswith("Wrote dvc.yaml with clean, fit: look it over, then `dodo exp run`\n")
    assert ran.err.count("Add stage 'clean'? [Y/n] ") == 2
    assert [each["name"] for each in space.dodo("stage", "list", "--json").json] == ["clean", "fit"]
    assert space.dodo("init", "--yes").out == (
        "This is a project already.\nWrote dvc.yaml with pack: look it over, then `dodo exp run`\n"
    )
    space.dodo("undo")
    assert "pack" not in space.read("dvc.yaml")


def test_where_nobody_answers_nothing_is_written(space: Space) -> None:
    scripts(space)
    assert "nobody answers" in space.dodo("init", "-i", code=2).err
    assert not space.exists("dvc.yaml")


def test_init_points_to_the_proposal_where_there_is_one(space: Space) -> None:
    assert space.dodo("init").out.endswith("Next: `dodo stage add --help`\n")
    scripts(space)
    (space.root / "sub").mkdir()
    space.write("sub/make.py", "open('x.txt', 'w').write('x')\n")
    assert space.dodo("init", "sub").out == (
        f"Made {space.root}/sub a project. There are scripts that look like stages."
        " Next: `dodo init -i`\n"
    )
    assert space.dodo("init", "sub", "--yes").out.endswith("then `dodo exp run`\n")
    assert space.dodo("repro", "--json", cwd="sub").stages == {"make": "ran"}


def test_a_folder_without_scripts_has_no_proposal(space: Space) -> None:
    assert space.dodo("init", "--propose", code=2).err == (
        "error: no script here that is seen to write a file and has no stage yet\n"
        "hint: `dodo stage add` writes a stage\n"
    )
