"""`dodo exp rename`"""

from __future__ import annotations

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Report


@declare.command("rename")
@declare.argument("name", shell_complete=options.complete_kept)
@declare.argument("new")
@declare.option("-f", "--force", is_flag=True, help="Replace what has the new name.")
@options.as_json
def command(name: str, new: str, force: bool, as_json: bool) -> Report:
    """Give an experiment or a snapshot the name NEW.

    `dodo undo` gives the old one back.
    """
    from dodo_exp.exps import label
    from dodo_exp.project import Project

    old = label.rename(Project.find(), name, new, options.command_line(), replace=force)
    text = f"{old!r} is now {new!r}\n" if old != new else f"{old!r} already has this name\n"
    return Report({"old": old, "new": new}, text, form="json" if as_json else "text")
