"""State: what the workspace holds now, and under which name it is kept already."""

from __future__ import annotations

import os
from contextlib import suppress

from dodo_exp.engine.journal import POINTER
from dodo_exp.errors import BadInput, Damage, DodoError
from dodo_exp.exps import index
from dodo_exp.exps.record import load
from dodo_exp.pipeline.lockfile import FORGOTTEN
from dodo_exp.pipeline.model import METRIC, PARAMS_FILE
from dodo_exp.pipeline.values import ABSENT, canonical
from dodo_store import durable, record
from dodo_store.errors import StoreError
from dodo_store.named import Named
from dodo_store.oid import Oid, of_bytes, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from dodo_exp.engine.workspace import Workspace
    from dodo_exp.pipeline.lockfile import StageRecord
    from dodo_exp.pipeline.model import Stage
    from dodo_store.store import Store

FAILED = Oid(bytes(16))
"""The state of what has failed: no workspace has it."""


def known_as(workspace: Workspace, state: Oid) -> str | None:
    """The experiment whose stages and params are as the workspace's are now.

    Looked up under the state's name, so that it costs the same however many experiments there are;
    believed only if the experiment says so itself.
    """
    store = workspace.store
    if not os.path.isdir(_states(store)):
        return _in_index(store, state)
    try:
        with open(f"{_states(store)}/{state.hex()}", encoding="utf-8") as file:
            name = file.read(500)
        oid = store.experiments.get(name)
        if oid is not None and load(store, oid).state == state:
            return name
        return _in_index(store, state)  # renamed, replaced or removed, perhaps by an undo
    except (OSError, StoreError, Damage, ValueError):
        pass
    return None


def noted_at(store: Store, name: str, state: Oid) -> tuple[str, ...]:
    """The files that say that this experiment has this state."""
    oid = store.experiments.get(name)
    kept = (store.records.path(oid),) if oid is not None else ()
    return f"{_states(store)}/{state.hex()}", store.experiments.path(name), *kept


def _in_index(store: Store, state: Oid) -> str | None:
    rows = index.rows(store)
    return next((row.name for row in rows if row.state == state and not row.error), None)


def _states(store: Store) -> str:
    return f"{store.folder}/states"


def remember(store: Store, name: str, state: Oid) -> None:
    """Note which experiment has this state, and that the workspace holds it now."""
    for _ in range(3):
        if not os.path.isdir(_states(store)):
            _note_all(store)
        with suppress(FileNotFoundError):  # gc removed the folder just now
            durable.replace(f"{_states(store)}/{state.hex()}", name.encode(), sync=False)
            break
    hold_tip(store, name)


class Held(Named):
    """What the workspace was last seen to hold: an experiment, as it was with this record.

    With `grows` also what that experiment has come to since, by more steps.
    """

    name: str
    record: Oid | None = None
    grows: bool = True

    def __str__(self) -> str:
        if self.record is None:
            return self.name
        return f"{self.name}\n{self.record.hex()}{'+' if self.grows else ''}"


NOWHERE = Oid(bytes(16))
"""In place of a record: the workspace came from the experiment and is at none of its steps."""


def hold(store: Store, held: Held) -> None:
    """Note what the workspace holds."""
    durable.replace(_pointer(store), str(held).encode())


def hold_tip(store: Store, name: str) -> None:
    """Note that the workspace holds what an experiment stands for now, and comes to from now on."""
    try:
        hold(store, Held(name, store.experiments.get(name)))
    except StoreError:
        hold(store, Held(name))


def follow(store: Store, name: str, former: Iterable[Oid | None]) -> None:
    """An experiment has lost some of its *former* records: who held it holds what is left."""
    held = holds(store)
    if held is not None and held.grows and held.name == name and held.record in former:
        hold_tip(store, name)


def holds(store: Store) -> Held | None:
    """What the workspace holds, if that is known."""
    try:
        with open(_pointer(store), encoding="utf-8") as file:
            return held_of(file.read(500))
    except (OSError, ValueError):
        return None


