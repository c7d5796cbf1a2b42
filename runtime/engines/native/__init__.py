"""Machine code for the CPU, written by Python: see README.md."""

from __future__ import annotations

__all__ = ["available"]


def available() -> bool:
    """Whether llvmlite is installed, which turns LLVM IR into machine code, and its library can be loaded."""
    try:
        import llvmlite.binding  # noqa: F401
    except (ImportError, OSError):
        return False
    return True
