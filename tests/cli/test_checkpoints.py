"""Checkpoints, from the outside: every sentence of what is promised of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.cli import trainer
from tests.space import Space, wait_for


@pytest.fixture
def training(space: Space) -> Space:
    """The project that trains ten epochs."""
    trainer.build(space)
    return space


def down_from(name: str, last: int, first: int = 1) -> list[str]:
    """The rows of an experiment: itself, then its steps."""
    return [name, *(f"{name}@{n}" for n in range(last - 1, first - 1, -1))]


def run(space: Space, *args: str, code: int = 0, **env: str) -> str:
    """`dodo exp run`; what it told on both streams."""
    done = space.dodo("exp", "run", *args, code=code, env=env)
    return done.out + done.err


# -- registering from code -------------------------------------------------------------------


def test_each_call_keeps_a_step_that_has_its_name_and_its_own_numbers(training: Space) -> None:
    told = run(training, "-n", "big")
    assert "kept big@1\n" in told and "Kept big@10\n" in told
    assert trainer.steps(training, "big") == down_from("big", 10)
    for number in (1, 4, 9):
        assert trainer.at_step(training, f"big@{number}")["epoch"] == number
        shown = training.dodo("metrics", "show", f"--rev=big@{number}", "--json", code=0)
        assert f'"epoch": {number}' in shown.out
    assert trainer.curve(training, "big@4") == [1, 2, 3, 4]


def test_running_them_is_no_different_than_with_regular_ones(training: Space) -> None:
    done = training.exp("-S", "lr=0.25", "-n", "quarter")
    assert done.stages == {"prepare": "ran", "train": "ran", "evaluate": "ran"}
    assert done.json["experiment"] == "quarter"
    assert trainer.model(training) == {"epoch": 10, "loss": 0.25**10}


@pytest.mark.parametrize(
    "ask",
    [
        "dodo checkpoint",
        "touch $DVC_ROOT/.dvc/tmp/DVC_CHECKPOINT;"
        " while test -e $DVC_ROOT/.dvc/tmp/DVC_CHECKPOINT; do sleep 0.02; done",
    ],
)
def test_any_language_can_ask_for_one(space: Space, ask: str) -> None:
    space.write("train.sh", f"for i in 1 2 3; do echo $i >> model.txt; {ask}; done\n")
    space.write(
        "dvc.yaml",
        """\
        stages:
          train:
            cmd: test $DVC_CHECKPOINT = 1 && sh train.sh
            deps: [train.sh]
            outs: [model.txt: {checkpoint: true}]
        """,
    )
    run(space, "-n", "sh")
    assert trainer.steps(space, "sh") == down_from("sh", 3)
    assert space.dodo("store", "cat", "sh@2:model.txt").out == "1\n2\n"
    assert not space.exists(".dvc")


def test_outside_of_a_run_nothing_is_kept_and_nothing_is_in_the_way(training: Space) -> None:
    done = subprocess.run(
        [sys.executable, "train.py"], cwd=training.root, env=training.env, capture_output=True
    )
    assert done.returncode == 0 and b"kept None" in done.stdout and done.stderr == b""
    by_hand = training.dodo("checkpoint")
    assert by_hand.out == "" and "not in a run: nothing is kept" in by_hand.err


def test_a_stage_without_such_an_output_is_told(training: Space) -> None:
    text = training.read("dvc.yaml").replace("model.json: {checkpoint: true}", "model.json")
    training.write("dvc.yaml", text)
    told = run(training)
    assert "no output of stage 'train' has 'checkpoint: true' in dvc.yaml: nothing is kept" in told
    training.write(
        "dvc.yaml", text.replace("python train.py", "dodo checkpoint && python train.py")
    )
    assert "no output of stage 'train' has 'checkpoint: true'" in run(training)


def test_a_step_is_on_disk_when_the_call_returns(space: Space) -> None:
    trainer.build(space)
    code = """
        import os, signal, json
        from dodo_exp import make_checkpoint
        json.dump({"epoch": 1}, open("model.json", "w"))
        make_checkpoint()
        open("metrics.json", "w").write("{}"); open("curve.csv", "w").write("")
        os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    space.write("train.py", code)
    process = space.start("exp", "run", "-n", "big")
    process.communicate(timeout=30)
    assert trainer.at_step(space, "big") == {"epoch": 1}