def held_of(text: str) -> Held | None:
    """From its own words.

    Raises:
        ValueError
    """
    name, _, oid = text.partition("\n")
    record = parse(oid.rstrip("+")) if oid else None
    return Held(name, record, oid.endswith("+") or not oid) if name else None


def hold_again(store: Store, text: str) -> None:
    """Note that the workspace holds what it held before, in its own words, if that is there."""
    try:
        held = held_of(text)
        oid = store.experiments.get(held.name) if held is not None else None
        if held is None or oid is None:
            return
        made = load(store, oid)
        if not made.error and held.record in (None, oid):
            remember(store, held.name, made.state)
        else:
            hold(store, held)
    except (StoreError, Damage, ValueError):
        return


def renamed(store: Store, old: str, new: str, state: Oid) -> None:
    """An experiment has another name: what is noted under the old one follows it."""
    path = f"{_states(store)}/{state.hex()}"
    with suppress(OSError, ValueError):
        with open(path, encoding="utf-8") as file:
            is_meant = file.read(500) == old
        if is_meant:
            durable.replace(path, new.encode(), sync=False)
    held = holds(store)
    if held is not None and held.name == old:
        hold(store, held._replace(name=new))


def _note_all(store: Store) -> None:
    """Make the notes anew, from the experiments; the newest of a state comes last and counts.

    The folder is there with all of them or not at all.
    """
    with store.scratch() as scratch:
        made = f"{scratch}/{durable.temporary_name()}"
        os.makedirs(made)
        for row in reversed(index.rows(store)):
            if row.state and not row.error:
                durable.replace(f"{made}/{row.state.hex()}", row.name.encode(), sync=False)
        with suppress(OSError):  # somebody else was faster
            os.rename(made, _states(store))


def _pointer(store: Store) -> str:
    return f"{store.local}/{POINTER}"


def current(workspace: Workspace) -> str | None:
    """The experiment that the workspace was last seen to hold, for a new one's parent."""
    held = holds(workspace.store)
    return held.name if held and workspace.store.experiments.has(held.name) else None


def held(store: Store) -> str | None:
    """What the workspace holds, in words for `hold_again`."""
    found = holds(store)
    return str(found) if found is not None else None


def of(workspace: Workspace, records: Mapping[str, StageRecord] | None = None) -> Oid:
    """Names what all stages were made from and made, and the params, also those none reads.

    *records* are taken for those of the workspace.
    """
    rows: list[Any] = [canonical(params_of(workspace))]
    known = workspace.records if records is None else records
    for address in sorted(known):
        made = known[address]
        rows.append((address, made.key, sorted((path, node.digest) for path, node in made.outs)))
    return of_bytes(record.pack(rows))


def params_of(workspace: Workspace) -> dict[str, Any]:
    """Every params file that the pipeline reads or names, or is filled from.

    As {"data": ...} or {"error": ...}.
    """
    files = {PARAMS_FILE: None} | {
        dep.file: None for stage in workspace.graph.stages.values() for dep in stage.params
    }
    for file in workspace.files.values():
        files |= dict.fromkeys((*file.params, *(dep.file for dep in file.uses)))
    found: dict[str, Any] = {}
    for path in files:
        try:
            values = workspace.params(path)
        except BadInput as error:
            found[path] = {"error": str(error)}
            continue
        if values is not None:
            found[path] = {"data": plainly(values)}
    return found


def declared_metrics(workspace: Workspace) -> list[str]:
    """Every metrics file that the pipeline names, whether it is there or not."""
    paths = {
        out.path: None
        for stage in workspace.graph.stages.values()
        for out in stage.outs
        if out.role == METRIC
    }
    paths |= {path: None for file in workspace.files.values() for path in file.metrics}
    return list(paths)


def metrics_of(workspace: Workspace) -> dict[str, Any]:
    """Every metrics file that is there, as {"data": ...} or {"error": ...}."""
    found: dict[str, Any] = {}
    for path in declared_metrics(workspace):
        try:
            found[path] = {"data": plainly(workspace.metrics(path))}
        except (FileNotFoundError, NotADirectoryError):
            continue
        except BadInput as error:
            found[path] = {"error": str(error)}
        except OSError as error:
            found[path] = {"error": f"{path}: {error.strerror}"}
    return found


