"""Experiments beside DVC's own: what readers of its JSON and CSV see is the same table.

Real DVC runs the experiments in a Git repository, dodo runs them without one.
"""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.compat.asking import ORACLE
from tests.space import Space

pytestmark = pytest.mark.oracle

PIPELINE = """\
stages:
  train:
    cmd: sh train.sh
    deps: [train.sh]
    params: [lr, units]
    outs: [model]
    metrics: [metrics.json: {cache: false}]
"""
SCRIPT = """\
lr=$(sed -n 's/^lr: //p' params.yaml)
units=$(sed -n 's/^units: //p' params.yaml)
test "$units" != 0 || exit 3
cp params.yaml model
echo "{\\"acc\\": $lr, \\"nested\\": {\\"n\\": $units}, \\"name\\": \\"x\\"}" > metrics.json
"""
RUNS = [("one", ["lr=0.2"]), ("two", ["lr=0.3", "units=7"]), ("tiny", ["lr=1e-07"])]

Cell = str | float | int | bool | None
Seen = dict[str, tuple[str, dict[str, Cell]]]


def read(shown: list[Any]) -> Seen:
    """What code written for DVC's JSON makes of it: name -> (state, cells); the workspace too."""
    found: Seen = {}
    for baseline in shown:
        if baseline["rev"] == "workspace":
            assert baseline["data"]["timestamp"] is None
            found["workspace"] = ("", cells(baseline["data"]))
        for experiment in baseline["experiments"] or []:
            revision = experiment["revs"][0]
            executor = experiment["executor"]
            state = executor["state"] if executor else "success"
            found[experiment["name"]] = (state, cells(revision["data"]))
            assert revision["name"] == experiment["name"]
    return found


def cells(data: Any) -> dict[str, Cell]:
    """A revision's columns: metrics, params, and which dependencies there are."""
    made: dict[str, Cell] = {}
    for kind in ("metrics", "params"):
        for file, contents in data[kind].items():
            assert "error" not in contents
            flatten(contents["data"], f"{file}:", made)
    for path, dep in data["deps"].items():
        assert dep["hash"] is None or isinstance(dep["hash"], str)
        made[path] = "dependency"
    return made


def flatten(value: Any, prefix: str, made: dict[str, Cell]) -> None:
    """Nested mappings by dotted names."""
    for key, inner in value.items():
        if isinstance(inner, dict):
            flatten(inner, f"{prefix}{key}.", made)
        else:
            made[prefix + key] = inner


