"""What a command reports is on disk when it ends: which files it syncs, and before what.

The kernel is asked (strace); tests/crash/test_power_cut.py cuts real file systems.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dodo_store import durable
from tests.space import Space

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not there")

TRAIN = """\
stages:
  train:
    cmd: mkdir -p model && cp code.py model/one && cp params.yaml model/two
    deps: [code.py]
    params: [b]
    outs: [model]
"""


@pytest.fixture
def trained(space: Space) -> Space:
    """A project with two experiments."""
    space.write("dvc.yaml", TRAIN)
    for name, value in (("one", 1), ("two", 2)):
        space.write("params.yaml", f"b: {value}\n")
        space.write("code.py", f"print({value})\n")
        space.dodo("exp", "run", "-n", name)
    return space


def calls(space: Space, *args: str) -> list[str]:
    """What a command syncs and renames: "sync PATH", "syncfs", "name PATH", in order."""
    log = space.base / "strace"
    calls = "trace=fsync,syncfs,rename,renameat,renameat2"
    command = ["strace", "-f", "-y", "-qq", "-o", str(log), "-e", calls]
    ran = subprocess.run(
        [*command, sys.executable, "-m", "dodo_exp", *args],
        cwd=space.root,
        env=space.env,
        capture_output=True,
        text=True,
    )
    if "PTRACE" in ran.stderr:
        pytest.skip("nothing may be traced here")
    assert ran.returncode == 0, ran.stderr
    return [call for line in log.read_text().splitlines() if (call := plain(line, space.root))]


def plain(line: str, root: Path) -> str:
    """A call in short, paths relative to the project."""
    if "syncfs(" in line:
        return "syncfs"
    if found := re.search(r"fsync\(\d+<(.*?)>\)", line):
        return f"sync {Path(found[1]).relative_to(root)}"
    names = re.findall(r"\"(.*?)\"", line)
    if not names:
        return ""
    folder = re.findall(r", \d+<(.*?)>, \"", line)
    target = Path(folder[0], names[-1]) if folder else Path(names[-1])
    return f"name {target.relative_to(root)}" if target.is_relative_to(root) else ""


@pytest.mark.parametrize("args", [("exp", "apply", "one"), ("undo",), ("checkout",)])
def test_what_is_restored_is_on_disk_before_its_undo_step(
    trained: Space, args: tuple[str, ...]
) -> None:
    if args == ("checkout",):
        shutil.rmtree(trained.root / "model")
    wanted = {"sync model", "sync model/one", "sync model/two", "sync ."}
    if args != ("checkout",):
        wanted |= {"sync code.py", "sync params.yaml", "sync dodo.lock"}
    if args == ("undo",):
        trained.dodo("exp", "apply", "one")
    found = calls(trained, *args)
    step = next(i for i, call in enumerate(found) if call.startswith("name .dodo/undo/"))
    placed = max(i for i, call in enumerate(found[:step]) if call.startswith("name model"))
    assert wanted <= set(found[placed:step])


def test_many_files_are_synced_in_one_call(space: Space) -> None:
    cmd = "mkdir out && for i in $(seq 40); do echo $i > out/$i; done"
    space.write("dvc.yaml", f"stages: {{many: {{cmd: '{cmd}', outs: [out]}}}}\n")
    space.dodo("exp", "run")
    shutil.rmtree(space.root / "out")
    found = calls(space, "checkout")
    step = next(i for i, call in enumerate(found) if call.startswith("name .dodo/undo/"))
    assert "syncfs" in found[found.index("name out") : step]
    assert not any(call.startswith("sync out/") for call in found)


@pytest.mark.parametrize("args", [("exp", "run"), ("repro",)])
def test_what_a_run_restores_is_on_disk_before_it_is_in_the_lock_file(
    trained: Space, args: tuple[str, ...]
) -> None:
    trained.write("params.yaml", "b: 1\n")
    trained.write("code.py", "print(1)\n")
    found = calls(trained, *args)
    locked = found.index("name dodo.lock")
    assert {"sync model/one", "sync model/two", "sync model", "sync ."} <= set(found[:locked])


def test_what_a_stage_makes_and_reads_is_on_disk_when_the_run_ends(trained: Space) -> None:
    trained.write("code.py", "print(3)\n")
    found = calls(trained, "exp", "run", "-S", "b=3")
    wanted = {"code.py", "params.yaml", "model/one", "model/two", "dodo.lock"}
    names = [call.split()[1] for call in found if call.startswith("sync ")]
    # What is put into place by a rename was synced before it.
    renamed = {call.split()[1] for call in found if call.startswith("name ")}
    assert wanted <= {*names, *renamed}


def test_nothing_is_synced_where_durability_is_off(trained: Space) -> None:
    trained.dodo("config", "store.durability", durable.OFF)
    for args in (("exp", "apply", "one"), ("undo",), ("exp", "run", "-S", "b=5")):
        assert [call for call in calls(trained, *args) if "sync" in call.split()[0]] == []