def current_metrics(workspace: Workspace) -> dict[str, Any]:
    """The workspace's metrics, with null for values older than the inputs of their stage.

    The file of such values has a note: {"data": ..., "stale": words}.
    """
    found = metrics_of(workspace)
    try:
        stale = _outdated(workspace, found)
    except (DodoError, StoreError, OSError):
        return found
    for path, stage in stale.items():
        if "data" in found[path]:
            words = f"older than the inputs of stage {stage!r}"
            found[path] = {"data": _without_values(found[path]["data"]), "stale": words}
    return found


def _outdated(workspace: Workspace, paths: Iterable[str]) -> dict[str, str]:
    """Files of *paths* that were made from other inputs than today's, each with the stage.

    Only a file that still is what its stage's record says counts; any other was written later,
    by a run that goes on or by hand.
    """
    graph = workspace.graph
    makers: dict[str, str] = {}
    for path in paths:
        name = graph.maker(path)
        made = workspace.record(graph.stages[name]) if name is not None else None
        if name is None or made is None:
            continue
        holder = next((each for each in made.outs if f"{path}/".startswith(f"{each[0]}/")), None)
        if holder is not None and workspace.out_digest(holder[0]) == holder[1].digest:
            makers[path] = name
    selection = graph.select(dict.fromkeys(makers.values()))
    stale: dict[str, str] = {}
    for stage in selection.stages:
        before = [name for name in selection.after[stage.address] if name in stale]
        if not stage.frozen and (before or _has_new_inputs(workspace, stage)):
            stale[stage.address] = stale[before[0]] if before else stage.address
    return {path: stale[name] for path, name in makers.items() if name in stale}


def _has_new_inputs(workspace: Workspace, stage: Stage) -> bool:
    """Whether the stage was last run with another command, dependency or param.

    A dependency that is not there or is a URL says nothing: its data may not have been fetched,
    and a table is no reason to ask a server.
    """
    from dodo_exp.engine import fingerprint

    made = workspace.record(stage)
    if made is None or made.key == FORGOTTEN:
        return False
    elsewhere = {
        line.name: parse(line.value)
        for line in made.lines
        if line.kind == "dep" and "://" in line.name and line.value != ABSENT
    }
    now = fingerprint.take(stage, workspace, elsewhere, made.lines)
    if now.lines is made.lines:
        return False
    return any(
        change.kind != "out"
        and not (change.kind == "dep" and (change.new == ABSENT or "://" in change.name))
        for change in fingerprint.changes(made.lines, now.lines)
    )


def _without_values(value: Any) -> Any:
    if isinstance(value, dict) and value:
        return {key: _without_values(inner) for key, inner in value.items()}
    return None


def metrics_since(workspace: Workspace, started: float) -> dict[str, Any]:
    """Metrics that belong to a run which began at *started*: of stages that are up to date, and
    those that were written since. Others are there from before.
    """
    from dodo_exp.engine import plan as planning
    from dodo_exp.engine.outcome import Options

    found = metrics_of(workspace)
    try:
        selection = workspace.graph.select(workspace.graph.stages)
        steps = planning.plan(workspace, selection, Options())
    except DodoError:
        return found
    stale = {
        out.path for step in steps if step.action != planning.UNCHANGED for out in step.stage.outs
    }
    return {
        path: contents
        for path, contents in found.items()
        if path not in stale or _changed(workspace.path(path)) >= started
    }


def _changed(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def deps_of(workspace: Workspace) -> dict[str, str]:
    """Inputs that no stage makes, with their digests as recorded."""
    found = {}
    for made in workspace.records.values():
        for line in made.lines:
            if line.kind == "dep" and workspace.graph.maker(line.name) is None:
                found[line.name] = line.value
    return dict(sorted(found.items()))


def plainly(value: Any) -> Any:
    """A value that every record can hold: integers beyond 64 bits become their text."""
    if isinstance(value, dict):
        return {key: plainly(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plainly(inner) for inner in value]
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        return str(value)
    return value
