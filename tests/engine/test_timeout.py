"""A stage that has a timeout ends by then, all of it; and what stages used is told as it was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.space import Ran, Space, wait_for

SOON = 25
"""Seconds: longer than ending takes on a busy machine, shorter than the commands that are ended."""


def stage(space: Space, cmd: str | list[str], timeout: Any = "1s") -> None:
    """A project of one stage, and of one that follows it."""
    first = {"cmd": cmd, "outs": ["out"], "meta": {"dodo": {"timeout": timeout}}}
    second = {"cmd": "touch after", "deps": ["out"], "outs": ["after"]}
    space.write("dvc.yaml", json.dumps({"stages": {"a": first, "b": second}}))


def ended(space: Space, *args: str) -> tuple[Ran, float]:
    """Run it; it must fail, and for its time; how long it took."""
    begun = time.monotonic()
    ran = space.repro(*args, code=1)
    took = time.monotonic() - begun
    assert "stage 'a' was ended after its timeout of 1 s" in ran.err
    assert ran.stages["a"] == "failed"
    assert not space.exists("after")
    return ran, took


def timed_without_its_output(space: Space, code: int) -> float:
    """Run it and read nothing: hundreds of megabytes take longer than the stage.

    Returns:
        Seconds.
    """
    program = [sys.executable, "-m", "dodo_exp", "repro"]
    begun = time.monotonic()
    ran = subprocess.run(
        program, cwd=space.root, env=space.env, stderr=subprocess.DEVNULL, timeout=120
    )
    assert ran.returncode == code
    return time.monotonic() - begun


def is_alive(pid: str) -> bool:
    """Whether there is such a process that is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def gone(path: Path) -> None:
    """The process that left its number there is no more; if it is, the test ends it."""
    pid = path.read_text().strip()
    try:
        wait_for(lambda: not is_alive(pid), 2)
    finally:
        if is_alive(pid):
            os.kill(int(pid), signal.SIGKILL)


def test_a_stage_ends_with_its_time_and_says_so(space: Space) -> None:
    stage(space, "echo begun; sleep 60; touch out")
    ran, took = ended(space)
    assert 1 <= took < SOON
    assert "begun" in space.read(".dodo/logs/a.log")
    assert "its output is in .dodo/logs/a.log" in ran.err


def test_what_it_started_ends_with_it(space: Space) -> None:
    child = f"sh -c 'echo $$ > {space.base}/child; sleep 60; true'"
    stage(space, f"{child} & {child.replace('/child', '/other')}; touch out")
    ended(space)
    gone(space.base / "child")
    gone(space.base / "other")


def test_a_child_that_does_not_listen_ends_as_well(space: Space) -> None:
    stubborn = f"sh -c 'trap : TERM; echo $$ > {space.base}/child; for i in $(seq 40); do sleep 1;"
    stage(space, f"{stubborn} done' > /dev/null 2>&1 & sleep 60; touch out")
    space.write("dodo.toml", '[run]\ngrace = "1s"\n')
    ended(space)
    gone(space.base / "child")


def test_a_child_in_a_session_of_its_own_ends_as_well(space: Space) -> None:
    away = f"setsid sh -c 'echo $$ > {space.base}/child; exec sleep 40'"
    stage(space, f"{away} > /dev/null 2>&1 & sleep 60; touch out")
    ended(space)
    gone(space.base / "child")


def test_a_stage_may_tidy_up_when_it_is_asked_to_end(space: Space) -> None:
    body = f"trap 'touch {space.base}/tidy; exit 0' TERM; sleep 60 & wait; touch out"
    stage(space, body)
    ended(space)
    assert (space.base / "tidy").exists()


@pytest.mark.soak
def test_a_stage_that_does_not_listen_is_killed(space: Space) -> None:
    stage(space, f"trap '' TERM; echo $$ > {space.base}/child; sleep 40; sleep 40; touch out")
    _, took = ended(space)
    assert 11 <= took < 11 + SOON
    gone(space.base / "child")


def test_a_stage_that_says_much_is_timed_too(space: Space) -> None:
    stage(space, "yes; touch out")
    assert timed_without_its_output(space, code=1) < SOON
    assert not space.exists("out")


CHATTER = "timeout -s KILL 60 yes"
"""Writes all the time, and leaves the process group of its stage."""


