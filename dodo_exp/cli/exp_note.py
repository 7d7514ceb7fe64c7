"""`dodo exp note`"""

from __future__ import annotations

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Report


@declare.command("note")
@declare.argument("name", shell_complete=options.complete_kept)
@declare.argument("text", required=False)
@options.as_json
def command(name: str, text: str | None, as_json: bool) -> Report:
    """Write TEXT as the note of an experiment or a snapshot; without TEXT, print it.

    An empty text removes the note. `exp run -m` and `exp save -m` write one, too.
    """
    from dodo_exp.exps import find, label
    from dodo_exp.project import Project

    project = Project.find()
    form = "json" if as_json else "text"
    if text is None:
        experiment = find.experiment(project.store, name, find.ALL_KINDS)
        words = f"{experiment.message}\n" if experiment.message else "There is no note.\n"
        return Report({"name": experiment.name, "note": experiment.message}, words, form=form)
    meant = label.note(project, name, text, options.command_line())
    words = f"Noted with {meant!r}\n" if text else f"{meant!r} has no note now\n"
    return Report({"name": meant, "note": text}, words, form=form)
