"""Boot: tells one start of the machine from the next.

What is in the page cache is lost with the power, so a cache that believes a file's stat must know
whether it was written since the machine started.
"""

from __future__ import annotations

from functools import cache


@cache
def boot_id() -> str:
    """Name of this run of the operating system; "" where the system does not say (not Linux)."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read(100).strip()
    except OSError:
        return ""
