"""Check: is everything that a store refers to there, and is it what its name says?

Reads from the roots down: refs -> records -> trees -> objects, and the run-cache's records.
Which nodes a record names is the caller's knowledge; it passes it in as `nodes_of`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from dodo_store import record
from dodo_store.errors import StoreError
from dodo_store.oid import of_file
from dodo_store.store import Store
from dodo_store.tree import FOLDER, Node


class Problem(NamedTuple):
    """One thing that does not hold, and the file it is about."""

    path: str
    what: str


class Report(NamedTuple):
    """What a check saw."""

    problems: tuple[Problem, ...]
    experiments: int
    runs: int
    objects: int
    bytes: int


NodesOf = Callable[[int, Any], Iterable[Node]]


def check(store: Store, nodes_of: NodesOf) -> Report:
    """Read every byte of the store and report all that does not hold."""
    problems: list[Problem] = []
    seen: dict[Node, int] = {}
    experiments = runs = 0
    for name in sorted(store.experiments.names()):
        experiments += 1
        try:
            oid = store.experiments.get(name)
            value = None if oid is None else store.get_record(record.EXPERIMENT, oid)
            _nodes(
                store,
                nodes_of,
                record.EXPERIMENT,
                value,
                store.experiments.path(name),
                seen,
                problems,
            )
        except StoreError as error:
            problems.append(Problem(error.path, str(error)))
    for path, value in store.runs.all():
        runs += 1
        if isinstance(value, StoreError):
            problems.append(Problem(path, str(value)))
        else:
            _nodes(store, nodes_of, record.RUN, value, path, seen, problems)
    objects, size = _hash_all(store, problems)
    return Report(tuple(dict.fromkeys(problems)), experiments, runs, objects, size)


def _nodes(
    store: Store,
    nodes_of: NodesOf,
    kind: int,
    value: Any,
    path: str,
    seen: dict[Node, int],
    problems: list[Problem],
) -> None:
    """Check all that a record refers to."""
    try:
        nodes = tuple(nodes_of(kind, value))
    except Exception as error:
        # Whatever a record's reader trips over, the record is at fault.
        problems.append(Problem(path, f"not as it should be ({error!r})"))
        return
    for node in nodes:
        _walk(store, node, seen, problems)


def _walk(store: Store, node: Node, seen: dict[Node, int], problems: list[Problem]) -> int:
    """Everything below *node* must be there; returns its size. What was walked is not again."""
    if node in seen:
        return seen[node]
    seen[node] = node.size
    if node.kind != FOLDER:
        if not store.objects.has(node.oid, node.size):
            problems.append(Problem(store.objects.path(node.oid), "missing, or of another size"))
        return node.size
    try:
        entries = store.tree(node.oid)
    except StoreError as error:
        problems.append(Problem(error.path, str(error)))
        return node.size
    total = sum(_walk(store, inner, seen, problems) for _, inner in entries)
    if total != node.size:
        text = f"a folder of {total} bytes, recorded as {node.size}"
        problems.append(Problem(store.trees.path(node.oid), text))
    return node.size


def _hash_all(store: Store, problems: list[Problem]) -> tuple[int, int]:
    count = size = 0
    for pool in (store.objects, store.trees, store.records):
        for oid in pool.oids():
            path = pool.path(oid)
            count += 1
            try:
                size += os.path.getsize(path)
                if of_file(path) != oid:
                    problems.append(Problem(path, "its content does not match its name"))
            except OSError as error:
                problems.append(Problem(path, f"cannot be read ({error.strerror})"))
    return count, size
