"""`dodo params show` and `dodo metrics show`."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from tests.space import Space

PIPELINE = """\
metrics: [top.json, eval/m.json, eval/deep/m.yaml]
params: [more/p.toml]
stages:
  train:
    cmd: cat raw.txt > out.txt
    deps: [raw.txt]
    params: [train.lr, opt]
    outs: [out.txt]
"""
TOP = {"data": {"acc": 0.123456789, "ok": True}}


@pytest.fixture
def files(space: Space) -> Space:
    """A project with several files of metrics and params; nothing has run."""
    space.write("dvc.yaml", PIPELINE)
    space.write("raw.txt", "raw\n")
    space.write("params.yaml", "train: {lr: 0.1, layers: [64, 32]}\nopt: {name: adam}\nseed: 7\n")
    space.write("more/p.toml", "depth = 3\n")
    space.write("top.json", '{"acc": 0.123456789, "ok": true}\n')
    space.write("eval/m.json", '{"loss": {"val": 12, "train": 3}}\n')
    space.write("eval/deep/m.yaml", "auc: 0.5\n")
    return space


def two_experiments(space: Space) -> None:
    """`one`, and then `two`, which is better, and is what the workspace holds."""
    space.dodo("exp", "save", "-n", "one")
    space.write("top.json", '{"acc": 0.75, "f1": 1}\n')
    space.write("params.yaml", "train: {lr: 0.25, layers: [64, 32]}\nopt: {name: sgd}\nseed: 7\n")
    space.dodo("exp", "save", "-n", "two")


def refused(space: Space, *args: str) -> str:
    """What is said of a fault of the user's."""
    ran = space.dodo(*args, code=2)
    assert ran.out == ""
    assert ran.err.startswith("error: ")
    return ran.err


# -- the workspace -----------------------------------------------------------------------------


def test_metrics_of_the_workspace(files: Space) -> None:
    ran = files.dodo("metrics", "show")
    assert ran.err == ""
    assert ran.out == (
        "Path              Metric      Value\n"
        "top.json          acc         0.12346\n"
        "top.json          ok          true\n"
        "eval/m.json       loss.val    12\n"
        "eval/m.json       loss.train  3\n"
        "eval/deep/m.yaml  auc         0.5\n"
    )
    assert not files.exists(".dodo")


def test_params_of_the_workspace(files: Space) -> None:
    ran = files.dodo("params", "show")
    assert ran.err == ""
    assert ran.out == (
        "Path         Param         Value\n"
        "params.yaml  train.lr      0.1\n"
        "params.yaml  train.layers  [64, 32]\n"
        "params.yaml  opt.name      adam\n"
        "params.yaml  seed          7\n"
        "more/p.toml  depth         3\n"
    )
    assert not files.exists(".dodo")


def test_only_params_that_a_stage_reads(files: Space) -> None:
    assert files.dodo("params", "show", "--deps").out == (
        "Path         Param     Value\nparams.yaml  train.lr  0.1\nparams.yaml  opt.name  adam\n"
    )
    assert "no such option" in refused(files, "metrics", "show", "--deps")


def test_precision(files: Space) -> None:
    out = files.dodo("metrics", "show", "top.json", "--precision", "3").out
    assert out == "Path      Metric  Value\ntop.json  acc     0.123\ntop.json  ok      true\n"
    assert "precision" in refused(files, "metrics", "show", "--precision", "0")


# -- experiments -------------------------------------------------------------------------------


def test_of_one_experiment_and_of_several(files: Space) -> None:
    two_experiments(files)
    assert files.dodo("metrics", "show", "--rev", "one", "top.json").out == (
        "Path      Metric  one\ntop.json  acc     0.12346\ntop.json  ok      true\n"
    )
    assert files.dodo("metrics", "show", "--rev", "two", "--rev", "one", "top.json").out == (
        "Path      Metric   two  one\n"
        "top.json  acc     0.75  0.12346\n"
        "top.json  f1         1  -\n"
        "top.json  ok         -  true\n"
    )


