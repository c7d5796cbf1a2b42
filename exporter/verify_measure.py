"""Differences of two values of any ONNX type, in pieces of bounded size: measuring needs little memory of its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..runtime.dtypes import is_float
from .verify import ulp_distance
from .verify_tolerance import Allowed

__all__ = ["Difference", "Statistics", "describe", "identical", "measure", "statistics"]

CHUNK = 1 << 20
"""Elements measured at once."""


@dataclass(frozen=True)
class Statistics:
    """What one side holds: of finite numbers only; None where there are none."""

    smallest: float | None = None
    largest: float | None = None
    mean: float | None = None
    not_finite: int = 0


@dataclass(frozen=True)
class Difference:
    """Of two values.

    Attributes:
        max_abs: largest |ours − theirs|; for text how many differ.
        max_rel: largest |ours − theirs| / |theirs|.
        max_ulp: largest distance in units in the last place; None where the dtype is not floating point.
        of_range: max_abs / the largest finite |theirs|.
        excess: the largest |ours − theirs| over what is allowed there; above 1 they differ.
        worst: where that is, with both elements there; None where nothing differs.
        fault: what makes the two incomparable, or an empty text.
    """

    max_abs: float = 0.0
    max_rel: float = 0.0
    max_ulp: float | None = None
    of_range: float = 0.0
    excess: float = 0.0
    worst: tuple[int, ...] | None = None
    ours_there: str = ""
    theirs_there: str = ""
    fault: str = ""

    @property
    def agrees(self) -> bool:
        """Whether the difference is within what is allowed."""
        return not self.fault and self.excess <= 1


def identical(a: Any, b: Any) -> bool:
    """Whether two values are the same, bit for bit."""
    if a is b:
        return True
    if isinstance(a, list) or isinstance(b, list):
        both = isinstance(a, list) and isinstance(b, list) and len(a) == len(b)
        return both and all(map(identical, a, b))
    if not isinstance(a, np.ndarray) or not isinstance(b, np.ndarray):
        return isinstance(a, dict) and isinstance(b, dict) and a == b
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.dtype.hasobject:
        return bool((a == b).all())
    x, y = (np.ascontiguousarray(side).reshape(-1).view(np.uint8) for side in (a, b))
    return all(np.array_equal(x[i : i + 8 * CHUNK], y[i : i + 8 * CHUNK]) for i in range(0, x.size, 8 * CHUNK))


def describe(value: Any) -> tuple[str, tuple[int, ...]]:
    """(type, shape) for people: `float32`, `3 tensors`, `map`, `none`."""
    if isinstance(value, np.ndarray):
        return "string" if value.dtype.kind in "OSUT" else str(value.dtype), value.shape
    if isinstance(value, list):
        return f"sequence of {len(value)}", ()
    return ("nothing" if value is None else "map"), ()


def statistics(value: Any) -> Statistics:
    """Smallest, largest and mean of the finite elements of a tensor of numbers."""
    if not isinstance(value, np.ndarray) or not value.size or value.dtype.kind in "OSUTc":
        return Statistics()
    low, high, total, count = math.inf, -math.inf, 0.0, 0
    flat = np.ascontiguousarray(value).reshape(-1)
    for i in range(0, flat.size, CHUNK):
        part = flat[i : i + CHUNK].astype(np.float64)
        part = part[np.isfinite(part)]
        if part.size:
            low, high = min(low, float(part.min())), max(high, float(part.max()))
            total, count = total + float(part.sum()), count + part.size
    if not count:
        return Statistics(not_finite=flat.size)
    return Statistics(low, high, total / count, flat.size - count)


def measure(ours: Any, theirs: Any, allowed: Callable[[Any, Any, float], Allowed], *, wide: bool = False) -> Difference:
    """The difference of two values; of a sequence or map that of its worst part.

    Args:
        allowed: (ours, theirs, largest finite |theirs|) → what they may differ by.
        wide: `theirs` may be in float64 where ours is a narrower float.
    """
    if isinstance(ours, list) and isinstance(theirs, list):
        if len(ours) != len(theirs):
            return _fault(f"{len(ours)} tensors here, {len(theirs)} there")
        parts = [measure(a, b, allowed, wide=wide) for a, b in zip(ours, theirs, strict=True)]
        return max(parts, key=lambda d: (bool(d.fault), d.excess, d.max_abs), default=Difference())
    if isinstance(ours, dict) and isinstance(theirs, dict):
        if sorted(ours) != sorted(theirs):
            return _fault("other keys in the map")
        a, b = (np.asarray([m[k] for k in sorted(ours)]) for m in (ours, theirs))
        return measure(a, b, allowed, wide=wide)
    if not isinstance(ours, np.ndarray) or not isinstance(theirs, np.ndarray):
        both = ours is None and theirs is None
        return Difference() if both else _fault(f"{describe(ours)[0]} here, {describe(theirs)[0]} there")
    return _tensors(ours, theirs, allowed, wide)


def _fault(text: str) -> Difference:
    return Difference(math.inf, math.inf, None, math.inf, math.inf, fault=text)


def _is_text(x: np.ndarray) -> bool:
    return x.dtype.kind in "OSUT"


def _tensors(
    ours: np.ndarray, theirs: np.ndarray, allowed: Callable[[Any, Any, float], Allowed], wide: bool
) -> Difference:
    if ours.shape != theirs.shape:
        return _fault(f"shape {list(ours.shape)} here, {list(theirs.shape)} there")
    comparable = ours.dtype == theirs.dtype or (_is_text(ours) and _is_text(theirs))
    if not comparable and not (wide and is_float(ours.dtype) and is_float(theirs.dtype)):
        return _fault(f"dtype {ours.dtype} here, {theirs.dtype} there")
    if _is_text(ours):
        return _texts(ours, theirs)
    floating = is_float(ours.dtype)
    if identical(ours, theirs):
        return Difference(max_ulp=0.0 if floating else None)
    largest = _largest_finite(theirs)
    return _numbers(ours, theirs, allowed(ours, theirs, largest), largest)


def _texts(ours: np.ndarray, theirs: np.ndarray) -> Difference:
    differ = np.asarray(ours.astype(object) != theirs.astype(object)).reshape(ours.shape)
    count = float(differ.sum())
    if not count:
        return Difference()
    worst = _unravel(int(differ.reshape(-1).argmax()), ours.shape)
    return Difference(
        count, count, None, count / ours.size, math.inf, worst, repr(ours[worst])[:80], repr(theirs[worst])[:80]
    )


def _numbers(ours: np.ndarray, theirs: np.ndarray, allowed: Allowed, largest: float) -> Difference:
    floating, inexact = is_float(ours.dtype), ours.dtype.kind == "c" or is_float(ours.dtype)
    a, b = (np.ascontiguousarray(x).reshape(-1) for x in (ours, theirs))
    max_abs = max_rel = max_ulp = excess = 0.0
    worst = -1
    for i in range(0, a.size, CHUNK):
        x, y = a[i : i + CHUNK], b[i : i + CHUNK]
        difference, size = _apart(x, y, inexact)
        with np.errstate(all="ignore"):
            relative = np.where(difference == 0, 0.0, difference / size)
            bound = np.where(np.isfinite(size), allowed.relative * size, 0.0) + allowed.absolute
            limit = bound if inexact else np.maximum(bound, allowed.steps)
            over = np.where(difference == 0, 0.0, np.where(np.isinf(difference), np.inf, difference / limit))
        max_abs = max(max_abs, float(difference.max()))
        max_rel = max(max_rel, float(np.nan_to_num(relative, nan=np.inf, posinf=np.inf).max()))
        if floating:
            near = y if x.dtype == y.dtype else y.astype(x.dtype)
            max_ulp = max(max_ulp, float(ulp_distance(x, near).max()))
        at = int(over.argmax())
        if over[at] > excess:
            excess, worst = float(over[at]), i + at
    if worst < 0:
        return Difference(max_ulp=max_ulp if floating else None)
    of_range = max_abs / largest if largest else math.inf
    there = str(a[worst]), str(b[worst])
    ulp = max_ulp if floating else None
    return Difference(max_abs, max_rel, ulp, of_range, excess, _unravel(worst, ours.shape), *there)


def _apart(x: np.ndarray, y: np.ndarray, inexact: bool) -> tuple[np.ndarray, np.ndarray]:
    """|x − y| and |y| in float64; equal infinities and two NaNs are not apart, one NaN is infinitely so."""
    kind = np.complex128 if x.dtype.kind == "c" else np.float64
    a, b = x.astype(kind), y.astype(kind)
    with np.errstate(all="ignore"):
        same = (a == b) if inexact else (x == y)
        same = same | (np.isnan(a) & np.isnan(b))
        difference = np.abs(a - b)
        if not inexact:
            difference = np.maximum(difference, 1.0)
        return np.where(same, 0.0, np.nan_to_num(difference, nan=np.inf, posinf=np.inf)), np.abs(b)


def _largest_finite(x: np.ndarray) -> float:
    largest, flat = 0.0, np.ascontiguousarray(x).reshape(-1)
    kind = np.complex128 if x.dtype.kind == "c" else np.float64
    for i in range(0, flat.size, CHUNK):
        part = np.abs(flat[i : i + CHUNK].astype(kind))
        part = part[np.isfinite(part)]
        largest = max(largest, float(part.max()) if part.size else 0.0)
    return largest


def _unravel(index: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(index, shape))
