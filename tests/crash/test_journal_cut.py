"""A journal that ends after any of its entries, as a power cut leaves it: no output is lost."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from dodo_exp.engine.journal import Journal
from dodo_store import record
from dodo_store.store import Store
from tests.space import Space, kill_tree, wait_for

PIPELINE = """\
stages:
  first:
    cmd: echo first > a
    params: [x]
    outs: [a]
  second:
    cmd: echo second > b; touch ../waiting; sleep 60
    deps: [a]
    outs: [b, c]
"""
BY_HAND = "changed by hand, and nowhere else\n"


def ends(journal: Path) -> list[int]:
    """Where each entry of a journal ends, and where the first begins."""
    data, found = journal.read_bytes(), [0]
    while found[-1] < len(data):
        found.append(record.split(record.JOURNAL, data, str(journal), found[-1])[1])
    return found


@pytest.fixture
def killed(space: Space) -> Space:
    """A project whose run was killed in its second stage, whose outputs were edited by hand."""
    space.write("dvc.yaml", PIPELINE)
    space.write("params.yaml", "x: 1\n")
    for name in ("a", "b"):
        space.write(name, f"{name}: {BY_HAND}")
    space.write("c/inner", f"c: {BY_HAND}")
    running = space.start("exp", "run", "-S", "x=2")
    wait_for((space.base / "waiting").exists)
    kill_tree(running)
    return space


def everything(root: Path) -> str:
    """The text of all files below a folder."""
    return "".join(path.read_text(errors="replace") for path in root.rglob("*") if path.is_file())


def test_wherever_the_journal_ends_outputs_edited_by_hand_are_kept(killed: Space) -> None:
    before = killed.base / "before"
    shutil.move(killed.root, before)
    [journal] = (before / ".dodo" / "journal").glob("*.journal")
    cuts = ends(journal)
    assert len(cuts) > 5
    for cut in (*cuts, None):
        shutil.copytree(before, killed.root, symlinks=True)
        there = killed.root / ".dodo" / "journal" / journal.name
        if cut is None:
            there.unlink()
        else:
            os.truncate(there, cut)
        err = killed.dodo("snapshot", "-n", "after").err
        found = everything(killed.root)
        for name in ("a", "b", "c"):
            assert f"{name}: {BY_HAND}" in found, (cut, name, err)
        if cut is None:
            assert "are kept in" in err
        shutil.rmtree(killed.root)
    killed.root.mkdir()


def test_a_copy_of_a_killed_project_leaves_the_original_alone(killed: Space) -> None:
    copy = killed.base / "copy"
    shutil.copytree(killed.root, copy, symlinks=True)
    before = killed.tree(), sorted(killed.root.glob(".dodo/journal/*.aside/*"))
    killed.dodo("status", cwd="../copy")
    for name in ("b", "c"):
        assert f"{name}: {BY_HAND}" in everything(copy / name if name == "c" else copy)
    assert (killed.tree(), sorted(killed.root.glob(".dodo/journal/*.aside/*"))) == before


@pytest.mark.parametrize("is_known", [True, False])
def test_the_only_copy_of_an_output_is_moved_after_its_entry_is_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_known: bool
) -> None:
    store = Store(str(tmp_path / ".dodo"))
    store.create()
    (tmp_path / "o").write_text(BY_HAND)
    journal = Journal(store, str(tmp_path), ["dvc.yaml"])
    done: list[str] = []
    real_fsync, real_rename = os.fsync, os.rename

    def fsync(fd: int) -> None:
        done.append(os.readlink(f"/proc/self/fd/{fd}"))
        real_fsync(fd)

    def rename(source: str, target: str) -> None:
        done.append("rename")
        real_rename(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    journal.aside("s", ["o"], {"o"} if is_known else set())
    synced = [] if is_known else [journal.path, f"{store.folder}/journal"]
    assert done == [*synced, "rename"]
