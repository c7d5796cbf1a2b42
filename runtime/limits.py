"""How much a running model may ask for; what a file may ask for while it is read is in `reader.Limits`."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["LOOP_TRIPS", "RANK", "RUN_BYTES", "VALUE_BYTES"]


def _memory() -> int:
    """The machine's memory in bytes, or the container's share of it; 64 GiB where the system does not tell."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 1 << 36
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            text = Path("/sys/fs/cgroup", name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdecimal():
            memory = min(memory, int(text))
    return memory


VALUE_BYTES = min(_memory(), 1 << 36)
"""No single value may be larger than this: what memory there is, and never more than 64 GiB."""

RUN_BYTES = _memory() // 10 * 9
"""A run may not make the process hold more than this; see `memory`."""

RANK = 64
"""More dimensions no NumPy array can have."""

LOOP_TRIPS = 30_000
"""How often all the loops of one run together may go round, unless the session's options say otherwise."""
