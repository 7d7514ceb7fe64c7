"""`dodo snapshot`, `exp save`, `exp apply` and `undo`: what a workspace was comes back."""

from __future__ import annotations

import ctypes
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from dodo_exp.engine import history
from dodo_exp.errors import Failure, UsageError
from dodo_exp.events import Event
from dodo_exp.exps import roots
from dodo_exp.exps.apply import apply, undo
from dodo_exp.exps.checkout import checkout, commit
from dodo_exp.exps.collect import Policy, collect
from dodo_exp.exps.remove import remove
from dodo_exp.exps.save import save
from dodo_exp.project import Project
from dodo_store.check import check
from tests.space import Space, kill_tree, wait_for
from tests.store.kit import look

Tree = dict[bytes, Any]
"""What `look` finds, without the store: folders, links with targets, files with x bit and bytes."""

OWN = (b"dvc.yaml", b"dodo.lock", b".gitignore")
TRACKED = (b"src", b"out")


def tree_of(root: Path) -> Tree:
    """All that is in a project but its store."""
    return {p: what for p, what in look(root).items() if p.split(b"/")[0] not in (b"", b".dodo")}


def is_ignored(path: bytes) -> bool:
    """As the .gitignore of these tests says; an output is kept whatever it says."""
    parts = path.split(b"/")
    return parts[0] != b"out" and any(p.endswith(b".log") or p == b"tmp" for p in parts)


def is_below(path: bytes, other: bytes) -> bool:
    """Whether a path is another one or lies in it."""
    return path == other or path.startswith(other + b"/")


def in_the_way(now: Tree, kept: Tree) -> bool:
    """Whether a file of *kept* would push out ignored files."""
    places = [p for p, what in kept.items() if what != "folder" and now.get(p) == "folder"]
    return any(is_ignored(p) and is_below(p, place) for p in now for place in places)


def has_place(path: bytes, what: Any, kept: Tree) -> bool:
    """Whether *path* can stay beside what is in *kept*."""
    parts = path.split(b"/")
    above = [b"/".join(parts[:i]) for i in range(1, len(parts))]
    if any(kept.get(folder, "folder") != "folder" for folder in above):
        return False
    return path not in kept or (what == "folder") == (kept[path] == "folder")


def outputs(tree: Tree) -> Tree:
    """The part of a tree that a stage has made."""
    return {path: what for path, what in tree.items() if is_below(path, b"out")}


class Before(NamedTuple):
    """A moment that undo can bring back."""

    tree: Tree
    kept: dict[str, Tree]


names = st.sampled_from([b"a", b"b", b"src", b"out", b"x.log", b"two\nlines", b"\xff ", b"-n"])
paths = st.lists(names, min_size=1, max_size=3).map(b"/".join) | st.sampled_from(
    [b"src/a", b"out/a", b"out/x.log", b"src/x.log", b"a/x.log", b"tmp/a", b"a/b", b"a"]
)
bodies = st.sampled_from([b"", b"1\n", b"2\n", b"three" * 50])
kinds = st.sampled_from(["file", "file", "file", "exec", "link", "folder", "nothing"])
snapshots = st.sampled_from(["s1", "s2"])
experiments = st.sampled_from(["e1", "e2"])


