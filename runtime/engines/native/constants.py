"""Memory for what programs never change: weights, tables.

Small arrays lie together in large blocks, which the system can map by huge pages: networks read all their weights in
every run, and looking up thousands of small pages takes a tenth of the time. Equal arrays are kept once in a process,
whoever needs them: plans for other batch sizes, other sessions of the same model.
"""

from __future__ import annotations

import hashlib
import threading
import weakref
from collections.abc import Callable

import numpy as np

from .program import ALIGNMENT, aligned

__all__ = ["Constants"]

FIRST, LARGEST = 1 << 16, 16 << 20
"""Bytes of a program's first block, and at most: each is twice as large as the one before."""
OWN = 2 << 20
"""Arrays of so many bytes have memory of their own."""
SHARED_FROM = 4096
"""Bytes of an array that is worth looking for an equal one."""
SAMPLE = 64
"""So many elements tell most arrays apart."""

_known: dict[tuple[int, bytes], list[weakref.ref[np.ndarray]]] = {}
_lock = threading.RLock()  # collecting garbage under it may end an array, whose `_forget` then comes from within


class Constants:
    """Keeps arrays for one program, as bytes at aligned addresses."""

    def __init__(self) -> None:
        self._block = np.empty(0, np.uint8)
        self._next = FIRST

    def keep(self, array: np.ndarray) -> np.ndarray:
        """The bytes of an array, which must not change from now on."""
        content = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        if content.nbytes >= OWN and content.ctypes.data % ALIGNMENT == 0:
            return _only(content)
        return self.read(content.nbytes, lambda place: np.copyto(place, content))

    def read(self, nbytes: int, fill: Callable[[np.ndarray], None]) -> np.ndarray:
        """So many bytes, which `fill` writes where they will stay."""
        if nbytes >= OWN:
            made = aligned(nbytes)
            fill(made)
            return _only(made)
        room = -(-nbytes // ALIGNMENT) * ALIGNMENT
        if len(self._block) < room:
            self._block = aligned(max(self._next, room))
            self._next = min(2 * self._next, LARGEST)
        made = self._block[:nbytes]
        fill(made)
        only = _only(made)
        if only is made:
            self._block = self._block[room:]
        return only


def _only(content: np.ndarray) -> np.ndarray:
    """The first array of equal bytes, which may be this one; small ones are not looked for."""
    if content.nbytes < SHARED_FROM:
        return content
    step = max(1, content.nbytes // SAMPLE)
    key = content.nbytes, hashlib.blake2b(content[::step].tobytes(), digest_size=16).digest()
    with _lock:
        found = [a for ref in _known.get(key, ()) if (a := ref()) is not None]
        for other in found:
            if np.array_equal(other, content):
                return other
        _known[key] = [weakref.ref(a) for a in (*found, content)]
        weakref.finalize(content, _forget, key)
    return content


def _forget(key: tuple[int, bytes]) -> None:
    with _lock:
        left = [ref for ref in _known.get(key, ()) if ref() is not None]
        if left:
            _known[key] = left
        else:
            _known.pop(key, None)
