"""Pattern: a regular expression that is compiled when it is first asked.

Most commands ask few of those that their modules have.
"""

from __future__ import annotations

from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Iterator
    from typing import Any


class _Pattern:
    def __init__(self, text: str, flags: int = 0) -> None:
        self._text = text
        self._flags = flags

    def __getattr__(self, name: str) -> Any:
        import re

        found = getattr(re.compile(self._text, self._flags), name)
        setattr(self, name, found)
        return found


def pattern(text: str) -> re.Pattern[str]:
    """As `re.compile`; flags are given in the text, and a fault in it shows when it is asked."""
    return _Pattern(text)  # type: ignore[return-value]


@contextmanager
def compiled_later() -> Iterator[None]:
    """For a block, in which others' modules are imported, `re.compile` gives such patterns."""
    import re
    import threading

    compile = re.compile
    if threading.active_count() == 1:  # else another thread might get one
        re.compile = _Pattern  # type: ignore[assignment]
    try:
        yield
    finally:
        re.compile = compile
