"""`dodo exp remove`"""

from __future__ import annotations

import click

from dodo_exp.cli import options
from dodo_exp.cli.render import Report


@click.command("remove")
@click.argument("names", nargs=-1, shell_complete=options.complete_kept)
@click.option("-A", "--all", "everything", is_flag=True, help="Remove every experiment.")
@options.as_json
def command(names: tuple[str, ...], everything: bool, as_json: bool) -> Report:
    """Remove experiments by name.

    All of NAMES or, if one is not there, none. `dodo undo` brings them back; their space is given
    back by `dodo gc`.
    """
    from dodo_exp.errors import UsageError
    from dodo_exp.exps.remove import remove
    from dodo_exp.project import Project

    if bool(names) == everything:
        raise UsageError("name the experiments to remove, or --all of them")
    gone = remove(
        Project.find(), "experiment", names, options.command_line(), everything=everything
    )
    text = f"Removed {', '.join(gone)}\n" if gone else "There are no experiments.\n"
    return Report({"removed": gone}, text, form="json" if as_json else "text")
