"""`dodo gc`"""

from __future__ import annotations

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Grid, Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Age(declare.Kind):
    """A duration with its unit: 30d, 12h, 1w; or 0."""

    name = "age"

    def read(self, text: str) -> float:
        """In seconds; a bare number is refused, since 30 seconds are seldom what is meant."""
        from dodo_exp import units

        try:
            found = units.parse_duration(text)
        except ValueError as error:
            raise ValueError(f"{error}: an age is written as 30d, 12h, 1w or 0") from None
        if found and text.strip()[-1] in ".0123456789":
            raise ValueError(f"{text!r} has no unit: an age is written as {text}d or {text}h")
        return found


@declare.command("gc")
@declare.option(
    "--keep-last",
    type=declare.Integer(0),
    metavar="N",
    help="Remove experiments but for the last N.",
)
@declare.option(
    "--older-than",
    type=Age(),
    metavar="AGE",
    help="Remove experiments and cached results older than this (30d, 12h).",
)
@declare.option(
    "--keep-steps",
    type=declare.Integer(1),
    metavar="N",
    help="Of each experiment with checkpoints remove the steps but for the last N.",
)
@declare.option(
    "--grace",
    type=Age(),
    default="1d",
    show_default=True,
    metavar="AGE",
    help="Keep what was touched in this time, and the undo history of it; 0 for nothing.",
)
@declare.option("--dry-run", "--dry", "dry", is_flag=True, help="Only say what would be removed.")
@options.as_json
def command(**given: Any) -> Report:  # fmt: skip
    """Give back the space of what nothing needs any more.

    Needed is what experiments, snapshots, the workspace's dodo.lock, running commands, the undo
    history and the run-cache name. With --keep-last and --older-than together, experiments that
    are both go; then the run-cache is kept back to the age, or to the oldest experiment that stays.

    Safe to use while anything runs.
    """
    from dodo_exp.cli import tell
    from dodo_exp.exps import roots
    from dodo_exp.exps.collect import Policy, collect
    from dodo_exp.project import Project

    policy = Policy(
        given["keep_last"], given["keep_steps"], given["older_than"], given["grace"], given["dry"]
    )
    done = collect(Project.find(), policy, options.command_line(), tell.Progress())
    found = done.collected
    data = {
        "dry_run": policy.dry,
        "removed": {
            "experiments": done.experiments,
            "steps": done.thinned,
            "runs": done.runs,
            "undo_steps": done.steps,
            "files": found.removed[1] + done.leftovers[1],
            "bytes": found.removed[0] + done.leftovers[0],
        },
        "kept": {kind: {"files": n, "bytes": size} for kind, (size, n) in found.kept.items()},
        "recent": {"files": found.recent[1], "bytes": found.recent[0]},
    }
    rows: list[tuple[str, int, int]] = [
        (f"kept for {roots.WORDS[kind]}", size, number)
        for kind, (size, number) in found.kept.items()
    ]
    if found.recent[1]:
        rows.append(("needed by nothing, but touched lately", *found.recent))
    verb = "would be removed" if policy.dry else "removed"
    rows.append((f"{verb}: needed by nothing", *found.removed))
    if done.leftovers[1]:
        rows.append((f"{verb}: leftovers of runs", *done.leftovers))
    table = Grid(["", "Size", "Files"], [[w, options.size(s), n] for w, s, n in rows], 3)
    lines = []
    if done.experiments:
        lines.append(f"{verb}: {_named(done.experiments)}")
    if done.thinned:
        lines.append(f"{verb}: {done.thinned} steps of experiments")
    if done.runs:
        lines.append(f"{verb}: {done.runs} results in the run-cache")
    text = "\n".join([*lines, ""]) if lines else ""
    return Report(data, text, table, form="json" if given["as_json"] else "text")


def _named(names: tuple[str, ...]) -> str:
    what = f"{len(names)} experiment{'' if len(names) == 1 else 's'}"
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{what}: {', '.join(names[:5])}{more}"
