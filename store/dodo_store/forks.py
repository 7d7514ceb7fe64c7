"""Forks: much small work shared among processes that live only for it.

Reading and writing a small file is as much Python as it is system calls, and only one thread at a
time runs Python. A process that is forked begins with all that is known here, and costs 2 ms.
"""

from __future__ import annotations

import contextlib
import errno
import marshal
import os
import sys
from functools import partial

from dodo_store import durable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, TypeVar

    Item = TypeVar("Item")
    Result = TypeVar("Result")
    Work = Callable[[Sequence[Item]], list[Result]]
    """What to do with some items; results are such as marshal knows."""

SHARE = 256
"""Items from which on a process is worth it."""

MOST = 8
"""Processes, at most."""

PR_SET_PDEATHSIG = 1
_pipes: set[int] = set()
"""Our ends of pipes. A child that kept one would not notice that nobody reads the other."""


def each(items: Sequence[Item], work: Work[Item, Result], count: int | None = None) -> list[Result]:
    """The results of *work* on all items, in order, a share of them from every processor.

    *count* says how many shares, where items are more than a small file each; see `shares`.

    Raises:
        What it raised, wherever that was; then some of the work may have been done.
        ChildProcessError: somebody has killed one of the processes.
    """
    if count is None:
        count = shares(len(items))
    if count == 1:
        return work(items)
    size = -(-len(items) // count)
    own, *others = (items[start : start + size] for start in range(0, len(items), size))
    children: list[Aside | None] = []
    try:
        with undisturbed():
            for share in others:
                children.append(_aside(partial(work, share)))
        results = work(own)
        for share, child in zip(others, children, strict=True):
            results += work(share) if child is None else child.result()
    finally:
        with undisturbed():
            for child in children:
                if child is not None:
                    child.end()
    return results


def shares(items: int) -> int:
    """Among how many processes so many items would be shared."""
    if items < 2 * SHARE or not can_fork():
        return 1
    return min(MOST, len(os.sched_getaffinity(0)), items // SHARE)


def can_fork() -> bool:
    """Whether a fork is safe at this moment.

    A lock that another thread holds at the moment of a fork stays locked in the child for good.
    """
    import threading

    return sys.platform == "linux" and threading.active_count() == 1


def _stops() -> set[int]:
    from signal import SIGALRM, SIGHUP, SIGINT, SIGQUIT, SIGTERM

    return {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGALRM}


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Let signals wait for the end of a block: a child is begun and noted, or ended, as one."""
    import signal

    before = signal.pthread_sigmask(signal.SIG_BLOCK, _stops())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Aside:
    """A process that works something out, which marshal knows, while we do something else.

    It ends when we do. Whoever begins one does so `undisturbed`, and sees to its `end`.
    """

    def __init__(self, work: Callable[[], Any], *, lets_go: bool = False) -> None:
        """One that *lets go* has none of our locks: it changes nothing.

        Raises:
            OSError: there can be no more processes.
        """
        import ctypes  # noqa: F401 - once here, rather than in every child

        self._is_over = False
        self._pipe, theirs = os.pipe()
        _pipes.add(self._pipe)
        parent = os.getpid()
        try:
            self._pid = os.fork()
            if self._pid == 0:
                _work(work, theirs, parent, lets_go)
        except OSError:
            self._close()
            raise
        finally:
            os.close(theirs)

    def is_done(self) -> bool:
        """Whether `result` need not wait."""
        import select

        poll = select.poll()
        poll.register(self._pipe, select.POLLIN)
        return bool(poll.poll(0))

    def result(self) -> Any:
        """What it came to, or the error that it met. Asked once.

        Raises:
            ChildProcessError: it was killed.
        """
        with open(self._pipe, "rb", closefd=False) as pipe:
            data = pipe.read()
        self._is_over = True
        if data[:1] == _ERROR:
            raise _error(data[1:])
        try:
            return marshal.loads(data[1:])
        except (ValueError, EOFError, TypeError):
            raise _killed() from None

    def end(self) -> None:
        """Nothing of it is left."""
        from signal import SIGKILL

        with undisturbed():
            self._close()
            # Where SIGCHLD is ignored nobody is there to wait for, and the number may be another's.
            if not self._is_over:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._pid, SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._pid, 0)

    def _close(self) -> None:
        _pipes.discard(self._pipe)
        os.close(self._pipe)


_RESULT, _ERROR = b"r", b"e"


def _killed() -> OSError:
    return ChildProcessError(errno.ECHILD, "a process that did part of the work was killed")


def _error(data: bytes) -> BaseException:
    """What the child met, as far as it got to say so."""
    import pickle

    try:
        found: BaseException = pickle.loads(data)
    except (ValueError, EOFError, TypeError, pickle.UnpicklingError):
        return _killed()
    return found


def _aside(work: Callable[[], Any]) -> Aside | None:
    """One more process, if there can be one."""
    try:
        return Aside(work)
    except OSError:
        return None


def _work(work: Callable[[], object], pipe: int, parent: int, lets_go: bool) -> None:
    """What the child does; it ends here whatever happens."""
    import signal

    try:
        for number in _stops():
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
        _end_with(parent)
        _keep_only(pipe, lets_go)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _stops())
        try:
            result: Any = work()
            data = _RESULT + marshal.dumps(result)
        except Exception as error:
            import pickle

            data = _ERROR + pickle.dumps(error)
        durable.write_all(pipe, data)
    finally:
        os._exit(0)


def _end_with(parent: int) -> None:
    """Be killed by the kernel as soon as the parent is gone."""
    import ctypes
    from signal import SIGKILL

    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _keep_only(pipe: int, lets_go: bool) -> None:
    """Close what somebody else waits for the end of."""
    for other in _pipes:
        os.close(other)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in {0, 1, 2} - {pipe}:
        os.dup2(nothing, stream)
    if lets_go:
        os.closerange(3, pipe)
        os.closerange(max(pipe + 1, 3), 1 << 16)
