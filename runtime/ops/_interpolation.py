"""Resizing along one axis as a table: which elements each element of the result is a weighted sum of.

Resize is separable, so a table for each axis is all there is to it. Tables depend on sizes and attributes, not on data,
and are made on the host; the adjoint of a table, which the gradient needs, is a table again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..errors import InvalidInput


class Line(NamedTuple):
    """One axis to resize: element i of the result lies i · numerator / denominator elements into the input."""

    size: int
    resized: int
    numerator: float
    denominator: float
    start: float = 0.0
    end: float = 1.0

    @property
    def scale(self) -> float:
        return self.denominator / self.numerator

    @property
    def width(self) -> float:
        """The size of the result before it was rounded down to `resized`."""
        return self.size * self.denominator / self.numerator

    def back(self, x: np.ndarray) -> np.ndarray:
        """Distances in the result as distances in the input; exact wherever both are whole."""
        return x * self.numerator / self.denominator


@dataclass(frozen=True)
class Table:
    """result[i] = Σₜ weights[t, i] · input[source[t, i]], or input[source[0, i]] where there are no weights.

    `outside` marks the elements of the result that do not depend on the input.
    """

    source: np.ndarray
    weights: np.ndarray | None
    outside: np.ndarray | None = None


def _transposed(table: Table, size: int) -> Table:
    """The table of the transposed map, back to an axis of `size` elements."""
    taps, resized = table.source.shape
    weights = np.ones((taps, resized)) if table.weights is None else table.weights
    if table.outside is not None:
        weights = np.where(table.outside, 0.0, weights)
    to = np.broadcast_to(np.arange(resized), (taps, resized))
    pairs, pair = np.unique(table.source.ravel() * resized + to.ravel(), return_inverse=True)
    summed = np.bincount(pair, weights.ravel(), minlength=len(pairs))
    pairs, summed = pairs[summed != 0], summed[summed != 0]
    read = pairs // max(1, resized)
    rank = np.arange(len(read)) - np.searchsorted(read, read)
    source = np.zeros((int(rank.max(initial=0)) + 1, size), np.int64)
    spread = np.zeros(source.shape)
    source[rank, read], spread[rank, read] = pairs % max(1, resized), summed
    return Table(source, spread)


def _align_corners(i: np.ndarray, line: Line) -> np.ndarray:
    """By the width before rounding, as in ONNX's own tests."""
    return i * 0.0 if line.width == 1 else i * (line.size - 1) / (line.width - 1)


def _half_pixel(i: np.ndarray, line: Line) -> np.ndarray:
    return line.back(i + 0.5) - 0.5


def _crop_and_resize(i: np.ndarray, line: Line) -> np.ndarray:
    last = line.size - 1
    if line.resized == 1:
        return i * 0.0 + 0.5 * (line.start + line.end) * last
    return line.start * last + i * (line.end - line.start) * last / (line.resized - 1)


COORDINATES: dict[str, Callable[[np.ndarray, Line], np.ndarray]] = {
    "half_pixel": _half_pixel,
    "half_pixel_symmetric": lambda i, line: line.size / 2 * (1 - line.resized / line.width) + _half_pixel(i, line),
    "pytorch_half_pixel": lambda i, line: i * 0.0 if line.resized == 1 else _half_pixel(i, line),
    "align_corners": _align_corners,
    "asymmetric": lambda i, line: line.back(i),
    "tf_half_pixel_for_nn": lambda i, line: line.back(i + 0.5),
    "tf_crop_and_resize": _crop_and_resize,
}
"""`coordinate_transformation_mode` → the place in the input that each element of the result comes from."""

NEAREST: dict[str, Callable[[np.ndarray, Line], np.ndarray]] = {
    "round_prefer_floor": lambda x, line: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x, line: np.floor(x + 0.5),
    "floor": lambda x, line: np.floor(x),
    "ceil": lambda x, line: np.ceil(x),
    "outward": lambda x, line: np.ceil(x) if line.scale < 1 else np.floor(x),
}
"""`nearest_mode` → the element chosen for a place; `outward` is how version 10, which has no modes, chooses."""


def _triangle(distance: np.ndarray, a: float) -> np.ndarray:
    return np.clip(1 - abs(distance), 0, 1)


def _cubic(distance: np.ndarray, a: float) -> np.ndarray:
    """Equation 4 of R. Keys, Cubic Convolution Interpolation for Digital Image Processing, 1981."""
    d = abs(distance)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((d - 5) * d + 8) * d * a - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


KERNELS: dict[str, tuple[int, Callable[[np.ndarray, float], np.ndarray]]] = {
    "linear": (1, _triangle),
    "cubic": (2, _cubic),
}
"""`mode` → (radius, weight of an element at a distance)."""


@lru_cache(maxsize=64)
def table(
    line: Line,
    *,
    mode: str,
    coordinate_transformation_mode: str,
    nearest_mode: str,
    cubic_coeff_a: float,
    exclude_outside: int,
    antialias: int,
) -> Table:
    """The table of one axis; arguments but the first are the attributes of Resize.

    Raises:
        InvalidInput: for an unknown mode, or an axis without elements to interpolate.
    """
    _known("mode", mode, {"nearest", *KERNELS})
    _known("coordinate_transformation_mode", coordinate_transformation_mode, COORDINATES)
    _known("nearest_mode", nearest_mode, NEAREST)
    if line.resized == 0:
        return Table(np.zeros((1, 0), np.int64), None)
    if line.size == 0:
        raise InvalidInput(f"an axis without elements cannot be resized to {line.resized}")
    # Scales are float32: only in float32 does a place that was meant to be whole come out whole.
    rounded = mode == "nearest" and line.numerator == 1
    steps = np.arange(line.resized, dtype=np.float32 if rounded else np.float64)
    place = COORDINATES[coordinate_transformation_mode](steps, line)
    outside = None
    if coordinate_transformation_mode == "tf_crop_and_resize":
        outside = (place < 0) | (place > line.size - 1)
    if mode == "nearest":
        chosen = NEAREST[nearest_mode](place, line).clip(0, line.size - 1)
        return Table(chosen.astype(np.int64)[None], None, outside)
    source, weights = _weighted(place, line, mode, cubic_coeff_a, exclude_outside, antialias)
    kept = np.asarray(weights.any(axis=1))
    kept[0] |= not kept.any()
    return Table(source[kept], weights[kept], outside)


@lru_cache(maxsize=64)
def adjoint_table(line: Line, **attributes: Any) -> Table:
    """The transpose of `table(line, **attributes)`."""
    return _transposed(table(line, **attributes), line.size)


def _weighted(
    place: np.ndarray, line: Line, mode: str, a: float, exclude_outside: int, antialias: int
) -> tuple[np.ndarray, np.ndarray]:
    """Elements and weights around each place; antialiasing widens the kernel by as much as the axis shrinks."""
    radius, kernel = KERNELS[mode]
    narrowing = min(line.scale, 1.0) if antialias else 1.0
    before = np.ceil(place) - 1
    first = int(np.floor(-radius / narrowing)) + 1
    offsets = np.arange(first, 2 - first)[:, None]
    weights = kernel((offsets - (place - before)) * narrowing, a)
    elements = before + offsets
    if exclude_outside:
        weights = np.where((elements < 0) | (elements >= line.size), 0.0, weights)
    if antialias or exclude_outside:
        weights = weights / weights.sum(axis=0)
    return elements.clip(0, line.size - 1).astype(np.int64), weights


def _known(attribute: str, value: str, names: Collection[str]) -> None:
    if value not in names:
        raise InvalidInput(f"{attribute} {value!r} is unknown; expected one of {sorted(names)}")
