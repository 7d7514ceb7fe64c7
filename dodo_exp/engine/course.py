"""Course: how a run deals with stages that keep checkpoints: from where, and what of each step.

A stage that has an output with `checkpoint: true` goes on from its outputs as they lie, where
others begin with none. This one only counts the steps; experiments keep them, see exps/steps.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from dodo_exp.engine.fingerprint import Fingerprint
from dodo_exp.pipeline.model import Stage
from dodo_store.tree import Node

Nodes = Mapping[str, Node | None]
"""A stage's outputs by path; None for one that is not there."""


class Course:
    """Steps of a run, counted."""

    def __init__(self, *, reset: bool = False) -> None:
        """With *reset* stages begin anew."""
        self.reset = reset
        self.made = 0
        """Steps kept in this run."""

    def bring(self, stage: Stage) -> None:
        """Make the stage's outputs what they were at the step that it goes on from.

        Raises:
            DodoError
        """

    def begins_with(self, stage: Stage) -> str:
        """The step that the stage goes on from, by name; "" where it begins."""
        return ""

    def keep(self, stage: Stage, found: Fingerprint, outs: Nodes) -> str:
        """Keep a step, whose outputs are in the store durably; returns its name."""
        self.made += 1
        return f"checkpoint {self.made}"

    def has(self, path: str, node: Node) -> bool:
        """Whether a step that is kept has this for an output."""
        return False
