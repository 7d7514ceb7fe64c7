"""Params files while a run has set something in them for itself."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator

import pytest

from dodo_exp.exps import queue
from dodo_exp.exps.record import load
from tests.space import Space, wait_for


@pytest.fixture
def running(project: Space) -> Iterator[subprocess.Popen[str]]:
    """`exp run -S train.lr=0.9`, in the middle of its first stage."""
    text = project.read("dvc.yaml")
    cmd = f"touch {project.base}/begun; while ! test -e {project.base}/go; do sleep 0.02; done; cat"
    project.write("dvc.yaml", text.replace("cmd: cat raw.txt", f"cmd: {cmd} raw.txt"))
    process = project.start("exp", "run", "-n", "mine", "-S", "train.lr=0.9")
    wait_for((project.base / "begun").exists)
    assert "lr: 0.9" in project.read("params.yaml")
    yield process
    (project.base / "go").touch()
    process.communicate(timeout=30)


def rate(project: Space, name: str) -> object:
    """The learning rate of an experiment; its model was made with it."""
    store = project.store
    oid = store.experiments.get(name)
    assert oid is not None
    made = load(store, oid)
    value = made.params["params.yaml"]["data"]["train"]["lr"]
    for node, path in ((made.base, "params.yaml"), (made.result, "model.txt")):
        found = store.find(node, path)
        assert found is not None and f"lr: {value}" in store.objects.read(found.oid).decode()
    return value


def test_what_is_queued_beside_a_run_has_the_users_own_values(
    project: Space, running: subprocess.Popen[str]
) -> None:
    project.dodo("exp", "run", "--queue", "-n", "plain")
    project.dodo("exp", "run", "--queue", "-n", "seed", "-S", "seed=8")
    project.dodo("exp", "run", "--queue", "-n", "rate", "-S", "train.lr=0.9")
    (project.base / "go").touch()
    running.communicate(timeout=30)
    assert running.returncode == 0
    project.dodo("exp", "run", "--run-all", "-q")
    names = ("plain", "seed", "rate", "mine")
    assert [rate(project, name) for name in names] == [0.1, 0.1, 0.9, 0.9]
    shown = project.dodo("params", "show", "--rev=seed", "--json").out
    assert '"seed": 8' in shown


def test_what_is_run_apart_beside_a_run_has_the_users_own_values(
    project: Space, running: subprocess.Popen[str]
) -> None:
    process = project.start("exp", "run", "--temp", "-q", "-n", "apart", "-S", "seed=8")
    wait_for(lambda: any(job.name == "apart" for job in queue.jobs(project.store)))
    (project.base / "go").touch()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert rate(project, "apart") == 0.1


def test_a_file_that_the_user_has_edited_is_queued_as_it_is(
    project: Space, running: subprocess.Popen[str]
) -> None:
    project.write("params.yaml", project.read("params.yaml").replace("seed: 7", "seed: 11"))
    project.dodo("exp", "run", "--queue", "-n", "edited")
    (project.base / "go").touch()
    running.communicate(timeout=30)
    project.dodo("exp", "run", "--run-all", "-q")
    assert rate(project, "edited") == 0.9
    assert '"seed": 11' in project.dodo("params", "show", "--rev=edited", "--json").out


def test_after_ctrl_c_what_was_not_taken_back_is_reported(
    project: Space, running: subprocess.Popen[str]
) -> None:
    project.write("params.yaml", project.read("params.yaml").replace("seed: 7", "seed: 11"))
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=30)
    assert running.returncode == 130
    assert (
        "warning: params.yaml was edited during the run, so what the run had set in it was not"
        " taken back: train.lr is 0.9 (was 0.1), seed is 11 (was 7)\n"
    ) in err
    assert "lr: 0.9" in project.read("params.yaml")


def test_after_a_kill_the_next_command_reports_it(
    project: Space, running: subprocess.Popen[str]
) -> None:
    project.write("params.yaml", project.read("params.yaml").replace("seed: 7", "seed: 11"))
    running.kill()
    running.wait()
    err = project.dodo("exp", "run", "--queue", "-n", "next").err
    assert "not taken back: train.lr is 0.9 (was 0.1), seed is 11 (was 7)\n" in err


def test_after_ctrl_c_an_unedited_file_is_as_before_without_a_word(
    project: Space, running: subprocess.Popen[str]
) -> None:
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=30)
    assert running.returncode == 130 and "params.yaml" not in err
    assert "lr: 0.1" in project.read("params.yaml")
