"""Whatever happens to a file of the store: it is found, never served, and can be mended."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.space import Ran, Space

PIPELINE = """\
stages:
  split:
    cmd: mkdir data && cat raw.txt > data/a && tr a-z A-Z < raw.txt > data/b
    deps: [raw.txt]
    outs: [data]
  train:
    cmd: cat data/a data/b params.yaml > model.txt
    deps: [data]
    params: [lr]
    outs: [model.txt]
"""

HUNG = -99

SERVER = f"""\
import json, os, signal, sys
from dodo_exp.cli import main, render, tell
from dodo_exp.exps import apply, checkout, repair, run, transfer
for line in sys.stdin:
    folder, args = json.loads(line)
    pid = os.fork()
    if not pid:
        os.setsid()
        os.chdir(folder)
        for number, name in enumerate(("/dev/null", "../out", "../err")):
            flags = os.O_RDONLY if not number else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            os.dup2(os.open(name, flags, 0o600), number)
        signal.alarm(3)
        sys.argv = ["dodo", *args]
        try:
            main.main()
        except BaseException:
            import traceback
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print({HUNG} if code == -signal.SIGALRM else code, flush=True)
"""
"""Runs commands in forks of one process that has everything imported."""


class Server:
    """Commands at a tenth of their price; one that hangs is ended after three seconds."""

    def __init__(self, space: Space) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            env={**space.env, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, space: Space, *args: str) -> Ran:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([str(space.root), args]) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        out, err = ((space.base / name).read_text(errors="replace") for name in ("out", "err"))
        assert code != HUNG, f"dodo {' '.join(args)} hangs"
        assert "Traceback" not in err, err[-800:]
        return Ran(code, out, err)

    def close(self) -> None:
        """End it."""
        self._process.communicate("")


@pytest.fixture(scope="module")
def dodo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Runs commands."""
    server = Server(Space(tmp_path_factory.mktemp("server")))
    yield server
    server.close()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Space:
    """A project whose workspace is what the experiment `second` keeps; `first` is another."""
    space = Space(tmp_path_factory.mktemp("template"))
    space.write("dvc.yaml", PIPELINE)
    space.write("params.yaml", "lr: 1\n")
    space.write("raw.txt", "some raw data\n")
    space.dodo("exp", "run", "-n", "first")
    space.dodo("exp", "run", "-S", "lr=2", "-n", "second")
    space.dodo("exp", "export", "../clean")
    space.check()
    return space


@pytest.fixture
def ours(template: Space, tmp_path: Path) -> Space:
    """A copy of the template; times are kept."""
    space = Space(tmp_path)
    space.root.rmdir()
    shutil.copytree(template.root, space.root, symlinks=True)
    return space


# -- what is damaged -------------------------------------------------------------------------


def node_of(space: Space, path: str) -> Any:
    """What `second` keeps at a path."""
    from dodo_exp.exps import find

    store = space.store
    return store.find(find.experiment(store, "second").result, path)


def object_at(space: Space, path: str) -> Path:
    return Path(space.store.objects.path(node_of(space, path).oid))


def record_of(space: Space) -> Path:
    oid = space.store.experiments.get("second")
    assert oid is not None
    return Path(space.store.records.path(oid))


def run_of(space: Space) -> Path:
    """The newest result of `train`."""
    store = space.store
    found = {path: value for path, value in store.runs.all() if value["stage"] == "train"}
    return Path(max(found, key=lambda path: found[path]["started"]))


TARGETS: dict[str, Callable[[Space], Path]] = {
    "file": lambda space: object_at(space, "model.txt"),
    "member": lambda space: object_at(space, "data/b"),
    "tree": lambda space: Path(space.store.trees.path(node_of(space, "data").oid)),
    "record": record_of,
    "run": run_of,
    "ref": lambda space: space.root / ".dodo/exps/second",
}

# -- how -------------------------------------------------------------------------------------


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.chmod(0o644)
    path.write_bytes(bytes(data))


