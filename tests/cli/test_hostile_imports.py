"""Packs that were made to harm: each is refused with one line, and nothing of it is kept."""

from __future__ import annotations

import hashlib
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
import pytest
from xxhash import xxh3_128_digest as xxh3

from dodo_exp.errors import DodoError
from dodo_exp.exps.transfer import receive
from dodo_exp.project import Project
from tests.space import Space
from tests.store.kit import look

LIMIT_SECONDS = 5.0
"""An import takes 0.1 s; the rest is for a machine that does other things besides."""

LIMIT_KB = 300_000

Row = tuple[Any, ...]
"""One entry of a tree: name, kind, oid, size, digest."""


# -- making packs ----------------------------------------------------------------------------


def frame(kind: int, payload: bytes, fmt: int = 1) -> bytes:
    """A record around bytes that need not be well formed."""
    head = struct.pack(">4sBBI", b"DODO", fmt, kind, len(payload)) + payload
    return head + xxh3(head)


def packed(value: Any) -> bytes:
    """One msgpack value."""
    return bytes(msgpack.packb(value, use_bin_type=True, unicode_errors="surrogateescape"))


class Pack:
    """A pack in the making; every check sum in it is right unless a test says otherwise."""

    def __init__(self) -> None:
        self.records: list[tuple[int, bytes]] = []
        self.trees: dict[bytes, bytes] = {}
        self.objects: dict[bytes, bytes] = {}

    def file(self, data: bytes, kind: int = 0, size: int | None = None) -> Row:
        """Add content; the rest of a row that names it."""
        oid = xxh3(data)
        self.objects[oid] = data
        return kind, oid, len(data) if size is None else size, None

    def folder(self, rows: Iterable[Row], size: int | None = None) -> Row:
        """Add a folder of (name, kind, oid, size, digest); the rest of a row that names it."""
        rows = list(rows)
        data = frame(1, packed(rows))
        oid = xxh3(data)
        self.trees[oid] = data
        return 3, oid, sum(row[3] for row in rows) if size is None else size, oid

    def raw_folder(self, data: bytes, size: int = 0) -> Row:
        """Add a folder of any bytes."""
        oid = xxh3(data)
        self.trees[oid] = data
        return 3, oid, size, oid

    def experiment(self, top: Row, **fields: Any) -> None:
        """Add an experiment whose files are *top*."""
        self.record(frame(3, packed({**plain(top), **fields})))

    def record(self, data: bytes, kind: int = 1) -> None:
        """Add a record of any bytes."""
        self.records.append((kind, data))

    def bytes(self) -> bytes:
        """The whole."""
        parts = [b"DODOPACK\1"]
        parts += [entry(kind, data) for kind, data in self.records]
        parts += [entry(2, data) for data in self.trees.values()]
        parts += [entry(3, data) for data in self.objects.values()]
        return closed(b"".join(parts), len(self.trees) + len(self.objects))


def entry(kind: int, data: bytes) -> bytes:
    """One part of a pack."""
    return struct.pack(">B16sQ", kind, xxh3(data), len(data)) + data + hashlib.sha256(data).digest()


def closed(data: bytes, count: int) -> bytes:
    """A pack with its end."""
    data += struct.pack(">B16sQ", 0, bytes(16), count)
    return data + hashlib.sha256(data).digest()


def plain(top: Row) -> dict[str, Any]:
    """What a record of an experiment holds."""
    return {
        "name": "evil",
        "created": 1_700_000_000.0,
        "seconds": 1.0,
        "parent": None,
        "base": list(top),
        "result": list(top),
        "state": bytes(16),
        "params": {},
        "metrics": {},
        "deps": {},
        "stages": [],
        "stale": [],
        "tainted": [],
        "message": "",
    }


# -- hostile ones ----------------------------------------------------------------------------

Make = Callable[[Pack], None]


def of_names(*names: Any) -> Make:
    """A folder of files of these names, in this order."""

    def make(pack: Pack) -> None:
        pack.experiment(pack.folder((name, *pack.file(b"x")) for name in names))

    return make


