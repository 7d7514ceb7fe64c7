"""`dodo exp run`"""

from __future__ import annotations

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@declare.command("run")
@options.selection
@declare.option(
    "-S",
    "--set-param",
    "changes",
    multiple=True,
    metavar="[FILE:]KEY=VALUE",
    help="Set a param before the run; again, or with commas, for several. +KEY=VALUE adds one,"
    " ++KEY=VALUE adds or sets, ~KEY deletes.",
)
@declare.option("-n", "--name", metavar="NAME", help="Name of the experiment.")
@declare.option("-m", "--message", default="", metavar="TEXT", help="A note to keep with it.")
@declare.option(
    "--replace", is_flag=True, help="Replace an experiment of the same name; -f does too."
)
@declare.option("--queue", is_flag=True, help="Do not run it now: put it into the queue.")
@declare.option(
    "--temp", is_flag=True, help="Run it in a folder of its own; the workspace stays as it is."
)
@declare.option(
    "--run-all",
    is_flag=True,
    help="Run what waits in the queue; --jobs N experiments at the same time.",
)
@declare.option(
    "-C",
    "--copy-paths",
    multiple=True,
    metavar="PATH",
    help="With --queue or --temp: take along a path that is ignored; again for several.",
)
@declare.option(
    "--rev",
    metavar="NAME",
    shell_complete=options.complete_kept,
    help="With --queue or --temp: begin from this experiment, snapshot or step (NAME@4) and go on"
    " with its outputs, whatever the workspace holds.",
)
@declare.option(
    "--reset", is_flag=True, help="Let stages with checkpoints begin anew; --queue does so."
)
@declare.option("--no-commit", is_flag=True, hidden=True, help="Only with `dodo repro`.")
@options.running
def command(**given: Any) -> Report:
    """Run the pipeline and keep the result as an experiment.

    Runs the stages that are out of date, restores those that have run with the same inputs
    before, and keeps params, metrics and the whole workspace under a name.

    With --queue or --temp it starts from the workspace as it is now, ignored dependencies and
    files that nobody has added anywhere included; later changes do not reach it. Several values
    for a param (KEY=1,2,3, choice(...), range(...)) are as many experiments in the queue.

    TARGETS are stages (`train`), pipeline files (`sub/dvc.yaml`) or stages of one
    (`sub/dvc.yaml:train`); without any, the dvc.yaml of this folder.
    """
    given["goes_on"] = True
    project, given["targets"] = options.project_of(given["targets"])
    changes = _changes(given["changes"], given["targets"])
    _check(given)
    options.tell_pull(given)
    if given["run_all"]:
        from dodo_exp.cli import drain

        form = "json" if given["as_json"] else "text"
        words = options.command_line()
        return drain.drain(project, given["jobs"], quiet=given["quiet"], command=words, form=form)
    if _is_sweep(changes) or given["queue"]:
        return _several(project, changes, given)
    if given["dry"]:
        return _plan(project, changes, given)
    return _run(project, changes, given)


def _check(given: dict[str, Any]) -> None:
    """Raises: UsageError"""
    from dodo_exp.errors import UsageError

    if given["no_commit"]:
        raise UsageError(
            "--no-commit: an experiment is a snapshot, and its outputs are part of it",
            "`dodo repro --no-commit` runs stages without keeping anything",
        )
    modes = [name for name in ("queue", "temp", "run_all") if given[name]]
    if len(modes) > 1:
        one, other = (f"--{name.replace('_', '-')}" for name in modes[:2])
        raise UsageError(f"{one} and {other} contradict each other")
    if given["run_all"]:
        names = ("targets", "changes", "name", "message", "replace", "force", "copy_paths", "dry",
                 "rev", "reset", "allow_missing", "pull")  # fmt: skip
        for name in (*names, "interactive"):
            if given[name]:
                what = {"targets": "TARGETS", "changes": "--set-param"}.get(name, f"--{name}")
                text = f"--run-all runs what was queued, as it was queued: {what} has no meaning"
                raise UsageError(text.replace("_", "-"), "give it with --queue")
    if modes and given["interactive"]:
        raise UsageError(f"--interactive and --{modes[0]} contradict each other")
    if given["copy_paths"] and not modes:
        raise UsageError("--copy-paths needs --queue or --temp", "in place every file is there")
    if given["rev"] and not given["queue"] and not given["temp"]:
        hint = f"in place: `dodo exp apply {given['rev']}`, then `dodo exp run`"
        raise UsageError("--rev needs --queue or --temp", hint)
    if given["rev"] and (given["reset"] or given["copy_paths"]):
        other = "--reset" if given["reset"] else "--copy-paths"
        raise UsageError(f"--rev and {other} contradict each other")


