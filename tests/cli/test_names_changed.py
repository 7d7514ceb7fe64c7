"""A command whose names another command changes after it has read them: it tries again."""

from __future__ import annotations

import os
from typing import Any

import pytest

from dodo_exp.cli import main
from dodo_exp.engine import history
from dodo_exp.exps import apply, collect, find
from dodo_exp.exps.change import bring
from dodo_exp.exps.record import load
from dodo_exp.project import Project
from tests.space import Space

PIPELINE = """\
stages:
  train:
    cmd: for i in 1 2 3 4; do echo "${lr}.$i" >> model; dodo checkpoint; done
    params: [lr]
    outs: [model: {checkpoint: true}]
"""


@pytest.fixture
def project(space: Space) -> Space:
    """A project with the experiments `one` and `two` of four checkpoints, and a snapshot `old`."""
    space.write("dvc.yaml", PIPELINE)
    for name, lr in (("one", 1), ("two", 2)):
        space.write("params.yaml", f"lr: {lr}\n")
        space.dodo("exp", "run", "-q", "-n", name, "--reset")
    space.dodo("snapshot", "-n", "old")
    return space


def lose_an_object(project: Space, name: str) -> None:
    """Remove from the store the model that an experiment has."""
    store = project.store
    node = store.find(load(store, find.find(store, name).oid).result, "model")
    assert node is not None
    os.unlink(store.objects.path(node.oid))


@pytest.mark.parametrize(
    ("words", "other"),
    [
        ("exp tag late one two", "undo"),
        ("exp note one anything", "undo"),
        ("exp rename one three", "undo"),
        ("exp branch two old --force", "undo"),
        ("exp remove one", "undo"),
        ("exp remove one@1", "undo"),
        ("gc --keep-steps 2", "undo"),
        ("exp save -n one --force", "exp tag late one"),
        ("snapshot -n old --force", "exp tag late old"),
        ("exp import ../exported --force", "exp tag late one"),
        ("store check --repair", "exp tag late one"),
    ],
)
def test_a_command_tries_again_when_another_changes_a_name_that_it_has_read(
    project: Space, monkeypatch: pytest.MonkeyPatch, words: str, other: str
) -> None:
    """An undo, for one, changes names without keeping other commands from reading them."""
    project.dodo("exp", "export", "../exported", "one")
    project.dodo("exp", "tag", "early", "one", "old")
    if "--repair" in words:
        lose_an_object(project, "one")
    add = history.add
    attempts: list[None] = []

    def interrupted(*args: Any, **more: Any) -> int:
        attempts.append(None)
        if len(attempts) == 1:
            project.dodo(*other.split())
        return add(*args, **more)

    monkeypatch.setattr(history, "add", interrupted)
    monkeypatch.chdir(project.root)
    assert main.run(words.split()) == 0
    assert len(attempts) == 2


def test_undo_tries_again_when_another_command_changes_a_name(
    project: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.dodo("exp", "tag", "early", "one")
    attempts: list[None] = []

    def interrupted(*args: Any, **more: Any) -> Any:
        attempts.append(None)
        if len(attempts) == 1:
            project.dodo("exp", "tag", "late", "one")
        return bring(*args, **more)

    monkeypatch.setattr(apply, "bring", interrupted)
    done = apply.undo(Project(str(project.root), ""), None, "undo", lambda event: None)
    assert (len(attempts), done.step.command) == (2, "exp tag late one")
    assert project.dodo("exp", "tag", "again", "one").out == "one: again, early\n"


def test_gc_keeps_an_experiment_that_another_command_changes(
    project: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.dodo("exp", "tag", "early", "one")
    add = history.add

    def interrupted(*args: Any, **more: Any) -> int:
        project.dodo("undo")
        return add(*args, **more)

    monkeypatch.setattr(history, "add", interrupted)
    policy = collect.Policy(keep_last=1, grace=0)
    done = collect.collect(Project(str(project.root), ""), policy, "gc", lambda event: None)
    assert done.experiments == ()
    project.dodo("exp", "apply", "one")


def test_a_command_that_is_always_too_late_changes_nothing_and_ends_with_4(
    project: Space, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    add = history.add
    tags: list[str] = []

    def interrupted(*args: Any, **more: Any) -> int:
        tags.append(f"t{len(tags)}")
        project.dodo("exp", "tag", tags[-1], "one")
        return add(*args, **more)

    monkeypatch.setattr(history, "add", interrupted)
    monkeypatch.chdir(project.root)
    assert main.run("exp save -n one --force".split()) == 4
    said = "error: another command has just changed experiment 'one'\nhint: run this one again\n"
    assert capfd.readouterr().err.endswith(said)
    assert set(find.experiment(project.store, "one").tags) == set(tags)
    assert len(tags) == history.ATTEMPTS
