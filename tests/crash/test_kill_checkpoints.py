"""Training that is killed at its sixth epoch, in every way, and run again: ten epochs in all."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli import trainer
from tests.crash.test_kill_queue import tagged
from tests.space import Space, wait_for

WAYS = ("script", "dodo", "tree", "queue")
"""Who is killed: the training, the command, both with all that watches them, or a worker."""


def kill(space: Space, process: subprocess.Popen[str], way: str) -> None:
    """SIGKILL, and wait until nothing is left that could write."""
    ours = [process.pid, *children(process.pid)]
    if way == "script":
        for pid in tagged(space):
            end(pid)
    elif way == "tree":
        for pid in {*ours, *tagged(space)}:
            end(pid)
    else:
        end(process.pid)
    process.communicate(timeout=30)
    wait_for(lambda: not tagged(space))


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    try:
        return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def end(pid: int) -> None:
    """SIGKILL a process that may be gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def one_round(space: Space, way: str) -> None:
    """Kill it in the middle of the seventh epoch, with a model that is written half."""
    command = ["queue", "worker"] if way == "queue" else ["exp", "run", "-n", "big"]
    if way == "queue":
        space.dodo("exp", "run", "--queue", "-n", "big")
    process = space.start(*command, env={"STOP_AT": "6"})
    wait_for((space.base / "runs.log.waiting").exists)
    kill(space, process, way)
    assert trainer.at_step(space, "big@6")["epoch"] == 6
    (last,) = space.dodo("exp", "list", "--json").json
    assert last["name"] == "big"
    space.dodo("exp", "run", "--run-all") if way == "queue" else space.dodo("exp", "run")
    assert trainer.epochs(space) == list(range(1, 11))
    assert trainer.curve(space, "big") == list(range(1, 11))
    assert trainer.steps(space, "big") == ["big", *(f"big@{n}" for n in range(9, 0, -1))]
    assert space.runs.count("evaluate") == 1
    space.check()


@pytest.mark.parametrize("way", WAYS)
def test_killed_at_the_sixth_epoch_and_run_again(space: Space, way: str) -> None:
    trainer.build(space)
    one_round(space, way)


@pytest.mark.soak
@pytest.mark.parametrize("number", range(50))
def test_fifty_rounds(space: Space, number: int) -> None:
    trainer.build(space)
    one_round(space, WAYS[number % len(WAYS)])


@pytest.mark.parametrize("delay", range(6))
def test_killed_at_any_moment_no_kept_epoch_runs_twice(space: Space, delay: int) -> None:
    """What make_checkpoint has returned for is never trained again; nothing else is lost either."""
    trainer.build(space)
    text = space.read("train.py")
    log = space.base / "kept.log"
    told = f'make_checkpoint(); print(model["epoch"], file=open("{log}", "a"))'
    space.write("train.py", text.replace('print("kept", make_checkpoint())', told))
    for turn in range(20):
        process = space.start("exp", "run", "-n", "big", env={"SLEEP": "0.01"})
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.25 + 0.07 * delay + 0.031 * turn)
        kill(space, process, "tree" if turn % 2 else "dodo")
        if process.returncode == 0:
            break
    else:
        space.dodo("exp", "run", "-n", "big")
    kept = [int(word) for word in log.read_text().split()]
    assert kept == sorted(set(kept))
    ran = trainer.epochs(space)
    # An epoch that was run twice is one whose step was not kept when the kill came.
    assert ran == sorted(ran) and set(ran) == set(range(1, 11))
    assert trainer.curve(space) == list(range(1, 11))
    assert trainer.steps(space, "big")[0] == "big"
    space.check()


def test_who_asks_is_told_that_the_run_was_killed(space: Space) -> None:
    """Even where all that would end the training was killed before it asked."""
    trainer.build(space)
    text = space.read("train.py")
    told = f'print("kept", make_checkpoint(), file=open("{space.base}/told", "a"))'
    pause = 'time.sleep(float(os.environ.get("PAUSE", 0)))'
    asked = f"{pause}\n        {told}"
    space.write("train.py", text.replace('print("kept", make_checkpoint())', asked))
    process = space.start("exp", "run", "-n", "big", env={"PAUSE": "1"})
    wait_for(lambda: (space.base / "told").exists())
    training = [
        pid for pid in tagged(space) if b"train.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    for pid in {process.pid, *children(process.pid)} - set(training):
        end(pid)
    process.communicate(timeout=30)
    wait_for(lambda: not tagged(space))
    assert trainer.steps(space, "big")[0] == "big"
    space.dodo("exp", "run")
    assert trainer.epochs(space)[-1] == 10
