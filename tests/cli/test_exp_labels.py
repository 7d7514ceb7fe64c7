"""`dodo exp rename`, `tag`, `note`, `list`, `branch` and `remove --keep`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import Any

import pytest

from tests.space import Space

FILES = [".gitignore", "dodo.lock", "dvc.yaml", "metrics.json", "params.yaml", "raw.txt"]
"""Of an experiment, what Git does not ignore."""
ODD = os.fsdecode(b"a\xff")
"""Bytes that are no UTF-8."""


def two_experiments(space: Space) -> None:
    """`one` with a rate of 0.1 and `two` with 0.25, which the workspace holds then."""
    space.exp("-n", "one")
    space.exp("-n", "two", "-S", "train.lr=0.25", "-m", "faster")


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Space:
    """A project with two experiments, to be copied."""
    made = Space(tmp_path_factory.mktemp("both"))
    made.three_stages()
    two_experiments(made)
    return made


@pytest.fixture
def both(space: Space, pattern: Space) -> Space:
    """A project with two experiments."""
    shutil.copytree(pattern.base, space.base, symlinks=True, dirs_exist_ok=True)
    return space


def plain(text: str) -> str:
    """Times of day and short ids as one word each."""
    text = re.sub(r"\d\d:\d\d:\d\d", "HH:MM:SS", text)
    return re.sub(r"\b[0-9a-f]{7}\b", "IDIDIDI", text)


def refused(space: Space, *args: str) -> str:
    """What is said of a fault of the user's."""
    ran = space.dodo(*args, code=2)
    assert ran.out == ""
    assert ran.err.startswith("error: ")
    return ran.err


def listed(space: Space) -> dict[str, dict[str, Any]]:
    """Experiments by name, as `exp list` has them."""
    return {each["name"]: each for each in space.dodo("exp", "list", "--json").json}


def names(space: Space) -> list[str]:
    """The names of the experiments, the newest first."""
    return space.dodo("exp", "list", "--name-only").out.split()


def rows(space: Space) -> list[str]:
    """The names of all rows of the table."""
    return [line.split()[0] for line in space.dodo("exp", "show").out.splitlines()[1:]]


# -- rename ------------------------------------------------------------------------------------


def test_rename_changes_the_name_and_nothing_else(both: Space) -> None:
    before, files = listed(both)["one"], both.tree()
    ran = both.dodo("exp", "rename", "one", "first")
    assert (ran.out, ran.err) == ("'one' is now 'first'\n", "")
    after = listed(both)
    assert list(after) == ["two", "first"]
    assert {**after["first"], "name": "one", "id": before["id"]} == before
    assert both.tree() == files


def test_rename_as_json(both: Space) -> None:
    ran = both.dodo("exp", "rename", "one", "first", "--json")
    assert ran.json == {"old": "one", "new": "first"}


def test_rename_takes_an_id_too(both: Space) -> None:
    oid = listed(both)["one"]["id"]
    assert both.dodo("exp", "rename", oid[:10], "first").out == "'one' is now 'first'\n"


def test_rename_keeps_the_log(both: Space) -> None:
    log = both.dodo("exp", "logs", "one").out
    both.dodo("exp", "rename", "one", "first")
    both.dodo("exp", "rename", "first", "begin")
    assert both.dodo("exp", "logs", "begin").out == log
    assert "prepare" in log


def test_a_log_stays_with_its_experiment_when_another_takes_the_old_name(both: Space) -> None:
    log = both.dodo("exp", "logs", "one").out
    both.dodo("exp", "rename", "one", "first")
    both.exp("-n", "one", "-S", "train.lr=0.75")
    assert both.dodo("exp", "logs", "first").out == log
    assert "0.25 -> 0.75" in both.dodo("exp", "logs", "one").out


def test_what_is_run_again_is_known_by_its_new_name(both: Space) -> None:
    both.dodo("exp", "rename", "one", "first")
    both.dodo("exp", "rename", "two", "second")
    both.forget_runs()
    again = both.dodo("exp", "run")
    assert again.out.startswith("Up to date: experiment 'second' holds this result\n")
    again = both.dodo("exp", "run", "-S", "train.lr=0.1")
    assert again.out.startswith("2 restored, 1 unchanged: the same result as experiment 'first'\n")
    assert both.runs == []
    assert names(both) == ["second", "first"]


def test_what_is_run_again_is_known_by_its_old_name_after_an_undo(both: Space) -> None:
    both.dodo("exp", "rename", "two", "second")
    assert both.dodo("undo").out == (
        "Undone: `exp rename two second`\n"
        "  experiment 'two' is back\n"
        "  experiment 'second' is gone\n"
    )
    again = both.dodo("exp", "run")
    assert again.out.startswith("Up to date: experiment 'two' holds this result\n")
    assert names(both) == ["two", "one"]


def test_what_is_run_again_is_known_after_the_undo_of_a_replacing_rename(both: Space) -> None:
    both.dodo("exp", "rename", "-f", "two", "one")
    both.dodo("undo")
    again = both.dodo("exp", "run")
    assert again.out.startswith("Up to date: experiment 'two' holds this result\n")
    again = both.dodo("exp", "run", "-S", "train.lr=0.1")
    assert "the same result as experiment 'one'\n" in again.out
    assert names(both) == ["two", "one"]


