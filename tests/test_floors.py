"""Imports point down only: cli -> exps -> engine -> pipeline -> dodo_store."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = {"dodo_store": 0, "dodo_exp.pipeline": 1, "dodo_exp.engine": 2, "dodo_exp.exps": 3}
BESIDE = tuple(
    f"dodo_exp.{name}" for name in "checkpoint errors events project settings units wording".split()
)
SPEAKING = ("__main__.py", "reaper.py", "crew.py", "doit_plugins.py")
"""Beside the command line: a process's whole life, and what doit prints for us."""
FILES = sorted([*ROOT.glob("dodo_exp/**/*.py"), *ROOT.glob("store/dodo_store/*.py")])


def floor(module: str) -> float:
    """The floor of a module; what stands beside the middle floors may be used from them all."""
    for name, number in FLOORS.items():
        if module == name or module.startswith(name + "."):
            return number
    if module.startswith(BESIDE) or module == "dodo_exp":
        return 0.5
    return 4


def imports(path: Path) -> Iterator[str]:
    """Modules of ours that a file imports, at its top or inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    parts = path.relative_to(ROOT).with_suffix("").parts
    module = ".".join(part for part in parts if part != "store")
    own = 1.5 if module == "dodo_exp.project" else floor(module)
    ours = [name for name in imports(path) if name.startswith(("dodo_exp", "dodo_store"))]
    above = [name for name in ours if floor(name) > own]
    if module != "dodo_exp.__main__":
        assert above == []


def test_only_the_plugin_and_one_module_import_doit_and_one_filelock() -> None:
    users: dict[str, list[str]] = {"doit": [], "filelock": []}
    for path in FILES:
        for name in imports(path):
            if name.split(".")[0] in users and path.name not in users[name.split(".")[0]]:
                users[name.split(".")[0]].append(path.name)
    assert users == {
        "doit": ["doit.py", "doit_plugins.py", "doit_tasks.py"],
        "filelock": ["locks.py"],
    }


def test_only_the_cli_prints_or_exits() -> None:
    for path in FILES:
        if "cli" in path.parts or path.name in (
            "__main__.py",
            "reaper.py",
            "crew.py",
            "forks.py",
            "doit_plugins.py",
        ):
            continue
        called = {
            node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute)
        }
        assert not called & {"print", "exit", "_exit", "echo"}, path
