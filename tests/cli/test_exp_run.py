"""`dodo exp run`, from the outside."""

from __future__ import annotations

import re

import pytest

from tests.space import PARAMS, Space

ALL_RAN = {"prepare": "ran", "train": "ran", "evaluate": "ran"}
ALL_SAME = {"prepare": "unchanged", "train": "unchanged", "evaluate": "unchanged"}


def test_the_first_run_tells_what_it_does_and_keeps_an_experiment(project: Space) -> None:
    ran = project.dodo("exp", "run", "-n", "first")
    assert ran.out == (
        "Ran experiment 'first': 3 ran\nFile          Metric  Value\nmetrics.json  size    86\n"
    )
    lines = [line for line in ran.err.splitlines() if not line.startswith(">")]
    assert lines == [
        "Running stage 'prepare': not run yet",
        "Running stage 'train': not run yet",
        "Running stage 'evaluate': not run yet",
    ]


def test_a_second_run_runs_nothing_and_names_the_experiment(project: Space) -> None:
    name = project.exp().json["experiment"]
    again = project.exp()
    assert again.json["experiment"] == name
    assert again.json["new"] is False
    assert again.stages == ALL_SAME
    assert project.runs == ["prepare", "train", "evaluate"]


def test_an_equal_result_is_known_without_its_notes_too(project: Space) -> None:
    project.exp("-n", "one")
    project.exp("-n", "two", "-S", "train.lr=2")
    for path in (project.root / ".dodo" / "states").iterdir():
        path.unlink()
    (project.root / ".dodo" / "states").rmdir()
    assert project.exp("-S", "train.lr=0.1").json["experiment"] == "one"
    assert project.exp("-S", "train.lr=2").json["experiment"] == "two"


def test_a_note_about_an_experiment_that_is_gone_is_not_believed(project: Space) -> None:
    project.exp("-n", "one")
    (project.root / ".dodo" / "exps" / "one").unlink()
    assert project.exp("-n", "again").json["new"] is True
    assert project.exp().json["experiment"] == "again"


def test_a_changed_param_reruns_only_the_stages_that_read_it(project: Space) -> None:
    project.exp()
    assert project.exp("-S", "train.lr=0.2").stages == {
        "prepare": "unchanged",
        "train": "ran",
        "evaluate": "ran",
    }


def test_going_back_to_an_earlier_value_runs_nothing(project: Space) -> None:
    first = project.exp().json["experiment"]
    model = project.read("model.txt")
    project.exp("-S", "train.lr=0.2")
    project.forget_runs()
    back = project.exp("-S", "train.lr=0.1")
    assert back.stages == {"prepare": "unchanged", "train": "restored", "evaluate": "restored"}
    assert project.runs == []
    assert project.read("model.txt") == model
    assert back.json["experiment"] == first


def test_set_param_changes_the_bytes_of_the_value_alone(project: Space) -> None:
    project.exp("-S", "train.lr=1e-5", "-S", "train.layers.1=16")
    assert project.read("params.yaml") == PARAMS.replace("0.1", "1.0e-05").replace("32", "16")


def test_a_comma_joins_two_assignments(project: Space) -> None:
    project.exp("-S", "train.lr=0.5,seed=8")
    assert project.read("params.yaml") == PARAMS.replace("0.1", "0.5").replace("7", "8")


def test_an_unknown_key_is_added_with_a_warning(project: Space) -> None:
    ran = project.exp("-S", "train.rl=3")
    assert "warning: 'train.rl' is not in params.yaml: added (did you mean 'train.lr'?)" in ran.err
    assert project.read("params.yaml") == PARAMS.replace("seed", "  rl: 3\nseed")


@pytest.mark.parametrize(
    "text, says",
    [
        ("x", "no '=' in it"),
        ("=1", "no key before '='"),
        ("", "no '=' in it"),
        ("x=[1", "expected ',' or ']' at the end"),
        ("x='u", "the quote ' is not closed"),
        ("x=1,2", "several values for a param are a sweep: 2 experiments"),
        ("/etc/passwd:x=1", "is not a params file of this project"),
        ("nofile.yaml:x=1", "is not a params file of this project"),
        ("seed.x=1", "cannot set seed.x: 7 is not a mapping"),
        ("train.layers.9=1", "there is no item 9 in a list of 2"),
    ],
)
def test_a_bad_set_param_is_refused_before_anything_runs(
    project: Space, text: str, says: str
) -> None:
    before = project.tree()
    ran = project.dodo("exp", "run", "-S", text, code=2)
    assert ran.err.startswith("error: ")
    assert says in ran.err
    assert project.tree() == before


def test_names_are_two_words_or_what_the_user_says(project: Space) -> None:
    assert re.fullmatch(r"[a-z]+-[a-z]+", project.exp().json["experiment"])
    assert project.exp("-n", "mine").json["experiment"] == "mine"


def test_a_taken_name_is_refused_before_anything_runs(project: Space) -> None:
    project.exp("-n", "mine")
    project.forget_runs()
    ran = project.dodo("exp", "run", "-n", "mine", "-S", "train.lr=3", code=2)
    assert ran.err == (
        "error: there is an experiment 'mine' already\nhint: choose another name, or replace"
        " it with --replace\n"
    )
    assert project.runs == []
    assert project.exp("-n", "mine", "-S", "train.lr=3", "--replace").json["new"] is True


def test_force_replaces_the_experiment_of_that_name_and_says_so(project: Space) -> None:
    project.exp("-n", "mine")
    ran = project.exp("-n", "mine", "-f")
    assert "warning: experiment 'mine' will be replaced" in ran.err
    assert set(ran.stages.values()) == {"ran"}