def test_a_step_that_changes_nothing_is_the_one_before(space: Space) -> None:
    trainer.build(space, epochs=2)
    text = space.read("train.py").replace(
        'print("kept", make_checkpoint())', 'print("kept", make_checkpoint(), make_checkpoint())'
    )
    space.write("train.py", text)
    assert "kept big@2 big@2" in run(space, "-n", "big")
    assert trainer.steps(space, "big") == down_from("big", 2)


# -- kept whatever happens -------------------------------------------------------------------


def test_an_error_leaves_the_last_step_and_exits_with_1(training: Space) -> None:
    told = run(training, "-n", "big", code=1, FAIL_AT="6")
    assert "kept as 'big' up to its last checkpoint; `dodo exp run` goes on" in told
    assert trainer.steps(training, "big") == down_from("big", 6)
    assert trainer.model(training)["epoch"] == 6
    assert (
        ".dodo/partial/train" in told and training.read(".dodo/partial/train/model.json") == "torn"
    )
    assert "evaluate" not in training.runs
    (failed,) = training.dodo("exp", "show", "--json").json[1]["experiments"]
    assert failed["executor"]["state"] == "failed"
    assert "exited with 3" in failed["revs"][0]["error"]["msg"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_the_last_step_and_says_so(training: Space, number: int, code: int) -> None:
    process = training.start("exp", "run", "-n", "big", "-S", "lr=0.25", env={"STOP_AT": "6"})
    wait_for((training.base / "runs.log.waiting").exists)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert "stopped; kept as 'big' up to checkpoint 6" in err
    assert "`dodo exp run` goes on from there" in err
    assert trainer.steps(training, "big") == down_from("big", 6)
    assert trainer.model(training)["epoch"] == 6
    # Its params stay with it: otherwise going on would be another experiment.
    assert "lr: 0.25" in training.read("params.yaml")
    states = {line.split()[0]: line for line in training.dodo("exp", "list").out.splitlines()}
    assert "Interrupted" in states["big"]
    assert training.exp().json["experiment"] == "big"
    assert trainer.epochs(training) == list(range(1, 11))


def test_stopped_before_the_first_step_is_as_if_it_had_not_begun(training: Space) -> None:
    before = training.tree()
    process = training.start("exp", "run", "-n", "big", "-S", "lr=0.25", env={"STOP_AT": "0"})
    wait_for((training.base / "runs.log.waiting").exists)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and "kept as" not in err
    assert trainer.steps(training, "big") == []
    assert {
        k: v for k, v in training.tree().items() if k not in ("dodo.lock", "data.txt")
    } == before


def test_what_cannot_be_kept_is_said_to_who_asks(space: Space) -> None:
    """The training may go on, or not: that is for it to say."""
    space.write(
        "train.py",
        """\
        import os
        from dodo_exp import CheckpointFailed, make_checkpoint
        os.mkfifo("model.bin")
        try:
            make_checkpoint()
        except CheckpointFailed as error:
            print("told:", error)
        os.unlink("model.bin")
        open("model.bin", "w").close()
        print("then", make_checkpoint())
        """,
    )
    space.write(
        "dvc.yaml",
        "stages: {train: {cmd: python train.py, deps: [train.py],"
        " outs: [{model.bin: {checkpoint: true}}]}}\n",
    )
    told = run(space, "-n", "big")
    assert "told: output 'model.bin': neither a file, a folder nor a link" in told
    assert "then big@1" in told


def test_what_cannot_be_kept_ends_a_stage_that_asks_in_dvcs_way(space: Space) -> None:
    space.write(
        "train.sh",
        "mkfifo model.txt; touch .dvc/tmp/DVC_CHECKPOINT;"
        " while test -e .dvc/tmp/DVC_CHECKPOINT; do sleep 0.02; done; sleep 30",
    )
    space.write(
        "dvc.yaml",
        "stages: {train: {cmd: sh train.sh, deps: [train.sh],"
        " outs: [{model.txt: {checkpoint: true}}]}}\n",
    )
    started = time.monotonic()
    told = run(space, "-n", "big", code=1)
    assert "stage 'train': a checkpoint could not be kept" in told
    assert time.monotonic() - started < 15
    assert trainer.steps(space, "big") == ["big"]  # failed, without a step


# -- the closing step ------------------------------------------------------------------------


def test_a_closing_step_only_where_the_stage_has_gone_on(space: Space) -> None:
    trainer.build(space, epochs=3)
    text = space.read("train.py")
    space.write("train.py", text + 'json.dump({"epoch": 3.5}, open("model.json", "w"))\n')
    space.write("evaluate.py", "open('scores.json', 'w').write('{}')\n")
    run(space, "-n", "more")
    assert trainer.steps(space, "more") == down_from("more", 4)
    assert trainer.at_step(space, "more") == {"epoch": 3.5}
    assert trainer.at_step(space, "more@3")["epoch"] == 3


def test_without_any_call_the_end_is_the_only_step(training: Space) -> None:
    run(training, "-n", "quiet", SILENT="1")
    assert trainer.steps(training, "quiet") == ["quiet"]
    training.write("params.yaml", training.read("params.yaml").replace("10", "12"))
    run(training, "-n", "longer", SILENT="1")
    assert trainer.epochs(training) == list(range(1, 13))


# -- going on --------------------------------------------------------------------------------


def test_the_same_experiment_goes_on_from_its_last_step(training: Space) -> None:
    run(training, "-n", "big", code=1, FAIL_AT="6")
    training.write("model.json", "something else")
    told = run(training)
    assert trainer.epochs(training) == list(range(1, 11))
    assert "that are no step's are kept in .dodo/replaced/train" in told
    assert trainer.steps(training, "big") == down_from("big", 10)
    assert trainer.curve(training) == list(range(1, 11))
    assert training.runs.count("evaluate") == training.runs.count("prepare") == 1


def test_a_finished_one_goes_on_too(training: Space) -> None:
    training.write(
        "train.py",
        training.read("train.py").replace('int(params["epochs"])', "int(os.environ['TO'])"),
    )
    run(training, "-n", "big", TO="3")
    run(training, TO="5")
    assert trainer.epochs(training) == [1, 2, 3, 4, 5]
    assert trainer.steps(training, "big") == down_from("big", 5)
    assert training.runs.count("evaluate") == 2
    again = run(training, TO="5")
    assert "the same result as experiment 'big'" in again
    assert trainer.steps(training, "big") == down_from("big", 5)


def test_missing_outputs_come_back_before_it_goes_on(training: Space) -> None:
    run(training, "-n", "big", code=1, FAIL_AT="6")
    for path in ("model.json", "metrics.json", "curve.csv"):
        training.remove(path)
    run(training)
    assert trainer.epochs(training) == list(range(1, 11))
    assert trainer.curve(training) == list(range(1, 11))


@pytest.mark.parametrize("what", ["params", "code", "input"])
def test_a_change_makes_a_new_experiment_from_there(training: Space, what: str) -> None:
    run(training, "-n", "big", code=1, FAIL_AT="6")
    if what == "code":
        training.write("train.py", training.read("train.py") + "\n")
    elif what == "input":
        training.write("raw.txt", "other\n")
    args = ["-S", "lr=0.25"] if what == "params" else []
    name = training.exp(*args).json["experiment"]
    assert name != "big"
    assert trainer.epochs(training) == list(range(1, 11))
    assert trainer.steps(training, name) == down_from(name, 10, 7)
    assert trainer.steps(training, "big") == down_from("big", 6)
    assert trainer.at_step(training, f"{name}@6") == trainer.at_step(training, "big@6")


def test_another_name_is_another_experiment_from_there(training: Space) -> None:
    run(training, "-n", "big", code=1, FAIL_AT="6")
    run(training, "-n", "other")
    assert trainer.steps(training, "other") == down_from("other", 10, 7)
    assert trainer.steps(training, "big") == down_from("big", 6)


def test_a_name_with_steps_is_not_given_away(training: Space) -> None:
    run(training, "-n", "big", code=1, FAIL_AT="6")
    told = run(training, "-n", "big", "-S", "lr=0.25", code=2)
    assert "there is an experiment 'big' already" in told
    run(training, "-n", "big", "-S", "lr=0.25", "--replace")
    assert trainer.steps(training, "big")[0] == "big"
    assert trainer.model(training)["loss"] == 0.5**6 * 0.25**4
    training.dodo("undo", "--list")


def test_what_comes_after_runs_without_training_again(training: Space) -> None:
    """A param of a later stage is no reason to train, where DVC trained every time."""
    run(training, "-n", "big")
    name = training.exp("-S", "digits=2").json["experiment"]
    assert trainer.epochs(training) == list(range(1, 11))
    assert training.runs.count("evaluate") == 2
    assert name != "big" and json.loads(training.read("scores.json")) == {"accuracy": 1.0}


def test_a_later_stage_that_fails_does_not_cost_the_training(training: Space) -> None:
    training.write("evaluate.py", "import os, sys; sys.exit('EVAL' not in os.environ)\n")
    run(training, "-n", "big", code=1)
    training.write("evaluate.py", trainer.EVALUATE)
    run(training)
    assert trainer.epochs(training) == list(range(1, 11))
    assert json.loads(training.read("scores.json"))["accuracy"] > 0.99


def test_apply_of_an_earlier_step_goes_on_from_there(training: Space) -> None:
    run(training, "-n", "big")
    training.forget_runs()
    done = training.dodo("exp", "apply", "big@4")
    assert "Applied step 'big@4'" in done.out
    assert trainer.model(training)["epoch"] == 4 and not training.exists("scores.json")
    name = training.exp().json["experiment"]
    assert name != "big" and trainer.epochs(training) == [5, 6, 7, 8, 9, 10]
    assert trainer.steps(training, name) == down_from(name, 10, 5)
    assert trainer.steps(training, "big") == down_from("big", 10)


def test_apply_of_the_last_step_goes_on_with_the_experiment(training: Space) -> None:
    run(training, "-n", "big", code=1, FAIL_AT="6")
    run(training, "-n", "other", "--reset", "-S", "lr=0.25")
    training.forget_runs()
    training.dodo("exp", "apply", "big")
    assert training.exp().json["experiment"] == "big"
    assert trainer.epochs(training) == [7, 8, 9, 10]


def test_reset_begins_anew_and_loses_nothing(training: Space) -> None:
    run(training, "-n", "big")
    training.forget_runs()
    name = training.exp("--reset").json["experiment"]
    assert name != "big" and trainer.epochs(training) == list(range(1, 11))
    assert trainer.steps(training, name) == down_from(name, 10)
    assert trainer.steps(training, "big") == down_from("big", 10)


def test_reset_that_fails_at_once_puts_everything_back(training: Space) -> None:
    run(training, "-n", "big")
    before = training.tree()
    run(training, "--reset", code=1, FAIL_AT="0")
    assert training.tree() == before


def test_undo_of_a_run_that_went_on_brings_back_what_was_before(training: Space) -> None:
    run(training, "-n", "big")
    before = training.tree()
    run(training, "-S", "epochs=12", "-n", "longer")
    training.dodo("undo")
    assert training.tree() == before


# -- apart -----------------------------------------------------------------------------------


def test_queueing_begins_anew_unless_told_from_where(training: Space) -> None:
    run(training, "-n", "big", code=1, FAIL_AT="6")
    training.forget_runs()
    run(training, "--queue", "-n", "anew")
    run(training, "--queue", "-n", "on", "--rev", "big@4")
    run(training, "--run-all")
    assert trainer.epochs(training) == [*range(1, 11), *range(5, 11)]
    assert trainer.steps(training, "anew") == down_from("anew", 10)
    assert trainer.steps(training, "on") == down_from("on", 10, 5)
    assert trainer.model(training)["epoch"] == 6


def test_rev_takes_the_steps_own_outputs_whatever_the_workspace_holds(training: Space) -> None:
    run(training, "-n", "big")
    training.write("model.json", '{"epoch": 9, "loss": 77}')
    training.write("train.py", "raise SystemExit(1)")
    before = training.tree()
    training.forget_runs()
    run(training, "--temp", "--rev", "big@6", "-n", "on")
    assert trainer.epochs(training) == [7, 8, 9, 10]
    assert trainer.at_step(training, "on")["loss"] == 0.5**10
    assert training.tree() == before


def test_rev_with_other_params(training: Space) -> None:
    run(training, "-n", "big")
    run(training, "--temp", "--rev", "big@6", "-S", "lr=0.25", "-n", "on")
    assert trainer.at_step(training, "on")["loss"] == 0.5**6 * 0.25**4
    (entry,) = [
        e
        for e in training.dodo("exp", "show", "--json").json[1]["experiments"]
        if e["name"] == "on"
    ]
    assert entry["revs"][0]["data"]["params"]["params.yaml"]["data"]["lr"] == 0.25


def test_temp_goes_on_from_what_the_workspace_holds(training: Space) -> None:
    run(training, "-n", "big", code=1, FAIL_AT="6")
    before = training.tree()
    run(training, "--temp", "-n", "beside")
    assert trainer.epochs(training) == list(range(1, 11))
    assert training.tree() == before
    run(training, "--temp", "--reset", "-n", "anew")
    assert trainer.epochs(training) == [*range(1, 11), *range(1, 11)]


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--rev", "big"], "--rev needs --queue or --temp"),
        (["--queue", "--rev", "nobody"], "no experiment or snapshot 'nobody'"),
        (["--queue", "--rev", "big@99"], "'big' has no step '99'"),
        (["--queue", "--rev", "big@x"], "'big' has no step 'x'"),
        (["--temp", "--rev", "big", "--reset"], "--rev and --reset contradict each other"),
        (["--temp", "--rev", "big", "-C", "x"], "--rev and --copy-paths contradict each other"),
        (["--run-all", "--reset"], "--reset has no meaning"),
    ],
)
def test_what_makes_no_sense_is_refused(space: Space, args: list[str], text: str) -> None:
    trainer.build(space, epochs=1)
    run(space, "-n", "big")
    assert text in run(space, *args, code=2)