def of_link(target: bytes) -> Make:
    """A folder with a link."""

    def make(pack: Pack) -> None:
        pack.experiment(pack.folder([(b"link", *pack.file(target, 2))]))

    return make


def of_fields(**fields: Any) -> Make:
    """An experiment of one file, with these fields."""

    def make(pack: Pack) -> None:
        pack.experiment(pack.folder([(b"file", *pack.file(b"x"))]), **fields)

    return make


def of_rows(*rows: Any) -> Make:
    """A folder of entries that are none; an `x` is in the pack."""

    def make(pack: Pack) -> None:
        pack.file(b"x")
        pack.experiment(pack.raw_folder(frame(1, packed(list(rows))), 1))

    return make


def of_record(data: bytes) -> Make:
    """A record of any bytes."""
    return lambda pack: pack.record(data)


def of_tree(data: bytes) -> Make:
    """A folder of any bytes."""
    return lambda pack: pack.experiment(pack.raw_folder(data))


def too_deep(pack: Pack) -> None:
    """Ten thousand folders, one in the other."""
    top = pack.folder([(b"file", *pack.file(b"x"))])
    for _ in range(10_000):
        top = pack.folder([(b"d", *top)])
    pack.experiment(top)


def too_deep_in_parts(pack: Pack) -> None:
    """Parts of 300 folders; each is named at the top too, the deepest one to be met first."""
    part = pack.folder([(b"file", *pack.file(b"x"))])
    rows: list[Row] = []
    for number in range(6):
        for _ in range(300):
            part = pack.folder([(b"d", *part)])
        rows.append((b"%d" % (9 - number), *part))
    pack.experiment(pack.folder(sorted(rows)))


def its_own_parent(pack: Pack) -> None:
    """A folder that names itself, under a name that is not its hash."""
    data = frame(1, packed([(b"d", 3, b"\1" * 16, 0, None)]))
    pack.experiment((3, b"\1" * 16, 0, b"\1" * 16))
    pack.trees[b"\1" * 16] = data


def doubling(pack: Pack) -> None:
    """Fifty folders that each hold the one before it twice: 2^50 files of 300 entries."""
    top = pack.folder([(b"file", *pack.file(b""))])
    for _ in range(50):
        top = pack.folder([(b"a", *top), (b"b", *top)])
    pack.experiment(top)


def file_and_folder_of_one_id(pack: Pack) -> None:
    """One id as a file and as a folder: what a look at one says nothing about the other."""
    inner = frame(1, packed([(b".git", *pack.file(b"x"))]))
    file = pack.file(inner)
    pack.raw_folder(inner, 1)
    pack.experiment(pack.folder([(b"a", 3, xxh3(inner), 1, None), (b"b", *file)]))


def lie_about_a_file(pack: Pack) -> None:
    pack.experiment(pack.folder([(b"file", *pack.file(b"x", size=1000))]))


def lie_about_a_folder(pack: Pack) -> None:
    inner = pack.folder([(b"file", *pack.file(b"x"))], size=2**40)
    pack.experiment(pack.folder([(b"d", *inner)]))


def two_sizes_of_a_folder(pack: Pack) -> None:
    one = pack.folder([(b"file", *pack.file(b"x"))])
    pack.experiment(pack.folder([(b"a", *one), (b"b", *one[:2], 2, None)]))


def not_in_it(pack: Pack) -> None:
    pack.experiment(pack.folder([(b"file", 0, b"\7" * 16, 1, None)]))


def folder_not_in_it(pack: Pack) -> None:
    pack.experiment((3, b"\7" * 16, 0, b"\7" * 16))


def more_than_named(pack: Pack) -> None:
    pack.file(b"nobody's")
    of_names(b"file")(pack)


def file_for_a_folder(pack: Pack) -> None:
    top = pack.folder([(b"file", *pack.file(b"x"))])
    pack.experiment((0, *top[1:]))


def same_name_twice(pack: Pack) -> None:
    of_names(b"file")(pack)
    of_fields(message="another")(pack)


def long_link(pack: Pack) -> None:
    of_link(b"a/" * 5000)(pack)