class Workspace(RuleBasedStateMachine):
    """Edits by hand between commands, and what the commands promise of every path."""

    def __init__(self) -> None:
        super().__init__()
        self.base = Path(tempfile.mkdtemp())
        self.root = self.base / "project"
        self.root.mkdir()
        self.kept: dict[str, Tree] = {}
        self.steps: list[Before] = []
        self.events: list[Event] = []
        self.redo: Before | None = None
        self.recorded: dict[bytes, Tree] = {}

    def teardown(self) -> None:
        """The store is sound, whatever happened."""
        try:
            if self.project.store.exists:
                assert check(self.project.store, roots.everything(self.project)).problems == ()
        finally:
            shutil.rmtree(self.base)

    @property
    def project(self) -> Project:
        """As a command finds it."""
        return Project(str(self.root), "")

    @property
    def tree(self) -> Tree:
        """What lies in the workspace now."""
        return tree_of(self.root)

    def names(self) -> dict[str, Tree]:
        """What the store has names for."""
        store = self.project.store
        there = {*store.experiments.names(), *store.snapshots.names()}
        assert there == self.kept.keys()
        return self.kept

    # -- by hand ---------------------------------------------------------------------------

    @initialize()
    def begin(self) -> None:
        """A stage with a folder before and a folder behind it."""
        (self.root / ".gitignore").write_text("*.log\ntmp/\n!/out/**\n")
        (self.root / "dvc.yaml").write_text("stages: {a: {cmd: x, deps: [src], outs: [out]}}\n")
        for folder in ("src", "out"):
            (self.root / folder).mkdir()
            (self.root / folder / "a").write_text(folder)

    @rule(path=paths, kind=kinds, body=bodies)
    def edit(self, path: bytes, kind: str, body: bytes) -> None:
        """Put something at a path, in place of whatever is there."""
        top = os.fsencode(self.root)
        *above, _ = path.split(b"/")
        if is_below(path, b"out") and kind in ("folder", "exec"):
            # Of an output that is as recorded but for x bits and empty folders see below.
            kind, body = "file", body + b"!"
        for i in range(1, len(above) + 1):
            self._clear(os.path.join(top, *above[:i]), but_folder=True)
        full = os.path.join(top, path)
        self._clear(full, but_folder=False)
        if kind == "nothing":
            for i in range(len(above), 1, -1):
                folder = os.path.join(top, *above[:i])
                if above[0] == b"out" and os.path.isdir(folder) and not os.listdir(folder):
                    os.rmdir(folder)
            return
        os.makedirs(os.path.dirname(full), exist_ok=True)
        if kind == "folder":
            os.mkdir(full)
        elif kind == "link":
            os.symlink(b"no/" + body[:5].strip() + b"where", full)
        else:
            with open(full, "wb") as file:
                file.write(body)
            os.chmod(full, 0o755 if kind == "exec" else 0o644)
        self.steps, self.redo = [], None

    def _clear(self, full: bytes, *, but_folder: bool) -> None:
        if not os.path.lexists(full):
            return
        self.steps, self.redo = [], None
        if not stat.S_ISDIR(os.lstat(full).st_mode):
            os.unlink(full)
        elif not but_folder:
            shutil.rmtree(full)

    # -- commands --------------------------------------------------------------------------

    def _save(self, kind: str, name: str) -> None:
        before = self.tree
        save(self.project, kind, name, "", "save", self.events.append, replace=True)
        assert self.tree == before
        self.steps.append(Before(before, dict(self.kept)))
        self.kept[name] = {p: what for p, what in before.items() if not is_ignored(p)}
        self.redo = None

    @rule(name=snapshots)
    def snapshot(self, name: str) -> None:
        """Keeps all, changes nothing."""
        self._save("snapshot", name)

    @rule(name=experiments)
    def save(self, name: str) -> None:
        """The same."""
        self._save("experiment", name)

    @rule()
    def commit(self) -> None:
        """Changes nothing but the lock file, if it can be done."""
        before = self.tree
        try:
            commit(self.project, (), "commit", self.events.append)
        except UsageError:
            assert self.tree == before
            return
        after = self.tree
        if after != before:
            self.steps.append(Before(dict(before), dict(self.kept)))
            self.redo = None
        self.recorded[after[b"dodo.lock"][2]] = outputs(after)
        assert after.pop(b"dodo.lock")
        before.pop(b"dodo.lock", None)
        assert after == before

    @precondition(lambda self: any(name[0] == "e" for name in self.kept))
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        """Changes no file."""
        name = data.draw(st.sampled_from([name for name in self.kept if name[0] == "e"]))
        before = self.tree
        remove(self.project, "experiment", (name,), "remove")
        assert self.tree == before
        self.steps.append(Before(before, dict(self.kept)))
        del self.kept[name]
        self.redo = None

    @precondition(lambda self: self.kept)
    @rule(data=st.data(), exact=st.booleans())
    def apply(self, data: st.DataObject, exact: bool) -> None:
        """Every kept path is as it was, every ignored one as it is."""
        name = data.draw(st.sampled_from(sorted(self.kept)))
        before, kept = self.tree, self.kept[name]
        try:
            done = apply(self.project, name, (), "apply", self.events.append, exact=exact)
        except Failure:
            assert in_the_way(before, kept)
            assert self.tree == before
            return
        after = self.tree
        assert {p: after.get(p) for p in kept} == kept
        for path, what in before.items():
            if is_ignored(path):
                assert after.get(path) == what
            elif path not in kept:
                # A folder that an ignored file lies in cannot go.
                holds = any(is_ignored(p) and is_below(p, path) for p in before)
                if not has_place(path, what, kept):
                    assert path not in after
                elif exact or (path.split(b"/")[0] in TRACKED) or path in OWN:
                    assert path not in after or (what == "folder" and holds)
                else:
                    assert after.get(path) == what
        assert after.keys() <= before.keys() | kept.keys()
        if done.step is None:
            assert after == before
        else:
            self.steps.append(Before(before, dict(self.kept)))
            self.redo = None

    @precondition(lambda self: self.kept)
    @rule(data=st.data())
    def apply_one_path(self, data: st.DataObject) -> None:
        """That is as it was, and nothing else has changed."""
        name = data.draw(st.sampled_from(sorted(self.kept)))
        path = data.draw(st.sampled_from(sorted(self.kept[name])))
        before, kept = self.tree, self.kept[name]
        part = {p: what for p, what in kept.items() if is_below(p, path)}
        try:
            done = apply(
                self.project, name, (os.fsdecode(path),), "apply", self.events.append, exact=True
            )
        except Failure:
            assert in_the_way(before, kept)
            assert self.tree == before
            return
        after = self.tree
        assert {p: after.get(p) for p in part} == part
        above = [path[:i] for i, byte in enumerate(path) if byte == ord("/")]
        for p in before.keys() | after.keys():
            if not is_below(p, path) and p not in above:
                is_on_the_way = any(before.get(a, "folder") != "folder" for a in above)
                assert is_on_the_way or after.get(p) == before.get(p)
        if done.step is not None:
            self.steps.append(Before(before, dict(self.kept)))
            self.redo = None

    @rule()
    def checkout(self) -> None:
        """The output is as it was committed, whatever lies there; nothing else has changed."""
        before = self.tree
        try:
            done = checkout(self.project, (), "checkout", self.events.append)
        except Failure:
            assert self.tree == before
            return
        after = self.tree
        lock = before.get(b"dodo.lock")
        if lock is not None and lock[2] in self.recorded and not done.missing:
            assert outputs(after) == self.recorded[lock[2]]
        for tree in (after, unchanged := dict(before)):
            for path in outputs(tree):
                del tree[path]
        assert after == unchanged
        if done.step is not None:
            self.steps.append(Before(before, dict(self.kept)))
            self.redo = None

    @rule(grace=st.sampled_from([0.0, 3600.0]))
    def collect(self, grace: float) -> None:
        """Takes away nothing that has a name; without a grace, what undo would need."""
        before = self.tree
        collect(self.project, Policy(grace=grace), "gc", self.events.append)
        assert self.tree == before
        if grace == 0:
            self.steps, self.redo = [], None

    @precondition(lambda self: self.steps)
    @rule()
    def undo(self) -> None:
        """Brings back what was before the last command; twice, what was before the one before."""
        now = Before(self.tree, dict(self.kept))
        undo(self.project, None, "undo", self.events.append)
        before = self.steps.pop()
        assert self.tree == before.tree
        self.kept = dict(before.kept)
        self.redo = now

    @precondition(lambda self: self.redo)
    @rule()
    def undo_the_undo(self) -> None:
        """Brings about again what was undone."""
        assert self.redo is not None
        self.steps.append(Before(self.tree, dict(self.kept)))
        last = next(history.steps(self.project.store))
        assert last.undoes is not None
        undo(self.project, last.number, "undo", self.events.append)
        assert self.tree == self.redo.tree
        self.kept = dict(self.redo.kept)
        self.redo = None

    @invariant()
    def the_names_are_those_of_the_model(self) -> None:
        """No name comes or goes unasked."""
        self.names()


