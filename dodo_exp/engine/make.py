"""Make: bring one stage's outputs about, from the run-cache or by running its commands.

The order is what makes it safe: inputs are hashed before the command and looked at again after
it; outputs are in the store before the run's record, and that is on disk before the stage counts
as done.
"""

from __future__ import annotations

import contextlib
import functools
import os
import stat
import time

from dodo_exp.engine import fingerprint, runcache
from dodo_exp.engine.decide import as_recorded, going_on
from dodo_exp.engine.desk import Desk
from dodo_exp.engine.execute import Stopping
from dodo_exp.engine.moved_outputs import keep_replaced, place
from dodo_exp.engine.way import Way
from dodo_exp.errors import StageFailed
from dodo_exp.events import Note, Resumed, StageStarted, Waiting
from dodo_exp.pipeline.graph import covers
from dodo_exp.pipeline.lockfile import StageRecord
from dodo_exp.pipeline.model import seen_from_here
from dodo_store import restore, snapshot
from dodo_store.errors import Changing, Damaged, Held, Missing, NotStorable
from dodo_store.named import Named
from dodo_store.pool import Batch
from dodo_store.tree import FOLDER, LINK
from dodo_store.walk import Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from dodo_exp.engine.child import Used
    from dodo_exp.engine.course import Course
    from dodo_exp.engine.decide import Reason
    from dodo_exp.engine.execute import Executor
    from dodo_exp.engine.fingerprint import Fingerprint
    from dodo_exp.engine.journal import Journal
    from dodo_exp.engine.moved_outputs import Move
    from dodo_exp.engine.outcome import Options
    from dodo_exp.engine.workspace import Workspace
    from dodo_exp.events import Listener
    from dodo_exp.pipeline.model import Out, Stage
    from dodo_store.oid import Oid
    from dodo_store.pool import Pool
    from dodo_store.tree import Node


class Made(Named):
    """How a stage came out: `record` is None where its inputs changed under it."""

    how: str
    record: StageRecord | None


