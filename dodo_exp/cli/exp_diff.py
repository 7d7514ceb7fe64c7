"""`dodo exp diff`"""

from __future__ import annotations

from dodo_exp.cli import declare, differences
from dodo_exp.cli.render import Grid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dodo_exp.cli.render import Report


@declare.command("diff")
@differences.two
@declare.option("--param-deps", is_flag=True, help="Of params only those that a stage reads.")
@declare.option("--files", is_flag=True, help="Also which files differ.")
@declare.option("-p", "--patch", is_flag=True, help="Also how text files differ, line by line.")
def command(**given: Any) -> Report:
    """Show how the metrics, params and dependencies of A and B differ.

    A and B are experiments, snapshots or `workspace`. A alone is compared with the workspace.
    Without both, the workspace is compared with the experiment that it came from; if nothing has
    changed since, that experiment with its parent. --patch leaves out what stages make.
    """
    from dodo_exp.cli import tell
    from dodo_exp.exps import compare, side
    from dodo_exp.exps.index import DEP, METRIC, PARAM
    from dodo_exp.exps.pair import pair
    from dodo_exp.project import Project

    project = Project.find()
    with_files = given["files"] or given["patch"]
    names = (given["a"], given["b"])
    one, other = pair(project, *names, tell.Progress(), with_files=with_files)
    differences.warn_of_stale(one, other)
    params = side.params_of_stages(project) if given["param_deps"] else None
    found = compare.compare(
        one.contents, other.contents, unchanged=given["unchanged"], params=params
    )
    names = (one.name, other.name)
    data = compare.as_data(found)
    grids: list[Grid | None] = [
        differences.grid(found, kind, names, no_path=given["no_path"], form=given["form"])
        for kind in (METRIC, PARAM, DEP)
    ]
    text = ""
    if given["files"] or given["patch"]:
        changed, text = _files(project, one, other, patch=given["patch"])
        data["files"] = [{"path": each.path, "change": each.how} for each in changed]
        rows = [[each.path, each.how] for each in changed]
        grids.append(Grid(["File", "Change"], rows) if rows else None)
    report = differences.report(grids, data, names, given)
    return report._replace(after="\n" + text if text and report.form == "text" else "")


def _files(project: Any, one: Any, other: Any, *, patch: bool) -> tuple[list[Any], str]:
    from dodo_exp.cli import tell
    from dodo_exp.exps import compare, side

    nodes = side.files(project, one, other, tell.Progress())
    changed = compare.changed_files(project.store, *nodes)
    written = compare.written(project, changed) if patch else []
    text = "".join(compare.patch(project.store, each) for each in written)
    return changed, text
