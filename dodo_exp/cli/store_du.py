"""`dodo store du`"""

from __future__ import annotations

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Grid, Report


@declare.command("du")
@declare.argument("names", nargs=-1, shell_complete=options.complete_kept)
@options.as_json
def command(names: tuple[str, ...], as_json: bool) -> Report:
    """Say what the store's space is used for.

    For each experiment and snapshot (or only NAMES) the bytes of all its files, each content
    counted once, and of those that nothing else among them has: what `exp remove` and `gc` would
    give back. Then the whole store, by what keeps it. Changes nothing.
    """
    from dodo_exp.exps import look, roots
    from dodo_exp.project import Project

    project = Project.find()
    form = "json" if as_json else "text"
    used = look.usage(project, names)
    rows = [[name, options.size(whole), options.size(own)] for name, whole, own in used.each]
    data = {
        "experiments": [
            {"name": name, "bytes": whole, "own_bytes": own} for name, whole, own in used.each
        ],
        "kept": {kind: {"bytes": size, "files": n} for kind, (size, n) in used.kept.items()},
        "unneeded": {"bytes": used.idle[0], "files": used.idle[1]},
        "leftovers": {"bytes": used.leftovers[0], "files": used.leftovers[1]},
    }
    lines = [
        f"{options.size(size):>8}  kept for {roots.WORDS[kind]}"
        for kind, (size, _) in used.kept.items()
    ]
    lines.append(f"{options.size(used.idle[0]):>8}  needed by nothing (`dodo gc`)")
    lines.append(f"{options.size(used.leftovers[0]):>8}  outputs set aside, damaged files, logs")
    table = Grid(["Name", "Size", "Own"], rows, 3) if rows else None
    return Report(data, "\n".join(lines) + ("\n\n" if rows else "\n"), table, form=form)
