"""Where the data of NumPy arrays lies, read by machine code from the objects themselves.

`x.ctypes.data` takes a microsecond, and a small model ten. In CPython an object's `id` is its address; behind its
header lie the items of a tuple, and of an array the pointer to its data, which is part of NumPy's binary interface.
That this holds is tried before it is relied on.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from functools import cache

import numpy as np

from . import compiler

__all__ = ["BIND", "readable", "through_ctypes"]

BIND = """
define internal void @bind(ptr %slots, ptr %where, ptr %objects) {
entry:
  %count = load i64, ptr %where
  %items = getelementptr i8, ptr %objects, i64 {tuple}
  br label %head
head:
  %i = phi i64 [0, %entry], [%i1, %body]
  %more = icmp ult i64 %i, %count
  br i1 %more, label %body, label %done
body:
  %i1 = add i64 %i, 1
  %item = getelementptr ptr, ptr %items, i64 %i
  %object = load ptr, ptr %item
  %field = getelementptr i8, ptr %object, i64 {object}
  %data = load i64, ptr %field
  %wanted = getelementptr i64, ptr %where, i64 %i1
  %slot = load i64, ptr %wanted
  %target = getelementptr i64, ptr %slots, i64 %slot
  store i64 %data, ptr %target
  br label %head
done:
  ret void
}
""".replace("{tuple}", str(tuple.__basicsize__)).replace("{object}", str(object.__basicsize__))
"""bind(slots, where, objects): the address of the data of array i of a tuple is written to slot where[1 + i], for i <
where[0]; all of them are 64-bit words."""

_TRIAL = (
    BIND
    + """
define void @try(ptr %slots, ptr %where, ptr %objects) {
  call void @bind(ptr %slots, ptr %where, ptr %objects)
  ret void
}
"""
)


@cache
def readable() -> bool:
    """Does `BIND` find what NumPy says of a few arrays? Objects may be laid out otherwise one day, or elsewhere."""
    if sys.implementation.name != "cpython":
        return False
    native = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(compiler.address("try", _TRIAL))
    base = np.arange(6.0)
    arrays, order = (base, base[2:], np.empty((2, 3), np.float32), base[::2]), (3, 0, 2, 1)
    where, slots = np.array([len(order), *order]), np.zeros(len(order), np.int64)
    native(slots.ctypes.data, where.ctypes.data, id(arrays))
    return all(slots[slot] == array.ctypes.data for slot, array in zip(order, arrays, strict=True))


def through_ctypes(slots: int, order: Sequence[int], arrays: tuple[np.ndarray, ...]) -> None:
    """The same for any Python, slowly: the address of arrays[i] to slot order[i]."""
    for slot, array in zip(order, arrays, strict=True):
        ctypes.c_int64.from_address(slots + 8 * slot).value = array.ctypes.data
