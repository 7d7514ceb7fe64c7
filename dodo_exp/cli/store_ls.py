"""`dodo store ls`"""

from __future__ import annotations

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Grid, Report


@declare.command("ls")
@declare.argument("what", required=False, metavar="[NAME[:PATH]|ID]")
@declare.option("-R", "--recursive", is_flag=True, help="Also what is in sub-folders.")
@options.as_json
def command(what: str | None, recursive: bool, as_json: bool) -> Report:
    """List the files that an experiment or a snapshot keeps.

    Without a name, the experiments and snapshots. Changes nothing.
    """
    from dodo_exp.exps import look
    from dodo_exp.project import Project

    store = Project.find().store
    form = "json" if as_json else "text"
    if what is None:
        kept = look.names(store)
        rows = [[each.kind, each.name, each.oid.hex()[:10]] for each in kept]
        data = [{"kind": e.kind, "name": e.name, "id": e.oid.hex()} for e in kept]
        if not rows:
            return Report(data, "Nothing is kept yet.\n", form=form)
        return Report(data, grid=Grid(["Kind", "Name", "Id"], rows, 3), form=form)
    entries = list(look.entries(store, what, recursive=recursive))
    data_ = [{"kind": e.kind, "size": e.size, "id": e.id, "path": e.path} for e in entries]
    lines = [[e.kind, options.size(e.size), e.id[:10], e.path] for e in entries]
    if not lines:
        return Report(data_, "It is an empty folder.\n", form=form)
    return Report(data_, grid=Grid(["Kind", "Size", "Id", "Path"], lines, 4), form=form)
