"""Results: outcomes of runs and plans, as reports."""

from __future__ import annotations

from typing import Any

from dodo_exp.cli import tell
from dodo_exp.cli.render import Grid, Report, cell, to_text
from dodo_exp.engine.decide import MAYBE, RESTORE, RUN, UNCHANGED, Step
from dodo_exp.engine.outcome import Outcome
from dodo_exp.pipeline.values import leaves

ORDER = ("ran", "restored", "unchanged", "failed", "skipped")


def outcome_data(outcome: Outcome) -> dict[str, Any]:
    """An outcome for JSON."""
    return {
        "stages": [result._asdict() for result in outcome.results],
        "tainted": list(outcome.tainted),
        "errors": [str(error) for error in outcome.failures],
    }


def counts(outcome: Outcome) -> str:
    """For example: 2 ran, 1 unchanged."""
    how = [result.how for result in outcome.results]
    return ", ".join(f"{how.count(word)} {word}" for word in ORDER if word in how) or "no stages"


def tell_failures(outcome: Outcome) -> None:
    """Say each failure, and what was not tried because of it."""
    for error in outcome.failures:
        tell.error(str(error), error.hint)
    skipped = [result.stage for result in outcome.results if result.how == "skipped"]
    if outcome.failures and skipped:
        tell.line(f"not run because of it: {', '.join(skipped)}")


def failed(outcome: Outcome, ignore_errors: bool) -> bool:
    """Whether the command has to say that it did not do what was asked."""
    return bool(outcome.failures) and not ignore_errors


def metrics_text(metrics: dict[str, Any]) -> str:
    """Metrics as a small table, or nothing."""
    rows = [
        [file, name, value]
        for file, contents in metrics.items()
        if "data" in contents
        for name, value in leaves(contents["data"])
    ]
    if not rows:
        return ""
    return to_text(
        Grid(["File", "Metric", "Value"], [[f, n, cell(v, 5)] for f, n, v in rows], 3), 5
    )


def plan_report(steps: list[Step], form: str, lines: list[str]) -> Report:
    """What a run would do."""
    data = [
        {
            "stage": step.verdict.stage.address,
            "action": step.action,
            "why": [str(reason) for reason in step.verdict.reasons],
            "after": list(step.waits),
        }
        for step in steps
    ]
    if not steps:
        return Report(data, "no stages\n", form=form)
    if all(step.action == UNCHANGED for step in steps):
        return Report(data, "\n".join([*lines, "everything is up to date"]) + "\n", form=form)
    width = max(len(step.verdict.stage.address) for step in steps)
    words = {RUN: "run", RESTORE: "restore", MAYBE: "depends", UNCHANGED: "unchanged"}
    for step in steps:
        why = [str(reason) for reason in step.verdict.reasons]
        if step.action == MAYBE:
            why = [f"on what {', '.join(step.waits)} makes"]
        row = f"{step.verdict.stage.address:{width}}  {words[step.action]:9}  {'; '.join(why)}"
        lines.append(row.rstrip())
    return Report(data, "\n".join(lines) + "\n", form=form)
