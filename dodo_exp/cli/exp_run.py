"""`dodo exp run`"""

from __future__ import annotations

from typing import Any

import click

from dodo_exp.cli import options
from dodo_exp.cli.render import Report


@click.command("run")
@options.selection
@click.option(
    "-S",
    "--set-param",
    "changes",
    multiple=True,
    metavar="[FILE:]KEY=VALUE",
    help="Set a param before the run; again, or with commas, for several. +KEY=VALUE adds one,"
    " ++KEY=VALUE adds or sets, ~KEY deletes.",
)
@click.option("-n", "--name", metavar="NAME", help="Name of the experiment.")
@click.option("-m", "--message", default="", metavar="TEXT", help="A note to keep with it.")
@click.option(
    "--replace", is_flag=True, help="Replace an experiment of the same name; -f does too."
)
@options.running
def command(**given: Any) -> Report:
    """Run the pipeline and keep the result as an experiment.

    Runs the stages that are out of date, restores those that have run with the same inputs
    before, and keeps params, metrics and the whole workspace under a name.

    TARGETS are stages (`train`), pipeline files (`sub/dvc.yaml`) or stages of one
    (`sub/dvc.yaml:train`); without any, the dvc.yaml of this folder.
    """
    from dodo_exp.project import Project

    project = Project.find()
    changes = _changes(given["changes"], given["targets"])
    if _is_sweep(changes):
        return _sweep(project, changes, given)
    if given["dry"]:
        return _plan(project, changes, given)
    return _run(project, changes, given)


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


def _sweep(project: Any, changes: tuple[Any, ...], given: dict[str, Any]) -> Report:
    """List a sweep's experiments.

    Raises:
        UsageError: they are to be run, of which there is one at a time.
    """
    from dodo_exp.engine.compile import Surroundings
    from dodo_exp.engine.workspace import Workspace
    from dodo_exp.errors import UsageError
    from dodo_exp.pipeline import overrides
    from dodo_exp.pipeline.values import canonical

    around = Surroundings(Workspace(project.root, project.store), lambda path: None)
    made = overrides.expand(changes, lambda pattern: around.glob(project.folder or ".", pattern))
    if not given["dry"]:
        raise UsageError(
            f"-S: several values for a param are a sweep: {len(made)} experiments, and one is run",
            "--dry lists them; a list is written with brackets: -S 'layers=[64, 32]'",
        )
    rows = [{change.name: change.value for change in each} for each in made]
    names = [f"{given['name']}-{i}" if given["name"] else None for i in range(1, len(rows) + 1)]
    data = [{"name": name, "params": row} for name, row in zip(names, rows, strict=True)]
    lines = [
        f"{name or f'experiment {i}'}: "
        + " ".join(f"{key}={canonical(value)}" for key, value in row.items())
        for i, (name, row) in enumerate(zip(names, rows, strict=True), 1)
    ]
    return Report(data, "\n".join(lines) + "\n", form="json" if given["as_json"] else "text")


def _plan(project: Any, changes: tuple[Any, ...], given: dict[str, Any]) -> Report:
    from dodo_exp.cli import results, tell
    from dodo_exp.engine import repro
    from dodo_exp.engine.workspace import Workspace

    workspace = Workspace(project.root, project.store)
    planned: dict[str, str] = {}
    if changes:
        from dodo_exp.exps import edits
        from dodo_exp.pipeline import params

        made = edits.plan(workspace, changes, project.folder)
        for note in made.notes:
            tell.Progress(quiet=given["quiet"])(note)
        planned = made.texts
        for path, text in planned.items():
            workspace.suppose(path, params.parse(text.encode(), path))
    request, how = options.request_of(given), options.options_of(given)
    steps = repro.dry(workspace, request, how, project.folder)
    lines = [f"{path} would be edited" for path in planned]
    return results.plan_report(steps, "json" if given["as_json"] else "text", lines)


def _run(project: Any, changes: tuple[Any, ...], given: dict[str, Any]) -> Report:
    from dodo_exp.cli import results, tell
    from dodo_exp.exps.run import Order, run_experiment

    how = options.options_of(given)
    order = Order(
        options.request_of(given),
        how,
        changes,
        given["name"],
        given["message"],
        given["replace"] or given["force"],
        options.command_line(),
    )
    progress = tell.Progress(jobs=how.jobs, quiet=given["quiet"])
    confirm = options.confirm if given["interactive"] else None
    ran = run_experiment(project, order, progress, confirm)
    results.tell_failures(ran.outcome)
    data = {
        "experiment": ran.experiment,
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
    )


def _text(ran: Any) -> str:
    from dodo_exp.cli import results

    counts = results.counts(ran.outcome)
    if ran.experiment is None:
        return "" if ran.outcome.failures else "Nothing has run.\n"
    if not ran.outcome.has_run:
        if ran.is_new:
            return f"Kept experiment {ran.experiment!r}: nothing had to run\n"
        return f"Up to date: experiment {ran.experiment!r} holds this result\n"
    if ran.is_new:
        return f"Ran experiment {ran.experiment!r}: {counts}\n"
    return f"{counts}: the same result as experiment {ran.experiment!r}\n"
