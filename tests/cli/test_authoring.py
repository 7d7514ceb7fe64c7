"""Commands that write dvc.yaml and settings: nothing else in them moves, and undo takes back."""

from __future__ import annotations

import pytest

from tests.space import Space

PIPELINE = """\
# my pipeline
stages:
  a:   # first
    cmd: cp in.txt a.txt
    deps: [in.txt]
    outs: [a.txt]

  # one for each
  b:
    foreach: [1, 2]
    do:
      cmd: cp a.txt b${item}.txt
      deps: [a.txt]
      outs:
      - b${item}.txt
  c: {cmd: cat b1.txt b2.txt > c.txt, deps: [b1.txt, b2.txt], outs: [c.txt]}
  d:
    matrix:
      n: [x]
    cmd: echo ${item.n} > d-${item.n}
    outs:
    - d-${item.n}
"""


@pytest.fixture
def written(space: Space) -> Space:
    """A project with a plain stage, a foreach, a flow mapping and a matrix; it has run."""
    space.write("dvc.yaml", PIPELINE)
    space.write("in.txt", "a\n")
    space.repro()
    return space


# -- freeze --------------------------------------------------------------------------------


def test_a_frozen_stage_is_not_run_until_it_is_unfrozen(written: Space) -> None:
    assert written.dodo("freeze", "a").out == "Froze a\n"
    written.write("in.txt", "b\n")
    assert written.dodo("status").out == "Data and pipelines are up to date.\n"
    assert written.dodo("unfreeze", "a").out == "Unfroze a\n"
    assert written.repro("--json").stages["a"] == "ran"
    assert written.read("dvc.yaml") == PIPELINE


def test_freezing_adds_one_line_and_unfreezing_takes_it_away(written: Space) -> None:
    written.dodo("freeze", "a", "b", "c", "d")
    frozen = (
        PIPELINE.replace("    outs: [a.txt]\n", "    outs: [a.txt]\n    frozen: true\n")
        .replace("      - b${item}.txt\n", "      - b${item}.txt\n      frozen: true\n")
        .replace("[c.txt]}", "[c.txt], frozen: true}")
        .replace("    - d-${item.n}\n", "    - d-${item.n}\n    frozen: true\n")
    )
    assert written.read("dvc.yaml") == frozen
    assert written.dodo("freeze", "a").out == "Frozen already: a\n"
    written.dodo("unfreeze", "a", "b", "c", "d")
    assert written.read("dvc.yaml") == PIPELINE
    assert written.dodo("unfreeze", "a").out == "Not frozen: a\n"
    written.dodo("undo")
    assert written.read("dvc.yaml") == frozen


def test_frozen_false_is_not_frozen(written: Space) -> None:
    written.write("dvc.yaml", PIPELINE.replace("[a.txt]\n\n", "[a.txt]\n    frozen: false\n\n"))
    written.dodo("freeze", "a")
    assert "    frozen: true\n\n" in written.read("dvc.yaml")


@pytest.mark.parametrize("verb", [["freeze"], ["unfreeze"], ["stage", "remove"]])
def test_one_of_a_group_is_not_written_anywhere(written: Space, verb: list[str]) -> None:
    ran = written.dodo(*verb, "b@1", code=2)
    assert ran.err == (
        "error: 'b@1' is one of the stages of 'b'\nhint: see dvc.yaml:9, or name 'b'\n"
    )
    assert written.read("dvc.yaml") == PIPELINE


@pytest.mark.parametrize("verb", [["freeze"], ["unfreeze"], ["stage", "remove"]])
def test_an_unknown_stage_changes_nothing(written: Space, verb: list[str]) -> None:
    ran = written.dodo(*verb, "a", "cc", code=2)
    assert ran.err.startswith("error: no stage 'cc' in dvc.yaml\nhint: ")
    assert written.read("dvc.yaml") == PIPELINE


# -- stage remove --------------------------------------------------------------------------


def test_a_removed_stage_leaves_its_outputs_and_the_rest_of_the_file(written: Space) -> None:
    ran = written.dodo("stage", "remove", "b")
    assert ran.out == "Removed b\nStill there: b1.txt, b2.txt\n"
    assert "warning: stage 'c' reads b1.txt, which no stage makes now\n" in ran.err
    start, end = PIPELINE.index("  b:\n"), PIPELINE.index("  c: ")
    assert written.read("dvc.yaml") == PIPELINE[:start] + PIPELINE[end:]
    assert '"b@1"' not in written.read("dodo.lock")
    assert written.exists("b1.txt")
    written.dodo("undo")
    assert written.read("dvc.yaml") == PIPELINE
    assert written.repro("--json").stages["b@1"] == "unchanged"


def test_outputs_go_with_the_stage_and_come_back_with_undo(written: Space) -> None:
    assert written.dodo("stage", "remove", "--outs", "b", "c").out == "Removed b, c\n"
    assert not written.exists("b1.txt") and not written.exists("c.txt")
    written.dodo("undo")
    assert written.read("b1.txt") == "a\n"
    assert written.dodo("status").out == "Data and pipelines are up to date.\n"


def test_every_stage_can_be_removed(written: Space) -> None:
    written.dodo("stage", "remove", "a", "b", "c", "d")
    assert written.dodo("stage", "list").out == ""
    written.dodo("stage", "add", "-n", "new", "-o", "x", "echo > x")
    assert written.repro("--json").stages == {"new": "ran"}


def test_what_makes_a_pipeline_useless_can_be_removed(space: Space) -> None:
    space.write(
        "dvc.yaml",
        "stages:\n  a: {cmd: echo > x, outs: [x]}\n  b: {cmd: echo > x, outs: [x]}\n",
    )
    space.repro(code=2)
    space.dodo("stage", "remove", "b")
    assert space.repro("--json").stages == {"a": "ran"}


