"""`dodo exp show`."""

from __future__ import annotations

import csv
import io
import re

from tests.space import Space


def two_experiments(space: Space) -> None:
    """`one` with a rate of 0.1 and `two` with 0.25."""
    space.exp("-n", "one")
    space.exp("-n", "two", "-S", "train.lr=0.25", "-m", "faster")


def without_times(text: str) -> str:
    """Times of day as one word."""
    return re.sub(r"\d\d:\d\d:\d\d", "HH:MM:SS", text)


def test_the_workspace_and_the_experiments_newest_first(project: Space) -> None:
    two_experiments(project)
    assert without_times(project.dodo("exp", "show").out) == (
        "Experiment  Created   size  train.lr  train.layers  seed\n"
        "workspace   -           87      0.25  [64, 32]         7\n"
        "two         HH:MM:SS    87      0.25  [64, 32]         7\n"
        "one         HH:MM:SS    86       0.1  [64, 32]         7\n"
    )


def test_a_narrow_terminal_loses_what_does_not_vary_first(project: Space) -> None:
    two_experiments(project)
    narrow = project.dodo("exp", "show", env={"COLUMNS": "44"}).out
    assert without_times(narrow) == (
        "Experiment  Created   size  train.lr  seed\n"
        "workspace   -           87      0.25     7\n"
        "two         HH:MM:SS    87      0.25     7\n"
        "one         HH:MM:SS    86       0.1     7\n"
        "\n"
        "the same in every row: train.layers [64, 32]\n"
    )


def test_csv_has_every_digit_and_the_whole_moment(project: Space) -> None:
    project.exp("-n", "one", "-S", "train.lr=0.12345678901")
    rows = list(csv.DictReader(io.StringIO(project.dodo("exp", "show", "--csv").out)))
    assert rows[1]["train.lr"] == "0.12345678901"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", rows[1]["Created"])
    assert rows[0]["Created"] == ""


def test_markdown(project: Space) -> None:
    project.exp("-n", "one")
    assert without_times(project.dodo("exp", "show", "--md").out) == (
        "| Experiment | Created | size | train.lr | train.layers | seed |\n"
        "| --- | --- | ---: | ---: | --- | ---: |\n"
        "| workspace | - | 86 | 0.1 | [64, 32] | 7 |\n"
        "| one | HH:MM:SS | 86 | 0.1 | [64, 32] | 7 |\n"
    )


def test_json_has_the_shape_of_dvcs_and_no_nan(project: Space) -> None:
    project.write("params.yaml", "train: {lr: .nan}\n")
    project.exp("-n", "one", "-m", "a note")
    workspace, baseline = project.dodo("exp", "show", "--json").json
    assert workspace["rev"] == "workspace"
    assert workspace["data"]["params"]["params.yaml"] == {"data": {"train": {"lr": None}}}
    (experiment,) = baseline["experiments"]
    assert experiment["name"] == "one"
    (revision,) = experiment["revs"]
    assert revision["data"]["metrics"]["metrics.json"]["data"] == {"size": 22}
    assert revision["data"]["meta"]["message"] == "a note"
    assert revision["error"] is None


def test_before_the_first_run_there_is_the_workspace(project: Space) -> None:
    assert project.dodo("exp", "show").out == (
        "Experiment  Created  train.lr  train.layers  seed\n"
        "workspace   -             0.1  [64, 32]         7\n"
    )
    assert not project.exists(".dodo")


def test_the_same_name_in_two_files_is_told_apart(space: Space) -> None:
    stage = (
        "  {0}:\n    cmd: echo '{{\"acc\":{1}}}' > {0}.json\n"
        "    deps: [in]\n    metrics: [{0}.json]\n"
    )
    space.write("dvc.yaml", "stages:\n" + stage.format("a", 1) + stage.format("b", 2))
    space.write("in", "x")
    space.exp()
    header, *_ = space.dodo("exp", "show").out.splitlines()
    assert header.split() == ["Experiment", "Created", "a.json:acc", "b.json:acc"]


def test_a_broken_metrics_file_does_not_hide_the_rest(project: Space) -> None:
    broken = project.read("dvc.yaml").replace('echo "{', 'echo "{{')
    project.write("dvc.yaml", broken)
    project.exp("-n", "one")
    _, baseline = project.dodo("exp", "show", "--json").json
    metrics = baseline["experiments"][0]["revs"][0]["data"]["metrics"]
    assert "not valid JSON" in metrics["metrics.json"]["error"]


def test_without_its_index_the_table_is_the_same(project: Space) -> None:
    two_experiments(project)
    project.dodo("exp", "show")
    before = project.dodo("exp", "show", "--json").json
    (project.root / ".dodo" / "index").unlink(missing_ok=True)
    assert project.dodo("exp", "show", "--json").json == before


def test_a_damaged_ref_is_named_and_the_others_are_shown(project: Space) -> None:
    two_experiments(project)
    ref = project.root / ".dodo" / "exps" / "one"
    whole = ref.read_bytes()
    ref.write_bytes(whole[:20])
    shown = project.dodo("exp", "show")
    assert "warning: one: unreadable: not a ref" in shown.err
    assert "two " in shown.out
    ref.write_bytes(whole)


def test_output_that_nobody_reads_is_no_failure_worth_a_word(project: Space) -> None:
    import subprocess
    import sys

    project.exp()
    done = subprocess.run(
        f"{sys.executable} -m dodo_exp exp show | true; exit ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        cwd=project.root,
        env=project.env,
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 141)
    assert done.stderr == ""


def test_an_experiment_that_was_ended_says_by_whom(space: Space) -> None:
    import signal
    import time

    space.write("dvc.yaml", "stages: {a: {cmd: 'touch begun; sleep 30', params: [lr]}}\n")
    space.write("params.yaml", "lr: 1\n")
    space.dodo("exp", "run", "--queue", "-n", "killed", "-S", "lr=2")
    space.dodo("queue", "start", "--detach")
    temp = space.start("exp", "run", "--temp", "-n", "left", "-S", "lr=3")
    until = time.monotonic() + 30
    while len(list(space.root.glob(".dodo/workspaces/*/project/begun"))) < 2:
        assert time.monotonic() < until
        time.sleep(0.05)
    space.dodo("queue", "kill", "killed")
    temp.send_signal(signal.SIGINT)
    temp.communicate(timeout=30)
    while "Running" in (shown := space.dodo("exp", "show", "--csv").out):
        assert time.monotonic() < until
        time.sleep(0.05)
    rows = {row["Experiment"]: row["State"] for row in csv.DictReader(io.StringIO(shown))}
    assert rows == {"": "", "killed": "Killed", "left": "Interrupted"}
    ended = space.dodo("exp", "show", "--filter", "state == killed", "--csv").out
    assert "\nkilled," in ended
    assert "\nleft," not in ended