def test_a_killed_one_goes_on_when_it_is_tried_again(training: Space) -> None:
    run(training, "--queue", "-n", "big")
    process = training.start("queue", "worker", env={"STOP_AT": "6"})
    wait_for((training.base / "runs.log.waiting").exists)
    training.dodo("queue", "kill", "big")
    process.communicate(timeout=30)
    assert trainer.steps(training, "big") == down_from("big", 6)
    training.dodo("queue", "retry", "big")
    assert trainer.steps(training, "big") == down_from("big", 7)[:1] + down_from("big", 7)[1:]
    run(training, "--run-all")
    assert trainer.epochs(training) == list(range(1, 11))
    assert trainer.steps(training, "big") == down_from("big", 10)
    assert trainer.curve(training, "big") == list(range(1, 11))


def test_a_worker_that_is_told_to_end_puts_it_back_with_its_steps(training: Space) -> None:
    """Preemption: TERM, and a grace period in which the training may keep one more step."""
    text = (
        training.read("train.py")
        .replace(
            "while model",
            "def last(*_):\n    json.dump({**model, 'epoch': 6.5}, open('model.json', 'w'))\n"
            "    time.sleep(1.5)\n    print('last', make_checkpoint())\n    sys.exit(1)\n"
            "signal.signal(signal.SIGTERM, last)\nwhile model",
            1,
        )
        .replace("model = json.load", "model = json.load")
        .replace(
            'int(params["epochs"])', '(int(params["epochs"]) if "STOP_AT" in os.environ else 7)'
        )
    )
    training.write("train.py", text)
    run(training, "--queue", "-n", "big")
    process = training.start("queue", "worker", env={"STOP_AT": "6"})
    wait_for((training.base / "runs.log.waiting").exists)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143
    (job,) = training.dodo("queue", "status", "--json").json["experiments"]
    assert job["state"] == "queued"
    assert trainer.at_step(training, "big@7")["epoch"] == 6.5
    run(training, "--run-all")
    assert training.runs.count("epoch-6") == 1
    assert trainer.at_step(training, "big")["epoch"] == 7.5


