"""What DVC's page "Running Experiments" says of checkpoint experiments, sentence by sentence.

https://doc.dvc.org/user-guide/experiment-management/running-experiments, as of DVC 2.58.
"""

from __future__ import annotations

import signal

import pytest

from tests.cli import trainer
from tests.cli.test_checkpoints import down_from, run
from tests.space import Space, wait_for


@pytest.fixture
def training(space: Space) -> Space:
    """The project that trains ten epochs."""
    trainer.build(space)
    return space


def test_to_track_successive_steps_you_can_register_checkpoints_from_your_code(
    training: Space,
) -> None:
    run(training, "-n", "deep")
    assert trainer.steps(training, "deep") == down_from("deep", 10)


def test_running_experiments_with_checkpoints_is_no_different(training: Space) -> None:
    """`exp run -S param=value`"""
    run(training, "-S", "lr=0.25")
    assert trainer.model(training)["loss"] == 0.25**10


@pytest.mark.parametrize("by", ["Ctrl+C", "an error"])
def test_all_checkpoints_registered_at_runtime_are_preserved_if_interrupted(
    training: Space, by: str
) -> None:
    if by == "an error":
        run(training, "-n", "deep", code=1, FAIL_AT="6")
    else:
        process = training.start("exp", "run", "-n", "deep", env={"STOP_AT": "6"})
        wait_for((training.base / "runs.log.waiting").exists)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    for number in range(1, 7):
        assert trainer.at_step(training, f"deep@{number}")["epoch"] == number


def test_without_interruption_a_wrap_up_checkpoint_is_added_if_needed(training: Space) -> None:
    """So that changes to pipeline outputs do not remain in the workspace alone."""
    text = training.read("train.py") + 'json.dump({"epoch": 0, "loss": 7}, open("model.json", "w"))'
    training.write("train.py", text)
    run(training, "-n", "needed")
    assert trainer.steps(training, "needed") == down_from("needed", 11)
    assert trainer.at_step(training, "needed") == trainer.model(training)
    trainer.build(training)
    run(training, "-n", "not", "--reset")
    assert trainer.steps(training, "not") == down_from("not", 10)


def test_subsequent_uses_continue_from_the_latest_with_cached_versions_of_all_outputs(
    training: Space,
) -> None:
    run(training, "-n", "deep", code=1, FAIL_AT="6")
    for path in ("model.json", "metrics.json", "curve.csv"):
        training.remove(path)
    run(training)
    assert trainer.epochs(training) == trainer.curve(training) == list(range(1, 11))


def test_to_resume_from_a_previous_one_you_list_apply_and_run(training: Space) -> None:
    run(training, "-n", "deep")
    assert "deep@4" in training.dodo("exp", "show").out
    training.dodo("exp", "apply", "deep@4")
    training.forget_runs()
    run(training)
    assert trainer.epochs(training) == [5, 6, 7, 8, 9, 10]


@pytest.mark.parametrize("how", ["--queue", "--temp"])
def test_for_queue_or_temp_runs_rev_specifies_the_checkpoint(training: Space, how: str) -> None:
    run(training, "-n", "deep")
    training.forget_runs()
    run(training, how, "--rev", "deep@4", "-n", "on")
    if how == "--queue":
        run(training, "--run-all")
    assert trainer.epochs(training) == [5, 6, 7, 8, 9, 10]


def test_reset_starts_over(training: Space) -> None:
    """It discards no checkpoint but from where the training begins: nothing is lost."""
    run(training, "-n", "deep")
    training.forget_runs()
    run(training, "--reset", "-n", "over")
    assert trainer.epochs(training) == list(range(1, 11))
    assert trainer.steps(training, "deep") == down_from("deep", 10)


def test_queuing_implies_reset_unless_a_rev_is_provided(training: Space) -> None:
    run(training, "-n", "deep", code=1, FAIL_AT="6")
    training.forget_runs()
    run(training, "--queue", "-n", "over")
    run(training, "--run-all")
    assert trainer.epochs(training) == list(range(1, 11))
    run(training, "--queue", "--rev", "deep", "-n", "on")
    training.forget_runs()
    run(training, "--run-all")
    assert trainer.epochs(training) == [7, 8, 9, 10]
