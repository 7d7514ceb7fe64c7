"""What can go wrong below: every error names the file it is about.

StoreError
├── Damaged        bytes on disk are not what their name or check sum says
├── Missing        something that is referred to is not in the store
├── NewerFormat    the store was written by a newer version
├── Changing       a file kept changing while it was being read
├── TooLarge       a record or an ignore file beyond its limit
├── NotStorable    a FIFO, socket, device or a link that leads outside
└── Held           somebody else holds a lock
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class StoreError(Exception):
    """Base of all errors of this package; `path` is the file in question."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process may have met it; by itself pickle passes on the message alone.
        return type(self), (self.path, str(self))


class Damaged(StoreError):
    """The bytes at `path` are not what was written there."""


class Missing(StoreError):
    """`path` names an object, tree or record that is not in the store."""


class NewerFormat(StoreError):
    """The store at `path` needs a newer version of this program."""


class Changing(StoreError):
    """`path` was written to while it was being read."""


class TooLarge(StoreError):
    """A record, usually a folder's list of names, or an ignore file is beyond its limit."""


class NotStorable(StoreError):
    """`path` is neither a regular file, a folder, nor a link inside the project."""


class Held(StoreError):
    """The lock at `path` is held; `owner` says by whom, in words, as far as known."""

    def __init__(self, path: str, owner: str) -> None:
        super().__init__(path, f"held by {owner}")
        self.owner = owner

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.owner)
