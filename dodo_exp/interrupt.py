"""Interrupt: what Ctrl-C does to us."""

from __future__ import annotations

# The C half of `signal`. The other wraps its numbers in enums, which takes 2 ms of every start.
import _signal  # type: ignore[import-not-found]


def ends_us() -> None:
    """At once and silently: there is nothing to put back, or nothing more to say."""
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)


def raises() -> None:
    """KeyboardInterrupt, as Python has it."""
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