def test_a_timeout_with_a_step_puts_it_back_and_without_one_fails(training: Space) -> None:
    text = training.read("dvc.yaml").replace(
        "    cmd: python train.py", "    meta: {dodo: {timeout: 1.5}}\n    cmd: python train.py"
    )
    training.write("dvc.yaml", text)
    run(training, "--queue", "-n", "slices")
    run(training, "--run-all", SLEEP="0.35")
    assert trainer.epochs(training) == list(range(1, 11))
    assert trainer.steps(training, "slices") == down_from("slices", 10)
    log = training.dodo("queue", "logs", "slices").out
    assert "it goes on in its next turn" in log
    run(training, "--queue", "-n", "stuck")
    assert "was ended after its timeout" in run(training, "--run-all", code=1, STOP_AT="0")


def test_a_timeout_in_place_keeps_the_steps(training: Space) -> None:
    text = training.read("dvc.yaml").replace(
        "    cmd: python train.py", "    meta: {dodo: {timeout: 1.5}}\n    cmd: python train.py"
    )
    training.write("dvc.yaml", text)
    told = run(training, "-n", "big", code=1, STOP_AT="6")
    assert "was ended after its timeout" in told and "kept as 'big'" in told
    run(training)
    assert trainer.epochs(training) == list(range(1, 11))


