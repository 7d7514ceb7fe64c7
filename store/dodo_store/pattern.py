"""Pattern: a regular expression that is compiled when it is first asked.

Most commands ask few of those that their modules have.
"""

from __future__ import annotations

from contextlib import contextmanager

from dodo_store import own

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
        if name.startswith("_"):
            raise AttributeError(name)
        import re

        found = getattr(re.compile(self._text, self._flags), name)
        setattr(self, name, found)
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        import re

        return re.compile, (self._text, self._flags)


def pattern(text: str) -> re.Pattern[str]:
    """As `re.compile`; flags are given in the text, and a fault in it shows when it is asked."""
    return _Pattern(text)  # type: ignore[return-value]


@contextmanager
def compiled_later() -> Iterator[None]:
    """For a block, in which others' modules are imported, `re.compile` gives such patterns.

    In a process of our own, and alone in it: nobody else is to get one.
    """
    import re
    import threading

    compile = re.compile
    if own.is_ours() and threading.active_count() == 1:
        re.compile = _Pattern  # type: ignore[assignment]
    try:
        yield
    finally:
        re.compile = compile
