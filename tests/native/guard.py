"""Buffers that end where, or begin where, memory that must not be touched does."""

from __future__ import annotations

import ctypes
import faulthandler
import mmap
import os
import sys
from collections.abc import Callable

import numpy as np
import pytest

PAGE = mmap.PAGESIZE
NO_ACCESS = 0
_alive: list[mmap.mmap] = []

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs mprotect and fork")


def guarded(nbytes: int, align: int = 64, before: bool = False) -> np.ndarray:
    """Bytes, filled with NaN patterns, beside an inaccessible page.

    Args:
        align: of the address; what is left between the last byte and the page behind it is less than that.
        before: the page lies before the first byte instead.
    """
    pages = -(-nbytes // PAGE) + 1
    room = mmap.mmap(-1, (pages + 1) * PAGE)
    _alive.append(room)
    start = ctypes.addressof(ctypes.c_char.from_buffer(room))
    page = start if before else start + pages * PAGE
    mprotect = ctypes.CDLL(None, use_errno=True).mprotect
    mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    if mprotect(page, PAGE, NO_ACCESS):
        raise OSError(ctypes.get_errno(), "mprotect")
    first = PAGE if before else pages * PAGE - -(-nbytes // align) * align
    made = np.frombuffer(room, np.uint8, nbytes, first)
    made[:] = 255
    return made


def survives(work: Callable[[], None]) -> bool:
    """Does `work` end, in a process of its own, neither killed nor by an exception?"""
    child = os.fork()
    if child == 0:
        faulthandler.disable()
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0
