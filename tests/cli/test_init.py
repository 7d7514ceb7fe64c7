"""`dodo init` and where the root is."""

from __future__ import annotations

import pytest

from tests.space import Space


def test_init_settles_the_root(space: Space) -> None:
    (space.root / ".git").mkdir()
    space.write("sub/dvc.yaml", "stages: {a: {cmd: touch a, outs: [a]}}\n")
    assert space.dodo("init", cwd="sub").out == (
        f"Made {space.root}/sub a project. Next: `dodo exp run`\n"
    )
    assert space.dodo("init", cwd="sub").out == "This is a project already.\n"
    assert space.dodo("repro", "--json", cwd="sub").stages == {"a": "ran"}
    assert not space.exists(".dodo")


@pytest.mark.parametrize("mark", [".git", ".dvc"])
def test_without_init_a_repository_is_the_root(space: Space, mark: str) -> None:
    (space.root / mark).mkdir()
    space.write("sub/dvc.yaml", "stages: {a: {cmd: touch a, outs: [a]}}\n")
    assert space.dodo("repro", "--json", cwd="sub").stages == {"sub/dvc.yaml:a": "ran"}
    assert space.exists(".dodo")


def test_without_anything_the_folder_of_the_dvc_yaml_is_the_root(space: Space) -> None:
    space.write("dvc.yaml", "stages: {a: {cmd: touch a, outs: [a]}}\n")
    space.write("sub/x", "x")
    assert space.dodo("status", cwd="sub").out == "a: out of date\n    not run yet\n"


def test_the_store_keeps_itself_out_of_repositories(project: Space) -> None:
    project.exp()
    assert project.read(".dodo/.gitignore") == "*\n"
    assert (project.root / ".dodo").stat().st_mode & 0o777 == 0o700


def test_a_repository_without_a_pipeline_is_no_project_to_run(space: Space) -> None:
    (space.root / ".git").mkdir()
    assert "no dvc.yaml in this project" in space.dodo("exp", "run", code=3).err
    assert space.dodo("status").out == "There are no stages in this project.\n"
