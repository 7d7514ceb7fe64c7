"""Any small file of `.dodo` may be torn (empty, half, zeros): the next commands work all the same.

What a power cut leaves are empty files; a bad disk leaves others. Contents in `objects`, `trees`,
`records` and `runs` are for `store check`, whose tests are elsewhere.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.space import Space, kill_tree, wait_for

PIPELINE = """\
stages:
  train:
    cmd:
    - if [ ${b} = 9 ]; then touch ../started; sleep 60; fi
    - if [ ${b} = 8 ]; then exit 1; fi
    - cat code.py > model
    deps: [code.py]
    params: [b]
    outs: [model]
  eval:
    cmd: wc -c < model > size.json
    deps: [model]
    metrics: [size.json]
"""

TEARS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "half": lambda data: data[: len(data) // 2],
    "zeros": lambda data: bytes(len(data)),
}

CONTENTS = (
    "VERSION", "objects", "trees", "records", "runs", "logs", "replaced", "partial", "tmp",
)  # fmt: skip
"""Not torn here. VERSION is synced when the store is made; without it nothing may be read."""

Commands = tuple[tuple[tuple[str, ...], tuple[int, ...]], ...]
COMMANDS: Commands = (
    (("status",), (0,)),
    (("exp", "run", "-S", "b=6", "-n", "after"), (0,)),
    (("store", "check", "--repair"), (0, 5)),
    (("store", "check"), (0,)),
    (("gc",), (0,)),
    (("exp", "show"), (0,)),
)
MORE: Commands = (
    (("exp", "run", "--run-all"), (0,)),
    (("exp", "apply", "after"), (0,)),
    (("undo",), (0,)),
    (("exp", "show"), (0,)),
)
"""Commands and how they may end."""


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Space:
    """A project with some of everything; its last run was killed."""
    space = Space(tmp_path_factory.mktemp("full"))
    space.write("dvc.yaml", PIPELINE)
    space.write("params.yaml", "b: 1\n")
    space.write("code.py", "one\n")
    space.dodo("exp", "run", "-n", "one")
    space.dodo("exp", "run", "-n", "two", "-S", "b=2")
    space.dodo("exp", "apply", "one")
    space.dodo("snapshot", "-m", "kept")
    space.dodo("exp", "run", "--queue", "-n", "bad", "-S", "b=8")
    space.dodo("exp", "run", "--run-all", code=1)
    space.dodo("exp", "run", "--queue", "-n", "removed", "-S", "b=4")
    space.dodo("exp", "remove", "removed")
    space.dodo("exp", "run", "--queue", "-n", "waiting", "-S", "b=5")
    space.dodo("status")
    process = space.start("exp", "run", "-n", "killed", "-S", "b=9")
    wait_for((space.base / "started").exists)
    kill_tree(process)
    shutil.copytree(space.root, space.base / "pristine", symlinks=True)
    return space


def files(root: Path) -> list[str]:
    """Files of `.dodo` that are no contents."""
    found = []
    for folder, _, names in os.walk(root / ".dodo"):
        for name in names:
            path = Path(folder, name).relative_to(root / ".dodo")
            if path.parts[0] not in CONTENTS and Path(folder, name).stat().st_size:
                found.append(str(path))
    return sorted(found)


def sampled(found: list[str]) -> list[str]:
    """One file of each folder, and all that are in `.dodo` itself."""
    kinds: dict[str, str] = {}
    for path in found:
        folder, _, name = path.rpartition("/")
        kinds.setdefault(folder or name, path)
    return list(kinds.values())


def check(space: Space, paths: list[str], tear: str, commands: Commands) -> list[str]:
    """Tear one file at a time and run commands; says what went wrong."""
    problems = []
    for path in paths:
        shutil.rmtree(space.root)
        shutil.copytree(space.base / "pristine", space.root, symlinks=True)
        torn = space.root / ".dodo" / path
        data = torn.read_bytes()
        torn.chmod(0o644)
        torn.write_bytes(TEARS[tear](data))
        for args, codes in commands:
            process = space.start(*args)
            out, err = process.communicate(timeout=60)
            if process.returncode not in codes or "Traceback" in err:
                text = (out + err).strip()[-400:]
                problems.append(f"{path} {tear}: {' '.join(args)}: {process.returncode}\n{text}")
                break
        else:
            if "after" not in out:
                problems.append(f"{path} {tear}: 'after' is lost\n{out}")
    return problems


@pytest.mark.parametrize("tear", ["empty"])
def test_commands_work_whichever_file_is_torn(full: Space, tear: str) -> None:
    problems = check(full, sampled(files(full.base / "pristine")), tear, COMMANDS)
    assert problems == [], "\n".join(problems)


@pytest.mark.soak
@pytest.mark.parametrize("tear", TEARS)
def test_commands_work_whichever_file_is_torn_all(full: Space, tear: str) -> None:
    problems = check(full, files(full.base / "pristine"), tear, COMMANDS + MORE)
    assert problems == [], "\n".join(problems)


def with_two_runs(space: Space) -> None:
    space.write("dvc.yaml", "stages: {a: {cmd: 'echo ${b} > o', params: [b], outs: [o]}}\n")
    space.write("params.yaml", "b: 1\n")
    space.dodo("exp", "run", "-n", "one")
    space.dodo("exp", "run", "-n", "two", "-S", "b=2")


@pytest.mark.parametrize(
    "data, first",
    [(b"", ("gc",)), (bytes(300), ("store", "check", "--repair")), (b"", ("queue", "status"))],
)
def test_the_marker_of_a_run_that_never_reached_the_disk_is_dropped(
    space: Space, data: bytes, first: tuple[str, ...]
) -> None:
    with_two_runs(space)
    marker = space.root / ".dodo/queue/running/00000003~1~three"
    marker.write_bytes(data)
    space.dodo(*first)
    for args in (("store", "check"), ("gc",), ("exp", "run", "-n", "three", "-S", "b=3")):
        space.dodo(*args)
    assert "No experiments in the queue." in space.dodo("queue", "status").out
    assert not marker.exists()


@pytest.mark.parametrize("state", ["todo", "running", "done"])
def test_a_job_that_cannot_be_read_keeps_nothing_from_being_collected_once_repaired(
    space: Space, state: str
) -> None:
    with_two_runs(space)
    name = {"todo": "0~three", "running": "1~three", "done": "1~three~failed"}[state]
    (space.root / f".dodo/queue/{state}/00000003~{name}").write_bytes(b"DODO garbage")
    space.dodo("store", "check", "--repair")
    space.dodo("store", "check")
    space.dodo("gc")
    shown = space.dodo("queue", "status").out
    assert ("its file cannot be read" in shown) == (state != "done")
    space.dodo("queue", "remove", "--all")
