"""Results as a page: goals, every figure, and how each contender grows."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench.contest import OURS, Field, Goal, Workload
from tests.bench.peers import Missing, in_own

START, END = "<!-- table -->", "<!-- /table -->"
TOO_FAST = 1.15
"""Above this exponent what should grow with the work grows faster."""

Rows = dict[str, dict[str, Any]]

BARE = f"# Results\n\n{START}\n{END}\n"


def line(workload: Workload, size: int, contenders: dict[str, dict[str, Any]]) -> str:
    """A row for the terminal."""
    each = ", ".join(
        f"{name} {found.get('failed') or seconds(found['wall'])}"
        for name, found in contenders.items()
    )
    what = ", ".join(filter(None, (workload.name, _size(workload, size))))
    return f"{workload.family}: {what}: {each}"


def seconds(value: float) -> str:
    """As many digits as tell something."""
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.4f}"


def amount(value: float, field: Field) -> str:
    """A figure with its unit."""
    return f"{value:.0f} MiB" if field == "peak" else f"{seconds(value)} s"


def write(path: Path, found: dict[str, Any], workloads: list[Workload]) -> None:
    """Put the tables between the page's markers, and plots beside it."""
    page = path.read_text() if path.exists() else BARE
    if START not in page or END not in page:
        sys.exit(f"error: {path} has no {START} and {END}")
    before, after = page.split(START)[0], page.split(END)[1]
    docs = path.absolute().parent.parent
    images = plots(
        docs / "images" if docs.name == "docs" else path.parent, found["rows"], workloads
    )
    text = "\n".join([*_machine(found), "", *_goals(found["rows"], workloads)])
    for family in dict.fromkeys(each.family for each in workloads):
        text += f"\n\n### {family.capitalize()}\n\n"
        if family in images:
            image = os.path.relpath(images[family], path.parent)
            text += f"![seconds over size]({image})\n\n"
        own = [each for each in workloads if each.family == family]
        text += "\n".join(_table(found["rows"], own))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{before}{START}\n{text}\n{END}{after}")


def _machine(found: dict[str, Any]) -> Iterator[str]:
    facts = ", ".join(f"{key}: {value}" for key, value in found.get("machine", {}).items())
    versions = ", ".join(f"{name} {value}" for name, value in found.get("versions", {}).items())
    dates = sorted(row["date"] for row in found["rows"].values())
    rounds = sorted({row["rounds"] for row in found["rows"].values()})
    yield f"- Machine: {facts}"
    yield f"- Versions: {versions}"
    if dates:
        when = " to ".join(dict.fromkeys([dates[0], dates[-1]]))
        yield f"- Measured: {when}, {' or '.join(map(str, rounds))} rounds"


# -- goals ---------------------------------------------------------------------------------


def figure(rows: Rows, workload: str, size: int, contender: str, field: Field) -> float | None:
    """A median; None if it is not there."""
    row = rows.get(f"{workload} | {size}", {"contenders": {}})
    found = row["contenders"].get(contender, {}).get(field)
    return None if found is None else float(found)


def allowed(rows: Rows, workload: Workload, size: int, goal: Goal) -> float | None:
    """The most that a goal allows; None if what it refers to was not measured."""
    total = goal.plus
    for term in goal.terms:
        where = (term.workload or workload.name, term.size or size)
        value = figure(rows, *where, term.contender, goal.field)
        if value is None:
            return None
        total += term.times * value
    return total


def verdict(rows: Rows, workload: Workload, size: int, goal: Goal) -> tuple[str, str, str]:
    """What is allowed, what ours took, and whether it is met."""
    most = allowed(rows, workload, size, goal)
    took = figure(rows, workload.name, size, goal.ours, goal.field)
    words = ["not measured" if each is None else amount(each, goal.field) for each in (most, took)]
    met = "open" if most is None or took is None else "met" if took <= most else "**missed**"
    return words[0], words[1], met


def _goals(rows: Rows, workloads: list[Workload]) -> Iterator[str]:
    yield "| work | size | goal | at most | dodo | |\n|---|---:|---|---:|---:|---|"
    for each, size in _measured(rows, workloads):
        for goal in each.goals(size):
            cells = (each.name, _size(each, size), goal.words, *verdict(rows, each, size, goal))
            yield f"| {' | '.join(cells)} |"


