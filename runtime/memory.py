"""Keeps a run from filling the machine: what has been computed is counted, and now and then the process is measured."""

from __future__ import annotations

import os
import sys
from typing import Any

from . import limits
from .errors import LimitExceeded

__all__ = ["Meter", "check_room"]

SMALL = 1 << 26
"""Bytes whose allocation needs no look at what the process holds."""

ITEM = 128
"""Bytes of an array in a sequence, besides its elements."""


def resident() -> int:
    """Bytes of memory this process holds; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        pass
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return 0


def check_room(nbytes: int) -> None:
    """Checks that the process may hold `nbytes` more.

    Raises:
        LimitExceeded: if not.
    """
    if nbytes > SMALL and resident() + nbytes > limits.RUN_BYTES:
        raise LimitExceeded(
            f"{nbytes:,} more bytes are needed, with which the process would hold more than the {limits.RUN_BYTES:,} "
            "that are allowed"
        )


class Meter:
    """Counts the bytes of results; each time as many have come together as a look is worth, the process is measured."""

    def __init__(self) -> None:
        self.since = 0

    def took(self, nbytes: int) -> None:
        """Counts a result.

        Raises:
            LimitExceeded: if the process holds more than it may.
        """
        self.since += nbytes
        if self.since > SMALL:
            self.since = 0
            held = resident()
            if held > limits.RUN_BYTES:
                raise LimitExceeded(
                    f"the process holds {held:,} bytes of memory; at most {limits.RUN_BYTES:,} are allowed"
                )


def size_of(value: Any) -> int:
    """Bytes of an array, text counted as pointers; of a sequence those of its last item and its own."""
    if isinstance(value, list):
        return len(value) * ITEM + size_of(value[-1]) if value else 0
    return getattr(value, "nbytes", 0)
