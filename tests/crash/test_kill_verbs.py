"""SIGKILL at any call of any verb that writes: the next command finds the old or the new."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import pytest

from dodo_exp.exps import roots
from dodo_exp.exps.record import load
from dodo_exp.project import Project
from dodo_store.check import check
from dodo_store.oid import of_file
from dodo_store.store import Store
from tests.space import PARAMS

SERVER = r"""
import errno, importlib, json, os, pkgutil, re, signal, stat, sys, time, traceback
import dodo_exp, dodo_store
from dodo_exp.cli.main import main
for package in (dodo_exp, dodo_store):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
from dodo_store import restore

CALLS = ("rename replace unlink rmdir mkdir link symlink fsync write open utime fchmod chmod "
         "posix_fallocate")
OPENED = ("fsync", "write", "posix_fallocate")  # these are given a descriptor
ARMS = ("fault", "when", "where", "forks")
FREEING = ("unlink", "rmdir", "fchmod", "chmod", "utime")  # a full disk lets these through

def arm(fault, when, where, forks):
    us, count = os.getpid(), [0]

    def hooked(name, call):
        def hook(*args, **more):
            if os.getpid() != us and not forks:
                return call(*args, **more)
            if name == "open" and not args[1] & (os.O_CREAT | os.O_TRUNC):
                return call(*args, **more)
            if name == "write" and (args[0] <= 2 or not stat.S_ISREG(os.fstat(args[0]).st_mode)):
                return call(*args, **more)
            if where:
                at = [os.readlink(f"/proc/self/fd/{a}") if name in OPENED else str(a)
                      for a in args[: 1 + (name in ("rename", "replace", "link"))]]
                if not re.search(where, " ".join([name, *at])):
                    return call(*args, **more)
            count[0] += 1
            if fault == "kill" and count[0] == when:
                os.kill(us, signal.SIGKILL)
            code, lasts = fault.rstrip("+"), fault.endswith("+")
            if code != "kill" and (count[0] == when or (lasts and count[0] > when)):
                if not (lasts and code in ("ENOSPC", "EDQUOT") and name in FREEING):
                    raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))
            return call(*args, **more)
        return hook

    for name in CALLS.split():
        setattr(os, name, hooked(name, getattr(os, name)))
    restore._exchange = hooked("rename", restore._exchange)
    return count

def child(order, log, leave=os._exit):
    os.chdir(order["cwd"])
    for fd, path in enumerate((os.devnull, f"{log}.out", f"{log}.err")):
        os.dup2(os.open(path, (os.O_RDWR if fd else os.O_RDONLY) | os.O_CREAT | os.O_TRUNC), fd)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")
    sys.argv = ["dodo", *order["args"]]
    count = arm(*(order[k] for k in ARMS)) if order["fault"] else [0]

    def done(code):
        sys.stdout.flush(), sys.stderr.flush()
        with open(f"{log}.calls", "w") as file:
            file.write(str(count[0]))
        leave(code)

    os._exit = done
    try:
        main()
    except SystemExit as end:
        done(end.code if isinstance(end.code, int) else int(end.code is not None))
    except BaseException:
        traceback.print_exc()
    done(99)

for line in sys.stdin:
    order, log = json.loads(line), sys.argv[1]
    open(f"{log}.calls", "w").close()
    pid = os.fork()
    if pid == 0:
        os.setsid()
        signal.alarm(30)  # no test waits for one that never ends
        child(order, log)
    if order["moment"] is not None:
        time.sleep(order["moment"])
        os.kill(pid, signal.SIGKILL)
    answer = {"code": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}
    for name in ("out", "err", "calls"):
        with open(f"{log}.{name}", errors="replace") as file:
            answer[name] = file.read()
    print(json.dumps(answer), flush=True)
"""
"""Runs commands in forks of a process that has dodo loaded, a hundred in the time of ten. A fault
comes at the Nth of the calls that change something, or of those among them that match `where`."""

PIPELINE = """\
stages:
  prepare: {cmd: cat raw.txt > data.txt && chmod 755 data.txt, deps: [raw.txt], outs: [data.txt]}
  split: {cmd: mkdir parts; cp data.txt parts/a; cat params.yaml > parts/b,
          deps: [data.txt], params: [train.lr], outs: [parts]}
  train: {cmd: "cat parts/* > model.txt; echo '{}' > m.json",
          deps: [parts], outs: [model.txt], metrics: [m.json: {cache: false}]}
