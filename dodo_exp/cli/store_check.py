"""`dodo store check`"""

from __future__ import annotations

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Report


class Share(declare.Kind):
    """A percentage: 5%."""

    name = "share"

    def read(self, text: str) -> float:
        """As a number from 0 to 1."""
        try:
            number = float(text.removesuffix("%")) / 100
        except ValueError:
            number = -1.0
        if not 0 <= number <= 1:
            raise ValueError(f"{text!r} is no percentage, as in 5%")
        return number


@declare.command("check")
@declare.option("--full", is_flag=True, help="Read every byte of every object.")
@declare.option(
    "--sample", type=Share(), metavar="PERCENT", help="Read this part of the objects (5%)."
)
@declare.option(
    "--repair", is_flag=True, help="Read everything, and mend or set aside what is bad."
)
@options.as_json
def command(full: bool, sample: float | None, repair: bool, as_json: bool) -> Report:
    """Check that the store holds all it should.

    Every record and folder is read; of an object its size, and whether anybody has written to it
    since it was kept. --full reads the objects too. Exits with 5 if anything is missing or damaged.

    --repair takes back from the workspace what is missing and still there, sets damaged objects
    aside, and removes experiments that cannot be restored whole, saying what each has lost;
    `dodo undo` brings their names back. One that has lost only files its run began from, or an
    earlier step, stays and loses those. Undo steps whose content is lost are removed too.
    """
    from dodo_exp.cli import tell
    from dodo_exp.exps import repair as mend
    from dodo_exp.project import Project

    project = Project.find()
    share = 1.0 if full or repair else sample or 0.0
    progress = tell.Bytes("checking")
    if repair:
        report, done = mend.repair(project, options.command_line(), tell.Progress(), progress)
    else:
        report, done = mend.check(project, share, progress), None
    lines = [f"{problem.path}: {problem.what}" for problem in report.problems]
    data = {**report._asdict(), "problems": [p._asdict() for p in report.problems]}
    if done is not None:
        data["mended"], data["lost"], data["lost_steps"] = done.mended, done.lost, done.steps
        lines += [f"mended: {path}" for path in done.mended]
        lines += [f"{name}: lost {_paths(paths)}" for name, paths in done.lost.items()]
        for number, paths in done.steps.items():
            lines.append(f"undo step {number} is removed: lost {_paths(paths)}")
    counts = ", ".join(_count(n, mend.WORDS[kind]) for kind, n in report.roots.items())
    count = len(report.problems)
    verdict = "all is well" if not count else _count(count, "problem")
    if done is not None and not done.left:
        verdict = f"{verdict}, mended" if count else verdict
    lines.append(
        f"{counts or 'nothing is kept'}; {_count(report.objects, 'object')}, {report.hashed} read,"
        f" {report.bytes:,} bytes: {verdict}"
    )
    bad = count if done is None else done.left
    return Report(
        data, "\n".join(lines) + "\n", form="json" if as_json else "text", code=5 if bad else 0
    )


def _paths(paths: list[str]) -> str:
    if not paths:
        return "its record"
    return ", ".join(paths[:5]) + (f" and {len(paths) - 5} more" if paths[5:] else "")


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
