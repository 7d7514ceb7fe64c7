"""Metrics of the workspace that are older than the inputs of their stage; a broken pipeline."""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.space import Space

STALE = "older than the inputs of stage 'train'"


@pytest.fixture
def trained(space: Space) -> Space:
    """The experiment `good` of two stages, with metrics in a file and in an output folder."""
    space.write(
        "dvc.yaml",
        """\
        stages:
          prepare:
            cmd: cat raw.txt > data.txt
            deps: [raw.txt]
            params: [seed]
            outs: [data.txt]
          train:
            cmd: sh train.sh
            deps: [data.txt, train.sh]
            params: [lr]
            outs: [live]
            metrics: [metrics.json: {cache: false}]
        metrics: [live/metrics.json, by-hand.json]
        """,
    )
    space.write(
        "train.sh",
        """\
        grep -q 'lr: 0.9' params.yaml && exit 3
        mkdir -p live
        echo '{"acc": 0.75}' > metrics.json
        echo '{"loss": 0.25}' > live/metrics.json
        """,
    )
    space.write("params.yaml", "lr: 0.1\nseed: 1\n")
    space.write("by-hand.json", '{"score": 5}')
    space.write("raw.txt", "raw\n")
    space.exp("-n", "good")
    return space


def workspace(space: Space) -> dict[str, Any]:
    """The workspace's metrics and flags, from `exp show --json`."""
    data = space.dodo("exp", "show", "--json").json[0]["data"]
    return {"metrics": data["metrics"], "flags": data["meta"]["flags"]}


def is_stale(space: Space) -> bool:
    """Whether the table says so of the metrics of `train`."""
    return "stale" in workspace(space)["metrics"]["metrics.json"]


def test_a_failed_run_leaves_stale_metrics_in_the_table(trained: Space) -> None:
    assert not is_stale(trained)
    trained.exp("-S", "lr=0.9", "-n", "bad", code=1)
    found = workspace(trained)
    assert found["metrics"] == {
        "metrics.json": {"data": {"acc": None}, "stale": STALE},
        "live/metrics.json": {"data": {"loss": None}, "stale": STALE},
        "by-hand.json": {"data": {"score": 5}},
    }
    assert found["flags"] == [f"stale: metrics.json, live/metrics.json: {STALE}"]
    shown = trained.dodo("exp", "show", "--drop", "Created")
    assert shown.out.splitlines()[:2] == [
        "Experiment  State   acc    loss   score   lr  seed",
        "workspace   stale   stale  stale      5  0.9     1",
    ]
    assert f"warning: workspace: {found['flags'][0]}\n" in shown.err
    lines = trained.dodo("exp", "show", "--csv").out.splitlines()
    assert lines[1].startswith(",workspace,baseline,,,stale,,,,5,0.9,1,")
    assert (
        trained.dodo("exp", "show", "--csv", "--filter", "acc > 0", "--hide-workspace").out.count(
            "\n"
        )
        == 2
    )


def test_differences_show_no_stale_value(trained: Space) -> None:
    trained.exp("-S", "lr=0.9", code=1)
    for verb in (["exp", "diff"], ["metrics", "diff"]):
        shown = trained.dodo(*verb, "good", "workspace")
        assert "metrics.json       acc     0.75  stale      -" in shown.out
        assert f"warning: workspace: stale: metrics.json: {STALE}\n" in shown.err
    found = trained.dodo("exp", "diff", "good", "workspace", "--json").json
    assert found["metrics"]["metrics.json"] == {"acc": {"old": 0.75, "new": None, "stale": ["new"]}}
    lines = trained.dodo("metrics", "diff", "good", "workspace", "--csv").out.splitlines()
    assert lines[1] == "metrics.json,acc,0.75,,"


def test_metrics_show_marks_them_too(trained: Space) -> None:
    trained.exp("-S", "lr=0.9", code=1)
    shown = trained.dodo("metrics", "show")
    assert shown.out.splitlines()[1].split() == ["metrics.json", "acc", "stale"]
    assert f"warning: workspace: stale: metrics.json: {STALE}\n" in shown.err
    data = trained.dodo("metrics", "show", "--json").json[""]["data"]
    assert data["metrics.json"]["data"] == {"acc": None}
    assert "0.75" in trained.dodo("metrics", "show", "--rev", "good").out


