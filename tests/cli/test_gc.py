"""`dodo gc`: what anything needs stays, what nothing needs goes, whatever runs beside it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.space import Space
from tests.store.kit import flip, look

PIPELINE = """\
stages:
  train:
    cmd: >-
      mkdir out && cat params.yaml > out/a && head -c 200000 /dev/urandom > out/b
      && echo train >> ../runs.log
    deps: [raw.txt]
    params: [lr]
    outs: [out]
"""
"""Each run makes 200 kB that no other run makes."""


@pytest.fixture
def train(space: Space) -> Space:
    """A project with one stage."""
    space.write("dvc.yaml", PIPELINE)
    space.write("params.yaml", "lr: 0\n")
    space.write("raw.txt", "raw\n")
    return space


def run(space: Space, name: str, lr: int) -> None:
    space.dodo("exp", "run", "-S", f"lr={lr}", "-n", name)


def gc(space: Space, *args: str) -> Any:
    return space.dodo("gc", "--json", *args).json


def pools(space: Space) -> dict[bytes, Any]:
    """All contents, folders and records."""
    return {
        name: what
        for name, what in look(space.root / ".dodo").items()
        if name.split(b"/")[0] in (b"objects", b"trees", b"records") and what != "folder"
    }


def size(space: Space) -> int:
    return sum(len(what[2]) for what in pools(space).values())


# -- kept ------------------------------------------------------------------------------------


def test_every_experiment_can_be_applied_after_a_collection(train: Space) -> None:
    outs = {}
    for lr in range(3):
        run(train, f"e{lr}", lr)
        outs[lr] = look(train.root / "out")
    gc(train, "--grace", "0")
    train.check()
    for lr, out in outs.items():
        train.dodo("exp", "apply", f"e{lr}")
        assert look(train.root / "out") == out
        assert train.dodo("status").code == 0


def test_snapshots_are_kept(train: Space) -> None:
    train.write("notes.txt", "only the snapshot has this\n")
    train.dodo("snapshot", "-n", "noted")
    train.remove("notes.txt")
    gc(train, "--grace", "0")
    train.dodo("exp", "apply", "noted")
    assert train.read("notes.txt") == "only the snapshot has this\n"


def test_what_undo_needs_is_kept_within_the_grace(train: Space) -> None:
    run(train, "one", 1)
    out = look(train.root / "out")
    train.write("raw.txt", "an edit that nobody has kept\n")
    train.dodo("exp", "apply", "one")
    train.dodo("exp", "remove", "one")
    gc(train, "--grace", "1h")
    train.dodo("undo")
    train.dodo("undo")
    assert train.read("raw.txt") == "an edit that nobody has kept\n"
    train.dodo("exp", "apply", "one")
    assert look(train.root / "out") == out


@pytest.mark.parametrize("between", [[], ["exp", "rename", "one", "other"]])
def test_what_is_up_to_date_stays_so_when_runs_were_undone(
    train: Space, between: list[str]
) -> None:
    """Each result is kept once, whoever names it."""
    run(train, "one", 1)
    run(train, "two", 2)
    if between:
        train.dodo(*between)
        train.dodo("undo")
    train.dodo("undo")
    assert "up to date" in train.dodo("exp", "run").out.lower()
    train.dodo("gc", "--grace", "0")
    assert "up to date" in train.dodo("exp", "run").out.lower()
    assert train.runs == ["train"] * 2


def test_without_a_grace_nothing_can_be_undone(train: Space) -> None:
    run(train, "one", 1)
    train.dodo("exp", "remove", "one")
    gc(train, "--grace", "0")
    train.dodo("undo", code=2)


def test_what_the_lock_file_names_is_kept(train: Space) -> None:
    run(train, "one", 1)
    out = look(train.root / "out")
    train.dodo("exp", "remove", "one")
    shutil.rmtree(train.root / ".dodo" / "runs")
    (train.root / ".dodo" / "runs").mkdir()
    gc(train, "--grace", "0")
    shutil.rmtree(train.root / "out")
    train.dodo("checkout")
    assert look(train.root / "out") == out


def test_the_run_cache_is_kept(train: Space) -> None:
    run(train, "one", 1)
    out = look(train.root / "out")
    train.dodo("exp", "remove", "one")
    shutil.rmtree(train.root / "out")
    train.remove("dodo.lock")
    gc(train, "--grace", "0")
    train.forget_runs()
    assert train.repro().stages == {"train": "restored"}
    assert train.runs == []
    assert look(train.root / "out") == out


def test_a_lock_file_in_a_folder_below_is_a_lock_file_too(train: Space) -> None:
    below = train.root / "below"
    below.mkdir()
    for name in ("dvc.yaml", "params.yaml", "raw.txt"):
        shutil.move(train.root / name, below / name)
    train.write("below/dvc.yaml", PIPELINE.replace("../runs.log", "../../runs.log"))
    train.dodo("repro", cwd="below")
    out = look(below / "out")
    train.dodo("gc", "--grace", "0", cwd="below")
    shutil.rmtree(below / "out")
    train.dodo("checkout", cwd="below")
    assert look(below / "out") == out


# -- given back ------------------------------------------------------------------------------


def test_the_space_of_removed_experiments_comes_back(train: Space) -> None:
    run(train, "base", 0)
    train.dodo("gc", "--grace", "0")
    before = size(train)
    for lr in range(1, 4):
        run(train, f"e{lr}", lr)
    assert size(train) > before + 600_000
    train.dodo("exp", "apply", "base")
    train.dodo("exp", "remove", "e1", "e2", "e3")
    gc(train, "--grace", "0", "--older-than", "0d")
    assert size(train) < before + 50_000
    train.check()


def test_what_is_said_to_be_removed_is_what_is_gone(train: Space) -> None:
    for lr in range(3):
        run(train, f"e{lr}", lr)
    before = pools(train)
    told = gc(train, "--grace", "0", "--keep-last", "1")
    gone = before.keys() - pools(train).keys()
    assert sorted(told["removed"]["experiments"]) == ["e0", "e1"]
    assert told["removed"]["bytes"] == sum(len(before[name][2]) for name in gone)
    assert told["removed"]["files"] == len(gone)


CACHES = {b"index", b"memo", b"stamps"}


@pytest.mark.parametrize(
    "args",
    [
        pytest.param([], marks=pytest.mark.soak),
        pytest.param(["--grace", "0"], marks=pytest.mark.soak),
        ["--keep-last", "1"],
        ["--keep-last", "0", "--grace", "0"],
    ],
)
def test_a_dry_run_changes_nothing_and_says_the_same(train: Space, args: list[str]) -> None:
    for lr in range(3):
        run(train, f"e{lr}", lr)
    train.dodo("exp", "remove", "e1")
    before = look(train.root / ".dodo")
    told = gc(train, "--dry-run", *args)
    after = look(train.root / ".dodo")
    assert {n for n in before.keys() ^ after.keys() if not n.startswith(b"locks")} <= CACHES
    assert {n for n in before if n in after and before[n] != after[n]} <= CACHES
    done = gc(train, *args)
    assert told["removed"] == done["removed"]
    if "0" in args:  # else what could be undone is counted for undo rather than as recent
        assert told["kept"] == done["kept"]


def test_the_last_are_kept_and_their_content(train: Space) -> None:
    for lr in range(4):
        run(train, f"e{lr}", lr)
    gc(train, "--keep-last", "2", "--grace", "0")
    assert sorted(os.listdir(train.root / ".dodo" / "exps")) == ["e2", "e3"]
    train.dodo("exp", "apply", "e2")
    train.dodo("exp", "apply", "e3")


def test_an_age_keeps_what_is_younger(train: Space) -> None:
    run(train, "old", 1)
    time.sleep(2.1)
    run(train, "new", 2)
    gc(train, "--older-than", "2s", "--grace", "0")
    assert os.listdir(train.root / ".dodo" / "exps") == ["new"]
    gc(train, "--older-than", "1h", "--grace", "0")
    assert os.listdir(train.root / ".dodo" / "exps") == ["new"]


def test_a_second_collection_finds_nothing_to_do(train: Space) -> None:
    run(train, "one", 1)
    train.dodo("exp", "remove", "one")
    gc(train, "--grace", "0", "--older-than", "0d")
    before = pools(train)
    again = gc(train, "--grace", "0", "--older-than", "0d")
    assert pools(train) == before
    assert again["removed"]["experiments"] == []


# -- what cannot be read ---------------------------------------------------------------------


def spoil_ref(space: Space) -> Path:
    return space.root / ".dodo" / "exps" / "one"


def spoil_record(space: Space) -> Path:
    oid = space.store.experiments.get("one")
    assert oid is not None
    return Path(space.store.records.path(oid))


@pytest.mark.parametrize("what", ["ref", "record", "newer-record"])
def test_what_an_unreadable_experiment_may_need_is_not_removed(train: Space, what: str) -> None:
    run(train, "two", 2)
    run(train, "one", 1)
    train.dodo("exp", "apply", "two")
    path = spoil_ref(train) if what == "ref" else spoil_record(train)
    whole, times = path.read_bytes(), path.stat()
    out = train.store.find(experiment_of(train), "out/b")
    assert out is not None
    kept = Path(train.store.objects.path(out.oid))
    if what == "newer-record":
        path = newer(train, path)
    else:
        flip(path)
    shutil.rmtree(train.root / ".dodo" / "runs")
    (train.root / ".dodo" / "runs").mkdir()
    train.dodo("gc", "--grace", "0", code=5)
    is_kept = kept.exists()
    # Whatever happened, the store is to be sound at the end.
    if is_kept:
        if what == "newer-record":
            spoil_ref(train).unlink()
        else:
            path.write_bytes(whole)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    else:
        spoil_ref(train).unlink()
        if what == "record":
            path.unlink(missing_ok=True)
    assert is_kept


def experiment_of(space: Space) -> Any:
    from dodo_exp.exps import find

    return find.experiment(space.store, "one").result


def newer(space: Space, path: Path) -> Path:
    """Let the record be one that a newer version has written."""
    from dodo_store.oid import of_bytes

    data = bytearray(path.read_bytes()[:-16])
    data[4] = 2
    record = bytes(data) + of_bytes(bytes(data))
    oid = of_bytes(record)
    new = Path(space.store.records.path(oid))
    new.parent.mkdir(exist_ok=True)
    new.write_bytes(record)
    store = space.store
    with store.writing():
        store.experiments.set("one", oid)
    return new


# -- beside runs -----------------------------------------------------------------------------


def beside_runs(space: Space, rounds: int, gc_args: tuple[str, ...], runners: int = 1) -> int:
    """Run one after another while collections loop; returns how many of them there were."""
    collections = 0
    collector: subprocess.Popen[str] | None = None
    failed = []
    waiting = list(range(1, rounds + 1))
    running: list[tuple[int, subprocess.Popen[str]]] = []
    until = time.monotonic() + 30 + rounds * 3
    while waiting or running:
        assert time.monotonic() < until
        while waiting and len(running) < runners:
            lr = waiting.pop(0)
            running.append((lr, space.start("exp", "run", "-S", f"lr={lr}", "-n", f"e{lr}")))
        if collector is None:
            collector = space.start("gc", *gc_args)
        if collector.poll() is not None:
            _, err = collector.communicate()
            assert collector.returncode == 0, err
            collections += 1
            collector = None
        for lr, process in running:
            if process.poll() is not None:
                _, err = process.communicate()
                if process.returncode:
                    failed.append((lr, err))
        running = [(lr, process) for lr, process in running if process.returncode is None]
        time.sleep(0.002)
    if collector is not None:
        collector.communicate(timeout=60)
    assert failed == []
    return collections


def check_all(space: Space, rounds: int) -> None:
    """Every experiment is whole, and can be applied."""
    space.check()
    space.dodo("store", "check", "--full")
    for lr in range(1, rounds + 1):
        space.dodo("exp", "apply", f"e{lr}")
        assert space.read("params.yaml") == f"lr: {lr}\n"
        assert space.read("out/a") == f"lr: {lr}\n"


def test_runs_beside_a_loop_of_collections_lose_nothing(train: Space) -> None:
    train.dodo("exp", "save", "-n", "start")
    assert beside_runs(train, 20, ("--grace", "0")) >= 5
    check_all(train, 20)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_many_runs_beside_a_loop_of_collections_lose_nothing(train: Space) -> None:
    assert beside_runs(train, 50, ("--grace", "0"), runners=3) >= 10
    check_all(train, 50)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_imports_and_removals_beside_a_loop_of_collections(train: Space) -> None:
    run(train, "e1", 1)
    train.dodo("exp", "export", "../pack")
    train.dodo("exp", "remove", "e1")
    run(train, "e2", 2)
    train.dodo("exp", "remove", "e2")
    shutil.rmtree(train.root / ".dodo" / "runs")
    (train.root / ".dodo" / "runs").mkdir()
    train.dodo("exp", "import", "../pack")
    for _ in range(30):
        train.dodo("exp", "remove", "e1")
        collector = train.start("gc", "--grace", "0")
        train.dodo("exp", "import", "../pack")
        _, err = collector.communicate(timeout=60)
        assert "Traceback" not in err
        train.check()
    train.dodo("exp", "apply", "e1")


def test_a_collection_says_what_the_rest_is_for(train: Space) -> None:
    run(train, "one", 1)
    out = train.dodo("gc", "--grace", "0").out
    assert re.search(r"experiments", out), out