def test_parallel_jobs_of_one_training_each_train_for_themselves(training: Space) -> None:
    """Never run-cached: two that are the same train twice."""
    run(training, "--queue", "-n", "one")
    run(training, "--queue", "-n", "two")
    run(training, "--run-all", "-j", "2")
    assert sorted(trainer.epochs(training)) == sorted([*range(1, 11)] * 2)
    for name in ("one", "two"):
        assert trainer.steps(training, name) == down_from(name, 10)
        assert trainer.curve(training, name) == list(range(1, 11))


# -- groups, repro, and who else reads it -----------------------------------------------------


PAIR = """\
stages:
  train:
    matrix: {k: [a, b]}
    cmd: sh train.sh ${item.k}
    deps: [train.sh]
    outs:
      - m-${item.k}: {checkpoint: true}
"""
"""Two trainings that wait for nobody."""

ALL = """\
  all:
    cmd: cat m-a m-b > all
    deps: [m-a, m-b]
    outs: [all]
"""


def test_groups_keep_steps_of_each_at_the_same_time(space: Space) -> None:
    space.write("train.sh", "for i in 1 2 3; do echo $i >> m-$1; dodo checkpoint; done\n")
    space.write("dvc.yaml", PAIR + ALL)
    run(space, "-n", "both", "-j", "2")
    assert space.read("all") == "1\n2\n3\n1\n2\n3\n"
    assert len(trainer.steps(space, "both")) == 6
    sizes = [
        sum(
            len(space.dodo("store", "cat", f"both@{n}:m-{k}", code=code).out)
            for k, code in (("a", 0), ("b", 0))
        )
        for n in (5, 6)
        for code in (0,)
    ]
    assert sizes == [10, 12]


