"""Which dvc.yaml files a project has."""

from __future__ import annotations

import json
import time

from tests.space import Space


def listed(space: Space) -> list[str]:
    """Every stage of the project."""
    return space.dodo("stage", "list", "--all", "--name-only").out.split()


def one(space: Space, folder: str) -> None:
    """A dvc.yaml with a stage named like its folder."""
    name = folder.replace("/", "_") or "top"
    path = f"{folder}/dvc.yaml" if folder else "dvc.yaml"
    space.write(path, json.dumps({"stages": {name: {"cmd": "true", "outs": [f"{name}.out"]}}}))


def test_files_come_and_go(space: Space) -> None:
    one(space, "")
    one(space, "a")
    space.dodo("init")
    assert listed(space) == ["top", "a/dvc.yaml:a"]
    time.sleep(0.06)
    listed(space)
    one(space, "a/b/c")
    one(space, "z")
    assert listed(space) == ["top", "a/dvc.yaml:a", "z/dvc.yaml:z", "a/b/c/dvc.yaml:a_b_c"]
    space.remove("a/dvc.yaml")
    assert listed(space) == ["top", "z/dvc.yaml:z", "a/b/c/dvc.yaml:a_b_c"]


def test_ignored_folders_and_outputs_are_not_walked(space: Space) -> None:
    one(space, "")
    one(space, "old")
    one(space, "vendored/x")
    one(space, ".venv")
    space.write(".venv/pyvenv.cfg", "")
    space.write(".dvcignore", "old/\n")
    space.write("vendored/.gitignore", "x\n")
    space.write("made/dvc.yaml", "stages: [no, pipeline]\n")
    stage = {"cmd": "true", "outs": ["made"]}
    space.write("dvc.yaml", json.dumps({"stages": {"top": stage}}))
    assert listed(space) == ["top"]


def test_a_changed_ignore_file_counts_at_once(space: Space) -> None:
    one(space, "")
    one(space, "old")
    space.dodo("init")
    listed(space)
    time.sleep(0.06)
    listed(space)
    space.write(".dvcignore", "old/\n")
    assert listed(space) == ["top"]


def test_a_folder_that_cannot_be_entered_is_passed_over(space: Space) -> None:
    one(space, "")
    (space.root / "loop").symlink_to(".")
    assert listed(space) == ["top"]
