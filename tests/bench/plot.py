"""Draw seconds over size; run by a Python of its own, which has matplotlib. Reads JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "dodo"  # the same figures make the same file
from matplotlib import pyplot  # noqa: E402


def draw(file: str, panels: dict[str, dict[str, list[tuple[int, float]]]]) -> None:
    """One image, a panel for each workload, a line for each contender."""
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure, grid = pyplot.subplots(
        rows, columns, figsize=(4.2 * columns, 3.4 * rows), squeeze=False, layout="constrained"
    )
    names = sorted({name for panel in panels.values() for name in panel})
    colours = {name: f"C{i % 10}" for i, name in enumerate(n for n in names if n != "dodo")}
    every: list[Any] = list(grid.flat)
    for axes, (title, panel) in zip(every, panels.items(), strict=False):
        for name, points in panel.items():
            colour, width = colours.get(name, "black"), 2.2 if name == "dodo" else 1.2
            axes.loglog(*zip(*points, strict=True), "o-", ms=3, lw=width, color=colour, label=name)
        axes.set_title(title, fontsize=9)
        axes.set_ylabel("seconds", fontsize=8)
        axes.grid(alpha=0.3)
        axes.tick_params(labelsize=8)
        axes.legend(fontsize=7)
    for axes in every[len(panels) :]:
        axes.remove()
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)


if __name__ == "__main__":
    for each in json.load(sys.stdin):
        draw(each["file"], each["panels"])
