"""`dodo status`"""

from __future__ import annotations

from functools import partial

from dodo_exp.cli import declare, options
from dodo_exp.cli.render import Report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@declare.command("status")
@options.targets
@declare.option(
    "-q", "--quiet", is_flag=True, help="Print nothing; exit with 1 if anything is out of date."
)
@declare.option("--json", "as_json", is_flag=True, help="Print the causes as JSON, in DVC's shape.")
def command(targets: tuple[str, ...], quiet: bool, as_json: bool) -> Report:
    """Show which stages are out of date, and why.

    Without TARGETS, every stage of the project. Changes nothing.
    """
    from dodo_exp.cli import tell
    from dodo_exp.engine import data as data_of
    from dodo_exp.engine import plan as planning
    from dodo_exp.engine import repro, session
    from dodo_exp.engine.outcome import Options
    from dodo_exp.engine.request import Request, select
    from dodo_exp.engine.workspace import Workspace

    project, targets = options.project_of(targets)
    session.tidy(project, tell.Progress())
    workspace = Workspace(project.root, project.store)
    request = Request(targets, all_pipelines=not targets)
    selection = select(workspace, request, project.folder)
    steps = planning.plan(workspace, selection, Options())
    if any(step.stage.has_checkpoints for step in steps):
        from dodo_exp.exps import going

        steps = going.told(workspace, steps)
    changed = {} if targets else data_of.states(workspace)
    workspace.save_caches()
    dirty = [step for step in steps if step.action != planning.UNCHANGED]
    if quiet:
        return Report(code=1 if dirty or changed else 0)
    tell.notes(workspace)
    data = {s.verdict.stage.address: _causes(s.verdict) for s in steps if s.verdict.reasons}
    words = {"missing": "deleted", "changed": "modified"}
    data |= {path: [{"changed outs": {path: words[how]}}] for path, how in changed.items()}
    is_open = dirty or workspace.data or any(step.stage.has_checkpoints for step in steps)
    return Report(
        data,
        _text(steps, dirty, changed),
        form="json" if as_json else "text",
        facts=None if is_open else partial(repro.gather, workspace),
    )


WORDS = {"missing": "missing", "changed": "changed since it was added"}
"""What has become of data, for people."""


def _text(steps: list[Any], dirty: list[Any], changed: dict[str, str]) -> str:
    if not steps and not changed:
        return "There are no stages in this project.\n"
    if not dirty and not changed:
        return "Data and pipelines are up to date.\n"
    lines = [
        f"{path}: {WORDS[how]}; `dodo checkout {path}` brings it back"
        for path, how in changed.items()
    ]
    for step in dirty:
        lines.append(f"{step.stage.address}: {_word(step)}")
        lines += [f"    {reason}" for reason in step.verdict.reasons]
    return "\n".join(lines) + "\n"


def _word(step: Any) -> str:
    if step.action == "maybe":
        return f"depends on what {', '.join(step.waits)} makes"
    if step.stage.frozen:
        return "frozen, with outputs that are missing"
    if step.action == "restore":
        return "out of date, its result is in the run-cache"
    return "out of date"


def _causes(verdict: Any) -> list[Any]:
    """The direct causes in the shape of `dvc status --json`."""
    from dodo_exp.engine.decide import GOES_ON

    deps: dict[str, Any] = {}
    outs: dict[str, str] = {}
    words: list[str] = []
    for reason in verdict.reasons:
        change = reason.change
        if reason.kind == "always":
            words.append("always changed")
        elif reason.kind in ("missing", "edited"):
            outs[reason.name] = "deleted" if reason.kind == "missing" else "modified"
        elif reason.kind in (GOES_ON, "forgotten"):
            words.append(str(reason))
        elif reason.kind == "new":
            deps.update({line.name: "new" for line in verdict.print.lines if line.kind == "dep"})
            words.append("not run yet")
        elif change is not None and change.kind == "param":
            file, _, key = change.name.partition(":")
            deps.setdefault(file, {})[key] = change.verb
        elif change is not None and change.kind == "dep":
            deps[change.name] = change.verb
        elif change is not None and change.kind in ("cmd", "wdir"):
            if "changed command" not in words:
                words.append("changed command")
        elif change is not None:
            outs[change.name] = change.verb
    causes: list[Any] = []
    if deps:
        causes.append({"changed deps": deps})
    if outs:
        causes.append({"changed outs": outs})
    return [*causes, *words]