def test_of_all(files: Space) -> None:
    two_experiments(files)
    files.write("params.yaml", "train: {lr: 0.5}\nopt: 1\nseed: 8\n")
    assert files.dodo("params", "show", "-A", "params.yaml").out == (
        "Path         Param         workspace  two       one\n"
        "params.yaml  train.lr            0.5  0.25      0.1\n"
        "params.yaml  opt                   1  -         -\n"
        "params.yaml  seed                  8  7         7\n"
        "params.yaml  train.layers          -  [64, 32]  [64, 32]\n"
        "params.yaml  opt.name              -  sgd       adam\n"
    )
    assert list(files.dodo("params", "show", "-A", "--json").json) == ["workspace", "two", "one"]


def test_of_all_before_the_first_experiment_is_of_the_workspace(files: Space) -> None:
    assert files.dodo("metrics", "show", "-A", "eval/m.json").out == (
        "Path         Metric      workspace\n"
        "eval/m.json  loss.val           12\n"
        "eval/m.json  loss.train          3\n"
    )
    assert not files.exists(".dodo")


def test_of_a_snapshot_of_what_waits_and_by_id(files: Space) -> None:
    two_experiments(files)
    files.dodo("exp", "branch", "one", "keep")
    files.dodo("exp", "run", "--queue", "-n", "later", "-S", "seed=9")
    oid = files.dodo("exp", "list", "--sha-only").out.split()[1]
    shown = files.dodo(
        "params", "show", "--csv", "params.yaml",
        *("--rev", "keep", "--rev", "later", "--rev", oid[:10], "--rev", "workspace"),
    ).out  # fmt: skip
    table = list(csv.reader(io.StringIO(shown)))
    assert table[0] == ["Path", "Param", "keep", "later", "one", "workspace"]
    assert ["params.yaml", "seed", "7", "9", "7", "7"] in table


def test_an_unknown_experiment_is_refused(files: Space) -> None:
    said = "error: no experiment or snapshot 'nix'\nhint: `dodo exp run` makes one\n"
    assert refused(files, "params", "show", "--rev", "nix") == said
    files.dodo("exp", "save", "-n", "one")
    said = "error: no experiment or snapshot 'nix'\nhint: known: one\n"
    assert refused(files, "metrics", "show", "--rev", "one", "--rev", "nix") == said


def test_the_same_experiment_twice_is_one_column(files: Space) -> None:
    files.dodo("exp", "save", "-n", "one")
    once = files.dodo("metrics", "show", "--csv", "--rev", "one").out
    assert files.dodo("metrics", "show", "--csv", "--rev", "one", "--rev", "one").out == once


# -- targets -----------------------------------------------------------------------------------


def metrics_files(space: Space, *args: str, cwd: str = ".") -> list[str]:
    """Which metrics files are shown."""
    (only,) = space.dodo("metrics", "show", "--json", *args, cwd=cwd).json.values()
    return list(only["data"])


def test_targets_are_files(files: Space) -> None:
    assert metrics_files(files, "eval/m.json") == ["eval/m.json"]
    assert metrics_files(files, "./eval/../top.json") == ["top.json"]
    assert metrics_files(files, "eval/deep/m.yaml", "top.json") == ["top.json", "eval/deep/m.yaml"]
    (only,) = files.dodo("params", "show", "--json", "more/p.toml").json.values()
    assert only == {"data": {"more/p.toml": {"data": {"depth": 3}}}}


def test_a_target_is_an_absolute_path(files: Space) -> None:
    assert metrics_files(files, str(files.root / "top.json")) == ["top.json"]


