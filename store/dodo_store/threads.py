"""Threads: the few that read and copy files side by side.

Hashing and system calls leave the interpreter's lock alone, so threads serve as well as processes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_pool: tuple[int, ThreadPoolExecutor] | None = None


def each(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Call *function* for every item, several at a time; results in order.

    Raises:
        What a call raised, once those that had begun are over.
    """
    global _pool
    if _pool is None or _pool[0] != os.getpid():  # threads do not outlive a fork
        workers = min(8, max(2, os.cpu_count() or 2))
        _pool = (os.getpid(), ThreadPoolExecutor(workers, thread_name_prefix="dodo-read"))
    futures = [_pool[1].submit(function, item) for item in items]
    try:
        return [future.result() for future in futures]
    except BaseException:
        for future in futures:
            future.cancel()
        for future in futures:
            if not future.cancelled():
                future.exception()
        raise