def test_what_is_run_again_is_known_though_another_took_the_name_it_had(both: Space) -> None:
    both.dodo("exp", "rename", "two", "best")
    both.dodo("undo")
    both.dodo("exp", "rename", "one", "best")
    again = both.dodo("exp", "run")
    assert again.out.startswith("Up to date: experiment 'two' holds this result\n")


def test_what_is_run_again_is_known_after_two_swapped_their_names(both: Space) -> None:
    for old, new in (("one", "x"), ("two", "one"), ("x", "two")):
        both.dodo("exp", "rename", old, new)
    again = both.dodo("exp", "run")
    assert again.out.startswith("Up to date: experiment 'one' holds this result\n")
    assert names(both) == ["one", "two"]


def test_rename_replaces_only_with_force_and_undo_brings_both_back(both: Space) -> None:
    before = listed(both)
    assert refused(both, "exp", "rename", "one", "two") == (
        "error: there is an experiment 'two' already\n"
        "hint: choose another name, or --force to replace it\n"
    )
    assert listed(both) == before
    assert both.dodo("exp", "rename", "-f", "one", "two").out == "'one' is now 'two'\n"
    assert names(both) == ["two"]
    both.dodo("exp", "apply", "two")
    assert "lr: 0.1 " in both.read("params.yaml")
    both.dodo("undo")
    both.dodo("undo")
    assert listed(both) == before
    both.dodo("exp", "apply", "one")
    both.dodo("exp", "apply", "two")
    assert "lr: 0.25 " in both.read("params.yaml")


def test_an_experiment_that_waits_has_no_label_yet(both: Space) -> None:
    both.dodo("exp", "run", "--queue", "-n", "later", "-S", "seed=8")
    queued = "error: 'later' is in the queue\nhint: label it when it has run\n"
    for words in (
        ("rename", "later", "x"),
        ("tag", "x", "one", "later"),
        ("note", "later", "x"),
        ("branch", "later"),
    ):
        assert refused(both, "exp", *words) == queued
    taken = "error: there is an experiment 'later' in the queue\nhint: choose another name\n"
    assert refused(both, "exp", "rename", "-f", "one", "later") == taken
    assert refused(both, "exp", "branch", "-f", "one", "later") == taken
    assert listed(both)["one"]["tags"] == []
    assert both.dodo("exp", "note", "later").out == "There is no note.\n"


def test_what_has_run_in_the_queue_is_renamed_with_its_log(both: Space) -> None:
    both.dodo("exp", "run", "--queue", "-n", "later", "-S", "train.lr=0.5")
    both.dodo("exp", "run", "--run-all")
    log = both.dodo("exp", "logs", "later").out
    assert both.dodo("exp", "rename", "later", "done").out == "'later' is now 'done'\n"
    assert both.dodo("exp", "logs", "done").out == log
    assert names(both) == ["done", "two", "one"]


def test_a_snapshot_is_renamed(both: Space) -> None:
    both.dodo("exp", "branch", "one", "keep")
    assert both.dodo("exp", "rename", "keep", "kept").out == "'keep' is now 'kept'\n"
    assert rows(both) == ["workspace", "kept", "two", "one"]
    assert refused(both, "exp", "rename", "kept", "two") == (
        "error: there is an experiment 'two' already\nhint: choose another name\n"
    )
    both.dodo("undo")
    assert rows(both) == ["workspace", "keep", "two", "one"]


# -- tag ---------------------------------------------------------------------------------------


def test_tags_are_shown_and_found(both: Space) -> None:
    ran = both.dodo("exp", "tag", "best", "one", "two")
    assert (ran.out, ran.err) == ("one: best\ntwo: best\n", "")
    assert both.dodo("exp", "tag", "all", "one").out == "one: all, best\n"
    both.dodo("exp", "tag", "-d", "best", "two")
    assert plain(both.dodo("exp", "show", "--filter", "'best' in tags").out) == (
        "Experiment  Created   Tags       size  train.lr  train.layers  seed\n"
        "workspace   -         -            87      0.25  [64, 32]         7\n"
        "one         HH:MM:SS  all, best    86       0.1  [64, 32]         7\n"
    )
    _, baseline = both.dodo("exp", "show", "--json").json
    meta = {e["name"]: e["revs"][0]["data"]["meta"]["tags"] for e in baseline["experiments"]}
    assert meta == {"two": [], "one": ["all", "best"]}


def test_tag_as_json(both: Space) -> None:
    both.dodo("exp", "tag", "best", "one")
    ran = both.dodo("exp", "tag", "--json", "all", "two", "one", "two")
    assert ran.json == {"two": ["all"], "one": ["all", "best"]}


def test_all_of_those_named_are_tagged_or_none(both: Space) -> None:
    before = listed(both)
    assert refused(both, "exp", "tag", "best", "one", "nix", "two") == (
        "error: no experiment or snapshot 'nix'\nhint: known: one, two\n"
    )
    assert listed(both) == before


def test_a_tag_comes_off_and_undo_puts_it_back(both: Space) -> None:
    both.dodo("exp", "tag", "best", "one", "two")
    assert both.dodo("exp", "tag", "-d", "best", "one", "two").out == "one: no tags\ntwo: no tags\n"
    assert both.dodo("undo").out == (
        "Undone: `exp tag -d best one two`\n"
        "  experiment 'one' is what it was\n"
        "  experiment 'two' is what it was\n"
    )
    assert [each["tags"] for each in listed(both).values()] == [["best"], ["best"]]
    both.dodo("undo")
    assert [each["tags"] for each in listed(both).values()] == [[], []]


