"""`dodo exp tag`"""

from __future__ import annotations

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Report


@declare.command("tag")
@declare.argument("tag")
@declare.argument("names", nargs=-1, required=True, shell_complete=options.complete_kept)
@declare.option("-d", "--remove", is_flag=True, help="Take the tag off.")
@options.as_json
def command(tag: str, names: tuple[str, ...], remove: bool, as_json: bool) -> Report:
    """Put the word TAG on experiments or snapshots.

    `dodo exp show --filter "'best' in tags"` finds them again.
    """
    from dodo_exp.exps import label
    from dodo_exp.project import Project

    done = label.tag(Project.find(), names, (tag,), options.command_line(), remove=remove)
    lines = [f"{name}: {', '.join(tags) or 'no tags'}\n" for name, tags in done.items()]
    data = {name: list(tags) for name, tags in done.items()}
    return Report(data, "".join(lines), form="json" if as_json else "text")
