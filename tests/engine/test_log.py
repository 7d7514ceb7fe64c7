"""Logs: they cannot fill the disk, and what they hold can be read for every run that there was."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from dodo_exp.cli.queue_logs import _Tail
from dodo_exp.engine import log
from dodo_exp.engine.log import Log, parts
from tests.space import Space, wait_for

GAP = b"\n[... the log is too large: a part of it is left out ...]\n"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> int:
    """Logs whose parts are of this many bytes."""
    monkeypatch.setattr(log, "PART", 1000)
    return 1000


def lines(first: int, end: int) -> list[bytes]:
    """Lines of ten bytes, each other than all others."""
    return [b"%09d\n" % i for i in range(first, end)]


def whole(path: Path) -> bytes:
    """All parts, in order."""
    return b"".join(Path(part).read_bytes() for part in parts(str(path)))


# -- the files ---------------------------------------------------------------------------------


def test_a_small_log_is_one_file(tmp_path: Path, small: int) -> None:
    path = tmp_path / "deep" / "x.log"
    with Log(str(path)) as file:
        for line in lines(0, 100):
            file.write(line)
    assert path.read_bytes() == b"".join(lines(0, 100))
    assert parts(str(path)) == [str(path)]


def test_the_second_part_begins_where_the_first_one_is_full(tmp_path: Path, small: int) -> None:
    path = tmp_path / "x.log"
    with Log(str(path)) as file:
        for line in lines(0, 101):
            file.write(line)
    assert path.stat().st_size == 1000
    assert parts(str(path)) == [str(path), f"{path}.1"]
    assert whole(path) == b"".join(lines(0, 101))


def test_three_full_parts_have_no_gap(tmp_path: Path, small: int) -> None:
    path = tmp_path / "x.log"
    with Log(str(path)) as file:
        for line in lines(0, 300):
            file.write(line)
    assert len(parts(str(path))) == 3
    assert whole(path) == b"".join(lines(0, 300))


@pytest.mark.parametrize("count", [301, 355, 400, 401, 1234, 5000])
def test_of_more_the_first_part_and_the_last_ones_are_kept(
    tmp_path: Path, small: int, count: int
) -> None:
    path = tmp_path / "x.log"
    with Log(str(path)) as file:
        for line in lines(0, count):
            file.write(line)
            sizes = [os.path.getsize(part) for part in parts(str(path))]
            assert len(sizes) <= 3
            assert max(sizes) <= small + len(GAP)
    text = whole(path)
    assert text.count(GAP) == 1
    first, last = text.split(GAP)
    assert first == b"".join(lines(0, 100))
    assert len(last) > small
    assert last == b"".join(lines(count - len(last) // 10, count))


def test_a_write_is_never_split(tmp_path: Path, small: int) -> None:
    path = tmp_path / "x.log"
    with Log(str(path)) as file:
        for i in range(40):
            file.write(b"%03d" % i * 33)
    for part in parts(str(path)):
        assert len(Path(part).read_bytes().split(GAP)[0]) % 99 == 0


def test_a_new_log_removes_all_parts_of_the_one_before(tmp_path: Path, small: int) -> None:
    path = tmp_path / "x.log"
    with Log(str(path)) as file:
        for line in lines(0, 1000):
            file.write(line)
    with Log(str(path)) as file:
        file.write(b"new\n")
    assert os.listdir(tmp_path) == ["x.log"]
    assert path.read_bytes() == b"new\n"


def test_a_log_does_not_write_through_a_link(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("x")
    (tmp_path / "x.log").symlink_to(precious)
    with Log(str(tmp_path / "x.log")) as file:
        file.write(b"new\n")
    assert precious.read_text() == "x"


def test_what_is_written_after_the_end_is_nothing_and_no_error(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    file = Log(str(path))
    file.write(b"before\n")
    file.close()
    file.write(b"after\n")
    file.close()
    assert path.read_bytes() == b"before\n"


def test_threads_write_whole_lines_and_none_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "PART", 10_000)
    path = tmp_path / "x.log"
    with Log(str(path)) as file:

        def write(thread: int) -> None:
            for i in range(250):
                file.write(b"%d %05d\n" % (thread, i))

        threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = whole(path).splitlines()
    assert sorted(found) == sorted(b"%d %05d" % (n, i) for n in range(8) for i in range(250))
    for n in range(8):
        assert [each for each in found if each.startswith(b"%d " % n)] == [
            b"%d %05d" % (n, i) for i in range(250)
        ]


def test_threads_end_while_the_log_is_closed(tmp_path: Path, small: int) -> None:
    file = Log(str(tmp_path / "x.log"))

    def write() -> None:
        for line in lines(0, 3000):
            file.write(line)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    file.close()
    for thread in threads:
        thread.join()
    assert max(os.path.getsize(part) for part in parts(file.path)) <= small + len(GAP)


def test_a_log_whose_folder_is_gone_is_no_reason_to_fail(tmp_path: Path, small: int) -> None:
    path = tmp_path / "deep" / "x.log"
    with Log(str(path)) as file:
        file.write(b"x\n")
        path.unlink()
        path.parent.rmdir()
        for line in lines(0, 500):
            file.write(line)


def test_who_follows_a_log_that_turns_sees_every_line_once(
    tmp_path: Path, small: int, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """The system gives the inode number of a part that went to the next one."""
    path = tmp_path / "x.log"
    with Log(str(path)) as file:
        tail = _Tail(str(path), "")
        for i, line in enumerate(lines(0, 1500)):
            file.write(line)
            if i % 20 == 0:
                tail.print()
        tail.print()
        tail.end()
    seen = capfdbinary.readouterr().out.replace(GAP, b"")
    assert seen == b"".join(lines(0, 1500))


# -- dodo exp logs, dodo queue logs ------------------------------------------------------------

LOGS = [("exp", "logs"), ("queue", "logs")]


def simple(space: Space, cmd: str = "echo hello; touch out") -> None:
    """A project of one stage."""
    space.write("in", "x")
    space.write("dvc.yaml", f"stages:\n  a:\n    cmd: {cmd}\n    deps: [in]\n    outs: [out]\n")


def shown(space: Space, *args: str) -> list[str]:
    """The lines of a log; both commands say the same."""
    one, two = (space.dodo(*verb, *args).out for verb in LOGS)
    assert one == two
    return one.splitlines()


def test_the_log_of_a_success(space: Space) -> None:
    simple(space)
    space.exp("-n", "good")
    told = shown(space, "good")
    assert re.match(r"# good: `dodo exp run .*`, \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", told[0])
    assert "> echo hello; touch out" in told
    assert "hello" in told
    assert shown(space) == told


def test_the_log_of_a_failed_stage_ends_with_why(space: Space) -> None:
    simple(space, "echo first; exit 3")
    space.exp("-n", "bad", code=1)
    told = shown(space, "bad")
    assert "first" in told
    assert "error: stage 'a' failed: 'echo first; exit 3' exited with 3" in told


def test_the_log_of_a_queued_run_that_failed(space: Space) -> None:
    simple(space, "echo first; exit 3")
    space.exp("--queue", "-n", "bad")
    space.dodo("exp", "run", "--run-all", code=1)
    told = shown(space, "bad")
    assert told[0].startswith("# bad: `dodo ")
    assert "error: stage 'a' failed: 'echo first; exit 3' exited with 3" in told
    assert told[-1] == "# failed"


def test_the_log_of_a_queued_run_that_was_a_success(space: Space) -> None:
    simple(space)
    space.exp("--queue", "-n", "good")
    space.dodo("queue", "start")
    told = shown(space, "good")
    assert "hello" in told
    assert told[-1] == "# success"


def test_a_run_that_failed_before_its_first_stage_has_a_log_that_says_why(space: Space) -> None:
    simple(space)
    space.exp("--queue", "-n", "early")
    space.write("dodo.toml", "[resources]\nbogus = 0\n")
    simple(space, "echo other; touch out")
    space.remove("dodo.toml")
    [task] = (space.root / ".dodo" / "queue" / "todo").iterdir()
    assert task.exists()
    for trees in sorted((space.root / ".dodo" / "trees").rglob("*")):
        if trees.is_file():
            trees.rename(f"{trees}.away")
    space.dodo("exp", "run", "--run-all", code=1)
    told = shown(space, "early")
    assert told[0].startswith("# early: ")
    assert any(line.startswith("error: ") for line in told[1:])
    for trees in sorted((space.root / ".dodo" / "trees").rglob("*.away")):
        trees.rename(str(trees).removesuffix(".away"))


def test_a_run_in_place_that_is_refused_has_a_log_that_says_why(space: Space) -> None:
    simple(space)
    space.remove("in")
    ran = space.dodo("exp", "run", "-n", "refused", code=2)
    said = next(line for line in ran.err.splitlines() if line.startswith("error: "))
    assert said in shown(space, "refused")


def test_a_temporary_run_has_a_log(space: Space) -> None:
    simple(space)
    space.exp("--temp", "-n", "apart")
    assert "hello" in shown(space, "apart")
    simple(space, "echo oh no; exit 1")
    space.exp("--temp", "-n", "worse", code=1)
    assert "error: stage 'a' failed: 'echo oh no; exit 1' exited with 1" in shown(space, "worse")


def test_a_log_outlives_its_experiment(space: Space) -> None:
    simple(space)
    space.exp("-n", "one")
    space.exp("--queue", "-n", "two", "-f")
    space.exp("--queue", "-n", "three", "-f")
    space.dodo("queue", "start")
    before = {name: shown(space, name) for name in ("one", "two", "three")}
    space.dodo("queue", "remove", "two")
    space.dodo("exp", "remove", "one")
    space.dodo("exp", "remove", "three")
    assert {name: shown(space, name) for name in ("one", "two", "three")} == before


def test_a_log_outlives_the_queues_memory_of_a_failure(space: Space) -> None:
    simple(space, "echo first; exit 3")
    space.exp("--queue", "-n", "bad")
    space.dodo("queue", "start", code=1)
    before = shown(space, "bad")
    space.dodo("queue", "remove", "--failed")
    assert shown(space, "bad") == before


def test_an_unknown_name_is_told_with_what_may_be_meant(space: Space) -> None:
    simple(space)
    space.exp("-n", "baseline")
    for verb in LOGS:
        ran = space.dodo(*verb, "baselin", code=2)
        assert "error: no log of 'baselin'" in ran.err
        assert "hint: did you mean 'baseline'?" in ran.err
        assert ran.out == ""


def test_one_that_waits_has_no_log_yet(space: Space) -> None:
    simple(space)
    space.exp("--queue", "-n", "waits")
    assert "'waits' waits in the queue" in space.dodo("queue", "logs", "waits", code=2).err


def test_where_nothing_has_run_there_is_no_log(space: Space) -> None:
    simple(space)
    assert "nothing has run here" in space.dodo("exp", "logs", code=2).err
    assert space.dodo("queue", "logs", "--all").out == ""


def test_names_and_all_contradict_each_other(space: Space) -> None:
    simple(space)
    space.exp("-n", "one")
    space.dodo("queue", "logs", "one", "--all", code=2)


def test_the_number_of_a_run_names_its_log(space: Space) -> None:
    simple(space)
    space.exp("-n", "one")
    assert shown(space, "1") == shown(space, "one")


def test_of_a_name_that_was_used_twice_the_last_is_meant(space: Space) -> None:
    simple(space)
    space.exp("-n", "one")
    simple(space, "echo again; touch out")
    space.exp("-n", "one", "--replace")
    assert "again" in shown(space, "one")
    assert "hello" in shown(space, "1")


def test_all_says_whose_each_line_is(space: Space) -> None:
    simple(space)
    space.exp("-n", "one")
    simple(space, "printf 'no end'; touch out")
    space.exp("-n", "second")
    told = shown(space, "--all")
    assert all(re.match(r"(one   |second) \| ", line) for line in told)
    assert "one    | hello" in told
    assert any(line.startswith("second | no end") for line in told)
    mine = [line[9:] for line in told if line.startswith("one ")]
    assert mine == shown(space, "one")


def test_a_line_without_an_end_gets_one_among_others(space: Space) -> None:
    simple(space)
    space.exp("-n", "one")
    space.exp("-n", "two", "-f")
    folder = space.root / ".dodo" / "logs"
    [path] = folder.glob("*~one.log")
    path.write_bytes(b"first\nno end")
    told = space.dodo("queue", "logs", "one", "two").out
    assert told.startswith("one | first\n")
    assert "one | no end\n" in told


def slow(space: Space) -> str:
    """A command that says six lines, each with a file outside the project that tells of it."""
    name = f"{space.base}/$DODO_EXP_NAME"
    loop = f"echo $DODO_EXP_NAME $i; touch {name}$i; sleep 0.2"
    return f"'for i in 1 2 3 4 5 6; do {loop}; done; touch out'"


@pytest.mark.parametrize("how", ["in place", "queue", "temp"])
def test_following_prints_until_the_run_ends(space: Space, how: str) -> None:
    simple(space, slow(space))
    more = {"in place": [], "queue": ["--queue"], "temp": ["--temp"]}[how]
    if how == "queue":
        space.exp("--queue", "-n", "long")
        run = space.start("queue", "start")
    else:
        run = space.start("exp", "run", "-n", "long", *more)
    wait_for((space.base / "long2").exists)
    follower = space.start("queue", "logs", "-f", "long")
    out, err = follower.communicate(timeout=30)
    assert (space.base / "long6").exists()
    assert follower.returncode == 0, err
    assert re.findall(r"^long (\d)", out, re.M) == list("123456")
    run.communicate(timeout=30)
    assert run.returncode == 0
    assert out == space.dodo("queue", "logs", "long").out


def test_following_one_that_is_over_ends_at_once(space: Space) -> None:
    simple(space)
    space.exp("-n", "one")
    assert space.dodo("queue", "logs", "-f", "one").out == space.dodo("queue", "logs", "one").out


def test_following_one_that_was_killed_ends(space: Space) -> None:
    simple(space, "echo up; sleep 60; touch out")
    run = space.start("exp", "run", "-n", "long")
    logs = space.root / ".dodo" / "logs"
    wait_for(lambda: any("\nup\n" in path.read_text() for path in logs.glob("*~long.log")))
    follower = space.start("exp", "logs", "-f", "long")
    run.send_signal(signal.SIGKILL)
    run.communicate()
    out, _ = follower.communicate(timeout=30)
    assert follower.returncode == 0
    assert "up" in out.splitlines()


def test_following_all_of_two_says_whose_each_line_is(space: Space) -> None:
    simple(space, slow(space))
    for name in ("one", "two"):
        space.write("in", name)
        space.exp("--queue", "-n", name)
    run = space.start("queue", "start", "-j", "2")
    for name in ("one", "two"):
        wait_for((space.base / f"{name}1").exists)
    follower = space.start("queue", "logs", "-f", "--all")
    out, err = follower.communicate(timeout=30)
    assert follower.returncode == 0, err
    for name in ("one", "two"):
        told = re.findall(rf"^{name} \| {name} (\d)$", out, re.M)
        assert told == list("123456")
    run.communicate(timeout=30)


def test_who_follows_can_go_away(space: Space) -> None:
    simple(space, slow(space))
    run = space.start("exp", "run", "-n", "long")
    wait_for((space.base / "long2").exists)
    follower = space.start("queue", "logs", "-f", "long")
    assert follower.stdout is not None
    follower.stdout.readline()
    follower.send_signal(signal.SIGINT)
    _, err = follower.communicate(timeout=10)
    assert "Traceback" not in err
    assert run.communicate(timeout=30) is not None
    assert run.returncode == 0


def test_a_pipe_that_closes_ends_it_quietly(space: Space) -> None:
    simple(space, "seq 100000; touch out")
    space.exp("-n", "much")
    done = subprocess.run(
        "dodo queue logs much | head -n 2",
        shell=True,
        cwd=space.root,
        env=space.env,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert len(done.stdout.splitlines()) == 2
    assert "Traceback" not in done.stderr
