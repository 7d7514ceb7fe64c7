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
from dodo_store.oid import Oid, of_file
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
    seen: set[Oid] = set()
    experiments = runs = 0
    for name in sorted(store.experiments.names()):
        experiments += 1
        try:
            oid = store.experiments.get(name)
            if oid is not None:
                value = store.get_record(record.EXPERIMENT, oid)
                for node in nodes_of(record.EXPERIMENT, value):
                    _walk(store, node, seen, problems)
        except StoreError as error:
            problems.append(Problem(error.path, str(error)))
    for path, value in _runs(store, problems):
        runs += 1
        for node in nodes_of(record.RUN, value):
            if node.oid not in seen:
                _walk(store, node, seen, problems)
        del path
    objects, size = _hash_all(store, problems)
    return Report(tuple(dict.fromkeys(problems)), experiments, runs, objects, size)


def _runs(store: Store, problems: list[Problem]) -> Iterable[tuple[str, Any]]:
    try:
        yield from store.runs.all()
    except StoreError as error:
        problems.append(Problem(error.path, str(error)))


def _walk(store: Store, node: Node, seen: set[Oid], problems: list[Problem]) -> None:
    """Everything below *node* must be there; what was walked once is not walked again."""
    if node.oid in seen:
        return
    seen.add(node.oid)
    if node.kind != FOLDER:
        if not store.objects.has(node.oid, node.size):
            problems.append(Problem(store.objects.path(node.oid), "missing, or of another size"))
        return
    try:
        entries = store.tree(node.oid)
    except StoreError as error:
        problems.append(Problem(error.path, str(error)))
        return
    for _, inner in entries:
        _walk(store, inner, seen, problems)


def _hash_all(store: Store, problems: list[Problem]) -> tuple[int, int]:
    count = size = 0
    for pool in (store.objects, store.trees, store.records):
        for oid in pool.oids():
            path = pool.path(oid)
            count += 1
            size += os.path.getsize(path)
            if of_file(path) != oid:
                problems.append(Problem(path, "its content does not match its name"))
    return count, size