def test_a_stage_of_another_folder(space: Space) -> None:
    space.write("sub/dvc.yaml", "stages:\n  a: {cmd: echo > x, outs: [x]}\n  b: {cmd: echo}\n")
    (space.root / ".dvc").mkdir()
    assert space.dodo("stage", "remove", "sub/dvc.yaml:a").out == "Removed sub/dvc.yaml:a\n"
    assert space.dodo("freeze", "b", cwd="sub").out == "Froze b\n"
    assert space.read("sub/dvc.yaml") == "stages:\n  b: {cmd: echo, frozen: true}\n"


def test_a_linked_dvc_yaml_stays_a_link(space: Space) -> None:
    space.write("real.yaml", "stages:\n  a: {cmd: echo}\n")
    (space.root / "dvc.yaml").symlink_to("real.yaml")
    space.dodo("freeze", "a")
    assert (space.root / "dvc.yaml").is_symlink()
    assert space.read("real.yaml") == "stages:\n  a: {cmd: echo, frozen: true}\n"
    space.dodo("undo")
    assert space.read("real.yaml") == "stages:\n  a: {cmd: echo}\n"


def test_adding_a_stage_can_be_undone(written: Space) -> None:
    written.dodo("stage", "add", "-n", "e", "-c", "model", "-d", "in.txt", "cp in.txt model")
    assert written.read("dvc.yaml").endswith("    outs:\n    - model:\n        checkpoint: true\n")
    written.dodo("undo")
    assert written.read("dvc.yaml") == PIPELINE


# -- config --------------------------------------------------------------------------------


def test_settings_are_written_where_they_are_asked_for_and_shown_with_their_place(
    project: Space,
) -> None:
    project.write("dodo.toml", "# ours\n[run]\ngrace = '5s'  # short\n")
    assert project.dodo("config", "grace", "60s").out == "run.grace = 60s (dodo.toml)\n"
    assert project.read("dodo.toml") == "# ours\n[run]\ngrace = '60s'  # short\n"
    project.dodo("config", "--local", "resources.gpu", '["0", "3"]')
    assert project.read(".dodo/config") == '[resources]\ngpu = ["0", "3"]\n'
    project.dodo("config", "--user", "link", "hardlink")
    shown = project.dodo("config", "--json").json
    own = str(project.base / "home/.config/dodo/config.toml")
    assert shown == {
        "store.durability": {"value": "batch", "from": "default"},
        "store.link": {"value": "hardlink", "from": own},
        "store.hash": {"value": "changed", "from": "default"},
        "run.on_finish": {"value": "", "from": "default"},
        "run.grace": {"value": "60s", "from": "dodo.toml"},
        "resources.gpu": {"value": ["0", "3"], "from": ".dodo/config"},
    }
    project.env["DODO_LINK"] = "copy"
    assert project.dodo("config", "store.link").out == "copy\n"
    assert project.dodo("config", "--user", "link").out == "hardlink\n"


def test_a_users_own_settings_hold_in_every_project(project: Space) -> None:
    project.dodo("config", "--user", "link", "hardlink")
    project.exp()
    made = project.root / "metrics.json"
    outs = [path for path in project.root.iterdir() if path.is_file() and path.stat().st_nlink > 1]
    assert outs and made.exists()


def test_an_unset_setting_is_the_weaker_places_again(project: Space) -> None:
    project.dodo("config", "grace", "60s")
    assert project.dodo("config", "-u", "grace").out == (
        "run.grace is not set any more (dodo.toml)\n"
    )
    assert project.dodo("config", "grace").out == "10.0\n"
    project.dodo("undo")
    assert project.dodo("config", "grace").out == "60s\n"


@pytest.mark.parametrize(
    "words, said",
    [
        (["link", "x"], "error: not set: dodo.toml: [store] link: 'x' is not a valid value\n"),
        (["lnk"], "error: no setting 'lnk'\n"),
        (["resources.gpu", "many"], "error: not set: dodo.toml: [resources] gpu: neither"),
        (["-u", "grace"], "error: run.grace is not set in dodo.toml\n"),
        (["-u"], "error: which setting? name one\n"),
        (["--user", "--local"], "error: --user, --project and --local contradict each other\n"),
        (["-u", "grace", "5"], "error: --unset takes no value\n"),
    ],
)
def test_what_is_no_setting_is_not_written(project: Space, words: list[str], said: str) -> None:
    assert project.dodo("config", *words, code=2).err.startswith(said)
    assert not project.exists("dodo.toml")


def test_a_setting_that_is_not_there_ends_with_1(project: Space) -> None:
    assert project.dodo("config", "resources.gpu", code=1).out == ""


# -- doctor --------------------------------------------------------------------------------


def test_doctor_tries_the_file_system_and_leaves_nothing(project: Space) -> None:
    before = project.tree()
    ran = project.dodo("doctor")
    assert "\nFile system\n" in ran.out and "locks between processes (flock): yes" in ran.out
    assert "  root: " + str(project.root) in ran.out
    assert project.tree() == before and not project.exists(".dodo")


def test_doctor_names_what_is_wrong(project: Space) -> None:
    project.write("dodo.toml", "[store]\nlink = 'x'\n")
    project.write("dvc.yaml", "stages: [\n")
    ran = project.dodo("doctor", code=1)
    assert "problem: " in ran.out and "dodo.toml: [store] link" in ran.out
    rows = {row["what"]: row["level"] for row in project.dodo("doctor", "--json", code=1).json}
    assert rows["settings"] == rows["pipelines"] == "problem"


def test_doctor_says_so_where_there_is_no_project(space: Space) -> None:
    assert "no dvc.yaml here or above" in space.dodo("doctor").out