def test_what_changes_nothing_leaves_nothing_to_undo(both: Space) -> None:
    both.dodo("exp", "tag", "best", "one")
    before = listed(both)
    assert both.dodo("exp", "tag", "best", "one").out == "one: best\n"
    assert both.dodo("exp", "tag", "-d", "other", "one").out == "one: best\n"
    both.dodo("exp", "note", "one", "")
    assert listed(both) == before
    assert both.dodo("undo").out.startswith("Undone: `exp tag best one`\n")


def test_labels_go_along_with_an_export(both: Space) -> None:
    both.dodo("exp", "tag", "best", "one", "two")
    both.dodo("exp", "note", "one", "mind the gap")
    both.dodo("exp", "rename", "one", "first")
    both.dodo("exp", "branch", "first", "keep")
    both.dodo("exp", "export", "../all.exps")
    (both.base / "other").mkdir()
    other = Space(both.base / "other")
    other.three_stages()
    other.dodo("exp", "import", "../../all.exps")
    assert listed(other) == listed(both)
    assert listed(other)["first"]["note"] == "mind the gap"
    assert rows(other)[1:] == ["keep", "two", "first"]
    other.check()


def test_no_tag_is_lost_when_many_are_put_on_at_once(project: Space) -> None:
    project.exp("-n", "one")
    words = [f"t{i:02}" for i in range(20)]
    started = [project.start("exp", "tag", word, "one") for word in words]
    for process in started:
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
    assert listed(project)["one"]["tags"] == words
    for _ in range(3):
        project.dodo("undo")
    assert len(listed(project)["one"]["tags"]) == 17


def test_a_stage_puts_no_label_on_experiments_of_its_own_project(project: Space) -> None:
    project.exp("-n", "one")
    cmd = "dodo exp tag late one 2> said.txt; echo $? >> said.txt"
    more = f"  label:\n    cmd: {cmd}\n    deps: [raw.txt]\n    outs: [said.txt]\n"
    project.write("dvc.yaml", project.read("dvc.yaml") + more)
    project.exp("-n", "two")
    said = "error: a stage cannot change its own project's experiments\n2\n"
    assert project.read("said.txt") == said
    assert listed(project)["one"]["tags"] == []


# -- note --------------------------------------------------------------------------------------


def test_a_note_is_set_printed_cleared_and_brought_back(both: Space) -> None:
    assert both.dodo("exp", "note", "one").out == "There is no note.\n"
    assert both.dodo("exp", "note", "two").out == "faster\n"
    assert both.dodo("exp", "note", "one", "ünder way").out == "Noted with 'one'\n"
    assert both.dodo("exp", "note", "one").out == "ünder way\n"
    assert both.dodo("exp", "note", "one", "--json").json == {"name": "one", "note": "ünder way"}
    assert both.dodo("exp", "note", "one", "").out == "'one' has no note now\n"
    assert both.dodo("exp", "note", "one").out == "There is no note.\n"
    both.dodo("undo")
    assert both.dodo("exp", "note", "one").out == "ünder way\n"
    both.dodo("undo")
    assert both.dodo("exp", "note", "one").out == "There is no note.\n"


def test_a_note_of_many_lines_takes_one_in_a_table(both: Space) -> None:
    both.dodo("exp", "note", "one", "two\nlines")
    assert both.dodo("exp", "note", "one").out == "two\nlines\n"
    assert plain(both.dodo("exp", "list").out) == (
        "Experiment  Id       Created   Note\n"
        "two         IDIDIDI  HH:MM:SS  faster\n"
        "one         IDIDIDI  HH:MM:SS  two\\nlines\n"
    )


def test_a_snapshot_has_a_note_and_tags_of_its_own(both: Space) -> None:
    both.dodo("exp", "branch", "two", "keep")
    both.dodo("exp", "note", "keep", "for good")
    both.dodo("exp", "tag", "best", "keep")
    assert both.dodo("exp", "note", "keep").out == "for good\n"
    assert both.dodo("exp", "note", "two").out == "faster\n"
    assert listed(both)["two"]["tags"] == []


def test_what_undo_tells_of_an_empty_text_can_be_typed_again(both: Space) -> None:
    both.dodo("exp", "note", "two", "")
    assert both.dodo("undo").out.startswith("Undone: `exp note two ''`\n")


# -- list --------------------------------------------------------------------------------------


def test_list_has_columns_for_what_there_is(both: Space) -> None:
    both.dodo("exp", "tag", "best", "one")
    ran = both.dodo("exp", "list")
    assert ran.err == ""
    assert plain(ran.out) == (
        "Experiment  Id       Created   Tags  Note\n"
        "two         IDIDIDI  HH:MM:SS  -     faster\n"
        "one         IDIDIDI  HH:MM:SS  best  -\n"
    )


def test_list_of_names_and_of_ids(both: Space) -> None:
    ids = [each["id"] for each in listed(both).values()]
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in ids)
    assert both.dodo("exp", "list", "--name-only").out == "two\none\n"
    assert both.dodo("exp", "list", "--name-only", "-A").out == "two\none\n"
    assert both.dodo("exp", "list", "--sha-only").out == f"{ids[0]}\n{ids[1]}\n"
    assert both.dodo("exp", "list", "--name-only", "--json").json == ["two", "one"]
    assert both.dodo("exp", "list", "--sha-only", "--json").json == ids