@pytest.mark.parametrize(
    "cmd, timeout, code",
    [
        (f"{CHATTER} & sleep 0.2; touch out", None, 0),
        (f"{CHATTER} & sleep 0.2; touch out", "30s", 0),
        (f"{CHATTER}; touch out", "1s", 1),
    ],
    ids=["behind a stage", "behind a stage with a timeout", "late"],
)
def test_output_that_does_not_stop_keeps_no_stage_from_ending(
    space: Space, cmd: str, timeout: str | None, code: int
) -> None:
    meta = {"dodo": {"timeout": timeout}} if timeout else {}
    made = {"cmd": cmd, "outs": ["out"], "meta": meta}
    space.write("dvc.yaml", json.dumps({"stages": {"a": made}}))
    assert timed_without_its_output(space, code) < SOON


@pytest.mark.parametrize("closes", ["exec >&- 2>&-", "exec > /dev/null 2>&1"])
def test_a_stage_that_closes_its_output_is_timed_too(space: Space, closes: str) -> None:
    stage(space, f"{closes}; sleep 60; touch out")
    _, took = ended(space)
    assert 1 <= took < SOON


def test_a_stage_that_closes_its_output_and_is_in_time_is_right(space: Space) -> None:
    stage(space, "exec >&- 2>&-; sleep 0.2; touch out", "30s")
    assert space.repro().stages == {"a": "ran", "b": "ran"}


@pytest.mark.parametrize("timeout", ["30s", 30, 29.5, "1m", "0.01h", "2d"])
def test_a_stage_within_its_time_passes(space: Space, timeout: Any) -> None:
    stage(space, "sleep 0.1; touch out", timeout)
    assert space.repro().stages == {"a": "ran", "b": "ran"}


def test_the_time_is_for_all_commands_of_a_stage(space: Space) -> None:
    stage(space, ["sleep 0.7", "sleep 0.7; touch ../late", "touch out"])
    _, took = ended(space)
    assert took < SOON
    assert not (space.base / "late").exists()


def test_a_stage_that_fails_in_time_has_failed_of_itself(space: Space) -> None:
    stage(space, "exit 3")
    ran = space.repro(code=1)
    assert "exited with 3" in ran.err
    assert "timeout" not in ran.err


def test_others_go_on_when_one_is_late(space: Space) -> None:
    late = {"cmd": "sleep 60", "outs": ["x"], "meta": {"dodo": {"timeout": 1}}}
    slow = {"cmd": "sleep 1.5; touch y", "outs": ["y"]}
    space.write("dvc.yaml", json.dumps({"stages": {"late": late, "slow": slow}}))
    ran = space.repro("-j", "2", "-k", code=1)
    assert ran.stages == {"late": "failed", "slow": "ran"}


def test_time_that_a_stage_waits_for_a_resource_is_not_its_own(space: Space) -> None:
    needs = {"timeout": "1s", "mutex": "db"}
    made = {
        name: {"cmd": f"sleep 0.6; touch {name}", "outs": [name], "meta": {"dodo": needs}}
        for name in ("a", "b", "c")
    }
    space.write("dvc.yaml", json.dumps({"stages": made}))
    assert set(space.repro("-j", "3").stages.values()) == {"ran"}


def test_a_late_experiment_has_failed_in_the_queue_and_frees_what_it_had(space: Space) -> None:
    needs = {"timeout": "1s", "resources": {"gpu": 1}}
    cmd = "if [ $(grep -c 1 params.yaml) = 1 ]; then sleep 60; fi; touch out"
    made = {"cmd": cmd, "params": ["x"], "outs": ["out"], "meta": {"dodo": needs}}
    space.write("dvc.yaml", json.dumps({"stages": {"a": made}}))
    space.write("dodo.toml", "[resources]\ngpu = 1\n")
    space.write("params.yaml", "x: 0\n")
    space.exp("--queue", "-S", "x=1,2,3")
    ran = space.dodo("exp", "run", "--run-all", "--json", code=1)
    assert [row["state"] for row in ran.json] == ["failed", "success", "success"]
    assert "timeout of 1 s" in ran.json[0]["reason"]


def test_a_timeout_is_no_part_of_what_a_stage_is(space: Space) -> None:
    stage(space, "touch out", "30s")
    space.repro()
    stage(space, "touch out", "40s")
    assert set(space.repro().stages.values()) == {"unchanged"}


# -- what stages used --------------------------------------------------------------------------

MEGA = 1_000_000
BURN = """\
import sys, time
while time.process_time() < float(sys.argv[1]):
    pass
"""
FILL = """\
import sys
data = bytearray(int(sys.argv[1]))
for i in range(0, len(data), 4096):
    data[i] = 1
"""


