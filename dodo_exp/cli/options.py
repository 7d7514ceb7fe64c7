"""Options that several verbs share, and how their values become requests."""

from __future__ import annotations

import sys

from dodo_exp import units
from dodo_exp.cli import declare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    import click

    from dodo_exp.project import Project


def _complete_stage(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Stage names of the project for the shell; nothing where anything is wrong."""
    from dodo_exp.engine.workspace import Workspace
    from dodo_exp.errors import DodoError
    from dodo_exp.project import Project

    try:
        project = Project.find()
        workspace = Workspace(project.root, project.store)
        return [name for name in workspace.graph.stages if name.startswith(incomplete)]
    except (DodoError, OSError):
        return []


def project_of(targets: tuple[str, ...]) -> tuple[Project, tuple[str, ...]]:
    """The project of the current folder, and the targets.

    In a folder that is in no project it is that of the pipeline file that the targets name; they
    are then returned relative to its root.

    Raises:
        NoProject
    """
    import os

    from dodo_exp.errors import NoProject
    from dodo_exp.project import Project

    try:
        return Project.find(), targets
    except NoProject:
        split = [_split_target(target) for target in targets]
        roots = {_root_of(file) for file, _ in split}
        if not roots or None in roots:
            raise
        if len(roots) > 1:
            hint = "`dodo init` makes this folder the project of all of them"
            raise NoProject("the targets are in several projects", hint) from None
    root = str(roots.pop())
    return Project(root, ""), tuple(os.path.relpath(file, root) + name for file, name in split)


def _split_target(target: str) -> tuple[str, str]:
    """The pipeline file that a target names, and `:stage`; two empty texts for another target."""
    from dodo_exp.pipeline.model import PIPELINE_FILE

    head, file, name = target.rpartition(PIPELINE_FILE)
    is_file = file and head[-1:] in ("", "/") and name[:1] in ("", ":")
    return (head + file, name) if is_file else ("", "")


def _root_of(file: str) -> str | None:
    """The root of the project that a pipeline file is in; None where there is no such file."""
    import os

    from dodo_exp.project import find_root

    return find_root(os.path.dirname(os.path.abspath(file))) if os.path.isfile(file) else None


targets = declare.argument("targets", nargs=-1, shell_complete=_complete_stage)

some_stages = declare.argument("targets", nargs=-1, required=True, shell_complete=_complete_stage)


selection = declare.grouped(
    targets,
    declare.option(
        "-s",
        "--single-item",
        "--single-stage",
        is_flag=True,
        help="Only the targets, in the order given; nothing before or after them.",
    ),
    declare.option(
        "-p", "--pipeline", is_flag=True, help="Everything that is connected with the targets."
    ),
    declare.option("-P", "--all-pipelines", is_flag=True, help="Every stage of the project."),
    declare.option(
        "-R",
        "--recursive",
        is_flag=True,
        help="Targets are folders: every dvc.yaml in and below them.",
    ),
    declare.option(
        "--downstream",
        is_flag=True,
        help="The targets and what follows; nothing before them is looked at.",
    ),
    declare.option("--glob", is_flag=True, help="Targets are patterns of stage names."),
)
"""Which stages: targets and how far they reach."""


running = declare.grouped(
    declare.option(
        "-j",
        "--jobs",
        type=declare.Integer(1, 1024),
        default=1,
        metavar="N",
        help="Run up to N stages at the same time.",
    ),
    declare.option("-f", "--force", is_flag=True, help="Run stages even if they are up to date."),
    declare.option(
        "--force-downstream",
        is_flag=True,
        help="Run what follows a stage that ran, even if its output is the same.",
    ),
    declare.option(
        "-i", "--interactive", is_flag=True, help="Ask before each stage that would run."
    ),
    declare.option(
        "-k",
        "--keep-going",
        is_flag=True,
        help="After a failure go on with stages that do not depend on it.",
    ),
    declare.option(
        "--ignore-errors",
        is_flag=True,
        help="After a failure go on with all stages, and end with 0.",
    ),
    declare.option(
        "--allow-missing",
        is_flag=True,
        help="Skip stages whose data is missing if nothing else has changed.",
    ),
    declare.option(
        "--pull",
        is_flag=True,
        help="Fetch missing data first. No effect yet: there is no remote storage to fetch from.",
    ),
    declare.option("--no-run-cache", is_flag=True, help="Do not restore results of earlier runs."),
    declare.option(
        "--no-wait", is_flag=True, help="End with 4 rather than wait for another command."
    ),
    declare.option("--dry", is_flag=True, help="Say what would be done; change nothing."),
    declare.option("-q", "--quiet", is_flag=True, help="Print only results and errors."),
    declare.option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
)
"""How to run."""


def request_of(given: dict[str, Any]) -> Any:
    """The request in a verb's keyword arguments."""
    from dodo_exp.engine.request import Request

    return Request(**{name: given[name] for name in Request._fields if name in given})


def options_of(given: dict[str, Any]) -> Any:
    """The run options in a verb's keyword arguments."""
    from dodo_exp.engine.outcome import Options

    return Options(
        jobs=given["jobs"],
        force=given["force"],
        force_downstream=given["force_downstream"],
        keep_going=given["keep_going"],
        ignore_errors=given["ignore_errors"],
        run_cache=not given["no_run_cache"],
        wait=not given["no_wait"],
        goes_on=given.get("goes_on", False),
        reset=given.get("reset", False),
        allow_missing=given["allow_missing"],
        commit=not given["no_commit"],
    )


def tell_pull(given: dict[str, Any]) -> None:
    """Say that `--pull` finds nothing to fetch from."""
    if given["pull"] and not given["quiet"]:
        from dodo_exp.cli import tell

        tell.line("--pull: no remote storage to fetch from yet; continuing with the data here")


def confirm(stage: str) -> str:
    """Ask the user about a stage: yes, no, all or quit.

    Raises:
        UsageError: nobody is there to answer.
    """
    from dodo_exp.errors import UsageError

    words = {"y": "yes", "n": "no", "a": "all", "q": "quit", "yes": "yes", "no": "no"}
    while True:
        sys.stderr.write(f"Going to reproduce stage: {stage!r}... continue? [y/n] ")
        sys.stderr.flush()
        answer = sys.stdin.readline() if sys.stdin is not None else ""
        if not answer:
            sys.stderr.write("\n")
            raise UsageError(
                "--interactive asks before each stage, and nobody answers",
                "run it in a terminal, or without --interactive",
            )
        word = words.get(answer.strip().lower())
        if word:
            return word
        sys.stderr.write("y: yes, n: not this one nor what depends on it, a: all, q: stop here\n")


UNSAFE = set(" \t\n\"'`$\\;&|<>()*?")
"""What a shell would want quoted."""


def command_line() -> str:
    """The command as the user gave it, for the history; long ones are cut."""
    words = [word if word and not set(word) & UNSAFE else repr(word) for word in sys.argv[1:]]
    text = " ".join(words)
    return text if len(text) <= 200 else text[:197] + "..."


def complete_kept(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of experiments and snapshots for the shell."""
    from dodo_exp.errors import DodoError
    from dodo_exp.project import Project

    try:
        store = Project.find().store
        names = [*store.experiments.names(), *store.snapshots.names()]
        if "@" in incomplete:
            from dodo_exp.exps import table

            names = [line.name for line in table.kept(Project.find(), with_steps=True).lines]
        return sorted(name for name in names if name.startswith(incomplete))
    except (DodoError, OSError):
        return []


def complete_queued(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of experiments of the queue for the shell."""
    from dodo_exp.errors import DodoError
    from dodo_exp.exps import queue
    from dodo_exp.project import Project

    try:
        found = {job.name for job in queue.jobs(Project.find().store)}
        return sorted(name for name in found if name.startswith(incomplete))
    except (DodoError, OSError):
        return []


def complete_known(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of experiments that are kept or in the queue for the shell."""
    kept = complete_kept(ctx, param, incomplete)
    return sorted({*kept, *complete_queued(ctx, param, incomplete)})


def complete_logged(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of runs that have a log for the shell."""
    from dodo_exp.errors import DodoError
    from dodo_exp.exps import logs
    from dodo_exp.project import Project

    try:
        found = {name for _, name, _ in logs.every(Project.find().store)}
        return sorted(name for name in found if name.startswith(incomplete))
    except (DodoError, OSError):
        return []


no_wait = declare.option(
    "--no-wait", is_flag=True, help="End with 4 rather than wait for another command."
)
as_json = declare.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


precision = declare.option(
    "--precision",
    type=declare.Integer(1, 17),
    default=5,
    metavar="N",
    help="Significant digits in tables (5).",
)


size = units.format_size


def files(count: int) -> str:
    """For example: 1 file, 12 files."""
    return f"{count:,} file{'' if count == 1 else 's'}"


def changed(changes: Any, *, summary: bool = False) -> list[str]:
    """What happened to paths of the workspace, a line each; many are counted."""
    words = [
        ("added" if c.old is None else "removed" if c.new is None else "changed") for c in changes
    ]
    if summary or len(words) > 20:
        counted = [f"{words.count(w):,} {w}" for w in ("added", "changed", "removed") if w in words]
        return [f"  {', '.join(counted)}"] if counted else []
    from dodo_exp.cli.render import cell

    paths = [cell(change.path, None) for change in changes]
    return [f"  {word:8} {path}" for word, path in zip(words, paths, strict=True)]