def test_list_as_json(both: Space) -> None:
    both.dodo("exp", "tag", "best", "two")
    two, one = both.dodo("exp", "list", "--json").json
    assert two["created"] > one["created"]
    for each in (two, one):
        del each["created"], each["id"]
    assert two == {"name": "two", "state": "", "tags": ["best"], "note": "faster"}
    assert one == {"name": "one", "state": "", "tags": [], "note": ""}


def test_list_of_some(both: Space) -> None:
    def some(*args: str) -> str:
        return both.dodo("exp", "list", "--name-only", *args).out

    assert some("--filter", "train.lr > 0.2") == "two\n"
    assert some("--filter", "size == 86") == "one\n"
    assert some("--filter", "note =~ fast") == "two\n"
    assert some("--filter", "name == nix") == ""
    assert some("-n", "1") == "two\n"
    assert some("-n", "0") == ""
    assert some("-n", "9") == "two\none\n"
    assert some("--filter", "train.lr < 0.2", "-n", "1") == "one\n"


def test_list_does_not_say_there_are_none_when_none_is_wanted(both: Space) -> None:
    out = both.dodo("exp", "list", "--filter", "train.lr > 9").out
    assert out != "There are no experiments.\n"


def test_list_before_the_first_experiment(project: Space) -> None:
    assert project.dodo("exp", "list").out == "There are no experiments.\n"
    assert project.dodo("exp", "list", "--json").json == []
    assert project.dodo("exp", "list", "--name-only").out == ""
    assert project.dodo("exp", "list", "--name-only", "--json").json == []
    assert not project.exists(".dodo")


def test_list_leaves_out_what_waits_and_snapshots(both: Space) -> None:
    both.dodo("exp", "branch", "one", "keep")
    both.dodo("exp", "run", "--queue", "-n", "later", "-S", "seed=8")
    assert names(both) == ["two", "one"]


def test_what_has_failed_in_the_queue_is_listed_and_labelled(both: Space) -> None:
    both.write("dvc.yaml", both.read("dvc.yaml").replace("cat data.txt params", "cat nix params"))
    both.dodo("exp", "run", "--queue", "-n", "bad", "-S", "train.lr=0.5")
    both.dodo("exp", "run", "--run-all", code=1)
    state = {name: each["state"] for name, each in listed(both).items()}
    assert state == {"bad": "Failed", "two": "", "one": ""}
    log = both.dodo("exp", "logs", "bad").out
    both.dodo("exp", "tag", "why", "bad")
    both.dodo("exp", "rename", "bad", "worse")
    assert both.dodo("exp", "logs", "worse").out == log
    assert "nix" in log
    assert listed(both)["worse"]["tags"] == ["why"]
    assert rows(both) == ["workspace", "two", "one", "worse"]


def test_what_has_failed_in_the_queue_has_its_new_name_there_too(both: Space) -> None:
    both.write("dvc.yaml", both.read("dvc.yaml").replace("cat data.txt params", "cat nix params"))
    both.dodo("exp", "run", "--queue", "-n", "bad", "-S", "train.lr=0.5")
    both.dodo("exp", "run", "--run-all", code=1)
    both.dodo("exp", "rename", "bad", "worse")
    assert " worse " in both.dodo("queue", "status").out
    both.dodo("exp", "remove", "worse")
    assert "Failed" not in both.dodo("queue", "status").out


# -- branch: snapshots -------------------------------------------------------------------------


def test_a_branch_is_a_snapshot_with_a_row_of_its_own(both: Space) -> None:
    ran = both.dodo("exp", "branch", "one", "keep")
    assert (ran.out, ran.err) == (
        "Kept 'one' as snapshot 'keep'; `dodo exp apply keep` brings it back\n",
        "",
    )
    assert plain(both.dodo("exp", "show").out) == (
        "Experiment  Created   State     size  train.lr  train.layers  seed\n"
        "workspace   -         -           87      0.25  [64, 32]         7\n"
        "keep        HH:MM:SS  Snapshot    86       0.1  [64, 32]         7\n"
        "two         HH:MM:SS  -           87      0.25  [64, 32]         7\n"
        "one         HH:MM:SS  -           86       0.1  [64, 32]         7\n"
    )
    assert both.dodo("undo").out == ("Undone: `exp branch one keep`\n  snapshot 'keep' is gone\n")
    assert rows(both) == ["workspace", "two", "one"]


def test_a_branch_has_a_name_of_its_own_accord(both: Space) -> None:
    ran = both.dodo("exp", "branch", "one", "--json")
    assert ran.json == {"experiment": "one", "snapshot": "one-branch"}
    assert refused(both, "exp", "branch", "two", "one-branch") == (
        "error: there is a snapshot 'one-branch' already\n"
        "hint: choose another name, or --force to replace it\n"
    )
    both.dodo("exp", "branch", "-f", "two", "one-branch")
    both.dodo("exp", "apply", "one-branch")
    assert "lr: 0.25 " in both.read("params.yaml")


def test_a_branch_does_not_take_an_experiments_name(both: Space) -> None:
    for words in (("two",), ("-f", "two"), ("one",)):
        said = refused(both, "exp", "branch", "one", *words)
        assert said == (
            f"error: there is an experiment {words[-1]!r} already\nhint: choose another name\n"
        )


def test_a_snapshot_outlives_experiments_and_gc(both: Space) -> None:
    both.dodo("exp", "branch", "one", "keep")
    both.dodo("exp", "apply", "one")
    wanted = both.tree()
    both.dodo("exp", "apply", "two")
    assert both.dodo("exp", "remove", "-A").out == "Removed one, two\n"
    both.dodo("gc", "--grace", "0")
    assert rows(both) == ["workspace", "keep"]
    both.dodo("exp", "apply", "keep")
    assert both.tree() == wanted


