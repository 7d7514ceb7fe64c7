"""SIGKILL and signals in the middle of `doit`: finished stages stay finished."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from contextlib import suppress

import pytest

from tests.crash.test_kill import assert_no_process_left
from tests.doing import LOADER, doit, marks, start, states
from tests.space import Space, kill_tree, wait_for

COUNT = 4

PLAIN: tuple[str, ...] = ()
TWO = ("-n", "2")
THREADS = ("-n", "2", "-P", "thread")

BESIDE = """\
from doit.tools import run_once

from dodo_exp.doit import stages

DOIT_CONFIG = {"backend": "dodo"}


def task_pipeline():
    yield from stages(task_dep={"s0": ["hand:2"]})


def task_hand():
    for i in range(3):
        after = [f"hand:{i - 1}"] if i else []
        yield {
            "name": str(i),
            "actions": [f"echo hand{i} >> ../runs.log"],
            "task_dep": after,
            "uptodate": [run_once],
        }
    yield {
        "name": "last",
        "actions": ["echo last >> ../runs.log"],
        "file_dep": ["f4"],
    }
"""
"""hand:0, hand:1, hand:2, then the stages, then hand:last."""


def chain(space: Space, seconds: float = 0.03) -> None:
    """Stages in a row, each of which leaves a line in runs.log; `side` is beside them."""
    lines = ["stages:\n"]
    for i in range(COUNT):
        lines.append(
            f"  s{i}:\n"
            f"    cmd: sleep {seconds}; cat f{i} params.yaml > f{i + 1}; echo s{i} >> ../runs.log\n"
            f"    deps: [f{i}]\n    params: [seed]\n    outs: [f{i + 1}]\n"
        )
    lines.append("  side:\n    cmd: cp f0 aside; echo side >> ../runs.log\n")
    lines.append("    deps: [f0]\n    params: [seed]\n    outs: [aside]\n")
    space.write("dvc.yaml", "".join(lines))
    space.write("params.yaml", "seed: 1\n")
    space.write("f0", "start\n")


@pytest.fixture
def loaded(space: Space) -> Space:
    chain(space)
    space.write("doit.cfg", LOADER)
    return space


@pytest.fixture
def beside(space: Space) -> Space:
    chain(space)
    space.write("dodo.py", BESIDE)
    return space


def hang_in_s2(space: Space) -> None:
    """Let s2 spoil its output and then never end."""
    text = space.read("dvc.yaml")
    slow = "echo half > f3; touch ../up; sleep 300; cat f2 "
    space.write("dvc.yaml", text.replace("sleep 0.03; cat f2 ", slow))


def in_s2(space: Space, how: tuple[str, ...], *, seed: int = 2) -> subprocess.Popen[str]:
    """A run with another seed that has come as far as s2."""
    space.write("params.yaml", f"seed: {seed}\n")
    space.forget_runs()
    process = start(space, *how)
    wait_for((space.base / "up").exists)
    time.sleep(0.1)  # the shell has begun to sleep, and takes a signal
    return process


def go_on(space: Space) -> None:
    """Let s2 be as it was, and finish."""
    space.write("dvc.yaml", space.read("dvc.yaml").replace("sleep 300; ", ""))
    doit(space)
    assert set(marks(doit(space)).values()) == {"--"}
    assert "seed: 2" in space.read("f4")
    space.check()


def end(process: subprocess.Popen[str], space: Space) -> None:
    """Nothing of a test that has failed goes on."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=20)


# -- SIGKILL -------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [PLAIN, TWO])
def test_after_a_kill_finished_stages_stay_and_old_outputs_are_back(
    loaded: Space, how: tuple[str, ...]
) -> None:
    doit(loaded)
    before = loaded.read("f3")
    hang_in_s2(loaded)
    kill_tree(in_s2(loaded, how))
    assert_no_process_left(loaded)
    assert loaded.read("f3") == "half\n"
    found = states(doit(loaded, "list", "-s"))
    assert (found["s0"], found["s1"], found["s2"]) == ("U", "U", "R")
    told = loaded.dodo("status")
    assert "stage 's2' was cut short" in told.err
    assert loaded.read("f3") == before
    go_on(loaded)
    assert [loaded.runs.count(name) for name in ("s0", "s1", "s2", "side")] == [1, 1, 1, 1]


