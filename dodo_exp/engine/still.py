"""Still: what a command printed that found nothing to do, good for as long as nothing moves.

All that such a command looked at is kept beside its output: paths, with what their stats were. The
same command, given again in the same place, stats them and prints the same, without reading a
pipeline, a lock file or a param, and without loading what would. Whatever has moved, the command
is worked out as ever. The files may be deleted at any time.

Everything here runs before anything else is imported, so it imports next to nothing.
"""

from __future__ import annotations

import os
import struct
import sys

from xxhash import xxh3_128_digest

import dodo_exp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

VERBS = (["exp", "run"], ["repro"], ["status"])
FOLDER = "still"
KEPT = 8
"""How many commands are remembered."""
MOST = 200_000
"""With more paths than this, nothing is kept: the walk of a large folder is as quick."""

FIRST = 32
"""So many paths are looked at before all others."""

_MAGIC = b"still 1\n"
_HEAD = struct.Struct(">8s16s4I")
_MARK = struct.Struct(">QqqQ")


class Facts:
    """Paths relative to the root, or absolute, as a command found them.

    Attributes:
        seen: files and folders, links followed, each with its mark as `pack` makes it.
        links: links, each with its own mark.
        absent: what is not there.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.seen: dict[str, bytes] = {}
        self.links: dict[str, bytes] = {}
        self.absent: set[str] = set()


def pack(found: os.stat_result) -> bytes:
    """What moves when a file's content can have changed, or a folder's entries.

    Raises:
        struct.error: for times that no clock of ours has.
    """
    return _MARK.pack(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


_identity = ""


def code_identity() -> str:
    """Identify the code that runs: what other code has cached does not count.

    An installed package is replaced as a whole, so one file of it stands for all. In a checkout
    every source file counts, as it was when this process first asked.

    Raises:
        OSError: a file went away meanwhile.
    """
    global _identity
    if not _identity:
        package = os.path.dirname(os.path.dirname(__file__))
        store = f"{os.path.dirname(package)}/store/dodo_store"
        if os.path.exists(store):
            marks = [*_source_marks(package), *_source_marks(store)]
        else:
            marks = [_source_mark(os.stat(__file__))]
        name = xxh3_128_digest(b"".join(marks)).hex()
        _identity = f"{dodo_exp.__version__} {package} {name}"
    return _identity


def _source_marks(folder: str) -> Iterator[bytes]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".py"):
                yield _source_mark(entry.stat())
            elif "." not in entry.name and entry.name != "__pycache__" and entry.is_dir():
                yield from _source_marks(entry.path)


def _source_mark(found: os.stat_result) -> bytes:
    # No ctime: a hard link to an installed file, as uv makes, is no change.
    return _MARK.pack(found.st_size, found.st_mtime_ns, 0, found.st_ino)


def answer(args: list[str]) -> bool:
    """Print what the command would print, if it is known; False if it has to be worked out."""
    if not _may_be_known(args) or os.environ.get("DODO_HASH", "") not in ("", "changed"):
        return False
    try:
        here = os.getcwd()
        root = _root(here)
        fd = os.open(_path(root, here, args), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(fd, "rb") as file:
            data = file.read()
        lengths = _HEAD.unpack_from(data)
        magic, name, *sizes = lengths
        parts = []
        start = _HEAD.size
        for size in sizes:
            parts.append(data[start : start + size])
            start += size
        if magic != _MAGIC or start != len(data) or xxh3_128_digest(data[24:]) != name:
            return False
        text, paths, marks, absent = parts
        os.chdir(root)
        try:
            is_still = _has_marks(paths, marks) and not any(map(os.path.lexists, _names(absent)))
        finally:
            os.chdir(here)
        if not is_still:
            return False
        while text:
            text = text[os.write(1, text) :]
    except (OSError, ValueError, struct.error):
        return False
    return True


def keep(here: str, args: list[str], text: str, facts: Facts) -> None:
    """Remember that the command, given in *here*, printed *text* because of these facts.

    Where that cannot be written only time is lost.
    """
    encoding = getattr(sys.stdout, "encoding", "utf-8")
    if not _may_be_known(args) or len(facts.seen) > MOST or not text.isascii():
        return
    if text.encode(encoding, "replace") != text.encode():
        return
    names = [os.fsencode("\0".join(each)) for each in (facts.seen, facts.links, facts.absent)]
    if any(each.count(b"\0") for each in map(os.fsencode, (facts.root, here, *args))):
        return
    paths = names[0] + b"\0\0" + names[1]
    marks = b"".join((*facts.seen.values(), *facts.links.values()))
    parts = (text.encode(), paths, marks, names[2])
    body = struct.pack(">4I", *map(len, parts)) + b"".join(parts)
    from dodo_store import durable
    from dodo_store.errors import StoreError

    try:
        path = _path(facts.root, here, args)
        folder = os.path.dirname(path)
        os.makedirs(folder, exist_ok=True)
        durable.replace(path, _MAGIC + xxh3_128_digest(body) + body, sync=False)
        others = sorted(_files(folder), key=lambda entry: entry.stat().st_mtime)
        for old in others[:-KEPT]:
            os.unlink(old.path)
    except (OSError, StoreError):
        return


def _files(folder: str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return [entry for entry in entries if entry.is_file(follow_symlinks=False)]


def _may_be_known(args: list[str]) -> bool:
    return any(args[: len(verb)] == verb for verb in VERBS)


def _root(folder: str) -> str:
    # As project.find_root, of a project that has a store: no other has anything kept.
    while not os.path.exists(f"{folder}/.dodo/VERSION"):
        above = os.path.dirname(folder)
        if above == folder or os.path.isdir(f"{folder}/.dvc"):
            raise FileNotFoundError
        folder = above
    return folder


def _path(root: str, here: str, args: list[str]) -> str:
    """A file for each command: the same words, folder, code, boot and kind of terminal."""
    where: tuple[object, ...] = ()
    if sys.stdout is not None and sys.stdout.isatty():
        around = (os.environ.get(name, "") for name in ("COLUMNS", "NO_COLOR", "TERM"))
        where = (*os.get_terminal_size(1), *around)
    words = [code_identity(), _boot(), here, *map(str, where), "", *args]
    name = xxh3_128_digest(os.fsencode("\0".join(words))).hex()
    return f"{root}/.dodo/{FOLDER}/{name}"


def _boot() -> str:
    # As dodo_store.boot, which need not be imported: files that have their old stats after a power
    # cut may hold something else.
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb", buffering=0) as file:
            return file.read(100).decode("ascii", "replace").strip()
    except OSError:
        return ""


def _has_marks(paths: bytes, marks: bytes) -> bool:
    """Whether the paths are as they were.

    The first are asked before the others: those are what every run moves, lock files and the like.
    """
    followed, _, links = paths.partition(b"\0\0")
    names = [*_names(followed)]
    first = _marks(os.stat, names[:FIRST])
    if not marks.startswith(first):
        return False
    return first + _marks(os.stat, names[FIRST:]) + _marks(os.lstat, _names(links)) == marks


def _marks(stat: Callable[[str], os.stat_result], names: Iterable[str]) -> bytes:
    """How the paths are now."""
    make = _MARK.pack
    stats = map(stat, names)
    return b"".join([make(s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino) for s in stats])


def _names(joined: bytes) -> Iterable[str]:
    return os.fsdecode(joined).split("\0") if joined else ()