# -- branch: Git -------------------------------------------------------------------------------


def git(space: Space, *words: str, cwd: str = ".", code: int = 0) -> str:
    """What Git prints."""
    done = subprocess.run(
        ["git", *words], cwd=space.root / cwd, env=space.env, capture_output=True, text=True
    )
    assert done.returncode == code, done.stderr
    return done.stdout


def identify(space: Space) -> None:
    """Give commits an author."""
    for who in ("AUTHOR", "COMMITTER"):
        space.env |= {f"GIT_{who}_NAME": "Ada", f"GIT_{who}_EMAIL": "ada@example.org"}


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Space:
    """A project as a repository of one commit, with an experiment that is not in it."""
    made = Space(tmp_path_factory.mktemp("repository"))
    made.three_stages()
    identify(made)
    made.write(".gitignore", "data.txt\nmodel.txt\n")
    git(made, "init", "-q", "-b", "main")
    git(made, "add", ".")
    git(made, "commit", "-q", "-m", "begin")
    made.exp("-n", "one", "-S", "train.lr=0.5")
    return made


@pytest.fixture
def repository(space: Space, tracked: Space) -> Space:
    """A project as a repository of one commit, with an experiment that is not in it."""
    shutil.copytree(tracked.base, space.base, symlinks=True, dirs_exist_ok=True)
    identify(space)
    return space


def git_files(space: Space, branch: str) -> list[str]:
    """The paths that a branch has."""
    return git(space, "ls-tree", "-r", "-z", "--name-only", branch).rstrip("\0").split("\0")


def untouched(space: Space) -> tuple[Any, ...]:
    """What making a branch leaves alone: files, index, HEAD and the branch it is on."""
    where = space.root / ".git"
    seen = {path: data for path, data in space.tree().items() if not path.startswith(".git/")}
    index = (where / "index").read_bytes() if (where / "index").exists() else b""
    main = where / "refs" / "heads" / "main"
    return seen, index, (where / "HEAD").read_text(), main.exists() and main.read_text()


def test_git_has_the_experiment_in_one_commit_on_head(repository: Space) -> None:
    project = repository
    before = untouched(project)
    ran = project.dodo("exp", "branch", "--git", "one")
    assert (ran.out, ran.err) == (
        "Git branch 'one-branch' holds 'one'; `git checkout one-branch` goes there\n",
        "",
    )
    assert untouched(project) == before
    log = git(project, "log", "--format=%an|%s", "one-branch")
    assert log == "Ada|dodo: experiment one\nAda|begin\n"
    assert git_files(project, "one-branch") == FILES
    assert "lr: 0.5 " in git(project, "show", "one-branch:params.yaml")
    assert "lr: 0.1 " in git(project, "show", "main:params.yaml")


def test_after_git_checkout_of_the_branch_nothing_has_to_run(repository: Space) -> None:
    project = repository
    project.dodo("exp", "branch", "--git", "one", "it")
    project.exp("-n", "two", "-S", "train.lr=0.75")
    git(project, "checkout", "-q", "-f", "it")
    project.forget_runs()
    again = project.dodo("exp", "run")
    said = "1 restored, 2 unchanged: the same result as experiment 'one'\n"
    assert again.out.startswith(said)
    assert project.runs == []
    assert git(project, "status", "--porcelain") == ""


def test_git_leaves_what_is_staged_and_changed_alone(repository: Space) -> None:
    project = repository
    project.write("raw.txt", "staged\n")
    project.write("new.txt", "staged, too\n")
    git(project, "add", "raw.txt", "new.txt")
    git(project, "rm", "-q", "--cached", "dvc.yaml")
    project.write("raw.txt", "changed\n")
    status, before = git(project, "status", "--porcelain"), untouched(project)
    project.dodo("exp", "branch", "--git", "one", "it")
    assert untouched(project) == before
    assert git(project, "status", "--porcelain") == status
    assert git_files(project, "it") == FILES
    assert git(project, "show", "it:raw.txt") == "raw\n"


def test_git_commits_say_what_the_user_or_the_note_says(repository: Space) -> None:
    project = repository
    project.dodo("exp", "note", "one", "as noted")
    project.dodo("exp", "branch", "--git", "one", "a")
    project.dodo("exp", "branch", "--git", "one", "b", "-m", "as said: ü")
    made = project.dodo("exp", "branch", "--git", "one", "deep/c", "--json").json
    assert made == {"experiment": "one", "branch": "deep/c"}
    said = [git(project, "log", "-1", "--format=%B", name).strip() for name in ("a", "b", "deep/c")]
    assert said == ["as noted", "as said: ü", "as noted"]


def test_git_takes_what_is_new_and_drops_what_is_gone(repository: Space) -> None:
    project = repository
    project.write("gone.txt", "not in the experiment\n")
    git(project, "add", "gone.txt")
    git(project, "commit", "-q", "-m", "more")
    project.remove("gone.txt")
    project.write("new.txt", "not ignored\n")
    project.exp("-n", "two", "-S", "seed=8")
    project.write("gone.txt", "here again\n")
    project.dodo("exp", "branch", "--git", "two", "it")
    assert git_files(project, "it") == sorted([*FILES, "new.txt"])


