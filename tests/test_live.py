"""`dodo_exp.live`: the files of DVCLive, by Python alone."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dodo_exp.live import Live
from dodo_exp.pipeline import params
from tests.space import Space


def train(folder: Path, steps: int = 3, **options: Any) -> Live:
    """A run of a few steps."""
    with Live(folder / "dvclive", **options) as live:
        for _ in range(steps):
            live.log_metric("train/loss", 1 / (live.step + 1))
            live.log_metric("acc", live.step * 0.5)
            live.next_step()
    return live


def text(folder: Path, name: str) -> str:
    """A file of the log."""
    return (folder / "dvclive" / name).read_text()


def test_metrics_have_a_history_and_a_last_value(tmp_path: Path) -> None:
    train(tmp_path)
    assert text(tmp_path, "plots/metrics/train/loss.tsv") == (
        "step\tloss\n0\t1.0\n1\t0.5\n2\t0.3333333333333333\n"
    )
    assert json.loads(text(tmp_path, "metrics.json")) == {
        "step": 2,
        "train": {"loss": 0.3333333333333333},
        "acc": 1.0,
    }


def test_without_steps_there_is_no_step_and_the_last_value_counts(tmp_path: Path) -> None:
    with Live(tmp_path / "dvclive") as live:
        live.log_metric("acc", 0.25, plot=False)
        live.log_metric("acc", 0.75, plot=False)
    assert json.loads(text(tmp_path, "metrics.json")) == {"acc": 0.75}
    assert not (tmp_path / "dvclive" / "plots").exists()


def test_what_is_logged_after_the_last_step_is_kept(tmp_path: Path) -> None:
    with Live(tmp_path / "dvclive") as live:
        live.log_metric("acc", 0.25)
        live.next_step()
        live.log_metric("test", 0.5)
    assert json.loads(text(tmp_path, "metrics.json"))["test"] == 0.5


def test_params_read_back_as_they_were_given(tmp_path: Path) -> None:
    given = {
        "lr": 1e-05,
        "layers": [64, 32],
        "opt": {"name": "adam: #1", "yes": True, "none": None},
        "on": "yes",
        "big": 1e20,
        "inf": math.inf,
    }
    with Live(tmp_path / "dvclive") as live:
        live.log_params(given)
        live.log_param("seed", 7)
    data = (tmp_path / "dvclive/params.yaml").read_bytes()
    assert params.parse(data, "params.yaml") == {**given, "seed": 7}


def test_a_new_run_begins_anew_and_a_resumed_one_goes_on(tmp_path: Path) -> None:
    train(tmp_path)
    train(tmp_path, 1)
    assert text(tmp_path, "plots/metrics/acc.tsv") == "step\tacc\n0\t0.0\n"
    train(tmp_path, 2, resume=True)
    assert text(tmp_path, "plots/metrics/acc.tsv") == "step\tacc\n0\t0.0\n1\t0.5\n2\t1.0\n"


def test_images_of_every_kind(tmp_path: Path) -> None:
    class Figure:
        def savefig(self, path: str) -> None:
            Path(path).write_bytes(b"figure")

    (tmp_path / "there.png").write_bytes(b"a file")
    with Live(tmp_path / "dvclive") as live:
        live.log_image("copied.png", tmp_path / "there.png")
        live.log_image("plots/drawn.png", Figure())
        with pytest.raises(TypeError, match="no image"):
            live.log_image("x.png", 3)
    assert text(tmp_path, "plots/images/copied.png") == "a file"
    assert text(tmp_path, "plots/images/plots/drawn.png") == "figure"


@pytest.mark.parametrize("name", ["../out", "a//b", "", "/etc/x", "a/.."])
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with Live(tmp_path / "dvclive") as live, pytest.raises(ValueError, match="no name"):
        live.log_metric(name, 1)


def test_what_is_no_number_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with Live(tmp_path / "dvclive") as live, pytest.raises(TypeError, match="metric 'acc'"):
        live.log_metric("acc", object())  # type: ignore[arg-type]
    assert not (tmp_path / "dvclive/plots").exists()


def test_values_of_numpy_are_taken_as_pythons(tmp_path: Path) -> None:
    np = pytest.importorskip("numpy")
    with Live(tmp_path) as live:
        live.log_metric("loss", np.float64(0.1))
        live.log_metric("acc", np.array([[0.5]]))
        live.log_metric("ok", np.bool_(True))
        live.log_params({"lr": np.float64(1e-05), "n": np.int64(3), "sizes": np.array([1, 2])})
        live.log_param("deep", {"x": [np.float32(0.5), np.array(7)]})
        with pytest.raises(TypeError, match=r"'loss': an array of shape \(3,\) is no number"):
            live.log_metric("loss", np.zeros(3))
        with pytest.raises(TypeError, match="'z': complex is no plain value"):
            live.log_param("z", np.complex128(1j))
    assert json.loads((tmp_path / "metrics.json").read_text()) == {
        "loss": 0.1,
        "acc": 0.5,
        "ok": True,
    }
    assert params.parse((tmp_path / "params.yaml").read_bytes(), "params.yaml") == {
        "lr": 1e-05,
        "n": 3,
        "sizes": [1, 2],
        "deep": {"x": [0.5, 7]},
    }


def test_importing_it_needs_no_other_package() -> None:
    code = (
        "import sys; import dodo_exp.live; print({'click', 'yaml', 'msgpack'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_stage_that_logs_has_its_metrics_and_curves_shown(space: Space) -> None:
    space.write(
        "dvc.yaml",
        f"""\
        stages:
          train:
            cmd: {sys.executable} train.py
            deps: [train.py]
            metrics: [dvclive/metrics.json: {{cache: false}}]
            plots: [dvclive/plots: {{cache: false}}]
        """,
    )
    space.write(
        "train.py",
        """\
        from dodo_exp.live import Live
        with Live() as live:
            for i in range(4):
                live.log_metric("train/acc", i / 4)
                live.next_step()
        """,
    )
    space.exp("-n", "one")
    (_, row) = space.dodo("exp", "list", "--json"), space.dodo("metrics", "show", "--json").json
    assert row[""]["data"]["dvclive/metrics.json"]["data"] == {"step": 3, "train": {"acc": 0.75}}
    plots = space.dodo("plots", "show", "--rev", "one", "--json").json["data"]
    (chart,) = plots["dvclive/plots/metrics/train/acc.tsv"]
    points = chart["content"]["data"]["values"]
    assert [(p["step"], p["acc"], p["rev"]) for p in points] == [
        (0, 0, "one"), (1, 0.25, "one"), (2, 0.5, "one"), (3, 0.75, "one"),
    ]  # fmt: skip


def test_a_folder_with_a_pipeline_is_none_for_a_log(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_text("")
    (tmp_path / "params.yaml").write_text("lr: 1\n")
    with pytest.raises(ValueError, match="a folder of its own"):
        Live(tmp_path)
    assert (tmp_path / "params.yaml").read_text() == "lr: 1\n"


def test_a_resumed_run_keeps_every_param_it_had(tmp_path: Path) -> None:
    with Live(tmp_path / "dvclive") as live:
        live.log_params({"inf": math.inf, 'a": b': [math.nan], "lr": 0.1})
    with Live(tmp_path / "dvclive", resume=True) as live:
        live.log_param("lr", 0.2)
    found = params.parse((tmp_path / "dvclive/params.yaml").read_bytes(), "params.yaml")
    assert (found["inf"], found["lr"], list(found)) == (math.inf, 0.2, ["inf", 'a": b', "lr"])
    (tmp_path / "dvclive/params.yaml").write_text("opt:\n  name: sgd\n- odd\nlr: 0.2\n")
    with Live(tmp_path / "dvclive", resume=True) as live:
        live.log_param("seed", 1)
    assert text(tmp_path, "params.yaml") == "opt:\n  name: sgd\n- odd\nlr: 0.2\nseed: 1\n"
