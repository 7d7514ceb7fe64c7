"""SIGKILL, SIGINT and SIGTERM at any moment of a run: the next command just works."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time

import pytest

from tests.space import PARAMS, Space, kill_tree, wait_for

STAGES = 5


def slow_chain(space: Space, seconds: float) -> None:
    """Five stages in a row, each of which takes its time and leaves a line in runs.log."""
    lines = ["stages:\n"]
    for i in range(STAGES):
        lines.append(
            f"  s{i}:\n"
            f"    cmd: sleep {seconds}; cat f{i} > f{i + 1}; echo s{i} >> ../runs.log\n"
            f"    deps: [f{i}]\n    params: [seed]\n    outs: [f{i + 1}]\n"
        )
    space.write("dvc.yaml", "".join(lines))
    space.write("params.yaml", PARAMS)
    space.write("f0", "start\n")


def finished(space: Space) -> set[str]:
    """Stages that are up to date, as `status` sees them."""
    stale: dict[str, object] = space.dodo("status", "--json").json
    return {f"s{i}" for i in range(STAGES)} - stale.keys()


def kill_and_go_on(space: Space, moment: float) -> None:
    """One round: run, kill after *moment* seconds, look, run again."""
    space.forget_runs()
    before = space.read("params.yaml")
    seed = random.randint(10, 10**9)
    process = space.start("exp", "run", "-S", f"seed={seed}")
    time.sleep(moment)
    kill_tree(process)
    assert_no_process_left(space)
    done_then = space.runs
    space.dodo("exp", "show")
    params = space.read("params.yaml")
    assert params in (before, before.replace(seed_of(before), str(seed)))
    if space.store.exists:
        assert os.listdir(space.root / ".dodo" / "journal") == []
    again = space.exp("-S", f"seed={seed}")
    assert again.json["experiment"]
    assert set(again.stages.values()) <= {"ran", "restored", "unchanged"}
    for name in done_then[:-1]:
        # The last one may have been killed between its command's end and its record.
        assert space.runs.count(name) == 1, f"{name} had finished and ran again"
    assert all(space.runs.count(name) <= 2 for name in space.runs)
    assert finished(space) == {f"s{i}" for i in range(STAGES)}
    space.check()


def seed_of(params: str) -> str:
    """The value of `seed` in a params file."""
    return params.split("seed: ")[1].strip()


def assert_no_process_left(space: Space) -> None:
    """Nothing that belongs to the project's runs is alive any more, after a moment."""

    def alive() -> list[int]:
        found = []
        for name in os.listdir("/proc"):
            if name.isdecimal():
                try:
                    with open(f"/proc/{name}/environ", "rb") as file:
                        if f":{space.root}".encode() in file.read():
                            found.append(int(name))
                except OSError:
                    continue
        return found

    wait_for(lambda: not alive())


@pytest.mark.parametrize("round", range(4))
def test_a_killed_run_is_continued_by_the_next(space: Space, round: int) -> None:
    slow_chain(space, 0.05)
    for _ in range(2):
        kill_and_go_on(space, random.uniform(0.05, 0.9))


@pytest.mark.soak
@pytest.mark.parametrize("part", range(5))
def test_fifty_kills_sample(space: Space, part: int) -> None:
    slow_chain(space, 0.05)
    for _ in range(10):
        kill_and_go_on(space, random.uniform(0.02, 1.0))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_run_with_its_code_and_takes_the_edit_back(
    space: Space, number: signal.Signals
) -> None:
    slow_chain(space, 0.1)
    space.exp()
    space.forget_runs()
    before = space.tree()
    process = space.start("exp", "run", "-S", "seed=8")
    wait_for(lambda: "s1" in space.runs)  # so s0 is done with, and on record
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert "Traceback" not in err
    assert "stopped; finished stages are kept" in err
    assert space.read("params.yaml") == PARAMS
    after = space.tree()
    assert after.pop("dodo.lock") != before.pop("dodo.lock")
    assert after == before
    assert_no_process_left(space)
    assert space.exp("-S", "seed=8").stages["s0"] in ("restored", "unchanged")
    assert space.runs.count("s0") == 1


def test_a_stages_own_children_end_with_the_run(space: Space) -> None:
    space.write(
        "dvc.yaml",
        """\
        stages:
          spread:
            cmd: (setsid sleep 300 &) ; sleep 300 & echo up > ../up; sleep 300
            deps: [in]
            outs: [never]
        """,
    )
    space.write("in", "x")
    process = space.start("repro")
    wait_for((space.base / "up").exists)
    kill_tree(process)
    assert_no_process_left(space)


def test_after_a_kill_the_old_outputs_are_back_and_what_was_half_made_is_kept(
    project: Space,
) -> None:
    project.exp()
    before = project.tree()
    slow = project.read("dvc.yaml").replace(
        "cat data.txt params.yaml > model.txt", "echo half > model.txt; sleep 60"
    )
    project.write("dvc.yaml", slow)
    process = project.start("exp", "run", "-S", "train.lr=0.9")
    wait_for(lambda: project.exists("model.txt") and project.read("model.txt") == "half\n")
    kill_tree(process)
    told = project.dodo("status")
    assert "stage 'train' was cut short; its outputs are as they were before" in told.err
    assert "params.yaml is as it was before the run that was cut short" in told.err
    assert project.tree() == {**before, "dvc.yaml": slow.encode()}
    assert project.read(".dodo/partial/train/model.txt") == "half\n"


