"""Course: how a run deals with stages that keep checkpoints: from where, and what of each step.

A stage that has an output with `checkpoint: true` goes on from its outputs as they lie, where
others begin with none. This one only counts the steps; experiments keep them, see exps/advance.py.
"""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Mapping
from contextlib import contextmanager

from dodo_store.tree import Node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from dodo_exp.engine.fingerprint import Fingerprint
    from dodo_exp.engine.journal import Kept
    from dodo_exp.pipeline.model import Stage

Nodes = Mapping[str, Node | None]
"""A stage's outputs by path; None for one that is not there."""


class Step:
    """A step that is about to be kept: what it is called, and what is there when it is."""

    def __init__(self, name: str, kept: Kept | None = None) -> None:
        self.name = name
        self.kept = kept
        self.is_kept = False
        """Whether it is, also if an error has come after it."""


class Course:
    """Steps of a run, counted."""

    def __init__(self, *, reset: bool = False) -> None:
        """With *reset* stages begin anew."""
        self.reset = reset
        self.made = 0
        """Steps kept in this run."""
        self._lock = allocate_lock()
        """Steps of several stages are kept one after the other; guards all that they change."""

    def bring(self, stage: Stage) -> None:
        """Make the stage's outputs what they were at the step that it goes on from.

        Raises:
            DodoError
        """

    def begins_with(self, stage: Stage) -> str:
        """The step that the stage goes on from, by name; "" where it begins."""
        return ""

    @contextmanager
    def step(self, stage: Stage, found: Fingerprint, outs: Nodes) -> Iterator[Step]:
        """A step, whose outputs are in the store durably: kept when the block ends."""
        with self._lock:
            step = Step(f"checkpoint {self.made + 1}")
            yield step
            self.made += 1
            step.is_kept = True

    def has(self, path: str, node: Node) -> bool:
        """Whether a step that is kept has this for an output."""
        return False
