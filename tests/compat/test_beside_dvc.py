"""A folder that DVC manages, too: nothing of DVC's changes, and DVC sees what it saw before."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.compat.asking import ORACLE
from tests.space import Space

pytestmark = pytest.mark.oracle

PIPELINE = """\
stages:
  prepare:
    cmd: sort data.csv > sorted.csv
    deps: [data.csv]
    outs: [sorted.csv]
  train:
    cmd: cat sorted.csv params.yaml > model; echo '{"n":' $(wc -l < sorted.csv)'}' > metrics.json
    deps: [sorted.csv]
    params: [lr]
    outs: [model]
    metrics: [metrics.json: {cache: false}]
"""
OURS = (".dodo", "dodo.lock", "doit.cfg", "dodo.py", "__pycache__")

Dvc = Callable[..., str]


@pytest.fixture
def dvc(space: Space) -> Dvc:
    """DVC, in a repository of Git where it tracks a file and has run two stages."""
    if not os.environ.get(ORACLE):
        pytest.skip(f"{ORACLE} names no Python with DVC in it")
    bin_ = Path(os.environ[ORACLE]).parent
    env = {**space.env, "DVC_NO_ANALYTICS": "1", "PATH": f"{bin_}:{space.env['PATH']}"}

    def run(*words: str) -> str:
        done = subprocess.run(words, cwd=space.root, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("git", "init", "-q")
    for key in ("user.email", "user.name"):
        run("git", "config", key, "a@b")
    run("dvc", "init", "-q")
    space.write("dvc.yaml", PIPELINE)
    space.write("data.csv", "b\na\n")
    space.write("params.yaml", "lr: 0.1\n")
    run("dvc", "add", "-q", "data.csv")
    run("dvc", "repro", "-q")
    run("git", "add", "-A")
    run("git", "commit", "-qm", "base")
    return run


def told(dvc: Dvc) -> tuple[str, ...]:
    """What DVC says of the folder, and Git, of what is not ours."""
    changed = dvc("git", "status", "--porcelain", "--untracked-files=all").splitlines()
    others = [line for line in changed if not line[3:].startswith(OURS)]
    return (
        dvc("dvc", "status", "--json"),
        dvc("dvc", "data", "status", "--json"),
        dvc("dvc", "metrics", "show", "--json"),
        dvc("dvc", "exp", "show", "--csv", "--drop", "Created"),
        "\n".join(others),
    )


def dvcs(space: Space) -> dict[str, bytes]:
    """Every file that is DVC's own, but for its scratch."""
    return {
        path: data
        for path, data in space.tree().items()
        if (path.startswith(".dvc/") and not path.startswith((".dvc/tmp", ".dvc/cache/runs")))
        or path.endswith((".dvc", "dvc.lock", "dvc.yaml", ".gitignore"))
    }


@pytest.mark.parametrize(
    "words",
    [
        ["dodo repro"],
        ["dodo exp run"],
        ["dodo exp run --temp -S lr=0.5 -n other", "dodo exp show", "dodo exp diff other"],
        ["dodo exp run --queue -S lr=0.7", "dodo queue start", "dodo exp run --run-all"],
        ["dodo repro -f"],
        ["dodo commit", "dodo gc", "dodo status", "dodo doctor"],
        ["printf '[GLOBAL]\\nloader = dodo\\n' > doit.cfg", "doit", "doit -a", "doit list -s"],
        ["dodo repro", "rm -f model sorted.csv", "dodo checkout"],
        ["dodo exp run -S lr=0.5", "dodo undo"],
        ["dodo exp run -n one", "dodo exp run -S lr=0.5 -n two", "dodo exp apply one"],
        ["dodo freeze train", "dodo repro", "dodo unfreeze train"],
    ],
    ids=" + ".join,
)
def test_dvc_says_the_same_before_and_after(space: Space, dvc: Dvc, words: list[str]) -> None:
    before, files = told(dvc), dvcs(space)
    for each in words:
        done = subprocess.run(
            each, shell=True, cwd=space.root, env=space.env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    assert told(dvc) == before
    assert dvcs(space) == files


def test_what_dvc_has_made_is_not_made_again(space: Space, dvc: Dvc) -> None:
    assert set(space.repro("--json").stages.values()) == {"adopted"}


def test_what_dvc_has_made_since_is_not_taken_for_ours(space: Space, dvc: Dvc) -> None:
    space.repro()
    space.write("params.yaml", "lr: 0.9\n")
    dvc("dvc", "repro", "-q")
    assert space.repro("--json").stages["prepare"] == "unchanged"
    assert "lr: 0.9" in space.read("model")
    assert dvc("dvc", "status", "--json").strip() == "{}"


def test_dvc_takes_what_we_have_made(space: Space, dvc: Dvc) -> None:
    space.exp("-S", "lr=0.5")
    dvc("dvc", "commit", "-q", "-f")
    assert dvc("dvc", "status", "--json").strip() == "{}"
    assert dvc("dvc", "repro").count("skipping") == 3