HOSTILE: dict[str, Make] = {
    # names in folders
    "parent": of_names(b".."),
    "itself": of_names(b"."),
    "slash": of_names(b"a/b"),
    "climb": of_names(b"../../x"),
    "absolute": of_names(b"/etc/x"),
    "nul": of_names(b"a\0b"),
    "empty": of_names(b""),
    "git": of_names(b".git"),
    "git-upper": of_names(b".GIT"),
    "git-dot": of_names(b".git."),
    "dodo": of_names(b".dodo"),
    "dodo-mixed": of_names(b".DoDo"),
    "unsorted": of_names(b"b", b"a"),
    "twice": of_names(b"a", b"a"),
    "case-twins": of_names(b"Readme", b"readme"),
    "nfc-nfd-twins": of_names("e\u0301".encode(), "\u00e9".encode()),
    "text-name": of_names("text"),
    "number-name": of_names(5),
    "no-name": of_names(None),
    "256-bytes": of_names(b"n" * 256),
    # entries of folders
    "row-of-four": of_rows([b"a", 0, xxh3(b"x"), 1]),
    "row-of-six": of_rows([b"a", 0, xxh3(b"x"), 1, None, 1]),
    "row-is-text": of_rows("abcde"),
    "kind-4": of_rows([b"a", 4, xxh3(b"x"), 1, None]),
    "kind-true": of_rows([b"a", True, xxh3(b"x"), 1, None]),
    "kind-minus": of_rows([b"a", -1, xxh3(b"x"), 1, None]),
    "size-minus": of_rows([b"a", 0, xxh3(b"x"), -1, None]),
    "size-float": of_rows([b"a", 0, xxh3(b"x"), 1.0, None]),
    "size-huge": of_rows([b"a", 0, xxh3(b"x"), 2**63, None]),
    "oid-short": of_rows([b"a", 0, b"x", 1, None]),
    "oid-text": of_rows([b"a", 0, "../../../../../x", 1, None]),
    "digest-short": of_rows([b"a", 0, xxh3(b"x"), 1, b"x"]),
    "lie-file": lie_about_a_file,
    "lie-folder": lie_about_a_folder,
    "two-sizes": two_sizes_of_a_folder,
    "not-in-it": not_in_it,
    "folder-not-in-it": folder_not_in_it,
    "more-than-named": more_than_named,
    "deep": too_deep,
    "deep-in-parts": too_deep_in_parts,
    "own-parent": its_own_parent,
    "doubling": doubling,
    "file-and-folder": file_and_folder_of_one_id,
    # links
    "link-empty": of_link(b""),
    "link-nul": of_link(b"a\0b"),
    "link-long": long_link,
    # records that are folders
    "tree-is-map": of_tree(frame(1, packed({}))),
    "tree-is-run": of_tree(frame(2, packed([]))),
    "tree-newer": of_tree(frame(1, packed([]), fmt=2)),
    "tree-format-0": of_tree(frame(1, packed([]), fmt=0)),
    "tree-torn": of_tree(frame(1, packed([]))[:-1]),
    "tree-empty": of_tree(b""),
    "tree-ext": of_tree(frame(1, packed([msgpack.ExtType(5, b"x")]))),
    "tree-time": of_tree(frame(1, packed([msgpack.Timestamp(1)]))),
    "tree-claims-4g": of_tree(frame(1, b"\xdd\xff\xff\xff\xff")),
    "tree-map-4g": of_tree(frame(1, b"\xdf\xff\xff\xff\xff")),
    "tree-bin-4g": of_tree(frame(1, b"\xc6\xff\xff\xff\xff")),
    "tree-nested": of_tree(frame(1, b"\x91" * 100_000 + b"\xc0")),
    "tree-never-used": of_tree(frame(1, b"\xc1")),
    "tree-more": of_tree(frame(1, b"\x90\x90")),
    # experiments
    "name-climbs": of_fields(name="../x"),
    "name-lock": of_fields(name="a.lock"),
    "name-dot-lock": of_fields(name=".lock"),
    "name-head": of_fields(name="HEAD"),
    "name-long": of_fields(name="n" * 300),
    "name-empty": of_fields(name=""),
    "name-line": of_fields(name="a\n"),
    "name-nul": of_fields(name="a\0b"),
    "name-bytes": of_fields(name=b"abc"),
    "name-number": of_fields(name=5),
    "name-list": of_fields(name=["a"]),
    "name-half": of_fields(name="a\udc80"),
    "created-text": of_fields(created="now"),
    "created-none": of_fields(created=None),
    "created-nan": of_fields(created=float("nan")),
    "created-inf": of_fields(created=float("inf")),
    "created-far": of_fields(created=1e300),
    "created-before-all": of_fields(created=-1e15),
    "seconds-endless": of_fields(seconds=1e18),
    "created-big": of_fields(created=2**63),
    "seconds-nan": of_fields(seconds=float("nan")),
    "seconds-inf": of_fields(seconds=float("inf")),
    "seconds-true": of_fields(seconds=True),
    "params-list": of_fields(params=[1]),
    "params-flat": of_fields(params={"params.yaml": 1}),
    "params-key": of_fields(params={5: {"data": {}}}),
    "params-bytes": of_fields(params={"p": {"data": {b"a": 1}}}),
    "params-neither": of_fields(params={"p": {}}),
    "metrics-none": of_fields(metrics=None),
    "metrics-key": of_fields(metrics={b"m": {"data": {"a": 1}}}),
    "deps-list": of_fields(deps=["a"]),
    "deps-number": of_fields(deps={"a": 5}),
    "deps-key": of_fields(deps={5: "a"}),
    "stages-number": of_fields(stages=5),
    "stages-rows": of_fields(stages=[[1]]),
    "stale-number": of_fields(stale=5),
    "stale-rows": of_fields(stale=[[1]]),
    "message-bytes": of_fields(message=b"x"),
    "parent-number": of_fields(parent=5),
    "state-text": of_fields(state="x"),
    "state-short": of_fields(state=b"x"),
    "base-none": of_fields(base=None),
    "base-short": of_fields(base=[3, b"x" * 16]),
    "base-file": of_fields(base=[0, xxh3(b"x"), 1, xxh3(b"x")]),
    "base-text": of_fields(base="abcd"),
    "file-for-a-folder": file_for_a_folder,
    "one-name-twice": same_name_twice,
    "record-list": of_record(frame(3, packed([]))),
    "record-none": of_record(frame(3, packed(None))),
    "record-lacks": of_record(frame(3, packed({"name": "a"}))),
    "record-tree": of_record(frame(1, packed([]))),
    "record-run": of_record(frame(2, packed([]))),
    "record-cache": of_record(frame(4, packed({}))),
    "record-newer": of_record(frame(3, packed({}), fmt=2)),
    "record-keys-twice": of_record(frame(3, b"\x82\xa1a\x01\xa1a\x02")),
    "record-key-list": of_record(frame(3, b"\x81\x90\x01")),
    "record-ext": of_record(frame(3, packed(msgpack.ExtType(1, b"x")))),
    "record-torn": of_record(frame(3, packed({}))[:-1]),
    "record-foreign": of_record(b"#!/bin/sh\n"),
    "record-empty": of_record(b""),
    "record-of-empties": of_record(frame(3, b"\xdd\0\xa0\0\0" + b"\x90" * 0xA00000)),
    "tree-of-empties": of_tree(frame(1, b"\xdd\2\0\0\0" + b"\x90" * 0x2000000)),
}

