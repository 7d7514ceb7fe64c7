"""`dodo repro`"""

from __future__ import annotations

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@declare.command("repro")
@options.selection
@declare.option(
    "--no-commit",
    is_flag=True,
    help="Do not put outputs into the store; `dodo commit` does it later.",
)
@options.running
def command(**given: Any) -> Report:
    """Bring the pipeline up to date without keeping an experiment.

    TARGETS are stages (`train`), pipeline files (`sub/dvc.yaml`) or stages of one
    (`sub/dvc.yaml:train`); without any, the dvc.yaml of this folder. What they depend on is
    brought up to date first.
    """
    from dodo_exp.cli import results, tell
    from dodo_exp.engine import repro

    project, given["targets"] = options.project_of(given["targets"])
    options.tell_pull(given)
    request, how = options.request_of(given), options.options_of(given)
    form = "json" if given["as_json"] else "text"
    if given["dry"]:
        from dodo_exp.engine.workspace import Workspace

        workspace = Workspace(project.root, project.store)
        _, steps = repro.check(workspace, request, how, project.folder, repro.limits_of(project))
        return results.plan_report(steps, form, [])
    progress = tell.Progress(jobs=how.jobs, quiet=given["quiet"])
    confirm = options.confirm if given["interactive"] else None
    command_line = options.command_line()
    outcome = repro.repro(project, request, how, progress, confirm, command_line)
    results.tell_failures(outcome)
    done = all(result.how == "unchanged" for result in outcome.results)
    text = "Data and pipelines are up to date.\n" if done else f"{results.counts(outcome)}\n"
    if not outcome.results:
        text = "There are no stages to run.\n"
    code = 1 if results.failed(outcome, how.ignore_errors) else 0
    data = results.outcome_data(outcome) if form == "json" else None
    return Report(data, text, form=form, code=code, facts=outcome.facts)
