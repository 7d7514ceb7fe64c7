"""`dodo doctor`"""

from __future__ import annotations

import os

from dodo_exp import __version__
from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@declare.command("doctor")
@options.as_json
def command(as_json: bool) -> Report:
    """Say what this machine and file system offer, and what is wrong.

    What the file system can do is tried out, in a folder that is removed again. Ends with 1 if
    there is a problem. For a report of a fault, send what this prints.
    """
    from dodo_exp.exps import doctor

    found = [*doctor.software(__version__), *doctor.machine()]
    rows, folder = _project()
    found += doctor.file_system(folder, options.size) + rows
    data = [each._asdict() for each in found]
    code = 1 if any(each.level == "problem" for each in found) else 0
    return Report(data, _text(found), form="json" if as_json else "text", code=code)


def _text(found: list[Any]) -> str:
    lines: list[str] = []
    area = ""
    for each in found:
        if each.area != area:
            lines += [*([""] if lines else []), each.area[0].upper() + each.area[1:]]
            area = each.area
        lines.append(f"  {each.what}: {each.found}")
        if each.level != "ok" and each.means:
            lines.append(f"    {each.level}: {each.means}")
    return "\n".join(lines) + "\n"


def _project() -> tuple[list[Any], str]:
    """What there is to say of the project, and the folder whose file system counts."""
    from dodo_exp.engine import journal
    from dodo_exp.errors import DodoError, NoProject
    from dodo_exp.exps.doctor import Finding
    from dodo_exp.project import Project

    def row(what: str, found: str, level: str = "ok", means: str = "") -> Finding:
        return Finding("project", what, found, level, means)

    try:
        project = Project.find()
    except NoProject:
        return [row("root", "none", "note", "no dvc.yaml here or above")], os.getcwd()
    rows = [row("root", project.root)]
    try:
        _ = project.settings
        rows.append(row("settings", "as `dodo config` shows"))
    except DodoError as error:
        rows.append(row("settings", str(error), "problem", error.hint or "mend the file"))
    try:
        from dodo_exp.engine.workspace import Workspace

        count = len(Workspace(project.root, project.store).graph.stages)
        rows.append(row("pipelines", f"{count} stages"))
    except DodoError as error:
        rows.append(row("pipelines", str(error), "problem", error.hint or "mend the file"))
    if not project.store.exists:
        return [*rows, row("store", "none yet: the first run makes it")], project.root
    experiments = len(list(project.store.experiments.names()))
    rows.append(row("store", f"{project.state}, {experiments} experiments"))
    if journal.has_leftovers(project.store):
        means = "a run goes on, or one was killed: the next command puts it in order"
        rows.append(row("journal", "open", "note", means))
    return rows, project.state