@pytest.fixture(scope="module")
def dvc(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The experiments as DVC ran them."""
    if not os.environ.get(ORACLE):
        pytest.skip(f"{ORACLE} names no Python with DVC in it")
    bin_ = Path(os.environ[ORACLE]).parent
    folder = tmp_path_factory.mktemp("dvc")
    env = {**os.environ, "PATH": f"{bin_}:{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}

    def run(*words: str) -> str:
        done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("git", "init", "-q")
    for key in ("user.email", "user.name"):
        run("git", "config", key, "a@b")
    run(f"{bin_}/dvc", "init", "-q")
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / "train.sh").write_text(SCRIPT)
    (folder / "params.yaml").write_text("lr: 0.1\nunits: 5\nunused: a\n")
    run("git", "add", "-A")
    run("git", "commit", "-qm", "base")
    for name, changes in RUNS:
        run(f"{bin_}/dvc", "exp", "run", "-q", "-n", name, *sets(changes))
    run(f"{bin_}/dvc", "exp", "run", "-q", "--queue", "-n", "waits", "-S", "lr=0.4")
    return lambda *words: run(f"{bin_}/dvc", *words)


def sets(changes: list[str]) -> list[str]:
    """The changes as options."""
    return [word for change in changes for word in ("-S", change)]


@pytest.fixture
def dodo(space: Space) -> Space:
    """The same experiments, as dodo runs them."""
    space.write("dvc.yaml", PIPELINE)
    space.write("train.sh", SCRIPT)
    space.write("params.yaml", "lr: 0.1\nunits: 5\nunused: a\n")
    for name, changes in RUNS:
        space.exp("-n", name, *sets(changes))
    space.dodo("exp", "run", "--queue", "-n", "waits", "-S", "lr=0.4")
    return space


def test_a_reader_of_dvcs_json_sees_the_same_table(dvc: Any, dodo: Space) -> None:
    theirs = read(json.loads(dvc("exp", "show", "--json")))
    ours = read(dodo.dodo("exp", "show", "--json").json)
    assert ours.keys() == {"workspace", "one", "two", "tiny", "waits"}
    assert ours == theirs


def test_a_reader_of_dvcs_csv_sees_the_same_table(dvc: Any, dodo: Space) -> None:
    def table(text: str) -> dict[str, dict[str, str]]:
        rows = list(csv.DictReader(io.StringIO(text)))
        skipped = ("rev", "typ", "Created", "parent", "train.sh")
        return {
            row["Experiment"] or row["rev"]: {k: v for k, v in row.items() if k not in skipped}
            for row in rows
            if "master" not in (row["Experiment"], row["rev"])
        }

    theirs, ours = dvc("exp", "show", "--csv"), dodo.dodo("exp", "show", "--csv").out
    assert table(ours) == table(theirs)
    assert ours.splitlines()[0] == theirs.splitlines()[0]


@pytest.mark.parametrize("verb", ["exp", "params", "metrics"])
def test_differences_are_dvcs(dvc: Any, dodo: Space, verb: str) -> None:
    args = (verb, "diff", "one", "two", "--json")
    theirs = json.loads(dvc(*args))
    assert dodo.dodo(*args).json == theirs


def test_metrics_are_dvcs(dvc: Any, dodo: Space) -> None:
    args = ("metrics", "show", "--json")
    assert dodo.dodo(*args).json == json.loads(dvc(*args))


LIVE = """\
from dvclive import Live
with Live() as live:
    for i in range(3):
        live.log_metric("train/loss", 1 / (i + 1))
        live.next_step()
"""
OWN = LIVE.replace("dvclive import", "dodo_exp.live import")


@pytest.mark.parametrize("has_git", [False, True])
def test_dvclive_works_in_a_stage_and_leaves_no_repository(space: Space, has_git: bool) -> None:
    if not os.environ.get(ORACLE):
        pytest.skip(f"{ORACLE} names no Python with DVC in it")
    python = os.environ[ORACLE]
    space.write(
        "dvc.yaml",
        f"""\
        stages:
          train:
            cmd: {python} train.py
            deps: [train.py]
            params: [lr]
            metrics: [dvclive/metrics.json: {{cache: false}}]
            plots: [dvclive/plots: {{cache: false}}]
        """,
    )
    space.write("train.py", LIVE)
    space.write("params.yaml", "lr: 0.1\n")
    if has_git:
        space.write(".gitignore", ".dodo\n")
        for words in ("init -q", "config user.email a@b", "config user.name x", "add -A",
                      "commit -qm base"):  # fmt: skip
            subprocess.run(["git", *words.split()], cwd=space.root, check=True)
    before = {path.name for path in space.root.iterdir()}
    space.exp("-n", "one")
    space.dodo("exp", "run", "--temp", "-n", "two", "-S", "lr=0.2")
    after = {path.name for path in space.root.iterdir()}
    assert after - before - {".dodo", "dodo.lock", "dvclive"} == set()
    assert {path.name for path in space.root.parent.iterdir()} <= {"project", "home", "runs.log"}
    expected = {"step": 2, "train": {"loss": 1 / 3}}
    for name in ("one", "two"):
        metrics = space.dodo("metrics", "show", "--rev", name, "--json").json
        assert metrics[name]["data"]["dvclive/metrics.json"]["data"] == expected
    if has_git:
        staged = ["git", "diff", "--cached", "--name-only"]
        done = subprocess.run(staged, cwd=space.root, capture_output=True, text=True, check=True)
        assert done.stdout == ""


def test_our_own_live_writes_the_files_of_dvclive(space: Space) -> None:
    if not os.environ.get(ORACLE):
        pytest.skip(f"{ORACLE} names no Python with DVC in it")
    import sys

    found = []
    for python, text in ((os.environ[ORACLE], LIVE), (sys.executable, OWN)):
        folder = space.root / Path(python).parent.parent.name
        folder.mkdir()
        done = subprocess.run([python, "-c", text], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found.append(
            (
                json.loads((folder / "dvclive/metrics.json").read_text()),
                (folder / "dvclive/plots/metrics/train/loss.tsv").read_text(),
            )
        )
    assert found[0] == found[1]
