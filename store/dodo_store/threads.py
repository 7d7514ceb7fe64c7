"""Threads: the few that read and copy large files side by side.

Hashing and system calls leave the interpreter's lock alone, so threads serve as well as processes.
"""

from __future__ import annotations

import os
from _thread import allocate_lock
from concurrent.futures import ThreadPoolExecutor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    Item = TypeVar("Item")
    Result = TypeVar("Result")


def each(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Call *function* for every item, several at a time; results in order.

    No thread is left afterwards: beside one nothing is forked. Where no more threads can be
    started, those that have been do the work, and this one does the rest.

    Raises:
        What a call raised, once those that had begun are over.
    """
    workers = min(8, max(2, os.cpu_count() or 2), len(items))
    results: dict[int, Result] = {}
    waiting = iter(range(len(items)))
    lock = allocate_lock()
    failed: list[BaseException] = []

    def work() -> None:
        while not failed:
            with lock:
                i = next(waiting, None)
            if i is None:
                return
            try:
                results[i] = function(items[i])
            except BaseException as error:
                failed.append(error)

    # A worker that could not be started stays in the pool's queue: it finds nothing left to do.
    pool = ThreadPoolExecutor(workers, thread_name_prefix="dodo-read")
    try:
        try:
            for _ in range(workers):
                pool.submit(work)
        except RuntimeError:  # submit raises it only if no thread can be started
            work()
        pool.shutdown()
    except BaseException as stop:
        failed.append(stop)  # a signal: each thread ends after the item that it has begun
        pool.shutdown()
        raise
    if failed:
        raise failed[0]
    return [results[i] for i in range(len(items))]
