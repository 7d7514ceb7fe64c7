"""`dodo plots` and `dodo exp show --html`: what is drawn, without a browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any

import pytest

from tests.space import Space

PIPELINE = """\
stages:
  train:
    cmd: sh train.sh
    deps: [train.sh]
    params: [lr]
    plots:
      - curve.csv: {cache: false, x: step, y: loss, title: Loss, x_label: epoch}
      - plain.tsv: {cache: false, header: false}
      - classes.json: {cache: false, template: confusion, x: actual, y: predicted}
      - pictures
plots:
  - both:
      x: step
      y: {curve.csv: [loss, acc]}
"""
SCRIPT = """\
lr=$(sed -n 's/lr: //p' params.yaml)
printf 'step,loss,acc\\n1,0.5,%s\\n2,0.25,nan\\n' "$lr" > curve.csv
printf '1\\t10\\n2\\t20\\n' > plain.tsv
echo '{"rows": [{"actual": "a", "predicted": "b"}, {"actual": "a", "predicted": "a"}]}' \\
  > classes.json
mkdir -p pictures/deep
printf '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>' > pictures/deep/one.svg
printf 'x' > pictures/notes.txt
"""


@pytest.fixture
def drawn(space: Space) -> Space:
    """Two experiments with curves, a confusion matrix and images."""
    space.write("dvc.yaml", PIPELINE)
    space.write("train.sh", SCRIPT)
    space.write("params.yaml", "lr: 0.1\n")
    space.exp("-n", "one")
    space.exp("-n", "two", "-S", "lr=0.9")
    return space


def specs(space: Space, *args: str) -> dict[str, Any]:
    """The plots of a command, by id."""
    found: dict[str, Any] = space.dodo("plots", *args, "--json").json["data"]
    return found


def data_of(page: str) -> Any:
    """What a page shows."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert found is not None
    return json.loads(found[1])


def test_every_plot_of_dvc_yaml_is_drawn(drawn: Space) -> None:
    assert list(specs(drawn, "show")) == [
        "dvc.yaml::both", "curve.csv", "plain.tsv", "classes.json", "pictures/deep/one.svg",
    ]  # fmt: skip


def test_points_are_those_of_the_experiment(drawn: Space) -> None:
    (plot,) = specs(drawn, "show", "--rev", "one", "curve.csv")["curve.csv"]
    assert plot["revisions"] == ["one"]
    values = plot["content"]["data"]["values"]
    assert values == [
        {"step": 1, "loss": 0.5, "acc": 0.1, "rev": "one"},
        {"step": 2, "loss": 0.25, "acc": None, "rev": "one"},
    ]
    assert plot["content"]["title"] == "Loss"
    assert plot["content"]["encoding"]["x"]["title"] == "epoch"


def test_several_y_are_told_apart(drawn: Space) -> None:
    (plot,) = specs(drawn, "diff", "one", "two", "--targets", "both")["dvc.yaml::both"]
    values = plot["content"]["data"]["values"]
    found = [(v["rev"], v["field"], v["step"], v["dvc_inferred_y_value"]) for v in values]
    assert found == [
        ("one", "loss", 1, 0.5), ("one", "loss", 2, 0.25), ("one", "acc", 1, 0.1),
        ("one", "acc", 2, None), ("two", "loss", 1, 0.5), ("two", "loss", 2, 0.25),
        ("two", "acc", 1, 0.9), ("two", "acc", 2, None),
    ]  # fmt: skip
    assert plot["content"]["encoding"]["color"]["scale"]["domain"] == ["one", "two"]


def test_without_names_columns_are_numbered_and_the_last_is_drawn(drawn: Space) -> None:
    (plot,) = specs(drawn, "show", "plain.tsv")["plain.tsv"]
    values = plot["content"]["data"]["values"]
    assert values == [
        {"step": 0, "0": 1, "1": 10, "rev": "workspace"},
        {"step": 1, "0": 2, "1": 20, "rev": "workspace"},
    ]
    assert plot["content"]["encoding"]["y"]["field"] == "1"