def flip_in_silence(path: Path) -> None:
    before = path.stat()
    flip(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def write(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


def swap(path: Path) -> None:
    """Another file of its kind, of the same size if there is one."""
    top = path.parent if path.parent.name == "exps" else path.parent.parent
    others = [p for p in top.rglob("*") if p.is_file() and p.name != path.name]
    size = path.stat().st_size
    other = min(others, key=lambda p: (abs(p.stat().st_size - size), p.name))
    path.unlink()
    shutil.copy2(other, path)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "file").write_text("x")


def link(path: Path) -> None:
    """A link to something else."""
    path.unlink()
    path.symlink_to("/etc/passwd")


def link_to_same(path: Path) -> None:
    """A link to a copy outside the store, as a tool that moves data elsewhere makes."""
    copy = above(path) / "moved"
    shutil.copy2(path, copy)
    path.unlink()
    path.symlink_to(copy)


def above(path: Path) -> Path:
    """The folder above the project in whose store *path* is."""
    return next(p for p in path.parents if p.name == ".dodo").parents[1]


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def edit_through_a_hard_link(path: Path) -> None:
    path.chmod(0o644)
    mine = above(path) / "mine"
    os.link(path, mine)
    with open(mine, "r+b") as file:
        file.write(b"E")


KINDS: dict[str, Callable[[Path], None]] = {
    "flip-in-silence": flip_in_silence,
    "flip": flip,
    "truncate": lambda path: write(path, path.read_bytes()[:-3]),
    "empty": lambda path: write(path, b""),
    "append": lambda path: write(path, path.read_bytes() + b"\0"),
    "delete": Path.unlink,
    "other": swap,
    "folder": folder,
    "link": link,
    "fifo": fifo,
    "zeros": lambda path: write(path, bytes(path.stat().st_size)),
    "hard-link": edit_through_a_hard_link,
}

CANNOT_BE_SEEN = {
    ("run", "delete"): "a cache that is smaller is whole",
    ("ref", "delete"): "an experiment fewer",
    ("ref", "other"): "a name may be given to any record",
}

FEW = ("flip-in-silence", "delete", "folder", "fifo")
"""Kinds that are tried in every run of the tests; the others only at length."""


def cases(few: tuple[str, ...]) -> list[Any]:
    """Every target with every kind of damage."""
    found = []
    for target in TARGETS:
        for kind in KINDS:
            marks: list[Any] = [] if kind in few else [pytest.mark.soak]
            found.append(pytest.param(target, kind, marks=marks, id=f"{target}-{kind}"))
    return found


def harmed(space: Space, target: str, kind: str) -> Path:
    """Do the damage; where."""
    path = TARGETS[target](space)
    KINDS[kind](path)
    return path


MOST = (*FEW, "truncate", "other", "link", "hard-link")
"""The same for what is cheap."""


# -- found -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("target", "kind"), cases(MOST))
def test_a_full_check_finds_it_and_nothing_else(
    ours: Space, dodo: Server, target: str, kind: str
) -> None:
    path = harmed(ours, target, kind)
    ran = dodo(ours, "store", "check", "--full", "--json")
    if (target, kind) in CANNOT_BE_SEEN:
        assert ran.code == 0
        return
    assert ran.code == 5, ran
    assert {problem["path"] for problem in ran.json["problems"]} == {str(path)}


# -- never served ----------------------------------------------------------------------------


def contents(space: Space) -> dict[str, bytes]:
    """The files of the workspace that are kept."""
    return {name: data for name, data in space.tree().items() if name != "dodo.lock"}


@pytest.mark.parametrize(("target", "kind"), cases(FEW))
def test_bad_bytes_are_never_given_out(
    ours: Space, template: Space, dodo: Server, target: str, kind: str
) -> None:
    if (target, kind) == ("ref", "other"):
        pytest.skip(CANNOT_BE_SEEN[target, kind])
    clean = contents(template)
    harmed(ours, target, kind)
    ran = dodo(ours, "exp", "export", "../pack")
    names = {f.name for f in (ours.root / ".dodo" / "exps").iterdir() if f.is_file()}
    if ran.code == 0 and names == {"first", "second"} and kind != "other":
        whole = (ours.base / "pack").read_bytes() == (template.base / "clean").read_bytes()
        assert whole or "second" in ran.out + ran.err, "an experiment is left out in silence"
    for args in (["checkout"], ["exp", "apply", "second"], ["repro"]):
        for name in ("model.txt", "data"):
            if (ours.root / name).is_dir():
                shutil.rmtree(ours.root / name)
            else:
                (ours.root / name).unlink(missing_ok=True)
        if args == ["repro"]:
            (ours.root / "dodo.lock").unlink(missing_ok=True)
        ran = dodo(ours, *args)
        now = contents(ours)
        for name in clean:
            assert now.get(name, clean[name]) == clean[name], (args, name)
        assert ran.code != 0 or now.keys() >= clean.keys(), ran
    assert ran.code == 0, ran


# -- mended ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("target", "kind"), cases(FEW))
def test_running_again_heals_or_a_repair_does(
    ours: Space, template: Space, dodo: Server, target: str, kind: str
) -> None:
    harmed(ours, target, kind)
    ran = dodo(ours, "exp", "run", "-f", "-n", "again")
    assert ran.code == 0, ran
    if dodo(ours, "store", "check", "--full").code:
        ran = dodo(ours, "store", "check", "--repair")
        assert ran.code == 0, ran
    assert dodo(ours, "store", "check", "--full").code == 0
    shutil.rmtree(ours.root / "data")
    assert dodo(ours, "exp", "apply", "again").code == 0
    assert contents(ours) == contents(template)


@pytest.mark.parametrize(("target", "kind"), cases(FEW))
def test_a_repair_mends_and_says_what_was_lost(
    ours: Space, dodo: Server, target: str, kind: str
) -> None:
    path = harmed(ours, target, kind)
    ran = dodo(ours, "store", "check", "--repair", "--json")
    assert ran.code == 0, ran
    if (target, kind) in CANNOT_BE_SEEN:
        return
    told = ran.json
    assert str(path) in told["mended"] or "second" in told["lost"], told
    assert dodo(ours, "store", "check", "--full").code == 0
    is_there = "second" in dodo(ours, "exp", "show").out
    assert is_there != ("second" in told["lost"])


@pytest.mark.parametrize("target", ["file", "tree"])
def test_what_only_an_experiment_had_is_lost_and_said_so(
    ours: Space, dodo: Server, target: str
) -> None:
    # `first` is not in the workspace: nobody can make its files again.
    from dodo_exp.exps import find

    store = ours.store
    result = find.experiment(store, "first").result
    node = store.find(result, "model.txt") if target == "file" else result
    assert node is not None
    path = Path((store.objects if target == "file" else store.trees).path(node.oid))
    flip(path)
    ran = dodo(ours, "store", "check", "--repair", "--json")
    lost = {"first": ["model.txt"] if target == "file" else ["."]}
    if target == "file":  # what `second` began from, which stays without it
        lost["second"] = ["model.txt (as it was before the run)"]
    assert ran.json["lost"] == lost
    assert ran.code == 0
    assert (ours.root / ".dodo" / "quarantine" / node.oid.hex()).exists()
    ran = dodo(ours, "store", "check", "--full")
    assert ran.code == 0, ran
    assert dodo(ours, "exp", "apply", "first").code == 2
    assert dodo(ours, "exp", "apply", "second").code == 0


def test_a_link_to_the_right_bytes_is_told_and_mended(ours: Space, dodo: Server) -> None:
    path = TARGETS["file"](ours)
    link_to_same(path)
    copy = path.readlink()
    os.utime(copy, (1, 1))
    ran = dodo(ours, "store", "check", "--full", "--json")
    assert {problem["path"] for problem in ran.json["problems"]} == {str(path)}
    assert dodo(ours, "store", "check", "--repair").code == 0
    assert path.is_file() and not path.is_symlink()
    assert copy.stat().st_mtime == 1, "a file outside the store was touched"
