"""Answers that are kept while nothing moves: never another one than would be worked out."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.space import Ran, Space, kill_tree, wait_for

PIPELINE = """\
vars: [vars.yaml]
metrics: [scores/top.json]
stages:
  make:
    cmd:
    - cat raw.txt folder/deep/one.txt link.txt > out.txt
    - mkdir -p made && cp raw.txt made/a.txt
    deps: [raw.txt, folder, link.txt, current/part.txt]
    params: [rate, other.yaml: [key], whole.yaml: ]
    outs: [out.txt, made]
  count:
    foreach: ${glob("data/*.csv")}
    do:
      cmd: wc -l < ${item} > ${item}.n
      deps: ["${item}"]
      outs: ["${item}.n"]
  within:
    wdir: sub
    cmd: cp in.txt ${name}
    deps: [in.txt]
    outs: ["${name}"]
  cold:
    cmd: exit 1
    frozen: true
    outs: [cold.txt]
"""
FILES = {
    "dvc.yaml": PIPELINE,
    "vars.yaml": "name: copy.txt\n",
    "params.yaml": "rate: 1\nunread: 1\n",
    "other.yaml": "key: 1\n",
    "whole.yaml": "a: 1\n",
    "raw.txt": "raw\n",
    "cold.txt": "cold\n",
    "scores/top.json": '{"top": 1}\n',
    "folder/deep/one.txt": "one\n",
    "folder/deep/two.txt": "two\n",
    "folder/env/pyvenv.cfg": "",
    "folder/env/module.py": "1\n",
    "folder/__pycache__/x.pyc": "1\n",
    "data/a.csv": "a\n",
    "data/b.csv": "b\n",
    "sub/in.txt": "in\n",
    "v1/part.txt": "part 1\n",
    "v2/part.txt": "part 2\n",
    "ignored/nested/file.txt": "1\n",
    ".gitignore": "/ignored/\n",
}
UP = "Data and pipelines are up to date.\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with all kinds of inputs that has run once; tests work on copies."""
    space = Space(tmp_path_factory.mktemp("still"))
    for path, text in FILES.items():
        space.write(path, text)
    (space.root / "target.txt").write_text("target\n")
    (space.root / "link.txt").symlink_to("target.txt")
    (space.root / "current").symlink_to("v1")
    space.dodo("repro")
    return space.root


@pytest.fixture
def full(made: Path, space: Space) -> Space:
    """A copy of it; that nothing has to run is known, and kept."""
    shutil.copytree(made, space.root, symlinks=True, dirs_exist_ok=True)
    settle(space)
    return space


STATUS = ("status",)


def kept(space: Space, *args: str, cwd: str = ".") -> Ran | None:
    """The answer that is kept, if there is one: what would work it out cannot be imported."""
    block = space.base / "block"
    block.mkdir(exist_ok=True)
    (block / "msgpack.py").write_text("import os\nos._exit(97)\n")
    process = space.start(*(args or STATUS), cwd=cwd, env={"PYTHONPATH": str(block)})
    out, err = process.communicate(timeout=20)
    return Ran(process.returncode, out, err) if process.returncode != 97 else None


def settle(space: Space, *args: str, cwd: str = ".") -> Ran:
    """Give the command until its answer is kept; that is what it says."""
    until = time.monotonic() + 10
    while True:
        worked_out = space.dodo(*(args or STATUS), cwd=cwd)
        again = kept(space, *(args or STATUS), cwd=cwd)
        if again is not None:
            assert again == worked_out
            return again
        assert time.monotonic() < until, "nothing is kept"
        time.sleep(0.03)  # stamps.FINE has to pass; the command has taken most of it


def ask_often(space: Space, *args: str) -> None:
    """Give the command until its answer is kept, or often enough to see that it never is."""
    for _ in range(4):
        ask(space, *args)
        if kept(space, *args) is not None:
            return
        time.sleep(0.03)


def answers(space: Space) -> list[Path]:
    """The files with what is kept."""
    folder = space.root / ".dodo/still"
    return sorted(folder.iterdir()) if folder.is_dir() else []


def forget(space: Space) -> None:
    """Whatever comes now is worked out."""
    shutil.rmtree(space.root / ".dodo/still", ignore_errors=True)


