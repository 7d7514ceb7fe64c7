"""Tag: what every process that a run has started carries in its environment."""

from __future__ import annotations

import contextlib
import os

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