def test_two_that_ask_in_dvcs_way_at_once_are_told_apart_or_refused(space: Space) -> None:
    ask = (
        "touch .dvc/tmp/DVC_CHECKPOINT; while test -e .dvc/tmp/DVC_CHECKPOINT; do sleep 0.02; done"
    )
    space.write("train.sh", f"for i in 1 2; do echo $i >> m-$1; {ask}; sleep 0.3; done\n")
    text = """\
        stages:
          train:
            foreach: [a, b]
            do:
              cmd: sh train.sh ${item}
              deps: [train.sh]
              outs:
                - m-${item}: {checkpoint: true}
        """
    space.write("dvc.yaml", text)
    told = run(space, "-n", "both", "-j", "2", code=1)
    assert "does not say which of several stages it is for" in told and "mutex" in told
    space.write(
        "dvc.yaml", text.replace("cmd:", "meta: {dodo: {mutex: training}}\n              cmd:")
    )
    run(space, "-n", "turns", "-j", "2", "--reset")
    assert len(trainer.steps(space, "turns")) == 4


def test_repro_goes_on_too_and_keeps_no_experiment(training: Space) -> None:
    told = training.dodo("repro", code=1, env={"FAIL_AT": "6"})
    assert "Kept checkpoint 6" in told.err
    assert trainer.model(training)["epoch"] == 6
    training.dodo("repro")
    assert trainer.epochs(training) == list(range(1, 11))
    assert training.dodo("repro").out == "Data and pipelines are up to date.\n"
    assert training.dodo("exp", "list", "--name-only").out == ""


