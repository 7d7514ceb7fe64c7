"""`dodo freeze`"""

from __future__ import annotations

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Report


@declare.command("freeze")
@options.some_stages
def command(targets: tuple[str, ...]) -> Report:
    """Let stages keep what they have made: whatever changes, they are not run.

    Writes `frozen: true` to dvc.yaml. Outputs that are missing come back from the store; `dodo
    unfreeze` lets the stages run again.
    """
    from dodo_exp.cli import tell
    from dodo_exp.exps import author
    from dodo_exp.project import Project

    changed = author.freeze(
        Project.find(), targets, options.command_line(), tell.Progress(), frozen=True
    )
    others = [name for name in dict.fromkeys(targets) if name not in changed]
    text = f"Froze {', '.join(changed)}\n" if changed else ""
    if others:
        text += f"Frozen already: {', '.join(others)}\n"
    return Report({"changed": changed}, text)
