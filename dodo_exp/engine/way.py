"""Way: how far a stage with checkpoints has come, and the way back to there.

Its outputs stay where they are when it runs. They are in the store before, and with each step, and
the journal says which of them are to be there if it is cut short.
"""

from __future__ import annotations

import os

from dodo_exp.errors import StageFailed
from dodo_exp.events import CheckpointKept, Note
from dodo_store import restore, snapshot
from dodo_store.errors import Changing, NotStorable
from dodo_store.pool import Batch
from dodo_store.walk import Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from dodo_exp.engine.course import Course, Step
    from dodo_exp.engine.fingerprint import Fingerprint
    from dodo_exp.engine.journal import Journal, Stay
    from dodo_exp.engine.moved_outputs import Move
    from dodo_exp.engine.workspace import Workspace
    from dodo_exp.events import Listener
    from dodo_exp.pipeline.model import Stage


class Way:
    """One run of one stage."""

    def __init__(
        self,
        workspace: Workspace,
        journal: Journal,
        course: Course,
        listener: Listener,
        scratch: str,
        stage: Stage,
        found: Fingerprint,
    ) -> None:
        self._workspace = workspace
        self._store = workspace.store
        self._journal = journal
        self._course = course
        self._listener = listener
        self._scratch = scratch
        self._stage = stage
        self._found = found
        self._outs: Stay | None = None
        self.name = ""
        """The last step that is kept, or that it goes on from."""
        self.moves: list[Move] = []
        """Old outputs that are out of the way until the first step of a stage that begins anew."""
        self.replaced: Callable[[str | None], None] = lambda where: None
        """Told where outputs are kept that no recorded run had made."""

    @property
    def has_begun(self) -> bool:
        """Whether the outputs are on record, to go back to."""
        return self._outs is not None

    def go_on(self) -> None:
        """Take what the stage goes on from into the store."""
        self.remember()
        self._course.bring(self._stage)
        with self._store.writing():
            outs = self._taken()
            self._unlink(outs)
            self._journal.stay(self._stage.address, outs)
        self._outs = outs
        self.name = self._course.begins_with(self._stage)

    def remember(self) -> None:
        """Keep what there is before the stage runs, for the way back."""
        with self._store.writing():
            self._journal.note_was(self._stage.address, self._taken())

    def _unlink(self, outs: Stay) -> None:
        """Make outputs that share their content with the store files of their own."""
        for path, node in outs if self._store.links else ():
            if node is not None:
                restore.restore(self._store, node, self._workspace.root, path, self._scratch)

    def step(self) -> str:
        """Keep the outputs as a step, unless they are what the last one has; returns its name.

        Raises:
            StageFailed, StoreError, OSError: it is not kept.
        """
        address = self._stage.address
        with self._store.writing():
            outs = self._taken()
            if outs == self._outs and self.name:
                return self.name
            step: Step | None = None
            try:
                with self._course.step(self._stage, self._found, dict(outs)) as step:
                    self._journal.stay(address, outs, step.kept)
            finally:
                if step is not None and step.is_kept:
                    self._journal.stayed(address, outs)
                    self._outs, self.name = outs, step.name
                    moves, self.moves = self.moves, []
                    self.replaced(self._journal.let_go(address, moves))
        self._listener(CheckpointKept(address, self.name))
        lacks = [
            out.path
            for out in self._stage.outs
            if out.checkpoint and not dict(outs).get(out.path, True)
        ]
        if lacks:
            text = (
                f"{self.name} has no {', '.join(lacks)}: write it before you ask for a checkpoint"
            )
            self._listener(Note("warning", text))
        return self.name

    def back(self) -> bool:
        """Make the outputs what they were at the last step; whether they were something else."""
        return bool(self._journal.back_to_stay(self._stage.address, self._scratch))

    def _taken(self) -> Stay:
        """The outputs as they are now, in the store durably."""
        workspace = self._workspace
        source = Source(workspace.root, workspace.stamps, workspace.output_ignore, strict=True)
        batch = Batch(self._scratch)
        nodes: Stay = []
        try:
            for out in sorted(self._stage.outs, key=lambda out: out.path):
                if out.is_inside:
                    there = os.path.lexists(workspace.path(out.path))
                    node = snapshot.take(self._store, batch, source, out.path) if there else None
                    nodes.append((out.path, node))
            batch.commit()
        except (NotStorable, Changing) as error:
            path = os.path.relpath(workspace.path(error.path), workspace.root)
            raise StageFailed(f"output {path!r}: {error}") from None
        finally:
            batch.drop()
        return nodes
