"""`dodo store ls`, `cat` and `du`, `dodo gc`, and the JSON that is documented."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import shutil
import subprocess
import sys
from typing import Any

import pytest

from tests.space import Space


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory: pytest.TempPathFactory) -> Space:
    """Two experiments and a snapshot, for tests that change nothing of it.

    The second experiment is what lies in the workspace.
    """
    space = Space(tmp_path_factory.mktemp("kept"))
    space.three_stages()
    space.write("src/deep/model.py", "code\n")
    space.exp("-n", "one")
    space.exp("-n", "two", "-S", "train.lr=2")
    space.dodo("snapshot", "-n", "snap", "-m", "a note")
    return space


@pytest.fixture
def kept(space: Space, looked_at: Space) -> Space:
    """The same, for one test alone."""
    shutil.copytree(looked_at.root, space.root, dirs_exist_ok=True, symlinks=True)
    return space


def shape(value: Any) -> Any:
    """The keys of an object, with what they hold; of a list what its entries have in common."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        shapes = [shape(each) for each in value]
        return shapes[:1] if all(each == shapes[0] for each in shapes) else shapes
    return type(value).__name__


# -- ls ------------------------------------------------------------------------------------


def test_ls_lists_names_then_files(looked_at: Space) -> None:
    """Experiments before snapshots; folders are not entered unasked."""
    assert [(e["kind"], e["name"]) for e in looked_at.dodo("store", "ls", "--json").json] == [
        ("experiment", "one"),
        ("experiment", "two"),
        ("snapshot", "snap"),
    ]
    own = ["dvc.yaml", "params.yaml", "raw.txt", "src"]
    made = ["data.txt", "dodo.lock", "metrics.json", "model.txt"]
    entries = looked_at.dodo("store", "ls", "one", "--json").json
    assert [entry["path"] for entry in entries] == sorted(own + made)
    assert {e["path"]: e["kind"] for e in entries}["src"] == "dir"
    assert {e["path"]: e["size"] for e in entries}["raw.txt"] == 4
    deep = looked_at.dodo("store", "ls", "-R", "one", "--json").json
    assert [e["path"] for e in deep if e["path"].startswith("src")] == [
        "src",
        "src/deep",
        "src/deep/model.py",
    ]


def test_ls_of_a_folder_in_it(looked_at: Space) -> None:
    """By name and path, with a slash too many or not."""
    for what in ("snap:src", "snap:src/", "snap:/src"):
        entries = looked_at.dodo("store", "ls", what, "--json").json
        assert [entry["path"] for entry in entries] == ["src/deep"]


def test_ls_and_cat_by_id(looked_at: Space) -> None:
    """The first digits are enough."""
    entries = {e["path"]: e for e in looked_at.dodo("store", "ls", "one", "--json").json}
    for digits in (4, 10, 32):
        assert looked_at.dodo("store", "cat", entries["raw.txt"]["id"][:digits]).out == "raw\n"
    inside = looked_at.dodo("store", "ls", entries["src"]["id"][:10], "--json").json
    assert [e["path"] for e in inside] == ["deep"]
    oid = looked_at.dodo("store", "ls", "--json").json[0]["id"]
    assert looked_at.dodo("store", "ls", oid, "--json").json == list(entries.values())


@pytest.mark.parametrize("command", ["ls", "cat"])
def test_what_is_not_there_is_said_so(looked_at: Space, command: str) -> None:
    """With what would list it."""
    for what in ("nothing", "one:nothing", "one:raw.txt/x", "ffffffff"):
        ran = looked_at.dodo("store", command, what, code=2)
        assert "error: " in ran.err and ran.out == ""


def test_odd_names_are_shown_on_one_line_each(project: Space) -> None:
    """Control characters do nothing to the terminal."""
    project.write("two\nlines", "x")
    project.write("\x1b[31mred", "y")
    project.dodo("snapshot", "-n", "odd")
    out = project.dodo("store", "ls", "odd").out
    assert "\x1b" not in out and "two\\nlines" in out
    assert project.dodo("store", "cat", "odd:two\nlines").out == "x"


def test_nothing_is_kept_yet(project: Space) -> None:
    """Looking makes nothing."""
    assert project.dodo("store", "ls", "--json").json == []
    assert project.dodo("store", "ls").out == "Nothing is kept yet.\n"
    assert project.dodo("store", "du", "--json").json["experiments"] == []
    assert not project.exists(".dodo")


# -- cat -----------------------------------------------------------------------------------