def test_a_list_within_json_is_found(drawn: Space) -> None:
    (plot,) = specs(drawn, "show", "classes.json")["classes.json"]
    assert [v["predicted"] for v in plot["content"]["data"]["values"]] == ["b", "a"]
    assert plot["content"]["spec"]["layer"][0]["mark"] == "rect"


def test_images_are_one_for_each_experiment(drawn: Space) -> None:
    found = specs(drawn, "diff", "one", "two", "--targets", "pictures")
    assert found == {
        "pictures/deep/one.svg": [
            {"type": "image", "revisions": [name], "url": "pictures/deep/one.svg"}
            for name in ("one", "two")
        ]
    }


def test_the_command_line_says_how(drawn: Space) -> None:
    args = ("-x", "loss", "-y", "acc", "-t", "scatter", "--title", "T", "--y-label", "Y")
    spec = drawn.dodo("plots", "show", "curve.csv", *args, "--show-vega").json
    assert (spec["title"], spec["mark"], spec["encoding"]["x"]["field"]) == (
        "T", {"type": "point"}, "loss",
    )  # fmt: skip
    assert spec["encoding"]["y"]["title"] == "Y"


def test_a_file_that_no_dvc_yaml_names_is_drawn_too(drawn: Space) -> None:
    drawn.write("own.csv", "a,b\n1,2\n")
    (plot,) = specs(drawn, "show", "own.csv")["own.csv"]
    assert plot["content"]["data"]["values"] == [{"step": 0, "a": 1, "b": 2, "rev": "workspace"}]
    missing = drawn.dodo("plots", "show", "curv.csv", code=2)
    assert missing.err == "error: no plot or file 'curv.csv'\nhint: did you mean 'curve.csv'?\n"


def test_templates_are_listed_printed_and_of_ones_own(drawn: Space) -> None:
    assert drawn.dodo("plots", "templates").out.split() == [
        "bar_horizontal", "bar_horizontal_sorted", "confusion", "confusion_normalized", "linear",
        "scatter", "scatter_jitter", "simple", "smooth",
    ]  # fmt: skip
    own = drawn.dodo("plots", "templates", "simple").json
    own["mark"] = {"type": "area"}
    drawn.write(".dvc/plots/mine.json", json.dumps(own))
    spec = drawn.dodo("plots", "show", "curve.csv", "-t", "mine", "--show-vega").json
    assert spec["mark"] == {"type": "area"}
    assert len(spec["data"]["values"]) == 2
    wrong = drawn.dodo("plots", "show", "curve.csv", "-t", "simpel", "--show-vega", code=2)
    assert wrong.err == "error: no template 'simpel'\nhint: did you mean 'simple'?\n"


def test_a_broken_table_does_not_hide_the_rest(drawn: Space) -> None:
    drawn.write("classes.json", "{")
    shown = drawn.dodo("plots", "show", "--json")
    assert "warning: classes.json:1" in shown.err
    assert "curve.csv" in shown.json["data"]
    drawn.dodo("plots", "show", "-o", "out")
    assert "classes.json" in data_of(drawn.read("out/index.html"))["notes"][0]


