"""Recovery: reads the journals of other commands, and finishes what killed ones have left."""

from __future__ import annotations

import contextlib
import os

from dodo_exp.engine import history, moved_outputs, rewind
from dodo_exp.engine.journal import (
    change_back,
    changes_of,
    entries,
    is_there,
    journal_folder,
    lock_content,
    paths,
    point,
    stay_of,
)
from dodo_exp.engine.moved_outputs import Move
from dodo_exp.engine.param_edits import roll_back
from dodo_exp.pipeline import lockfile
from dodo_exp.pipeline.model import address
from dodo_store import durable, record, restore
from dodo_store.errors import StoreError
from dodo_store.oid import Oid, of_bytes
from dodo_store.tree import Node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from dodo_exp.engine.journal import Locks, Stay
    from dodo_exp.engine.param_edits import Edit
    from dodo_exp.pipeline.lockfile import StageRecord
    from dodo_store.delta import Change
    from dodo_store.store import Store

UNRECORDED = "unrecorded outputs"
"""Under `replaced/`: outputs that lay in a journal's folder and that no journal speaks of."""


def records_mark(store: Store, root: str, pipeline: str) -> list[tuple[int, int, int] | None]:
    """A value that is another one after any process has recorded a stage of *pipeline*."""
    found: list[tuple[int, int, int] | None] = []
    for path in (os.path.join(root, lockfile.beside(pipeline)), *paths(store.local)):
        try:
            stat = os.stat(path)
        except FileNotFoundError:
            found.append(None)
        else:
            found.append((stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return found


def overlay(store: Store, root: str, locks: Locks) -> None:
    """Put the records of unfinished journals over those of the lock files.

    A lock file that somebody has replaced since the run began is taken as it is.
    """
    for path in paths(store.local):
        begun: dict[str, bytes] = {}
        for entry in entries(path):
            if entry[0] == "begin":
                begun = entry[1]
            elif entry[0] == "stage":
                _, pipeline, name, row = entry
                if begun.get(pipeline, b"") == lock_content(root, pipeline):
                    locks.setdefault(pipeline, {})[name] = lockfile.of_plain(row)
            elif entry[0] == "gone":
                locks.get(entry[1], {}).pop(entry[2], None)


def held(local: str) -> Iterator[tuple[str, list[Oid], list[Node], list[Node]]]:
    """What journals keep alive: each one's path, records of experiments, nodes that must be whole,
    and stages' outputs.

    *local* is where a workspace has what is its own; see `Store`.
    """
    for path in paths(local):
        records: list[Oid] = []
        nodes: list[Node] = []
        outs: list[Node] = []
        stays: dict[str, list[list[Node]]] = {}
        for entry in entries(path):
            if entry[0] == "hold":
                nodes.append(Node(*entry[1]))
            elif entry[0] == "record":
                records.append(Oid(entry[1]))
            elif entry[0] == "change":
                for each in changes_of(entry):
                    nodes += [node for node in (each.old, each.new) if node is not None]
            elif entry[0] == "stage":
                outs += [node for _, node in lockfile.of_plain(entry[3]).outs]
            elif entry[0] == "was":
                nodes += (node for _, node in stay_of(entry) if node is not None)
            elif entry[0] == "stay":
                known = stays.setdefault(entry[1], [])
                known.append([node for _, node in stay_of(entry) if node is not None])
                del known[:-2]  # the last one may not hold
        nodes += (node for last in stays.values() for each in last for node in each)
        yield path, records, nodes, outs


def _holds(store: Store, kept: Any = None) -> bool:
    """Whether the step that a `stay` is of has its name; see `Journal.stay`."""
    if kept is None:
        return True
    name, wanted, result = kept
    try:
        oid = store.experiments.get(name)
        while oid is not None:
            row = store.get_record(record.EXPERIMENT, oid)
            if oid == wanted or row["result"][1] == result:
                return True
            oid = row.get("before")
    except (StoreError, KeyError, TypeError, IndexError):
        pass
    return False


def edited(store: Store, root: str) -> dict[str, bytes | None]:
    """Params files that hold what a run has set for itself, with the user's own bytes of each.

    None stands for no file. A file that somebody has edited since is the user's own as it is.
    """
    found: dict[str, bytes | None] = {}
    for path in paths(store.local):
        edits: list[Edit] = []
        for entry in entries(path):
            if entry[0] == "edit":
                edits.append(entry[1:])
            elif entry[0] == "keep" or (entry[0] == "name" and is_there(store, *entry[1:3])):
                edits.clear()
        for name, old, new in edits:
            with contextlib.suppress(OSError), open(os.path.join(root, name), "rb") as file:
                if of_bytes(file.read()) == new:
                    found[name] = old
    return found


def sweep(store: Store) -> list[str]:
    """Clear folders that outlived their journals; the caller holds the workspace lock.

    Says where outputs are kept that lay in one of them.
    """
    notes = []
    for name in os.listdir(journal_folder(store)):
        path = f"{journal_folder(store)}/{name}"
        if name.endswith(".aside") and not os.path.exists(path.removesuffix("aside") + "journal"):
            notes += _clear_aside(store, path)
    return notes


def _clear_aside(store: Store, folder: str) -> list[str]:
    """Remove the folder of a journal that is over; outputs that are still in it are kept.

    Every output that a journal speaks of has left the folder by then. What is in it lost its entry
    in a power cut, and nothing says what it was or whether there is a copy.
    """
    try:
        left = sorted(os.listdir(folder))
    except OSError:
        left = []
    notes = []
    if left:
        kept = moved_outputs.keep_replaced(
            store, UNRECORDED, {name: f"{folder}/{name}" for name in left}
        )
        notes.append(f"outputs that a run had moved before a power cut are kept in {kept}")
    restore.remove(folder)
    return notes


def recover(store: Store, root: str, locks: Locks) -> list[str]:
    """Finish what killed runs left; the caller holds the workspace lock. Says what was put back.

    *locks* are the lock files' records with `overlay` applied.
    """
    notes = []
    for path in paths(store.local):
        pipelines: set[str] = set()
        open_asides: dict[str, list[Move]] = {}
        stays: dict[str, Stay] = {}
        open_changes: list[Change] = []
        edits: list[Edit] = []
        for entry in entries(path):
            if entry[0] == "edit":
                edits.append(entry[1:])
            elif entry[0] == "keep":
                edits.clear()
            elif entry[0] == "name" and is_there(store, *entry[1:3]):
                edits.clear()
                held = entry[3] if len(entry) > 3 else ""
                if held:
                    point(store, held)
            elif entry[0] == "aside":
                open_asides[entry[1]] = [_here(root, path, Move(*move)) for move in entry[2]]
                stays.pop(entry[1], None)
            elif entry[0] == "stay" and _holds(store, *entry[3:]):
                stays[entry[1]] = stay_of(entry)
                moved_outputs.let_go(store, entry[1], open_asides.pop(entry[1], []))
            elif entry[0] == "back":
                open_asides.pop(entry[1], None)
                stays.pop(entry[1], None)
            elif entry[0] == "change":
                open_changes = [] if history.is_done(store, entry[2]) else changes_of(entry)
            elif entry[0] == "changed":
                open_changes = []
            elif entry[0] in ("stage", "gone"):
                pipelines.add(entry[1])
                stage = address(entry[1], entry[2])
                stays.pop(stage, None)
                moved_outputs.let_go(store, stage, open_asides.pop(stage, []))
        if open_changes:
            notes.append("a command that was changing files was cut short; they are as before")
            notes += _change_back_each(store, root, open_changes)
        for stage, moves in open_asides.items():
            moved_outputs.put_back(store, root, stage, moves)
            notes.append(f"stage {stage!r} was cut short; its outputs are as they were before")
        for stage, outs in stays.items():
            notes += _rewound(store, root, stage, outs)
        for pipeline in (*locks, *(edit[0] for edit in edits)):
            _sweep(os.path.dirname(os.path.join(root, pipeline)))
        for pipeline in pipelines:
            _write_lock(root, pipeline, locks.get(pipeline, {}))
        undone, not_undone = roll_back(root, edits)
        notes += [f"{name} is as it was before the run that was cut short" for name in undone]
        notes += not_undone
        os.unlink(path)
        notes += _clear_aside(store, path.removesuffix(".journal") + ".aside")
    return notes


def _here(root: str, journal: str, move: Move) -> Move:
    """A move in the project where the journal lies now: one that was copied has its own outputs."""
    if not move.spot:
        return move
    folder, name = os.path.split(move.spot)
    if not name.startswith(durable.TEMPORARY):
        folder = journal.removesuffix(".journal") + ".aside"
    else:
        folder = os.path.dirname(os.path.join(root, move.path))
    return move._replace(spot=f"{folder}/{name}")


def _rewound(store: Store, root: str, stage: str, outs: Stay) -> list[str]:
    """Outputs of a stage with checkpoints, back to where it had come."""
    text = f"stage {stage!r} was cut short"
    partial = moved_outputs.place(store, "partial", stage)
    restore.remove(partial)
    try:
        with store.scratch() as scratch:
            changed = rewind.rewind(store, root, outs, partial, scratch)
    except (StoreError, PermissionError) as error:
        return [f"{text}; its outputs could not be put back: {error}"]
    more = f"; {', '.join(changed)} as before" if changed else ""
    return [f"{text}; it goes on from its last checkpoint{more}"]


def _change_back_each(store: Store, root: str, made: list[Change]) -> list[str]:
    """The same, for what a killed command left: what cannot be put back does not keep the rest."""
    notes = []
    with store.scratch() as scratch:
        try:
            change_back(store, root, made, scratch)
        except (StoreError, PermissionError):
            for each in reversed(made):
                try:
                    change_back(store, root, [each], scratch)
                except (StoreError, PermissionError) as error:
                    notes.append(f"{each.path} could not be put back: {error}")
    return notes


def _write_lock(root: str, pipeline: str, records: dict[str, StageRecord]) -> None:
    text = lockfile.dump(records).encode()
    path = os.path.join(root, lockfile.beside(pipeline))
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        if file.read() == text:
            return
    durable.replace(path, text)


def _sweep(folder: str) -> None:
    """Remove temporary files that a kill left beside a lock or params file."""
    for name in os.listdir(folder):
        if name.startswith(durable.TEMPORARY):
            restore.remove(os.path.join(folder, name))
