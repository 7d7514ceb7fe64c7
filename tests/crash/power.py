"""A disk whose power can be cut: a file system in an image file that is copied in one step.

The image lies on an XFS with reflinks, itself in a file. A reflink copy of the image holds what the
inner file system had handed to its disk by that moment, and nothing of what was in the page cache:
what a disk without a volatile cache holds after a power cut.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.space import wait_for

MAKE = {
    "ext4": ["mkfs.ext4", "-q", "-F"],
    "xfs": ["mkfs.xfs", "-q", "-f"],
    "btrfs": ["mkfs.btrfs", "-q", "-f"],
}
BOOT = "/proc/sys/kernel/random/boot_id"


def check_possible(kind: str) -> None:
    """Skip a test where no power can be cut, with the reason."""
    if os.getuid() != 0:
        pytest.skip("only root may mount")
    for tool in ("mkfs.xfs", MAKE[kind][0], "unshare"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not there")


def run(*command: str | Path) -> None:
    """Run a command of the system, which must succeed."""
    ran = subprocess.run([*map(str, command)], capture_output=True, text=True)
    assert ran.returncode == 0, f"{ran.args}: {ran.stderr}"


@contextlib.contextmanager
def outer(base: Path) -> Iterator[Path]:
    """A folder on an XFS with reflinks."""
    image, folder = base / "outer.img", base / "outer"
    folder.mkdir()
    run("truncate", "-s", "16G", image)
    run("mkfs.xfs", "-q", "-m", "reflink=1", image)
    command = ["mount", "-o", "loop", str(image), str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode != 0:
        pytest.skip(f"no loop mount here: {ran.stderr.strip()}")
    try:
        yield folder
    finally:
        run("umount", folder)
        image.unlink()


def loops_of(image: Path) -> str:
    """The loop devices that an image file is at."""
    shown = subprocess.run(["losetup", "-j", image], capture_output=True, text=True, check=True)
    return shown.stdout


class Disk:
    """A file system of one kind at `folder`, of which copies can be taken."""

    def __init__(self, base: Path, kind: str) -> None:
        self.kind = kind
        self.folder = base / "disk"
        self.folder.mkdir(exist_ok=True)
        self.image = base / "disk.img"
        self.image.unlink(missing_ok=True)
        run("truncate", "-s", "400M", self.image)
        run(*MAKE[kind], self.image)

    def copy(self, target: Path) -> None:
        """The disk as it would be had the power gone at this moment."""
        run("cp", "--reflink=always", self.image, target)

    @contextlib.contextmanager
    def mounted(self, image: Path | None = None) -> Iterator[Path]:
        """Mount it, or a copy of it."""
        image = image or self.image
        run("mount", "-o", "loop", image, self.folder)
        try:
            yield self.folder
        finally:
            run("umount", self.folder)
            # A process of `after_a_boot` that is about to end has it mounted still, and of two
            # copies with one name the kernel mounts the first again.
            wait_for(lambda: not loops_of(image), 60)


def after_a_boot(boot: Path, *command: str) -> list[str]:
    """A command line for a process that sees another boot id, read from the file *boot*."""
    script = f'mount --bind {boot} {BOOT} && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, "sh", *command]
