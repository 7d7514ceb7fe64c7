"""`dodo init`"""

from __future__ import annotations

import os

import click

from dodo_exp.cli.render import Report


@click.command("init")
@click.argument("folder", default=".", type=click.Path(file_okay=False))
def command(folder: str) -> Report:
    """Make FOLDER a project of its own.

    Not needed where there is a dvc.yaml: the first command that writes does the same. It settles
    where the project's root is, for example inside a larger repository.
    """
    from dodo_exp.errors import UsageError
    from dodo_exp.project import STATE
    from dodo_store.store import Store

    if not os.path.isdir(folder):
        raise UsageError(f"there is no folder {folder!r}")
    path = os.path.join(os.path.abspath(folder), STATE)
    store = Store(path)
    if store.exists:
        return Report({"root": os.path.dirname(path), "new": False}, "This is a project already.\n")
    store.create()
    has_pipeline = os.path.exists(os.path.join(folder, "dvc.yaml"))
    following = "dodo exp run" if has_pipeline else "dodo stage add --help"
    text = f"Made {os.path.dirname(path)} a project. Next: `{following}`\n"
    return Report({"root": os.path.dirname(path), "new": True}, text)