BY_COMMAND = """
    parent git size-huge lie-file own-parent deep tree-claims-4g tree-nested tree-ext name-climbs
    name-line record-newer one-name-twice record-of-empties tree-of-empties file-and-folder
""".split()
"""One of each sort, for which the whole command is run."""

BOMBS = ("record-of-empties", "tree-of-empties")
"""Large ones, for which only the command is run."""


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str
    seconds: float
    kilobytes: int


def run(space: Space, *args: str) -> Ended:
    """Run a command that must come to its end; how long it took and what it needed."""
    begun = time.monotonic()
    with open(space.base / "out", "w+") as out, open(space.base / "err", "w+") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "dodo_exp", *args],
            cwd=space.root,
            env=space.env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )
        status, used = wait(process.pid, begun + 20)
        process.returncode = status
        out.seek(0)
        err.seek(0)
        return Ended(
            os.waitstatus_to_exitcode(status),
            out.read(),
            err.read(),
            time.monotonic() - begun,
            used,
        )


def wait(pid: int, until: float) -> tuple[int, int]:
    """Wait for a process, which is killed in the end; its status and kilobytes."""
    most = 0
    while True:
        found, status, _ = os.wait4(pid, os.WNOHANG)
        if found:
            return status, most  # what the kernel says counts what we had when we forked
        most = max(most, memory(pid))
        if time.monotonic() > until or most > 4 * LIMIT_KB:
            os.kill(pid, signal.SIGKILL)
            until += 100
        time.sleep(0.003)


