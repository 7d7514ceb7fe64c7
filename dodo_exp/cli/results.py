"""Results: outcomes of runs and plans, as reports."""

from __future__ import annotations

from dodo_exp.cli import tell
from dodo_exp.cli.render import Grid, Report, cell, padded, width
from dodo_exp.engine.plan import MAYBE, RESTORE, RUN, UNCHANGED
from dodo_exp.pipeline.values import leaves

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from dodo_exp.engine.outcome import Outcome
    from dodo_exp.engine.plan import Step

ORDER = ("ran", "restored", "adopted", "unchanged", "failed", "skipped")


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
        tell.error(tell.placed(error), error.hint)
    skipped = [result.stage for result in outcome.results if result.how == "skipped"]
    if outcome.failures and skipped:
        tell.line(f"not run because of it: {', '.join(skipped)}")


def failed(outcome: Outcome, ignore_errors: bool) -> bool:
    """Whether the command has to say that it did not do what was asked."""
    return bool(outcome.failures) and not ignore_errors


def metrics_grid(metrics: dict[str, Any]) -> Grid | None:
    """Metrics as a small table, or none."""
    rows = [
        [file, name, cell(value, 5)]
        for file, contents in metrics.items()
        if "data" in contents
        for name, value in leaves(contents["data"])
    ]
    return Grid(["File", "Metric", "Value"], rows, keep=3) if rows else None


def plan_report(steps: list[Step], form: str, lines: list[str]) -> Report:
    """What a run would do."""
    data = [
        {
            "stage": step.stage.address,
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
    widest = max(width(step.stage.address) for step in steps)
    words = {RUN: "run", RESTORE: "restore", MAYBE: "depends", UNCHANGED: "unchanged"}
    for step in steps:
        why = [str(reason) for reason in step.verdict.reasons]
        if step.action == MAYBE:
            why = [f"on what {', '.join(step.waits)} makes"]
        row = f"{padded(step.stage.address, widest)}  {words[step.action]:9}  {'; '.join(why)}"
        lines.append(row.rstrip())
    return Report(data, "\n".join(lines) + "\n", form=form)
