"""Forks: much small work shared among processes that live only for it.

Reading and writing a small file is as much Python as it is system calls, and only one thread at a
time runs Python. A process that is forked begins with all that is known here, and costs 2 ms.
"""

from __future__ import annotations

import marshal
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from dodo_store import durable

Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[[Sequence[Item], bool], list[Result]]
"""What to do with some items, perhaps for the second time; results are such as marshal knows."""

SHARE = 256
"""Items from which on a process is worth it."""

BLOCK = 8192
"""Items that are shared out at a time, so that progress can be told in between."""

MOST = 8
"""Processes, at most."""

_STOPS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT}


def each(items: Sequence[Item], work: Work[Item, Result]) -> list[Result]:
    """The results of *work* on all items, in order, a share of them from every processor.

    A share that another process did not finish is done again here, so whatever is wrong with it is
    raised here.
    """
    count = _count(len(items))
    if count == 1:
        return work(items, False)
    size = -(-len(items) // count)
    own, *shares = (items[start : start + size] for start in range(0, len(items), size))
    children: list[Aside[list[Result]]] = []
    try:
        for share in shares:
            children.append(Aside(partial(work, share, False)))
        results = work(own, False)
        for share, child in zip(shares, children, strict=True):
            done = child.result()
            results += work(share, True) if done is None else done
    finally:
        for child in children:
            child.end()
    return results


def _count(items: int) -> int:
    """How many processes; one where a fork is not worth it."""
    if items < 2 * SHARE or not can_fork():
        return 1
    return max(1, min(MOST, len(os.sched_getaffinity(0)), items // SHARE))


def can_fork() -> bool:
    """Whether a fork is safe at this moment.

    A lock that another thread holds at the moment of a fork stays locked in the child for good.
    """
    return sys.platform == "linux" and threading.active_count() == 1


class Aside(Generic[Result]):
    """A process that works something out, which marshal knows, while we do something else."""

    def __init__(self, work: Callable[[], Result], *, lets_go: bool = False) -> None:
        """One that *lets go* does not keep our locks when we are killed: it changes nothing."""
        self._pipe, theirs = os.pipe()
        # A signal that came to the child between two steps would unwind it as if it were us.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
        try:
            self._pid = os.fork()
            if self._pid == 0:
                _work(work, theirs, lets_go)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            os.close(theirs)

    def is_done(self) -> bool:
        """Whether `result` need not wait."""
        return bool(select.select([self._pipe], [], [], 0)[0])

    def result(self) -> Result | None:
        """What it came to; None if it did not finish. Asked once."""
        with open(self._pipe, "rb", closefd=False) as pipe:
            data = pipe.read()
        try:
            found: Result = marshal.loads(data)
        except (ValueError, EOFError, TypeError):
            return None
        return found

    def end(self) -> None:
        """Nothing of it is left."""
        os.close(self._pipe)
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)


def _work(work: Callable[[], object], pipe: int, lets_go: bool) -> None:
    """What the child does; it ends here whatever happens."""
    try:
        if lets_go:
            os.closerange(3, pipe)
            os.closerange(pipe + 1, 1 << 16)
        for number in _STOPS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
        result: Any = work()
        durable.write_all(pipe, marshal.dumps(result))
    finally:
        os._exit(0)
