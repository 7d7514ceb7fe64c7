"""`dodo unfreeze`"""

from __future__ import annotations

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Report


@declare.command("unfreeze")
@options.some_stages
def command(targets: tuple[str, ...]) -> Report:
    """Let frozen stages run again when something changes.

    Takes `frozen: true` out of dvc.yaml.
    """
    from dodo_exp.cli import tell
    from dodo_exp.exps import author
    from dodo_exp.project import Project

    changed = author.freeze(
        Project.find(), targets, options.command_line(), tell.Progress(), frozen=False
    )
    others = [name for name in dict.fromkeys(targets) if name not in changed]
    text = f"Unfroze {', '.join(changed)}\n" if changed else ""
    if others:
        text += f"Not frozen: {', '.join(others)}\n"
    return Report({"changed": changed}, text)
