"""`dodo checkout`, `dodo commit`, and how outputs share their content with the store."""

from __future__ import annotations

import pytest

from tests.space import Space

FOLDERS = """\
stages:
  fill:
    cmd: mkdir -p data/d && cp raw.txt data/d/one && cp raw.txt data/two && cp raw.txt single
    deps: [raw.txt]
    outs: [data, single]
  join:
    cmd: cat data/d/one data/two > final
    deps: [data]
    outs: [final]
"""
SUB = "stages: {NAME: {cmd: cp ../raw.txt o, deps: [../raw.txt], outs: [o]}}\n"


@pytest.fixture
def folders(space: Space) -> Space:
    """Two stages that have run, the first one with a folder and a file."""
    space.write("dvc.yaml", FOLDERS)
    space.write("raw.txt", "raw\n")
    space.dodo("repro", "-q")
    return space


def inode(space: Space, path: str) -> int:
    """Which file on the disk it is."""
    return (space.root / path).stat().st_ino


def in_store(space: Space) -> set[int]:
    """The files of the store."""
    return {p.stat().st_ino for p in (space.root / ".dodo/objects").rglob("*") if p.is_file()}


def is_shared(space: Space, path: str) -> bool:
    """Whether a file is read-only and one with the store's."""
    mode = (space.root / path).stat().st_mode
    return inode(space, path) in in_store(space) and mode & 0o222 == 0


# -- checkout ------------------------------------------------------------------------------


def test_deleted_and_edited_outputs_come_back(folders: Space) -> None:
    """Files in folders, whole folders and files."""
    before = folders.tree()
    folders.remove("final")
    folders.remove("data/d/one")
    folders.write("single", "edited\n")
    folders.write("data/extra", "mine\n")
    ran = folders.dodo("checkout", "--json").json
    assert sorted(ran["changed"]) == ["data/d/one", "data/extra", "final", "single"]
    assert (ran["missing"], folders.tree()) == ([], before)
    assert folders.dodo("checkout", "--json").json == {"changed": [], "missing": [], "step": None}


def test_what_checkout_replaced_can_be_had_again(folders: Space) -> None:
    """A file in a folder's place as well as one too many in it."""
    folders.write("single", "edited\n")
    folders.write("data/extra", "mine\n")
    before = folders.tree()
    folders.dodo("checkout")
    folders.dodo("undo")
    assert folders.tree() == before
    for name in ("data/extra", "data/d/one", "data/two"):
        folders.remove(name)
    (folders.root / "data/d").rmdir()
    (folders.root / "data").rmdir()
    folders.write("data", "a file\n")
    folders.dodo("checkout")
    assert folders.read("data/two") == "raw\n"
    folders.dodo("undo")
    assert folders.read("data") == "a file\n"


def test_targets(folders: Space) -> None:
    """Outputs, stages, pipeline files, folders; what is not named stays away."""
    every = {"single", "data/two", "final"}
    for targets, back in (
        (["single"], {"single"}),
        (["data"], {"data/two"}),
        (["data/two"], {"data/two"}),
        (["fill"], {"single", "data/two"}),
        (["join"], {"final"}),
        (["final", "single"], {"final", "single"}),
        (["-d", "join"], every),
        (["-d", "final"], every),
        (["dvc.yaml"], every),
        (["dvc.yaml:join"], {"final"}),
        (["-R", "."], every),
    ):
        for path in every:
            (folders.root / path).unlink(missing_ok=True)
        folders.dodo("checkout", *targets)
        assert {path for path in every if folders.exists(path)} == back, targets


def test_outputs_are_named_as_seen_from_the_folder_one_stands_in(folders: Space) -> None:
    """Also where the stages that make them have the same name."""
    folders.write("sub/dvc.yaml", SUB.replace("NAME", "fill"))
    folders.dodo("repro", "-q", cwd="sub")
    for target in ("o", "../sub/o", "fill"):
        folders.remove("sub/o")
        folders.dodo("checkout", target, cwd="sub")
        assert folders.exists("sub/o")
    folders.remove("sub/o")
    folders.remove("single")
    folders.dodo("checkout", "../single", cwd="sub")
    assert (folders.exists("single"), folders.exists("sub/o")) == (True, False)
    folders.dodo("checkout", "-R", "sub")
    assert folders.exists("sub/o")


def test_unknown_targets_change_nothing(folders: Space) -> None:
    """The others neither."""
    folders.remove("single")
    ran = folders.dodo("checkout", "single", "sinlge", code=2)
    assert "'sinlge'" in ran.err
    assert not folders.exists("single")
    folders.dodo("checkout", "-R", "nowhere", code=2)