"""

Tree = dict[str, tuple[object, ...]]
Names = set[tuple[str, str]]


class Ended(NamedTuple):
    """How a command ended, and how many calls it made that change something."""

    code: int
    out: str
    err: str
    calls: int


class Place:
    """A project in which commands are run with faults."""

    def __init__(self, lab: Lab, root: Path) -> None:
        self.lab = lab
        self.root = root

    def dodo(
        self,
        *args: str,
        fault: str = "",
        when: int = 1,
        where: str = "",
        moment: float | None = None,
        forks: bool = False,
    ) -> Ended:
        """Run `dodo ARGS`; it never ends with a traceback. Faults reach *forks* of it if asked."""
        order = {"cwd": str(self.root), "args": args, "fault": fault, "when": when, "forks": forks}
        ended = self.lab.ask({**order, "where": where, "moment": moment})
        assert "Traceback" not in ended.err and "Exception ignored" not in ended.err, ended.err
        return ended

    def well(self, *args: str) -> Ended:
        """Run `dodo ARGS`, which must go well."""
        ended = self.dodo(*args)
        assert ended.code == 0, ended
        return ended

    def write(self, path: str, text: str) -> None:
        """Write a file, with its folders."""
        full = self.root / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_text(text)

    def away(self, *paths: str) -> None:
        """Remove files and folders."""
        for path in paths:
            full = self.root / path
            shutil.rmtree(full) if full.is_dir() else full.unlink()

    @property
    def store(self) -> Store:
        """The project's store."""
        return Store(str(self.root / ".dodo"))

    def tree(self) -> Tree:
        """Every file, link and empty folder but the store's: bytes and whether it can be run."""
        found: Tree = {}
        for folder, names, files in os.walk(self.root):
            names[:] = [name for name in names if name != ".dodo"]
            if not names and not files:
                found[os.path.relpath(folder, self.root)] = ("empty",)
            for path in (Path(folder, name) for name in (*files, *names)):
                at = str(path.relative_to(self.root))
                if path.is_symlink():
                    found[at] = ("link", os.readlink(path))
                elif path.is_file():
                    found[at] = (path.stat().st_mode & 0o100, path.read_bytes())
        return found

    def names(self, kept: Names | None = None) -> Names:
        """Experiments and snapshots, each of them whole; one not in *kept* is called "new"."""
        store, found = self.store, set()
        for kind, refs in (("experiment", store.experiments), ("snapshot", store.snapshots)):
            for name in refs.names():
                oid = refs.get(name)
                assert oid is not None
                found.add((kind, name if kept is None or (kind, name) in kept else "new"))
                experiment = load(store, oid)
                is_whole = all(map(store.is_whole, (experiment.base, experiment.result)))
                assert is_whole or self.lab.is_rotten, name
        return found

    def problems(self) -> int:
        """How much is missing from the store, or damaged, every byte read."""
        project = Project(str(self.root), "")
        if not project.store.exists:
            return 0
        return len(check(project.store, roots.everything(project), 1.0).problems)

    def leftovers(self) -> list[str]:
        """Temporary files and journals of commands that are no more."""
        return [
            f"{folder}/{name}"
            for folder in ("tmp", "journal")
            if (self.root / ".dodo" / folder).is_dir()
            for name in os.listdir(self.root / ".dodo" / folder)
        ]


class Verb(NamedTuple):
    """A command, what comes before it, and in what it differs from others."""

    args: tuple[str, ...]
    prepare: Callable[[Place], object] = lambda place: None
    is_repeatable: bool = True
    """Whether it goes well a second time, too."""
    piecemeal: frozenset[str] = frozenset()
    """Files that change one by one while it goes on, as they are meant to."""


def _spoil_outputs(place: Place) -> None:
    place.away("data.txt", "parts")
    place.write("model.txt", "an edit nobody kept")
    place.write("parts", "a file in the place of a folder")


def _make_by_hand(place: Place) -> None:
    for path in ("data.txt", "parts/c", "model.txt"):
        place.write(path, f"{path} by hand")


def _start_anew_with_a_pack(place: Place) -> None:
    place.well("exp", "export", "../in.pack")
    shutil.rmtree(place.root / ".dodo")


def _lose_two_objects(place: Place) -> None:
    """One that the workspace has still, and one that only the first experiment has."""
    store = place.store
    os.unlink(store.objects.path(of_file(str(place.root / "raw.txt"))))
    oid = store.experiments.get("one")
    assert oid is not None
    node = store.find(load(store, oid).result, "code/a.py")
    assert node is not None
    os.chmod(store.objects.path(node.oid), 0o644)
    Path(store.objects.path(node.oid)).write_bytes(b"rot")


