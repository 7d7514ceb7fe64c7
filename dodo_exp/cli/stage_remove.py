"""`dodo stage remove`"""

from __future__ import annotations

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Report


@declare.command("remove")
@options.some_stages
@declare.option("--outs", "with_outs", is_flag=True, help="Remove also what the stages have made.")
@options.as_json
def command(targets: tuple[str, ...], with_outs: bool, as_json: bool) -> Report:
    """Take stages out of dvc.yaml.

    A stage with foreach or matrix goes as a whole. Outputs stay unless --outs is given; `dodo undo`
    brings everything back.
    """
    from dodo_exp.cli import tell
    from dodo_exp.exps import author
    from dodo_exp.project import Project

    done = author.remove(
        Project.find(), targets, options.command_line(), tell.Progress(), with_outs=with_outs
    )
    for stage, path in done.readers:
        tell.warning(f"stage {stage!r} reads {path}, which no stage makes now")
    text = f"Removed {', '.join(done.names)}\n"
    if done.left:
        text += f"Still there: {', '.join(done.left)}\n"
    data = {"removed": done.names, "left": done.left}
    return Report(data, text, form="json" if as_json else "text")