@pytest.fixture(scope="module", autouse=True)
def _quickly() -> Iterator[None]:
    """Nobody pulls the plug in these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DODO_DURABILITY", "off")
        yield


def walk(rounds: int) -> None:
    """Walk at random for so many rounds."""
    given = settings(
        max_examples=rounds,
        stateful_step_count=20,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Workspace, settings=given)


def test_what_was_comes_back_whatever_was_done() -> None:
    """Random edits and commands against a model of what each of them promises."""
    walk(25)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_what_was_comes_back_whatever_was_done_many_rounds() -> None:
    """The same for long."""
    walk(2000)


# -- through the real command --------------------------------------------------------------


@pytest.fixture(scope="module")
def _two(tmp_path_factory: pytest.TempPathFactory) -> Space:
    """What each test gets a copy of."""
    made = Space(tmp_path_factory.mktemp("two"))
    made.three_stages()
    made.write(".gitignore", "*.log\n")
    made.write("src/train.py", "code\n")
    made.exp("-n", "one")
    made.write("src/train.py", "better\n")
    made.exp("-n", "two", "-S", "train.lr=2")
    return made


@pytest.fixture
def two(space: Space, _two: Space) -> Space:
    """Experiments `one` and `two`, of which the second lies in the workspace."""
    shutil.copytree(_two.root, space.root, dirs_exist_ok=True, symlinks=True)
    return space


def test_after_apply_nothing_has_to_run(two: Space) -> None:
    """Code, params and outputs are those of the experiment, and known to be."""
    two.dodo("exp", "apply", "one")
    assert two.read("src/train.py") == "code\n"
    assert two.dodo("status", "--json").json == {}
    assert "experiment 'one' holds this result" in two.dodo("exp", "run").out
    assert two.runs == []


def test_apply_of_some_paths(two: Space) -> None:
    """Named as seen from where one stands; the rest stays."""
    before = two.tree()
    ran = two.dodo("exp", "apply", "one", "../params.yaml", "--json", cwd="src")
    assert ran.json["changed"] == ["params.yaml"]
    ran = two.dodo("exp", "apply", "one", ".", "--json", cwd="src")
    assert ran.json["changed"] == ["src/train.py"]
    assert two.tree().keys() == before.keys()
    two.dodo("undo")
    two.dodo("undo", cwd="src")
    assert two.tree() == before


@pytest.mark.parametrize(
    "args", [["on"], ["one", "nothing"], ["one", "../home"], [""], ["one:src"]]
)
def test_what_cannot_be_applied_changes_nothing(two: Space, args: list[str]) -> None:
    """Not even a step to undo."""
    before = two.tree(), two.dodo("undo", "--list").out
    assert "error: " in two.dodo("exp", "apply", *args, code=2).err
    assert (two.tree(), two.dodo("undo", "--list").out) == before


def test_what_was_made_in_an_applied_folder_stays_when_apply_is_undone(two: Space) -> None:
    """Ignored files, later ones and whole repositories."""
    two.write("lib/a.py", "a\n")
    two.dodo("snapshot", "-n", "lib")
    shutil.rmtree(two.root / "lib")
    two.dodo("exp", "apply", "lib")
    mine = {"lib/x.log": "ignored\n", "lib/new.py": "later\n", "lib/.git/HEAD": "ref\n"}
    for path, text in mine.items():
        two.write(path, text)
    two.dodo("undo")
    assert not two.exists("lib/a.py")
    assert {path: two.read(path) for path in mine} == mine


def test_a_file_is_not_put_in_the_place_of_a_folder_with_ignored_files(two: Space) -> None:
    """It is said which is in the way, and nothing else is done either."""
    two.write("thing", "a file\n")
    two.dodo("snapshot", "-n", "file")
    two.remove("thing")
    two.write("thing/a", "a\n")
    two.write("thing/x.log", "ignored\n")
    two.write("raw.txt", "edited\n")
    before = two.tree()
    assert "thing/x.log" in two.dodo("exp", "apply", "file", code=1).err
    assert two.tree() == before
    two.remove("thing/x.log")
    two.dodo("exp", "apply", "file")
    assert (two.read("thing"), two.read("raw.txt")) == ("a file\n", "raw\n")


def test_a_broken_pipeline_does_not_keep_anything_from_coming_back(two: Space) -> None:
    """Neither apply nor undo needs to read it; the broken one is not lost."""
    broken = "stages: [\n"
    good = two.read("dvc.yaml")
    for args in (["exp", "apply", "two"], ["exp", "apply", "two", "dvc.yaml"]):
        two.write("dvc.yaml", broken)
        two.dodo(*args)
        assert two.read("dvc.yaml") == good
        two.dodo("undo")
        assert two.read("dvc.yaml") == broken
    two.write("dvc.yaml", good)
    two.dodo("exp", "apply", "one")
    two.write("dvc.yaml", broken)
    two.dodo("undo")
    assert two.read("src/train.py") == "better\n"
    two.write("dvc.yaml", good)


def test_a_conflicted_lock_file_does_not_either(two: Space) -> None:
    """It is replaced by the one that is kept."""
    good = two.read("dodo.lock")
    two.write("dodo.lock", "<<<<<<< mine\n")
    two.dodo("exp", "apply", "two")
    assert two.read("dodo.lock") == good


def test_nothing_is_written_through_a_link(two: Space) -> None:
    """Whatever a link that lies in a folder's place points to stays as it is."""
    outside = two.base / "outside"
    outside.mkdir()
    (outside / "train.py").write_text("not ours\n")
    shutil.rmtree(two.root / "src")
    (two.root / "src").symlink_to(outside)
    two.dodo("exp", "apply", "one")
    assert (outside / "train.py").read_text() == "not ours\n"
    assert two.read("src/train.py") == "code\n"
    two.dodo("undo")
    assert (two.root / "src").is_symlink()