def memory(pid: int) -> int:
    """Kilobytes a process has now; 0 where nobody says."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * 4
    except (OSError, IndexError, ValueError):
        return 0


def kept(folder: Path) -> dict[str, bytes]:
    """All files below a folder that an import might add to; not locks, which stay."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
        if "locks" not in path.parts and path.name not in ("quarantine", "logs")
    }


def check_refused(space: Space, data: bytes) -> None:
    """Import *data*; it must be refused as it should be, and leave nothing."""
    path = space.base / "pack"
    path.write_bytes(data)
    before = kept(space.root)
    ended = run(space, "exp", "import", str(path))
    if ended.code == 0:  # the cases after this one find what they should
        space.dodo("undo")
    assert "Traceback" not in ended.err, ended.err[-600:]
    assert ended.code in (2, 5), ended
    lines = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and ended.err.startswith("error: "), ended.err
    assert "was kept" in ended.err
    assert ended.out == ""
    check_nothing_kept(space, before)
    assert ended.seconds < LIMIT_SECONDS
    assert ended.kilobytes < LIMIT_KB


def check_nothing_kept(space: Space, before: dict[str, bytes]) -> None:
    """The project is what it was."""
    assert kept(space.root) == before
    assert os.listdir(space.root / ".dodo" / "tmp") == []


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Space:
    """A project with one experiment."""
    space = Space(tmp_path_factory.mktemp("victim"))
    space.write("dvc.yaml", "stages: {}\n")
    space.write("file", "mine\n")
    space.dodo("exp", "save", "-n", "mine")
    space.dodo("exp", "import", "pack", code=2)
    return space


@pytest.mark.parametrize("case", [n for n in HOSTILE if n not in BOMBS])
def test_a_hostile_pack_is_refused_whole(victim: Space, case: str) -> None:
    pack = Pack()
    HOSTILE[case](pack)
    path = victim.base / "pack"
    path.write_bytes(pack.bytes())
    before = kept(victim.root)
    begun = time.monotonic()
    try:
        with pytest.raises(DodoError) as caught:
            receive(Project(str(victim.root), ""), str(path), "test", lambda size: None, force=True)
    finally:
        for name in set(os.listdir(victim.root / ".dodo/exps")) - {"mine"}:
            victim.store.experiments.delete(name)
    assert caught.value.code in (2, 5)
    assert "\n" not in str(caught.value)
    check_nothing_kept(victim, before)
    assert time.monotonic() - begun < LIMIT_SECONDS


@pytest.mark.parametrize("case", BY_COMMAND)
def test_the_command_refuses_it_in_one_line(victim: Space, case: str) -> None:
    pack = Pack()
    HOSTILE[case](pack)
    check_refused(victim, pack.bytes())


@pytest.mark.soak
@pytest.mark.parametrize("case", HOSTILE)
def test_the_command_refuses_every_one_in_one_line(victim: Space, case: str) -> None:
    pack = Pack()
    HOSTILE[case](pack)
    check_refused(victim, pack.bytes())


# -- accepted ones ---------------------------------------------------------------------------


def accepted(space: Space, pack: Pack) -> None:
    """Import a pack that may be imported, into a project of its own."""
    space.write("dvc.yaml", "stages: {}\n")
    space.write("file", "mine\n")
    path = space.base / "pack"
    path.write_bytes(pack.bytes())
    space.dodo("exp", "import", str(path))


