"""What machine code is made for: read off the processor, never off its name."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["Host", "host"]

_VECTORS = (("avx512f", 64, 32), ("avx2", 32, 16), ("avx", 32, 16), ("neon", 16, 32))
"""Feature → bytes of a vector register, how many of them; the first that the processor has counts."""
_DEFAULT = (16, 16)


@dataclass(frozen=True)
class Host:
    """A processor.

    Attributes:
        cpu, features: as LLVM names them.
        vector_bytes: of one register; `registers`: how many there are.
        l1, l2: bytes of data cache of one core.
        cores: that this process may use.
    """

    cpu: str
    features: str
    vector_bytes: int
    registers: int
    l1: int
    l2: int
    cores: int

    @property
    def lanes(self) -> int:
        """float32 numbers in a register."""
        return self.vector_bytes // 4


@cache
def host() -> Host:
    """The processor this runs on."""
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    vector_bytes, registers = next(((b, r) for name, b, r in _VECTORS if features.get(name)), _DEFAULT)
    name = llvm.get_host_cpu_name()
    return Host(name, features.flatten(), vector_bytes, registers, _cache(1), _cache(2), cores())


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cache(level: int) -> int:
    """Bytes of the data cache of a level; common sizes where the system does not tell."""
    for folder in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        try:
            kind, size = (folder / "type").read_text().strip(), (folder / "size").read_text().strip()
            if (folder / "level").read_text().strip() == str(level) and kind != "Instruction":
                return int(size.removesuffix("K")) << 10
        except (OSError, ValueError):
            continue
    return {1: 32 << 10, 2: 1 << 20}[level]
