"""Count the instructions of five fixed commands, and compare them with what is on record.

A count does not depend on how busy the machine is, so that one of five per cent more is a change
of ours. valgrind's callgrind counts; what varies with the versions of Python and its libraries is
taken out by counting, in the same way, an interpreter that only imports click and msgpack. The
code is run from a copy that looks installed, through a script of our own: pip's console script
differs from version to version, and a checkout looks at its own source files.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench import experiments, pipelines

RECORD = Path(__file__).with_name("instructions.json")
ROOM = 1.05
RUNS = 3
"""The least of so many counts is taken: a clock that turns over in one costs a few thousand."""

CODE = Path(__file__).parents[2]
SCRIPT = "from dodo_exp.__main__ import main; main()"
DODO = [sys.executable, "-c", SCRIPT]
BASE = [sys.executable, "-c", "import click, msgpack"]
STAGES, EXPERIMENTS = 1000, 100


class Place:
    """A project, and the environment in which nothing but the command decides what it costs."""

    def __init__(self, folder: Path, code: Path) -> None:
        self.folder = folder
        self.env = {
            "HOME": str(folder),
            "PATH": os.defpath,
            "PYTHONHASHSEED": "0",
            "LC_ALL": "C.UTF-8",
            "PYTHONPATH": str(code),
        }

    def run(self, *command: str) -> None:
        """Run it as it is.

        Raises:
            CalledProcessError
        """
        subprocess.run(
            command, cwd=self.folder, env=self.env, check=True, stdout=subprocess.DEVNULL
        )

    def count(self, command: list[str]) -> int:
        """Instructions of the command itself, not of what it starts."""
        words = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *command]
        done = subprocess.run(
            words, cwd=self.folder, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        found = re.search(r"Collected : (\d+)", done.stderr)
        if done.returncode or found is None:
            sys.exit(f"error: {' '.join(command)} exited with {done.returncode}\n{done.stderr}")
        return int(found[1])

    def forget(self) -> None:
        """Let nothing be known of earlier answers."""
        shutil.rmtree(self.folder / ".dodo" / "still", ignore_errors=True)

    def dequeue(self) -> None:
        """Let nothing wait."""
        self.run(*DODO, "queue", "remove", "--all")


def installed(folder: Path) -> Path:
    """Copy the packages side by side, as pip installs them."""
    for package in ("dodo_exp", "store/dodo_store"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(CODE / package, folder / Path(package).name, ignore=ignore)
    return folder


def counts(base: Path) -> dict[str, float]:
    """Every command's instructions as multiples of the bare interpreter's."""
    code = installed(base / "code")
    many, few = Place(base / "stages", code), Place(base / "experiments", code)
    many.folder.mkdir()
    (many.folder / "dvc.yaml").write_text(pipelines.dvc_yaml(STAGES))
    for path in pipelines.inputs(STAGES):
        (many.folder / path).parent.mkdir(exist_ok=True)
        (many.folder / path).write_text(path)
    experiments.many(few.folder)
    few.run(*DODO, "exp", "run", "-q", "-n", "one")
    experiments.fill(few.folder, EXPERIMENTS)
    many.run(*DODO, "exp", "run", "-q")
    time.sleep(0.2)
    many.run(*DODO, "exp", "run", "-q")
    many.run(*DODO, "exp", "run")

    def least(place: Place, command: list[str], before: object = None) -> int:
        found = []
        for _ in range(RUNS):
            if callable(before):
                before()
            found.append(place.count(command))
        return min(found)

    few.run(*DODO, "exp", "show")
    bare = least(few, BASE)
    queue = [*DODO, "exp", "run", "--queue", "-S", "train.p01=7"]
    found = {
        "--version": least(few, [*DODO, "--version"]),
        f"exp run, nothing to do, {STAGES:,} stages": least(many, [*DODO, "exp", "run"]),
        f"status, worked out, {STAGES:,} stages": least(many, [*DODO, "status"], many.forget),
        f"exp show, {EXPERIMENTS} experiments": least(few, [*DODO, "exp", "show"]),
        "exp run --queue": least(few, queue, few.dequeue),
    }
    print(f"{'python that imports click and msgpack':45} {bare / 1e6:9.1f} million")
    for name, count in found.items():
        print(f"{name:45} {count / 1e6:9.1f} million  {count / bare:6.3f}")
    return {name: round(count / bare, 3) for name, count in found.items()}


def compared(found: dict[str, float], known: dict[str, float]) -> list[str]:
    """What has become slower."""
    worse = []
    for name, ratio in found.items():
        was = known.get(name)
        if was is None:
            worse.append(f"{name}: not on record")
        elif ratio > was * ROOM:
            worse.append(f"{name}: {ratio / was - 1:.1%} more instructions than on record")
        elif ratio * ROOM < was:
            print(f"{name}: {1 - ratio / was:.1%} fewer than on record; --record keeps that")
    return worse


def main() -> None:
    """Count, and compare or record."""
    parser = argparse.ArgumentParser(description=__doc__, prog="instructions")
    parser.add_argument("--record", action="store_true", help="take what is counted as the record")
    given = parser.parse_args()
    if shutil.which("valgrind") is None:
        sys.exit("error: valgrind is not installed")
    version = f"{sys.implementation.name} {'.'.join(map(str, sys.version_info[:3]))}"
    records = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    with tempfile.TemporaryDirectory() as name:
        found = counts(Path(name).resolve())
    if given.record:
        records[version] = found
        RECORD.write_text(json.dumps(records, indent=2, sort_keys=True) + "\n")
    elif version not in records:
        print(f"nothing is on record for {version}; --record keeps these")
    elif worse := compared(found, records[version]):
        sys.exit("\n".join(worse))


if __name__ == "__main__":
    main()