def test_metrics_that_cannot_be_read_are_told(project: Space) -> None:
    project.write("dvc.yaml", project.read("dvc.yaml").replace('echo "{', 'echo "{{'))
    said = "warning: metrics.json:1:2: not valid JSON"
    assert said in project.exp("-n", "one").err
    assert said in project.dodo("exp", "show").err


@pytest.mark.parametrize("name", ["a/b", "../x", "HEAD", "x.lock", "a" * 300, "-", "", "a b"])
def test_a_name_that_is_no_file_name_is_refused(project: Space, name: str) -> None:
    ran = project.dodo("exp", "run", "-n", name, code=2)
    assert "name" in ran.err


def test_dry_says_what_would_happen_and_changes_nothing(project: Space) -> None:
    project.exp()
    project.exp("-S", "train.lr=0.2")
    before = project.tree()
    dry = project.dodo("exp", "run", "--dry", "-S", "train.lr=0.3")
    assert dry.out == (
        "params.yaml would be edited\n"
        "prepare   unchanged\n"
        "train     run        params.yaml:train.lr: 0.2 -> 0.3\n"
        "evaluate  depends    on what train makes\n"
    )
    back = project.dodo("exp", "run", "--dry", "-S", "train.lr=0.1")
    assert back.out == (
        "params.yaml would be edited\n"
        "prepare   unchanged\n"
        "train     restore    params.yaml:train.lr: 0.2 -> 0.1\n"
        "evaluate  restore    model.txt changed\n"
    )
    assert project.tree() == before
    assert len(project.runs) == 5


def test_dry_in_a_fresh_project_makes_no_folder(project: Space) -> None:
    assert "prepare   run        not run yet" in project.dodo("exp", "run", "--dry").out
    assert not project.exists(".dodo")


def test_a_failed_stage_ends_the_run_with_1_and_leaves_its_old_outputs(project: Space) -> None:
    project.exp()
    model = project.read("model.txt")
    broken = project.read("dvc.yaml").replace(
        "cat data.txt params.yaml > model.txt", "echo half > model.txt; exit 1"
    )
    project.write("dvc.yaml", broken)
    ran = project.dodo("exp", "run", code=1)
    assert "error: stage 'train' failed:" in ran.err
    assert "exited with 1" in ran.err
    assert "hint: its output is in .dodo/logs/train.log" in ran.err
    assert "not run because of it: evaluate" in ran.err
    assert project.read("model.txt") == model
    assert project.read(".dodo/partial/train/model.txt") == "half\n"
    assert ran.out == ""


def test_an_experiment_of_a_part_says_what_it_left_out(project: Space) -> None:
    project.exp()
    ran = project.exp("-S", "train.lr=0.7", "train")
    assert "warning: left out of date: evaluate" in ran.err
    assert ran.stages == {"prepare": "unchanged", "train": "ran"}
    shown = project.dodo("exp", "show", "--csv").out.splitlines()
    assert shown[0].startswith("Experiment,rev,typ,Created,parent,State,")
    assert ",partial," in shown[1 + 1]


def test_the_command_sees_the_names_dvc_gives(space: Space) -> None:
    space.write(
        "dvc.yaml",
        """\
        stages:
          tell:
            cmd: echo $DVC_ROOT $DVC_STAGE $DVC_EXP_NAME $DODO_EXP_NAME > told.txt
            deps: [in]
            outs: [told.txt]
        """,
    )
    space.write("in", "x")
    space.exp("-n", "me")
    assert space.read("told.txt") == f"{space.root} tell me me\n"


def test_interactive_asks_before_each_stage_that_would_run(project: Space) -> None:
    ran = project.dodo("exp", "run", "-i", stdin="y\nn\n")
    assert "Going to reproduce stage: 'prepare'... continue? [y/n] " in ran.err
    assert "Going to reproduce stage: 'train'... continue? [y/n] " in ran.err
    assert "evaluate'... continue" not in ran.err
    assert project.runs == ["prepare"]


def test_interactive_a_asks_no_more(project: Space) -> None:
    ran = project.dodo("exp", "run", "-i", stdin="what?\na\n")
    assert ran.err.count("continue? [y/n]") == 2
    assert "y: yes, n: not this one nor what depends on it, a: all, q: stop here" in ran.err
    assert project.runs == ["prepare", "train", "evaluate"]


def test_interactive_q_stops_there_and_takes_the_edit_back(project: Space) -> None:
    project.dodo("exp", "run", "-i", "-S", "train.lr=9", stdin="y\nq\n", code=130)
    assert project.runs == ["prepare"]
    assert project.read("params.yaml") == PARAMS
    assert list(project.store.experiments.names()) == []


def test_declining_everything_keeps_no_experiment(project: Space) -> None:
    ran = project.dodo("exp", "run", "-i", stdin="n\n", code=1)
    assert ran.out == "Nothing has run.\n"
    assert list(project.store.experiments.names()) == []


def test_interactive_without_anybody_to_ask_is_refused(project: Space) -> None:
    ran = project.dodo("exp", "run", "-i", code=2)
    assert "nobody answers" in ran.err
    assert project.runs == []


def test_works_from_an_archive_without_git_on_the_path(project: Space) -> None:
    import sys
    from pathlib import Path

    path = f"{Path(sys.executable).parent}:/bin"
    assert project.dodo("exp", "run", "-n", "x", env={"PATH": path}).out.startswith("Ran")