def test_cat_of_a_file_is_its_bytes(looked_at: Space) -> None:
    """Of each experiment's own version."""
    assert "lr: 0.1  # rate" in looked_at.dodo("store", "cat", "one:params.yaml").out
    assert looked_at.dodo("store", "cat", "snap:params.yaml").out == looked_at.read("params.yaml")
    assert looked_at.dodo("store", "cat", "one:src/deep/model.py").out == "code\n"


def test_cat_of_a_folder_and_of_a_record_is_json(looked_at: Space) -> None:
    """With names and fields."""
    assert [(e["name"], e["kind"]) for e in looked_at.dodo("store", "cat", "one:src").json] == [
        ("deep", "dir")
    ]
    record = looked_at.dodo("store", "cat", "two").json
    assert (record["name"], record["parent"]) == ("two", "one")
    assert record["params"]["params.yaml"]["data"]["train"]["lr"] == 2
    assert looked_at.dodo("store", "cat", "snap").json["message"] == "a note"


# -- du and gc -----------------------------------------------------------------------------


def test_du_says_what_removing_would_give_back(kept: Space) -> None:
    """A big file that only one of them has is that one's own."""
    kept.write("big", "x" * 50_000)
    kept.dodo("exp", "save", "-n", "three")
    kept.remove("big")
    du = kept.dodo("store", "du", "--json").json
    own = {each["name"]: each["own_bytes"] for each in du["experiments"]}
    assert 50_000 <= own["three"] < 55_000
    assert all(own[name] < 5_000 for name in ("one", "two", "snap"))
    assert [e["name"] for e in kept.dodo("store", "du", "one", "--json").json["experiments"]] == [
        "one"
    ]
    assert "'thre'" in kept.dodo("store", "du", "thre", code=2).err

    kept.dodo("exp", "remove", "three")
    assert kept.dodo("gc", "--json").json["removed"]["bytes"] < 50_000, "undo may want it back"
    kept.dodo("undo")
    kept.dodo("exp", "remove", "three")
    dry = kept.dodo("gc", "--grace", "0", "--dry-run", "--json").json
    real = kept.dodo("gc", "--grace", "0", "--json").json
    assert {**dry, "dry_run": False} == real
    assert real["removed"]["bytes"] >= 50_000


def test_gc_keeps_the_last_experiments_and_says_so_first(kept: Space) -> None:
    """A dry run removes nothing; the others can be brought back until their content goes."""
    ran = kept.dodo("gc", "--keep-last", "1", "--dry-run")
    assert "would be removed: 1 experiment: one" in ran.out
    assert [e["name"] for e in kept.dodo("store", "ls", "--json").json] == ["one", "two", "snap"]
    ran = kept.dodo("gc", "--keep-last", "1")
    assert "removed: 1 experiment: one" in ran.out
    assert [e["name"] for e in kept.dodo("store", "ls", "--json").json] == ["two", "snap"]
    kept.dodo("undo")
    assert [e["name"] for e in kept.dodo("store", "ls", "--json").json] == ["one", "two", "snap"]
    kept.dodo("exp", "apply", "one")
    assert "lr: 0.1" in kept.read("params.yaml")


def test_what_gc_lets_go_without_a_grace_is_gone(kept: Space) -> None:
    """Snapshots and the workspace stay; nothing is left to undo."""
    before = kept.tree()
    kept.dodo("gc", "--keep-last", "0", "--grace", "0")
    assert [e["name"] for e in kept.dodo("store", "ls", "--json").json] == ["snap"]
    assert kept.dodo("undo", "--list", "--json").json == []
    kept.dodo("undo", code=2)
    kept.write("raw.txt", "other\n")
    kept.dodo("exp", "apply", "snap")
    assert kept.tree() == before
    assert set(kept.repro().stages.values()) == {"unchanged"}


def test_only_what_is_older_goes(kept: Space) -> None:
    """Ages have units; both conditions must hold."""
    assert kept.dodo("gc", "--older-than", "1h", "--json").json["removed"]["experiments"] == []
    both = ("gc", "--older-than", "1h", "--keep-last", "1", "--json")
    assert kept.dodo(*both).json["removed"]["experiments"] == []
    for bad in ("3", "3x", "-1d", "d", "1e9d"):
        assert "age" in kept.dodo("gc", "--older-than", bad, code=2).err
    assert kept.dodo("gc", "--older-than", "0", "--json").json["removed"]["experiments"] == [
        "two",
        "one",
    ]


