"""What something was measured on, and how much memory this process takes."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

from ..runtime.engines.native.host import cores

__all__ = ["cores", "cpu_seconds", "forget_peak", "machine", "peak_resident", "resident"]

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
"""Written to clear_refs: the peak starts anew at what is resident now."""


def machine() -> str:
    """Cores and processor, in a few words."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    count = cores()
    return f"{count} core{'s' * (count != 1)} ({name})"


def resident() -> int | None:
    """Bytes of this process that are in memory; None where the system does not tell."""
    return _status("VmRSS")


def peak_resident() -> int | None:
    """The most they have been, since `forget_peak` where that works; None where the system does not tell."""
    found = _status("VmHWM")
    if found is None and sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found


def forget_peak() -> None:
    """Starts the peak anew, where the system can."""
    try:
        _CLEAR.write_text(_RESET_PEAK, encoding="ascii")
    except OSError:
        return


def _status(field: str) -> int | None:
    """A field of Linux's own account; `getrusage` would count what the parent process had before this one began."""
    try:
        lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith(f"{field}:")), None)


def cpu_seconds(pid: int) -> float | None:
    """What a process has computed so far, all threads together; None where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / float(os.sysconf("SC_CLK_TCK"))