@pytest.mark.parametrize(
    "change",
    [
        {"params.yaml": "lr: 0.2\nseed: 1\n"},
        {"params.yaml": "lr: 0.1\nseed: 2\n"},
        {"raw.txt": "other\n"},
        {"train.sh": "true\n"},
        {"data.txt": "edited\n"},
    ],
    ids=["param", "param before", "dependency before", "code", "dependency"],
)
def test_they_are_stale_when_anything_before_them_has_changed(
    trained: Space, change: dict[str, str]
) -> None:
    before = {path: trained.read(path) for path in change}
    for path, text in change.items():
        trained.write(path, text)
    assert is_stale(trained)
    for path, text in before.items():
        trained.write(path, text)
    assert not is_stale(trained)


def test_they_are_not_stale_where_data_is_absent_or_they_were_written_later(
    trained: Space,
) -> None:
    trained.remove("raw.txt")
    trained.remove("data.txt")
    assert not is_stale(trained)
    trained.write("params.yaml", "lr: 0.2\nseed: 1\n")
    assert is_stale(trained)
    trained.write("metrics.json", '{"acc": 0.5}')  # as by a run by hand
    assert workspace(trained)["metrics"]["metrics.json"] == {"data": {"acc": 0.5}}


def test_a_frozen_stage_and_an_unknown_one_have_no_stale_metrics(trained: Space) -> None:
    trained.write("params.yaml", "lr: 0.2\nseed: 1\n")
    trained.dodo("freeze", "train")
    assert not is_stale(trained)
    trained.dodo("unfreeze", "train")
    trained.remove("dodo.lock")
    assert not is_stale(trained)


def test_bringing_the_pipeline_up_to_date_ends_it(trained: Space) -> None:
    trained.exp("-S", "lr=0.9", code=1)
    trained.dodo("undo")
    assert not is_stale(trained)
    trained.write("params.yaml", "lr: 0.3\nseed: 1\n")
    trained.repro()
    assert not is_stale(trained)


def test_python_has_none_for_them(trained: Space) -> None:
    from dodo_exp import api

    trained.write("params.yaml", "lr: 0.2\nseed: 1\n")
    assert api.metrics_show("metrics.json", project=trained.root) == {"acc": None}
    row = api.exp_show(names=["workspace"], project=trained.root)[0]
    assert (row["State"], row["acc"], row["score"]) == ("stale", None, 5)


# -- a pipeline that cannot be read --------------------------------------------------------

BROKEN = {
    "dvc.yaml": "stages: [\n",
    "sub/dvc.yaml": "stages:\n  s: {cmdd: x}\n",
    "other/dvc.yaml": "stages:\n  s: {cmd: x, outs: [../live]}\n",
    "dodo.lock": "<<<<<<< ours\n",
}


@pytest.mark.parametrize("path", BROKEN)
def test_a_broken_file_hides_no_experiment(trained: Space, path: str) -> None:
    before = trained.read("dodo.lock")
    trained.write(path, BROKEN[path])
    shown = trained.dodo("exp", "show", "--drop", "Created")
    assert "workspace   broken" in shown.out
    assert "\ngood" in shown.out
    assert "warning: workspace: broken: " in shown.err
    entry = trained.dodo("exp", "show", "--json").json[0]
    assert entry["data"] is None
    assert os.path.basename(path) in entry["error"]["msg"]
    assert entry["error"]["type"] == "DodoError"
    shown = trained.dodo("exp", "show", "--csv", "--rev", "good", "--param-deps")
    assert shown.out.splitlines()[1].startswith("good,")
    assert shown.err == ""
    trained.dodo("exp", "show", "--html", ".dodo/page.html")
    assert '"name":"good"' in trained.read(".dodo/page.html").replace(": ", ":")
    trained.write("dodo.lock", before)
