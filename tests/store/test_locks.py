"""Locks: held by one, and freed with their holder however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from dodo_store import locks
from dodo_store.errors import Held
from dodo_store.locks import hold, is_free

HOLDER = """\
import sys
from dodo_store.locks import hold
def waiting(owner):
    print("waiting for", owner, flush=True)
with hold(sys.argv[1], sys.argv[2], waiting=waiting):
    print("held", flush=True)
    sys.stdin.read()
"""

Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where the lock file will be."""
    return str(tmp_path / "lock")


@pytest.fixture
def start(path: str) -> Iterator[Start]:
    """Start a process that takes the lock, says so, and keeps it until its input ends."""
    with ExitStack() as stack:

        def begin(who: str) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, "-c", HOLDER, path, who],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield begin


def says(process: subprocess.Popen[str]) -> str:
    """The next line that a process prints."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_lock_is_free_before_and_after_and_not_in_between(path: str) -> None:
    assert is_free(path)
    with hold(path, "me"):
        assert not is_free(path)
    assert is_free(path)


def test_asking_whether_it_is_free_makes_no_file(path: str) -> None:
    assert is_free(path)
    assert not Path(path).exists()


def test_asking_whether_it_is_free_does_not_take_it(path: str) -> None:
    Path(path).touch()
    assert is_free(path)
    with hold(path, "me", timeout=0):
        pass


def test_a_lock_file_stays(path: str) -> None:
    with hold(path, "me"):
        inode = Path(path).stat().st_ino
    with hold(path, "you"):
        pass
    assert Path(path).stat().st_ino == inode


def test_the_file_says_who_holds_it_however_often_others_ask(path: str) -> None:
    with hold(path, "pid 1 `dodo repro`"):
        assert not is_free(path)
        with pytest.raises(Held), hold(path, "other", timeout=0):
            pass
        assert locks.owner(path) == "pid 1 `dodo repro`"


def test_a_shorter_name_replaces_a_longer_one(path: str) -> None:
    with hold(path, "a very long name indeed"):
        pass
    with hold(path, "me"):
        assert locks.owner(path) == "me"


def test_without_a_name_it_is_another_process(path: str) -> None:
    assert locks.owner(path) == "another process"
    Path(path).write_bytes(b" \n")
    assert locks.owner(path) == "another process"


def test_text_that_is_no_text_is_shown_all_the_same(path: str) -> None:
    Path(path).write_bytes(b"pid \xff" + b"x" * 10_000)
    assert locks.owner(path).startswith("pid \ufffd")
    assert len(locks.owner(path)) == 500


def test_text_in_a_file_holds_nothing(path: str) -> None:
    Path(path).write_text("pid 1, for ever\n")
    with hold(path, "me", timeout=0):
        assert locks.owner(path) == "me"


def test_not_waiting_at_all_is_held_with_the_owner(path: str) -> None:
    told = list[str]()
    with hold(path, "first"):
        with pytest.raises(Held) as caught, hold(path, "x", timeout=0, waiting=told.append):
            pass
    assert (caught.value.owner, caught.value.path) == ("first", path)
    assert str(caught.value) == "held by first"
    assert told == []


def test_waiting_a_little_tells_whom_for_and_is_held(path: str) -> None:
    told = list[str]()
    with hold(path, "first"):
        with pytest.raises(Held), hold(path, "x", timeout=0.05, waiting=told.append):
            pass
    assert told == ["first"]


def test_a_free_lock_is_taken_without_a_word(path: str) -> None:
    told = list[str]()
    with hold(path, "me", waiting=told.append):
        pass
    assert told == []


def test_an_error_in_the_block_frees_the_lock(path: str) -> None:
    with pytest.raises(KeyError), hold(path, "me"):
        raise KeyError
    assert is_free(path)


def test_two_locks_do_not_touch_each_other(tmp_path: Path) -> None:
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    with hold(one, "me", timeout=0), hold(two, "me", timeout=0):
        assert not is_free(one)
        assert not is_free(two)


def test_another_process_holds_it_against_us(path: str, start: Start) -> None:
    other = start("the other")
    assert says(other) == "held"
    assert not is_free(path)
    with pytest.raises(Held, match="held by the other"), hold(path, "me", timeout=0):
        pass
    other.communicate()
    assert is_free(path)


def test_a_killed_holder_frees_the_lock(path: str, start: Start) -> None:
    other = start("the other")
    assert says(other) == "held"
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert locks.owner(path) == "the other"
    with hold(path, "me", timeout=0):
        assert locks.owner(path) == "me"


def test_we_wait_and_get_it_when_the_holder_is_killed(path: str, start: Start) -> None:
    other = start("the other")
    assert says(other) == "held"
    told = list[str]()

    def kill(owner: str) -> None:
        told.append(owner)
        other.send_signal(signal.SIGKILL)

    with hold(path, "me", waiting=kill):
        assert told == ["the other"]
        assert locks.owner(path) == "me"


def test_a_second_process_waits_and_gets_it_when_the_first_is_killed(
    path: str, start: Start
) -> None:
    first = start("first")
    assert says(first) == "held"
    second = start("second")
    assert says(second) == "waiting for first"
    first.send_signal(signal.SIGKILL)
    assert says(second) == "held"
    assert not is_free(path)
    assert locks.owner(path) == "second"


# -- whether anybody had it in between --------------------------------------------------


@pytest.fixture
def settled(path: str) -> str:
    """A lock that was held and let go, long enough ago that the clock can tell."""
    with hold(path, "me"):
        locks.clear(path)
    until = time.monotonic() + 10
    while locks.untouched(path) is None:
        assert time.monotonic() < until
        time.sleep(0.005)
    return path


def test_a_lock_that_nobody_had_since_says_the_same_again(settled: str) -> None:
    before = locks.untouched(settled)
    with hold(settled, "me") as found:
        assert found == before is not None


def test_one_that_somebody_had_since_says_something_else(settled: str, start: Start) -> None:
    before = locks.untouched(settled)
    other = start("other")
    assert says(other) == "held"
    other.kill()
    other.wait()
    with hold(settled, "me") as found:
        assert found != before
    with hold(settled, "me"):
        locks.clear(settled)
    with hold(settled, "me") as found:
        assert found != before


def test_one_that_somebody_has_is_not_untouched(settled: str) -> None:
    with hold(settled, "me"):
        assert locks.untouched(settled) is None
        assert locks.text(settled) == "me\n"
        locks.clear(settled)


def test_one_whose_holder_was_killed_is_not_untouched(settled: str, start: Start) -> None:
    other = start("other")
    assert says(other) == "held"
    other.kill()
    other.wait()
    assert is_free(settled)
    assert locks.untouched(settled) is None


def test_one_that_was_let_go_this_moment_is_not_untouched(path: str) -> None:
    with hold(path, "me"):
        locks.clear(path)
    found = os.stat(path)
    if time.time_ns() - found.st_mtime_ns < 1_000_000:
        assert locks.untouched(path) is None
    assert locks.untouched(f"{path}-never") is None
