"""After a power cut: what the caches say of a file that never reached the disk is not believed.

A file can keep its size and times and hold zeros, as ext4 leaves one that was preallocated. That is
made by hand here; tests/crash/test_power_cut.py cuts real file systems.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from dodo_store.stamps import Mark, Stamps, mark
from tests.space import Space

BOOT = "/proc/sys/kernel/random/boot_id"

Rebooted = Callable[..., str]


@pytest.fixture
def rebooted(space: Space) -> Rebooted:
    """`dodo ARGS` as if the machine had started anew since; its standard output."""
    boot = space.base / "boot_id"
    boot.write_text("11111111-2222-3333-4444-555555555555\n")
    as_root = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
    script = f'mount --bind {boot} {BOOT} && exec "$@"'
    command = ["unshare", *as_root, "--mount", "sh", "-c", script, "sh"]
    try:
        shown = subprocess.run([*command, "cat", BOOT], capture_output=True, text=True).stdout
    except FileNotFoundError:
        shown = ""
    if shown != boot.read_text():
        pytest.skip("this machine lets nobody show another boot id (unshare, mount --bind)")

    def run(*args: str) -> str:
        process = subprocess.run(
            [*command, sys.executable, "-m", "dodo_exp", *args],
            cwd=space.root,
            env=space.env,
            capture_output=True,
            text=True,
        )
        assert process.returncode == 0, process.stdout + process.stderr
        return process.stdout

    return run


STAGE = """\
stages:
  count:
    cmd: wc -l < data.txt > count.txt
    deps: [data.txt]
    outs: [count.txt]
"""


@pytest.fixture
def zeroed(space: Space) -> Iterator[Callable[[str], None]]:
    """Make a file hold zeros, with the stat that the caches know: the clock does the rest."""
    known: dict[str, Mark] = {}
    path = str(space.root / ".dodo" / "stamps")

    def zero(name: str) -> None:
        full = space.root / name
        before = Stamps(path)
        oid = before.get(name, mark(full.stat()))
        assert oid is not None, "the caches do not know the file"
        found = full.stat()
        with open(full, "r+b") as file:
            file.write(bytes(found.st_size))
        os.utime(full, ns=(found.st_atime_ns, found.st_mtime_ns))
        known[name] = mark(full.stat())
        # No clock gives the same time of change twice. So the caches are what is altered.
        table = Stamps(path)
        table.set(name, known[name], oid, time.time_ns() + 10**10)
        table.save()

    yield zero


def test_an_input_that_was_only_looked_at_is_hashed_again(
    space: Space, rebooted: Rebooted, zeroed: Callable[[str], None]
) -> None:
    space.write("dvc.yaml", STAGE)
    space.write("data.txt", "one\n")
    space.dodo("exp", "run")
    space.write("data.txt", "one\ntwo\n")
    time.sleep(0.1)
    assert "data.txt" in space.dodo("status").out
    zeroed("data.txt")
    rebooted("exp", "run")
    assert space.read("count.txt").strip() == "0"
    assert "outputs" not in space.dodo("status").out


def test_an_answer_of_an_earlier_boot_is_not_repeated(space: Space, rebooted: Rebooted) -> None:
    space.write("dvc.yaml", STAGE)
    space.write("data.txt", "one\n")
    space.dodo("exp", "run")
    time.sleep(0.1)
    answers = space.root / ".dodo" / "still"
    assert "up to date" in space.dodo("status").out
    assert len(os.listdir(answers)) == 1
    assert "up to date" in rebooted("status")
    assert len(os.listdir(answers)) == 2


def test_after_an_orderly_reboot_what_a_run_has_hashed_is_not_read_again(
    space: Space, rebooted: Rebooted
) -> None:
    space.write("dvc.yaml", STAGE)
    space.write("data.txt", "one\n")
    time.sleep(0.1)
    space.dodo("exp", "run")
    known = Stamps(str(space.root / ".dodo" / "stamps")).get(
        "data.txt", mark((space.root / "data.txt").stat())
    )
    rebooted("status")
    after = Stamps(str(space.root / ".dodo" / "stamps")).get(
        "data.txt", mark((space.root / "data.txt").stat())
    )
    assert known is not None
    assert after == known
