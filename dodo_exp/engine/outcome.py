"""Outcome: how a run is asked for and what became of it, as values."""

from __future__ import annotations

from collections.abc import Callable

from dodo_store.named import Named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dodo_exp.engine.still import Facts
    from dodo_exp.errors import DodoError

Confirm = Callable[[str], str]
"""Asked before a stage runs; answers yes, no, all or quit."""


class Options(Named):
    """How to run."""

    jobs: int = 1
    force: bool = False
    force_downstream: bool = False
    keep_going: bool = False
    ignore_errors: bool = False
    run_cache: bool = True
    wait: bool = True
    """Whether to wait for another command that holds the workspace."""
    goes_on: bool = False
    """Where all is up to date, let stages with checkpoints go on from their last one."""
    reset: bool = False
    """Let stages with checkpoints begin anew."""
    allow_missing: bool = False
    """Take dependencies that are not there as recorded; missing outputs are no reason to run."""
    commit: bool = True
    """Whether results go into the store; else `dodo commit` puts them there later."""


class StageResult(Named):
    """What became of a stage: ran, restored, unchanged, failed or skipped."""

    stage: str
    how: str
    why: tuple[str, ...]
    seconds: float
    cpu: float = 0.0
    """Seconds of processor time of its commands, as far as they waited for what they started."""
    memory: int = 0
    """Bytes of the largest of its processes."""


class Outcome(Named):
    """What became of a run; `tainted` stages ran while their inputs changed."""

    results: tuple[StageResult, ...]
    failures: tuple[DodoError, ...]
    tainted: tuple[str, ...]
    facts: Callable[[], Facts | None] | None = None
    """Where nothing had to run: makes out what that rests on."""

    @property
    def has_run(self) -> bool:
        """Whether anything was made or brought back."""
        return any(result.how in ("ran", "restored") for result in self.results)
