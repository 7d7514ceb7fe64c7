"""Processes that a stage has detached in every way there is end with the run, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dodo_exp.engine.child import Used, own_memory
from dodo_exp.engine.reaper import Reaper
from tests.space import Space, wait_for

linux_only = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux has subreapers: elsewhere groups are all we know"
)

DETACHED = {
    "own session, no environment": "setsid env -i sleep SECONDS",
    "the same, and its parents gone": "(setsid env -i sh -c 'setsid env -i sleep SECONDS &' &);"
    " sleep SECONDS",
}


def sleepers(seconds: str) -> list[int]:
    """Processes that sleep for so long."""
    found = []
    for name in os.listdir("/proc"):
        try:
            words = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[:2] == [b"sleep", seconds.encode()]:
            found.append(int(name))
    return found


@pytest.fixture
def seconds() -> Iterator[str]:
    """A number of seconds that no other test sleeps for."""
    text = f"300.{os.getpid()}{time.monotonic_ns() % 1_000_000}"
    yield text
    for pid in sleepers(text):
        os.kill(pid, signal.SIGKILL)


@linux_only
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("how", DETACHED)
@pytest.mark.parametrize("where", [(), ("--temp",)], ids=["here", "temp"])
def test_detached_processes_end_with_the_run(
    space: Space, seconds: str, how: str, number: int, where: tuple[str, ...]
) -> None:
    space.write("s.sh", DETACHED[how].replace("SECONDS", seconds))
    space.write("dvc.yaml", "stages:\n  s: {cmd: sh s.sh, deps: [s.sh], outs: [o]}\n")
    process = space.start("exp", "run", *where)
    wanted = DETACHED[how].count("SECONDS")
    wait_for(lambda: len(sleepers(seconds)) == wanted)
    process.send_signal(number)
    process.communicate(timeout=20)
    wait_for(lambda: not sleepers(seconds), 5)
    space.dodo("status")


@linux_only
def test_a_detached_process_ends_with_its_stages_time(space: Space, seconds: str) -> None:
    space.write(
        "dvc.yaml",
        "stages:\n  s:\n    cmd: setsid --wait env -i sleep " + seconds + "\n    outs: [o]\n"
        "    meta: {dodo: {timeout: 1s}}\n",
    )
    space.repro(code=1)
    assert not sleepers(seconds)


def test_what_is_left_in_the_background_on_purpose_stays(space: Space, seconds: str) -> None:
    cmd = f"setsid sleep {seconds} > /dev/null 2>&1 & touch o"
    space.write("dvc.yaml", f"stages:\n  s: {{cmd: '{cmd}', outs: [o]}}\n")
    space.repro()
    assert sleepers(seconds)


@linux_only
def test_a_run_whose_watcher_is_killed_fails_that_stage_alone(space: Space) -> None:
    first = "echo $PPID > ../watcher; while [ ! -e ../go ]; do sleep 0.02; done; touch a"
    space.write(
        "dvc.yaml",
        f"stages:\n  a: {{cmd: '{first}', outs: [a]}}\n  b: {{cmd: touch b, outs: [b]}}\n",
    )
    process = space.start("repro", "--keep-going")
    wait_for((space.base / "watcher").exists)
    wait_for(lambda: bool((space.base / "watcher").read_text()))
    os.kill(int((space.base / "watcher").read_text()), signal.SIGKILL)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "the process that starts commands was killed" in err
    assert "Traceback" not in err
    assert space.exists("b")


@pytest.mark.parametrize("spawns", [False, True])
def test_a_command_is_started_waited_for_and_counted(tmp_path: Path, spawns: bool) -> None:
    if spawns and sys.platform != "linux":
        pytest.skip("only Linux has subreapers")
    reaper = Reaper(str(tmp_path), spawns=spawns)
    reaper.begin()
    read, write = os.pipe()
    size = 2 * own_memory() + 100_000_000  # less than the watcher has itself would not be seen
    script = f"import sys; x = 'x' * {size}; print('hello'); sys.exit(7)"
    child = reaper.start(
        [sys.executable, "-c", script], str(tmp_path), {}, output=write, stdin=None, inherited=()
    )
    os.close(write)
    code, used = child.wait()
    reaper.done(child)
    assert (code, os.read(read, 100)) == (7, b"hello\n")
    assert isinstance(used, Used) and used.cpu > 0 and used.memory > size
    with pytest.raises(FileNotFoundError, match="/no/such/shell"):
        reaper.start(["/no/such/shell"], str(tmp_path), {}, output=read, stdin=None, inherited=())
    os.close(read)
    reaper.close()


def test_without_a_subreaper_process_groups_end_with_us(tmp_path: Path, seconds: str) -> None:
    script = (
        "import os, sys, time\n"
        "from dodo_exp.engine.reaper import Reaper\n"
        "reaper = Reaper('/', spawns=False)\n"
        "reaper.begin()\n"
        f"reaper.start(['/bin/sleep', '{seconds}'], '/', {{}}, output=1, stdin=None,"
        " inherited=())\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.DEVNULL)
    arg = seconds

    def is_up() -> bool:
        done = subprocess.run(["ps", "-A", "-o", "args"], capture_output=True, text=True)
        return f"/bin/sleep {arg}" in done.stdout

    wait_for(is_up)
    process.kill()
    process.wait()
    wait_for(lambda: not is_up(), 5)
