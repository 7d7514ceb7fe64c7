"""`dodo exp list`"""

from __future__ import annotations

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Grid, Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@declare.command("list")
@declare.option("--name-only", is_flag=True, help="Print names, one a line.")
@declare.option("--sha-only", "--id-only", is_flag=True, help="Print ids, one a line.")
@declare.option("--filter", metavar="QUERY", help="Only those for which it holds; see `exp show`.")
@declare.option("-n", "--num", type=declare.Integer(0), metavar="N", help="Only the newest N.")
@declare.option("-A", "--all-commits", is_flag=True, hidden=True, help="As DVC's; always so here.")
@options.as_json
def command(**given: Any) -> Report:
    """List experiments that have run, the newest first, with their tags and notes."""
    from dodo_exp.cli.exp_show import created
    from dodo_exp.exps import table, view
    from dodo_exp.project import Project

    wanted = view.View(filter=given["filter"] or "", number=given["num"])
    lines = view.apply(table.kept(Project.find()), wanted).lines
    data = [
        {
            "name": line.name,
            "id": line.id,
            "created": line.created,
            "state": line.state,
            "tags": list(line.tags),
            "note": line.message,
        }
        for line in lines
    ]
    form = "json" if given["as_json"] else "text"
    if given["name_only"] or given["sha_only"]:
        each = [line.name if given["name_only"] else line.id for line in lines]
        return Report(each, "".join(f"{word}\n" for word in each), form=form)
    if not lines:
        is_all = not given["filter"] and given["num"] is None
        words = "There are no experiments." if is_all else "No experiment is meant."
        return Report(data, f"{words}\n", form=form)
    rows = [
        [
            line.name,
            line.id[:7],
            created(line.created),
            line.state or None,
            ", ".join(line.tags) or None,
            line.message or None,
        ]
        for line in lines
    ]
    heads = ["Experiment", "Id", "Created", "State", "Tags", "Note"]
    full = [i for i in range(6) if i < 3 or any(row[i] for row in rows)]
    rows = [[row[i] for i in full] for row in rows]
    return Report(data, "", Grid([heads[i] for i in full], rows, 6), form)
