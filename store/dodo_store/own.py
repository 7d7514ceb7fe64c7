"""Own: whether this process is a command of ours.

In one, nobody else minds how modules are loaded or when memory is tidied; in a notebook or under
doit somebody may.
"""

from __future__ import annotations

_is_ours = False


def claim() -> None:
    """This process is a command of ours, from here on."""
    global _is_ours
    _is_ours = True


def is_ours() -> bool:
    """Whether it is."""
    return _is_ours