@pytest.mark.parametrize("how", [PLAIN, TWO])
def test_doit_itself_puts_in_order_what_a_killed_doit_left(
    loaded: Space, how: tuple[str, ...]
) -> None:
    doit(loaded)
    hang_in_s2(loaded)
    kill_tree(in_s2(loaded, how))
    assert_no_process_left(loaded)
    go_on(loaded)
    assert [loaded.runs.count(f"s{i}") for i in range(COUNT)] == [1, 1, 1, 1]
    assert loaded.read(".dodo/partial/s2/f3") == "half\n"


def test_a_stage_that_was_killed_in_its_first_run_is_out_of_date(loaded: Space) -> None:
    hang_in_s2(loaded)
    kill_tree(in_s2(loaded, PLAIN))
    assert_no_process_left(loaded)
    assert "s2 -> " not in doit(loaded, "dumpdb").out
    go_on(loaded)


@pytest.mark.parametrize("how", [PLAIN, TWO, THREADS])
def test_tasks_that_had_ended_before_a_kill_do_not_run_again(
    beside: Space, how: tuple[str, ...]
) -> None:
    hang_in_s2(beside)
    process = in_s2(beside, how)
    try:
        # A pool's process outlives doit itself, if only doit is killed.
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=20)
        hands = ["hand0", "hand1", "hand2"]
        assert [name for name in beside.runs if name.startswith("hand")] == hands
        assert_no_process_left(beside)
    finally:
        end(process, beside)
    go_on(beside)
    assert all(beside.runs.count(name) == 1 for name in [*hands, "s0", "s1", "s2", "s3", "last"])


def test_a_killed_pool_ends_with_doit(beside: Space) -> None:
    hang_in_s2(beside)
    process = in_s2(beside, TWO)
    try:
        process.kill()
        process.wait()
        wait_for(lambda: not goes_on(process), 3)
    finally:
        end(process, beside)


def goes_on(process: subprocess.Popen[str]) -> bool:
    """Whether anything of its group is alive."""
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True


def kill_and_go_on(space: Space, how: tuple[str, ...], moment: float) -> None:
    """One round: run, kill after *moment* seconds, look, run again."""
    space.forget_runs()
    space.write("params.yaml", f"seed: {random.randint(10, 10**9)}\n")
    process = start(space, *how)
    time.sleep(moment)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=20)
    assert_no_process_left(space)
    done_then = [name for name in space.runs if name != "side"]
    doit(space, "list", "-s")
    doit(space, *how)
    for name in done_then[:-1]:
        # The last one may have been killed between its command's end and its record.
        assert space.runs.count(name) == 1, f"{name} had finished and ran again"
    assert all(space.runs.count(name) <= 2 for name in space.runs)
    assert set(marks(doit(space)).values()) == {"--"}
    space.check()


@pytest.mark.parametrize("how", [PLAIN, TWO])
def test_a_doit_that_was_killed_at_any_moment_goes_on(loaded: Space, how: tuple[str, ...]) -> None:
    for _ in range(2):
        kill_and_go_on(loaded, how, random.uniform(0.15, 0.9))


@pytest.mark.parametrize("how", [PLAIN, TWO, THREADS])
def test_so_does_one_with_tasks_beside(beside: Space, how: tuple[str, ...]) -> None:
    kill_and_go_on(beside, how, random.uniform(0.15, 0.9))


@pytest.mark.soak
@pytest.mark.parametrize("how", [PLAIN, TWO])
def test_twenty_kills_of_doit(loaded: Space, how: tuple[str, ...]) -> None:
    for _ in range(20):
        kill_and_go_on(loaded, how, random.uniform(0.1, 1.0))


@pytest.mark.soak
@pytest.mark.parametrize("how", [PLAIN, TWO, THREADS])
def test_twenty_kills_with_tasks_beside(beside: Space, how: tuple[str, ...]) -> None:
    for _ in range(20):
        kill_and_go_on(beside, how, random.uniform(0.1, 1.0))


@pytest.mark.parametrize("words", [("clean",), ("forget", "-a"), ("forget", "s1", "s2")])
def test_a_kill_while_something_is_taken_away_leaves_all_in_order(
    loaded: Space, words: tuple[str, ...]
) -> None:
    doit(loaded)
    before = loaded.tree()
    process = start(loaded, *words)
    time.sleep(random.uniform(0.2, 0.45))
    kill_tree(process)
    doit(loaded)
    after = loaded.tree()
    assert after == before
    assert set(marks(doit(loaded)).values()) == {"--"}


