"""Moved outputs: where outputs lie that are out of a stage's way, and how they come back."""

from __future__ import annotations

import os
import time

from dodo_exp.engine import rewind
from dodo_store import restore
from dodo_store.named import Named
from dodo_store.oid import of_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dodo_store.store import Store

KEPT = 5
"""How many times outputs that no recorded run had made are kept."""


class Move(Named):
    """An output in its stage's way: its path, where it lies meanwhile ("" if there was none), and
    whether it can be dropped once the stage has gone well, because the store can bring it back.
    """

    path: str
    spot: str
    is_known: bool


def place(store: Store, what: str, stage: str) -> str:
    """Where a stage's `partial` or `replaced` outputs or its part of the `logs` are kept."""
    # '~' is in the names of runs' logs, in the same folder; '.' and '..' would lead out of it.
    name = stage.replace("%", "%25").replace("/", "%2F").replace("~", "%7E")
    name = f"%2E{name[1:]}" if name.startswith(".") else name
    if len(os.fsencode(name)) > 200:
        # '%' and '-': no shorter name has them side by side.
        name = f"{name[:40]}%-{of_bytes(os.fsencode(stage)).hex()}"
    return f"{store.local}/{what}/{name}"


def keep_replaced(store: Store, stage: str, places: dict[str, str]) -> str:
    """Keep outputs that no recorded run had made, the last few times; say where.

    *places* are the outputs' paths and where they lie.
    """
    folder = place(store, "replaced", stage)
    os.makedirs(folder, exist_ok=True)
    for old in sorted(os.listdir(folder))[: -(KEPT - 1)]:
        restore.remove(f"{folder}/{old}")
    seconds, rest = divmod(time.time_ns(), 1_000_000_000)
    moment = time.strftime("%Y-%m-%dT%H.%M.%S", time.localtime(seconds))
    kept = f"{folder}/{moment}.{rest:09}"
    for path, spot in places.items():
        os.makedirs(os.path.dirname(f"{kept}/{path}"), exist_ok=True)
        rewind.move(spot, f"{kept}/{path}")
    return kept


def let_go(store: Store, stage: str, moves: list[Move]) -> str | None:
    """Drop old outputs that the store knows and keep the others; say where."""
    strange = {m.path: m.spot for m in moves if not m.is_known and os.path.lexists(m.spot)}
    kept = keep_replaced(store, stage, strange) if strange else None
    for move in moves:
        if move.spot:
            restore.remove(move.spot)
    return kept


def put_back(store: Store, root: str, stage: str, moves: list[Move]) -> None:
    """Old outputs to where they were; what lies there to `partial`.

    An output that was there and is not aside was never moved: it is the old one still.
    """
    kept = place(store, "partial", stage)
    restore.remove(kept)
    for path, spot, _ in moves:
        full = os.path.join(root, path)
        is_aside = os.path.lexists(spot)
        if os.path.lexists(full) and (is_aside or not spot):
            os.makedirs(os.path.dirname(f"{kept}/{path}"), exist_ok=True)
            rewind.move(full, f"{kept}/{path}")
        if is_aside:
            os.makedirs(os.path.dirname(full), exist_ok=True)
            os.rename(spot, full)
