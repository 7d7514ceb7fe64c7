"""Units: durations and sizes, read and written the same way everywhere.

See docs/reference/settings.md, "Durations and sizes".
"""

from __future__ import annotations

import math

from dodo_store.pattern import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DURATIONS = "a duration is written as 90s, 90min, 3h55m, 1.5h, 2d or 1w; a bare number is seconds"
SIZES = "a size is written as 8G or 1.5GB, 500MiB or 8Gi; a bare number is bytes"

_SECONDS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86_400),
    **dict.fromkeys(("w", "week", "weeks"), 604_800),
    **dict.fromkeys(("y", "year", "years"), 31_536_000),
}
_NUMBER = pattern(r"\d+(?:\.\d*)?|\.\d+")
_PART = pattern(r"(\d+(?:\.\d*)?|\.\d+)\s*([a-z]+)\s*")
_SIZE = pattern(r"(?i)(\d+(?:\.\d*)?|\.\d+)\s*([kmgtpe]?)(i?)b?")


def parse_duration(value: Any) -> float:
    """Seconds in a duration: `90`, `90s`, `90min`, `3h55m`, `1.5h`, `2d`, `1w`.

    Raises:
        ValueError: anything else, also what is below zero.
    """
    if _is_number(value):
        return float(value)
    text = value.strip() if isinstance(value, str) else ""
    if _NUMBER.fullmatch(text):
        return float(text)
    total, end = 0.0, 0
    while match := _PART.match(text, end):
        if match[2] not in _SECONDS:
            break
        total += float(match[1]) * _SECONDS[match[2]]
        end = match.end()
    if not end or end < len(text) or not math.isfinite(total):
        raise ValueError(f"not a duration: {value!r}")
    return total


def parse_size(value: Any) -> float:
    """Bytes in a size: `8G` and `8GB` in powers of 1000, `8Gi` and `8GiB` of 1024; or a number.

    Raises:
        ValueError: anything else, also what is below zero.
    """
    if _is_number(value):
        return float(value)
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or (match[3] and not match[2]):
        raise ValueError(f"not a size: {value!r}")
    power = " kmgtpe".index(match[2].lower() or " ")
    return float(match[1]) * int((1024 if match[3] else 1000) ** power)


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value >= 0


def format_size(count: int) -> str:
    """Bytes for people, in powers of 1000: 512 B, 1.5 kB, 8 GB."""
    if count < 1000:
        return f"{count} B"
    value, units = count / 1000, ["kB", "MB", "GB", "TB", "PB"]
    while value >= 999.5 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.3g} {units[0]}"


def format_duration(seconds: float) -> str:
    """Seconds for people: 3.2 s, 4:05, 2:03:04."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