def test_targets_are_seen_from_where_the_user_stands(files: Space) -> None:
    assert metrics_files(files, "m.json", cwd="eval") == ["eval/m.json"]
    assert metrics_files(files, "../top.json", cwd="eval") == ["top.json"]
    assert metrics_files(files, "-R", ".", cwd="eval") == ["eval/m.json", "eval/deep/m.yaml"]
    ran = files.dodo("metrics", "show", "top.json", cwd="eval", code=2)
    assert ran.err.startswith("error: no metrics file 'top.json'\n")


def test_folders_with_all_that_is_below(files: Space) -> None:
    assert metrics_files(files, "-R", "eval") == ["eval/m.json", "eval/deep/m.yaml"]
    assert metrics_files(files, "-R", "eval/") == ["eval/m.json", "eval/deep/m.yaml"]
    assert metrics_files(files, "-R", "eval/deep", "top.json") == ["top.json", "eval/deep/m.yaml"]
    assert metrics_files(files, "-R", ".") == ["top.json", "eval/m.json", "eval/deep/m.yaml"]
    assert "no metrics file 'eva'" in refused(files, "metrics", "show", "-R", "eva")
    assert metrics_files(files, "eval") == ["eval/m.json", "eval/deep/m.yaml"]


def test_files_that_are_named_need_not_be_declared(files: Space) -> None:
    files.write("extra/x.yaml", "f1: 0.5\n")
    files.write("extra/y.toml", "r2 = 0.25\n")
    files.write("extra/plain", "mae: 3\n")
    files.write("extra/curve.csv", "step,loss\n1,2\n")
    files.dodo("exp", "save", "-n", "one")
    files.write("extra/x.yaml", "f1: 0.75\n")
    assert files.dodo("metrics", "show", "extra/x.yaml").out == (
        "Path          Metric  Value\nextra/x.yaml  f1       0.75\n"
    )
    assert files.dodo("metrics", "show", "--json", "--rev", "one", "extra/x.yaml").json == {
        "one": {"data": {"extra/x.yaml": {"data": {"f1": 0.5}}}}
    }
    assert metrics_files(files, "extra/plain") == ["extra/plain"]
    assert metrics_files(files, "extra") == ["extra/x.yaml", "extra/y.toml"]
    assert files.dodo("metrics", "diff", "one", "--targets", "extra", "--json").json == {
        "extra/x.yaml": {"f1": {"old": 0.5, "new": 0.75, "diff": 0.25}}
    }
    (shown,) = files.dodo("params", "show", "--json", "extra/y.toml").json.values()
    assert shown == {"data": {"extra/y.toml": {"data": {"r2": 0.25}}}}
    found = files.dodo("params", "diff", "one", "--targets", "extra/x.yaml", "--json").json
    assert found == {"extra/x.yaml": {"f1": {"old": 0.5, "new": 0.75, "diff": 0.25}}}
    from dodo_exp import api

    assert api.metrics_show("extra/x.yaml", rev="one", project=files.root) == {"f1": 0.5}
    files.write("extra/x.yaml", "f1: [\n")
    ran = files.dodo("metrics", "show", "extra/x.yaml", "top.json")
    assert "warning: extra/x.yaml:" in ran.err
    assert "top.json" in ran.out


def test_a_metrics_file_of_another_ending_is_yaml(space: Space) -> None:
    space.write("dvc.yaml", "metrics: [scores.txt, scores, bare.txt]\nstages: {}\n")
    space.write("scores.txt", "acc: 0.5\nloss: 0.125\n")
    space.write("scores", '{"f1": 0.75}\n')
    space.write("bare.txt", "3.5\n")
    ran = space.dodo("metrics", "show", "--json")
    assert ran.err == ""
    assert ran.json[""]["data"] == {
        "scores.txt": {"data": {"acc": 0.5, "loss": 0.125}},
        "scores": {"data": {"f1": 0.75}},
        "bare.txt": {"data": 3.5},
    }


