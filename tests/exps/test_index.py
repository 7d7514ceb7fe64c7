"""The index: made from the refs, and never believed against them."""

from __future__ import annotations

import os
import time

import pytest

from dodo_exp.exps import index
from tests.space import Space


def names(space: Space) -> list[str]:
    """Experiments in the order of the index."""
    return [row.name for row in index.rows(space.store)]


def test_every_experiment_the_newest_first(project: Space) -> None:
    for name, rate in (("a", 1), ("b", 2), ("c", 3)):
        project.exp("-n", name, "-S", f"train.lr={rate}")
    assert names(project) == ["c", "b", "a"]


def test_it_is_written_once_the_folder_has_settled_and_used_from_then_on(project: Space) -> None:
    project.exp("-n", "a")
    path = project.root / ".dodo" / "index"
    time.sleep(0.06)
    names(project)
    before = path.stat().st_mtime_ns
    names(project)
    assert path.stat().st_mtime_ns == before


def test_a_ref_that_is_gone_or_new_is_noticed(project: Space) -> None:
    project.exp("-n", "a")
    project.exp("-n", "b", "-S", "train.lr=2")
    time.sleep(0.06)
    names(project)
    refs = project.root / ".dodo" / "exps"
    os.rename(refs / "a", refs / "z")
    assert names(project) == ["b", "z"]
    os.rename(refs / "z", refs / "a")


def test_a_damaged_index_is_made_again(project: Space) -> None:
    project.exp("-n", "a")
    time.sleep(0.06)
    names(project)
    (project.root / ".dodo" / "index").write_bytes(b"rubbish")
    assert names(project) == ["a"]


def test_an_index_that_other_code_has_written_is_made_again(
    project: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.exp("-n", "a")
    path = project.root / ".dodo" / "index"
    time.sleep(0.06)
    names(project)
    before = path.read_bytes()
    monkeypatch.setattr("dodo_exp.engine.still._identity", "another")
    assert names(project) == ["a"]
    assert path.read_bytes() != before


def test_a_record_that_is_gone_leaves_its_name_with_the_problem(project: Space) -> None:
    project.exp("-n", "a")
    oid = project.store.experiments.get("a")
    assert oid is not None
    path = project.store.records.path(oid)
    os.rename(path, path + ".away")
    (row,) = index.rows(project.store)
    assert (row.name, row.problem) == ("a", "not in the store")
    os.rename(path + ".away", path)