def test_an_output_that_lies_there_before_the_first_run_is_where_it_begins(training: Space) -> None:
    training.write("model.json", '{"epoch": 8, "loss": 1}')
    run(training, "-n", "warm")
    assert trainer.epochs(training) == [9, 10]
    run(training, "-n", "cold", "--reset")
    assert trainer.epochs(training) == [9, 10, *range(1, 11)]


# -- looking at them -------------------------------------------------------------------------


def test_show_draws_steps_below_their_experiment(space: Space) -> None:
    trainer.build(space, epochs=3)
    run(space, "-n", "big")
    lines = space.dodo("exp", "show").out.splitlines()
    assert [line.split("  ")[0].strip() for line in lines] == [
        "Experiment",
        "workspace",
        "big",
        "├─ big@2",
        "└─ big@1",
    ]
    hidden = space.dodo("exp", "show", "--hide-steps").out
    assert "big@" not in hidden
    rows = space.dodo("exp", "show", "--csv").out.splitlines()
    assert [row.split(",")[2] for row in rows[1:]] == [
        "baseline", "checkpoint_tip", "checkpoint_commit", "checkpoint_base",
    ]  # fmt: skip
    best = space.dodo("exp", "show", "--sort-by", "loss", "--sort-order", "desc", "--csv").out
    assert [row.split(",")[0] for row in best.splitlines()[2:]] == ["big@1", "big@2", "big"]
    first = space.dodo("exp", "show", "--filter", "step == 1", "--csv").out
    assert [row.split(",")[0] for row in first.splitlines()[2:]] == ["big@1"]
    assert len(space.dodo("exp", "show", "-n", "1", "--csv").out.splitlines()) == 5


def test_names_of_steps_are_taken_wherever_something_is_read(space: Space) -> None:
    trainer.build(space, epochs=3)
    run(space, "-n", "big")
    differs = space.dodo("exp", "diff", "big@1", "big@3", "--json").json
    assert differs["metrics"]["metrics.json"]["epoch"] == {"old": 1, "new": 3, "diff": 2}
    assert "model.json" in space.dodo("store", "ls", "big@2").out
    assert space.dodo("store", "cat", "big@2").json["step"] == 2
    space.dodo("exp", "branch", "big@2", "second")
    assert trainer.at_step(space, "second")["epoch"] == 2
    for args in (["rename", "big@2", "x"], ["tag", "x", "big@2"]):
        assert "is a step of 'big'" in space.dodo("exp", *args, code=2).err
    space.dodo("exp", "rename", "big", "huge")
    assert trainer.steps(space, "huge") == down_from("huge", 3)


def test_steps_can_go_and_come_back(training: Space) -> None:
    run(training, "-n", "big")
    training.dodo("exp", "remove", "big@2", "big@3")
    left = ["big", *(f"big@{n}" for n in (9, 8, 7, 6, 5, 4, 1))]
    assert trainer.steps(training, "big") == left
    assert trainer.at_step(training, "big@4")["epoch"] == 4
    training.dodo("undo")
    assert trainer.steps(training, "big") == down_from("big", 10)
    told = training.dodo("gc", "--keep-steps", "3", "--grace", "0", "--json").json
    assert told["removed"]["steps"] == 7 and told["removed"]["files"] > 14
    assert trainer.steps(training, "big") == ["big", "big@9", "big@8"]
    assert trainer.at_step(training, "big@8")["epoch"] == 8
    training.check()