def ask(space: Space, *args: str, cwd: str = ".") -> Ran:
    """What the command says, whatever its exit code; it never ends with a traceback."""
    process = space.start(*(args or STATUS), cwd=cwd)
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err, err
    return Ran(process.returncode, out, err)


def truth(space: Space, *args: str, cwd: str = ".") -> Ran:
    """What the command says with nothing kept; what was kept must not have said another thing."""
    before = kept(space, *args, cwd=cwd)
    forget(space)
    worked_out = ask(space, *args, cwd=cwd)
    assert before in (None, worked_out)
    return worked_out


# -- what moves ----------------------------------------------------------------------------

Change = Callable[[Space], object]


def _same_size_and_time(space: Space) -> None:
    found = (space.root / "raw.txt").stat()
    space.write("raw.txt", "RAW\n")
    os.utime(space.root / "raw.txt", ns=(found.st_atime_ns, found.st_mtime_ns))


def _another_file_with_the_same_time(space: Space) -> None:
    found = (space.root / "raw.txt").stat()
    space.write("new.txt", "RAW\n")
    os.utime(space.root / "new.txt", ns=(found.st_atime_ns, found.st_mtime_ns))
    (space.root / "new.txt").replace(space.root / "raw.txt")


def _retarget(space: Space, path: str, target: str) -> None:
    space.remove(path)
    (space.root / path).symlink_to(target)


def _folder_for_file(space: Space, path: str) -> None:
    space.remove(path)
    (space.root / path).mkdir()


def _stage_elsewhere(space: Space, folder: str) -> None:
    space.write(f"{folder}/dvc.yaml", "stages:\n  new:\n    cmd: echo 1 > o\n    outs: [o]\n")


