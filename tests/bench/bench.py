"""Measure dodo beside other tools: `make bench`, with `ARGS='--only stages --runs 7'` and so on.

Contenders take turns in every round (A B A B ...), so that a machine whose speed drifts slows all.
Nothing here is asserted but that everybody did the work: see tests/ for that.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench import (
    checkpoints,
    experiments,
    machine,
    places,
    queued,
    report,
    stages,
    startup,
    trees,
)
from tests.bench.contest import Contest, Workload
from tests.bench.peers import OWN, Peers
from tests.bench.runner import Runner

FAMILIES = (startup, stages, experiments, queued, trees, places, checkpoints)
WORKLOADS: list[Workload] = [each for family in FAMILIES for each in family.WORKLOADS]


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="bench")
    parser.add_argument("--only", metavar="REGEX", help="workloads whose name or family matches")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="rounds (5)")
    parser.add_argument(
        "--quick", action="store_true", help="2 rounds, smallest sizes, no peer that takes over 5 s"
    )
    parser.add_argument("--large", action="store_true", help="also the sizes that take long")
    parser.add_argument(
        "--size", type=int, action="append", default=[], metavar="N", help="only this one"
    )
    parser.add_argument("--folder", metavar="DIR", help="where to work; the temporary folder")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help=f"merged into ({OWN}/results.json or quick.json)"
    )
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="the report (beside the JSON file)"
    )
    parser.add_argument("--list", action="store_true", help="say which workloads there are")
    parser.add_argument(
        "--timeout", type=float, default=120, metavar="SECONDS", help="for one command (120)"
    )
    parser.add_argument(
        "--peer", action="append", default=[], metavar="NAME=PROGRAM", help="do not install it"
    )
    parser.add_argument(
        "--report", action="store_true", help="measure nothing; report what was measured before"
    )
    given = parser.parse_args()
    given.json = given.json or OWN / ("quick.json" if given.quick else "results.json")
    given.markdown = given.markdown or given.json.with_suffix(".md")
    return given


def chosen(only: str | None) -> list[Workload]:
    """The workloads to run."""
    wanted = re.compile(only or "")
    return [each for each in WORKLOADS if wanted.search(f"{each.family}: {each.name}")]


def measure(given: argparse.Namespace, workloads: list[Workload]) -> None:
    """Run them, and merge what they took into the file, row by row."""
    peers = Peers(dict(each.split("=", 1) for each in given.peer))
    runs = 2 if given.quick else given.runs
    given.json.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="bench-") as name:
        base = Path(name).resolve()
        contest = Contest(
            Runner(base / "home", given.timeout),
            peers,
            base,
            runs,
            given.quick,
            given.large,
            tuple(given.size),
        )
        found = load(given.json)

        def keep(workload: Workload, size: int, row: dict[str, Any]) -> None:
            key = f"{workload.name} | {size}"
            date = time.strftime("%Y-%m-%d")
            found["rows"][key] = {
                "workload": workload.name,
                "size": size,
                "date": date,
                "rounds": runs,
                "contenders": row,
            }
            found["machine"] = machine.facts(base)
            found["versions"] = {**found.get("versions", {}), **peers.versions()}
            written = given.json.with_suffix(".tmp")
            written.write_text(json.dumps(found, indent=1) + "\n")
            os.replace(written, given.json)
            print(report.line(workload, size, row), flush=True)

        for family in dict.fromkeys(each.family for each in workloads):
            contest.family([each for each in workloads if each.family == family], keep)


def load(path: Path) -> dict[str, Any]:
    """What was measured before."""
    if not path.exists():
        return {"rows": {}}
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def main() -> None:
    """Measure, and report."""
    given = parse()
    workloads = chosen(given.only)
    if given.list:
        for each in workloads:
            sizes = ", ".join(f"{size:,}" for size in each.sizes)
            large = "".join(f", {size:,} (--large)" for size in each.large)
            who = ", ".join(contender.name for contender in each.contenders)
            print(f"{each.family}: {each.name}: {sizes}{large} {each.unit}: {who}")
        return
    if not workloads:
        sys.exit(f"error: no workload matches {given.only!r}")
    if not given.report:
        measure(given, workloads)
    report.write(given.markdown, load(given.json), WORKLOADS)
    print(f"written: {given.json}, {given.markdown}")


if __name__ == "__main__":
    main()