def test_a_declared_metrics_file_that_is_missing_is_told(files: Space) -> None:
    files.remove("eval/m.json")
    ran = files.dodo("metrics", "show", "--json")
    assert ran.err == "warning: eval/m.json: no such file\n"
    found = ran.json[""]["data"]
    assert list(found) == ["top.json", "eval/m.json", "eval/deep/m.yaml"]
    assert found["eval/m.json"] == {"error": "eval/m.json: no such file"}


def test_targets_of_experiments(files: Space) -> None:
    two_experiments(files)
    shown = files.dodo("metrics", "show", "--json", "--rev", "one", "top.json").json
    assert shown == {"one": {"data": {"top.json": TOP}}}


def test_an_unknown_target_is_refused(files: Space) -> None:
    hint = "hint: `dodo stage list` says what is read\n"
    for target in ("nix.json", "nix", "../x", "/etc/passwd", ""):
        said = refused(files, "metrics", "show", target)
        assert said == f"error: no metrics file {target!r}\n{hint}"
    assert refused(files, "params", "show", "nix.json") == (
        f"error: no params file 'nix.json'\n{hint}"
    )


def test_an_unknown_target_beside_a_known_one_is_told(files: Space) -> None:
    ran = files.start("metrics", "show", "top.json", "nix.json")
    _, err = ran.communicate(timeout=60)
    assert "nix.json" in err


# -- forms -------------------------------------------------------------------------------------


def test_json_has_the_shape_of_dvcs(files: Space) -> None:
    assert files.dodo("metrics", "show", "--json").json == {
        "": {
            "data": {
                "top.json": TOP,
                "eval/m.json": {"data": {"loss": {"val": 12, "train": 3}}},
                "eval/deep/m.yaml": {"data": {"auc": 0.5}},
            }
        }
    }
    params = {"train": {"lr": 0.1, "layers": [64, 32]}, "opt": {"name": "adam"}, "seed": 7}
    assert files.dodo("params", "show", "--json").json == {
        "": {"data": {"params.yaml": {"data": params}, "more/p.toml": {"data": {"depth": 3}}}}
    }


def test_json_of_experiments_is_by_name(files: Space) -> None:
    two_experiments(files)
    shown = files.dodo("metrics", "show", "--json", "--rev", "two", "--rev", "one", "top.json")
    assert shown.json == {
        "two": {"data": {"top.json": {"data": {"acc": 0.75, "f1": 1}}}},
        "one": {"data": {"top.json": TOP}},
    }
    only = files.dodo("params", "show", "--json", "--rev", "workspace", "more/p.toml")
    assert only.json == {"workspace": {"data": {"more/p.toml": {"data": {"depth": 3}}}}}


def test_json_knows_only_params_that_a_stage_reads(files: Space) -> None:
    shown = files.dodo("params", "show", "--deps", "--json").json
    assert shown == {
        "": {"data": {"params.yaml": {"data": {"train": {"lr": 0.1}, "opt": {"name": "adam"}}}}}
    }


def test_json_has_no_nan(files: Space) -> None:
    files.write("top.json", '{"acc": NaN, "loss": Infinity}')
    out = files.dodo("metrics", "show", "--json", "top.json").out
    assert "NaN" not in out
    assert "Infinity" not in out


def test_csv_has_every_digit(files: Space) -> None:
    assert files.dodo("metrics", "show", "--csv").out == (
        "Path,Metric,Value\n"
        "top.json,acc,0.123456789\n"
        "top.json,ok,true\n"
        "eval/m.json,loss.val,12\n"
        "eval/m.json,loss.train,3\n"
        "eval/deep/m.yaml,auc,0.5\n"
    )


def test_csv_of_experiments(files: Space) -> None:
    two_experiments(files)
    shown = files.dodo("metrics", "show", "--csv", "--rev", "two", "--rev", "one", "top.json")
    assert shown.out == (
        "Path,Metric,two,one\ntop.json,acc,0.75,0.123456789\ntop.json,f1,1,\ntop.json,ok,,true\n"
    )


