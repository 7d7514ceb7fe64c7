"""`dodo exp run --queue`, `--temp`, `--run-all` and `dodo queue`, from the outside."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from dodo_exp.exps import queue
from tests.space import PARAMS, Space, kill_tree, wait_for


def states(space: Space) -> dict[str, str]:
    """Name -> state of every experiment in the queue."""
    found = space.dodo("queue", "status", "--json").json["experiments"]
    return {each["name"]: each["state"] for each in found}


def rows(space: Space) -> dict[str, Any]:
    """Name -> entry of `exp show --json`."""
    _, baseline = space.dodo("exp", "show", "--json").json
    return {each["name"]: each for each in baseline["experiments"] or []}


def params(entry: Any) -> Any:
    """The contents of params.yaml in such an entry."""
    return entry["revs"][0]["data"]["params"]["params.yaml"]["data"]


def wait_until(space: Space, name: str, state: str) -> None:
    """Wait until a job is in some state."""
    wait_for(lambda: any(j.name == name and j.state == state for j in queue.jobs(space.store)))


@pytest.fixture
def project(space: Space) -> Space:
    """The three stages, counting their runs outside, wherever they are run."""
    space.three_stages()
    text = space.read("dvc.yaml").replace("../runs.log", f"{space.base}/runs.log")
    space.write("dvc.yaml", text)
    return space


@pytest.fixture
def gated(project: Space) -> Space:
    """A project whose `train` waits until the file `go` is beside the project."""
    text = project.read("dvc.yaml")
    wait = "while ! test -e /base/go; do sleep 0.02; done; cat data.txt".replace(
        "/base", str(project.base)
    )
    project.write("dvc.yaml", text.replace("cmd: cat data.txt params", f"cmd: {wait} params"))
    return project


def go(space: Space) -> None:
    """Let `train` go on."""
    (space.base / "go").touch()


# -- queueing ------------------------------------------------------------------------------


def test_queueing_runs_nothing_and_touches_nothing(project: Space) -> None:
    before = project.tree()
    ran = project.dodo("exp", "run", "--queue", "-S", "train.lr=0.5", "-n", "later")
    assert ran.out == "Queued experiment 'later' for future execution.\n"
    assert project.runs == []
    assert project.tree() == before
    assert states(project) == {"later": "queued"}


def test_run_all_runs_what_was_queued_and_prints_a_table(project: Space) -> None:
    project.dodo("exp", "run", "--queue", "-S", "train.lr=0.5", "-n", "one")
    project.dodo("exp", "run", "--queue", "-S", "train.lr=0.25", "-n", "two")
    before = project.tree()
    ran = project.dodo("exp", "run", "--run-all")
    assert ran.out.splitlines()[0].split() == ["Experiment", "State", "Time", "size"]
    assert [line.split()[:2] for line in ran.out.splitlines()[1:]] == [
        ["one", "Success"],
        ["two", "Success"],
    ]
    assert project.tree() == before
    found = rows(project)
    assert params(found["one"])["train"]["lr"] == 0.5
    assert params(found["two"])["train"]["lr"] == 0.25
    assert project.runs == ["prepare", "train", "evaluate", "train", "evaluate"]
    assert project.dodo("exp", "run", "--run-all").out == "No experiments in the queue.\n"


def test_what_is_changed_after_queueing_does_not_reach_the_run(project: Space) -> None:
    project.dodo("exp", "run", "--queue", "-n", "early")
    project.write("raw.txt", "changed\n")
    project.write("dvc.yaml", "stages: {}\n")
    project.dodo("exp", "run", "--run-all")
    project.dodo("exp", "apply", "early", "data.txt")
    assert project.read("data.txt") == "raw\n"


def test_a_sweep_queues_the_product_in_order(project: Space) -> None:
    args = ["-S", "train.lr=0.1,0.2", "-S", "seed=choice(1,2)", "-n", "s"]
    ran = project.dodo("exp", "run", "--queue", *args)
    assert ran.out == "".join(
        f"Queued experiment 's-{i}' for future execution.\n" for i in range(1, 5)
    )
    assert "s-2: train.lr=0.1 seed=2\n" in ran.err
    assert project.dodo("exp", "run", "--run-all", "--jobs", "2").code == 0
    found = {name: params(entry) for name, entry in rows(project).items()}
    pairs = {name: (each["train"]["lr"], each["seed"]) for name, each in found.items()}
    assert pairs == {"s-1": (0.1, 1), "s-2": (0.1, 2), "s-3": (0.2, 1), "s-4": (0.2, 2)}
    assert project.runs.count("prepare") == 1


def test_a_dry_queue_only_lists(project: Space) -> None:
    ran = project.dodo("exp", "run", "--queue", "--dry", "-S", "train.lr=1,2", "-n", "s")
    assert ran.out == "s-1: train.lr=1\ns-2: train.lr=2\n"
    assert not project.exists(".dodo")


def test_a_sweep_in_place_says_how_to_queue_it(project: Space) -> None:
    assert "--queue" in project.exp("-S", "train.lr=1,2", code=2).err


@pytest.mark.parametrize(
    "args, said",
    [
        (["--queue", "--temp"], "contradict"),
        (["--queue", "--run-all"], "contradict"),
        (["--run-all", "-S", "train.lr=1"], "no meaning"),
        (["--run-all", "train"], "no meaning"),
        (["--queue", "-i"], "contradict"),
        (["-C", "raw.txt"], "--copy-paths needs"),
        (["--queue", "-C", "nowhere"], "'nowhere' is not there"),
        (["--queue", "-n", "../x"], "not an experiment name"),
        (["--queue", "nostage"], "nostage"),
        (["--queue", "-S", "train.lr"], "no '='"),
        (["--run-all", "--jobs", "0"], "0 is not in the range"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_kept(
    project: Space, args: list[str], said: str
) -> None:
    assert said in project.dodo("exp", "run", *args, code=2).err
    assert states(project) == {}


def test_what_a_run_would_refuse_is_refused_when_it_is_queued(project: Space) -> None:
    project.remove("raw.txt")
    ran = project.dodo("exp", "run", "--queue", code=2)
    assert "stage 'prepare' needs 'raw.txt'" in ran.err
    assert states(project) == {}


def test_a_dependency_outside_the_project_is_refused_when_it_is_queued(project: Space) -> None:
    (project.base / "out.txt").write_text("x")
    text = project.read("dvc.yaml").replace("deps: [raw.txt]", "deps: [raw.txt, ../out.txt]")
    project.write("dvc.yaml", text)
    ran = project.dodo("exp", "run", "--queue", code=2)
    assert "'../out.txt' lies outside the project" in ran.err


def test_a_name_that_waits_is_taken(project: Space) -> None:
    project.dodo("exp", "run", "--queue", "-n", "one")
    for args in (["exp", "run", "--queue", "-n", "one"], ["exp", "run", "-n", "one"]):
        assert "'one' in the queue" in project.dodo(*args, code=2).err
    assert "in the queue" in project.dodo("exp", "save", "-n", "one", code=2).err


def test_ignored_inputs_and_copied_paths_go_along_as_they_were(project: Space) -> None:
    project.write(".gitignore", "raw.txt\nsecret\nbig/\n")
    project.write("secret", "1\n")
    project.write("big/one", "big\n")
    project.write("untracked.txt", "u\n")
    text = project.read("dvc.yaml").replace(
        "cat raw.txt > data.txt", "cat raw.txt big/one untracked.txt > data.txt; test ! -e secret"
    )
    project.write("dvc.yaml", text)
    project.dodo("exp", "run", "--queue", "-C", "big", "-n", "one")
    project.write("big/one", "later\n")
    project.write("raw.txt", "later\n")
    project.dodo("exp", "run", "--run-all")
    assert project.dodo("store", "cat", "one:data.txt").out == "raw\nbig\nu\n"


def test_a_params_file_that_is_a_link_is_set_where_it_leads(project: Space) -> None:
    project.write("conf/real.yaml", PARAMS)
    project.remove("params.yaml")
    (project.root / "params.yaml").symlink_to("conf/real.yaml")
    project.dodo("exp", "run", "--queue", "-S", "train.lr=0.9", "-n", "one")
    project.dodo("exp", "run", "--run-all")
    assert params(rows(project)["one"])["train"]["lr"] == 0.9
    assert "lr: 0.9" in project.dodo("store", "cat", "one:conf/real.yaml").out


def test_a_template_filled_from_a_param_is_run_with_its_queued_value(space: Space) -> None:
    space.write("params.yaml", "word: a\n")
    space.write("dvc.yaml", "stages:\n  s:\n    cmd: echo ${word} > o\n    outs: [o]\n")
    space.dodo("exp", "run", "--queue", "-S", "word=b,c", "-n", "w")
    space.dodo("exp", "run", "--run-all", "-j", "2")
    assert space.dodo("store", "cat", "w-1:o").out == "b\n"
    assert space.dodo("store", "cat", "w-2:o").out == "c\n"


def test_from_a_sub_folder_targets_and_params_are_its_own(space: Space) -> None:
    space.write("dvc.yaml", "stages: {}\n")
    space.write(
        "sub/dvc.yaml", "stages:\n  s: {cmd: cat p.yaml > o, params: [p.yaml: [x]], outs: [o]}"
    )
    space.write("sub/p.yaml", "x: 1\n")
    space.dodo("init")
    space.dodo("exp", "run", "--queue", "-S", "p.yaml:x=5", "-n", "one", "s", cwd="sub")
    space.dodo("exp", "run", "--run-all")
    assert space.dodo("store", "cat", "one:sub/o").out == "x: 5\n"


# -- temp ----------------------------------------------------------------------------------


def test_a_temp_run_leaves_the_workspace_alone(project: Space) -> None:
    before = project.tree()
    ran = project.dodo("exp", "run", "--temp", "-S", "train.lr=0.7", "-n", "t")
    assert ran.out.startswith("Ran experiment 't': 3 ran\n")
    assert project.tree() == before
    assert params(rows(project)["t"])["train"]["lr"] == 0.7


def test_one_can_work_on_while_a_temp_run_goes_on(gated: Space) -> None:
    process = gated.start("exp", "run", "--temp", "-S", "train.lr=0.7", "-n", "t")
    wait_until(gated, "t", "running")
    gated.write("params.yaml", PARAMS.replace("0.1", "0.3"))
    gated.write("raw.txt", "other\n")
    go(gated)
    assert process.wait(20) == 0
    process.communicate()
    assert gated.dodo("store", "cat", "t:data.txt").out == "raw\n"
    assert gated.exp("-n", "here").stages["prepare"] == "ran"


def test_the_folder_of_a_temp_run_is_used_again_and_exactly_the_snapshot(space: Space) -> None:
    space.write("a.txt", "1\n")
    space.write(
        "dvc.yaml",
        "stages:\n  s: {cmd: ls -A > o; touch junk; chmod 400 a.txt, deps: [a.txt], outs: [o]}\n",
    )
    space.dodo("exp", "run", "--temp", "-n", "one")
    space.write("a.txt", "2\n")
    space.dodo("exp", "run", "--temp", "-n", "two")
    assert "junk" not in space.dodo("store", "cat", "two:o").out
    assert space.dodo("store", "cat", "two:a.txt").out == "2\n"
    workspaces = [p for p in (space.root / ".dodo" / "workspaces").iterdir() if p.is_dir()]
    assert len(workspaces) == 1
    space.dodo("gc")
    assert not any(p.is_dir() for p in (space.root / ".dodo" / "workspaces").iterdir())


def test_a_stage_cannot_change_the_project_from_its_temp_folder(space: Space) -> None:
    space.write("raw.txt", "1\n")
    space.write(
        "dvc.yaml",
        "stages:\n  s: {cmd: dodo exp show; dodo repro; echo $? > o, deps: [raw.txt], outs: [o]}\n",
    )
    space.dodo("exp", "run", "--temp", "-n", "t")
    assert space.dodo("store", "cat", "t:o").out == "4\n"


def test_nohup_keeps_a_temp_run_from_a_hangup(gated: Space) -> None:
    process = gated.start(
        "exp",
        "run",
        "--temp",
        "-n",
        "t",
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    wait_until(gated, "t", "running")
    wait_for(lambda: "prepare" in gated.runs)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    go(gated)
    process.communicate(timeout=20)
    assert process.returncode == 0


# -- failures ------------------------------------------------------------------------------


@pytest.fixture
def failing(project: Space) -> Space:
    """A project whose `train` writes half its output, and fails while `bad` is there."""
    text = project.read("dvc.yaml").replace(
        "cmd: cat data.txt params.yaml > model.txt",
        f"cmd: echo half > model.txt; test ! -e {project.base}/bad && cat data.txt params.yaml"
        " > model.txt",
    )
    project.write("dvc.yaml", text)
    (project.base / "bad").touch()
    return project


def test_a_failed_experiment_is_kept_with_what_it_had_made(failing: Space) -> None:
    failing.dodo("exp", "run", "--queue", "-S", "train.lr=0.4", "-n", "one")
    ran = failing.dodo("exp", "run", "--run-all", code=1)
    assert "1 of 1 experiments failed: one" in ran.err
    assert states(failing) == {"one": "failed"}
    entry = rows(failing)["one"]
    assert entry["executor"]["state"] == "failed"
    assert "exited with 1" in entry["revs"][0]["error"]["msg"]
    assert "Failed" in failing.dodo("exp", "show").out
    failing.dodo("exp", "apply", "one")
    assert failing.read("model.txt") == "half\n"
    assert failing.read("data.txt") == "raw\n"
    assert "lr: 0.4" in failing.read("params.yaml")


def test_retry_runs_only_what_has_not_gone_well(failing: Space) -> None:
    failing.dodo("exp", "run", "--queue", "-S", "train.lr=0.4,0.5", "-n", "s")
    failing.dodo("exp", "run", "--run-all", code=1)
    (failing.base / "bad").unlink()
    failing.forget_runs()
    ran = failing.dodo("queue", "retry", "--failed")
    assert ran.out.count("for future execution") == 2
    assert states(failing) == {"s-1": "queued", "s-2": "queued"}
    failing.dodo("exp", "run", "--run-all")
    assert failing.runs == ["train", "evaluate"] * 2
    found = rows(failing)
    assert [found[name]["executor"] for name in ("s-1", "s-2")] == [None, None]
    assert failing.dodo("queue", "retry", "s-1", code=2).err.startswith("error: 's-1' is a success")


def test_the_name_of_a_failed_experiment_can_be_used_again(failing: Space) -> None:
    failing.dodo("exp", "run", "--temp", "-n", "one", code=1)
    (failing.base / "bad").unlink()
    assert failing.exp("-n", "one").json["new"] is True


def test_run_all_goes_on_after_a_failure_and_says_so(failing: Space) -> None:
    failing.dodo("exp", "run", "--queue", "-n", "one")
    failing.write("dvc.yaml", "stages:\n  s: {cmd: echo 1 > o, deps: [raw.txt], outs: [o]}\n")
    failing.dodo("exp", "run", "--queue", "-n", "two")
    failing.dodo("exp", "run", "--run-all", code=1)
    assert states(failing) == {"one": "failed", "two": "success"}


def test_a_failure_of_what_several_wait_for_is_each_ones_failure_and_happens_once(
    project: Space,
) -> None:
    text = project.read("dvc.yaml").replace(
        f"cmd: cat raw.txt > data.txt && echo prepare >> {project.base}/runs.log",
        f"cmd: echo prepare >> {project.base}/runs.log; sleep 1.5; exit 3",
    )
    project.write("dvc.yaml", text)
    project.dodo("exp", "run", "--queue", "-S", "train.lr=1,2,3", "-n", "s")
    project.dodo("exp", "run", "--run-all", "--jobs", "3", code=1)
    assert project.runs == ["prepare"]
    found = rows(project)
    messages = [found[f"s-{i}"]["revs"][0]["error"]["msg"] for i in (1, 2, 3)]
    assert all("exited with 3" in message for message in messages)
    assert sum("which others waited for" in message for message in messages) == 2


def test_removing_a_failed_experiment_takes_it_out_of_the_queue_too(failing: Space) -> None:
    failing.dodo("exp", "run", "--queue", "-n", "one")
    failing.dodo("exp", "run", "--run-all", code=1)
    failing.dodo("exp", "remove", "one")
    assert states(failing) == {}
    failing.dodo("exp", "run", "--temp", "-n", "two", code=1)
    failing.dodo("queue", "remove", "--failed")
    assert rows(failing) == {}
    assert failing.dodo("exp", "logs", "one").out


# -- the queue's verbs ---------------------------------------------------------------------


def test_removing_from_the_queue(project: Space) -> None:
    project.dodo("exp", "run", "--queue", "-S", "seed=1,2,3,4", "-n", "s")
    assert project.dodo("queue", "remove", "s-1").out == "Removed s-1\n"
    assert project.dodo("exp", "remove", "s-2").out == "Removed s-2\n"
    assert "no experiment 's-9'" in project.dodo("queue", "remove", "s-3", "s-9", code=2).err
    assert states(project) == {"s-3": "queued", "s-4": "queued"}
    assert project.dodo("exp", "remove", "--queue").out == "Removed s-3, s-4\n"
    assert project.dodo("exp", "remove", "--queue").out == "No experiments wait in the queue.\n"


def test_a_queued_experiment_can_be_applied(project: Space) -> None:
    project.dodo("exp", "run", "--queue", "-S", "train.lr=0.8", "-n", "q")
    project.dodo("exp", "apply", "q")
    assert "lr: 0.8" in project.read("params.yaml")
    project.dodo("undo")
    assert project.read("params.yaml") == PARAMS


def test_running_experiments_are_shown_with_what_they_have_written(gated: Space) -> None:
    text = gated.read("dvc.yaml").replace(
        "  train:\n    cmd: ", "  train:\n    cmd: echo '{\"step\":3}' > live.json; "
    )
    gated.write("dvc.yaml", text + "metrics: [live.json]\n")
    gated.dodo("exp", "run", "--queue", "-S", "train.lr=0.8", "-n", "q")
    process = gated.start("exp", "run", "--run-all")
    wait_until(gated, "q", "running")

    def step() -> Any:
        metrics = rows(gated)["q"]["revs"][0]["data"]["metrics"]
        return metrics.get("live.json", {}).get("data", {}).get("step")

    wait_for(lambda: bool(step() == 3))
    assert rows(gated)["q"]["executor"]["state"] == "running"
    assert params(rows(gated)["q"])["train"]["lr"] == 0.8
    here = gated.start("exp", "run", "-n", "here")
    wait_until(gated, "here", "running")
    assert rows(gated)["here"]["executor"]["name"] == "workspace"
    go(gated)
    assert process.wait(20) == 0
    assert here.wait(20) == 0
    process.communicate()
    here.communicate()
    assert rows(gated)["q"]["executor"] is None


def test_kill_ends_one_experiment_and_the_worker_goes_on(gated: Space) -> None:
    gated.dodo("exp", "run", "--queue", "-S", "train.lr=1,2", "-n", "s")
    process = gated.start("exp", "run", "--run-all")
    wait_for(lambda: "prepare" in gated.runs)
    assert gated.dodo("queue", "kill", "s-1").out == "Killed s-1\n"
    go(gated)
    process.communicate(timeout=20)
    assert process.returncode == 1
    assert states(gated) == {"s-1": "killed", "s-2": "success"}
    assert "is not running" in gated.dodo("queue", "kill", "s-2", code=2).err
    gated.dodo("queue", "retry", "s-1")
    gated.dodo("exp", "run", "--run-all")
    assert states(gated) == {"s-1": "success", "s-2": "success"}


def test_stop_lets_workers_finish_what_they_run(gated: Space) -> None:
    gated.dodo("exp", "run", "--queue", "-S", "train.lr=1,2,3", "-n", "s")
    gated.dodo("queue", "start", "--detach", "-j", "1")
    wait_until(gated, "s-1", "running")
    wait_for(lambda: gated.dodo("queue", "stop").out.startswith("1 worker will end"))
    go(gated)
    wait_for(lambda: states(gated)["s-1"] == "success")
    wait_for(lambda: not gated.dodo("queue", "status", "--json").json["workers"])
    time.sleep(0.5)
    assert states(gated) == {"s-1": "success", "s-2": "queued", "s-3": "queued"}


def test_stop_now_puts_back_what_is_running(gated: Space) -> None:
    gated.dodo("exp", "run", "--queue", "-n", "one")
    process = gated.start("queue", "start")
    wait_for(lambda: "prepare" in gated.runs)
    gated.dodo("queue", "stop", "--now")
    process.communicate(timeout=20)
    assert states(gated) == {"one": "queued"}
    [job] = queue.jobs(gated.store)
    assert job.attempts == 0


def test_detached_workers_are_counted_and_drain_the_queue(project: Space) -> None:
    project.dodo("exp", "run", "--queue", "-S", "seed=range(5)", "-n", "s")
    ran = project.dodo("queue", "start", "-j", "2", "--detach")
    assert ran.out.startswith("Started 2 workers")
    wait_for(lambda: set(states(project).values()) == {"success"})
    assert "Started no workers" in project.dodo("queue", "start", "-j", "2", "--detach").out


def test_a_worker_waits_for_more_if_told_to(project: Space) -> None:
    process = project.start("queue", "worker", "--idle-exit", "60")
    wait_for(lambda: bool(project.exists(".dodo/queue/workers")))
    project.dodo("exp", "run", "--queue", "-n", "one")
    started = time.monotonic()
    wait_for(lambda: states(project)["one"] == "success")
    assert time.monotonic() - started < 10
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == 143


def test_a_worker_ends_when_its_time_is_up_and_puts_its_experiment_back(gated: Space) -> None:
    gated.dodo("exp", "run", "--queue", "-n", "one")
    process = gated.start("queue", "worker", "--max-time", "1.5s")
    process.communicate(timeout=20)
    assert process.returncode == 0
    assert states(gated) == {"one": "queued"}


def test_term_puts_a_workers_experiment_back(gated: Space) -> None:
    gated.dodo("exp", "run", "--queue", "-n", "one")
    process = gated.start("queue", "worker")
    wait_until(gated, "one", "running")
    wait_for(lambda: "Running stage 'train'" in gated.dodo("exp", "logs").out)
    process.terminate()
    _, err = process.communicate(timeout=20)
    assert process.returncode == 143, err
    assert states(gated) == {"one": "queued"}
    go(gated)
    gated.dodo("exp", "run", "--run-all")
    assert gated.runs == ["prepare", "train", "evaluate"]


def test_a_dead_workers_experiment_goes_back_with_its_attempts_counted(gated: Space) -> None:
    gated.dodo("exp", "run", "--queue", "-n", "one")
    for attempt in (1, 2, 3):
        process = gated.start("queue", "worker")
        wait_until(gated, "one", "running")
        time.sleep(0.3)
        kill_tree(process)
        wait_for(lambda: states(gated)["one"] != "running")
        assert states(gated)["one"] == ("queued" if attempt < 3 else "failed")
    entry = rows(gated)["one"]
    assert "3 workers have died of it" in entry["revs"][0]["error"]["msg"]
    assert gated.dodo("exp", "logs", "one").out.count("has died") >= 1


def test_a_result_whose_runner_died_before_saying_so_is_not_run_again(project: Space) -> None:
    project.dodo("exp", "run", "--queue", "-n", "one")
    project.dodo("exp", "run", "--run-all")
    [job] = queue.jobs(project.store)
    task = queue.task(job)
    assert task is not None
    # As it is after a kill between the result's name and the job's end.
    os.unlink(job.path)
    store = project.store
    with store.writing():
        queue.add(store, [("one", task)])
    project.forget_runs()
    project.dodo("exp", "run", "--run-all")
    assert project.runs == []
    assert states(project) == {"one": "success"}


def test_new_experiments_are_taken_while_others_run(gated: Space) -> None:
    gated.dodo("exp", "run", "--queue", "-n", "one")
    process = gated.start("exp", "run", "--run-all", "--jobs", "2")
    wait_until(gated, "one", "running")
    gated.dodo("exp", "run", "--queue", "-S", "train.lr=5", "-n", "two")
    wait_until(gated, "two", "running")
    go(gated)
    process.communicate(timeout=20)
    assert process.returncode == 0
    assert states(gated) == {"one": "success", "two": "success"}


def test_gc_keeps_what_waits_and_what_runs(gated: Space) -> None:
    gated.dodo("exp", "run", "--queue", "-S", "train.lr=1,2", "-n", "s")
    gated.write("raw.txt", "other\n")
    process = gated.start("exp", "run", "--run-all")
    wait_for(lambda: "prepare" in gated.runs)
    gated.dodo("gc", "--grace", "0")
    go(gated)
    gated.dodo("gc", "--grace", "0")
    process.communicate(timeout=20)
    assert process.returncode == 0
    assert gated.dodo("store", "cat", "s-2:data.txt").out == "raw\n"
    gated.dodo("exp", "remove", "--all")
    gated.dodo("gc", "--grace", "0")
    assert states(gated) == {"s-1": "success", "s-2": "success"}


def test_a_command_at_the_end_is_told_how_it_went(project: Space) -> None:
    log = project.base / "told"
    hook = f'echo "$DODO_EXP_NAME $DODO_STATUS" >> {log}'
    project.write("dodo.toml", f"[run]\non_finish = '''{hook}'''\n")
    project.dodo("exp", "run", "-n", "here")
    project.dodo("exp", "run", "--queue", "-S", "train.lr=2", "-n", "there")
    project.dodo("exp", "run", "--run-all")
    project.write("dvc.yaml", "stages:\n  s: {cmd: exit 1, deps: [raw.txt], outs: [o]}\n")
    project.dodo("exp", "run", "--temp", "-n", "bad", code=1)
    assert log.read_text() == "here success\nthere success\nbad failed\n"
    project.write("dodo.toml", "[run]\non_finish = 'exit 9'\n")
    project.write("dvc.yaml", "stages:\n  s: {cmd: echo 1 > o, deps: [raw.txt], outs: [o]}\n")
    assert "on_finish" in project.dodo("exp", "run", "-n", "fine").err


@pytest.mark.parametrize("where", ["here", "--temp"])
def test_a_command_at_the_end_may_use_the_workspace(project: Space, where: str) -> None:
    project.write("dodo.toml", "[run]\non_finish = 'dodo snapshot -n after'\n")
    begun = time.monotonic()
    ran = project.dodo("exp", "run", *([] if where == "here" else [where]))
    assert "on_finish" not in ran.err
    assert time.monotonic() - begun < 30  # it does not wait for the run that waits for it
    assert project.dodo("store", "cat", "after:raw.txt").out == "raw\n"


def test_reading_commands_work_while_everything_runs(gated: Space) -> None:
    gated.dodo("exp", "run", "--queue", "-n", "one")
    process = gated.start("exp", "run", "--run-all")
    wait_until(gated, "one", "running")
    for args in (["exp", "show"], ["status"], ["queue", "status"], ["exp", "logs", "one"], ["dag"]):
        gated.dodo(*args)
    go(gated)
    process.communicate(timeout=20)


def test_the_state_of_a_read_only_queue_is_told(project: Space) -> None:
    project.dodo("exp", "run", "--queue", "-n", "one")
    for path in [project.root / ".dodo", *(project.root / ".dodo").rglob("*")]:
        if path.is_dir():
            path.chmod(0o555)
    try:
        assert states(project) == {"one": "queued"}
    finally:
        for path in [project.root / ".dodo", *(project.root / ".dodo").rglob("*")]:
            if path.is_dir():
                path.chmod(0o755)


def test_status_says_so_when_there_is_nothing(project: Space) -> None:
    ran = project.dodo("queue", "status")
    assert ran.out == "No experiments in the queue.\nWorkers: 0 active, 0 idle\n"
    assert not project.exists(".dodo")


def test_json_of_a_sweep_and_of_run_all(project: Space) -> None:
    queued = project.dodo("exp", "run", "--queue", "--json", "-S", "seed=1,2", "-n", "s").json
    assert queued == [
        {"experiment": "s-1", "params": {"seed": 1}},
        {"experiment": "s-2", "params": {"seed": 2}},
    ]
    done = json.loads(project.dodo("exp", "run", "--run-all", "--json").out)
    assert [(each["experiment"], each["state"]) for each in done] == [
        ("s-1", "success"),
        ("s-2", "success"),
    ]


def test_a_folder_with_an_odd_name_runs_too(space: Space, tmp_path: Path) -> None:
    space.write("a b/ü.txt", "1\n")
    space.write("dvc.yaml", "stages:\n  s: {cmd: 'cat a*/* > o', deps: ['a b'], outs: [o]}\n")
    space.dodo("exp", "run", "--queue", "-n", "one")
    space.dodo("exp", "run", "--run-all")
    assert space.dodo("store", "cat", "one:o").out == "1\n"


def test_metrics_from_before_are_not_shown_as_a_running_experiments(gated: Space) -> None:
    go(gated)
    gated.exp("-n", "before")
    (gated.base / "go").unlink()
    gated.dodo("exp", "run", "--queue", "-S", "train.lr=0.8", "-n", "q")
    process = gated.start("exp", "run", "--run-all")
    wait_until(gated, "q", "running")
    wait_for(lambda: "Running stage 'train'" in gated.dodo("exp", "logs", "q").out)
    assert rows(gated)["q"]["revs"][0]["data"]["metrics"] == {}
    gated.dodo("queue", "kill", "q")
    process.communicate(timeout=20)
    assert rows(gated)["q"]["revs"][0]["data"]["metrics"] == {}


def test_what_was_removed_from_the_queue_can_be_put_back(project: Space) -> None:
    project.dodo("exp", "run", "--queue", "-S", "train.lr=0.8", "-n", "q")
    project.dodo("exp", "remove", "q")
    assert states(project) == {}
    project.dodo("gc", "--older-than", "1d")
    project.dodo("queue", "retry", "q")
    project.dodo("exp", "run", "--run-all")
    assert params(rows(project)["q"])["train"]["lr"] == 0.8
    project.dodo("exp", "run", "--queue", "-n", "r")
    project.dodo("queue", "remove", "--all")
    project.dodo("gc", "--grace", "0")
    assert "no experiment 'r' in the queue" in project.dodo("queue", "retry", "r", code=2).err


def test_a_temp_run_is_killed_as_others_are(gated: Space) -> None:
    process = gated.start("exp", "run", "--temp", "-n", "t")
    wait_for(lambda: "prepare" in gated.runs)
    gated.dodo("queue", "kill", "t")
    process.communicate(timeout=20)
    assert process.returncode == 130
    assert states(gated) == {"t": "stopped"}


def test_a_kill_is_not_forgotten_when_the_worker_is_stopped(gated: Space) -> None:
    gated.dodo("exp", "run", "--queue", "-n", "one")
    process = gated.start("queue", "worker")
    wait_for(lambda: "prepare" in gated.runs)
    [job] = queue.running(gated.store)
    process.send_signal(signal.SIGSTOP)
    Path(queue.kill_file(gated.store, job)).touch()
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=20)
    assert states(gated) == {"one": "killed"}
    assert not os.path.exists(queue.kill_file(gated.store, job))


def test_many_at_once_do_not_get_in_each_others_way(space: Space) -> None:
    space.write("params.yaml", "x: 0\n")
    space.write("dvc.yaml", "stages:\n  s: {cmd: cp params.yaml o, params: [x], outs: [o]}\n")
    space.dodo("exp", "run", "--queue", "-q", "-S", "x=range(60)", "-n", "s")
    others = [space.start("queue", "worker", "-q") for _ in range(4)]
    for each in others:
        _, err = each.communicate(timeout=60)
        assert each.returncode == 0, err
    assert set(states(space).values()) == {"success"}


def test_retries_at_the_same_time_queue_it_once(failing: Space) -> None:
    failing.dodo("exp", "run", "--queue", "-S", "seed=1,2,3", "-n", "s")
    failing.dodo("exp", "run", "--run-all", code=1)
    retries = [failing.start("queue", "retry", "--failed") for _ in range(4)]
    for each in retries:
        each.communicate(timeout=30)
    assert states(failing) == dict.fromkeys(("s-1", "s-2", "s-3"), "queued")


def test_what_waits_for_another_ends_at_once_and_leaves_nothing_behind(gated: Space) -> None:
    """The worker goes on with the next experiment, and no part of the killed one is left in it."""
    text = gated.read("dvc.yaml").replace("    params: [train.lr]\n", "")
    gated.write("dvc.yaml", text.replace("params.yaml > model", "> model"))
    gated.dodo("exp", "run", "--queue", "-n", "holder")
    holder = gated.start("queue", "worker")
    wait_for(
        lambda: "Running stage 'train'" in gated.dodo("exp", "logs").out if gated.runs else False
    )
    gated.dodo("exp", "run", "--queue", "-n", "waiter")
    waiter = gated.start("queue", "worker", "--idle-exit", "30")
    wait_for(lambda: "waiting for" in gated.dodo("exp", "logs").out)
    started = time.monotonic()
    gated.dodo("queue", "kill", "waiter")
    assert time.monotonic() - started < 8
    go(gated)
    holder.communicate(timeout=20)
    assert holder.returncode == 0
    gated.dodo("exp", "run", "--queue", "-n", "next")
    wait_for(lambda: states(gated)["next"] == "success")
    waiter.terminate()
    waiter.communicate(timeout=20)
    assert states(gated) == {"holder": "success", "waiter": "killed", "next": "success"}


def test_what_fails_does_not_take_the_place_of_a_good_one(failing: Space) -> None:
    (failing.base / "bad").unlink()
    failing.exp("-n", "one")
    (failing.base / "bad").touch()
    failing.dodo("exp", "run", "--queue", "--replace", "-S", "train.lr=0.7", "-n", "one")
    failing.dodo("exp", "run", "--run-all", code=1)
    found = rows(failing)
    assert found["one"]["executor"] is None
    assert params(found["one"])["train"]["lr"] == 0.1
    [other] = [name for name in found if name not in (None, "one")]
    assert found[other]["executor"]["state"] == "failed"


def test_what_a_queued_experiment_replaces_can_be_had_back(project: Space) -> None:
    project.exp("-n", "one")
    project.dodo("exp", "run", "--queue", "--replace", "-S", "train.lr=0.7", "-n", "one")
    project.dodo("exp", "run", "--run-all")
    assert params(rows(project)["one"])["train"]["lr"] == 0.7
    project.dodo("undo")
    assert params(rows(project)["one"])["train"]["lr"] == 0.1


def test_a_name_that_waits_is_not_brought_back_by_undo_or_import(project: Space) -> None:
    project.exp("-n", "one")
    project.dodo("exp", "export", "../pack", "one")
    project.dodo("exp", "remove", "one")
    project.dodo("exp", "run", "--queue", "-S", "train.lr=0.7", "-n", "one")
    assert "in the queue" in project.dodo("undo", code=2).err
    assert "in the queue" in project.dodo("exp", "import", "../pack", code=2).err


def test_a_stage_cannot_run_the_queue_it_is_in(space: Space) -> None:
    space.write("raw.txt", "1\n")
    cmd = "for a in 'start' 'start --detach' worker; do dodo queue $a; echo $?; done > o"
    space.write("dvc.yaml", f"stages:\n  s:\n    cmd: {cmd}\n    deps: [raw.txt]\n    outs: [o]\n")
    space.dodo("exp", "run", "--queue", "-n", "one")
    space.dodo("exp", "run", "--queue", "-n", "two", "-m", "x")
    space.dodo("exp", "run", "--run-all")
    assert space.dodo("store", "cat", "one:o").out == "4\n4\n4\n"
    assert set(states(space).values()) == {"success"}


def test_what_a_stage_leaves_running_does_not_reach_the_next_experiment(space: Space) -> None:
    space.write("params.yaml", "x: 0\n")
    # Renamed, for it is killed at any moment: else the file may be empty just then.
    loop = "(while :; do echo $x > .side; mv .side side; sleep 0.02; done) & "
    cmd = f"x=$(cat params.yaml); {loop} sleep 0.3; cp params.yaml o"
    space.write("dvc.yaml", f'stages:\n  s:\n    cmd: "{cmd}"\n    params: [x]\n    outs: [o]\n')
    space.dodo("exp", "run", "--queue", "-S", "x=1,2", "-n", "s")
    space.dodo("exp", "run", "--run-all")
    assert "x: 2" in space.dodo("store", "cat", "s-2:side").out


def test_a_folder_that_cannot_be_cleaned_is_given_up(project: Space) -> None:
    if os.getuid() != 0:
        pytest.skip("only root may")
    project.dodo("exp", "run", "--temp", "-n", "one")
    [place] = (project.root / ".dodo" / "workspaces").glob("*/project")
    (place / "stuck").mkdir()
    if os.system(f"mount -t tmpfs tmpfs '{place}/stuck'") != 0:
        pytest.skip("nothing can be mounted here")
    try:
        (place / "stuck" / "x").touch()
        project.dodo("exp", "run", "--temp", "-S", "train.lr=0.5", "-n", "two")
        project.dodo("exp", "run", "--temp", "-S", "train.lr=0.6", "-n", "three")
    finally:
        for stuck in (project.root / ".dodo" / "workspaces").rglob("stuck"):
            os.system(f"umount '{stuck}'")
    assert {"one", "two", "three"} <= rows(project).keys()


def test_run_all_that_is_told_to_stop_says_what_waits(gated: Space) -> None:
    gated.dodo("exp", "run", "--queue", "-S", "train.lr=1,2", "-n", "s")
    process = gated.start("exp", "run", "--run-all")
    wait_for(lambda: "prepare" in gated.runs)
    gated.dodo("queue", "stop")
    go(gated)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "1 are waiting still" in err


def test_following_a_log_waits_for_its_experiment(gated: Space) -> None:
    gated.dodo("exp", "run", "--queue", "-n", "one")
    logs = gated.start("queue", "logs", "-f", "one")
    time.sleep(0.5)
    assert logs.poll() is None
    go(gated)
    gated.dodo("exp", "run", "--run-all")
    out, _ = logs.communicate(timeout=20)
    assert "Running stage 'train'" in out and out.endswith("# success\n")


def test_a_dry_queue_refuses_what_queueing_would(project: Space) -> None:
    project.dodo("exp", "run", "--queue", "-n", "one")
    assert "in the queue" in project.dodo("exp", "run", "--queue", "--dry", "-n", "one", code=2).err
    assert project.dodo("exp", "run", "--queue", "--dry", "-n", "two").out == (
        "two: as the workspace is\n"
    )


def test_what_dvc_has_made_is_taken_over_in_a_folder_of_its_own(space: Space) -> None:
    import hashlib

    space.write("raw.txt", "1\n")
    space.write(
        "dvc.yaml", "stages:\n  s: {cmd: cp raw.txt o; exit 1, deps: [raw.txt], outs: [o]}\n"
    )
    space.write("o", "1\n")
    md5 = hashlib.md5(b"1\n").hexdigest()
    entry = f"{{path: %s, hash: md5, md5: {md5}, size: 2}}"
    lock = f"deps: [{entry % 'raw.txt'}], outs: [{entry % 'o'}]"
    space.write("dvc.lock", f"schema: '2.0'\nstages:\n  s: {{cmd: cp raw.txt o; exit 1, {lock}}}\n")
    ran = space.dodo("exp", "run", "--temp", "-n", "one")
    assert "is as dvc.lock says" in ran.err
    assert space.dodo("store", "cat", "one:o").out == "1\n"


def test_a_record_that_waits_and_cannot_be_read_keeps_gc_from_removing(project: Space) -> None:
    project.dodo("exp", "run", "--queue", "-n", "one")
    [job] = queue.jobs(project.store)
    data = Path(job.path).read_bytes()
    Path(job.path).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    project.dodo("gc", "--grace", "0", code=5)
    Path(job.path).write_bytes(data)
    project.dodo("exp", "run", "--run-all")
    assert states(project) == {"one": "success"}


# -- sweeps over one key, given twice --------------------------------------------------------


def listed(space: Space, *texts: str) -> list[dict[str, Any]]:
    """What each experiment of a sweep sets."""
    options = [word for text in texts for word in ("-S", text)]
    rows = space.dodo("exp", "run", "--queue", "--dry", "--json", *options).json
    return [row["params"] for row in rows]


def test_sweeps_over_mappings_of_one_key_combine(project: Space) -> None:
    project.write("params.yaml", "train: {lr: 1}\n")
    assert listed(project, "+a={x: 1},{x: 2}", "+a={y: {z: 3}},{y: {z: 4}}") == [
        {"a": {"x": 1, "y": {"z": 3}}},
        {"a": {"x": 1, "y": {"z": 4}}},
        {"a": {"x": 2, "y": {"z": 3}}},
        {"a": {"x": 2, "y": {"z": 4}}},
    ]
    assert listed(project, "+a={x: 1},{x: 2}", "+a={y: 3}") == [
        {"a": {"x": 1, "y": 3}},
        {"a": {"x": 2, "y": 3}},
    ]
    project.dodo("exp", "run", "--queue", "-n", "s", "-S", "+a={x: 1},{x: 2}", "-S", "+a={w: 3}")
    project.dodo("exp", "run", "--run-all")
    project.dodo("exp", "apply", "s-2")
    assert project.read("params.yaml") == "train: {lr: 1}\na: {x: 2, w: 3}\n"


@pytest.mark.parametrize(
    "texts, told",
    [
        (
            ["seed=1,2", "seed=3,4"],
            "error: -S seed: another -S sets seed: only one can take effect\n"
            "hint: give all values of it in one: -S seed=...\n",
        ),
        (
            ["seed=3", "seed=1,2"],
            "error: -S seed: another -S sets seed: only one can take effect\n"
            "hint: give all values of it in one: -S seed=...\n",
        ),
        (
            ["train.lr=1,2", "train={lr: 3}"],
            "error: -S train: another -S sets train.lr: only one can take effect\n"
            "hint: leave out -S train.lr or -S train\n",
        ),
        (
            ["train.lr=1,2", "~train"],
            "error: -S train: another -S sets train: only one can take effect\n"
            "hint: leave out -S train.lr or -S train\n",
        ),
    ],
)
def test_a_sweep_whose_values_another_option_replaces_is_refused(
    project: Space, texts: list[str], told: str
) -> None:
    options = [word for text in texts for word in ("-S", text)]
    for more in (["--dry"], []):
        assert project.dodo("exp", "run", "--queue", *more, *options, code=2).err == told


@pytest.mark.parametrize("first", ["seed=1", "seed=1,4"])
def test_of_two_values_for_a_queued_experiment_the_last_counts_with_a_warning(
    project: Space, first: str
) -> None:
    ran = project.dodo("exp", "run", "--queue", "-n", "one", "-S", first, "-S", "seed=2")
    assert ran.err == "warning: -S seed is given twice: the last one counts\n"
    assert states(project) == {"one": "queued"}


@pytest.mark.parametrize("more", [["--dry"], []])
def test_what_holds_for_a_whole_sweep_is_said_once(project: Space, more: list[str]) -> None:
    ran = project.dodo(
        "exp", "run", "--queue", *more, "-S", "new=range(4)", "-S", "train.lr=fast,slow"
    )
    assert [line for line in ran.err.splitlines() if "warning" in line] == [
        "warning: 'new' is not in params.yaml: added",
        'warning: train.lr becomes text, "fast"; it was a number, 0.1',
        'warning: train.lr becomes text, "slow"; it was a number, 0.1',
    ]


def test_a_job_that_ended_since_it_was_listed_keeps_its_end(project: Space) -> None:
    project.dodo("exp", "run", "--queue", "-n", "one")
    [listed] = queue.waiting(project.store)
    project.dodo("exp", "run", "--run-all")
    assert queue.claim(project.store, queue.me("a worker that was slow"), listed) is None
    assert states(project) == {"one": "success"}
