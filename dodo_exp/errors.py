"""Everything that can go wrong for a user, with the exit code it ends in.

DodoError
├── UsageError   2  words on the command line
│   └── BadInput 2  a file the user wrote; the message begins with file:line
├── NoProject    3  no dvc.yaml here or above
├── Busy         4  another command holds the workspace
├── Damage       5  the store is not what it was
├── Failure      1  the environment: a full disk, a folder that cannot be written
│   ├── NoRoom   1
│   └── StageFailed 1
└── Stopped      128 + signal

Messages are lower case, quote names, start with the place and have no full stop. Anything that is
not a DodoError (or dodo_store.errors.StoreError) is a bug and keeps its traceback.
"""

from __future__ import annotations

import errno
from contextlib import contextmanager

from dodo_store.errors import StoreError
from dodo_store.named import Named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Location(Named):
    """A place in a file the user wrote; lines and columns count from 1, no column is 0."""

    file: str
    line: int
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" + (f":{self.column}" if self.column else "")


class DodoError(Exception):
    """A failure to be told in one line, and a hint what to do about it in another."""

    code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(DodoError):
    """The command line asks for something that cannot be."""

    code = 2


class BadInput(UsageError):
    """A file that the user wrote cannot be used as it is; `others` is what else is wrong."""

    def __init__(self, at: Location | str, message: str, hint: str | None = None) -> None:
        super().__init__(f"{at}: {message}", hint)
        self.at = at
        self.others: list[BadInput] = []


class LeavesRoot(BadInput):
    """A path in a dvc.yaml leads outside the project; `path` is where to, absolute.

    `outside` says how a file outside can be named all the same, if it can.
    """

    def __init__(self, at: Location | str, message: str, path: str, outside: str = "") -> None:
        super().__init__(at, message, outside or None)
        self.path = path
        self.outside = outside


class Faults:
    """Collects faults, so that a user sees all of them at once.

    As a context manager it catches a BadInput and lets what follows the block go on.
    """

    def __init__(self) -> None:
        self._found: dict[str, BadInput] = {}

    def __enter__(self) -> Faults:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, BadInput):
            return False
        self.add(error)
        return True

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[BadInput]:
        return iter(self._found.values())

    def add(self, error: BadInput) -> None:
        """Note a fault and those that came with it, each once."""
        for each in (error, *error.others):
            self._found.setdefault(str(each), each)

    def tell(self) -> None:
        """Raise what was found, in order of place, if anything.

        Raises:
            BadInput
        """
        if self._found:
            first, *others = sorted(self._found.values(), key=_place)
            first.others = others
            raise first


def _place(fault: BadInput) -> tuple[str, int, int]:
    return fault.at if isinstance(fault.at, Location) else (fault.at, 0, 0)


MANY_WORDS = 2000
"""Above so many known words only those of like length and first letter are compared."""


class NoProject(DodoError):
    """There is nothing to work on in this folder or above it."""

    code = 3


class Busy(DodoError):
    """Another command holds what this one needs."""

    code = 4


class Damage(DodoError):
    """The store is damaged in a way that cannot be worked around."""

    code = 5


class Failure(DodoError):
    """The environment refuses: no space, no permission, no such command."""


class NoRoom(Failure):
    """The disk that holds the project is full, over its quota, or read-only."""


class StageFailed(Failure):
    """A stage's command failed, or did not do what the stage promises."""


class Stopped(DodoError):
    """A signal ended the run."""

    def __init__(self, signal: int, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.code = 128 + signal


NO_THREAD = "can't start new thread"
"""What Python's RuntimeError says."""


def is_process_limit(error: BaseException) -> bool:
    """Whether an error says that no process or thread can be started."""
    if isinstance(error, OSError):
        return error.errno == errno.EAGAIN and not error.filename
    return isinstance(error, RuntimeError) and str(error) == NO_THREAD


@contextmanager
def starting() -> Iterator[None]:
    """Start processes or threads in the block; where none can be, say which limit it is.

    Raises:
        Failure
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        if is_process_limit(error):
            raise process_limit() from None
        raise


def process_limit() -> Failure:
    """No process or thread can be started: which limits there are, and what helps."""
    import resource

    found = []
    limit = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    if limit != resource.RLIM_INFINITY:
        found.append(f"{limit} for this user (`ulimit -u`)")
    most = _most_of_cgroup()
    if most:
        found.append(f"{most} for this container or service (pids.max)")
    text = f": at most {', '.join(found)}" if found else ""
    return Failure(
        f"no more processes or threads can be started{text}",
        "end other processes, use a smaller -j, or raise the limit",
    )


def _most_of_cgroup() -> str:
    """How many processes our control group may have; "" for no limit or none known."""
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            path = next((line[3:].strip() for line in file if line.startswith("0::")), "")
        with open(f"/sys/fs/cgroup{path}/pids.max", encoding="ascii") as file:
            text = file.read(40).strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return "" if text == "max" else text


def in_words(error: Exception) -> str:
    """What went wrong, in a line, with the path that it went wrong at."""
    if isinstance(error, StoreError):
        return f"{error.path}: {error}"
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}"
    return str(error)


def did_you_mean(
    name: str, known: Iterable[str], what: str = "known", cutoff: float = 0.6
) -> str | None:
    """A hint that names the nearest known word, or the few there are."""
    from difflib import get_close_matches

    words = sorted(set(known) - {""})
    if len(words) > MANY_WORDS:
        near = [w for w in words if w[:1] == name[:1] and abs(len(w) - len(name)) < 4]
        words = near[:MANY_WORDS]
    close = get_close_matches(name, words, n=1, cutoff=cutoff)
    if close:
        return f"did you mean {close[0]!r}?"
    if 0 < len(words) <= 12:
        return f"{what}: {', '.join(words)}"
    return None
