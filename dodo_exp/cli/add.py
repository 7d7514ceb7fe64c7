"""`dodo add`"""

from __future__ import annotations

import os

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Report


@declare.command("add")
@declare.argument("paths", nargs=-1, required=True, type=declare.Path())
@declare.option("--forget", "is_over", is_flag=True, help="Keep track of them no longer.")
@options.as_json
def command(paths: tuple[str, ...], is_over: bool, as_json: bool) -> Report:
    """Keep files and folders that no stage makes.

    They go into the store, and dodo.lock names them: `dodo status` says when they have changed,
    `dodo checkout` makes them what they were, and a run brings back what is missing. They are in
    every experiment even if they are ignored. Add them again when they have changed on purpose.
    """
    from dodo_exp.cli import tell
    from dodo_exp.errors import NoProject
    from dodo_exp.exps import data
    from dodo_exp.project import Project

    try:
        project = Project.find()
    except NoProject:
        project = Project(os.getcwd(), "")
    form = "json" if as_json else "text"
    if is_over:
        gone = data.forget(project, paths, options.command_line(), tell.Progress())
        text = f"No longer kept track of: {', '.join(gone)}\n"
        return Report({"forgotten": gone}, text, form=form)
    taken = data.add(project, paths, options.command_line(), tell.Progress())
    lines = [f"Added {path} ({options.size(node.size)})\n" for path, node in taken.items()]
    added = {path: {"digest": node.digest.hex(), "size": node.size} for path, node in taken.items()}
    return Report({"added": added}, "".join(lines), form=form)
