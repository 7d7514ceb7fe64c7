"""DVCLive: lets it work in a stage without a DVC repository coming into being.

DVCLive asks DVC for the repository it is in. Where there is Git and no `.dvc/` it makes one, and
stages it in the user's index; and it leaves a mark of its progress under `$DVC_ROOT/.dvc/tmp`. So
for as long as the commands of a stage run that uses DVCLive, a `.dvc/` stands at the root which
says that there is no Git (`core.no_scm`), and which Git does not see. It goes when they have ended,
or with the next such run if that was killed. Where the user has a `.dvc/`, nothing is done.

So it is for a stage that keeps checkpoints: who asks for one in DVC's way needs a `.dvc/tmp/`.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from dodo_exp.pipeline.model import Stage

CONFIG = "# made by dodo for the time of a run\n[core]\n    no_scm = true\n    analytics = false\n"
MOST_FILES = 500
MOST_BYTES = 1 << 20

_users: dict[str, int] = {}
_lock = threading.Lock()


@contextmanager
def standing_in(root: str, stage: Stage) -> Iterator[None]:
    """Keep DVCLive content for a block, in which commands of *stage* run."""
    if not stage.has_checkpoints and not uses_it(root, stage):
        yield
        return
    with _lock:
        is_ours = root in _users or _make(f"{root}/.dvc")
        if is_ours:
            _users[root] = _users.get(root, 0) + 1
    if stage.has_checkpoints:
        with suppress(OSError):
            os.makedirs(f"{root}/.dvc/tmp", exist_ok=True)
    try:
        yield
    finally:
        with _lock:
            if is_ours:
                _users[root] -= 1
                if not _users[root]:
                    del _users[root]
                    _remove(f"{root}/.dvc")


def uses_it(root: str, stage: Stage) -> bool:
    """Whether an output, a command or a Python dependency of the stage speaks of DVCLive."""
    if any("dvclive" in text for text in (*stage.cmds, *(out.path for out in stage.outs))):
        return True
    return any(_speaks_of_it(path) for path in _python_files(root, stage))


def _python_files(root: str, stage: Stage) -> Iterator[str]:
    left = MOST_FILES
    for dep in stage.deps:
        path = os.path.join(root, dep)
        if dep.endswith(".py"):
            yield path
        elif os.path.isdir(path):
            for folder, _, names in os.walk(path):
                left -= len(names)
                if left < 0:
                    return
                yield from (f"{folder}/{name}" for name in names if name.endswith(".py"))


def _speaks_of_it(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return b"dvclive" in file.read(MOST_BYTES)
    except OSError:
        return False


def _make(folder: str) -> bool:
    """Make the stand-in; False where there is a `.dvc/` that is not ours, or none can be made."""
    try:
        with open(f"{folder}/config", encoding="utf-8", errors="replace") as file:
            return file.read(1000) == CONFIG
    except FileNotFoundError:
        pass
    except OSError:
        return False
    try:
        if os.path.lexists(folder) and not _is_empty(folder):
            return False
        os.makedirs(folder, exist_ok=True)
        for name, text in ((".gitignore", "*\n"), ("config", CONFIG)):
            with open(f"{folder}/{name}", "w", encoding="utf-8") as file:
                file.write(text)
    except OSError:
        return False
    return True


def _is_empty(folder: str) -> bool:
    """Whether there is nothing but folders in it, and no link."""
    return not os.path.islink(folder) and not any(
        files or any(os.path.islink(f"{place}/{name}") for name in names)
        for place, names, files in os.walk(folder)
    )


def _remove(folder: str) -> None:
    """Take the stand-in away, with what DVC keeps in it for itself; nothing else goes."""
    with suppress(OSError):
        with open(f"{folder}/config", encoding="utf-8", errors="replace") as file:
            is_ours = file.read(1000) == CONFIG
        if not is_ours or os.path.islink(folder) or os.path.islink(f"{folder}/tmp"):
            return  # somebody has made it a repository of their own
        for name in ("config", ".gitignore"):
            with suppress(FileNotFoundError):
                os.unlink(f"{folder}/{name}")
        for place, names, files in os.walk(f"{folder}/tmp", topdown=False):
            for name in files:
                os.unlink(f"{place}/{name}")
            for name in names:
                os.rmdir(f"{place}/{name}")
        for name in ("tmp", "cache", ""):
            with suppress(OSError):
                os.rmdir(f"{folder}/{name}")