class Maker:
    """What all stages of a run share."""

    def __init__(
        self,
        workspace: Workspace,
        journal: Journal,
        executor: Executor,
        listener: Listener,
        scratch: str,
        who: str,
        *,
        leave_partial: bool = False,
        course: Course,
        options: Options,
    ) -> None:
        """With *leave_partial* what a failed stage has made stays where it is."""
        self._course = course
        self._options = options
        self._leave_partial = leave_partial
        self._workspace = workspace
        self._store = workspace.store
        self._journal = journal
        self._executor = executor
        self._listener = listener
        self._scratch = scratch
        self._who = who

    def make(self, stage: Stage, why: tuple[Reason, ...], *, look_up: bool) -> Made:
        """Restore the stage's outputs, or run it.

        Raises:
            StageFailed, Stopping
        """
        found = fingerprint.take(stage, self._workspace)
        if found.missing:
            made = self._without_inputs(stage) if self._options.allow_missing and look_up else None
            if made is None:
                raise self._missing(stage, found)
            return made
        if look_up and self._workspace.is_made_by_dvc(stage):
            return self._take_over(stage, found)
        if stage.has_checkpoints:
            return self._go_on(stage, found, why)
        if not stage.is_cacheable:
            return self._run(stage, found, why)
        before = runcache.failure_mark(self._store, found.key)
        with contextlib.ExitStack() as held:
            self._claim(stage, found, held)
            failure = runcache.failure_since(self._store, found.key, before)
            if failure is not None:
                raise StageFailed(failure)
            return self._restore_or_run(stage, found, why, look_up)

    def _claim(self, stage: Stage, found: Fingerprint, held: contextlib.ExitStack) -> None:
        """Be the only one who makes it, unless the run is ended while we wait.

        Raises:
            Stopping
        """
        waiting = self._waiting(stage)
        stopping = self._executor.has_to_stop
        try:
            held.enter_context(runcache.claim(self._store, found.key, self._who, waiting, stopping))
        except Held:
            raise Stopping from None
        if stopping():
            raise Stopping
        waiting.over()

    def _restore_or_run(
        self, stage: Stage, found: Fingerprint, why: tuple[Reason, ...], look_up: bool
    ) -> Made:
        with self._store.writing():  # what is found must not be collected before it is recorded
            run = runcache.find(self._store, found.key) if look_up else None
            self._set_damaged_aside()
            if run is not None and self._restore(stage, run.record):
                self._journal.finish_stage(stage.file, stage.name, run.record, [])
                return Made("restored", run.record)
        try:
            return self._run(stage, found, why)
        except StageFailed as error:
            text = f"{error} (run by {self._who}, which others waited for)"
            runcache.note_failure(self._store, found.key, text)
            raise

    def _without_inputs(self, stage: Stage) -> Made | None:
        """Bring a stage's outputs back by what is recorded of its missing dependencies."""
        known = as_recorded(self._workspace, stage)
        found = fingerprint.take(stage, self._workspace, known)
        record = self._workspace.record(stage)
        with self._store.writing():  # what is found must not be collected before it is recorded
            if record is None or record.key != found.key:
                run = runcache.find(self._store, found.key) if stage.is_cacheable else None
                record = run.record if run is not None and self._options.run_cache else None
            if found.missing or record is None or not self._restore(stage, record):
                return None
            self._journal.finish_stage(stage.file, stage.name, record, [])
        return Made("restored", record)

    def restore_frozen(self, stage: Stage, record: StageRecord | None) -> None:
        """Bring back what is missing of a stage that is never run.

        Raises:
            StageFailed: the store does not have it.
        """
        if record is None or not self._restore(stage, record, only_missing=True):
            raise StageFailed(
                f"{stage.at}: stage {stage.address!r} is frozen, and the store does not have"
                " its missing outputs",
                "remove 'frozen: true' to let it run",
            )

    def _waiting(self, stage: Stage) -> _Wait:
        return _Wait(f"the result of stage {stage.address!r}", self._listener)

    def _missing(self, stage: Stage, found: Fingerprint) -> StageFailed:
        names = ", ".join(repr(line.name.rstrip(":")) for line in found.missing)
        return StageFailed(f"{stage.at}: stage {stage.address!r} needs {names}: not there")

    # -- restoring -------------------------------------------------------------------------

    def _restore(self, stage: Stage, record: StageRecord, *, only_missing: bool = False) -> bool:
        """Make the outputs what *record* says; False where the store cannot give them."""
        nodes = dict(record.outs)
        for out in stage.outs:
            node = nodes.get(out.path)
            present = self._workspace.out_digest(out.path)
            if present is not None and only_missing:
                continue
            if node is None:
                return False
            if present == node.digest:
                continue
            if present is not None and not self._is_known(stage, out):
                places = {out.path: self._workspace.path(out.path)}
                self._tell_replaced(stage, keep_replaced(self._store, stage.address, places))
            try:
                restore.restore(
                    self._store,
                    node,
                    self._workspace.root,
                    out.path,
                    self._scratch,
                    share=self._shares(stage, out),
                )
            except Damaged as error:
                self._set_aside(*self._store.named(error.path))
                return False
            except Missing:
                return False
            except NotStorable as error:
                raise StageFailed(f"{stage.at}: {out.path}: {error}") from None
        return True

    def _is_known(self, stage: Stage, out: Out) -> bool:
        """Whether what is at the output's path now is this stage's recorded work.

        What the store should have it must have; `cache: false` is the user's word that it need not.
        """
        record = self._workspace.record(stage)
        node = dict(record.outs).get(out.path) if record is not None else None
        return (
            node is not None
            and self._workspace.out_digest(out.path) == node.digest
            and (not out.is_stored or self._store.is_whole(node))
            and not restore.holds_reserved(self._workspace.path(out.path))
        )

    def _tell_replaced(self, stage: Stage, where: str | None) -> None:
        if where is None:
            return
        kept = seen_from_here(self._workspace.root, where)
        text = f"outputs of {stage.address!r} that no recorded run had made are kept in {kept}"
        self._listener(Note("info", text))

    def _set_damaged_aside(self) -> None:
        """What looking for a result has found damaged counts as missing, and is made again."""
        for pool in (self._store.objects, self._store.trees):
            for oid in list(pool.damaged):
                self._set_aside(pool, oid)

    def _set_aside(self, pool: Pool, oid: Oid) -> None:
        pool.set_aside(oid)
        text = "its content does not match its name; it will be made again"
        self._listener(Note("warning", f"{pool.path(oid)}: {text}"))

    # -- taking over -----------------------------------------------------------------------

    def _take_over(self, stage: Stage, found: Fingerprint) -> Made:
        """Record what lies here as the stage's result; dvc.lock vouches for it."""
        with self._store.writing():
            record = StageRecord(found.key, found.lines, self._take_outs(stage))
            self._keep(stage, record, time.time(), 0.0)
            self._journal.finish_stage(stage.file, stage.name, record, [])
        return Made("adopted", record)

    # -- running ---------------------------------------------------------------------------

    def _run(self, stage: Stage, found: Fingerprint, why: tuple[Reason, ...]) -> Made:
        self._started(stage, why)
        log = self._log(stage)
        through = {out.path for out in stage.outs if self._is_written_through(stage, out)}
        movable = [out.path for out in stage.outs if _is_moved(out) and out.path not in through]
        known = {out.path for out in stage.outs if self._is_known(stage, out)}
        moves = self._journal.aside(stage.address, movable, known)
        started, clock = time.time(), time.monotonic()
        with contextlib.ExitStack() as held:
            try:
                self._executor.run(stage, log)
                seconds = time.monotonic() - clock
                held.enter_context(self._store.writing())
                outs = self._take_outs(stage, through)
            except BaseException:
                self._put_back(stage, moves)
                raise
            return self._finish(stage, found, outs, moves, started, seconds)

    def _is_written_through(self, stage: Stage, out: Out) -> bool:
        """Whether an output is the user's link to a folder outside, which stays where it is.

        Only one that is not stored can be: see `plan.check_inputs`. A link that the stage itself
        has made is recorded as one; see `_take_outs`.
        """
        if out.is_stored or not out.is_inside or self._workspace.link_outside(out.path) is None:
            return False
        record = self._workspace.record(stage)
        node = dict(record.outs).get(out.path) if record is not None else None
        is_made = node is not None and node.kind == LINK
        return not is_made and os.path.isdir(self._workspace.path(out.path))

    def _started(self, stage: Stage, why: tuple[Reason, ...]) -> None:
        self._listener(StageStarted(stage.address, tuple(map(str, why))))

    def _finish(
        self,
        stage: Stage,
        found: Fingerprint,
        outs: tuple[tuple[str, Node], ...],
        moves: list[Move],
        started: float,
        seconds: float,
    ) -> Made:
        """Record what the commands have made, unless their inputs have changed meanwhile."""
        changed = self._changed(stage, found)
        if changed:
            self._warn_tainted(stage, changed)
            self._check_shared(stage, changed)
            self._tell_replaced(stage, self._journal.leave(stage.address, moves))
            return Made("ran", None)
        record = StageRecord(found.key, found.lines, outs)
        self._keep(stage, record, started, seconds)
        self._tell_replaced(
            stage, self._journal.finish_stage(stage.file, stage.name, record, moves)
        )
        return Made("ran", record)

    # -- checkpoints -----------------------------------------------------------------------

    def _go_on(self, stage: Stage, found: Fingerprint, why: tuple[Reason, ...]) -> Made:
        """Run a stage whose outputs stay where they are, and keep a step whenever it asks."""
        where = self._course.begins_with(stage)
        if where:
            words = "; ".join(str(reason) for reason in going_on(why, where))
            self._listener(StageStarted(stage.address, (words,)))
        else:
            self._started(stage, why)
        way = Way(
            self._workspace,
            self._journal,
            self._course,
            self._listener,
            self._scratch,
            stage,
            found,
        )
        way.replaced = functools.partial(self._tell_replaced, stage)
        started, clock = time.time(), time.monotonic()
        with contextlib.ExitStack() as held:
            try:
                if self._course.reset:
                    way.remember()
                    way.moves = self._out_of_the_way(stage)
                else:
                    way.go_on()
                local = self._store.local
                desk = Desk(self._workspace.root, local, way.step, goes_on=bool(where))
                self._executor.run(stage, self._log(stage), desk)
                seconds = time.monotonic() - clock
                held.enter_context(self._store.writing())
                outs = self._take_outs(stage)
            except BaseException:
                self._back(stage, way)
                raise
            return self._finish(stage, found, outs, way.moves, started, seconds)

    def _out_of_the_way(self, stage: Stage) -> list[Move]:
        """Put aside what a stage had made that begins anew."""
        paths = [out.path for out in stage.outs if out.is_inside]
        known = {out.path for out in stage.outs if self._is_known(stage, out)}
        for out in stage.outs:
            node = self._workspace.out_look(out.path)
            if node is not None and self._course.has(out.path, node):
                known.add(out.path)
        return self._journal.aside(stage.address, paths, known)

    def _back(self, stage: Stage, way: Way) -> None:
        """The stage was cut short: its outputs are to be those of its last step again."""
        if not way.has_begun:
            self._put_back(stage, way.moves)
        elif way.back() and not self._leave_partial:
            partial = place(self._store, "partial", stage.address)
            where = seen_from_here(self._workspace.root, partial)
            since = f"since {way.name}" if way.name else "before its first checkpoint"
            text = f"what stage {stage.address!r} had made {since} is in {where}"
            self._listener(Note("info", text))

    def _put_back(self, stage: Stage, moves: list[Move]) -> None:
        if self._leave_partial:
            self._journal.leave(stage.address, moves)
            return
        self._journal.put_back(stage.address, moves)
        partial = place(self._store, "partial", stage.address)
        if os.path.exists(partial):
            where = seen_from_here(self._workspace.root, partial)
            self._listener(Note("info", f"what stage {stage.address!r} had made is in {where}"))

    def _check_shared(self, stage: Stage, changed: tuple[str, ...]) -> None:
        """Inputs that share their content with the store, written into by the stage.

        What is damaged by it is set aside; the workspace keeps what the stage made of it.
        """
        if not self._store.links:
            return
        for path in changed:
            maker = self._workspace.graph.maker(path)
            made = self._workspace.records.get(maker) if maker is not None else None
            node = next((n for p, n in made.outs if covers(p, path)), None) if made else None
            if node is not None and not self._store.is_whole(node):
                text = f"stage {stage.address!r} wrote into its input {path!r} in place"
                self._listener(Note("warning", f'{text}; with link = "hardlink" it shares it'))
                self._set_damaged_aside()

    def _keep(self, stage: Stage, record: StageRecord, started: float, seconds: float) -> None:
        """Put a result into the run-cache, where that may hold it."""
        if stage.is_cacheable and self._is_kept(stage):
            host, used = os.uname().nodename, self.used(stage)
            run = runcache.Run(record, stage.address, started, seconds, host, *used)
            runcache.save(self._store, run)

    def used(self, stage: Stage) -> Used:
        """What its commands took, if they ran."""
        return self._executor.used(stage)

    def _log(self, stage: Stage) -> str:
        return f"{place(self._store, 'logs', stage.address)}.log"

    def _changed(self, stage: Stage, before: Fingerprint) -> tuple[str, ...]:
        """Inputs that are no longer what they were when the command began."""
        after = fingerprint.take(stage, self._workspace)
        return tuple(change.name for change in fingerprint.changes(before.lines, after.lines))

    def _warn_tainted(self, stage: Stage, changed: tuple[str, ...]) -> None:
        self._listener(
            Note(
                "warning",
                f"{', '.join(changed)} changed while stage {stage.address!r} ran:"
                " its result is not recorded, and it will run again",
            )
        )

    # -- outputs ---------------------------------------------------------------------------

    def _take_outs(
        self, stage: Stage, through: Collection[str] = ()
    ) -> tuple[tuple[str, Node], ...]:
        """Every output as a node; those that may be stored are in the store, durably.

        A link that was written *through* is recorded as the folder it leads to, under the digest
        of the link: so it is known to be the user's.
        """
        workspace = self._workspace
        source = Source(workspace.root, workspace.stamps, workspace.output_ignore, strict=True)
        batch = Batch(self._scratch)
        nodes: list[tuple[str, Node]] = []
        try:
            for out in sorted(stage.outs, key=lambda out: out.path):
                self._check_made(stage, out)
                if not self._is_kept(stage):
                    node = workspace.out_node(out.path, stored=out.is_stored)
                elif out.is_stored:
                    shared = source._replace(links=self._shares(stage, out))
                    node = snapshot.take(self._store, batch, shared, out.path)
                else:
                    node = workspace.out_node(out.path)
                    if out.path in through:
                        node = node._replace(kind=FOLDER)
                nodes.append((out.path, node))
            batch.commit()
        except (NotStorable, Changing) as error:
            raise StageFailed(f"{stage.at}: output {error.path!r}: {error}") from None
        finally:
            batch.drop()
        return tuple(nodes)

    def _is_kept(self, stage: Stage) -> bool:
        """Whether its result goes into the store; what has checkpoints resumes from there."""
        return self._options.commit or stage.has_checkpoints

    def _shares(self, stage: Stage, out: Out) -> bool:
        """Whether an output shares its content with the store; one that is written on does not."""
        return self._store.links and stage.may_share(out)

    def _check_made(self, stage: Stage, out: Out) -> None:
        try:
            mode = os.lstat(self._workspace.path(out.path)).st_mode
        except (FileNotFoundError, NotADirectoryError):
            where = self._executor.hint(self._log(stage))
            raise StageFailed(
                f"{stage.at}: stage {stage.address!r} did not make its output {out.path!r}",
                f"its path is relative to the stage's wdir; {where}",
            ) from None
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
            raise StageFailed(f"{stage.at}: output {out.path!r} is not a regular file or folder")


class _Wait:
    """Tells that somebody is waited for, and when that is over."""

    def __init__(self, what: str, listener: Listener) -> None:
        self._what = what
        self._listener = listener
        self._is_told = False

    def __call__(self, owner: str) -> None:
        self._is_told = True
        self._listener(Waiting(self._what, owner, is_idle=True))

    def over(self) -> None:
        if self._is_told:
            self._listener(Resumed(self._what))


def _is_moved(out: Out) -> bool:
    """Whether an output is out of the way when its stage runs; outside the project nothing is."""
    return out.is_inside and not out.persist