def test_git_drops_what_is_gone_though_a_space_begins_its_name(repository: Space) -> None:
    project = repository
    project.write(" gone.txt", "not in the experiment\n")
    git(project, "add", " gone.txt")
    git(project, "commit", "-q", "-m", "more")
    project.dodo("exp", "branch", "--git", "one", "it")
    assert git_files(project, "it") == FILES


def test_git_keeps_what_is_tracked_though_it_is_ignored(repository: Space) -> None:
    project = repository
    project.write(".gitignore", "data.txt\nmodel.txt\n*.log\n")
    project.write("kept.log", "tracked\n")
    project.write("other.log", "ignored\n")
    git(project, "add", "-f", ".gitignore", "kept.log")
    git(project, "commit", "-q", "-m", "more")
    project.exp("-n", "two", "-S", "seed=8")
    project.dodo("exp", "branch", "--git", "two", "it")
    assert git_files(project, "it") == sorted([*FILES, "kept.log"])


def test_git_keeps_a_submodule(repository: Space) -> None:
    project = repository
    git(project, "init", "-q", "-b", "main", "sub")
    project.write("sub/inside.txt", "of the other repository\n")
    git(project, "add", ".", cwd="sub")
    git(project, "commit", "-q", "-m", "inside", cwd="sub")
    git(project, "-c", "advice.addEmbeddedRepo=false", "add", "sub")
    git(project, "commit", "-q", "-m", "more")
    project.exp("-n", "two", "-S", "seed=8")
    project.dodo("exp", "branch", "--git", "two", "it")
    assert git(project, "ls-tree", "it", "sub") == git(project, "ls-tree", "main", "sub")


def test_git_has_a_file_where_there_was_a_folder(repository: Space) -> None:
    project = repository
    project.write("a/b.txt", "in a folder\n")
    project.write("c", "a file\n")
    git(project, "add", "a", "c")
    git(project, "commit", "-q", "-m", "more")
    project.remove("a/b.txt")
    (project.root / "a").rmdir()
    project.write("a", "a file\n")
    project.remove("c")
    project.write("c/d.txt", "in a folder\n")
    project.exp("-n", "two", "-S", "seed=8")
    project.dodo("exp", "branch", "--git", "two", "it")
    assert git_files(project, "it") == sorted([*FILES, "a", "c/d.txt"])


def test_git_keeps_modes_links_and_odd_names(repository: Space) -> None:
    project = repository
    project.write("run.sh", "#!/bin/sh\n")
    (project.root / "run.sh").chmod(0o755)
    project.write("deep/ü b\n.txt", "odd\n")
    os.symlink("raw.txt", project.root / "link")
    os.symlink("deep", project.root / "way")
    project.exp("-n", "two", "-S", "seed=8")
    project.dodo("exp", "branch", "--git", "two", "it")
    entries = git(project, "ls-tree", "-r", "-z", "it").rstrip("\0").split("\0")
    modes = {entry.split("\t")[1]: entry.split()[0] for entry in entries}
    assert modes == {
        **dict.fromkeys(FILES, "100644"),
        "run.sh": "100755",
        "deep/ü b\n.txt": "100644",
        "link": "120000",
        "way": "120000",
    }
    assert git(project, "show", "it:way") == "deep"


def test_git_in_a_subfolder_keeps_the_rest_of_the_repository(project: Space) -> None:
    identify(project)
    (project.base / "other.txt").write_text("of somebody else\n")
    (project.base / ".gitignore").write_text("home\n*.log\nmodel.txt\n")
    project.write(".gitignore", "data.txt\n")
    project.dodo("init")
    git(project, "init", "-q", "-b", "main", cwd="..")
    git(project, "add", ".", cwd="..")
    git(project, "commit", "-q", "-m", "begin")
    (project.base / "untracked.txt").write_text("nobody's\n")
    (project.base / "other.txt").write_text("changed and not committed\n")
    project.exp("-n", "one", "-S", "train.lr=0.5")
    index = (project.base / ".git" / "index").read_bytes()
    project.dodo("exp", "branch", "--git", "one", "it")
    assert (project.base / ".git" / "index").read_bytes() == index
    tree = git(project, "ls-tree", "-r", "--name-only", "--full-tree", "it").split()
    assert tree == [".gitignore", "other.txt", *(f"project/{path}" for path in FILES)]
    assert git(project, "show", "it:other.txt") == "of somebody else\n"
    assert "lr: 0.5 " in git(project, "show", "it:project/params.yaml")


def test_git_in_a_subfolder_that_no_commit_has_yet(project: Space) -> None:
    identify(project)
    (project.base / "other.txt").write_text("of somebody else\n")
    project.dodo("init")
    git(project, "init", "-q", "-b", "main", cwd="..")
    git(project, "add", "other.txt", cwd="..")
    git(project, "commit", "-q", "-m", "begin")
    project.write(".gitignore", "data.txt\nmodel.txt\n")
    project.exp("-n", "one")
    project.dodo("exp", "branch", "--git", "one", "it")
    tree = git(project, "ls-tree", "-r", "--name-only", "--full-tree", "it").split()
    assert tree == ["other.txt", *(f"project/{path}" for path in FILES)]


def test_git_without_a_commit_begins_with_the_branch(project: Space) -> None:
    identify(project)
    project.write(".gitignore", "data.txt\nmodel.txt\n")
    git(project, "init", "-q", "-b", "main")
    project.exp("-n", "one")
    before = untouched(project)
    project.dodo("exp", "branch", "--git", "one", "it")
    assert untouched(project) == before
    assert git(project, "log", "--format=%s", "it") == "dodo: experiment one\n"
    assert git_files(project, "it") == FILES


