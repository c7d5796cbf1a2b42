"""From sums to bytes: what quantised kernels do to registers before they store.

    q = saturate(round(v / scale) + zero), halves to even

Bytes are unsigned everywhere; int8 values lie 128 higher, and so do their zero points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from ..emit import BYTE, FLOAT, INT32, Function, Operand, Value, vector
from ..layouts import Plain

__all__ = [
    "TARGET_FIELDS",
    "Scale",
    "clamped",
    "exactly",
    "flip_of",
    "float_bits",
    "float_number",
    "low_bytes",
    "nearest",
    "quotient",
    "store_bytes",
    "target_arguments",
    "unsigned",
]

TARGET_FIELDS = ("low", "high", "zero")
"""Fields of a kernel that writes bytes: bounds of the quotient before rounding, and the zero point."""


@dataclass(frozen=True)
class Scale:
    """What a byte stands for: (byte − zero) · scale."""

    scale: float
    zero: int

    def bounds(self, lower: float = -inf, upper: float = inf) -> tuple[float, float]:
        """The least and the greatest quotient, of values cut off at `lower` and `upper` first."""
        least, most = -self.zero, 255 - self.zero
        low, high = (float(np.clip(np.float32(v) / np.float32(self.scale), least, most)) for v in (lower, upper))
        return low, high


def exactly(f: Function) -> Function:
    """Lets LLVM round every operation, as the operators do one after the other."""
    f.fast = ""
    return f


def float_bits(x: float) -> int:
    """A float32 as a field holds it; see `float_number`."""
    return int(np.float32(x).view(np.int32))


def float_number(f: Function, field: str) -> Value:
    """A field that is a float32."""
    return f.bitcast(f.convert(f.number(field), INT32), FLOAT)


def target_arguments(target: Scale, lower: float = -inf, upper: float = inf) -> Mapping[str, int]:
    """For `TARGET_FIELDS`."""
    low, high = target.bounds(lower, upper)
    return {"low": float_bits(low), "high": float_bits(high), "zero": target.zero}


def flip_of(layout: Plain) -> int:
    """What turns plain bytes into blocked ones and back, by exclusive or."""
    return 128 if layout.dtype == np.int8 else 0


def unsigned(f: Function, x: Value) -> Value:
    """Bytes from 0 to 255 as int32."""
    kind = vector(INT32, x.type.lanes or 1)
    return f.emit(kind, f"zext {x.type} {x.text} to {kind}")


def clamped(f: Function, x: Value, low: Operand, high: Operand) -> Value:
    """min(max(x, low), high); `low` for NaN."""
    low, high = f.value(low, x.type), f.value(high, x.type)
    x = f.select(x > low, x, low)
    return f.select(x < high, x, high)


def quotient(f: Function, x: Value, scale: Value) -> Value:
    """x / scale, correctly rounded unless it is infinite: three multiplications instead of a division (Markstein)."""
    inverse, scale = f.value(f.value(1.0, FLOAT) / scale, x.type), f.value(scale, x.type)
    guess = x * inverse
    return f.fma(f.fma(-guess, scale, x), inverse, guess)


def nearest(f: Function, x: Value) -> Value:
    """float32 → int32, halves to even."""
    lanes = x.type.lanes
    target, suffix = vector(INT32, lanes or 1), f"v{lanes}i32.v{lanes}f32" if lanes else "i32.f32"
    name = f"llvm.lrint.{suffix}"
    f.declared.setdefault(name, f"declare {target} @{name}({x.type})")
    return f.emit(target, f"call {target} @{name}({x.type} {x.text})")


def low_bytes(f: Function, numbers: Sequence[Value]) -> Value:
    """The lowest byte of each lane of some vectors of int32, one vector after the other; a power of two of them."""
    lanes = numbers[0].type.lanes
    if len(numbers) == 1:
        return f.convert(numbers[0], BYTE)
    parts = [f.bitcast(n, vector(BYTE, 4 * lanes)) for n in numbers]
    first = [4 * i for i in range(lanes)]
    parts = [
        f.shuffle(a, b, first + [4 * lanes + i for i in first]) for a, b in zip(parts[::2], parts[1::2], strict=True)
    ]
    while len(parts) > 1:
        size = parts[0].type.lanes
        parts = [f.shuffle(a, b, range(2 * size)) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def store_bytes(f: Function, numbers: Sequence[Value], at: Value, zero: Value) -> None:
    """Adds the zero point to whole numbers and stores bytes; of vectors side by side four, two, then one at once."""
    lanes = numbers[0].type.lanes
    done = 0
    for together in (4, 2, 1):
        while len(numbers) - done >= together:
            some = low_bytes(f, numbers[done : done + together])
            f.store(some + zero, at + done * lanes, align=lanes)
            done += together
