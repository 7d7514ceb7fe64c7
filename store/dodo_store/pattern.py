"""Pattern: a regular expression that is compiled when it is first asked.

Most commands ask few of those that their modules have.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from typing import Any


class _Pattern:
    def __init__(self, text: str) -> None:
        self._text = text

    def __getattr__(self, name: str) -> Any:
        import re

        found = getattr(re.compile(self._text), name)
        setattr(self, name, found)
        return found


def pattern(text: str) -> re.Pattern[str]:
    """As `re.compile`; flags are given in the text, and a fault in it shows when it is asked."""
    return _Pattern(text)  # type: ignore[return-value]
