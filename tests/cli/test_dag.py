"""`dodo dag`."""

from __future__ import annotations

import pytest

from tests.space import Space

DIAMOND = """\
stages:
  load: {cmd: touch a, outs: [a]}
  left: {cmd: touch b, deps: [a], outs: [b]}
  right: {cmd: touch c, deps: [a], outs: [c]}
  join: {cmd: touch d, deps: [b, c], outs: [d]}
  alone: {cmd: touch e, outs: [e]}
"""


@pytest.fixture
def diamond(space: Space) -> Space:
    """load -> left, right -> join; and a stage by itself."""
    space.write("dvc.yaml", DIAMOND)
    return space


def test_as_a_tree(diamond: Space) -> None:
    assert diamond.dodo("dag").out == (
        "load\n"
        "├─ left\n"
        "└─ right\n"
        "   └─ join  (also after left)\n"
        "alone\n"
    )  # fmt: skip


def test_a_target_with_what_it_waits_for(diamond: Space) -> None:
    assert diamond.dodo("dag", "left").out == "load\n└─ left\n"
    assert "join" in diamond.dodo("dag", "left", "--full").out


def test_as_mermaid(diamond: Space) -> None:
    assert diamond.dodo("dag", "--mermaid", "left").out == (
        'flowchart TD\n\tnode1["load"]\n\tnode2["left"]\n\tnode1-->node2\n'
    )
    assert diamond.dodo("dag", "--md", "left").out.startswith("```mermaid\nflowchart TD\n")


def test_as_graphviz(diamond: Space) -> None:
    assert diamond.dodo("dag", "--dot", "left").out == (
        'strict digraph {\n"load";\n"left";\n"load" -> "left";\n}\n'
    )


def test_as_json(diamond: Space) -> None:
    assert diamond.dodo("dag", "--json").json["join"] == ["left", "right"]
