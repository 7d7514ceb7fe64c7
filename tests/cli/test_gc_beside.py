"""Every command that writes, beside a loop of collections: nothing that has a name is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dodo_exp.engine import history
from dodo_exp.errors import Busy
from dodo_exp.events import Event
from dodo_exp.exps import collect, find, roots, state
from dodo_exp.project import Project
from dodo_store import durable
from dodo_store.store import Store
from tests.space import Ran, Space

PIPELINE = """\
stages:
  train:
    cmd: >-
      for i in 1 2 3 4 5; do cat *.yaml code.py > model; echo $i >> model; dodo checkpoint; done
    deps: [code.py]
    params: [lr]
    outs: [model: {checkpoint: true}]
  score:
    cmd: cat model > score
    deps: [model]
    outs: [score]
"""


@pytest.fixture
def project(space: Space) -> Space:
    """A project with three experiments, each with checkpoints."""
    space.write("dvc.yaml", PIPELINE)
    space.write("code.py", "one\n")
    for lr in (1, 2, 3):
        space.write("params.yaml", f"lr: {lr}\n")
        space.dodo("exp", "run", "-q", "-n", f"e{lr}", "--reset")
    return space


@contextmanager
def collecting(space: Space) -> Iterator[list[int]]:
    """Run `dodo gc --grace 0` again and again; the list counts the rounds."""
    rounds: list[int] = []
    errors: list[str] = []
    stop = threading.Event()

    def loop() -> None:
        while not stop.is_set():
            keep = ("--keep-steps", "4") if len(rounds) % 3 == 2 else ()
            process = space.start("gc", "--grace", "0", *keep)
            _, err = process.communicate(timeout=60)
            if process.returncode or "Traceback" in err:
                errors.append(f"exit {process.returncode}: {err}")
            rounds.append(process.returncode)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield rounds
    finally:
        stop.set()
        thread.join()
        assert errors == []


def test_every_command_that_writes_beside_collections(project: Space) -> None:
    def undo() -> None:
        """gc without a grace may have forgotten the step already."""
        process = project.start("undo")
        _, err = process.communicate(timeout=60)
        assert process.returncode in (0, 2) and "Traceback" not in err, err

    with collecting(project) as rounds:
        for turn in range(2):
            project.dodo("exp", "tag", f"t{turn}", "e1", "e2", "e3")
            project.dodo("exp", "note", "e1", f"turn {turn}")
            project.dodo("exp", "rename", "e3", "renamed")
            project.dodo("exp", "rename", "renamed", "e3")
            project.dodo("exp", "branch", "e1", f"branch-{turn}")
            project.dodo("exp", "remove", f"e2@{turn + 3}")
            undo()
            project.dodo("exp", "apply", "e1", "--exact")
            undo()
            project.write("code.py", f"mine {turn}\n")
            project.dodo("snapshot", "-n", f"before-{turn}")
            project.dodo("exp", "apply", "e2", "--exact")
            project.dodo("checkout")
            project.write("score", f"by hand {turn}\n")
            project.dodo("commit")
            project.dodo("exp", "save", "-n", f"saved-{turn}")
            project.dodo("exp", "export", f"../pack-{turn}", "e1")
            project.dodo("exp", "remove", "e1")
            undo()
            project.dodo("exp", "import", f"../pack-{turn}")
            project.dodo("exp", "run", "-q", "--queue", "-n", f"q{turn}", "-S", f"lr=1{turn}")
            project.dodo("exp", "run", "-q", "--run-all")
            project.dodo("exp", "run", "-q", "-n", f"r{turn}", "-S", f"lr=2{turn}")
            project.write("raw.txt", f"raw {turn}\n")
            project.dodo("add", "raw.txt")
            project.dodo("add", "--forget", "raw.txt")
            project.dodo("freeze", "score")
            project.dodo("unfreeze", "score")
            project.dodo("stage", "add", "-n", "extra", "-o", "extra", "echo 1 > extra")
            project.dodo("repro", "-q", "-f", "extra")
            project.dodo("stage", "remove", "extra")
            project.dodo("config", "run.grace", f"{turn + 5}s")
            project.dodo("store", "check", "--repair")
    assert len(rounds) > 5
    project.check()
    project.dodo("store", "check", "--full")
    for name in ("e1", "e2", "e3", "q0", "q1", "r0", "r1", "saved-0", "branch-1"):
        project.dodo("exp", "apply", name, "--exact")
    for turn in range(2):
        assert project.dodo("store", "cat", f"before-{turn}:code.py").out == f"mine {turn}\n"


def silent(event: Event) -> None:
    """Listen to nothing."""


def during_search(
    monkeypatch: pytest.MonkeyPatch, space: Space, action: tuple[str, ...]
) -> collect.Result:
    """Collect everything that can go; *action* is run when gc has forgotten old steps already."""
    real = roots.everything
    done: list[Ran] = []

    def everything(*args: object, **more: object) -> object:
        if not done:
            done.append(space.dodo(*action))
        return real(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(roots, "everything", everything)
    result = collect.collect(
        Project(str(space.root), ""), collect.Policy(grace=0), "dodo gc", silent
    )
    monkeypatch.undo()
    assert done
    return result


def test_what_apply_has_replaced_while_gc_searched_comes_back(
    project: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("code.py", "my own work\n")
    time.sleep(0.05)  # what gc may remove was last touched before it begins
    during_search(monkeypatch, project, ("exp", "apply", "e1", "--exact"))
    assert project.read("code.py") == "one\n"
    project.dodo("undo")
    assert project.read("code.py") == "my own work\n"


def test_what_was_removed_while_gc_searched_comes_back(
    project: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    during_search(monkeypatch, project, ("exp", "remove", "e1"))
    project.dodo("undo")
    project.dodo("exp", "apply", "e1", "--exact")
    project.check()


def test_what_was_made_again_under_a_removed_name_is_kept(
    project: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = roots.everything
    done: list[Ran] = []

    def everything(*args: object, **more: object) -> object:
        if not find.everything(project.store, ("experiment",)) and not done:
            project.write("code.py", "two\n")
            done.append(project.dodo("exp", "save", "-n", "e1"))
        return real(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(roots, "everything", everything)
    policy = collect.Policy(keep_last=0, grace=0)
    collect.collect(Project(str(project.root), ""), policy, "dodo gc", silent)
    monkeypatch.undo()
    assert done
    project.check()
    project.dodo("exp", "apply", "e1", "--exact")


def test_step_numbers_are_never_used_twice(project: Space) -> None:
    first = [step.number for step in history.steps(project.store)]
    project.dodo("gc", "--grace", "0")
    assert list(history.steps(project.store)) == []
    project.dodo("exp", "tag", "new", "e1")
    assert [step.number for step in history.steps(project.store)] == [max(first) + 1]


def test_a_step_that_another_gc_removes_meanwhile_is_not_called_unreadable(
    project: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = history.load

    def load(store: Store, number: int) -> history.Step | None:
        history.forget(store, [number])
        return real(store, number)

    monkeypatch.setattr(history, "load", load)
    assert history.unreadable(project.store) == []


def test_a_name_that_another_command_has_just_changed_is_left_as_it_is(project: Space) -> None:
    store = project.store
    old = store.experiments.get("e1")
    assert old is not None
    project.dodo("exp", "tag", "theirs", "e1")
    with store.writing(), pytest.raises(Busy, match="has just changed experiment 'e1'"):
        history.add(store, "tag", refs=(history.Renamed("experiment", "e1", old, None),))
    assert find.experiment(store, "e1").tags == ("theirs",)


def test_an_experiment_is_noted_though_gc_removes_the_notes_meanwhile(
    project: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, replace, states = project.store, durable.replace, project.root / ".dodo/states"
    found = find.experiment(store, "e1")
    (states / found.state.hex()).unlink()

    def disturbed(path: str, data: bytes, *, sync: bool = True, mode: int | None = None) -> None:
        if path.startswith(str(states)) and not (project.root / "moved").exists():
            states.rename(project.root / "moved")
        replace(path, data, sync=sync, mode=mode)

    monkeypatch.setattr(durable, "replace", disturbed)
    state.remember(store, "e1", found.state)
    assert (states / found.state.hex()).read_text() == "e1"
    assert len(list(states.iterdir())) == 3


def test_eight_labels_at_once_are_all_there(project: Space) -> None:
    started = [project.start("exp", "tag", f"t{i}", "e1") for i in range(8)]
    for process in started:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    assert find.experiment(project.store, "e1").tags == tuple(f"t{i}" for i in range(8))
