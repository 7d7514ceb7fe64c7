"""Where no process or no thread can be started, that is said, and everything is as it was.

A filter of system calls (seccomp(2)) refuses them, as a limit of processes does: it needs no user
of its own, and the limit does not depend on what else runs.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.space import Space

NUMBERS = {"x86_64": (56, 57, 58), "aarch64": (220, 220, 220)}
"""clone, fork, vfork."""
CLONE3 = 435
CLONE_THREAD = 0x10000
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, FILTER = 38, 22, 2
LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in NUMBERS,
    reason="the filter of system calls is written for Linux on x86_64 and aarch64",
)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def refuse(*, threads_only: bool = False) -> Callable[[], None]:
    """What a child calls before it becomes a command that is to start nothing."""
    clone, fork, vfork = NUMBERS[platform.machine()]
    again = REFUSE | errno.EAGAIN
    rows = [
        (LOAD, 0, 0, 0),  # the call's number
        (EQUAL, 0, 1, CLONE3),
        (RETURN, 0, 0, REFUSE | errno.ENOSYS),  # then clone is tried, whose flags can be seen
        (EQUAL, 3, 0, clone),
        (EQUAL, 1, 0, fork),
        (EQUAL, 0, 4, vfork),
        (RETURN, 0, 0, ALLOW if threads_only else again),
        (LOAD, 0, 0, 16),  # clone's flags
        (ANY_BIT, 0, int(threads_only), CLONE_THREAD),
        (RETURN, 0, 0, again),
        (RETURN, 0, 0, ALLOW),
    ]
    code = b"".join(struct.pack("HBBI", *row) for row in rows)
    program = ctypes.create_string_buffer(code)
    libc = ctypes.CDLL(None)

    def install() -> None:
        given = _Program(len(rows), ctypes.cast(program, ctypes.c_void_p))
        assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
        assert libc.prctl(PR_SET_SECCOMP, FILTER, ctypes.byref(given)) == 0

    return install


def told(space: Space, *args: str, code: int = 1, **more: Any) -> str:
    """What `dodo ARGS` says where nothing can be started."""
    process = space.start(*args, preexec_fn=refuse(**more))
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err, err
    assert process.returncode == code, out + err
    return err


@pytest.mark.parametrize("threads_only", [False, True])
@pytest.mark.parametrize(
    "args", [("exp", "run", "-S", "train.lr=0.7"), ("repro",), ("exp", "run", "--temp")]
)
def test_a_run_says_what_it_lacks_and_changes_nothing(
    project: Space, args: tuple[str, ...], threads_only: bool
) -> None:
    before = project.tree()
    err = told(project, *args, threads_only=threads_only)
    assert "no more processes or threads can be started" in err
    if "--temp" in args:  # what it had is an experiment that has failed
        assert "hint: what it had is kept as" in err
    else:
        assert "hint: end other processes, use a smaller -j, or raise the limit" in err
    assert project.tree() == before
    project.exp()


@pytest.mark.parametrize("args", [("exp", "run", "--run-all"), ("queue", "start", "--detach")])
def test_the_queue_keeps_its_jobs(project: Space, args: tuple[str, ...]) -> None:
    project.exp("--queue", "-S", "train.lr=0.7", "-n", "one")
    assert "no more processes or threads can be started" in told(project, *args)
    (job,) = project.dodo("queue", "status", "--json").json["experiments"]
    assert (job["name"], job["state"]) == ("one", "queued")
    project.dodo("exp", "run", "--run-all")


def test_many_and_large_files_are_read_without_help(space: Space) -> None:
    (space.root / "many").mkdir()
    for n in range(1200):
        (space.root / f"many/{n}").write_text(str(n))
    for n in range(4):
        (space.root / f"large{n}").write_bytes(bytes([n]) * (2 << 20))
    told(space, "init", code=0)
    told(space, "snapshot", "-n", "all", code=0)
    assert space.dodo("store", "cat", "all:many/1199").out == "1199"
    space.check()