def test_what_the_store_does_not_have_is_named(space: Space) -> None:
    """And ends with 1, unless that is allowed; what can be had comes back either way."""
    space.write("dvc.yaml", FOLDERS.replace("cp raw.txt single", "echo one > single"))
    space.write("raw.txt", "raw\n")
    space.dodo("repro", "-q")
    space.remove("single")
    space.remove("final")
    for path in (space.root / ".dodo/objects").rglob("*"):
        if path.is_file() and path.read_bytes() == b"one\n":
            path.unlink()
    ran = space.dodo("checkout", "--json", code=1)
    assert (ran.json["missing"], ran.json["changed"]) == (["single"], ["final"])
    assert "single" in ran.err
    assert space.read("final") == "raw\nraw\n"
    assert space.dodo("checkout", "--allow-missing", "--json").json["missing"] == ["single"]
    space.write("single", "one\n")
    space.dodo("store", "check", "--repair")


def test_summary_only_counts(folders: Space) -> None:
    """One line, no paths."""
    folders.remove("single")
    folders.write("final", "x")
    ran = folders.dodo("checkout", "--summary")
    assert "single" not in ran.out
    assert "1 added" in ran.out and "1 changed" in ran.out


# -- commit --------------------------------------------------------------------------------


def test_what_was_made_by_hand_counts_as_made_by_the_stage(folders: Space) -> None:
    """Nothing runs afterwards; nothing is left to record."""
    folders.write("data/two", "by hand\n")
    folders.write("final", "by hand\n")
    assert folders.dodo("commit", "--json").json == {"recorded": ["fill", "join"]}
    assert folders.repro().stages == {"fill": "unchanged", "join": "unchanged"}
    assert folders.dodo("commit", "--json").json == {"recorded": []}
    folders.remove("data/two")
    folders.dodo("checkout")
    assert folders.read("data/two") == "by hand\n"


def test_an_edit_that_changes_no_result_is_taken_for_good(folders: Space) -> None:
    """Of one stage; what hangs on it is left alone."""
    folders.write("raw.txt", "another\n")
    assert "fill" in folders.dodo("status", "--json").json
    folders.dodo("commit", "fill")
    assert folders.dodo("status", "--json").json == {}


def test_what_is_committed_is_no_result_of_these_inputs_elsewhere(folders: Space) -> None:
    """The run-cache never gives it out: nobody saw the command make it."""
    folders.write("raw.txt", "another\n")
    folders.write("single", "by hand\n")
    folders.dodo("commit")
    folders.remove("dodo.lock")
    folders.repro()
    assert folders.read("single") == "another\n"


def test_an_output_or_input_that_is_missing_is_named_and_nothing_is_recorded(
    folders: Space,
) -> None:
    """Not even for the stages before it."""
    folders.write("single", "by hand\n")
    folders.remove("final")
    before = folders.tree()
    assert "'final'" in folders.dodo("commit", code=2).err
    folders.write("final", "x")
    folders.remove("raw.txt")
    assert "'raw.txt'" in folders.dodo("commit", code=2).err
    folders.write("raw.txt", "raw\n")
    folders.remove("final")
    assert folders.tree() == before


def test_undo_takes_back_a_commit(folders: Space) -> None:
    """What lies there stays; it is out of date again."""
    folders.write("single", "by hand\n")
    before = folders.tree()
    folders.dodo("commit")
    assert folders.tree() != before
    folders.dodo("undo")
    assert folders.tree() == before
    assert "fill" in folders.dodo("status", "--json").json


# -- sharing with the store ----------------------------------------------------------------

LINKED = {"DODO_LINK": "hardlink"}


def test_with_hardlink_outputs_share_their_content_and_nothing_else_does(project: Space) -> None:
    """Read-only, one with the store; code and params stay yours to edit."""
    project.exp("-n", "one")
    project.write("raw.txt", "other\n")
    project.exp("-n", "two")
    project.dodo("exp", "apply", "one", env=LINKED)
    project.dodo("checkout", "--relink", env=LINKED)
    assert is_shared(project, "data.txt") and is_shared(project, "model.txt")
    for own in ("raw.txt", "params.yaml", "dvc.yaml", "dodo.lock"):
        assert inode(project, own) not in in_store(project)
        assert (project.root / own).stat().st_mode & 0o200
    assert project.read("raw.txt") == "raw\n"


def test_with_hardlink_an_output_that_the_store_need_not_keep_is_not_shared(
    project: Space,
) -> None:
    """`cache: false` says that it is yours to look after."""
    project.exp("-n", "one")
    project.write("raw.txt", "longer\n")
    project.exp("-n", "two")
    project.dodo("exp", "apply", "one", env=LINKED)
    assert inode(project, "metrics.json") not in in_store(project)


def test_what_undo_brings_back_is_yours_to_edit(project: Space) -> None:
    """An input that apply replaced is no link into the store when it is back."""
    project.exp("-n", "one")
    project.write("raw.txt", "other\n")
    project.dodo("exp", "apply", "one", env=LINKED)
    project.dodo("undo", env=LINKED)
    assert project.read("raw.txt") == "other\n"
    assert inode(project, "raw.txt") not in in_store(project)