def test_a_name_is_an_experiments_or_a_snapshots(two: Space) -> None:
    """With --force too."""
    two.dodo("snapshot", "-n", "snap")
    for force in ([], ["-f"]):
        assert "'snap'" in two.dodo("exp", "save", "-n", "snap", *force, code=2).err
        assert "'snap'" in two.dodo("exp", "run", "-n", "snap", *force, code=2).err
        assert "'one'" in two.dodo("snapshot", "-n", "one", *force, code=2).err


def test_an_include_is_kept_though_it_is_ignored(two: Space) -> None:
    """It comes back when the snapshot is applied; other ignored files are left alone."""
    two.write("runs.log", "mine\n")
    two.write("other.log", "theirs\n")
    two.dodo("snapshot", "-n", "with", "-I", "runs.log")
    two.remove("runs.log")
    two.write("other.log", "changed\n")
    two.dodo("exp", "apply", "with", "--exact")
    assert (two.read("runs.log"), two.read("other.log")) == ("mine\n", "changed\n")


def test_undo_of_a_run(two: Space) -> None:
    """Params, outputs and lock are those before; the experiment stays."""
    before = two.tree()
    two.exp("-n", "three", "-S", "train.lr=3")
    two.dodo("undo")
    assert two.tree() == before
    assert "three" in two.dodo("store", "ls").out
    assert two.dodo("status", "--json").json == {}


