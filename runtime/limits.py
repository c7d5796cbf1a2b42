"""How much a running model may ask for; what a file may ask for while it is read is in `reader.Limits`."""

from __future__ import annotations

import os

__all__ = ["LOOP_TRIPS", "VALUE_BYTES"]


def _memory() -> int:
    """The machine's memory in bytes; 64 GiB where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 1 << 36


VALUE_BYTES = min(_memory(), 1 << 36)
"""No single value may be larger than this: what memory there is, and never more than 64 GiB."""

LOOP_TRIPS = 100_000
"""How often all the loops of one run together may go round, unless the session's options say otherwise."""
