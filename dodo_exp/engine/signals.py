"""Signals: while a workspace is being changed, INT, TERM and HUP all end us the same, orderly way.

The first one raises `Signalled` in the main thread, once. Later ones only say that the user is in a
hurry: an exception in the middle of putting things in order would leave them out of order.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import weakref
from contextlib import contextmanager

from dodo_store import own

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType


class Signalled(BaseException):
    """Raised by the first signal; not an Exception, so that nothing swallows it."""

    def __init__(self, number: int) -> None:
        self.number = number


class Signals:
    """The handler: what has come so far."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._raised: Callable[[], Signalled | None] = lambda: None
        self.hurry = threading.Event()

    def again(self) -> None:
        """What has come is dealt with; the next one is the first again."""
        self.number = None
        self.hurry.clear()

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Called by Python in the main thread, between two steps of it."""
        # Python drops what is raised in a finalizer or a fork: then nobody is about to end us.
        if self.number is not None and self._raised() is not None:
            self.hurry.set()
            return
        self.number = number
        _came.append(number)
        stop = Signalled(number)
        self._raised = weakref.ref(stop)
        try:
            raise stop
        finally:
            del stop  # else this very frame would keep it


_active: list[Signals] = []

_came: list[int] = []
"""Signals since the last outermost block began; kept after it, for the command's last message."""


class _Again:
    """Sends a signal again whose exception Python had to drop, in a moment when it need not."""

    def __init__(self, onward: Callable[[sys.UnraisableHookArgs], object]) -> None:
        self._onward = onward

    def __call__(self, dropped: sys.UnraisableHookArgs, /) -> None:
        if isinstance(dropped.exc_value, Signalled):
            number = dropped.exc_value.number
            timer = threading.Timer(0.02, os.kill, (os.getpid(), number))
            timer.daemon = True
            timer.start()
        else:
            self._onward(dropped)


def _nothing(number: int, frame: FrameType | None) -> None:
    """Handle a signal by doing nothing; processes that are started do not inherit that."""


def is_ending() -> bool:
    """Whether a signal has asked the command to end; still true after the block that handled it."""
    return bool(_came)


def forget() -> None:
    """In a fork: nothing has come to us, and nobody above us handles what will."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    _active.clear()
    _came.clear()


@contextmanager
def caught() -> Iterator[Signals]:
    """Handle signals for a block; a block inside another shares its handler.

    Outside the main thread signals are somebody else's affair.
    """
    if _active or threading.current_thread() is not threading.main_thread():
        yield _active[0] if _active else Signals()
        return
    handler = Signals()
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as it is under nohup
        numbers.append(signal.SIGHUP)
    _active.append(handler)
    _came.clear()
    hook, sys.unraisablehook = sys.unraisablehook, _Again(sys.unraisablehook)
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield handler
    finally:
        # A command that a signal has ended only has to say so: one more would cut that short.
        is_ending = handler.number is not None and own.is_ours()
        for number, old in before.items():
            signal.signal(number, _nothing if is_ending else old)
        sys.unraisablehook = hook
        _active.clear()
