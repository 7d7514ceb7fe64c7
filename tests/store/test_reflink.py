"""Reflinks: where the file system shares blocks, keeping and restoring a file costs no space."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.kit import Kit

SIZE = 64 << 20


@pytest.fixture(params=["xfs", "btrfs"])
def sharing(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of its own that can share blocks, where we may mount one."""
    kind: str = request.param
    if os.getuid() != 0 or shutil.which(f"mkfs.{kind}") is None:
        pytest.skip(f"no root, or no mkfs.{kind}")
    image, folder = tmp_path / "image", tmp_path / "mounted"
    with image.open("wb") as file:
        file.truncate(512 << 20)
    folder.mkdir()
    made = subprocess.run([f"mkfs.{kind}", "-q", str(image)], capture_output=True)
    if made.returncode != 0:
        pytest.skip(f"mkfs.{kind}: {made.stderr.decode()}")
    mounted = subprocess.run(["mount", "-o", "loop", image, folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"nothing can be mounted here: {mounted.stderr.decode()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def used(folder: Path) -> int:
    """Bytes in use on the file system."""
    os.sync()
    found = os.statvfs(folder)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def test_a_file_is_kept_and_restored_without_a_second_copy(sharing: Path) -> None:
    kit = Kit(sharing)
    (kit.root / "big").write_bytes(os.urandom(SIZE))
    before = used(sharing)
    node = kit.take("big")
    kit.restore(node, "again")
    assert (kit.root / "again").read_bytes() == (kit.root / "big").read_bytes()
    assert used(sharing) - before < SIZE // 8


def test_writing_to_what_shares_blocks_changes_nothing_else(sharing: Path) -> None:
    kit = Kit(sharing)
    (kit.root / "big").write_bytes(os.urandom(SIZE))
    node = kit.take("big")
    kit.restore(node, "again")
    for name in ("big", "again"):
        with (kit.root / name).open("r+b") as file:
            file.write(b"changed")
    assert kit.store.objects.verify(node.oid)
