"""Pages: the HTML files that `exp show --html` and `plots` write."""

from __future__ import annotations

import os

from dodo_exp.cli import options
from dodo_exp.cli.render import Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def table(project: Any, shown: Any, path: str, *, opens: bool) -> Report:
    """Write the page of a table; *path* is where the user wants it.

    Raises:
        UsageError: another file is there.
    """
    from dodo_exp.exps import page

    return write(project, page.of_table(project, shown), os.path.abspath(path), opens=opens)


def write(project: Any, text: str, path: str, *, opens: bool) -> Report:
    """Write a page, all or nothing; not in the place of a file that is no page of ours.

    Raises:
        UsageError
    """
    from dodo_exp.cli import tell
    from dodo_exp.errors import UsageError
    from dodo_exp.exps.page import MARK
    from dodo_store import durable

    if os.path.lexists(path):
        is_ours = False
        if os.path.isfile(path):
            with open(path, "rb") as file:
                is_ours = MARK.encode() in file.read(200)
        if not is_ours:
            raise UsageError(f"{path} is there already, and no page of dodo's", "choose another")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    data = text.encode()
    durable.replace(path, data, mode=0o644)
    inside = os.path.relpath(path, project.root)
    if not inside.startswith(("..", ".dodo/")):
        tell.line(f"note: snapshots will have {inside} in them, unless .dodoignore names it")
    url = f"file://{path}"
    if opens:
        import webbrowser

        webbrowser.open(url)
    return Report({"file": path, "bytes": len(data)}, f"{url} ({options.size(len(data))})\n")
