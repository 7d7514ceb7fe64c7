"""Measure the store beside cp, xxhsum, git, restic and a bare walk in Python.

All contenders work on copies of the same tree, in turn, on the file system of --folder (fresh ones
give steady figures: ext4 is slow at making files where many were just removed). Contenders that are
not installed are left out. `cp+sync` is a copy that is durable, as what we keep is.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

DODO = [sys.executable, "-m", "dodo_exp"]
ENV = {
    **{k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"},
    "RESTIC_PASSWORD": "x",
    "GIT_CONFIG_COUNT": "2",
    "GIT_CONFIG_KEY_0": "user.name",
    "GIT_CONFIG_VALUE_0": "x",
    "GIT_CONFIG_KEY_1": "user.email",
    "GIT_CONFIG_VALUE_1": "x@x",
}
WALK = """
import os, sys
waiting = [sys.argv[1]]
while waiting:
    with os.scandir(waiting.pop()) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
            else:
                entry.stat(follow_symlinks=False)
"""
TAKE = """
import sys
from dodo_store import snapshot
from dodo_store.pool import Batch
from dodo_store.stamps import Stamps
from dodo_store.store import Store
from dodo_store.walk import Source
root, folder = sys.argv[1:]
store = Store(folder)
store.create()
stamps = Stamps(folder + "/stamps", store.generation)
with store.scratch() as scratch:
    batch = Batch(scratch)
    snapshot.take(store, batch, Source(root, stamps, None, False), "")
    batch.commit()
stamps.save()
"""


class Took(NamedTuple):
    """Seconds, CPU seconds and MiB of memory at most."""

    wall: float
    cpu: float
    peak: float


def run(command: list[str] | str, folder: Path) -> Took:
    """Time one command with its children."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=ENV,
        shell=isinstance(command, str),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    assert status == 0, command
    wall = time.perf_counter() - started
    return Took(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def grow(folder: Path, files: int, size: int) -> None:
    """A tree of random files, a thousand in a folder."""
    for number in range(files):
        if number % 1000 == 0:
            here = folder / str(number // 1000)
            here.mkdir(parents=True)
        with (here / str(number)).open("wb") as file:
            for start in range(0, size, 1 << 24):
                file.write(os.urandom(min(1 << 24, size - start)))


def row(what: str, times: dict[str, list[Took]]) -> dict[str, object]:
    """Medians of every contender."""
    found: dict[str, object] = {"what": what}
    for name, took in times.items():
        found[name] = {
            "wall": round(statistics.median(t.wall for t in took), 4),
            "cpu": round(statistics.median(t.cpu for t in took), 4),
            "peak_mib": round(max(t.peak for t in took), 1),
            "n": len(took),
        }
    return found


def keeping(base: Path, files: int, size: int, runs: int) -> list[dict[str, object]]:
    """A tree kept for the first time, and again with nothing changed."""
    tree = base / "tree"
    grow(tree, files, size)
    time.sleep(0.2)
    os.sync()
    what = f"{files:,} x {size:,} bytes"
    first: dict[str, list[Took]] = {}
    again: dict[str, list[Took]] = {"ours": [], "walk": []}
    hashes = f"find {tree} -type f -print0 | xargs -0 xxhsum -H2"
    copies: dict[str, Callable[[int], list[str] | str]] = {
        "xxhsum": lambda i: hashes,
        "cp": lambda i: ["cp", "-r", str(tree), str(base / f"copy{i}")],
        "sync after cp": lambda i: "sync",
        "ours": lambda i: [sys.executable, "-c", TAKE, str(tree), str(base / f"store{i}")],
    }
    if shutil.which("xxhsum") is None:
        del copies["xxhsum"]
    for number in range(runs):
        for name, command in copies.items():
            first.setdefault(name, []).append(run(command(number), base))
    for _ in range(5):
        again["walk"].append(run([sys.executable, "-c", WALK, str(tree)], base))
        again["ours"].append(
            run([sys.executable, "-c", TAKE, str(tree), str(base / "store0")], base)
        )
    return [row(f"{what}, first", first), row(f"{what}, nothing changed", again)]


def snapshots(base: Path, files: int, size: int) -> list[dict[str, object]]:
    """`dodo snapshot` beside `git add && git commit` and `restic backup`."""
    trees = {name: base / name for name in ("dodo", "git", "restic")}
    grow(trees["dodo"] / "data", files, size)
    (trees["dodo"] / "dvc.yaml").write_text("stages: {a: {cmd: ls, deps: [data]}}\n")
    commands: dict[str, list[str] | str] = {
        "dodo": [*DODO, "snapshot"],
        "git": "git add -A && git commit -q --allow-empty -m x",
        "restic": f"restic backup -q -r {base}/repository data",
    }
    for name in ("git", "restic"):
        if shutil.which(name) is None:
            del commands[name]
        else:
            shutil.copytree(trees["dodo"], trees[name])
    if "git" in commands:
        run("git init -q .", trees["git"])
    if "restic" in commands:
        run(f"restic init -q -r {base}/repository", trees["restic"])
    time.sleep(0.2)
    os.sync()
    rows = []
    for what in ("first", "nothing changed", "one file changed"):
        times: dict[str, list[Took]] = {}
        for number in range(1 if what == "first" else 5):
            if what == "one file changed":
                for name in commands:
                    with (trees[name] / "data/0/7").open("a") as file:
                        file.write(f"{number}\n")
                time.sleep(0.1)
            for name, command in commands.items():
                times.setdefault(name, []).append(run(command, trees[name]))
        rows.append(row(f"snapshot of {files:,} x {size:,} bytes, {what}", times))
    return rows


def main() -> None:
    """Run the workloads and print them as JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", help="where to work; the default is the temporary folder")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--large", action="store_true", help="also 2 GiB and 1,000,000 files")
    given = parser.parse_args()
    sizes = [(10_000, 4096), (100_000, 4096)]
    if given.large:
        sizes += [(1, 2 << 30), (1_000_000, 1024)]
    for files, size in sizes:
        with tempfile.TemporaryDirectory(dir=given.folder) as name:
            for each in keeping(Path(name), files, size, 1 if files * size > 1e9 else given.runs):
                print(json.dumps(each), flush=True)
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        for each in snapshots(Path(name), 10_000, 10_240):
            print(json.dumps(each), flush=True)
    print(json.dumps({"peak_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024}))


if __name__ == "__main__":
    main()
