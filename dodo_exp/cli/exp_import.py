"""`dodo exp import`"""

from __future__ import annotations

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Report


@declare.command("import")
@declare.argument("file")
@declare.option("-f", "--force", is_flag=True, help="Replace other experiments of the same names.")
@options.as_json
def command(file: str, force: bool, as_json: bool) -> Report:
    """Read experiments from a FILE that `dodo exp export` wrote.

    FILE may be - for standard input. Everything in it is checked before anything is kept: a file
    that is damaged, or made to harm, is refused whole. What is here already is not kept twice.
    Nothing in the workspace changes; `dodo exp apply NAME` does that. A folder without a project
    becomes one.
    """
    import os

    from dodo_exp.cli import tell
    from dodo_exp.errors import NoProject
    from dodo_exp.exps.transfer import receive
    from dodo_exp.project import Project

    try:
        project = Project.find()
    except NoProject:
        project = Project(os.getcwd(), "")
    got = receive(
        project,
        file,
        options.command_line(),
        tell.Bytes("importing"),
        force=force,
        listener=tell.Progress(),
    )
    lines = [f"Imported {name!r}" for name in got.new]
    lines += [f"{name!r} is here already" for name in got.known]
    if got.new:
        lines.append(f"{options.size(got.bytes)} new in {options.files(got.objects)}")
    text = "\n".join(lines) + "\n" if lines else "There is no experiment in it.\n"
    return Report(got._asdict(), text, form="json" if as_json else "text")