def canary_of(space: Space) -> tuple[Path, Callable[[], None]]:
    """A folder outside, and a check that it is as it was."""
    canary = space.base / "canary"
    (canary / "inner").mkdir(parents=True)
    (canary / "file").write_text("canary\n")
    (canary / "inner" / "file").write_text("canary\n")
    before = look(canary)

    def check() -> None:
        assert look(canary) == before

    return canary, check


@pytest.mark.parametrize(
    "target",
    ["../canary", "absolute", "../canary/file", "link", "."],
)
def test_a_link_that_leads_outside_is_never_written_through(space: Space, target: str) -> None:
    canary, check = canary_of(space)
    to = str(canary) if target == "absolute" else target
    pack = Pack()
    file = pack.file(b"harm\n")
    pack.experiment(pack.folder([(b"link", *pack.file(to.encode(), 2))]), name="first")
    inner = pack.folder([(b"file", *file), (b"inner", *pack.folder([(b"file", *file)]))])
    pack.experiment(pack.folder([(b"link", *inner)]), name="second")
    accepted(space, pack)
    space.dodo("exp", "apply", "first")
    assert os.readlink(space.root / "link") == to
    check()
    space.dodo("exp", "apply", "second")
    assert space.read("link/inner/file") == "harm\n"
    check()
    for args in (["undo"], ["exp", "apply", "second", "link/file"], ["exp", "apply", "second"]):
        process = space.start(*args)
        _, err = process.communicate(timeout=30)
        assert "Traceback" not in err
        check()
    space.dodo("exp", "apply", "--exact", "first")
    check()


def test_links_in_place_of_the_projects_own_files_are_never_written_through(space: Space) -> None:
    _, check = canary_of(space)
    pack = Pack()
    link = pack.file(b"../canary/file", 2)
    names = (b"dodo.lock", b"dvc.yaml", b"out.txt", b"params.yaml")
    pack.experiment(pack.folder([(name, *link) for name in names]))
    accepted(space, pack)
    space.dodo("exp", "apply", "evil")
    check()
    # What was named by links is now made by stages.
    (space.root / "dvc.yaml").unlink()
    space.write("dvc.yaml", "stages: {s: {cmd: 'echo x > new', outs: [new], params: [a]}}\n")
    for args in (["repro"], ["exp", "run", "-S", "a=2"], ["checkout"], ["undo"]):
        process = space.start(*args)
        _, err = process.communicate(timeout=30)
        assert "Traceback" not in err, err
        check()


@pytest.mark.parametrize(
    "fields",
    ["nested", "odd-values", "escapes", "odd-deps"],
)
def test_odd_values_of_an_import_do_no_harm_to_exp_show(space: Space, fields: str) -> None:
    pack = Pack()
    top = pack.folder([(b"file", *pack.file(b"x"))])
    pack.experiment(top, **ODD[fields])
    accepted(space, pack)
    space.dodo("exp", "save", "-n", "mine")
    for args in (["show"], ["show", "--json"], ["show", "--md"], ["apply", "evil"], ["show"]):
        ran = space.dodo("exp", *args)
        assert "\x1b" not in ran.out + ran.err
    assert "mine" in space.dodo("exp", "show").out


def nested(depth: int) -> Any:
    """Maps in maps."""
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


ODD: dict[str, dict[str, Any]] = {
    "nested": {"params": {"p": {"data": nested(450)}}, "metrics": {"m": {"data": nested(450)}}},
    "odd-values": {
        "params": {"p": {"data": {"nan": float("nan"), "big": 2**63, "none": None, "": ""}}},
        "metrics": {"m": {"data": [1, {"a": [float("inf")]}]}, "n": {"error": "\x1b[2J"}},
    },
    "escapes": {
        "message": "\x1b]0;mine\x07",
        "params": {"p\x1b[31m": {"data": {"k\x1b[2J": "v\x1b[2J"}}},
    },
    "odd-deps": {"deps": {"../../x": "y", "/etc/passwd": "", "": "q"}, "parent": "../\x1b[2J"},
}


