"""`dodo metrics diff`"""

from __future__ import annotations

from typing import Any

import click

from dodo_exp.cli import differences
from dodo_exp.cli.render import Report


@click.command("diff")
@differences.two
@click.option("--targets", multiple=True, metavar="PATH", help="Only these files.")
def command(**given: Any) -> Report:
    """Show how the metrics of A and B differ.

    A and B are experiments, snapshots or `workspace`. Without B, the workspace; without A, the
    experiment that the workspace was made from.
    """
    return differences.of_one_kind("metric", given)