CHANGES: dict[str, Change] = {
    "dep edited": lambda s: s.write("raw.txt", "other\n"),
    "dep edited, its size and time as before": _same_size_and_time,
    "dep replaced, its size and time as before": _another_file_with_the_same_time,
    "dep removed": lambda s: s.remove("raw.txt"),
    "dep made a folder": lambda s: _folder_for_file(s, "raw.txt"),
    "link to a dep retargeted": lambda s: _retarget(s, "link.txt", "v1/part.txt"),
    "target of a link edited": lambda s: s.write("target.txt", "moved\n"),
    "link on the way retargeted": lambda s: _retarget(s, "current", "v2"),
    "file deep in a dep edited": lambda s: s.write("folder/deep/one.txt", "eins\n"),
    "file deep in a dep removed": lambda s: s.remove("folder/deep/two.txt"),
    "file deep in a dep added": lambda s: s.write("folder/deep/more/three.txt", "3\n"),
    "link in a dep added": lambda s: (s.root / "folder/l").symlink_to("../raw.txt"),
    "environment in a dep no more one": lambda s: s.remove("folder/env/pyvenv.cfg"),
    "folder in a dep an environment": lambda s: s.write("folder/deep/pyvenv.cfg", ""),
    "ignore file at the root": lambda s: s.write(".dvcignore", "two.txt\n"),
    "our ignore file in a dep": lambda s: s.write("folder/deep/.dodoignore", "two.txt\n"),
    "output edited": lambda s: s.write("out.txt", "mine\n"),
    "output removed": lambda s: s.remove("out.txt"),
    "output made a folder": lambda s: _folder_for_file(s, "out.txt"),
    "output made a link": lambda s: _retarget(s, "out.txt", "raw.txt"),
    "file in an output edited": lambda s: s.write("made/a.txt", "mine\n"),
    "file in an output added": lambda s: s.write("made/b.txt", "mine\n"),
    "output of a frozen stage removed": lambda s: s.remove("cold.txt"),
    "param changed": lambda s: s.write("params.yaml", "rate: 2\n"),
    "params file removed": lambda s: s.remove("params.yaml"),
    "param of another file changed": lambda s: s.write("other.yaml", "key: 2\n"),
    "param added to a file that counts whole": lambda s: s.write("whole.yaml", "a: 1\nb: 2\n"),
    "vars file changed": lambda s: s.write("vars.yaml", "name: other.txt\n"),
    "file for a glob added": lambda s: s.write("data/c.csv", "c\n"),
    "dep of a stage in a wdir edited": lambda s: s.write("sub/in.txt", "other\n"),
    "command edited": lambda s: s.write("dvc.yaml", s.read("dvc.yaml").replace("wc -l", "wc -c")),
    "dvc.yaml in a folder": lambda s: _stage_elsewhere(s, "v2"),
    "dvc.yaml in a new folder": lambda s: _stage_elsewhere(s, "new/inner"),
    "dvc.yaml not valid": lambda s: s.write("dvc.yaml", "stages: ["),
    "dodo.lock removed": lambda s: s.remove("dodo.lock"),
    "dodo.lock emptied": lambda s: s.write("dodo.lock", ""),
    "dodo.lock not valid": lambda s: s.write("dodo.lock", "x{{"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_moves_is_seen(full: Space, change: Change) -> None:
    lock = full.read("dodo.lock")
    change(full)
    assert ask(full) != Ran(0, UP, "")
    full.write("dodo.lock", lock)  # for the look at the store when the test is done


def _remove_caches(space: Space) -> None:
    for name in ("memo", "stamps"):
        (space.root / ".dodo" / name).unlink(missing_ok=True)


QUIET: dict[str, Change] = {
    "dvc.yaml touched": lambda s: os.utime(s.root / "dvc.yaml"),
    "dep touched": lambda s: os.utime(s.root / "raw.txt"),
    "param that none reads": lambda s: s.write("params.yaml", "rate: 1\nunread: 2\n"),
    "file beside": lambda s: s.write("notes.txt", "1\n"),
    "file in an ignored folder": lambda s: s.write("ignored/nested/dvc.yaml", "stages: ["),
    "byte code in a dep": lambda s: s.write("folder/__pycache__/y.pyc", "2\n"),
    "empty folder in a dep": lambda s: (s.root / "folder/empty").mkdir(),
    "caches removed": lambda s: _remove_caches(s),
    "store removed": lambda s: shutil.rmtree(s.root / ".dodo"),
    "lock written again": lambda s: s.write("dodo.lock", s.read("dodo.lock")),
}


@pytest.mark.parametrize("change", QUIET.values(), ids=QUIET.keys())
def test_what_does_not_matter_changes_no_answer(full: Space, change: Change) -> None:
    change(full)
    assert truth(full) == Ran(0, UP, "")


def test_a_dep_outside_of_the_project_is_watched(space: Space) -> None:
    first, second, link = (space.base / name for name in ("first", "second", "link"))
    first.write_text("1\n")
    second.write_text("2\n")
    link.symlink_to(first)
    text = f"stages:\n  a:\n    cmd: cp {link} o\n    deps: [{link}]\n    outs: [o]\n"
    space.write("dvc.yaml", text)
    space.repro()
    settle(space)
    first.write_text("3\n")
    assert "out of date" in truth(space).out
    space.repro()
    settle(space)
    link.unlink()
    link.symlink_to(second)
    assert "out of date" in truth(space).out


@pytest.mark.parametrize("target", ["../rules", "../file/rules"])
def test_an_ignore_file_that_is_a_link_to_nothing_yet(space: Space, target: str) -> None:
    space.write("dvc.yaml", "stages:\n  a:\n    cmd: ls src > o\n    deps: [src]\n    outs: [o]\n")
    space.write("src/one.txt", "1\n")
    space.write("src/two.txt", "2\n")
    (space.base / "file").write_text("")
    (space.root / ".dvcignore").symlink_to(target)
    space.repro()
    ask_often(space)
    if "file" in target:
        (space.base / "file").unlink()
        (space.base / "file").mkdir()
    (space.root / target).write_text("two.txt\n")
    assert "src changed" in truth(space).out


def test_a_project_within_comes_and_goes(full: Space) -> None:
    _stage_elsewhere(full, "inner")
    full.write("inner/.dodo/VERSION", "1\n")
    settle(full)
    full.remove("inner/.dodo/VERSION")
    assert "inner/dvc.yaml:new" in truth(full).out
    full.dodo("repro", "inner/dvc.yaml")
    settle(full)
    full.write("inner/.dodo/VERSION", "1\n")
    truth(full, "repro", "inner/dvc.yaml")


def test_a_store_of_a_newer_version_is_refused(full: Space) -> None:
    full.write(".dodo/VERSION", "99\n")
    refused = truth(full)
    full.write(".dodo/VERSION", "1\n")
    assert refused.code == 5


@pytest.mark.parametrize("verb", [("repro",), ("exp", "run")])
def test_a_folder_of_stages_that_is_gone(full: Space, verb: tuple[str, ...]) -> None:
    args = (*verb, "-R", "ignored/nested")
    ask_often(full, *args)
    shutil.rmtree(full.root / "ignored/nested")
    assert truth(full, *args).code == 2


def test_a_target_through_a_link_from_outside(full: Space) -> None:
    link = full.base / "link"
    link.symlink_to(full.root)
    _stage_elsewhere(full, "v2")
    args = ("repro", f"{link}/dvc.yaml")
    assert ask(full, *args).out == UP
    ask_often(full, *args)
    link.unlink()
    link.symlink_to(full.root / "v2")
    assert truth(full, *args).out == "1 ran\n"


# -- experiments ---------------------------------------------------------------------------


def test_what_becomes_of_an_experiment_is_seen(project: Space) -> None:
    project.exp("-n", "one")
    held = "Up to date: experiment 'one' holds this result\n"
    assert settle(project, "exp", "run").out.startswith(held)
    project.dodo("gc")
    assert truth(project, "exp", "run").out.startswith(held)
    settle(project, "exp", "run")
    project.dodo("exp", "rename", "one", "two")
    assert "experiment 'two' holds" in truth(project, "exp", "run").out
    settle(project, "exp", "run")
    project.dodo("undo")
    assert "experiment 'one' holds" in truth(project, "exp", "run").out
    settle(project, "exp", "run")
    project.dodo("exp", "remove", "one")
    assert truth(project, "exp", "run").out.startswith("Kept experiment ")


def test_applying_an_experiment_is_seen(project: Space) -> None:
    project.exp("-n", "one")
    project.exp("-n", "two", "-S", "train.lr=0.5")
    settle(project, "exp", "run", "--json")
    project.dodo("exp", "apply", "one")
    assert truth(project, "exp", "run", "--json").json["experiment"] == "one"


def test_setting_a_param_that_no_stage_reads(project: Space) -> None:
    project.write("conf/params.yaml", "x: 1\n")
    project.write(".gitignore", "conf\n")
    project.exp("-n", "one")
    args = ("exp", "run", "-S", "conf/params.yaml:x=1")
    ask_often(project, *args)
    with (project.root / "conf/params.yaml").open("w") as file:
        file.write("x: 2\n")
    ask(project, *args)
    assert project.read("conf/params.yaml") == "x: 1\n"


def test_added_data_is_looked_at_each_time(full: Space) -> None:
    full.dodo("add", "v2")
    full.dodo("status")
    full.write("v2/part.txt", "edited\n")
    assert "v2: changed" in truth(full).out
    shutil.rmtree(full.root / "v2")
    assert "v2: missing" in truth(full).out


def test_a_warning_is_repeated(full: Space) -> None:
    text = full.read("dvc.yaml").replace("stages:", "stage: {}\nstages:", 1)
    full.write("dvc.yaml", text)
    time.sleep(0.06)
    first = ask(full)
    time.sleep(0.06)
    assert ask(full) == ask(full) == truth(full) == first


def test_a_stage_that_runs_every_time_runs(full: Space) -> None:
    text = full.read("dvc.yaml") + "  always:\n    cmd: echo always\n"
    full.write("dvc.yaml", text)
    for _ in range(3):
        assert "always" in ask(full, "repro").err
        time.sleep(0.06)


def _slow_run(space: Space) -> subprocess.Popen[str]:
    """A run that has begun with a stage and will not end."""
    text = space.read("dvc.yaml").replace("cmd: cp in.txt", "cmd: sleep 60; cp in.txt")
    space.write("dvc.yaml", text)
    process = space.start("repro")
    wait_for(lambda: any((space.root / ".dodo/journal").glob("*.journal")))
    wait_for(lambda: not space.exists("sub/copy.txt"))
    time.sleep(0.06)
    return process


def test_a_killed_run_is_put_in_order(full: Space) -> None:
    process = _slow_run(full)
    ask(full, "status", "make")
    kill_tree(process)
    # Until all that the run has started is gone, the workspace is its own.
    wait_for(lambda: "cut short" in ask(full).err)
    assert full.read("sub/copy.txt") == "in\n"
    assert "within: out of date" in truth(full).out


def test_that_a_run_is_going_on_is_told_each_time(full: Space) -> None:
    process = _slow_run(full)
    told = [ask(full, "status", "make").err for _ in range(2)]
    kill_tree(process)
    assert all(text.startswith("a run is going on") for text in told)


# -- where and how it is asked -------------------------------------------------------------


def test_each_folder_and_each_command_line_has_its_own(full: Space) -> None:
    settle(full, "status", cwd="sub")
    assert kept(full, "status", cwd="v1") is None
    assert kept(full, "status", "make") is None
    assert kept(full, "status", "--json") is None
    assert settle(full, "status", "--json").out == "{}\n"
    assert kept(full, "repro", cwd="sub") is None
    assert kept(full, "status", "-q") is None


def test_a_copy_and_a_moved_project_are_their_own(full: Space) -> None:
    copy = full.base / "copy"
    shutil.copytree(full.root, copy, symlinks=True)
    shutil.move(full.root, full.base / "moved")
    shutil.move(copy, full.root)
    assert kept(full) is None
    full.write("raw.txt", "other\n")
    assert "out of date" in truth(full).out
    shutil.rmtree(full.root)
    shutil.move(full.base / "moved", full.root)
    assert truth(full) == Ran(0, UP, "")


@pytest.mark.parametrize(
    ("line", "code"),
    [("{dodo} >&-", 0), ("{dodo} 2>&-", 0), ("{dodo} <&- >&- 2>&-", 0), ("{dodo} | head -c0", 141)],
)
def test_streams_that_are_closed(full: Space, line: str, code: int) -> None:
    def told() -> tuple[int, bytes, bytes]:
        words = "set -o pipefail; " + line.format(dodo=f"{sys.executable} -m dodo_exp status")
        ran = subprocess.run(
            ["bash", "-c", words], cwd=full.root, env=full.env, capture_output=True, timeout=20
        )
        return ran.returncode, ran.stdout, ran.stderr

    before = told()
    forget(full)
    assert told() == before
    assert before[0] == code
    assert before[2] == b""


def test_a_full_disk_is_told_of(full: Space) -> None:
    assert kept(full) is not None
    with open("/dev/full", "wb") as there:
        ran = subprocess.run(
            [sys.executable, "-m", "dodo_exp", "status"],
            cwd=full.root,
            env=full.env,
            stdout=there,
            stderr=subprocess.PIPE,
            timeout=20,
        )
    assert ran.returncode == 1
    assert ran.stderr.startswith(b"error: cannot write to standard output: No space left")
    assert ran.stderr.count(b"\n") == 1


def test_ctrl_c_after_the_answer_ends_silently(full: Space) -> None:
    expected = truth(full)
    forget(full)
    words = """if True:
        import os, signal, sys
        from dodo_exp.cli.main import main
        from dodo_exp.engine import still
        still.keep = lambda *args: os.kill(os.getpid(), signal.SIGINT)
        sys.argv = ["dodo", "status"]
        main()
        """
    ran = subprocess.run(
        [sys.executable, "-c", words],
        cwd=full.root,
        env=full.env,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (-signal.SIGINT, expected.out, "")


def _on_a_terminal(space: Space, columns: int, **env: str) -> bytes:
    """What `exp run` shows on a terminal."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    known = {key: value for key, value in space.env.items() if key != "NO_COLOR"}
    process = subprocess.Popen(
        [sys.executable, "-m", "dodo_exp", "exp", "run"],
        cwd=space.root,
        env={**known, "TERM": "xterm", **env},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    shown = b""
    try:
        while data := os.read(ours, 4096):
            shown += data
    except OSError:  # the other side is closed
        pass
    os.close(ours)
    process.wait(20)
    return shown


def test_each_kind_of_terminal_has_its_own(project: Space) -> None:
    project.exp("-n", "one")
    settle(project, "exp", "run")
    wide = _on_a_terminal(project, 100)
    assert b"\x1b[1m" in wide
    assert _on_a_terminal(project, 100) == wide
    assert b"\x1b" not in _on_a_terminal(project, 100, NO_COLOR="1")
    assert b"\x1b" not in _on_a_terminal(project, 100, TERM="dumb")
    narrow = _on_a_terminal(project, 20)
    forget(project)
    assert _on_a_terminal(project, 20) == narrow
    piped = kept(project, "exp", "run")
    assert piped is None or "\x1b" not in piped.out


def test_what_is_not_ascii_is_printed_in_full(project: Space) -> None:
    text = project.read("dvc.yaml").replace("size", "größe")
    project.write("dvc.yaml", text)
    project.exp("-n", "one")
    for _ in range(2):
        assert "größe" in truth(project, "exp", "run").out
        time.sleep(0.06)
        ask(project, "exp", "run")


# -- the files themselves ------------------------------------------------------------------


def test_only_so_many_are_kept(full: Space) -> None:
    for count in range(9):
        full.dodo("status", *["make"] * count)
    assert len(answers(full)) == 8
    assert not [path for path in answers(full) if path.name.startswith(".")]


def test_a_damaged_one_is_not_believed(full: Space, capfd: pytest.CaptureFixture[str]) -> None:
    """In this process, for there are thousands of ways to be damaged."""
    from dodo_exp.engine import still

    (path,) = answers(full)
    data = path.read_bytes()
    here = os.getcwd()
    os.chdir(full.root)
    try:
        assert still.answer(["status"])
        with path.open("r+b", buffering=0) as file:  # write_bytes waits for the disk each time
            for i in range(len(data)):
                os.pwrite(file.fileno(), bytes([data[i] ^ 1 << i % 8]), i)
                assert not still.answer(["status"]), i
                os.pwrite(file.fileno(), data[i : i + 1], i)
            assert still.answer(["status"])
            os.pwrite(file.fileno(), b"\0", len(data))
            assert not still.answer(["status"])
            for i in reversed(range(len(data))):
                file.truncate(i)
                assert not still.answer(["status"]), i
    finally:
        os.chdir(here)
    assert capfd.readouterr().out == UP * 2


@pytest.mark.parametrize("what", ["file", "link", "rubbish", "folder"])
def test_a_folder_that_cannot_be_used_costs_only_time(full: Space, what: str) -> None:
    folder = full.root / ".dodo/still"
    (path,) = answers(full)
    if what == "rubbish":
        path.write_bytes(b"rubbish" * 100)
    elif what == "folder":
        path.unlink()
        path.mkdir()
    else:
        forget(full)
        folder.symlink_to("/nowhere/at/all") if what == "link" else folder.write_text("")
    for _ in range(2):
        assert ask(full) == Ran(0, UP, "")


@pytest.mark.parametrize("what", ["folder", "link"])
def test_rubbish_among_them_does_not_let_them_pile_up(full: Space, what: str) -> None:
    odd = full.root / ".dodo/still/odd"
    odd.mkdir() if what == "folder" else odd.symlink_to("nowhere")
    if what == "folder":
        os.utime(odd, (1, 1))
    for count in range(9):
        full.dodo("status", *["make"] * count)
    assert len(answers(full)) <= 9


def test_what_cannot_be_answered_again_is_not_kept(full: Space) -> None:
    forget(full)
    full.dodo("--cd", str(full.root), "status")
    assert answers(full) == []


# -- the code itself -----------------------------------------------------------------------


CODE = Path(__file__).parents[2]


class Copy:
    """A copy of the code, as a checkout has it or as pip installs it."""

    def __init__(self, folder: Path, *, is_installed: bool = False) -> None:
        self.folder = folder
        self.store = folder if is_installed else folder / "store"
        ignore = shutil.ignore_patterns("__pycache__", "vendor")
        shutil.copytree(CODE / "dodo_exp", folder / "dodo_exp", ignore=ignore)
        shutil.copytree(CODE / "store/dodo_store", self.store / "dodo_store", ignore=ignore)

    def status(self, space: Space) -> str:
        """What `status` of this copy prints."""
        path = os.pathsep.join((str(self.folder), str(self.store)))
        return space.dodo("status", env={"PYTHONPATH": path}).out

    def settle(self, space: Space) -> None:
        """Give the command until its answer is kept."""
        before = len(answers(space))
        until = time.monotonic() + 10
        while len(answers(space)) == before:
            assert self.status(space) == UP
            assert time.monotonic() < until, "nothing is kept"
            time.sleep(0.03)

    def edit(self, path: str) -> None:
        """Let a module print when it is imported."""
        with (self.folder / path).open("a") as file:
            file.write("\nprint('edited')\n")


@pytest.mark.parametrize(
    "path",
    [
        "dodo_exp/cli/render.py",
        "store/dodo_store/stamps.py",
        "dodo_exp/engine/compile.py",  # imported only where a dvc.yaml is parsed
    ],
)
def test_an_edited_checkout_does_not_repeat_what_it_printed(project: Space, path: str) -> None:
    project.exp()
    checkout = Copy(project.base / "checkout")
    checkout.settle(project)
    checkout.edit(path)
    assert checkout.status(project) == f"edited\n{UP}"


def test_a_package_installed_anew_does_not_repeat_what_the_old_one_printed(project: Space) -> None:
    project.exp()
    installed = Copy(project.base / "site", is_installed=True)
    installed.settle(project)
    new = Copy(project.base / "new", is_installed=True)
    new.edit("dodo_exp/engine/compile.py")
    shutil.rmtree(installed.folder)
    new.folder.rename(installed.folder)
    assert installed.status(project) == f"edited\n{UP}"


def test_another_copy_of_the_same_version_does_not_repeat_it_either(project: Space) -> None:
    project.exp()
    Copy(project.base / "one").settle(project)
    other = Copy(project.base / "other")
    other.edit("dodo_exp/cli/render.py")
    assert other.status(project) == f"edited\n{UP}"


# -- much at once --------------------------------------------------------------------------


@pytest.fixture
def askers(full: Space) -> Iterator[None]:
    """Two that ask all the time, so that answers are worked out while files change."""
    done = Event()

    def go_on() -> None:
        while not done.is_set():
            full.start("status").communicate()

    threads = [Thread(target=go_on) for _ in range(2)]
    for thread in threads:
        thread.start()
    yield
    done.set()
    for thread in threads:
        thread.join()


@pytest.mark.usefixtures("askers")
def test_an_answer_that_was_worked_out_during_a_change_is_never_wrong(full: Space) -> None:
    chance = random.Random(5)
    for turn in range(5):
        path, text = chance.choice([("raw.txt", "raw\n"), ("folder/deep/one.txt", "one\n")])
        time.sleep(chance.random() * 0.15)
        is_same = turn % 2 == 1
        full.write("raw.txt", "raw\n")
        full.write("folder/deep/one.txt", "one\n")
        if not is_same:
            full.write(path, text.upper())
        for _ in range(2):
            assert (ask(full).out == UP) == is_same, turn
            time.sleep(0.05)


def _put_right(space: Space, lock: str) -> None:
    """All that the changes here can have touched, as it was, and up to date."""
    for path in (*FILES, "target.txt", "link.txt", "current", "out.txt"):
        full = space.root / path
        if full.is_symlink():
            full.unlink()
        elif path not in FILES or full.is_dir():
            shutil.rmtree(full, ignore_errors=True)
    for path, text in {**FILES, "target.txt": "target\n", "dodo.lock": lock}.items():
        space.write(path, text)
    (space.root / "link.txt").symlink_to("target.txt")
    (space.root / "current").symlink_to("v1")
    assert ask(space, "repro").code == 0


def test_whatever_is_done_the_answer_is_the_one_worked_out(full: Space) -> None:
    chance = random.Random(1)
    changes = [*CHANGES.values(), *QUIET.values()]
    lock = full.read("dodo.lock")
    for _ in range(3):
        args = chance.choice([("status",), ("status", "make"), ("status", "--json")])
        settle(full, *args)
        for change in chance.sample(changes, 2):
            with contextlib.suppress(OSError):  # the first has left nothing for the second
                change(full)
        truth(full, *args)
        time.sleep(0.06)
        ask(full, *args)
        truth(full, *args)
        _put_right(full, lock)