def used(space: Space, cmd: str | list[str], code: int = 0) -> dict[str, Any]:
    """What the JSON of an experiment says of its stage."""
    space.write("dvc.yaml", json.dumps({"stages": {"a": {"cmd": cmd, "outs": ["out"]}}}))
    space.write("burn.py", BURN)
    space.write("fill.py", FILL)
    [row] = space.exp("-n", "used", code=code).json["stages"]
    assert row["stage"] == "a"
    return dict(row)


def python(*args: str) -> str:
    """A Python of the stage's own, as small as can be."""
    return " ".join([sys.executable, "-I", "-S", *args])


def test_processor_time_is_what_was_burnt(space: Space) -> None:
    row = used(space, f"{python('burn.py', '0.5')}; touch out")
    assert 0.5 <= row["cpu"] <= 0.55 + 0.02
    assert row["seconds"] >= 0.5


def test_processor_time_of_all_commands_is_added(space: Space) -> None:
    row = used(space, [python("burn.py", "0.3"), python("burn.py", "0.3"), "touch out"])
    assert 0.6 <= row["cpu"] <= 0.66 + 0.04


def test_time_that_is_slept_is_no_processor_time(space: Space) -> None:
    row = used(space, "sleep 0.7; touch out")
    assert row["seconds"] >= 0.7
    assert row["cpu"] < 0.1


def memory(space: Space, cmds: list[str], starter: list[str]) -> int:
    """What a stage of these commands is said to have had; *starter* starts the run.

    The system counts what a process was before it became another program: dodo in a stage's
    commands, and in dodo whoever has started it.
    """
    stages = {"a": {"cmd": cmds, "outs": ["out"]}}
    space.write("dvc.yaml", json.dumps({"stages": stages}))
    space.write("fill.py", FILL)
    done = subprocess.run(
        [*starter, sys.executable, "-m", "dodo_exp", "repro", "--json"],
        cwd=space.root,
        env=space.env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    [row] = json.loads(done.stdout)["stages"]
    assert isinstance(row["memory"], int)
    return row["memory"]


SHELL = ["/bin/sh", "-c", '"$@"; exit $?', "sh"]
START = f"""\
import subprocess, sys
big = bytearray({300 * MEGA})
big[::4096] = b"x" * len(big[::4096])
sys.exit(subprocess.call(sys.argv[1:]))
"""
LARGE = [sys.executable, "-c", START]


@pytest.mark.parametrize("first", [100, 1])
def test_memory_is_that_of_the_largest_process(space: Space, first: int) -> None:
    sizes = (first * MEGA, (101 - first) * MEGA)
    cmds = [*(python("fill.py", str(size)) for size in sizes), "touch out"]
    assert 100 * MEGA <= memory(space, cmds, SHELL) <= 120 * MEGA


def test_memory_is_told_also_where_a_large_process_has_begun_the_command(space: Space) -> None:
    cmds = [python("fill.py", str(60 * MEGA)), "touch out"]
    assert 60 * MEGA <= memory(space, cmds, LARGE) <= 80 * MEGA


def test_memory_of_a_small_command_is_small(space: Space) -> None:
    """As little as cannot be told from what dodo itself takes is nothing."""
    assert memory(space, ["touch out"], SHELL) < 15 * MEGA


def test_what_a_failed_stage_used_is_told_as_well(space: Space) -> None:
    row = used(space, f"{python('burn.py', '0.3')}; exit 1", code=1)
    assert row["how"] == "failed"
    assert 0.3 <= row["cpu"] <= 0.4


def test_a_stage_that_did_not_run_used_nothing(space: Space) -> None:
    used(space, f"{python('burn.py', '0.1')}; touch out")
    [row] = space.exp().json["stages"]
    assert row["how"] == "unchanged"
    assert (row["cpu"], row["memory"]) == (0.0, 0)


def test_a_timed_stage_is_measured_as_well(space: Space) -> None:
    cmd = f"{python('burn.py', '0.3')}; touch out"
    made = {"cmd": cmd, "outs": ["out"], "meta": {"dodo": {"timeout": "30s"}}}
    space.write("dvc.yaml", json.dumps({"stages": {"a": made}}))
    space.write("burn.py", BURN)
    [row] = space.exp().json["stages"]
    assert 0.3 <= row["cpu"] <= 0.33 + 0.02


def test_a_command_that_closed_its_output_ends_with_its_time(space: Space) -> None:
    stage(space, "exec sleep 60 > log 2>&1")
    _, took = ended(space)
    assert 1 <= took < SOON