def test_the_table_of_gc(looked_at: Space) -> None:
    """One line for each reason, and one for what goes."""
    lines = looked_at.dodo("gc", "--dry-run").out.splitlines()
    assert lines[0].split() == ["Size", "Files"]
    text = "\n".join(lines)
    for words in ("kept for experiments", "kept for snapshots", "would be removed: needed by"):
        assert words in text


@pytest.mark.parametrize("width", ["20", "40", "200"])
def test_tables_fit_the_terminal(kept: Space, width: str) -> None:
    """And advise nothing that the command does not know."""
    for args in (["undo", "--list"], ["store", "du"], ["snapshot", "--list"], ["gc", "--dry"]):
        ran = kept.dodo(*args, env={"COLUMNS": width})
        assert "--csv" not in ran.out + ran.err
    assert "undoes" not in kept.dodo("undo", "--list", env={"COLUMNS": width}).out
    kept.dodo("undo")
    assert "undone" in kept.dodo("undo", "--list", env={"COLUMNS": "40"}).out


def on_terminal(space: Space, *args: str) -> str:
    """What a command prints on a terminal with colours."""
    ours, theirs = pty.openpty()
    env = {**space.env, "NO_COLOR": "", "TERM": "xterm"}
    command = [sys.executable, "-m", "dodo_exp", *args]
    with subprocess.Popen(command, cwd=space.root, env=env, stdout=theirs) as running:
        os.close(theirs)
        found = b""
        with contextlib.suppress(OSError):  # how Linux says that the other end is closed
            while data := os.read(ours, 10_000):
                found += data
    os.close(ours)
    assert running.returncode == 0
    return found.decode()


@pytest.mark.parametrize(
    "command",
    [
        "store ls",
        "undo --list",
        "gc --dry-run",
        "snapshot --list",
        "store du",
    ],
)
def test_tables_have_colours_on_a_terminal(looked_at: Space, command: str) -> None:
    """As codes that the terminal obeys, not as text."""
    out = on_terminal(looked_at, *command.split())
    assert "\x1b[1m" in out
    assert "\\x1b" not in out


# -- JSON ----------------------------------------------------------------------------------

NODE = {"kind": "str", "size": "int", "id": "str", "path": "str"}
COUNT = {"bytes": "int", "files": "int"}
STEP = {
    "step": "int",
    "at": "float",
    "command": "str",
    "paths": ["str"],
    "undoes": "NoneType",
    "undone": "bool",
}


@pytest.mark.parametrize(
    ("command", "wanted"),
    [
        ("store ls", [{"kind": "str", "name": "str", "id": "str"}]),
        ("store ls one", [NODE]),
        ("snapshot -n x", {"snapshot": "str", "bytes": "int"}),
        ("snapshot --remove snap", {"removed": ["str"]}),
        (
            "snapshot --list",
            [{"snapshot": "str", "created": "float", "bytes": "int", "message": "str"}],
        ),
        ("exp save -n x", {"experiment": "str", "bytes": "int", "stale": []}),
        ("exp remove one", {"removed": ["str"]}),
        (
            "exp apply one",
            {"experiment": "str", "step": "int", "changed": ["str"], "kept": []},
        ),
        ("exp apply snap", {"snapshot": "str", "step": "NoneType", "changed": [], "kept": []}),
        ("checkout", {"changed": [], "missing": [], "step": "NoneType"}),
        ("commit", {"recorded": []}),
        ("exp export ../out", {"experiments": ["str"], "bytes": "int", "sha256": "str"}),
    ],
)
def test_json_is_as_documented(kept: Space, command: str, wanted: Any) -> None:
    """Keys and kinds of what each command prints."""
    ran = kept.dodo(*command.split(), "--json")
    assert shape(ran.json) == wanted


def test_json_of_undo(kept: Space) -> None:
    """With names that come, go, and become what they were."""
    assert kept.dodo("undo", "--json").json == {
        "undone": 3,
        "command": "snapshot -n snap -m 'a note'",
        "changed": [],
        "refs": [["snapshot", "snap", "gone"]],
    }
    kept.dodo("exp", "remove", "one", "two")
    refs = kept.dodo("undo", "--json").json["refs"]
    assert sorted(refs) == [["experiment", "one", "back"], ["experiment", "two", "back"]]
    kept.dodo("exp", "save", "-f", "-n", "one")
    assert kept.dodo("undo", "--json").json["refs"] == [["experiment", "one", "back"]]
    listed = kept.dodo("undo", "--list", "--json").json
    assert [(s["step"], s["undoes"], s["undone"]) for s in listed] == [
        (8, 7, False),
        (7, None, True),
        (6, 5, False),
        (5, None, True),
        (4, 3, False),
        (3, None, True),
        (2, None, False),
        (1, None, False),
    ]
    assert shape(listed[-1]) == STEP


