"""`dodo init` and where the root is."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.space import Space

STAGE = "stages: {a: {cmd: touch a, outs: [a]}}\n"


def git(folder: Path) -> None:
    """Let a folder look like the root of a repository."""
    (folder / ".git").mkdir()


def test_init_makes_a_folder_the_project(space: Space) -> None:
    (space.root / ".dvc").mkdir()
    space.write("sub/dvc.yaml", STAGE)
    assert space.dodo("init", cwd="sub").out == (
        f"Initialized project in {space.root}/sub\nNext: `dodo exp run`\n"
    )
    assert space.dodo("init", cwd="sub").out == "This is a project already.\n"
    assert space.dodo("repro", "--json", cwd="sub").stages == {"a": "ran"}
    assert not space.exists(".dodo")


def test_a_dvc_folder_is_the_root_of_the_pipelines_below_it(space: Space) -> None:
    (space.root / ".dvc").mkdir()
    space.write("sub/dvc.yaml", STAGE)
    ran = space.dodo("repro", "--json", cwd="sub")
    assert (ran.stages, ran.root) == ({"sub/dvc.yaml:a": "ran"}, str(space.root))


def test_a_repository_around_the_pipeline_is_not_the_root(space: Space) -> None:
    """It may be a home folder, which no experiment should keep a copy of."""
    git(space.root)
    space.write("secret.key", "x")
    space.write("sub/dvc.yaml", STAGE)
    ran = space.dodo("exp", "run", "-n", "one", "--json", cwd="sub")
    assert (ran.stages, ran.root) == ({"a": "ran"}, f"{space.root}/sub")
    assert not space.exists(".dodo")
    listed = space.dodo("store", "ls", "one", cwd="sub").out
    assert "secret.key" not in listed
    space.dodo("exp", "run", cwd="sub")  # and the store is sound: this is where it is


def test_a_project_keeps_its_root_whatever_is_below(space: Space) -> None:
    git(space.root)
    space.dodo("init")
    space.write("sub/dvc.yaml", STAGE)
    assert space.dodo("repro", "--json", cwd="sub").stages == {"sub/dvc.yaml:a": "ran"}
    assert not space.exists("sub/.dodo")


@pytest.mark.parametrize("mark", [".dvc", ".dodo"])
def test_a_project_below_is_one_of_its_own(space: Space, mark: str) -> None:
    space.write("dvc.yaml", STAGE)
    space.write("sub/dvc.yaml", STAGE)
    if mark == ".dvc":
        (space.root / "sub/.dvc").mkdir()
    else:
        space.dodo("init", "sub")
        (space.root / "sub/.dodo").rename(space.base / "elsewhere")
        (space.root / "sub/.dodo").symlink_to("../../elsewhere")
    assert space.dodo("repro", "-P", "--json").stages == {"a": "ran"}
    assert space.dodo("repro", "-P", "--json", cwd="sub").stages == {"a": "ran"}
    assert space.exists("sub/.dodo/VERSION")


def test_the_nearest_dvc_yaml_upward_is_in_the_root(space: Space) -> None:
    space.write("dvc.yaml", STAGE)
    space.write("sub/x", "x")
    assert space.dodo("status", cwd="sub").out == "a: out of date\n    not run yet\n"


def test_only_the_first_command_says_where_the_project_begins(space: Space) -> None:
    space.write("dvc.yaml", STAGE)
    (space.root / "sub").mkdir()
    assert space.dodo("repro", "-P", cwd="sub").root == str(space.root)
    assert space.dodo("repro", "-P", "-f", cwd="sub").root == ""


def test_quietly_nothing_is_said_of_it_and_json_stays_json(space: Space) -> None:
    space.write("dvc.yaml", STAGE)
    assert space.dodo("repro", "-q").root == ""
    shutil.rmtree(space.root / ".dodo")
    ran = space.dodo("exp", "run", "--json")
    assert ran.root == str(space.root)
    assert ran.json["stages"]


@pytest.mark.parametrize(
    "verb", [("exp", "run", "--queue"), ("snapshot",), ("exp", "save"), ("plots", "show")]
)
def test_every_verb_that_creates_the_store_says_where(space: Space, verb: tuple[str, ...]) -> None:
    space.write("dvc.yaml", "stages: {a: {cmd: touch a, outs: [a], plots: [p.csv]}}\n")
    space.write("a", "")
    space.write("p.csv", "x,y\n1,2\n")
    assert space.dodo(*verb).root == str(space.root)


# -- paths that leave the project ------------------------------------------------------------

LEAVING = "stages: {a: {cmd: cp ../data/x y, deps: [../data/x], outs: [y]}}\n"


def leaving(space: Space) -> None:
    """A repository whose pipeline reads from the folder beside."""
    git(space.root)
    space.write("data/x", "1\n")
    space.write("p.yaml", "lr: 1\n")
    space.write("sub/dvc.yaml", LEAVING)


@pytest.mark.parametrize(
    "verb",
    [
        *(("repro",), ("exp", "run"), ("exp", "run", "--queue"), ("exp", "run", "--temp")),
        *(("status",), ("stage", "list"), ("dag",), ("snapshot",), ("exp", "save"), ("commit",)),
        *(("freeze", "a"), ("checkout",)),
    ],
)
def test_a_path_that_leaves_the_project_is_refused_and_the_hint_works(
    space: Space, verb: tuple[str, ...]
) -> None:
    leaving(space)
    ran = space.dodo(*verb, code=2, cwd="sub")
    assert ran.err == (
        "error: dvc.yaml:1:42: '../data/x' lies outside the project\n"
        f"hint: `dodo init ..` makes {space.root} the project root;"
        " a dependency outside is named by its absolute path\n"
    )
    assert not space.exists("sub/.dodo")
    space.dodo("init", "..", cwd="sub")
    assert space.dodo("repro", "--json", cwd="sub").stages == {"sub/dvc.yaml:a": "ran"}
    assert space.dodo("exp", "run", "--queue", "-f", cwd="sub").code == 0
    assert space.dodo("exp", "run", "--run-all", cwd="sub").code == 0


@pytest.mark.parametrize(
    "stage, told",
    [
        ("{cmd: ls, wdir: ..}", "'wdir' leads outside the project: '..'"),
        ("{cmd: ls, outs: [../o]}", "output '../o' lies outside the project"),
        ("{cmd: ls, params: [../p.yaml: [lr]]}", "'../p.yaml' lies outside the project"),
        ("{cmd: ls, deps: ['${glob(\"../data/*\")}']}", "leads outside the project"),
        ("{cmd: ls, vars: [../p.yaml]}", "'../p.yaml' lies outside the project"),
        ("{cmd: ls, deps: [..]}", "'..' lies outside the project"),
    ],
)
def test_every_kind_of_path_is_held_to_it(space: Space, stage: str, told: str) -> None:
    leaving(space)
    space.write("sub/dvc.yaml", f"stages: {{a: {stage}}}\n")
    err = space.dodo("status", code=2, cwd="sub").err
    assert told in err
    assert "hint: `dodo init ..` makes " in err
    space.dodo("init", "..", cwd="sub")
    space.dodo("status", cwd="sub")


def test_the_hint_is_for_all_paths_and_from_where_the_user_stands(space: Space) -> None:
    leaving(space)
    space.write("sub/inner/dvc.yaml", "stages: {b: {cmd: ls, deps: [../../../top/x]}}\n")
    (space.root / "sub/far/off").mkdir(parents=True)
    err = space.dodo("status", code=2, cwd="sub/far/off", env={"HOME": "/nowhere"}).err
    assert err.count(f"`dodo init ../../../..` makes {space.base} the project root;") == 2


def test_no_hint_makes_a_copy_of_a_home_folder(space: Space) -> None:
    leaving(space)
    err = space.dodo("status", code=2, cwd="sub", env={"HOME": str(space.root)}).err
    assert "dodo init" not in err
    assert f"hint: the project begins in {space.root}/sub, with the dvc.yaml; a dependency" in err


def test_where_the_root_is_settled_the_absolute_path_helps(space: Space) -> None:
    leaving(space)
    space.dodo("init", cwd="sub")
    err = space.dodo("status", code=2, cwd="sub").err
    assert "dodo init" not in err
    assert "which has .dodo; a dependency outside is named by its absolute path" in err
    space.write("sub/dvc.yaml", LEAVING.replace("[../data", f"[{space.root}/data"))
    assert space.dodo("repro", "--json", cwd="sub").stages == {"a": "ran"}


def test_a_stage_of_a_queued_experiment_knows_its_project_in_a_dvc_repository(
    space: Space,
) -> None:
    """The folder it runs in has a `.dvc` too, and is no project of its own."""
    space.write(".dvc/config", "")
    command = f"{sys.executable} -m dodo_exp exp list --name-only > out"
    space.write("dvc.yaml", f"stages: {{a: {{cmd: {command}, outs: [out]}}}}\n")
    space.dodo("exp", "save", "-n", "here")
    space.dodo("exp", "run", "--queue", "-n", "queued")
    space.dodo("exp", "run", "--run-all")
    space.dodo("exp", "apply", "queued")
    assert "here" in space.read("out").split()


def test_a_plain_folder_names_the_pipeline_below(space: Space) -> None:
    space.write("a/b/dvc.yaml", STAGE)
    for verb in (["exp", "run"], ["status"]):
        assert space.dodo(*verb, code=3).err == (
            "error: no dvc.yaml here or in any folder above\n"
            "hint: there is a/b/dvc.yaml: `cd a/b`, or `dodo init`"
            " to make this folder the project\n"
        )
    space.dodo("init")
    assert space.dodo("repro", "a/b/dvc.yaml", "--json").stages == {"a/b/dvc.yaml:a": "ran"}


NAMING = [
    *(("repro",), ("exp", "run"), ("exp", "run", "--queue"), ("exp", "run", "--temp")),
    *(("status",), ("stage", "list"), ("dag",), ("commit",), ("checkout",)),
]


@pytest.mark.parametrize("target", ["a/dvc.yaml", "a/dvc.yaml:a", "./a/dvc.yaml"])
@pytest.mark.parametrize("verb", NAMING, ids=" ".join)
def test_a_pipeline_that_is_named_from_a_plain_folder_is_the_project(
    space: Space, verb: tuple[str, ...], target: str
) -> None:
    space.write("a/dvc.yaml", STAGE)
    space.write("a/a", "")
    space.write("beside", "x")
    space.dodo(*verb, target)
    assert not space.exists(".dodo")
    space.dodo("repro", target)
    assert space.exists("a/.dodo/VERSION")


def test_pipelines_of_several_projects_are_not_run_at_once(space: Space) -> None:
    space.write("a/dvc.yaml", STAGE)
    space.write("b/dvc.yaml", STAGE)
    assert space.dodo("repro", "a/dvc.yaml", "b/dvc.yaml", code=3).err == (
        "error: the targets are in several projects\n"
        "hint: `dodo init` makes this folder the project of all of them\n"
    )
    space.dodo("init")
    space.dodo("repro", "a/dvc.yaml", "b/dvc.yaml")


@pytest.mark.parametrize("target", ["a", "nowhere/dvc.yaml", "b", "a/dvc.yaml.txt"])
def test_another_target_in_a_plain_folder_gets_the_hint(space: Space, target: str) -> None:
    space.write("a/dvc.yaml", STAGE)
    assert "there is a/dvc.yaml: `cd a`" in space.dodo("repro", target, code=3).err


def test_the_store_keeps_itself_out_of_repositories(project: Space) -> None:
    project.exp()
    assert project.read(".dodo/.gitignore") == "*\n"
    assert (project.root / ".dodo").stat().st_mode & 0o777 == 0o700


def test_a_project_without_a_pipeline_is_none_to_run(space: Space) -> None:
    (space.root / ".dvc").mkdir()
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
        f"Initialized project in {space.root}/sub\nThere are scripts that look like stages.\n"
        "Next: `dodo init -i`\n"
    )
    assert space.dodo("init", "sub", "--yes").out.endswith("then `dodo exp run`\n")
    assert space.dodo("repro", "--json", cwd="sub").stages == {"make": "ran"}


def test_a_folder_without_scripts_has_no_proposal(space: Space) -> None:
    assert space.dodo("init", "--propose", code=2).err == (
        "error: no script here that is seen to write a file and has no stage yet\n"
        "hint: `dodo stage add` writes a stage\n"
    )
