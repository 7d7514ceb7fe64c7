"""Several stages at once in one run, and several commands at once in one folder."""

from __future__ import annotations

import json
import subprocess

from tests.space import Space, wait_for


def test_stages_that_do_not_wait_for_each_other_run_at_the_same_time(space: Space) -> None:
    """Each of the two waits for a file that the other one makes."""
    meet = "touch ../{mine}; while [ ! -e ../{other} ]; do sleep 0.01; done; touch {mine}"
    stages = {
        "a": {"cmd": meet.format(mine="a", other="b"), "outs": ["a"]},
        "b": {"cmd": meet.format(mine="b", other="a"), "outs": ["b"]},
    }
    space.write("dvc.yaml", json.dumps({"stages": stages}))
    assert space.repro("-j", "2").stages == {"a": "ran", "b": "ran"}


def test_the_lock_file_of_a_parallel_run_is_that_of_a_serial_one(space: Space) -> None:
    stages = {
        f"s{i}": {
            "cmd": f"echo {i} > o{i}",
            "deps": [f"o{i // 2}"] if i > 1 else [],
            "outs": [f"o{i}"],
        }
        for i in range(1, 30)
    }
    space.write("dvc.yaml", json.dumps({"stages": stages}))
    space.repro("-j", "8")
    parallel = space.read("dodo.lock")
    space.repro("-f")
    assert space.read("dodo.lock") == parallel


def test_lines_of_parallel_stages_are_whole_and_named(space: Space) -> None:
    space.write("in", "x")
    talk = "for i in 1 2 3 4 5; do printf {0}; sleep 0.01; printf '{0}\\n'; done; printf end{0}"
    stages = {n: {"cmd": talk.format(n), "deps": ["in"], "outs": []} for n in ("a", "b")}
    space.write("dvc.yaml", json.dumps({"stages": stages}))
    told = space.repro("-j", "2").err.splitlines()
    for name in ("a", "b"):
        mine = [line for line in told if line.startswith(f"{name} | ") and "> " not in line]
        assert mine == [f"{name} | {name}{name}"] * 5 + [f"{name} | end{name}"]


def test_a_second_run_waits_says_for_whom_and_both_are_right(project: Space) -> None:
    slow = project.read("dvc.yaml").replace(
        "cat data.txt p", "touch ../up; sleep 2; cat data.txt p"
    )
    project.write("dvc.yaml", slow)
    first = project.start("exp", "run", "--json", "-n", "first", "-S", "train.lr=0.3")
    wait_for((project.base / "up").exists)
    second = project.start("exp", "run", "--json", "-n", "second", "-S", "train.lr=0.4")
    results = {}
    for name, process in (("first", first), ("second", second)):
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        results[name] = json.loads(out)
        if name == "second":
            assert f"waiting for the workspace, held by pid {first.pid}, `dodo exp run" in err
    for name, rate in (("first", 0.3), ("second", 0.4)):
        assert results[name]["experiment"] == name
        assert results[name]["params"]["params.yaml"]["data"]["train"]["lr"] == rate
    assert project.runs == ["prepare", "train", "evaluate", "train", "evaluate"]
    assert "lr: 0.4  # rate" in project.read("params.yaml")


def test_no_wait_ends_with_4_instead(project: Space) -> None:
    slow = project.read("dvc.yaml").replace(
        "cat data.txt p", "touch ../up; sleep 2; cat data.txt p"
    )
    project.write("dvc.yaml", slow)
    first = project.start("repro")
    wait_for((project.base / "up").exists)
    ran = project.dodo("exp", "run", "--no-wait", code=4)
    assert f"the workspace is held by pid {first.pid}, `dodo repro`" in ran.err
    assert first.communicate(timeout=60)[0] == "3 ran\n"


def test_reading_does_not_wait_for_a_run(project: Space) -> None:
    slow = project.read("dvc.yaml").replace(
        "cat data.txt p", "touch ../up; sleep 3; cat data.txt p"
    )
    project.write("dvc.yaml", slow)
    process = project.start("exp", "run")
    wait_for((project.base / "up").exists)
    for args in (["status"], ["exp", "show"], ["why", "train"], ["dag"], ["exp", "run", "--dry"]):
        project.dodo(*args)
        assert process.poll() is None
    process.communicate(timeout=60)


def test_a_stage_that_runs_dodo_itself_may_read_but_not_run(space: Space) -> None:
    space.write(
        "dvc.yaml",
        """\
        stages:
          inner:
            cmd: dodo status -q 2> quiet.txt; dodo repro -f 2> told.txt; echo $? >> told.txt
            deps: [in]
            outs: [told.txt]
        """,
    )
    space.write("in", "x")
    space.repro()
    told = space.read("told.txt").splitlines()
    assert told[0].startswith("error: a stage cannot change its own project")
    assert told[-1] == "4"
    assert space.read("quiet.txt") == ""


def test_ten_runs_at_once_with_nothing_to_do_all_agree(space: Space) -> None:
    space.three_stages()
    space.exp("-n", "only")
    crowd: list[subprocess.Popen[str]] = [space.start("exp", "run") for _ in range(10)]
    for process in crowd:
        out, err = process.communicate(timeout=60)
        assert out.startswith("Up to date: experiment 'only'"), err