def test_git_without_a_commit_refuses_the_branch_that_is_to_be_born(project: Space) -> None:
    identify(project)
    git(project, "init", "-q", "-b", "main")
    project.exp("-n", "one")
    before = untouched(project)
    assert "is the branch that is checked out" in refused(
        project, "exp", "branch", "--git", "one", "main"
    )
    assert untouched(project) == before


def test_git_on_a_detached_head(repository: Space) -> None:
    project = repository
    git(project, "checkout", "-q", "--detach")
    before = untouched(project)
    project.dodo("exp", "branch", "--git", "one", "it")
    assert untouched(project) == before
    assert git(project, "log", "--format=%s", "it") == "dodo: experiment one\nbegin\n"


def test_git_replaces_a_branch_only_with_force(repository: Space) -> None:
    project = repository
    git(project, "branch", "it")
    before = git(project, "rev-parse", "it")
    assert refused(project, "exp", "branch", "--git", "one", "it") == (
        "error: there is a branch 'it' already\nhint: --force lets it go\n"
    )
    assert git(project, "rev-parse", "it") == before
    project.dodo("exp", "branch", "--git", "-f", "one", "it")
    assert git(project, "log", "--format=%s", "it") == "dodo: experiment one\nbegin\n"
    assert before.strip() in git(project, "reflog", "show", "--format=%H", "it")


def test_git_refuses_the_branch_that_is_checked_out(repository: Space) -> None:
    project = repository
    before = untouched(project)
    assert refused(project, "exp", "branch", "--git", "-f", "one", "main") == (
        "error: 'main' is the branch that is checked out\nhint: choose another name\n"
    )
    assert untouched(project) == before


def test_git_gives_no_advice_that_is_refused_next(repository: Space) -> None:
    said = refused(repository, "exp", "branch", "--git", "one", "main")
    assert "--force" not in said


def test_git_refuses_a_branch_that_another_worktree_has_checked_out(repository: Space) -> None:
    project = repository
    git(project, "worktree", "add", "-q", "-b", "it", "../elsewhere")
    before = git(project, "rev-parse", "it")
    refused(project, "exp", "branch", "--git", "-f", "one", "it")
    assert git(project, "rev-parse", "it") == before


def test_git_refuses_a_name_that_is_none(repository: Space) -> None:
    project = repository
    refs = git(project, "for-each-ref")
    for name in ("a..b", "a b", "-x", "a.lock", "/a", "a~1"):
        said = refused(project, "exp", "branch", "--git", "one", "--", name)
        assert said == f"error: {name!r} is no name for a branch of Git\n"
    assert git(project, "for-each-ref") == refs


@pytest.mark.parametrize("name", ["@", "@{-1}", ""])
def test_git_refuses_a_name_that_means_something_else(repository: Space, name: str) -> None:
    project = repository
    git(project, "checkout", "-q", "-b", "other")
    git(project, "checkout", "-q", "main")
    refs = git(project, "for-each-ref")
    said = refused(project, "exp", "branch", "--git", "one", "--", name)
    assert said == f"error: {name!r} is no name for a branch of Git\n"
    assert git(project, "for-each-ref") == refs


def test_without_a_repository_git_is_refused_with_a_hint(both: Space) -> None:
    assert refused(both, "exp", "branch", "--git", "one") == (
        "error: the project is in no Git repository\n"
        "hint: without --git the experiment is kept as a snapshot\n"
    )


def test_git_says_what_it_lacks(repository: Space) -> None:
    project = repository
    for who in ("AUTHOR", "COMMITTER"):
        del project.env[f"GIT_{who}_NAME"], project.env[f"GIT_{who}_EMAIL"]
    git(project, "config", "user.useConfigOnly", "true")
    ran = project.dodo("exp", "branch", "--git", "one", "it", code=1)
    assert ran.err.startswith("error: git commit-tree: ")
    assert git(project, "branch", "--list", "it") == ""


def no_traceback(space: Space, *args: str) -> None:
    """A command does what it is told, or refuses it."""
    ran = space.start(*args)
    _, err = ran.communicate(timeout=60)
    assert "Traceback" not in err
    assert ran.returncode in (0, 2)


def test_git_has_a_name_that_is_no_text_or_refuses_it(repository: Space) -> None:
    no_traceback(repository, "exp", "branch", "--git", "one", ODD)


def test_git_has_a_message_that_is_no_text_or_refuses_it(repository: Space) -> None:
    no_traceback(repository, "exp", "branch", "--git", "one", "a", "-m", ODD)


def test_git_branches_what_waits_or_is_unknown_not_at_all(repository: Space) -> None:
    project = repository
    assert refused(project, "exp", "branch", "--git", "nix") == (
        "error: no experiment or snapshot 'nix'\nhint: known: one\n"
    )
    project.dodo("exp", "run", "--queue", "-n", "later", "-S", "seed=8")
    refused(project, "exp", "branch", "--git", "later")
    assert git(project, "for-each-ref", "--format=%(refname)") == "refs/heads/main\n"


# -- remove --keep -----------------------------------------------------------------------------


