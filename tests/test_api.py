"""`dodo_exp.api`: the command line's work, from Python."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from dodo_exp import api
from dodo_exp.errors import DodoError
from tests.space import Space


@pytest.fixture
def here(project: Space, monkeypatch: pytest.MonkeyPatch) -> Space:
    """The project, with the test standing in it."""
    for name, value in project.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(project.root)
    return project


def test_a_run_sets_params_and_gives_its_metrics(here: Space) -> None:
    ran = api.run({"train.lr": 0.25}, name="one")
    assert ran == api.Result("one", {"size": 87}, {"train.lr": 0.25, "train.layers": [64, 32],
                                                   "seed": 7})  # fmt: skip
    assert "lr: 0.25  # rate" in here.read("params.yaml")
    assert api.run({"train.lr": 0.25}) == ran._replace(is_new=False)


def test_a_command_at_the_end_runs_where_standard_error_is_no_file(
    here: Space,
) -> None:
    hook = "echo $DODO_STATUS; sleep 3 & dodo snapshot -n after"
    here.write("dodo.toml", f"[run]\non_finish = '{hook}'\n")
    told: list[object] = []
    begun = time.monotonic()
    with contextlib.redirect_stderr(io.StringIO()) as stream:
        api.run({"train.lr": 0.7}, listener=told.append)
    assert stream.getvalue().startswith("success\n")
    assert not [event for event in told if "on_finish" in str(event)]
    assert here.dodo("store", "cat", "after:raw.txt").out == "raw\n"
    assert time.monotonic() - begun < 30


def test_a_list_is_one_value_and_no_sweep(here: Space) -> None:
    assert api.run({"train.layers": [1, 2, 3]}).params["train.layers"] == [1, 2, 3]


def test_a_stage_that_fails_raises_what_the_command_line_says(here: Space) -> None:
    here.write("dvc.yaml", here.read("dvc.yaml").replace("cat raw.txt", "cat gone.txt"))
    with pytest.raises(DodoError, match="stage 'prepare' failed"):
        api.run()


def test_a_stage_with_checkpoints_goes_on_as_with_the_command(here: Space) -> None:
    here.write(
        "dvc.yaml",
        """\
        stages:
          train:
            cmd: echo more >> model.txt; echo train >> ../runs.log
            params: [train.lr]
            outs: [model.txt: {checkpoint: true}]
        """,
    )
    api.run(name="long")
    api.run()
    assert here.runs == ["train"] * 2
    here.dodo("exp", "run")
    assert here.runs == ["train"] * 3
    assert here.read("model.txt") == "more\n" * 3


def test_values_of_numpy_are_taken_as_pythons(here: Space) -> None:
    np = pytest.importorskip("numpy")
    ran = api.run(
        {
            "train.lr": np.float64(0.25),
            "train.layers": np.array([[1, 2], [3, 4]]),
            "seed": np.int32(8),
        }
    )
    assert ran.params == {"train.lr": 0.25, "train.layers": [[1, 2], [3, 4]], "seed": 8}
    assert "lr: 0.25  # rate" in here.read("params.yaml")
    given = {"a": np.bool_(True), "b": [np.float32(0.5), np.array(3)], "c": np.array([])}
    assert api.run({"train": given}).params["train.a"] is True
    shown = api.params_show()["train"]
    assert {key: shown[key] for key in given} == {"a": True, "b": [0.5, 3], "c": []}
    with pytest.raises(DodoError, match="seed: complex is no value for a param"):
        api.run({"seed": np.complex128(1j)})
    with pytest.raises(DodoError, match="seed: datetime is no value for a param"):
        api.queue({"seed": [np.datetime64("2026-01-01T00:00")]})


def test_the_table_as_dicts(here: Space) -> None:
    api.run({"train.lr": 0.1}, name="one", message="first")
    api.run({"train.lr": 0.2}, name="two")
    workspace, two, one = api.exp_show()
    assert (workspace["Experiment"], workspace["rev"]) == (None, "workspace")
    assert (two["Experiment"], two["train.lr"], two["size"]) == ("two", 0.2, 86)
    assert (one["Note"], one["parent"], two["parent"]) == ("first", None, "one")
    rows = api.exp_show(filter="train.lr < 0.15", sort_by="train.lr")
    assert [row["Experiment"] for row in rows] == [None, "one"]
    with pytest.raises(DodoError, match="no column 'nope'"):
        api.exp_show(sort_by="nope")


def test_the_table_for_pandas(here: Space) -> None:
    import pandas

    api.run(name="one")
    frame = api.exp_show(as_dataframe=True)
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame["size"]) == [86, 86]


def test_params_and_metrics_are_nested_as_in_their_files(here: Space) -> None:
    api.run(name="one")
    assert api.params_show() == {"train": {"lr": 0.1, "layers": [64, 32]}, "seed": 7}
    assert api.params_show(deps=True) == {"train": {"lr": 0.1}}
    assert api.metrics_show(rev="one") == {"size": 86}
    with pytest.raises(DodoError, match=r"no params file 'other.yaml'"):
        api.params_show("other.yaml")


def test_from_another_folder(here: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api.run(name="one")
    monkeypatch.chdir(tmp_path)
    assert api.metrics_show(project=here.root) == {"size": 86}
    assert api.run({"train.lr": 0.5}, project=here.root).metrics == {"size": 86}


def test_queued_ones_are_run_while_they_are_waited_for(here: Space) -> None:
    trials = [api.queue({"train.lr": rate}, name=f"t{i}") for i, rate in enumerate((0.11, 0.222))]
    assert [trial.state for trial in trials] == ["queued", "queued"]
    done = [trial.wait(60) for trial in trials]
    assert [(ran.name, ran.params["train.lr"], ran.metrics["size"]) for ran in done] == [
        ("t0", 0.11, 87),
        ("t1", 0.222, 88),
    ]
    assert trials[0].state == "success"
    assert "lr: 0.1  # rate" in here.read("params.yaml")


def test_a_loop_that_asks_and_tells_keeps_one_worker(here: Space) -> None:
    """As an optimiser does: the next trial is queued when the last one is known."""
    seen = []
    for i in range(6):
        seen.append(api.queue({"seed": i}).wait(60).params["seed"])
    assert seen == list(range(6))
    assert len(here.dodo("queue", "status", "--json").json["workers"]) <= 1


def test_what_failed_or_was_removed_says_so(here: Space) -> None:
    here.write("dvc.yaml", here.read("dvc.yaml").replace("cat raw.txt", "cat gone.txt"))
    trial = api.queue({"seed": 1}, name="bad")
    with pytest.raises(DodoError, match="experiment 'bad'") as caught:
        trial.wait(60)
    assert caught.value.hint == "`dodo queue logs bad` has what it wrote"
    other = api.queue({"seed": 2}, name="gone")
    here.dodo("queue", "remove", "gone")
    with pytest.raises(DodoError, match="removed"):
        other.wait(10)


def test_waiting_has_an_end(here: Space) -> None:
    here.write("dvc.yaml", here.read("dvc.yaml").replace("cat raw.txt", "sleep 2; cat raw.txt"))
    trial = api.queue({"seed": 1})
    with pytest.raises(TimeoutError, match=r"after 0\.2 s"):
        trial.wait(0.2)
    assert trial.wait(60).params["seed"] == 1


def test_waiting_where_workers_cannot_start_says_so_in_time(
    here: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = api.queue({"seed": 1}, name="waits")
    monkeypatch.setenv("PYTHONHOME", "/nowhere")  # no Python starts with that
    begun = time.monotonic()
    with pytest.raises(DodoError, match="workers exit with 1 at once") as caught:
        trial.wait(60)
    assert time.monotonic() - begun < 30
    hint = ".dodo/logs/queue.log has what they wrote; the experiment waits in the queue"
    assert caught.value.hint == hint
    monkeypatch.delenv("PYTHONHOME")
    assert trial.state == "queued"
    assert trial.wait(60).name == "waits"


@pytest.mark.skipif(not os.path.exists("/proc/self/environ"), reason="looks for them in /proc")
def test_waiting_for_workers_that_are_slow_to_start_takes_no_longer_than_asked(
    here: Space, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "sitecustomize.py").write_text("import time; time.sleep(60)")
    trial = api.queue({"seed": 1})
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "slow"))

    def is_slow(pid: int) -> bool:
        try:
            return bytes(tmp_path / "slow") in Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return False

    begun = time.monotonic()
    for _ in range(2):
        with pytest.raises(TimeoutError):
            trial.wait(1)
    assert 2 <= time.monotonic() - begun < 3.5
    slow = [pid for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))) if is_slow(pid)]
    for pid in slow:
        os.kill(pid, signal.SIGKILL)
    assert len(slow) == 1  # one that has yet to register counts as one


def test_threads_may_wait_side_by_side(here: Space) -> None:
    trials = [api.queue({"seed": i}) for i in range(4)]
    found: dict[int, object] = {}

    def wait(i: int) -> None:
        found[i] = trials[i].wait(60, workers=2).params["seed"]

    threads = [threading.Thread(target=wait, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {i: i for i in range(4)}


def test_apply_brings_files_back(here: Space) -> None:
    api.run({"train.lr": 0.1}, name="one")
    api.run({"train.lr": 0.5}, name="two")
    assert "params.yaml" in api.apply("one")
    assert "lr: 0.1" in here.read("params.yaml")
    assert api.apply("two", "params.yaml") == ["params.yaml"]


@pytest.fixture(autouse=True)
def no_workers_left(project: Space) -> object:
    """Workers that wait for something more are told to end."""
    yield
    project.dodo("queue", "stop")
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if not project.dodo("queue", "status", "--json").json["workers"]:
            return
        time.sleep(0.05)