def test_markdown(files: Space) -> None:
    assert files.dodo("params", "show", "--md", "more/p.toml").out == (
        "| Path | Param | Value |\n| --- | --- | ---: |\n| more/p.toml | depth | 3 |\n"
    )


def test_only_one_form_counts(files: Space) -> None:
    out = files.dodo("params", "show", "--csv", "--json", "more/p.toml").out
    assert out.startswith("{")


# -- what is broken, and what is not there -----------------------------------------------------


def test_a_broken_metrics_file_is_told_and_the_rest_shown(files: Space) -> None:
    files.write("top.json", '{"acc": ')
    ran = files.dodo("metrics", "show")
    assert ran.err.startswith("warning: top.json")
    assert "not valid JSON" in ran.err
    assert ran.err.count("\n") == 1
    assert ran.out == (
        "Path              Metric      Value\n"
        "eval/m.json       loss.val       12\n"
        "eval/m.json       loss.train      3\n"
        "eval/deep/m.yaml  auc           0.5\n"
    )
    shown = files.dodo("metrics", "show", "--json").json[""]["data"]
    assert list(shown) == ["top.json", "eval/m.json", "eval/deep/m.yaml"]
    assert list(shown["top.json"]) == ["error"]


def test_a_broken_metrics_file_of_an_experiment_is_told_with_its_name(files: Space) -> None:
    files.write("top.json", "[")
    files.dodo("exp", "save", "-n", "one")
    ran = files.dodo("metrics", "show", "--rev", "one", "--csv")
    assert ran.err.startswith("warning: one: top.json")
    assert len(ran.out.splitlines()) == 4


def test_a_broken_params_file_is_told(files: Space) -> None:
    files.write("more/p.toml", "depth = \n")
    ran = files.dodo("params", "show", "--csv")
    assert ran.err.startswith("warning: more/p.toml")
    assert ran.out.endswith("params.yaml,seed,7\n")


def test_a_metrics_file_that_is_a_folder_or_unreadable_is_told(files: Space) -> None:
    files.remove("top.json")
    (files.root / "top.json").mkdir()
    ran = files.dodo("metrics", "show", "--csv", "-R", "eval", "top.json")
    assert ran.err.startswith("warning: top.json: ")
    assert len(ran.out.splitlines()) == 4


def test_values_of_every_kind(files: Space) -> None:
    files.write("eval/m.json", '{"a": null, "b": [1, {"c": 2}], "d": {}, "e": "text", "f": 1e99}')
    files.remove("eval/deep/m.yaml")
    values = files.dodo("metrics", "show", "--json", "-R", "eval").json[""]["data"]
    wanted: dict[str, Any] = {"a": None, "b": [1, {"c": 2}], "d": {}, "e": "text", "f": 1e99}
    assert values == {"eval/m.json": {"data": wanted}}
    table = files.dodo("metrics", "show", "--csv", "eval/m.json").out
    assert [line.split(",")[1] for line in table.splitlines()[1:]] == ["a", "b", "d", "e", "f"]


def test_nothing_to_show(space: Space) -> None:
    space.write("dvc.yaml", "stages: {a: {cmd: 'true'}}\n")
    for kind in ("params", "metrics"):
        ran = space.dodo(kind, "show")
        assert (ran.out, ran.err) == (f"There are no {kind}.\n", "")
        assert space.dodo(kind, "show", "--json").json == {"": {"data": {}}}
    assert space.dodo("metrics", "show", "--csv").out == ""
    assert space.dodo("metrics", "show", "-A").out == "There are no metrics.\n"
    assert not space.exists(".dodo")


def test_a_broken_pipeline_is_told(files: Space) -> None:
    files.write("dvc.yaml", "stages: [")
    for kind in ("params", "metrics"):
        assert "dvc.yaml" in refused(files, kind, "show")