def test_all_but_those_kept_are_removed_and_brought_back(both: Space) -> None:
    both.exp("-n", "three", "-S", "train.lr=0.5")
    both.dodo("exp", "tag", "best", "one")
    before = listed(both)
    assert both.dodo("exp", "remove", "--keep", "two").out == "Removed one, three\n"
    assert names(both) == ["two"]
    assert both.dodo("undo").out == (
        "Undone: `exp remove --keep two`\n"
        "  experiment 'one' is back\n"
        "  experiment 'three' is back\n"
    )
    assert listed(both) == before
    ran = both.dodo("exp", "remove", "--json", "--keep", "two", "one")
    assert ran.json == {"removed": ["three"]}
    assert both.dodo("exp", "remove", "--keep", "two", "one").out == "There are no others.\n"
    assert names(both) == ["two", "one"]


def test_keep_leaves_snapshots_and_what_waits(both: Space) -> None:
    both.dodo("exp", "branch", "one", "kept")
    both.dodo("exp", "run", "--queue", "-n", "later", "-S", "seed=8")
    assert both.dodo("exp", "remove", "--keep", "two").out == "Removed one\n"
    assert rows(both) == ["workspace", "kept", "two", "later"]


def test_keep_of_an_unknown_name_removes_nothing(both: Space) -> None:
    both.dodo("exp", "branch", "one", "kept")
    before = listed(both)
    for name in ("nix", "kept"):
        assert refused(both, "exp", "remove", "--keep", "two", name) == (
            f"error: no experiment {name!r}\nhint: known: one, two\n"
        )
    for words in (["--keep"], ["--keep", "-A", "one"], []):
        assert refused(both, "exp", "remove", *words) == (
            "error: name the experiments to remove (or --keep), or say --all, --queue or both\n"
        )
    assert listed(both) == before


def test_all_with_queue_removes_what_waits_too(both: Space) -> None:
    both.dodo("exp", "run", "--queue", "-n", "later", "-S", "seed=8")
    assert both.dodo("exp", "remove", "-A").out == "Removed one, two\n"
    both.dodo("undo")
    assert both.dodo("exp", "remove", "-A", "--queue", "--json").json == {
        "removed": ["later", "one", "two"]
    }
    assert both.dodo("exp", "remove", "--queue", "-A").out == "There are no experiments.\n"
    both.dodo("undo")
    assert names(both) == ["two", "one"]


def test_an_experiment_renamed_to_its_own_name_stays_as_it_is(both: Space) -> None:
    before = listed(both)
    history = both.dodo("undo", "--list").out
    ran = both.dodo("exp", "rename", "one", "one")
    assert ran.out == "'one' already has this name\n"
    assert listed(both) == before
    assert both.dodo("undo", "--list").out == history


# -- faults of the user's ----------------------------------------------------------------------

RULE = "hint: letters, digits, '-', '_' and '.', at most 100, a letter or digit first\n"
NIX = "error: no experiment or snapshot 'nix'\nhint: known: one, two\n"
FAULTS = {
    "rename one": "error: missing argument 'NEW'\nhint: see `dodo exp rename --help`\n",
    "rename one a/b": f"error: not an experiment name: 'a/b'\n{RULE}",
    "rename one .": f"error: not an experiment name: '.'\n{RULE}",
    "rename one workspace": f"error: the name 'workspace' is reserved\n{RULE}",
    "rename nix a": NIX,
    "rename workspace a": "error: no experiment or snapshot 'workspace'\nhint: known: one, two\n",
    "tag best": "error: missing argument 'NAMES...'\nhint: see `dodo exp tag --help`\n",
    "tag a/b one": f"error: not a tag: 'a/b'\n{RULE}",
    "tag -d a/b one": f"error: not a tag: 'a/b'\n{RULE}",
    "tag best nix": NIX,
    "note nix": NIX,
    "note nix text": NIX,
    f"note one {'x' * 10_001}": "error: a note of 10,001 characters\nhint: at most 10,000\n",
    "branch nix": NIX,
    "branch one a/b": f"error: not an experiment name: 'a/b'\n{RULE}",
    "list --filter nix>1": (
        "error: --filter: no column 'nix'\n"
        "hint: `dodo exp show --csv` has all of them in its first line\n"
    ),
    "list -n -1": (
        "error: invalid value for '-n' / '--num': -1 is not in the range x>=0\n"
        "hint: see `dodo exp list --help`\n"
    ),
}


def test_faults_are_told_and_change_nothing(both: Space) -> None:
    before = both.dodo("exp", "show", "--json").json
    assert {words: refused(both, "exp", *words.split()) for words in FAULTS} == FAULTS
    assert both.dodo("exp", "show", "--json").json == before


def test_bytes_that_are_no_text_are_refused(both: Space) -> None:
    for words in (("rename", "one", ODD), ("tag", ODD, "one"), ("branch", "one", ODD)):
        refused(both, "exp", *words)


def test_a_note_of_bytes_that_are_no_text_is_kept_or_refused(both: Space) -> None:
    no_traceback(both, "exp", "note", "one", ODD)
    both.dodo("exp", "show", "--json")
    assert names(both) == ["two", "one"]


def test_labels_need_an_experiment(project: Space) -> None:
    said = "error: no experiment or snapshot 'one'\nhint: `dodo exp run` makes one\n"
    for words in ("rename one a", "tag a one", "note one", "note one a", "branch one"):
        assert refused(project, "exp", *words.split()) == said
    assert refused(project, "exp", "remove", "--keep", "one") == (
        "error: no experiment 'one'\nhint: `dodo exp run` makes one\n"
    )
    assert not project.exists(".dodo")