def test_undo_needs_a_step_that_is_there_and_not_undone(two: Space) -> None:
    """Else it says what can be done."""
    assert "--list" in two.dodo("undo", "99", code=2).err
    two.dodo("undo", "2")
    assert "`dodo undo 3`" in two.dodo("undo", "2", code=2).err
    two.dodo("undo", "3")
    assert two.read("src/train.py") == "better\n"


def test_undo_with_nothing_to_undo(space: Space) -> None:
    """Is an error of the command line."""
    space.write("dvc.yaml", "stages: {}\n")
    assert "nothing to undo" in space.dodo("undo", code=2).err
    assert space.dodo("undo", "--list", "--json").json == []


CHANGING = ("exp apply one", "undo", "snapshot", "exp save", "checkout", "commit")


def test_while_a_run_goes_on(two: Space) -> None:
    """Commands that change the workspace say who holds it and end with 4 if told not to wait."""
    two.write("dvc.yaml", "stages: {s: {cmd: 'touch ../up; sleep 60'}}\n")
    running = two.start("exp", "run")
    try:
        wait_for((two.base / "up").exists)
        before = two.tree()
        for command in CHANGING:
            ran = two.dodo(*command.split(), "--no-wait", code=4)
            assert f"held by pid {running.pid}, `dodo exp run`" in ran.err
        two.dodo("undo", "--list")
        two.dodo("gc", "--dry-run")
        assert two.tree() == before
    finally:
        kill_tree(running)
    two.dodo("undo", "--list")
    two.dodo("snapshot")


def test_inside_a_stage(two: Space) -> None:
    """They end with 4 rather than wait for themselves."""
    commands = "; ".join(f"dodo {command}; echo $? >> ../codes" for command in CHANGING)
    two.write("dvc.yaml", f"stages: {{s: {{cmd: '{commands}'}}}}\n")
    two.exp()
    assert (two.base / "codes").read_text().split() == ["4"] * len(CHANGING)


