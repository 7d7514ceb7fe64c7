"""`dodo queue worker`"""

from __future__ import annotations

from dodo_exp.cli import declare, options


class Time(declare.Kind):
    """A duration: 90s, 3h55m, or seconds."""

    name = "time"

    def read(self, text: str) -> float:
        """In seconds."""
        from dodo_exp import units

        try:
            return units.parse_duration(text)
        except ValueError as error:
            raise ValueError(f"{error}: {units.DURATIONS}") from None


@declare.command("worker")
@declare.option(
    "--max-time",
    type=Time(),
    metavar="TIME",
    help="End after this long, as in 3h55m; what is running then goes back to the queue.",
)
@declare.option(
    "--idle-exit",
    type=Time(),
    default=0.0,
    metavar="TIME",
    help="Wait this long, as in 10m, for something new when nothing waits (0).",
)
@declare.option("-q", "--quiet", is_flag=True, help="Print only results and errors.")
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
    from dodo_exp.cli import tell

    project.write(tell.Progress(quiet=quiet))
    told = drain.told(quiet=quiet, is_alone=True)
    code = work(project, Terms(max_time, idle_exit), told, options.command_line(), None)
    return 0 if code in (0, 75) else code