def _run_a_third(place: Place) -> None:
    place.well("exp", "run", "-n", "three", "-S", "train.lr=0.9")


OUTS = frozenset({"dodo.lock", "params.yaml", "data.txt", "parts/a", "parts/b", "model.txt"})
VERBS = {
    "run": Verb(("exp", "run", "-S", "train.lr=0.7"), piecemeal=OUTS | {"m.json"}),
    "save": Verb(("exp", "save", "-n", "new"), is_repeatable=False),
    "snapshot": Verb(("snapshot", "-n", "new"), is_repeatable=False),
    "apply": Verb(("exp", "apply", "one", "--exact")),
    "apply-after-kill": Verb(
        ("exp", "apply", "one", "--exact"),
        lambda place: place.dodo("exp", "apply", "one", fault="kill", where="rename .*code"),
    ),
    "undo": Verb(("undo",), lambda place: place.well("exp", "apply", "one", "--exact"), False),
    "undo-run": Verb(("undo",), _run_a_third, False),
    "undo-remove": Verb(("undo",), lambda place: place.well("exp", "remove", "one", "two"), False),
    "checkout": Verb(("checkout",), _spoil_outputs),
    "commit": Verb(("commit",), _make_by_hand, piecemeal=frozenset({"dodo.lock"})),
    "remove": Verb(("exp", "remove", "one", "two"), is_repeatable=False),
    "remove-others": Verb(("exp", "remove", "--keep", "two"), is_repeatable=True),
    "rename": Verb(("exp", "rename", "one", "uno"), is_repeatable=False),
    "rename-over": Verb(("exp", "rename", "-f", "one", "two"), is_repeatable=False),
    "tag": Verb(("exp", "tag", "best", "one", "two")),
    "note": Verb(("exp", "note", "one", "a note")),
    "branch": Verb(("exp", "branch", "one", "kept"), is_repeatable=False),
    "gc": Verb(("gc",), lambda place: place.well("exp", "remove", "one")),
    "gc-policy": Verb(("gc", "--keep-last", "1"), _run_a_third),
    "gc-all": Verb(("gc", "--keep-last", "1", "--grace", "0"), _run_a_third),
    "export": Verb(("exp", "export", "--force", "../out.pack")),
    "import": Verb(("exp", "import", "../in.pack"), _start_anew_with_a_pack),
    "repair": Verb(("store", "check", "--repair"), _lose_two_objects),
}


class Known(NamedTuple):
    """A verb with the project it is tried in, before and after it."""

    verb: Verb
    folder: Path
    before: tuple[Tree, Names]
    after: tuple[Tree, Names]
    problems: int
    calls: int