def test_relink_makes_the_outputs_what_the_setting_says(project: Space) -> None:
    """There and back."""
    project.exp()
    assert not is_shared(project, "model.txt")
    project.dodo("checkout", "--relink", env=LINKED)
    assert is_shared(project, "model.txt")
    assert project.repro().stages["train"] == "unchanged"
    project.dodo("checkout", "--relink")
    assert inode(project, "model.txt") not in in_store(project)
    assert (project.root / "model.txt").stat().st_mode & 0o200


def test_a_stage_that_makes_its_shared_output_anew_can(project: Space) -> None:
    """The old one is moved away first, so nothing writes into the store."""
    project.exp()
    project.dodo("checkout", "--relink", env=LINKED)
    project.write("params.yaml", "train: {lr: 9}\n")
    ran = project.dodo("repro", "--json", env=LINKED)
    assert ran.stages == {"prepare": "unchanged", "train": "ran", "evaluate": "ran"}
    assert "lr: 9" in project.read("model.txt")
    project.dodo("store", "check", "--full")


def test_a_stage_that_writes_into_a_shared_input_is_named_and_the_store_is_sound(
    project: Space,
) -> None:
    """The input's recorded content is still to be had afterwards."""
    project.exp("-n", "one")
    project.dodo("checkout", "--relink", env=LINKED)
    text = project.read("dvc.yaml")
    project.write(
        "dvc.yaml",
        text.replace("cmd: cat data", "cmd: chmod u+w data.txt; echo >> data.txt; cat data"),
    )
    ran = project.dodo("exp", "run", env=LINKED)
    assert "'train' wrote into its input 'data.txt' in place" in ran.err
    project.dodo("store", "check", "--full")
    project.write("dvc.yaml", text)
    project.dodo("exp", "apply", "one")
    assert project.read("data.txt") == "raw\n"


# -- settings ------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["off", "batch", "full"])
def test_durability_changes_no_result(project: Space, level: str) -> None:
    """A run, a snapshot and the way back, with each level."""
    env = {"DODO_DURABILITY": level}
    project.dodo("exp", "run", "-n", "one", env=env)
    before = project.tree()
    project.write("raw.txt", "other\n")
    project.dodo("exp", "apply", "one", env=env)
    assert project.tree() == before
    project.dodo("store", "check", "--full", env=env)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [("DODO_LINK", "hardlnk", "hardlink"), ("DODO_DURABILITY", "ful", "full")],
)
def test_a_bad_value_in_the_environment(project: Space, name: str, value: str, told: str) -> None:
    """It is named, with the one that was meant, before anything is written."""
    ran = project.dodo("snapshot", code=2, env={name: value})
    assert name in ran.err and f"'{value}'" in ran.err and f"did you mean '{told}'" in ran.err
    assert not (project.root / ".dodo").exists()


def test_a_settings_file_that_cannot_be_used_is_named(project: Space) -> None:
    """With what is wrong in it; reading still works."""
    project.dodo("init")
    for file, text, told in (
        ("dodo.toml", '[stor]\nlink = "copy"\n', "did you mean 'store'"),
        (".dodo/config", 'store = "copy"\n', "'store'"),
        ("dodo.toml", '[[store]]\nlink = "copy"\n', "'store'"),
        (".dodo/config", '[store]\nlnk = "copy"\n', "did you mean 'link'"),
        ("dodo.toml", '[store]\nlink = "hard"\n', "'hard'"),
        (".dodo/config", "[store]\nlink = 3\n", "link: 3"),
        ("dodo.toml", '[store]\ndurability = ["full"]\n', "durability"),
        (".dodo/config", "[store\n", "not TOML"),
    ):
        project.write(file, text)
        ran = project.dodo("snapshot", code=2)
        assert file in ran.err and told in ran.err
        project.remove(file)
    project.write("dodo.toml", "[store\n")
    project.dodo("status", "-q", code=1)


def test_this_folders_settings_come_before_the_projects_and_the_environment_before_both(
    project: Space,
) -> None:
    """Last come those that go with the project."""
    project.exp()
    for file, value, shared in (
        ("dodo.toml", "hardlink", True),
        (".dodo/config", "copy", False),
    ):
        project.write(file, f'[store]\nlink = "{value}"\n')
        project.dodo("checkout", "--relink")
        assert is_shared(project, "model.txt") == shared
    project.dodo("checkout", "--relink", env=LINKED)
    assert is_shared(project, "model.txt")
    project.dodo("checkout", "--relink", env={"DODO_LINK": ""})
    assert not is_shared(project, "model.txt")


def test_an_output_that_is_misspelt_is_meant(project: Space) -> None:
    project.exp()
    ran = project.dodo("checkout", "modle.txt", code=2)
    assert ran.err == "error: no stage or output 'modle.txt'\nhint: did you mean 'model.txt'?\n"