def _changes(texts: tuple[str, ...], targets: tuple[str, ...]) -> tuple[Any, ...]:
    if not texts:
        return ()
    from dodo_exp.errors import UsageError
    from dodo_exp.pipeline import overrides

    if "=" not in texts[-1] and targets[:1] == ("=",):
        whole = " ".join((texts[-1], *targets[:2]))
        raise UsageError(
            f"-S {texts[-1]!r}: no '=' in it", f"with spaces it needs quotes: -S '{whole}'"
        )
    return tuple(change for text in texts for change in overrides.parse(text))


def _is_sweep(changes: tuple[Any, ...]) -> bool:
    if not changes:
        return False
    from dodo_exp.pipeline import overrides

    return overrides.is_sweep(changes)


def _several(project: Any, changes: tuple[Any, ...], given: dict[str, Any]) -> Report:
    """Queue an experiment, or all of a sweep, or list them.

    Raises:
        UsageError: they are to be run now, of which there is one at a time.
    """
    from dodo_exp.errors import UsageError
    from dodo_exp.pipeline import overrides

    def matching(pattern: str) -> list[str]:
        from dodo_exp.engine.compile import Surroundings
        from dodo_exp.engine.workspace import Workspace

        around = Surroundings(Workspace(project.root, project.store), lambda path: None)
        return list(around.glob(project.folder or ".", pattern))

    made = overrides.expand(changes, matching)
    if given["dry"]:
        if given["queue"]:
            from dodo_exp.cli import tell
            from dodo_exp.exps.submit import check

            check(project, _order(given, changes), made, tell.Progress(quiet=given["quiet"]))
        return _listed(made, given)
    if not given["queue"]:
        raise UsageError(
            f"-S: several values for a param are a sweep: {len(made)} experiments, and one is run",
            "--queue queues them, --dry lists them; a list has brackets: -S 'layers=[64, 32]'",
        )
    from dodo_exp.cli import tell
    from dodo_exp.exps import queue
    from dodo_exp.exps.submit import submit
    from dodo_exp.pipeline.overrides import settings

    progress = tell.Progress(quiet=given["quiet"])
    include = given["copy_paths"]
    order = _order(given, changes)

    def put(tasks: Any) -> Any:
        return queue.add(project.store, tasks)

    queued = submit(project, order, made, progress, put, include=include)
    lines, data = [], []
    for job, variant in zip(queued, made, strict=True):
        if variant and len(made) > 1 and not given["quiet"]:
            tell.line(f"{job.name}: {_words(variant)}")
        lines.append(f"Queued experiment {job.name!r} for future execution.\n")
        data.append({"experiment": job.name, "params": settings(variant)})
    return Report(data, "".join(lines), form="json" if given["as_json"] else "text")


def _words(variant: tuple[Any, ...]) -> str:
    from dodo_exp.pipeline.overrides import settings
    from dodo_exp.pipeline.values import canonical

    return " ".join(f"{name}={canonical(value)}" for name, value in settings(variant).items())


def _listed(made: list[Any], given: dict[str, Any]) -> Report:
    from dodo_exp.pipeline.overrides import settings

    rows = [settings(each) for each in made]
    name = given["name"]
    names = [f"{name}-{i}" if name else None for i in range(1, len(rows) + 1)]
    names = [name] if len(rows) == 1 else names
    data = [{"name": name, "params": row} for name, row in zip(names, rows, strict=True)]
    lines = [
        f"{name or f'experiment {i}'}: {_words(each) or 'as the workspace is'}"
        for i, (name, each) in enumerate(zip(names, made, strict=True), 1)
    ]
    return Report(data, "\n".join(lines) + "\n", form="json" if given["as_json"] else "text")


def _order(given: dict[str, Any], changes: tuple[Any, ...]) -> Any:
    from dodo_exp.exps.run import Order

    return Order(
        options.request_of(given),
        options.options_of(given),
        changes,
        given["name"],
        given["message"],
        given["replace"] or given["force"],
        options.command_line(),
        rev=given["rev"],
    )


