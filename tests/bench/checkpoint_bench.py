"""Measure what a checkpoint costs the training: a model of 1 MiB, and one of which little changes.

Prints medians, with the least and the most. --large says in MiB how large the second model is;
--folder where the project is made, --mount of which file systems one is made for it (root only).
Nothing here is asserted: see tests/ for that.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DODO = [sys.executable, "-m", "dodo_exp"]
PIPELINE = """\
stages:
  train:
    cmd: {python} train.py
    deps: [train.py]
    outs:
      - model.bin: {{checkpoint: true}}
    metrics:
      - m.json: {{cache: false}}
"""
TRAIN = """\
import json, os, sys, time
from dodo_exp import make_checkpoint
MIB = 1 << 20
size, steps = {size} * MIB, {steps}
fd = os.open("model.bin", os.O_RDWR | os.O_CREAT)
for i in range(size // MIB):
    os.pwrite(fd, os.urandom(MIB), i * MIB)
times, hashing = [], []
for step in range(steps + 1):
    os.pwrite(fd, os.urandom(MIB), (step * 37 % (size // MIB)) * MIB)
    json.dump({{"step": step}}, open("m.json", "w"))
    started = time.perf_counter()
    make_checkpoint()
    times.append(time.perf_counter() - started)
    try:
        from xxhash import xxh3_128
    except ImportError:
        continue
    hasher, at, started = xxh3_128(), 0, time.perf_counter()
    while part := os.pread(fd, MIB, at):
        hasher.update(part)
        at += len(part)
    hashing.append(time.perf_counter() - started)
json.dump({{"times": times, "hashing": hashing}}, open({out!r}, "w"))
"""


def words(seconds: list[float]) -> str:
    """Median, least and most, in milliseconds."""
    each = [1000 * one for one in seconds]
    return f"{statistics.median(each):8.1f} ms ({min(each):.1f} to {max(each):.1f}, n={len(each)})"


def used(folder: Path) -> int:
    """Bytes in use on the file system."""
    os.sync()
    found = os.statvfs(folder)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def project(folder: Path, size: int, steps: int) -> Path:
    """A training that changes 1 MiB of its model at each step; returns where its times go."""
    folder.mkdir(parents=True)
    out = folder / "times"
    (folder / "dvc.yaml").write_text(PIPELINE.format(python=sys.executable))
    (folder / "train.py").write_text(TRAIN.format(size=size, steps=steps, out=str(out)))
    return out


def measure(folder: Path, size: int, steps: int) -> None:
    """Run it, and print what the calls took beyond hashing, and what the store has grown by."""
    out = project(folder, size, steps)
    before = used(folder)
    subprocess.run([*DODO, "exp", "run", "-q"], cwd=folder, check=True, capture_output=True)
    grown = used(folder) - before - (size << 20)
    found = json.loads(out.read_text())
    # The first step takes the whole model in; the others what has changed.
    times, hashing = found["times"][1:], found["hashing"][1:]
    beyond = [a - b for a, b in zip(times, hashing, strict=True)]
    print(f"  call            {words(times)}; the first {1000 * found['times'][0]:.0f} ms")
    print(f"  hashing alone   {words(hashing)}")
    print(f"  beyond hashing  {words(beyond)}")
    print(f"  stored          {grown / (1 << 20):,.0f} MiB in {steps + 1} steps of {size} MiB")


@contextmanager
def mounted(kind: str, size: int) -> Iterator[Path]:
    """A file system of this kind in a file; MiB."""
    with tempfile.TemporaryDirectory() as top:
        image, folder = Path(top) / "image", Path(top) / "mounted"
        with image.open("wb") as file:
            file.truncate(size << 20)
        folder.mkdir()
        subprocess.run([f"mkfs.{kind}", "-q", str(image)], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "loop", image, folder], check=True)
        try:
            yield folder
        finally:
            subprocess.run(["umount", folder], check=True)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", type=int, default=256)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--mount", nargs="*", default=[])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as top:
        print("a model of 1 MiB, all of which changes")
        measure(Path(top) / "small", 1, given.steps)
        print(f"a model of {given.large} MiB, of which 1 MiB changes")
        measure(Path(top) / "large", given.large, 5)
    for kind in given.mount:
        with mounted(kind, given.large * 10 + 500) as folder:
            print(f"the same on {kind}")
            measure(folder / "large", given.large, 5)


if __name__ == "__main__":
    main()
