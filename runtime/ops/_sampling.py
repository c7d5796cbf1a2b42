"""Interpolation at computed places: which elements of each axis a place reads and with what weight; and the adjoint.

Tensors [batch, channels, *spatial] are read as rows, one for each position and as wide as there are channels. A tap is
an element that places read; one tap along each axis together make a corner. All indices are in range by construction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ..errors import InvalidInput
from ._numerics import polynomial
from ._scatter import combine_by_pairs

_A = -0.75

KERNELS: dict[str, tuple[int, tuple[tuple[float, ...], ...]]] = {
    "nearest": (0, ((1.0,),)),
    "linear": (0, ((1.0, -1.0), (0.0, 1.0))),
    "cubic": (
        -1,
        (
            (0.0, _A, -2 * _A, _A),
            (1.0, 0.0, -(_A + 3), _A + 2),
            (0.0, -_A, 2 * _A + 3, -(_A + 2)),
            (0.0, 0.0, _A, -_A),
        ),
    ),
}
"""Mode → (the first tap, counted from the element at or below the place; the weight of each tap as a polynomial, lowest
power first, in how far beyond that element the place lies). Cubic: equation 4 of R. Keys, Cubic Convolution
Interpolation for Digital Image Processing, 1981, with a = -0.75."""

PADDINGS = ("zeros", "border", "reflection")


class Tap(NamedTuple):
    """What places read along one axis, or, of a corner, in the rows.

    `weight` is None where it is 1, `inside` (else the weight counts as 0) where all are.
    """

    index: Any
    weight: Any
    inside: Any


def degree(mode: str) -> int:
    """How often the weights of a mode can be differentiated before nothing is left."""
    return max(map(len, KERNELS[mode][1])) - 1


def axis_taps(
    xp: Any,
    place: Any,
    size: int,
    mode: str,
    padding_mode: str = "zeros",
    align_corners: int = 0,
    order: int = 0,
    scale: float = 1.0,
) -> list[Tap]:
    """The taps of places along an axis of `size` elements, element i lying at i.

    Reflection is at the centres of the outermost elements with `align_corners`, at their outer edges without. Border
    continues the axis with its outermost elements. `order` > 0 gives the weights' derivative by a variable of which the
    place is `scale` times as much.
    """
    if padding_mode == "border":
        # From there on everything read is the outermost element; and no place is infinite.
        place = xp.clip(place, -3, size + 2)
    first, kernel = KERNELS[mode]
    base = xp.rint(place) if mode == "nearest" else xp.floor(place)
    beyond = place - base
    taps = []
    for number, coefficients in enumerate(kernel, first):
        position = base + number
        inside = None
        if padding_mode == "zeros":
            inside = (position >= 0) & (position <= size - 1)
        elif padding_mode == "reflection":
            position = _reflected(xp, position, size, align_corners)
        weight = None
        if mode != "nearest":
            weight = polynomial(xp, beyond, _derivative(coefficients, order, scale))
        taps.append(Tap(_index(xp, position, size), weight, inside))
    return taps


def _reflected(xp: Any, position: Any, size: int, align_corners: int) -> Any:
    if align_corners and size == 1:
        return position * 0
    period, last = (2 * size - 2, 2 * size - 2) if align_corners else (2 * size, 2 * size - 1)
    position = xp.remainder(position, period)
    return xp.minimum(position, last - position)


def _index(xp: Any, position: Any, size: int) -> Any:
    """Positions as indices, those outside moved to the nearest element; NaN becomes 0.

    The second minimum is for axes so long that the dtype of places rounds their length.
    """
    position = xp.where(position == position, xp.clip(position, 0, size - 1), xp.zeros((), position.dtype))
    return xp.minimum(position.astype(np.int64), size - 1)


def _derivative(coefficients: Sequence[float], order: int, scale: float) -> tuple[float, ...]:
    for _ in range(order):
        coefficients = [scale * power * c for power, c in enumerate(coefficients)][1:]
    return tuple(coefficients) or (0.0,)


def corners(xp: Any, taps: Sequence[Sequence[Tap]], spatial: Sequence[int]) -> Iterator[Tap]:
    """All corners of places [batch, places], given the taps along each axis: their rows, weights and masks, flat."""
    batch = taps[0][0].index.shape[0]
    starts = xp.arange(batch)[:, None] * prod(spatial)
    for chosen in product(*taps):
        index: Any = 0
        for size, tap in zip(spatial, chosen, strict=True):
            index = index * size + tap.index
        weight, inside = None, None
        for tap in chosen:
            weight = tap.weight if weight is None else weight if tap.weight is None else weight * tap.weight
            inside = tap.inside if inside is None else inside if tap.inside is None else inside & tap.inside
        if weight is not None and inside is not None:
            weight, inside = xp.where(inside, weight, xp.zeros((), weight.dtype)), None
        flat = (None if a is None else a.reshape(-1) for a in (weight, inside))
        yield Tap((index + starts).reshape(-1), *flat)


def gather(xp: Any, rows: Any, read: Iterable[Tap]) -> Any:
    """Σ weight · rows[index] over the corners `read`: [size, width] gives [places, width]."""
    total = None
    for index, weight, inside in read:
        part = weighed(xp, xp.take(rows, index, axis=0), weight, inside)
        total = part if total is None else xp.add(total, part, out=total)
    return total


def spread(xp: Any, values: Any, read: Iterable[Tap], size: int) -> Any:
    """The adjoint of `gather`: [places, width] gives [size, width]; there must be places."""
    rows = xp.zeros((size, values.shape[1]), values.dtype)
    for index, weight, inside in read:
        combine_by_pairs(xp, rows, index, weighed(xp, values, weight, inside), xp.add)
    return rows


def weighed(xp: Any, values: Any, weight: Any, inside: Any) -> Any:
    """The rows of `values` times their weights, those not inside replaced by zero, or by empty text."""
    if weight is not None:
        return values * weight.astype(values.real.dtype, copy=False)[:, None]
    if inside is not None:
        nothing = np.asarray("", object) if values.dtype.kind == "O" else xp.zeros((), values.dtype)
        return xp.where(inside[:, None], values, nothing)
    return values


def rows_of(xp: Any, X: Any) -> Any:
    """[batch, channels, *spatial] as rows [batch · positions, channels]."""
    batch, channels, positions = X.shape[0], X.shape[1], prod(X.shape[2:])
    return X.reshape(batch, channels, positions).swapaxes(1, 2).reshape(batch * positions, channels)


def from_rows(xp: Any, rows: Any, shape: tuple[int, ...]) -> Any:
    """The inverse of `rows_of`."""
    columns = rows.reshape(shape[0], prod(shape[2:]), shape[1]).swapaxes(1, 2)
    return xp.ascontiguousarray(columns).reshape(shape)


def check_inhabited(X: Any) -> None:
    """Raises InvalidInput if X has a spatial axis without elements: there is nothing to sample."""
    if 0 in X.shape[2:]:
        raise InvalidInput(f"X has shape {list(X.shape)}: an axis without elements has nothing to sample")
