"""Commands that edit one file at the same time: each change that is reported is there."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.space import Space

MANY = range(8)


def at_once(space: Space, *commands: tuple[str, ...]) -> None:
    """Run commands at the same time; all must succeed."""
    started = [space.start(*args) for args in commands]
    for process in started:
        out, err = process.communicate(timeout=110)
        assert process.returncode == 0, out + err


def stages(space: Space) -> dict[str, Any]:
    """The stages that dvc.yaml has."""
    listed = space.dodo("stage", "list", "--json").json
    return {each["name"]: each for each in listed}


def eight(space: Space) -> None:
    """A pipeline of eight stages, in one file."""
    rows = (f"  s{i}: {{cmd: echo {i}, frozen: false}}\n" for i in MANY)
    space.write("dvc.yaml", "stages:\n" + "".join(rows))


def test_stages_added_at_once_are_all_there(space: Space) -> None:
    """Also those of the command that makes the file, and the project."""
    at_once(space, *(("stage", "add", "-n", f"s{i}", "echo", str(i)) for i in MANY))
    assert set(stages(space)) == {f"s{i}" for i in MANY}


def test_stages_removed_at_once_are_all_gone(space: Space) -> None:
    eight(space)
    space.dodo("init")
    at_once(space, *(("stage", "remove", f"s{i}") for i in MANY[1:]))
    assert set(stages(space)) == {"s0"}


def test_stages_frozen_and_unfrozen_at_once_are_all_so(space: Space) -> None:
    eight(space)
    space.dodo("init")
    at_once(space, *(("freeze", f"s{i}") for i in MANY))
    assert space.read("dvc.yaml").count("frozen: true") == 8
    at_once(space, *(("unfreeze", f"s{i}") for i in MANY))
    assert space.read("dvc.yaml").count("frozen: true") == 0


@pytest.mark.parametrize("place", ["--project", "--local", "--user"])
def test_settings_set_at_once_are_all_there(space: Space, place: str) -> None:
    space.write("dvc.yaml", "stages: {}\n")
    at_once(space, *(("config", place, f"resources.r{i}", str(i + 1)) for i in MANY))
    path = {
        "--project": space.root / "dodo.toml",
        "--local": space.root / ".dodo/config",
        "--user": space.base / "home/.config/dodo/config.toml",
    }[place]
    assert tomllib.loads(path.read_text())["resources"] == {f"r{i}": i + 1 for i in MANY}


def test_data_added_at_once_is_all_there(space: Space) -> None:
    for i in MANY:
        space.write(f"d{i}", str(i))
    at_once(space, *(("add", f"d{i}") for i in MANY))
    for i in MANY:
        (space.root / f"d{i}").unlink()
    space.dodo("checkout")
    assert [space.read(f"d{i}") for i in MANY] == [str(i) for i in MANY]
    at_once(space, *(("add", "--forget", f"d{i}") for i in MANY[1:]))
    assert list(json.loads(space.read("dodo.lock"))["data"]) == ["d0"]


def test_init_and_stage_add_at_once_lose_nothing(space: Space) -> None:
    for i in MANY[:4]:
        space.write(f"make{i}.py", f"open('o{i}', 'w').write('x')\n")
    adds = [("stage", "add", "-n", f"s{i}", "echo", str(i)) for i in MANY[:4]]
    at_once(space, *[("init", "--yes")] * 4, *adds)
    wanted = {*(f"s{i}" for i in MANY[:4]), *(f"make{i}" for i in MANY[:4])}
    assert set(stages(space)) >= wanted


def test_what_is_refused_in_a_plain_folder_leaves_no_project(space: Space) -> None:
    space.dodo("stage", "add", "-n", "a", "-o", "dvc.yaml", "ls", code=2)
    assert list(space.root.iterdir()) == []


def test_a_first_stage_is_undone_and_says_where_the_project_is(space: Space) -> None:
    ran = space.dodo("stage", "add", "-n", "a", "ls")
    assert (ran.out, ran.err) == ("Added stage 'a' to dvc.yaml\n", "")
    assert ran.root == str(space.root)
    space.dodo("undo")
    assert not space.exists("dvc.yaml")


def test_a_pipeline_that_is_a_link_to_a_file_outside_is_edited_there(
    space: Space, tmp_path: Path
) -> None:
    (tmp_path / "shared.yaml").write_text("stages:\n  a: {cmd: ls}\n")
    (space.root / "dvc.yaml").symlink_to(tmp_path / "shared.yaml")
    at_once(space, *(("stage", "add", "-n", f"s{i}", "echo", str(i)) for i in MANY[:3]))
    assert (space.root / "dvc.yaml").is_symlink()
    assert set(stages(space)) == {"a", "s0", "s1", "s2"}
