"""Runs single kernels on NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from striate.runtime.engines.native.emit import FLOAT, Function, Value, vector
from striate.runtime.engines.native.program import Kernel, call

Emitter = Callable[..., Value]


def apply(emit: Emitter, *inputs: np.ndarray, lanes: int, fast: bool = False) -> np.ndarray:
    """`emit(f, x, …)` on float32 arrays of one length, a register at a time; the last register may be part."""
    names = [f"x{i}" for i in range(len(inputs))]
    f = Function("apply", [*names, "y", "n"], fast=fast)
    kind = vector(FLOAT, lanes)
    addresses, target = [f.pointer(name) for name in names], f.pointer("y")
    with f.range(0, f.number("n"), lanes) as i:
        values = [f.load(kind, address + i * 4) for address in addresses]
        f.store(emit(f, *values), target + i * 4)
    kernel = Kernel.of(f)
    size = inputs[0].size
    padded = [np.zeros(-(-size // lanes) * lanes, np.float32) for _ in range(len(inputs) + 1)]
    for room, x in zip(padded, inputs, strict=False):
        room[:size] = x
    slots = np.array([room.ctypes.data for room in padded], np.int64)
    params = np.array([*range(len(padded)), size], np.int64)
    call(kernel)(params.ctypes.data, slots.ctypes.data, 0)
    return padded[-1][:size]


def ulps(y: np.ndarray, want: np.ndarray) -> np.ndarray:
    """The distance of float32 results from float64 ones in units in the last place of the latter; 0 if both are NaN.

    Infinity counts as 2¹²⁸, the number after the greatest.
    """
    beyond = 2.0**128
    with np.errstate(all="ignore"):
        right = np.clip(np.asarray(want, np.float64), -beyond, beyond)
        near = np.clip(y.astype(np.float64), -beyond, beyond)
        exponent = np.clip(np.frexp(np.where(np.isnan(right), 0.0, right))[1] - 24, -149, 104)
        distance = np.abs(near - right) / np.ldexp(1.0, exponent)
    distance = np.where(np.isnan(y) & np.isnan(want), 0.0, distance)
    return np.where(np.isnan(distance), np.inf, distance)
