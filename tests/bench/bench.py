"""Measure dodo beside what bounds it: Python that imports click, and the bare shells.

Pairs are run in turn (A B A B ...), so that a machine whose speed drifts slows both. Prints medians
and the ratio pair by pair; `--json` for machines. Nothing here is asserted: see tests/ for that.
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
from pathlib import Path
from typing import Any, NamedTuple

DODO = [sys.executable, "-m", "dodo_exp"]
CLICK = [sys.executable, "-c", "import click"]


class Time(NamedTuple):
    """What one command took, with its children."""

    cpu: float
    wall: float


def chain(folder: Path, stages: int) -> None:
    """Stages that copy a file on and on."""
    lines = ["stages:\n"]
    for i in range(stages):
        lines.append(
            f"  s{i}:\n    cmd: cp f{i} f{i + 1}\n    deps: [f{i}]\n    outs: [f{i + 1}]\n"
        )
    (folder / "dvc.yaml").write_text("".join(lines))
    (folder / "f0").write_text("start\n")


def clean(folder: Path) -> None:
    """Back to before the first run."""
    shutil.rmtree(folder / ".dodo", ignore_errors=True)
    (folder / "dodo.lock").unlink(missing_ok=True)
    for path in folder.glob("f[1-9]*"):
        path.unlink()


def timed(command: list[str], folder: Path) -> Time:
    """Run a command, its output thrown away."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Time(cpu, wall)


def pair(
    name: str, ours: list[str], theirs: list[str], folder: Path, runs: int, *, fresh: bool
) -> dict[str, Any]:
    """Time two commands in turn; with *fresh*, from before the first run each time."""
    times: list[tuple[Time, Time]] = []
    for number in range(runs + 1):
        if fresh:
            clean(folder)
        mine = timed(ours, folder)
        if fresh:
            clean(folder)
        other = timed(theirs, folder)
        if number:
            times.append((mine, other))
    row: dict[str, Any] = {"what": name, "n": runs}
    for i, field in enumerate(Time._fields):
        row[f"ours_{field}"] = statistics.median(a[i] for a, _ in times)
        row[f"theirs_{field}"] = statistics.median(b[i] for _, b in times)
        row[f"ratio_{field}"] = statistics.median(a[i] / b[i] for a, b in times)
    return row


def shells(stages: int) -> list[str]:
    """The same copies by one shell each, as dodo starts them."""
    shell = os.environ.get("SHELL") or "/bin/sh"
    options = ["--noprofile", "--norc"] if shell.endswith("bash") else []
    words = " ".join([shell, *options])
    return ["sh", "-c", f'for i in $(seq 0 {stages - 1}); do {words} -c "cp f$i f$((i+1))"; done']


def main() -> None:
    """Run every workload."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows.append(pair("--version", [*DODO, "--version"], CLICK, folder, given.runs, fresh=False))
        for stages in (10, 100, 1000):
            chain(folder, stages)
            clean(folder)
            subprocess.run([*DODO, "exp", "run", "-q"], cwd=folder, check=True, capture_output=True)
            time.sleep(0.1)
            for verb in (["exp", "run"], ["status"], ["exp", "show"]):
                what = f"{' '.join(verb)}, nothing to do, {stages} stages"
                rows.append(pair(what, [*DODO, *verb], CLICK, folder, given.runs, fresh=False))
            if stages < 1000:
                what = f"first run, {stages} stages, beside bare shells"
                ours = [*DODO, "repro", "-q"]
                runs = max(3, given.runs // 2)
                rows.append(pair(what, ours, shells(stages), folder, runs, fresh=True))
    if given.json:
        print(json.dumps(rows, indent=2))
        return
    print("| what | ours, CPU s | theirs | ratio | ours, wall s | theirs | ratio | n |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for row in rows:
        print(
            "| {what} | {ours_cpu:.3f} | {theirs_cpu:.3f} | {ratio_cpu:.2f} | {ours_wall:.3f}"
            " | {theirs_wall:.3f} | {ratio_wall:.2f} | {n} |".format_map(row)
        )


if __name__ == "__main__":
    main()