@pytest.mark.parametrize("command", ["exp apply one", "undo"])
def test_a_reader_that_has_gone_leaves_whole_files(two: Space, command: str) -> None:
    """What was begun is done, though nobody reads what it says."""
    for _ in range(2):
        running = two.start(*command.split())
        assert running.stdout is not None
        running.stdout.close()
        running.stdout = None
        _, err = running.communicate(timeout=60)
        assert "Traceback" not in err
        assert running.returncode in (0, 141)
    two.dodo("store", "check")


def test_x_bits_and_empty_folders_of_outputs_come_back(space: Space) -> None:
    """Though they make no stage out of date."""
    space.write("dvc.yaml", "stages: {a: {cmd: mkdir out; cp in out/a, deps: [in], outs: [out]}}\n")
    space.write("in", "1\n")
    space.exp()
    (space.root / "out/a").chmod(0o755)
    (space.root / "out/empty").mkdir()
    before = tree_of(space.root)
    space.dodo("snapshot", "-n", "with")
    space.write("in", "2\n")
    space.repro()
    space.dodo("exp", "apply", "with")
    assert tree_of(space.root) == before


def test_undo_brings_back_x_bits_of_outputs(space: Space) -> None:
    """What lies there counts, not what is recorded."""
    space.write("dvc.yaml", "stages: {a: {cmd: cp in out, deps: [in], outs: [out]}}\n")
    space.write("in", "1\n")
    space.exp("-n", "one")
    space.write("in", "2\n")
    space.exp("-n", "two")
    (space.root / "out").chmod(0o755)
    before = tree_of(space.root)
    space.dodo("exp", "apply", "one")
    space.dodo("undo")
    assert tree_of(space.root) == before


# -- permissions ---------------------------------------------------------------------------


def _give_up_privileges() -> None:
    """Let folders and files that say so be closed to us, even where tests run as root."""
    libc = ctypes.CDLL(None)
    for capability in (1, 2):  # to write, to read against the mode
        libc.prctl(24, capability, 0, 0, 0)


def plainly(space: Space, *args: str) -> tuple[int, str]:
    """How a command ends for somebody without privileges, and what it says."""
    running = space.start(*args, preexec_fn=_give_up_privileges)
    _, err = running.communicate(timeout=60)
    assert "Traceback" not in err
    return running.returncode, err


@pytest.fixture
def closed(two: Space) -> Iterator[Space]:
    """`src`, which differs from experiment `one`, cannot be written to."""
    (two.root / "src").chmod(0o555)
    yield two
    (two.root / "src").chmod(0o755)
    two.dodo("snapshot")


def test_where_a_folder_cannot_be_written_to_nothing_is_changed(closed: Space) -> None:
    """What had been changed before it is put back."""
    before = closed.tree()
    code, err = plainly(closed, "exp", "apply", "one")
    assert (code, closed.tree()) == (1, before)
    assert "permission" in err


def test_a_folder_that_cannot_be_written_to_is_named(closed: Space) -> None:
    """Or the file in it."""
    _, err = plainly(closed, "exp", "apply", "one")
    assert "src" in err


def test_a_folder_that_cannot_be_written_to_keeps_nothing_else_from_working(closed: Space) -> None:
    """What failed is over and done with."""
    plainly(closed, "exp", "apply", "one")
    assert plainly(closed, "snapshot")[0] == 0
    assert plainly(closed, "exp", "apply", "one", "params.yaml")[0] == 0


def test_a_file_that_cannot_be_read_is_named(two: Space) -> None:
    """Rather than left out of what is kept."""
    two.write("closed", "x")
    (two.root / "closed").chmod(0)
    for command in ("snapshot", "exp save", "exp apply one"):
        code, err = plainly(two, *command.split())
        assert code == 1 and "closed" in err


def test_a_file_that_only_its_owner_may_read_stays_so(two: Space) -> None:
    """Through apply and undo."""
    two.write("key", "secret")
    (two.root / "key").chmod(0o600)
    two.dodo("snapshot", "-n", "with")
    two.write("key", "another")
    two.dodo("exp", "apply", "with")
    assert (two.root / "key").stat().st_mode & 0o077 == 0


def test_undo_does_not_remove_what_a_later_repro_made(two: Space) -> None:
    """It is not what the command that is undone had left."""
    two.exp("-n", "three", "-S", "train.lr=3")
    two.write("raw.txt", "other\n")
    two.repro()
    plainly(two, "undo")
    assert "lr: 3" in two.read("params.yaml")
