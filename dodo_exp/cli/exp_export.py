"""`dodo exp export`"""

from __future__ import annotations

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Report


@declare.command("export")
@declare.argument("file")
@declare.argument("names", nargs=-1, shell_complete=options.complete_kept)
@declare.option("-f", "--force", is_flag=True, help="Replace FILE if it is there.")
@options.as_json
def command(file: str, names: tuple[str, ...], force: bool, as_json: bool) -> Report:
    """Write experiments with all their files into one FILE.

    Without NAMES every experiment and snapshot; FILE may be - for standard output. Every byte is
    checked on its way. `dodo exp import FILE` reads it, in any project.
    """
    from dodo_exp.cli import tell
    from dodo_exp.exps.transfer import send
    from dodo_exp.project import Project

    sent = send(Project.find(), names, file, tell.Bytes("exporting"), force=force)
    if file == "-":
        tell.line(f"sha256 {sent.sha256}")
        return Report()
    if sent.is_inside:
        tell.warning(f"{file} lies in the project: what is kept from here on holds it, too")
    what = f"{len(sent.names)} experiments" if len(sent.names) != 1 else f"{sent.names[0]!r}"
    text = f"Exported {what} to {file}: {options.size(sent.bytes)}\nsha256 {sent.sha256}\n"
    data = {"experiments": sent.names, "bytes": sent.bytes, "sha256": sent.sha256}
    return Report(data, text, form="json" if as_json else "text")
