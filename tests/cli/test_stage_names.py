"""Stage names that DVC runs: each has its own files, and every command can name it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import doing
from tests.doing import doit, marks
from tests.space import Space

NAMES = (
    *("a/b", "page/x/index", ".a", "-a", "a\\b", "a:b", "..", ".", "../x", "/abs", "a b", "5"),
    *(
        "a=b",
        "a*",
        "x.yaml",
        "dvc.yaml",
        "é:ß",
        ":x",
        "x:",
        "a%2Fb",
        "00000001~x",
        "_u",
        "?",
        "'q'",
    ),
    *("sub/dvc.yaml:t", "y" * 199, "y" * 201, "y" * 202),
)


def key(name: str) -> str:
    """A name as YAML writes it."""
    return "'" + name.replace("'", "''") + "'"


def write(space: Space, command: str = "echo {i} > o{i}", names: tuple[str, ...] = NAMES) -> None:
    space.write(
        "dvc.yaml",
        "stages:\n"
        + "".join(
            f"  ? {key(name)}\n  : {{cmd: '{command.format(i=i)}', outs: [o{i}]}}\n"
            for i, name in enumerate(names)
        ),
    )


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def named(space: Space) -> Space:
    """A project of its own with a stage of each name, that has run."""
    space.dodo("init")
    write(space)
    space.repro()
    return space


def test_every_name_runs_and_is_up_to_date_afterwards(space: Space) -> None:
    write(space)
    assert space.repro().stages == dict.fromkeys(NAMES, "ran")
    assert space.repro().stages == dict.fromkeys(NAMES, "unchanged")
    for i in range(len(NAMES)):
        space.remove(f"o{i}")
    (space.root / "dodo.lock").write_text((space.root / "dodo.lock").read_text() + "\n")
    assert set(space.repro().stages.values()) <= {"ran", "restored"}
    space.check()


def test_every_name_has_a_log_of_its_own(named: Space) -> None:
    logs = [path for path in (named.root / ".dodo/logs").iterdir() if path.is_file()]
    assert sorted(path.read_text() for path in logs) == sorted(
        f"> echo {i} > o{i}\n" for i in range(len(NAMES))
    )
    assert named.dodo("queue", "logs", code=2).out == ""  # none of them is a run's log


@pytest.mark.parametrize("what", ["partial", "replaced"])
def test_what_is_kept_of_a_stage_stays_inside_its_folder(space: Space, what: str) -> None:
    space.dodo("init")
    fails = what == "partial"
    write(space, "echo new{i} > o{i}" + ("; exit 3" if fails else ""))
    for i in range(len(NAMES)):
        space.write(f"o{i}", f"mine {i}\n")
    before = [name for name in entries(space.root / ".dodo") if name != what]
    space.dodo("repro", "-k", code=1 if fails else 0)
    after = [name for name in entries(space.root / ".dodo") if name != what]
    assert set(before) <= set(after)
    assert set(after) - set(before) <= {"logs", "memo", "stamps", "still", "undo", "slots"}
    kept = space.root / ".dodo" / what
    assert len(entries(kept)) == len(NAMES)
    found = sorted(path.read_text() for path in kept.rglob("*") if path.is_file())
    text = "new{}\n" if fails else "mine {}\n"
    assert found == sorted(text.format(i) for i in range(len(NAMES)))
    if fails:
        assert [space.read(f"o{i}") for i in range(len(NAMES))] == [
            f"mine {i}\n" for i in range(len(NAMES))
        ]


def test_a_target_is_taken_for_the_stage_of_exactly_this_name(named: Space) -> None:
    for name in NAMES:
        if name == "dvc.yaml":
            continue  # names the file
        ran = named.dodo("repro", "--json", "--dry", "-f", "-s", "--", name)
        assert [row["stage"] for row in ran.json] == [name]


@pytest.mark.parametrize(
    "target, name",
    [
        ("dvc.yaml:-a", "-a"),
        ("dvc.yaml:a:b", "a:b"),
        ("dvc.yaml:a/b", "a/b"),
        (":a:b", "a:b"),
        ("./dvc.yaml:x:", "x:"),
        ("dvc.yaml:dvc.yaml", "dvc.yaml"),
        ("{root}/dvc.yaml:a:b", "a:b"),
        ("{root}/dvc.yaml:../x", "../x"),
    ],
)
def test_a_target_may_name_the_file_too(named: Space, target: str, name: str) -> None:
    target = target.format(root=named.root)
    assert named.dodo("why", target).out == f"{name} is up to date\n"
    assert named.dodo("stage", "list", "--name-only", target).out == f"{name}\n"


def test_a_stage_of_another_folder_is_named_by_its_file(space: Space) -> None:
    space.dodo("init")
    space.write("sub/dvc.yaml", "stages:\n  'a:b': {cmd: echo > o, outs: [o]}\n")
    for cwd, target in (
        (".", "sub/dvc.yaml:a:b"),
        ("sub", "a:b"),
        ("sub", "dvc.yaml:a:b"),
        ("sub", "sub/dvc.yaml:a:b"),
    ):
        ran = space.dodo("repro", "--json", "-f", target, cwd=cwd)
        assert ran.stages == {"sub/dvc.yaml:a:b": "ran"}


def test_patterns_match_the_whole_name(named: Space) -> None:
    for pattern, names in {
        "a/*": {"a/b"},
        "*:*": {"a:b", "é:ß", ":x", "x:", "sub/dvc.yaml:t"},
        "dvc.yaml:a?b": {"a/b", "a\\b", "a:b", "a b", "a=b"},
        "..*": {"..", "../x"},
    }.items():
        ran = named.dodo("repro", "--json", "--dry", "-f", "--glob", pattern)
        assert {row["stage"] for row in ran.json} == names


def test_two_stages_that_would_be_called_the_same_are_refused(space: Space) -> None:
    space.dodo("init")
    space.write("dvc.yaml", "stages:\n  'sub/dvc.yaml:t': {cmd: ls}\n")
    space.write("sub/dvc.yaml", "stages:\n  t: {cmd: ls}\n")
    assert space.dodo("repro", code=2).err == (
        "error: sub/dvc.yaml:2: the stage at dvc.yaml:2 is called 'sub/dvc.yaml:t' as well\n"
    )


def test_stages_are_frozen_and_removed_by_name(named: Space) -> None:
    names = [name for name in NAMES if name != "dvc.yaml"]
    named.dodo("freeze", "--", *names)
    frozen = {row["name"] for row in named.dodo("stage", "list", "--json").json if row["frozen"]}
    assert frozen == set(names)
    named.dodo("unfreeze", "--", *names)
    named.dodo("stage", "remove", "--", *names)
    assert named.dodo("stage", "list", "--name-only").out == "dvc.yaml\n"


def test_doit_runs_every_name(space: Space) -> None:
    space.write("doit.cfg", doing.LOADER)
    write(space)
    ran = marks(doit(space, "-n", "2"))
    assert len(ran) == len(NAMES) - 1  # doit says nothing of tasks that begin with '_'
    assert set(ran.values()) == {"."}
    assert space.repro().stages == dict.fromkeys(NAMES, "unchanged")
    for target in ("%2Da", "a%3Db", "a%2A", "a%252Fb", "a:b", "..", "a/b"):
        assert marks(doit(space, target)) == {target: "--"}


def test_an_experiment_of_such_stages_is_queued_shown_and_applied(space: Space) -> None:
    write(space)
    space.dodo("exp", "run", "--queue", "-n", "x")
    space.dodo("exp", "run", "--run-all")
    assert "Running stage 'a/b'" in space.dodo("queue", "logs", "x").out
    space.dodo("exp", "apply", "x")
    assert space.read("o3") == "3\n"
    assert set(space.dodo("status", "--json").json) == set()
    space.check()


def test_a_stage_and_added_data_of_its_name_are_apart(space: Space) -> None:
    space.write("d/x", "data\n")
    space.write("dvc.yaml", "stages:\n  '+d/x': {cmd: echo > o, outs: [o]}\n")
    space.repro()
    space.dodo("add", "d/x")
    assert space.repro().stages == {"+d/x": "unchanged"}
    assert space.dodo("status").out == "Data and pipelines are up to date.\n"


def test_a_new_stage_gets_a_plainer_name(space: Space) -> None:
    write(space, names=("a/b",))
    for name in ("c/d", "a:b", "-a", ".a", "a\\b"):
        said = space.dodo("stage", "add", "-n", name, "ls", code=2).err
        assert said.startswith(f"error: not a name for a new stage: {name!r}\nhint: ")
    space.dodo("stage", "add", "-f", "-n", "a/b", "ls")
    assert space.dodo("stage", "list", "--json").json[0]["cmd"] == ["ls"]
