"""A run in the workspace that fails: what is kept of it, and what the tables say afterwards."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from tests.space import Space, wait_for

TRAINING = """\
stages:
  prepare:
    cmd: cat raw.txt > data.txt
    deps: [raw.txt]
    outs: [data.txt]
  train:
    cmd: sh train.sh
    deps: [data.txt, train.sh]
    params: [lr]
    outs: [model.txt]
    metrics: [metrics.json: {cache: false}]
"""
TRAIN = """\
echo half > model.txt
grep -q 'lr: 0.9' params.yaml && exit 3
cat params.yaml > model.txt
echo '{"acc": 0.75}' > metrics.json
"""


@pytest.fixture
def trained(space: Space) -> Space:
    """A project with the experiment `good`; a run with lr=0.9 fails."""
    space.write("dvc.yaml", TRAINING)
    space.write("train.sh", TRAIN)
    space.write("params.yaml", "lr: 0.1\n")
    space.write("raw.txt", "raw\n")
    space.exp("-n", "good")
    return space


def rows(space: Space) -> dict[str, Any]:
    """Experiments by name, as `exp show --json` has them."""
    project = space.dodo("exp", "show", "--json").json[1]
    return {entry["name"]: entry for entry in project["experiments"] or []}


def jobs(space: Space) -> dict[str, str]:
    """States of the queue by name."""
    status = space.dodo("queue", "status", "--json").json
    return {each["name"]: each["state"] for each in status["experiments"]}


def test_a_failed_run_is_an_experiment_like_a_failed_one_of_the_queue(trained: Space) -> None:
    ran = trained.exp("-n", "bad", "-S", "lr=0.9", code=1)
    assert ran.json["experiment"] is None
    assert ran.json["failed"] == "bad"
    entry = rows(trained)["bad"]
    assert entry["executor"]["state"] == "failed"
    assert "exited with 3" in entry["revs"][0]["error"]["msg"]
    assert entry["revs"][0]["data"]["params"]["params.yaml"]["data"] == {"lr": 0.9}
    assert entry["revs"][0]["data"]["metrics"] == {}
    assert entry["revs"][0]["data"]["meta"]["parent"] == "good"
    assert jobs(trained) == {"bad": "failed"}
    assert "exited with 3" in trained.dodo("queue", "logs", "bad").out
    trained.check()


def test_the_message_says_where_it_is_kept_and_that_the_params_stay(trained: Space) -> None:
    ran = trained.dodo("exp", "run", "-n", "bad", "-S", "lr=0.9", code=1)
    assert "kept as failed experiment 'bad'; `dodo exp remove bad` removes it\n" in ran.err
    assert "the values of -S stay in params.yaml; `dodo undo` takes them back\n" in ran.err
    assert trained.read("params.yaml") == "lr: 0.9\n"
    trained.dodo("undo")
    assert trained.read("params.yaml") == "lr: 0.1\n"
    trained.write("params.yaml", "lr: 0.9\n")
    ran = trained.dodo("exp", "run", "-n", "by-hand", code=1)
    assert "the values of -S" not in ran.err


def test_what_was_not_made_is_not_in_the_failed_experiment(trained: Space) -> None:
    trained.exp("-n", "bad", "-S", "lr=0.9", code=1)
    files = trained.dodo("store", "ls", "bad").out
    assert "data.txt" in files
    assert "model.txt" not in files
    assert trained.read("model.txt") == "lr: 0.1\n"


def test_the_workspace_still_comes_from_the_last_good_experiment(trained: Space) -> None:
    trained.exp("-S", "lr=0.9", code=1)
    trained.exp("-n", "better", "-S", "lr=0.2")
    assert rows(trained)["better"]["revs"][0]["data"]["meta"]["parent"] == "good"


def test_a_retry_runs_it_again_from_where_it_began(trained: Space) -> None:
    trained.write("train.sh", TRAIN.replace("exit 3", f"test ! -e {trained.base}/mended && exit 3"))
    trained.exp("-n", "bad", "-m", "a note", "-S", "lr=0.9", code=1)
    trained.dodo("undo")
    (trained.base / "mended").touch()
    trained.dodo("queue", "retry", "--failed")
    assert jobs(trained) == {"bad": "queued"}
    trained.dodo("exp", "run", "--run-all")
    entry = rows(trained)["bad"]
    assert entry["executor"] is None
    (data,) = (each["data"] for each in entry["revs"])
    assert data["params"]["params.yaml"]["data"] == {"lr": 0.9}
    assert data["metrics"]["metrics.json"]["data"] == {"acc": 0.75}
    assert data["meta"]["message"] == "a note"
    assert trained.read("params.yaml") == "lr: 0.1\n"
    trained.check()


def test_failed_runs_are_removed_by_name_and_all_at_once(trained: Space) -> None:
    trained.exp("-n", "one", "-S", "lr=0.9", code=1)
    trained.exp("-n", "two", code=1)
    trained.exp("-n", "good", "--replace", code=1)
    assert len(rows(trained)) == 4
    assert rows(trained)["good"]["executor"] is None, "a failure never replaces a good result"
    trained.dodo("exp", "remove", "one")
    assert sorted(jobs(trained)) == ["good", "two"]
    trained.dodo("queue", "remove", "--failed")
    assert list(rows(trained)) == ["good"]
    assert jobs(trained) == {}
    trained.check()


def test_its_name_can_be_used_again(trained: Space) -> None:
    trained.exp("-n", "bad", "-S", "lr=0.9", code=1)
    assert trained.exp("-n", "bad", "-S", "lr=0.3").json["experiment"] == "bad"
    assert rows(trained)["bad"]["executor"] is None


def test_gc_keeps_what_a_retry_needs(trained: Space) -> None:
    trained.exp("-n", "bad", "-S", "lr=0.9", code=1)
    trained.dodo("gc", "--grace", "0")
    trained.check()
    assert "lr: 0.9" in trained.dodo("store", "cat", "bad:params.yaml").out


def test_repro_and_a_refused_run_make_no_experiment(trained: Space) -> None:
    trained.write("params.yaml", "lr: 0.9\n")
    trained.repro(code=1)
    trained.remove("raw.txt")
    trained.dodo("exp", "run", "-S", "lr=0.8", code=2)
    assert trained.read("params.yaml") == "lr: 0.9\n"
    assert list(rows(trained)) == ["good"]
    assert jobs(trained) == {}


def test_ctrl_c_is_no_failure(trained: Space) -> None:
    trained.write("train.sh", "echo begun > ../begun\nsleep 60\n")
    process = trained.start("exp", "run", "-n", "stopped", "-S", "lr=0.5")
    wait_for((trained.base / "begun").exists)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130
    assert list(rows(trained)) == ["good"]
    assert jobs(trained) == {}
    assert trained.read("params.yaml") == "lr: 0.1\n"


def test_python_keeps_it_too(trained: Space) -> None:
    from dodo_exp import api
    from dodo_exp.errors import StageFailed

    with pytest.raises(StageFailed):
        api.run({"lr": 0.9}, name="bad", project=trained.root)
    (row,) = api.exp_show(names=["bad"], project=trained.root)
    assert (row["State"], row["lr"], row["acc"]) == ("Failed", 0.9, None)


def test_a_running_experiment_is_said_to_run(trained: Space) -> None:
    trained.write("train.sh", "echo begun > ../begun\nsleep 60\n")
    process = trained.start("exp", "run", "-n", "going", "-S", "lr=0.5")
    try:
        wait_for((trained.base / "begun").exists)
        assert trained.dodo("exp", "apply", "going", code=2).err == (
            "error: experiment 'going' is running and has no result yet\n"
            "hint: `dodo queue logs -f going` follows it until it is over\n"
        )
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
