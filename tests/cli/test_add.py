"""`dodo add`: data that no stage makes is named by dodo.lock, compared, and brought back."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.space import Space

PIPELINE = "stages:\n  sum: {cmd: cat raw/* > out, deps: [raw], outs: [out]}\n"


@pytest.fixture
def added(space: Space) -> Space:
    """A folder and a file that were added, and a stage that reads the folder."""
    space.write("raw/a.csv", "1\n")
    space.write("raw/b.csv", "2\n")
    space.write("big.bin", "big\n")
    space.write("dvc.yaml", PIPELINE)
    space.dodo("add", "raw", "big.bin")
    space.repro()
    return space


def lose(space: Space, path: str) -> None:
    full = space.root / path
    shutil.rmtree(full) if full.is_dir() else full.unlink()


def test_what_is_added_needs_no_pipeline(space: Space) -> None:
    space.write("data.csv", "1\n")
    assert space.dodo("add", "data.csv").out == "Added data.csv (2 B)\n"
    assert json.loads(space.read("dodo.lock"))["data"]["data.csv"]["size"] == 2
    space.write("data.csv", "2\n")
    assert space.dodo("status").out == (
        "data.csv: changed since it was added; `dodo checkout data.csv` brings it back\n"
    )
    space.dodo("checkout")
    assert space.read("data.csv") == "1\n"


def test_status_tells_what_changed_and_what_is_missing(added: Space) -> None:
    assert added.dodo("status").out == "Data and pipelines are up to date.\n"
    added.dodo("status", "-q")
    added.write("big.bin", "other\n")
    lose(added, "raw")
    assert added.dodo("status").out == (
        "big.bin: changed since it was added; `dodo checkout big.bin` brings it back\n"
        "raw: missing; `dodo checkout raw` brings it back\n"
        "sum: out of date\n    raw is no longer there\n"
    )
    shown = added.dodo("status", "--json").json
    assert shown["big.bin"] == [{"changed outs": {"big.bin": "modified"}}]
    assert shown["raw"] == [{"changed outs": {"raw": "deleted"}}]
    added.dodo("status", "-q", code=1)


@pytest.mark.parametrize("words", [["repro"], ["exp", "run"], ["exp", "run", "--temp"]])
def test_a_run_brings_back_what_it_reads_and_what_is_missing(
    added: Space, words: list[str]
) -> None:
    lose(added, "raw")
    lose(added, "big.bin")
    ran = added.dodo(*words)
    assert "raw was missing: it is back as it was added\n" in ran.err
    if "--temp" not in words:
        assert added.read("raw/b.csv") == "2\n"
        assert not added.exists("big.bin")  # nothing reads it
        assert "big.bin" in added.dodo("checkout").out


def test_doit_brings_back_what_is_missing(added: Space) -> None:
    import subprocess

    added.write("doit.cfg", "[GLOBAL]\nloader = dodo\n")
    lose(added, "raw")
    done = subprocess.run(["doit"], cwd=added.root, env=added.env, capture_output=True, text=True)
    assert (done.returncode, added.read("raw/a.csv")) == (0, "1\n"), done.stderr


def test_changed_data_is_used_as_it_is(added: Space) -> None:
    added.write("raw/a.csv", "9\n")
    added.repro()
    assert added.read("out") == "9\n2\n"
    assert "changed since" in added.dodo("status").out
    added.dodo("add", "raw")
    assert added.dodo("status").out == "Data and pipelines are up to date.\n"


def test_a_missing_file_of_an_added_folder_is_told_with_the_way_back(added: Space) -> None:
    added.write("dvc.yaml", PIPELINE.replace("deps: [raw]", "deps: [raw/a.csv]"))
    added.remove("raw/a.csv")
    assert "`dodo checkout raw` brings it back" in added.dodo("repro", code=2).err
    added.dodo("checkout", "raw")
    added.repro()


def test_ignored_data_is_in_every_experiment(added: Space) -> None:
    added.write(".dodoignore", "raw\nbig.bin\n")
    added.exp("-n", "one")
    assert "big.bin" in added.dodo("store", "ls", "one").out
    lose(added, "big.bin")
    added.dodo("exp", "apply", "one")
    assert added.read("big.bin") == "big\n"


def test_runs_and_other_commands_keep_what_was_added(added: Space) -> None:
    added.write("raw/a.csv", "3\n")
    added.repro()
    added.dodo("commit")
    added.dodo("stage", "remove", "sum")
    added.dodo("stage", "add", "-n", "new", "-d", "raw", "-o", "o", "cat raw/* > o")
    added.repro()
    lock = json.loads(added.read("dodo.lock"))
    assert list(lock["data"]) == ["big.bin", "raw"] and list(lock["stages"]) == ["new"]


def test_gc_keeps_it_and_undo_takes_it_back(added: Space) -> None:
    lose(added, "big.bin")
    added.dodo("gc")
    added.dodo("checkout", "big.bin")
    assert added.read("big.bin") == "big\n"
    added.dodo("add", "--forget", "big.bin")
    assert "big.bin" not in added.read("dodo.lock")
    added.dodo("undo")
    assert "big.bin" in added.read("dodo.lock")


def test_adding_from_a_subfolder(added: Space) -> None:
    added.write("raw/more/c.csv", "3\n")
    ran = added.dodo("add", "c.csv", cwd="raw/more", code=2)
    assert ran.err.startswith("error: 'c.csv' is in '..', which was added\n")
    assert added.dodo("add", "../../raw", cwd="raw/more").out == "Added raw (6 B)\n"


def test_a_folder_takes_the_place_of_what_is_in_it(space: Space) -> None:
    space.write("raw/a.csv", "1\n")
    space.write("dvc.yaml", PIPELINE)
    space.dodo("add", "raw/a.csv")
    space.dodo("add", "raw")
    assert list(json.loads(space.read("dodo.lock"))["data"]) == ["raw"]


@pytest.mark.parametrize(
    "path, said",
    [
        ("nope", "'nope' is not there"),
        ("bigbin", "'bigbin' is not there\nhint: did you mean 'big.bin'?"),
        (".", "the whole project cannot be added"),
        ("..", "'..' is outside the project"),
        ("/etc/passwd", "'/etc/passwd' is outside the project"),
        (".dodo/VERSION", "'.dodo/VERSION' belongs to dodo itself"),
        ("out", "stage 'sum' makes 'out'"),
        ("link", "'link' is a link"),
    ],
)
def test_what_cannot_be_added_is_told_and_changes_nothing(
    added: Space, path: str, said: str
) -> None:
    (added.root / "link").symlink_to("big.bin")
    before = added.read("dodo.lock")
    assert added.dodo("add", path, code=2).err.startswith(f"error: {said}")
    assert added.read("dodo.lock") == before


@pytest.mark.parametrize(
    "data", ["[]", '{"x": 1}', '{"x": {"kind": "file"}}', '{"../x": {"kind": "file"}}']
)
def test_a_damaged_entry_is_told_with_its_name(added: Space, data: str) -> None:
    before = added.read("dodo.lock")
    added.write("dodo.lock", json.dumps({**json.loads(before), "data": json.loads(data)}))
    assert added.dodo("status", code=2).err.startswith("error: dodo.lock: ")
    added.write("dodo.lock", before)


def test_an_entry_that_leads_outside_is_not_followed(added: Space) -> None:
    lock = json.loads(added.read("dodo.lock"))
    lock["data"] = {"../far": lock["data"]["big.bin"]}
    added.write("dodo.lock", json.dumps(lock))
    added.dodo("checkout")
    assert not (added.base / "far").exists()