# -- what is around the parts ----------------------------------------------------------------


def small() -> Pack:
    """An honest pack of a folder with two files."""
    pack = Pack()
    files = [(b"a", *pack.file(b"one")), (b"b", *pack.file(b"two"))]
    pack.experiment(pack.folder(files))
    return pack


def of_parts(*parts: tuple[int, bytes]) -> bytes:
    """A pack of these parts in this order."""
    count = sum(kind in (2, 3) for kind, _ in parts)
    return closed(b"DODOPACK\1" + b"".join(entry(*part) for part in parts), count)


def arranged(order: str) -> bytes:
    """The parts of `small`, R, T, A and B, in an order."""
    pack = small()
    one, two = pack.objects.values()
    (tree,) = pack.trees.values()
    known = {"R": pack.records[0], "T": (2, tree), "A": (3, one), "B": (3, two)}
    return of_parts(*(known[letter] for letter in order))


def with_head(kind: int, oid: bytes, size: int) -> bytes:
    """A pack whose first part claims to be of any kind and size."""
    head = b"DODOPACK\1" + struct.pack(">B16sQ", kind, oid, size)
    return closed(head + b"short" + hashlib.sha256(b"short").digest(), 1)


WRONG: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "text": lambda: b"a" * 100,
    "zeros": lambda: bytes(4096),
    "newer": lambda: b"DODOPACK\2" + small().bytes()[9:],
    "only-a-head": lambda: b"DODOPACK\1",
    "trees-first": lambda: arranged("TRAB"),
    "objects-first": lambda: arranged("ABRT"),
    "object-between": lambda: arranged("RATB"),
    "record-last": lambda: arranged("TABR"),
    "record-twice": lambda: arranged("RRTAB"),
    "tree-twice": lambda: arranged("RTTAB"),
    "object-twice": lambda: arranged("RTAAB"),
    "no-tree": lambda: arranged("RAB"),
    "no-record": lambda: arranged("TAB"),
    "no-object": lambda: arranged("RTA"),
    "miscounted": lambda: closed(small().bytes()[: -25 - 32], 4),
    "huge-object": lambda: with_head(3, xxh3(b"short"), 2**63),
    "huger-object": lambda: with_head(3, xxh3(b"short"), 2**64 - 1),
    "huge-tree": lambda: with_head(2, xxh3(b"short"), 2**63),
    "huge-record": lambda: with_head(1, xxh3(b"short"), 2**63),
    "tree-of-the-limit": lambda: with_head(2, xxh3(b"short"), 64 << 20),
    "kind-5": lambda: with_head(5, xxh3(b"short"), 5),
    "kind-255": lambda: with_head(255, xxh3(b"short"), 5),
    "more-after-its-end": lambda: small().bytes() + b"\n",
    "two-in-one": lambda: small().bytes() * 2,
}


@pytest.mark.parametrize("case", WRONG)
def test_a_file_that_is_no_whole_pack_is_refused(victim: Space, case: str) -> None:
    path = victim.base / "pack"
    path.write_bytes(WRONG[case]())
    before = kept(victim.root)
    with pytest.raises(DodoError) as caught:
        receive(Project(str(victim.root), ""), str(path), "test", lambda size: None, force=True)
    assert caught.value.code in (2, 5)
    check_nothing_kept(victim, before)


def test_the_honest_pack_of_these_tests_is_accepted(space: Space) -> None:
    accepted(space, small())
    space.dodo("exp", "apply", "evil")
    assert (space.read("a"), space.read("b")) == ("one", "two")


@pytest.mark.parametrize("path", ["folder", "fifo", "nothing", "/dev/zero", "/dev/null"])
def test_what_is_no_file_is_refused_at_once(victim: Space, path: str) -> None:
    full = victim.base / path
    if path == "folder":
        full.mkdir()
    if path == "fifo":
        os.mkfifo(full)
    ended = run(victim, "exp", "import", str(full))
    assert ended.code == 2
    assert ended.err.startswith("error: ")
