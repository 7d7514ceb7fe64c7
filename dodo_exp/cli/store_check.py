"""`dodo store check`"""

from __future__ import annotations

import click

from dodo_exp.cli.render import Report


@click.command("check")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(as_json: bool) -> Report:
    """Check that the store holds all it should, byte by byte.

    Exits with 5 if anything is missing or damaged. Changes nothing.
    """
    from dodo_exp.exps.record import nodes_of
    from dodo_exp.project import Project
    from dodo_store.check import check

    report = check(Project.find().store, nodes_of)
    lines = [f"{problem.path}: {problem.what}" for problem in report.problems]
    verdict = f"{len(lines)} problems" if len(lines) != 1 else "1 problem"
    lines.append(
        f"{report.experiments} experiments, {report.runs} runs, {report.objects} objects,"
        f" {report.bytes:,} bytes: {verdict if report.problems else 'all is well'}"
    )
    data = {**report._asdict(), "problems": [p._asdict() for p in report.problems]}
    code = 5 if report.problems else 0
    return Report(data, "\n".join(lines) + "\n", form="json" if as_json else "text", code=code)
