"""`dodo queue worker`"""

from __future__ import annotations

import click

from dodo_exp.cli import options


class Time(click.ParamType):  # type: ignore[type-arg]
    """Seconds, or with units: 90s, 3h55m."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """In seconds."""
        from dodo_exp.settings import seconds

        found = value if isinstance(value, float) else seconds(str(value))
        if found is None or found < 0:
            self.fail(f"{value!r} is no time: seconds, or as in 90s, 30m, 2h", param, ctx)
        return found


@click.command("worker")
@click.option(
    "--max-time",
    type=Time(),
    metavar="TIME",
    help="End after this long; what is running then goes back to the queue.",
)
@click.option(
    "--idle-exit",
    type=Time(),
    default=0.0,
    metavar="TIME",
    help="Wait this long for something new when nothing waits (0).",
)
@click.option("-q", "--quiet", is_flag=True, help="Print only results and errors.")
def command(max_time: float | None, idle_exit: float, quiet: bool) -> int:
    """Run experiments of the queue, one after the other, in this process.

    For batch systems: any number of workers, on any number of machines that share the folder, run
    each experiment once. On TERM, INT or HUP the experiment goes back to the queue.
    """
    from dodo_exp.cli import drain
    from dodo_exp.engine import session
    from dodo_exp.exps.worker import Terms, work
    from dodo_exp.project import Project

    project = Project.find()
    session.check_outside(project)
    project.write()
    told = drain.told(quiet=quiet, is_alone=True)
    code = work(project, Terms(max_time, idle_exit), told, options.command_line(), None)
    return 0 if code in (0, 75) else code
