"""Images read at fractional places, for NumPy and CuPy alike: what turning, moving and scaling are made of."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...runtime.errors import InvalidInput

__all__ = ["FILL_MODES", "sampled", "warped"]

Array = Any

FILL_MODES = ("constant", "nearest", "reflect", "wrap")
INTERPOLATIONS = ("bilinear", "nearest")

_PADDING = {"constant": (1, 2), "nearest": (0, 1), "reflect": (0, 1), "wrap": (0, 1)}
"""Rows and columns added before and after, so that a place always has neighbours below and to the right."""


def warped(
    xp: Any,
    x: Array,
    matrices: np.ndarray,
    fill_mode: str = "reflect",
    fill_value: float = 0.0,
    interpolation: str = "bilinear",
) -> Array:
    """Every image under an affine map of its own about its centre.

    Args:
        x: `(N, H, W, C)` of a floating-point dtype.
        matrices: `(N, 2, 3)` on the host: the row and column, counted from the centre in pixels, at which the result's
            (row, column, 1) is read.
        fill_mode: what lies outside: `constant` (`fill_value`), `nearest` (the edge), `reflect` (d c b a | a b c d) or
            `wrap` (a b c d | a b c d).
        interpolation: `bilinear` or `nearest`.
    """
    _, height, width, _ = x.shape
    middle = (height - 1) / 2, (width - 1) / 2
    grid = xp.asarray(np.arange(height, dtype=x.dtype)[:, None] - x.dtype.type(middle[0]))
    across = xp.asarray(np.arange(width, dtype=x.dtype) - x.dtype.type(middle[1]))
    parts = xp.asarray(matrices.astype(x.dtype))[..., None, None]
    rows = parts[:, 0, 0] * grid + parts[:, 0, 1] * across + (parts[:, 0, 2] + middle[0])
    columns = parts[:, 1, 0] * grid + parts[:, 1, 1] * across + (parts[:, 1, 2] + middle[1])
    if interpolation == "nearest":
        rows, columns = xp.floor(rows + 0.5), xp.floor(columns + 0.5)
    return sampled(xp, x, rows, columns, fill_mode, fill_value, whole=interpolation == "nearest")


def sampled(
    xp: Any,
    x: Array,
    rows: Array,
    columns: Array,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
    *,
    whole: bool = False,
    precision: Any = None,
) -> Array:
    """Bilinear values of images `(N, H, W, C)` at fractional rows and columns `(N, H', W')`: `(N, H', W', C)`.

    Args:
        whole: the places are whole numbers, so that nothing needs to be interpolated.
        precision: the dtype of the weights and of the result; that of x if left out.
    """
    count, height, width, channels = x.shape
    precision = precision or x.dtype
    before, after = _PADDING[fill_mode]
    kind = {"constant": "constant", "wrap": "wrap"}.get(fill_mode, "edge")
    value = {"constant_values": fill_value} if kind == "constant" else {}
    padded = xp.pad(x, ((0, 0), (before, after), (before, after), (0, 0)), mode=kind, **value)
    rows, columns = _inside(xp, rows, height, fill_mode), _inside(xp, columns, width, fill_mode)
    stride = width + before + after
    top, left = rows.astype(xp.int64), columns.astype(xp.int64)
    corner = top * stride + left
    corner += xp.arange(count).reshape(-1, 1, 1) * ((height + before + after) * stride)
    flat = padded.reshape(-1, channels)
    if whole:
        return xp.take(flat, corner, axis=0)
    lower = (rows - top.astype(rows.dtype)).astype(precision)[..., None]
    right = (columns - left.astype(rows.dtype)).astype(precision)[..., None]
    left_share = 1 - right
    upper_pair = xp.take(flat, corner, axis=0) * left_share + xp.take(flat, corner + 1, axis=0) * right
    corner += stride
    lower_pair = xp.take(flat, corner, axis=0) * left_share + xp.take(flat, corner + 1, axis=0) * right
    return upper_pair * (1 - lower) + lower_pair * lower


def _inside(xp: Any, places: Array, size: int, fill_mode: str) -> Array:
    """Places in the padded image that hold what the fill mode says."""
    if fill_mode == "constant":
        return xp.clip(places + 1, 0, size + 1)
    if fill_mode == "wrap":
        places = places - xp.floor(places / size) * size
        return xp.clip(places, 0, np.nextafter(places.dtype.type(size), places.dtype.type(0)))
    if fill_mode == "reflect":
        turned = places + 0.5
        turned = turned - xp.floor(turned / (2 * size)) * (2 * size)
        places = xp.minimum(turned, 2 * size - turned) - 0.5
    return xp.clip(places, 0, size - 1)


def checked_sampling(fill_mode: str, interpolation: str) -> None:
    """Raises InvalidInput for a fill mode or interpolation that is not there."""
    if fill_mode not in FILL_MODES:
        raise InvalidInput(f"fill_mode is {fill_mode!r}; expected one of {', '.join(FILL_MODES)}")
    if interpolation not in INTERPOLATIONS:
        raise InvalidInput(f"interpolation is {interpolation!r}; expected one of {', '.join(INTERPOLATIONS)}")