def test_json_of_import(kept: Space, tmp_path: Any) -> None:
    """What is new and what was here; and of the file's own numbers."""
    kept.dodo("exp", "export", "../out")
    assert kept.dodo("exp", "import", "../out", "--json").json == {
        "new": [],
        "known": ["one", "two", "snap"],
        "objects": 0,
        "bytes": 0,
    }
    (tmp_path / "other").mkdir()
    kept.write("other/dvc.yaml", "stages: {}\n")
    kept.dodo("init", "other")
    data = kept.dodo("exp", "import", "../../out", "--json", cwd="other").json
    assert (sorted(data["new"]), data["known"]) == (["one", "snap", "two"], [])
    assert data["objects"] > 5 and data["bytes"] > 1000
    kept.dodo("exp", "apply", "one", cwd="other")
    assert kept.read("other/src/deep/model.py") == "code\n"
    assert set(kept.dodo("repro", "--json", cwd="other").stages.values()) == {"unchanged"}


def test_json_of_du_gc_and_check(kept: Space) -> None:
    """Numbers by kind of what keeps them."""
    du = kept.dodo("store", "du", "--json").json
    assert set(du) == {"experiments", "kept", "unneeded", "leftovers"}
    assert shape(du["experiments"]) == [{"name": "str", "bytes": "int", "own_bytes": "int"}]
    assert all(shape(each) == COUNT for each in [*du["kept"].values(), du["unneeded"]])
    gc = kept.dodo("gc", "--json").json
    assert shape(gc["removed"]) == {
        "experiments": [],
        "steps": "int",
        "runs": "int",
        "undo_steps": "int",
        "files": "int",
        "bytes": "int",
    }
    assert set(gc) == {"dry_run", "removed", "kept", "recent"}
    assert all(shape(each) == COUNT for each in [*gc["kept"].values(), gc["recent"]])
    report = kept.dodo("store", "check", "--json", "--full").json
    assert set(report) == {"problems", "roots", "objects", "hashed", "bytes"}
    assert report["hashed"] == report["objects"]
    report = kept.dodo("store", "check", "--json", "--repair").json
    assert (report["mended"], report["lost"]) == ([], {})


def test_errors_are_words_on_standard_error_with_json_too(looked_at: Space) -> None:
    """And standard output stays empty."""
    for args in (["exp", "apply", "nine"], ["undo", "99"], ["store", "ls", "nine"]):
        ran = looked_at.dodo(*args, "--json", code=2)
        assert ran.out == "" and "error: " in ran.err
    assert json.loads(looked_at.dodo("exp", "show", "--json").out)


def test_a_reader_that_goes_away_ends_the_command_as_a_pipe_does(looked_at: Space) -> None:
    looked_at.write("big", "x" * 3_000_000)
    looked_at.dodo("snapshot", "-n", "large")
    for command in ("exp export - large", "store cat large:big"):
        done = subprocess.run(
            ["bash", "-c", f"dodo {command} | head -c 1; echo ${{PIPESTATUS[0]}}"],
            cwd=looked_at.root,
            env=looked_at.env,
            capture_output=True,
            text=True,
        )
        assert (done.stdout[1:], done.stderr) == ("141\n", "")


def test_import_makes_an_empty_folder_a_project(kept: Space) -> None:
    (kept.base / "empty").mkdir()
    kept.dodo("exp", "export", "../out.pack")
    refused = kept.dodo("exp", "import", "nowhere.pack", cwd="../empty", code=2)
    assert refused.err.startswith("error: nowhere.pack: ")
    assert not (kept.base / "empty/.dodo").exists()
    ran = kept.dodo("exp", "import", "../out.pack", cwd="../empty")
    assert ran.root == str(kept.base / "empty")
    names = [each["name"] for each in kept.dodo("exp", "list", "--json", cwd="../empty").json]
    assert sorted(names) == sorted(kept.store.experiments.names())
    kept.dodo("exp", "show", cwd="../empty")
    kept.dodo("exp", "apply", names[0], cwd="../empty")
    assert (kept.base / "empty/dvc.yaml").exists()
    assert kept.dodo("exp", "import", "../out.pack", cwd="../empty").err == ""
