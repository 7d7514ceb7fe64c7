"""Doctor: what a machine and its file system offer, tried out rather than believed."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata

from dodo_store.named import Named
from dodo_store.pool import FICLONE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Finding(Named):
    """One thing that was looked at: how it is, and what it means where it is not as it could be."""

    area: str
    what: str
    found: str
    level: str = "ok"
    """ok, note (slower, or larger) or problem."""
    means: str = ""


PARTS = ("doit", "click", "filelock", "msgpack", "pyyaml", "tomlkit", "wcwidth", "xxhash")
NETWORKED = ("nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p", "lustre", "gpfs", "beegfs", "ceph")


def software(version: str) -> list[Finding]:
    """What is installed."""
    python = f"{platform.python_version()} ({sys.executable})"
    parts = ", ".join(f"{name} {_version(name)}" for name in PARTS)
    return [
        Finding("software", "dodo", version),
        Finding("software", "Python", python),
        Finding("software", "platform", f"{platform.system()} {platform.release()}"),
        Finding("software", "libraries", parts),
        *(_tool(name, why) for name, why in TOOLS.items()),
    ]


TOOLS = {
    "git": "`dodo exp branch --git` needs it; nothing else does",
    "nvidia-smi": "GPUs are not found by themselves: `dodo config resources.gpu N` says how many",
}


def _tool(name: str, why: str) -> Finding:
    path = shutil.which(name)
    return Finding("software", name, path or "not there", "ok" if path else "note", why)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "?"


def machine() -> list[Finding]:
    """What there is to share among stages."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return [
        Finding("machine", "processors", f"{usable} of {os.cpu_count()}"),
        Finding("machine", "memory", f"{memory / (1 << 30):.1f} GiB"),
    ]


def file_system(folder: str, size: Callable[[int], str]) -> list[Finding]:
    """Try out the file system that *folder* is on, in a folder of our own that goes again."""
    kind = _kind(folder)
    is_far = kind in NETWORKED or kind.startswith("fuse")
    found = [Finding("file system", "folder", folder)]
    means = "over a network: locks hold only if the server passes them on" if is_far else ""
    found.append(Finding("file system", "kind", kind, "note" if is_far else "ok", means))
    free = os.statvfs(folder)
    left = free.f_bavail * free.f_frsize
    low = left < 1 << 30
    found.append(
        Finding(
            "file system",
            "free",
            size(left),
            "problem" if low else "ok",
            "`dodo gc` gives space back" if low else "",
        )
    )
    try:
        with tempfile.TemporaryDirectory(prefix=".dodo-doctor-", dir=folder) as place:
            found += _tried(place)
    except OSError as error:
        text = error.strerror or str(error)
        means = "experiments cannot be kept here; reading works"
        found.append(Finding("file system", "writable", f"no ({text})", "problem", means))
    return found


def _tried(place: str) -> list[Finding]:
    source, target = f"{place}/source", f"{place}/target"
    with open(source, "wb") as file:
        file.write(b"x" * 4096)

    def yes(what: str, attempt: Callable[[], object], level: str, means: str) -> Finding:
        try:
            worked = attempt() is not False
        except (OSError, NotImplementedError):
            worked = False
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(target)
        row = Finding("file system", what, "yes" if worked else "no")
        return row if worked else row._replace(level=level, means=means)

    return [
        Finding("file system", "writable", "yes"),
        yes(
            "shares blocks (reflink)",
            lambda: _clone(source, target),
            "note",
            "copies take space and time; `dodo config store.link hardlink` saves both",
        ),
        yes("hard links", lambda: os.link(source, target), "note", "link = hardlink copies here"),
        yes(
            "symbolic links",
            lambda: os.symlink(source, target),
            "note",
            "outputs that are links cannot be brought back",
        ),
        yes(
            "locks between processes (flock)",
            lambda: _excludes(source),
            "problem",
            "two commands at once can harm each other: run one at a time",
        ),
        yes(
            "tells A from a",
            lambda: not os.path.exists(f"{place}/SOURCE"),
            "note",
            "paths that differ only in case are one file",
        ),
        yes(
            "executable files",
            lambda: _runs(target),
            "note",
            "mounted noexec, or without modes: scripts here must be started by their interpreter",
        ),
        yes(
            "fine time stamps",
            lambda: _keeps_nanoseconds(source),
            "note",
            "files that were changed a moment ago are read again to be sure",
        ),
    ]


def _clone(source: str, target: str) -> None:
    import fcntl

    with open(source, "rb") as read, open(target, "wb") as write:
        fcntl.ioctl(write, FICLONE, read.fileno())


def _excludes(path: str) -> bool:
    """Whether a lock that we hold keeps another process out."""
    import fcntl

    with open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        again = "import fcntl, sys; fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX | fcntl.LOCK_NB)"
        done = subprocess.run([sys.executable, "-c", again, path], capture_output=True, check=False)
        return done.returncode != 0


def _keeps_nanoseconds(path: str) -> bool:
    os.utime(path, ns=(1, 1))
    return os.stat(path).st_mtime_ns == 1


def _runs(path: str) -> bool:
    with open(path, "w", encoding="ascii") as file:
        file.write("#!/bin/sh\nexit 0\n")
    os.chmod(path, 0o700)
    return subprocess.run([path], check=False).returncode == 0


def _kind(folder: str) -> str:
    """The type of the file system, as mounted."""
    best, kind = "", "unknown"
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="replace") as file:
            rows = [line.split() for line in file]
    except OSError:
        return kind
    real = os.path.realpath(folder)
    for row in rows:
        point = row[1].encode().decode("unicode_escape") if "\\" in row[1] else row[1]
        if (real == point or real.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
            best, kind = point, row[2]
    return kind
