"""The HTML page, driven in Chromium: `make page`. DODO_SHOTS names a folder for screenshots."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_plots import PIPELINE, SCRIPT
from tests.space import Space

pytestmark = pytest.mark.browser
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        there = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield there
        there.close()


class Tab:
    """A page that is open; whatever it complains of fails the test."""

    def __init__(self, browser: Any, path: Path) -> None:
        self.page = browser.new_page(viewport={"width": 1280, "height": 760})
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._asked)
        self.page.goto(f"file://{path}")

    def _asked(self, request: Any) -> None:
        if not request.url.startswith(("file:", "data:")):
            self.complaints.append(request.url)

    def open(self, name: str) -> None:
        """Show one of the page's views."""
        self.page.click(f"#tab-{name}")
        self.page.wait_for_timeout(400)

    def names(self) -> list[str]:
        """The experiments in the table, in order, as far as they are in sight."""
        found: list[str] = self.page.eval_on_selector_all(
            "tbody td.name", "cells => cells.map(cell => cell.textContent)"
        )
        return found

    def settles(self, read: Callable[[], Any], wanted: Any) -> None:
        """Within a few seconds *read* gives what is wanted: the page draws when it has time."""
        until = time.monotonic() + 10
        while (found := read()) != wanted and time.monotonic() < until:
            self.page.wait_for_timeout(50)
        assert found == wanted

    def shot(self, name: str) -> None:
        """A screenshot, if somebody wants to look."""
        if folder := os.environ.get("DODO_SHOTS"):
            self.page.screenshot(path=f"{folder}/{name}.png")


@pytest.fixture
def tab(space: Space, browser: Any) -> Iterator[Tab]:
    """The page of a few experiments."""
    space.write(
        "dvc.yaml",
        PIPELINE.replace(
            "plots:\n      - curve", "metrics: [m.json: {cache: false}]\n    plots:\n      - curve"
        ),
    )
    space.write("train.sh", SCRIPT + 'echo "{\\"acc\\": $lr}" > m.json\n')
    space.write("params.yaml", "lr: 0.1\nkind: a\nseed: 1\n")
    for i, rate in enumerate((0.5, 0.1, 0.9, 0.3)):
        space.exp("-n", f"e{i}", "-S", f"lr={rate}", "-S", f"kind={'ab'[i % 2]}")
    space.dodo("exp", "show", "--html", "page.html")
    made = Tab(browser, space.root / "page.html")
    yield made
    assert made.complaints == []
    made.page.close()


def test_the_table_sorts_filters_and_hides(tab: Tab) -> None:
    assert tab.names() == ["workspace", "e3", "e2", "e1", "e0"]
    head = tab.page.locator("thead button", has_text=re.compile("^acc"))
    head.click()
    tab.settles(lambda: tab.names()[0], "e2")
    head.click()
    tab.settles(lambda: tab.names()[0], "e1")
    tab.page.fill("#query", "lr > 0.2 and kind is a")
    tab.settles(lambda: sorted(tab.names()), ["e0", "e2"])
    tab.settles(lambda: tab.page.inner_text("#count"), "2 of 5 rows")
    tab.page.fill("#query", "lr >")
    tab.settles(lambda: tab.page.inner_text("#fault"), "a column or a value expected")
    tab.page.fill("#query", "WORKSP")
    tab.settles(tab.names, ["workspace"])
    tab.page.fill("#query", "")
    tab.page.click("#columns")
    heads = "heads => heads.map(head => head.textContent)"
    assert "seed" not in tab.page.eval_on_selector_all("thead th", heads)
    tab.page.click("#columns-menu label:has-text('seed')")
    assert "seed" in tab.page.eval_on_selector_all("thead th", heads)
    tab.shot("table")


def test_two_chosen_ones_are_drawn_over_each_other(tab: Tab) -> None:
    for name in ("e1", "e2"):
        tab.page.check(f"input[aria-label='choose {name}']")
    assert tab.page.inner_text("#chosen") == "2 chosen"
    tab.open("curves")
    tab.settles(lambda: tab.page.locator("#charts canvas").count(), 4)
    pressed = "#curves .chip[aria-pressed='true']"
    assert tab.page.locator(pressed).all_inner_texts() == ["e2", "e1"]
    tab.shot("curves")
    tab.page.click("#curves .chip:has-text('e1')")
    tab.settles(lambda: tab.page.locator(pressed).all_inner_texts(), ["e2"])


@pytest.mark.parametrize("name", ["parallel", "scatter"])
def test_columns_are_drawn_against_each_other(tab: Tab, name: str) -> None:
    tab.open(name)
    canvas = tab.page.locator(f"#{name}-plane canvas")
    tab.settles(canvas.count, 1)
    tab.settles(lambda: _is_painted(canvas), True)
    tab.page.select_option(f"#{name}-color", label="kind")
    tab.settles(canvas.count, 1)
    assert tab.page.locator(".fault:visible").all_inner_texts() in ([], [""])
    tab.shot(name)


def _is_painted(canvas: Any) -> bool:
    code = "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(x => x)"
    return bool(canvas.evaluate(code))


def test_images_and_the_pipeline(tab: Tab) -> None:
    tab.open("images")
    assert tab.page.locator("#pictures img").count() == 5
    tab.open("dag")
    assert tab.page.locator("svg.dag text").all_text_contents() == ["train"]


def test_every_template_is_drawn(space: Space, browser: Any) -> None:
    space.write("dvc.yaml", PIPELINE)
    space.write("train.sh", SCRIPT)
    space.write("params.yaml", "lr: 0.1\n")
    space.exp("-n", "one")
    for template in space.dodo("plots", "templates").out.split():
        space.dodo(
            "plots", "diff", "one", "--targets", "both", "-t", template, "-o", f"{template}.html"
        )
        there = Tab(browser, space.root / f"{template}.html")
        there.settles(there.page.locator("#charts canvas").count, 1)
        canvas = there.page.locator("#charts canvas").first
        there.settles(partial(_is_painted, canvas), True)
        assert there.complaints == [], template
        there.page.close()


def test_five_thousand_rows_stay_usable(space: Space, browser: Any) -> None:
    space.three_stages()
    space.exp("-n", "one")
    space.dodo("exp", "show", "--html", "page.html")
    page = (space.root / "page.html").read_text()
    found = re.search(r'id="data">(.*?)</script>', page, re.S)
    assert found is not None
    data = json.loads(found[1])
    (row,) = (row for row in data["rows"] if row["name"] == "one")
    data["columns"] = [
        {"kind": "param", "file": "p", "name": f"p{i}", "header": f"p{i}"} for i in range(50)
    ]
    data["rows"] = [
        {**row, "name": f"e{i}", "values": [(i * 7919 + k * 31) % 1000 / 7 for k in range(50)]}
        for i in range(5000)
    ]  # fmt: skip
    large = space.root / "large.html"
    large.write_text(page.replace(found[1], json.dumps(data)))
    tab = Tab(browser, large)
    took = tab.page.evaluate(
        """() => [5, 6, 7].map((i) => {
            const start = performance.now();
            document.querySelectorAll("thead button")[i].click();
            document.body.offsetHeight;
            return performance.now() - start;
        })"""
    )
    assert len(tab.names()) < 100  # only those in sight are in the document
    assert tab.page.inner_text("#count") == "5000 rows"
    print(f"sorting 5,000 rows of 50 columns: {sorted(took)[1]:.0f} ms")
    assert sorted(took)[1] < 1000  # 20 to 40 ms on an idle machine
    assert tab.complaints == []