class Lab:
    """Projects made once a verb, copies of which are run with faults."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_rotten = False
        """Whether experiments may have been lost by now that `store check` tells of."""
        self._known: dict[str, Known] = {}
        (folder / "home").mkdir()
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "DODO", "DVC"))}
        self._server = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(folder / "log")],
            env={
                **keep,
                "HOME": str(folder / "home"),
                "NO_COLOR": "1",
                "LC_ALL": "C.UTF-8",
                "SHELL": "/bin/sh",
                "PYTHONPATH": os.pathsep.join(sys.path),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._server.communicate()

    def ask(self, order: dict[str, Any]) -> Ended:
        """Have a command run."""
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        answer = json.loads(self._server.stdout.readline())
        return Ended(answer["code"], answer["out"], answer["err"], int(answer["calls"] or 0))

    def copy(self, folder: Path) -> Place:
        """The project in *folder*, in the place where projects are tried."""
        target = self.folder / "tried"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(folder, target, symlinks=True)
        return Place(self, target / "project")

    def begin(self, folder: Path) -> Place:
        """A project with two experiments, a snapshot and edits that nobody has kept."""
        base = self.folder / "base"
        if not base.exists():
            self._make(Place(self, base / "project"))
        shutil.copytree(base, folder, symlinks=True)
        return Place(self, folder / "project")

    def _make(self, place: Place) -> None:
        place.write("dvc.yaml", PIPELINE)
        place.write("params.yaml", PARAMS)
        for path in ("raw.txt", "code/a.py", "thing", "gone/x", "gone/y/z"):
            place.write(path, f"first {path}")
        os.symlink("a.py", place.root / "code" / "link")
        place.well("exp", "run", "-n", "one")
        place.away("thing", "gone", "code/link")
        for path in ("code/a.py", "code/link", "thing/inner", "new/f"):
            place.write(path, f"second {path}")
        place.well("exp", "run", "-n", "two", "-S", "train.lr=0.5")
        place.well("snapshot", "-n", "shot")
        for path in ("code/a.py", "unkept.txt"):
            place.write(path, f"unkept {path}")

    def known(self, name: str) -> Known:
        """The verb of this name, with what it does when nothing goes wrong."""
        self.is_rotten = name == "repair"
        if name not in self._known:
            verb, folder = VERBS[name], self.folder / name
            verb.prepare(self.begin(folder))
            place = self.copy(folder)
            place.well("status")  # what a kill has left is put in order
            names = place.names()
            before, problems = (place.tree(), names), place.problems()
            place = self.copy(folder)
            ended = place.dodo(*verb.args, fault="kill", when=10**9)
            assert ended.code == 0, ended
            after = (place.tree(), place.names(names))
            self._known[name] = Known(verb, folder, before, after, problems, ended.calls)
        return self._known[name]


def look(place: Place, known: Known) -> tuple[Tree, Names]:
    """The next command just works, and finds the old or the new; says which."""
    assert place.well("status").err.count("error:") == 0
    tree, names = place.tree(), place.names(known.before[1])
    assert_old_or_new(tree, known)
    (_, old), (_, new) = known.before, known.after
    assert old & new <= names <= old | new
    assert place.problems() <= known.problems
    return tree, names


def assert_old_or_new(tree: Tree, known: Known) -> None:
    """The files are all as before or all as after; piecemeal ones each for itself."""
    states = {}
    for path in known.before[0].keys() | known.after[0].keys() | tree.keys():
        old, new = known.before[0].get(path), known.after[0].get(path)
        if old != new or tree.get(path) != old:
            states[path] = {old: "old", new: "new"}.get(tree.get(path), "neither")
    for path in known.verb.piecemeal:
        if states.pop(path, "old") == "neither":
            assert path == "dodo.lock"  # it is written a stage at a time
    assert set(states.values()) in (set(), {"old"}, {"new"}), states


def go_on(place: Place, known: Known) -> None:
    """The same command again brings it about, unless it is so already."""
    if known.verb.is_repeatable or (place.tree(), place.names(known.before[1])) != known.after:
        place.well(*known.verb.args)
    assert (place.tree(), place.names(known.before[1])) == known.after
    place.well("snapshot", "-n", "last")
    assert place.problems() == 0
    assert place.leftovers() == []


def kill_at(lab: Lab, name: str, when: int) -> None:
    """One round: kill at that call, look, go on."""
    known = lab.known(name)
    place = lab.copy(known.folder)
    ended = place.dodo(*known.verb.args, fault="kill", when=when)
    if ended.code == 0 and known.calls - when < 8:
        return  # a call more or less: which stamps are settled is a matter of time
    assert ended.code == -9, ended
    look(place, known)
    go_on(place, known)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Shared by the module's tests: what they do happens in copies."""
    with Lab(tmp_path_factory.mktemp("lab")) as made:
        yield made


