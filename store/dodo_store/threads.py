"""Threads: the few that read and copy large files side by side.

Hashing and system calls leave the interpreter's lock alone, so threads serve as well as processes.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
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
    with ThreadPoolExecutor(workers, thread_name_prefix="dodo-read") as pool:
        futures: list[Future[Result]] = []
        try:
            try:
                for item in items:
                    futures.append(pool.submit(function, item))
            except RuntimeError:  # submit raises it only if no thread can be started
                pass
            own = [function(item) for item in items[len(futures) :]]
            return [*(future.result() for future in futures), *own]
        except BaseException:
            for future in futures:
                future.cancel()
            raise
