"""Text: what holds for every file that a user wrote, whatever its format."""

from __future__ import annotations

from dodo_exp.errors import BadInput, Location
from dodo_exp.pipeline.model import MAX_BYTES

MAX_DEPTH = 64
"""Levels of mappings and lists."""


def decode(data: bytes, file: str) -> str:
    """The text of a file that the user wrote.

    Raises:
        BadInput: too large, not UTF-8, or with NUL bytes.
    """
    if len(data) > MAX_BYTES:
        raise BadInput(file, f"larger than {MAX_BYTES >> 20} MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The decoder counts from behind a byte order mark.
        offset = 3 if data.startswith(b"\xef\xbb\xbf") else 0
        line = data.count(b"\n", 0, error.start + offset) + 1
        raise BadInput(Location(file, line), "not UTF-8 text") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise BadInput(Location(file, line), "a NUL byte in the text")
    return text