def test_steps_go_along_in_an_export(training: Space) -> None:
    run(training, "-n", "big", code=1, FAIL_AT="6")
    training.dodo("exp", "export", "../big.dodo", "big")
    training.dodo("exp", "remove", "big")
    training.dodo("gc", "--grace", "0")
    training.dodo("exp", "import", "../big.dodo")
    assert trainer.steps(training, "big") == down_from("big", 6)
    training.dodo("exp", "apply", "big@3")
    training.forget_runs()
    training.exp("-n", "on")
    assert trainer.epochs(training) == [4, 5, 6, 7, 8, 9, 10]


def test_collecting_leaves_what_steps_need(training: Space) -> None:
    run(training, "-n", "big", code=1, FAIL_AT="6")
    run(training, "--queue", "--rev", "big@2", "-n", "later")
    training.dodo("exp", "remove", "big")
    training.dodo("gc", "--grace", "0", "--keep-last", "0")
    training.dodo("gc", "--grace", "0")
    training.check()
    run(training, "--run-all")
    assert trainer.at_step(training, "later@1")["epoch"] == 1
    assert trainer.at_step(training, "later")["epoch"] == 10


def test_a_lost_step_is_found_and_the_others_stay(training: Space) -> None:
    run(training, "-n", "big")
    node = training.dodo("store", "ls", "big@4", "--json").json
    (lost,) = [each["id"] for each in node if each["path"] == "model.json"]
    path = training.root / ".dodo/objects" / lost[:2] / lost[2:]
    os.unlink(path)
    report = training.dodo("store", "check", code=5)
    assert lost[2:] in report.out + report.err
    training.dodo("store", "check", "--repair")
    assert trainer.steps(training, "big") == [r for r in down_from("big", 10) if r != "big@4"]
    assert trainer.at_step(training, "big")["epoch"] == 10
    training.dodo("gc", "--grace", "0")


# -- commands that redirect their own output -------------------------------------------------


@pytest.mark.parametrize("meta", ["", "\n    meta: {dodo: {timeout: 50s}}"])
def test_a_command_that_redirects_its_own_output_keeps_steps(space: Space, meta: str) -> None:
    # `exec`: no shell is left that holds the output pipe; zsh does the same without it.
    script = "from dodo_exp import make_checkpoint\n" + "\n".join(
        f"open('m.txt', 'w').write('{n}'); make_checkpoint()" for n in (1, 2, 3)
    )
    space.write("train.py", script)
    space.write(
        "dvc.yaml",
        f"stages:\n  train:\n    cmd: exec {sys.executable} train.py > log.txt 2>&1\n"
        f"    outs: [m.txt: {{checkpoint: true}}]{meta}\n",
    )
    run(space, "-n", "quiet")
    assert trainer.steps(space, "quiet") == down_from("quiet", 3)
    assert space.dodo("store", "cat", "quiet@2:m.txt").out == "2"


def test_a_command_that_closed_its_output_is_stopped_with_its_last_step(space: Space) -> None:
    script = (
        "import time\nfrom dodo_exp import make_checkpoint\n"
        "open('m.txt', 'w').write('1'); make_checkpoint()\n"
        "open('m.txt', 'w').write('torn'); open('waiting', 'w'); time.sleep(60)\n"
    )
    space.write("train.py", script)
    space.write(
        "dvc.yaml",
        f"stages:\n  train:\n    cmd: exec {sys.executable} train.py > log.txt 2>&1\n"
        "    outs: [m.txt: {checkpoint: true}]\n",
    )
    process = space.start("exp", "run", "-n", "stopped")
    wait_for(lambda: space.exists("waiting"))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert space.read("m.txt") == "1"
