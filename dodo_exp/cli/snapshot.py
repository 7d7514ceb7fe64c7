"""`dodo snapshot`"""

from __future__ import annotations

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Grid, Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@declare.command("snapshot")
@declare.option("-m", "--message", default="", metavar="TEXT", help="A note to keep with it.")
@declare.option("-n", "--name", metavar="NAME", help="Name of the snapshot.")
@declare.option("-f", "--force", is_flag=True, help="Replace a snapshot of the same name.")
@declare.option(
    "-I",
    "--include-untracked",
    "include",
    multiple=True,
    metavar="PATH",
    help="Also keep this path, though it is ignored.",
)
@declare.option("--list", "listed", is_flag=True, help="List the snapshots that are kept.")
@declare.option(
    "--remove", multiple=True, metavar="NAME", help="Remove this one; undo brings it back."
)
@options.no_wait
@options.as_json
def command(**given: Any) -> Report:
    """Keep the workspace as it is under a name.

    Everything that is not ignored, declared dependencies even where they are, and outputs.
    `dodo exp apply NAME` brings it back. Nothing is run, and only what has changed since it was
    last kept is copied.
    """
    from dodo_exp.cli import tell
    from dodo_exp.project import Project

    project = Project.find()
    form = "json" if given["as_json"] else "text"
    if given["listed"]:
        return _list(project, form)
    if given["remove"]:
        from dodo_exp.exps.remove import remove

        names = remove(project, "snapshot", given["remove"], options.command_line())
        return Report({"removed": names}, f"Removed snapshot {', '.join(names)}\n", form=form)
    from dodo_exp.exps.save import save

    kept = save(
        project,
        "snapshot",
        given["name"],
        given["message"],
        options.command_line(),
        tell.Progress(),
        replace=given["force"],
        include=given["include"],
        wait=not given["no_wait"],
    )
    data = {"snapshot": kept.name, "bytes": kept.result.size}
    text = f"Kept snapshot {kept.name!r}: {options.size(kept.result.size)}\n"
    return Report(data, text, form=form)


def _list(project: Any, form: str) -> Report:
    import time

    from dodo_exp.exps import find
    from dodo_exp.exps.record import load

    found = [
        load(project.store, each.oid) for each in find.everything(project.store, ("snapshot",))
    ]
    found.sort(key=lambda each: -each.created)
    data = [
        {"snapshot": e.name, "created": e.created, "bytes": e.result.size, "message": e.message}
        for e in found
    ]
    rows = [
        [
            e.name,
            time.strftime("%Y-%m-%d %H:%M", time.localtime(e.created)),
            options.size(e.result.size),
            e.message,
        ]
        for e in found
    ]
    if not rows:
        return Report(data, "There are no snapshots.\n", form=form)
    return Report(data, grid=Grid(["Snapshot", "Created", "Size", "Message"], rows, 2), form=form)