def test_a_page_needs_nothing_but_itself(drawn: Space) -> None:
    drawn.dodo("exp", "show", "--html", "page.html")
    page = drawn.read("page.html")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy[1]
    scripts = re.findall(r"<script>(.*?)</script>", page, re.S)
    for text in (*scripts, *re.findall(r"<style>(.*?)</style>", page, re.S)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy[1]
    assert len(scripts) == 4
    assert not re.search(
        r'(?:src|href)="(?!data:)', re.sub(r"<script>.*?</script>", "", page, flags=re.S)
    )


def test_a_page_has_rows_curves_images_and_stages(drawn: Space) -> None:
    drawn.dodo("exp", "tag", "best", "two")
    drawn.dodo("exp", "show", "--html", "page.html", "--filter", "lr > 0.5")
    data = data_of(drawn.read("page.html"))
    assert [(row["name"], row["tags"]) for row in data["rows"]] == [
        ("workspace", []), ("two", ["best"]),
    ]  # fmt: skip
    assert [column["header"] for column in data["columns"]] == ["lr", "train.sh"]
    curves = {chart["id"]: chart["points"] for chart in data["charts"]}
    assert curves["curve.csv"]["two"] == {
        "fields": ["step", "loss", "acc"],
        "rows": [[1, 0.5, 0.9], [2, 0.25, None]],
    }
    assert data["images"][0]["pictures"]["two"].startswith("data:image/svg+xml;base64,")
    assert data["dag"] == {"nodes": ["train"], "edges": []}


def test_what_is_in_the_data_stays_data(drawn: Space) -> None:
    drawn.exp("-n", "evil", "-S", 'note="</script><script>alert(1)</script>"')
    drawn.dodo("exp", "show", "--html", "page.html")
    page = drawn.read("page.html")
    assert "alert(1)</script>" not in page
    assert any("</script>" in str(v) for row in data_of(page)["rows"] for v in row["values"])


def test_only_a_page_of_ours_is_written_over(drawn: Space) -> None:
    drawn.write("page.html", "mine")
    refused = drawn.dodo("exp", "show", "--html", "page.html", code=2)
    assert "is there already" in refused.err
    assert drawn.read("page.html") == "mine"
    drawn.dodo("exp", "show", "--html", "other.html")
    drawn.dodo("exp", "show", "--html", "other.html")


def test_pages_of_plots_lie_with_our_own_files(drawn: Space) -> None:
    out = drawn.dodo("plots", "diff", "one").out
    assert re.fullmatch(r"file://\S+/\.dodo/pages/plots\.html \(\d+ kB\)\n", out)
    data = data_of(drawn.read(".dodo/pages/plots.html"))
    assert [row["name"] for row in data["rows"]] == ["one", "workspace"]
    assert data["hasTable"] is False


def test_nothing_to_draw_is_said(project: Space) -> None:
    assert project.dodo("plots", "show").out == "There are no plots: dvc.yaml names none.\n"
    assert project.dodo("plots", "show", "--show-vega", code=2).err.startswith("error: --show-vega")


def test_counts_are_of_all_rows_and_only_curves_are_thinned(drawn: Space) -> None:
    rows = "".join(f"{i},{'ab'[i % 2]},{i}\n" for i in range(12_001))
    drawn.write("large.csv", "step,actual,loss\n" + rows)
    (whole,) = specs(drawn, "show", "large.csv", "-y", "loss")["large.csv"]
    assert len(whole["content"]["data"]["values"]) == 12_001
    for template, most in (("linear", 5_000), ("confusion", 12_001)):
        drawn.dodo("plots", "show", "large.csv", "-x", "step", "-t", template, "-o", "out")
        (chart,) = data_of(drawn.read("out/index.html"))["charts"]
        points = chart["points"]["workspace"]["rows"]
        assert most * 0.6 < len(points) <= most
        assert points[-1][0] == 12_000


def test_what_is_not_in_the_project_is_not_put_into_a_page(drawn: Space) -> None:
    secret = drawn.base / "secret.csv"
    secret.write_text("a,b\n1,2\n")
    (drawn.root / "link.csv").symlink_to(secret)
    drawn.write("dvc.yaml", f"plots: [{secret}, ../secret.csv, link.csv]\n")
    drawn.dodo("exp", "show", "--html", "page.html")
    assert data_of(drawn.read("page.html"))["charts"] == []


def test_a_file_that_is_no_file_is_not_waited_for(drawn: Space) -> None:
    import os

    drawn.remove("plain.tsv")
    os.mkfifo(drawn.root / "plain.tsv")
    assert "curve.csv" in specs(drawn, "show")


def test_dots_in_a_field_are_no_way_into_it(drawn: Space) -> None:
    drawn.write("own.csv", "step,train.loss,007\n1,0.5,007\n")
    spec = drawn.dodo("plots", "show", "own.csv", "-y", "train.loss", "--show-vega").json
    assert spec["encoding"]["y"]["field"] == "train\\.loss"
    assert spec["encoding"]["y"]["title"] == "train.loss"
    assert spec["data"]["values"][0]["007"] == "007"