def spread(calls: int, points: int) -> list[int]:
    """Some of the calls, one from each part."""
    parts = [(calls * i // points + 1, calls * (i + 1) // points) for i in range(points)]
    return [random.randint(first, max(first, last)) for first, last in parts]


@pytest.mark.parametrize("name", VERBS)
def test_after_a_kill_all_is_old_or_new_and_the_command_can_be_repeated(
    lab: Lab, name: str
) -> None:
    for when in spread(lab.known(name).calls, 2):
        kill_at(lab, name, when)


@pytest.mark.soak
@pytest.mark.parametrize("name", VERBS)
def test_after_a_kill_at_each_call_all_is_old_or_new(lab: Lab, name: str) -> None:
    for when in range(1, lab.known(name).calls + 1):
        kill_at(lab, name, when)


@pytest.mark.soak
def test_after_a_kill_at_many_calls_all_is_old_or_new_sample(lab: Lab) -> None:
    for name in VERBS:
        for when in spread(lab.known(name).calls, 6):
            kill_at(lab, name, when)


# -- single moments ------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["rename .*/exps/", "unlink .*/journal/", "fsync .*/undo$"])
def test_an_undo_that_was_killed_among_the_names_is_not_lost(lab: Lab, where: str) -> None:
    known = lab.known("undo-remove")
    place = lab.copy(known.folder)
    assert place.dodo("undo", fault="kill", where=where).code == -9
    look(place, known)
    go_on(place, known)


@pytest.mark.parametrize("name", ["undo", "apply"])
def test_a_step_that_was_rolled_back_is_not_in_the_history(lab: Lab, name: str) -> None:
    known = lab.known(name)
    place = lab.copy(known.folder)
    steps = json.loads(place.well("undo", "--list", "--json").out)
    assert place.dodo(*known.verb.args, fault="kill", where="rename .*/undo/").code == -9
    assert look(place, known) == known.before
    assert json.loads(place.well("undo", "--list", "--json").out) == steps
    go_on(place, known)


def test_a_removal_of_several_is_all_or_none(lab: Lab) -> None:
    known = lab.known("remove")
    place = lab.copy(known.folder)
    assert place.dodo(*known.verb.args, fault="kill", when=2, where="unlink .*/exps/").code == -9
    place.well("snapshot", "-n", "next")
    names = place.names() - {("snapshot", "next")}
    assert names in (known.before[1], known.after[1])


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("save", "rename .*/undo/"),
        ("save", "rename .*/exps/"),
        ("snapshot", "rename .*/snapshots/"),
        ("save", "rename .*/states/"),
        ("save", "rename .*/stamps"),
    ],
)
def test_what_a_kill_left_beside_names_and_notes_is_swept(lab: Lab, name: str, where: str) -> None:
    known = lab.known(name)
    place = lab.copy(known.folder)
    assert place.dodo(*known.verb.args, fault="kill", where=where).code == -9
    place.well("snapshot", "-n", "next")
    place.well("gc", "--grace", "0")
    assert list(place.root.rglob(".dodo-tmp-*")) == []


def test_an_import_that_was_killed_leaves_nothing_after_the_next(lab: Lab) -> None:
    known = lab.known("import")
    place = lab.copy(known.folder)
    assert place.dodo(*known.verb.args, fault="kill", when=60).code == -9
    place.well(*known.verb.args)
    assert place.leftovers() == []


# -- any moment ----------------------------------------------------------------------------


def _random_verb(place: Place, number: int) -> tuple[str, ...]:
    """A verb that goes well here and now."""
    names = sorted(place.store.experiments.names())
    pick = random.choice(names) if names else "none"
    choices: list[tuple[str, ...]] = [
        ("exp", "run", "-S", f"train.lr={random.random()}"),
        ("exp", "save", "-n", f"saved-{number}"),
        ("snapshot", "-n", f"shot-{number}"),
        ("exp", "apply", "shot"),
        ("undo",),
        ("checkout", "--allow-missing"),
        ("commit",),
        ("gc", "--keep-last", "3", "--grace", "0"),
        ("exp", "export", "--force", "../all.pack"),
        ("store", "check", "--repair"),
    ]
    if names:
        choices += [("exp", "apply", pick, "--exact"), ("exp", "remove", pick)]
    if (place.root.parent / "all.pack").exists():
        choices.append(("exp", "import", "--force", "../all.pack"))
    return random.choice(choices)


def _kill_at_random_moments(lab: Lab, rounds: int) -> None:
    lab.known("save")
    place = Place(lab, lab.folder / "walk" / "project")
    shutil.rmtree(lab.folder / "walk", ignore_errors=True)
    shutil.copytree(lab.folder / "save", lab.folder / "walk", symlinks=True)
    for number in range(rounds):
        place.write("code/a.py", f"edit {number}")
        args = _random_verb(place, number)
        reference = lab.copy(lab.folder / "walk")
        if reference.dodo(*args).code not in (0, 2):
            raise AssertionError(f"{args} went wrong without a kill")
        before, after, names = place.tree(), reference.tree(), place.names()
        place.dodo(*args, moment=random.uniform(0.0, 0.25 if args[1:2] == ("run",) else 0.1))
        place.well("status")
        is_piecemeal = args[:2] == ("exp", "run") or args[0] == "commit"
        assert is_piecemeal or place.tree() in (before, after), args
        if args[0] not in ("undo", "gc") and args[1:2] != ("remove",):
            assert names <= place.names(), args
        assert place.problems() == 0, args
    place.well("snapshot", "-n", "last")
    assert place.leftovers() == []


def test_ten_kills_at_any_moment_of_any_verb(lab: Lab) -> None:
    _kill_at_random_moments(lab, 10)


@pytest.mark.soak
@pytest.mark.parametrize("part", range(6))
def test_fifty_kills_at_any_moment_of_any_verb(lab: Lab, part: int) -> None:
    _kill_at_random_moments(lab, 50)
