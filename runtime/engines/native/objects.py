"""Where the data of NumPy arrays lies, read by machine code from the objects themselves.

`x.ctypes.data` takes a microsecond, and a small model ten. In CPython an object's `id` is its address; behind its
header lie the items of a tuple, and of an array the pointer to its data, which is part of NumPy's binary interface.
That this holds is tried before it is relied on.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from . import compiler

__all__ = ["binder"]

_BIND = """
define void @bind(ptr %slots, ptr %where, ptr %objects) {
entry:
  %count = load i64, ptr %where
  %items = getelementptr i8, ptr %objects, i64 TUPLE
  br label %head
head:
  %i = phi i64 [0, %entry], [%i1, %body]
  %more = icmp ult i64 %i, %count
  br i1 %more, label %body, label %done
body:
  %i1 = add i64 %i, 1
  %item = getelementptr ptr, ptr %items, i64 %i
  %object = load ptr, ptr %item
  %field = getelementptr i8, ptr %object, i64 OBJECT
  %data = load i64, ptr %field
  %wanted = getelementptr i64, ptr %where, i64 %i1
  %slot = load i64, ptr %wanted
  %target = getelementptr i64, ptr %slots, i64 %slot
  store i64 %data, ptr %target
  br label %head
done:
  ret void
}
"""

Bind = Callable[[int, Sequence[int], int, tuple[np.ndarray, ...]], None]


@cache
def binder() -> Bind:
    """bind(slots, order, where, arrays): the address of arrays[i] is written to slot order[i].

    `slots` is the address of 64-bit words, `where` that of their count and then `order` itself as such words.
    """
    if sys.implementation.name != "cpython":
        return _through_ctypes
    text = _BIND.replace("TUPLE", str(tuple.__basicsize__)).replace("OBJECT", str(object.__basicsize__))
    native = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(compiler.address("bind", text))

    def bind(slots: int, order: Sequence[int], where: int, arrays: tuple[np.ndarray, ...]) -> None:
        native(slots, where, id(arrays))

    return bind if _agree(bind) else _through_ctypes


def _through_ctypes(slots: int, order: Sequence[int], where: int, arrays: tuple[np.ndarray, ...]) -> None:
    for slot, array in zip(order, arrays, strict=True):
        ctypes.c_int64.from_address(slots + 8 * slot).value = array.ctypes.data


def _agree(bind: Bind) -> bool:
    """Does it find what NumPy says of a few arrays? Objects may one day be laid out otherwise."""
    base = np.arange(6.0)
    arrays, order = (base, base[2:], np.empty((2, 3), np.float32), base[::2]), (3, 0, 2, 1)
    where, slots = np.array([len(order), *order]), np.zeros(len(order), np.int64)
    bind(slots.ctypes.data, order, where.ctypes.data, arrays)
    return all(slots[slot] == array.ctypes.data for slot, array in zip(order, arrays, strict=True))