def _plan(project: Any, changes: tuple[Any, ...], given: dict[str, Any]) -> Report:
    from dodo_exp.cli import results, tell
    from dodo_exp.engine import repro
    from dodo_exp.engine.workspace import Workspace

    workspace = Workspace(project.root, project.store)
    planned: dict[str, str] = {}
    values: dict[str, Any] = {}
    if changes:
        from dodo_exp.exps import edits
        from dodo_exp.pipeline import params

        made = edits.plan(workspace, changes, project.folder)
        for note in made.notes:
            tell.Progress(quiet=given["quiet"])(note)
        planned = made.texts
        values = {path: params.parse(text.encode(), path) for path, text in planned.items()}
    request, how = options.request_of(given), options.options_of(given)
    with workspace.supposing(values):
        limits = repro.limits_of(project)
        _, steps = repro.check(workspace, request, how, project.folder, limits)
        if any(step.stage.has_checkpoints for step in steps):
            from dodo_exp.exps import going

            steps = going.told(workspace, steps)
    lines = [f"{path} would be edited" for path in planned]
    return results.plan_report(steps, "json" if given["as_json"] else "text", lines)


def _run(project: Any, changes: tuple[Any, ...], given: dict[str, Any]) -> Report:
    from dodo_exp.cli import results, tell
    from dodo_exp.exps.run import run_experiment

    order = _order(given, changes)
    how = order.options
    progress = tell.Progress(jobs=how.jobs, quiet=given["quiet"])
    if given["temp"]:
        from dodo_exp.exps.job import run_temp

        ran = run_temp(project, order, changes, progress, given["copy_paths"])
    else:
        confirm = options.confirm if given["interactive"] else None
        ran = run_experiment(project, order, progress, confirm)
    results.tell_failures(ran.outcome)
    if ran.outcome.failures and not given["quiet"]:
        for text in _after_failure(project, ran):
            tell.line(text)
    data = {
        "experiment": ran.experiment,
        "failed": ran.kept_as or None,
        "new": ran.is_new,
        **results.outcome_data(ran.outcome),
        "metrics": ran.metrics,
        "params": ran.params,
    }
    failed = results.failed(ran.outcome, how.ignore_errors)
    return Report(
        data,
        _text(ran),
        results.metrics_grid(ran.metrics),
        form="json" if given["as_json"] else "text",
        code=1 if failed or ran.experiment is None else 0,
        facts=ran.outcome.facts,
    )


def _after_failure(project: Any, ran: Any) -> list[str]:
    """What is kept of a run that has failed, and what it leaves in the workspace."""
    if ran.is_apart and ran.kept_as:
        return [f"what it has made is kept as {ran.kept_as!r}: `dodo exp apply {ran.kept_as}`"]
    lines = []
    if ran.has_steps:
        lines = [f"kept as {ran.kept_as!r} up to its last checkpoint; `dodo exp run` goes on"]
    elif ran.kept_as:
        remove = f"`dodo exp remove {ran.kept_as}` removes it"
        lines = [f"kept as failed experiment {ran.kept_as!r}; {remove}"]
    if ran.edited:
        edited = ", ".join(map(project.shown, ran.edited))
        lines.append(f"the values of -S stay in {edited}; `dodo undo` takes them back")
    return lines


def _text(ran: Any) -> str:
    from dodo_exp.cli import results

    counts = results.counts(ran.outcome)
    if ran.experiment is None:
        return "" if ran.outcome.failures else "Nothing has run.\n"
    if not ran.outcome.has_run:
        if ran.is_new:
            why = "nothing had to run" if ran.outcome.results else "there are no stages to run"
            return f"Kept experiment {ran.experiment!r}: {why}\n"
        return f"Up to date: experiment {ran.experiment!r} holds this result\n"
    if ran.is_new:
        return f"Ran experiment {ran.experiment!r}: {counts}\n{_how_to_apply(ran)}"
    return f"{counts}: the same result as experiment {ran.experiment!r}\n"


def _how_to_apply(ran: Any) -> str:
    if not ran.is_apart:
        return ""
    return f"To bring its files into the workspace: dodo exp apply {ran.experiment}\n"