def test_a_param_that_was_edited_after_the_kill_stays(project: Space) -> None:
    project.exp()
    project.write("dvc.yaml", project.read("dvc.yaml").replace("cat data.txt p", "sleep 60; cat p"))
    process = project.start("exp", "run", "-S", "train.lr=0.9")
    wait_for(lambda: "0.9" in project.read("params.yaml"))
    kill_tree(process)
    project.write("params.yaml", "train: {lr: 5}\n")
    project.dodo("status")
    assert project.read("params.yaml") == "train: {lr: 5}\n"


def test_a_kill_while_a_folder_is_brought_back_leaves_nothing_beside_it(space: Space) -> None:
    space.write(
        "dvc.yaml",
        "stages: {many: {cmd: 'mkdir out; for i in $(seq 2000); do echo $i > out/$i; done',"
        " deps: [in], outs: [out]}}\n",
    )
    space.write("in", "x")
    space.repro()
    for _ in range(6):
        shutil.rmtree(space.root / "out", ignore_errors=True)
        process = space.start("repro")
        time.sleep(random.uniform(0.1, 0.5))
        kill_tree(process)
        assert {path.name for path in space.root.iterdir()} <= {
            ".dodo", "dodo.lock", "dvc.yaml", "in", "out",
        }  # fmt: skip
    space.repro()
    assert len(list((space.root / "out").iterdir())) == 2000
    assert os.listdir(space.root / ".dodo" / "tmp") == []


def test_killed_runs_leave_no_temporary_files(space: Space) -> None:
    slow_chain(space, 0.05)
    for _ in range(3):
        process = space.start("exp", "run")
        time.sleep(0.4)
        kill_tree(process)
    space.exp()
    assert os.listdir(space.root / ".dodo" / "tmp") == []
    assert not [path for path in space.root.rglob(".dodo-tmp-*") if ".dodo/" not in str(path)]


@pytest.mark.parametrize("gap", [0.0, 0.001, 0.003, 0.01, 0.1])
def test_a_second_ctrl_c_at_any_moment_still_leaves_everything_in_order(
    space: Space, gap: float
) -> None:
    slow_chain(space, 0.05)
    space.exp()
    text = space.read("dvc.yaml").replace("sleep 0.05; cat f2", "echo half > f3; sleep 60; cat f2")
    space.write("dvc.yaml", text)
    before = space.tree()
    process = space.start("exp", "run", "-S", "seed=9")
    wait_for(lambda: space.exists("f3") and space.read("f3") == "half\n")
    process.send_signal(signal.SIGINT)
    time.sleep(gap)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, "Traceback" in err) == (130, False)
    assert_no_process_left(space)
    after = space.tree()
    after.pop("dodo.lock"), before.pop("dodo.lock")
    assert after == before


def test_a_command_that_ignores_signals_is_ended_by_the_second(space: Space) -> None:
    space.write(
        "dvc.yaml",
        "stages: {a: {cmd: \"trap '' INT TERM; touch ../up; sleep 300\", deps: [in], outs: [o]}}\n",
    )
    space.write("in", "x")
    process = space.start("repro")
    wait_for((space.base / "up").exists)
    process.send_signal(signal.SIGINT)
    time.sleep(1.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "a second Ctrl-C ends them at once" in err
    assert_no_process_left(space)


@pytest.mark.parametrize("args", [["repro"], ["exp", "run", "--temp"], ["exp", "run", "--run-all"]])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_whose_output_is_not_read(
    space: Space, args: list[str], number: signal.Signals
) -> None:
    cmd = f"touch {space.base}/up; yes; touch o"
    space.write("dvc.yaml", f"stages: {{a: {{cmd: '{cmd}', outs: [o]}}}}\n")
    if "--run-all" in args:
        space.dodo("exp", "run", "--queue")
    process = space.start(*args)
    wait_for((space.base / "up").exists)
    time.sleep(0.5)  # the pipe is full in a moment
    assert process.poll() is None
    process.send_signal(number)
    try:
        assert process.wait(15) == 128 + number
    finally:
        kill_tree(process)
    assert_no_process_left(space)


def test_stopped_before_the_experiment_is_kept_takes_the_edit_back(
    project: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last moment at which a run has not happened: its stages are done, its ref is not set."""
    from dodo_exp.engine.outcome import Options
    from dodo_exp.engine.request import Request
    from dodo_exp.engine.signals import Signalled
    from dodo_exp.errors import Stopped
    from dodo_exp.exps import record
    from dodo_exp.exps.run import Order, run_experiment
    from dodo_exp.pipeline.overrides import parse
    from dodo_exp.project import Project

    project.exp("-n", "one")

    def stop(*args: object) -> None:
        raise Signalled(signal.SIGINT)

    monkeypatch.setattr(record, "keep", stop)
    monkeypatch.chdir(project.root)
    order = Order(Request(), Options(), tuple(parse("train.lr=0.5")), "two")
    with pytest.raises(Stopped):
        run_experiment(Project.find(), order, lambda event: None)
    assert project.read("params.yaml") == PARAMS
    assert list(project.store.experiments.names()) == ["one"]
    assert project.exp("-S", "train.lr=0.5").stages["train"] in ("restored", "unchanged")
