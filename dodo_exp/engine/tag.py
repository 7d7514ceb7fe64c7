"""Tag: marks every process that a run has started; and which processes are below which."""

from __future__ import annotations

import contextlib
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

TAG = "DODO_RUN"
"""Environment variable that marks every process of a run; its value is unique to the run."""

STAGE = "DODO_STAGE"
"""Environment variable that says of which stage a process is."""


def tagged(tag: str, stage: str | None = None) -> list[int]:
    """Processes whose environment carries *tag*, of one stage if that is given.

    On Linux; elsewhere only groups are known.
    """
    wanted = {f"{TAG}={tag}".encode(errors="surrogateescape")}
    if stage is not None:
        wanted.add(f"{STAGE}={stage}".encode(errors="surrogateescape"))
    found = []
    try:
        names = os.listdir("/proc")
    except OSError:
        return []
    for name in names:
        if name.isdecimal() and int(name) != os.getpid():
            with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:
                if wanted <= set(file.read().split(b"\0")):
                    found.append(int(name))
    return found


def descendants(roots: Iterable[int]) -> set[int]:
    """These processes and all below them that have not ended; nothing where there is no /proc."""
    below: dict[int, list[int]] = {}
    alive = set()
    try:
        names = os.listdir("/proc")
    except OSError:
        return set()
    for name in names:
        if name.isdecimal():
            with contextlib.suppress(OSError, ValueError), open(f"/proc/{name}/stat", "rb") as file:
                state, parent = file.read().rpartition(b")")[2].split()[:2]
                below.setdefault(int(parent), []).append(int(name))
                if state not in b"ZX":
                    alive.add(int(name))
    found: set[int] = set()
    todo = list(roots)
    while todo:
        pid = todo.pop()
        if pid not in found:
            found.add(pid)
            todo += below.get(pid, ())
    return found & alive
