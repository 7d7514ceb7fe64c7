"""What a checkpoint costs the training: a small model, and a large one of which little changes."""

from __future__ import annotations

import json
import os
import statistics
import sys
from pathlib import Path

from tests.bench.contest import Contender, Entry, Ground, Workload, expect
from tests.bench.peers import ours
from tests.bench.runner import Took

FAMILY = "checkpoints"
STEPS = 10
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
import json, os, time
from dodo_exp import make_checkpoint
from xxhash import xxh3_128
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
    hasher, at, started = xxh3_128(), 0, time.perf_counter()
    while part := os.pread(fd, MIB, at):
        hasher.update(part)
        at += len(part)
    hashing.append(time.perf_counter() - started)
json.dump({{"times": times, "hashing": hashing}}, open({out!r}, "w"))
"""
"""1 MiB of the model changes at each step. Hashing is what has to be done at least."""


def _used(folder: Path) -> int:
    """Bytes in use on the file system."""
    os.sync()
    found = os.statvfs(folder)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def _train(ground: Ground, size: int) -> tuple[Took, Took]:
    """One training; what a step took, and hashing the model after it."""
    folder = ground.new("training")
    folder.mkdir()
    out = folder / "times"
    (folder / "dvc.yaml").write_text(PIPELINE.format(python=sys.executable))
    (folder / "train.py").write_text(TRAIN.format(size=size, steps=STEPS, out=str(out)))
    before = _used(folder)
    took = ground.run([ours(), "exp", "run", "-q"], folder)
    grown = max(0, (_used(folder) - before) / (1 << 20) - size)
    found = json.loads(out.read_text())
    expect(len(found["times"]) == STEPS + 1, "steps are missing")
    # The first step takes the whole model in; the others what has changed.
    walls = [statistics.median(found[key][1:]) for key in ("times", "hashing")]
    note = f"{grown:,.0f} MiB kept in {STEPS + 1} steps; the first {found['times'][0]:.3f} s"
    return took._replace(wall=walls[0], note=note), Took(walls[1])


def step(ground: Ground, size: int) -> Entry:
    """`make_checkpoint()`, as the training sees it; CPU and memory are those of the whole run."""
    last: list[Took] = ground.once(("hashing", size), list)

    def measure(number: int) -> Took:
        took, hashing = _train(ground, size)
        last.append(hashing)
        return took

    return Entry(measure)


def hashing(ground: Ground, size: int) -> Entry:
    """The model hashed in the same training."""
    last: list[Took] = ground.once(("hashing", size), list)
    return Entry(lambda number: last[-1])


WORKLOADS = (
    Workload(
        FAMILY,
        "one step",
        "MiB",
        (1, 256),
        (Contender("dodo", step), Contender("xxh3", hashing)),
    ),
)