def _measured(rows: Rows, workloads: list[Workload]) -> Iterator[tuple[Workload, int]]:
    for each in workloads:
        for size in sorted(each.sizes + each.large):
            if f"{each.name} | {size}" in rows:
                yield each, size


def _size(workload: Workload, size: int) -> str:
    if not workload.unit:
        return ""
    unit = workload.unit[:-1] if size == 1 and workload.unit.endswith("s") else workload.unit
    return f"{size:,} {unit}{workload.detail.get(size, '')}"


# -- figures -------------------------------------------------------------------------------


def growth(rows: Rows, workload: Workload, size: int, contender: str) -> float | None:
    """The exponent from the size before to this one."""
    smaller = [
        each
        for each in workload.sizes + workload.large
        if each < size and figure(rows, workload.name, each, contender, "wall")
    ]
    now = figure(rows, workload.name, size, contender, "wall")
    if not smaller or not now or not _alike(workload, smaller):
        return None
    before = figure(rows, workload.name, max(smaller), contender, "wall")
    return math.log(now / before) / math.log(size / max(smaller)) if before else None


def _alike(workload: Workload, smaller: list[int]) -> bool:
    """A tree of one file of 2 GiB is no smaller size of a tree of many."""
    return workload.family != "trees" or max(smaller) > 1


def _table(rows: Rows, workloads: list[Workload]) -> Iterator[str]:
    yield "| work | size | | seconds | least to most | CPU | MiB | n | growth | |"
    yield "|---|---:|---|---:|---:|---:|---:|---:|---:|---|"
    for each, size in _measured(rows, workloads):
        what, count = each.name, _size(each, size)
        for name, found in rows[f"{each.name} | {size}"]["contenders"].items():
            if "failed" in found:
                yield f"| {what} | {count} | {name} | {found['failed']} | | | | | | |"
            else:
                exponent = growth(rows, each, size, name)
                notes = [found["note"]] if "note" in found else []
                if name == OURS:
                    notes += [
                        f"{goal.words}: {verdict(rows, each, size, goal)[2]}"
                        for goal in each.goals(size)
                    ]
                    if each.linear and exponent is not None and exponent > TOO_FAST:
                        notes.append("faster than the work")
                cells = [
                    what,
                    count,
                    name,
                    seconds(found["wall"]),
                    f"{seconds(found['least'])} to {seconds(found['most'])}",
                    seconds(found["cpu"]) if found["cpu"] else "",
                    f"{found['peak']:.0f}" if found["peak"] else "",
                    str(found["n"]),
                    "" if exponent is None else f"{exponent:.2f}",
                    "; ".join(notes),
                ]
                yield f"| {' | '.join(cells)} |"
            what = count = ""


# -- plots ---------------------------------------------------------------------------------


def plots(folder: Path, rows: Rows, workloads: list[Workload]) -> dict[str, Path]:
    """Write an image for each family that was measured in several sizes."""
    lines: dict[str, dict[str, dict[str, list[tuple[int, float]]]]] = {}
    for each, size in _measured(rows, workloads):
        for name in rows[f"{each.name} | {size}"]["contenders"]:
            value = figure(rows, each.name, size, name, "wall")
            if value and not (each.family == "trees" and size == 1):
                title = f"{each.name} ({each.unit})"
                panel = lines.setdefault(each.family, {}).setdefault(title, {})
                panel.setdefault(name, []).append((size, value))
    wanted: list[dict[str, Any]] = []
    images: dict[str, Path] = {}
    for family, panels in lines.items():
        several = {
            title: panel
            for title, panel in panels.items()
            if any(len(points) > 1 for points in panel.values())
        }
        if several:
            images[family] = folder / f"growth-{family}.svg"
            wanted.append({"file": str(images[family]), "panels": several})
    if not wanted:
        return {}
    folder.mkdir(parents=True, exist_ok=True)
    script = Path(__file__).with_name("plot.py")
    try:
        words = [in_own("matplotlib"), str(script)]
        subprocess.run(words, input=json.dumps(wanted), text=True, check=True)
    except (Missing, subprocess.CalledProcessError) as error:
        print(f"plots are left out: {error}", file=sys.stderr)
        return {}
    return images