# -- signals -------------------------------------------------------------------------------

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def assert_ended_by(process: subprocess.Popen[str], number: signal.Signals, space: Space) -> None:
    """It dies of the signal, says one line, and leaves no process."""
    try:
        process.send_signal(number)
        out, err = process.communicate(timeout=4)
        assert "Traceback" not in out + err, err
        assert err.count("stopped; finished stages are kept") == 1
        assert process.returncode == -number
        assert_no_process_left(space)
    finally:
        end(process, space)


@pytest.mark.parametrize("how", [PLAIN, TWO])
@pytest.mark.parametrize("number", SIGNALS)
def test_doit_dies_of_the_signal_and_keeps_finished_stages(
    loaded: Space, number: signal.Signals, how: tuple[str, ...]
) -> None:
    doit(loaded)
    before = loaded.read("f3")
    hang_in_s2(loaded)
    assert_ended_by(in_s2(loaded, how), number, loaded)
    assert loaded.read("f3") == before
    go_on(loaded)
    assert [loaded.runs.count(f"s{i}") for i in range(COUNT)] == [1, 1, 1, 1]


@pytest.mark.parametrize("number", SIGNALS)
def test_with_tasks_beside_as_well(beside: Space, number: signal.Signals) -> None:
    hang_in_s2(beside)
    assert_ended_by(in_s2(beside, PLAIN), number, beside)
    go_on(beside)
    assert beside.runs.count("s1") == beside.runs.count("hand0") == 1


@pytest.mark.parametrize(
    "number, how",
    [(signal.SIGINT, TWO), *((number, THREADS) for number in SIGNALS)],
)
def test_where_doit_itself_ends_its_pool_stages_are_in_order_all_the_same(
    beside: Space, number: signal.Signals, how: tuple[str, ...]
) -> None:
    hang_in_s2(beside)
    process = in_s2(beside, how)
    try:
        process.send_signal(number)
        process.communicate(timeout=10)  # what it says is doit's own affair
        assert process.returncode not in (0, None)
        assert_no_process_left(beside)
    finally:
        end(process, beside)
    go_on(beside)
    assert beside.runs.count("s1") == beside.runs.count("hand0") == 1


@pytest.mark.parametrize("number, how", [(signal.SIGTERM, TWO), (signal.SIGHUP, TWO)])
def test_with_tasks_beside_and_several_at_a_time(
    beside: Space, number: signal.Signals, how: tuple[str, ...]
) -> None:
    hang_in_s2(beside)
    assert_ended_by(in_s2(beside, how), number, beside)


@pytest.mark.parametrize("gap", [0.0, 0.01, 0.1])
def test_a_second_ctrl_c_leaves_everything_in_order(loaded: Space, gap: float) -> None:
    doit(loaded)
    before = loaded.read("f3")
    hang_in_s2(loaded)
    process = in_s2(loaded, PLAIN)
    process.send_signal(signal.SIGINT)
    time.sleep(gap)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, "Traceback" in err) == (-signal.SIGINT, False)
    assert_no_process_left(loaded)
    loaded.dodo("status")
    assert loaded.read("f3") == before


def any_moment(space: Space, moment: float, number: signal.Signals) -> None:
    """A signal at *moment*, from the time on that our part has begun, ends it the same way."""
    space.write("params.yaml", f"seed: {random.randint(10, 10**9)}\n")
    space.forget_runs()
    process = start(space)
    wait_for(lambda: bool(space.runs))
    time.sleep(moment)
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert "Traceback" not in err, err
    assert process.returncode in (0, -number)
    assert_no_process_left(space)
    done = space.runs
    doit(space)
    assert all(space.runs.count(name) == 1 for name in done[:-1])
    assert set(marks(doit(space)).values()) == {"--"}


def test_a_signal_between_stages_is_the_same(loaded: Space) -> None:
    for number in SIGNALS:
        any_moment(loaded, random.uniform(0.0, 0.25), number)


@pytest.mark.soak
@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("part", range(4))
def test_signals_between_stages_many_times(
    loaded: Space, number: signal.Signals, part: int
) -> None:
    for _ in range(10):
        any_moment(loaded, random.uniform(0.0, 0.3), number)
