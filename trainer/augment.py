"""More training images from those there are: each is turned, scaled, slanted and moved a little, by a seed."""

from __future__ import annotations

import numpy as np

from ..runtime.errors import InvalidInput
from ..runtime.random import derive, uniform
from .data import Dataset

__all__ = ["enlarged", "random_affine"]


def random_affine(
    x: np.ndarray, seed: int = 0, *, rotate: float = 0.0, scale: float = 0.0, shear: float = 0.0, shift: float = 0.0
) -> np.ndarray:
    """Every image under an affine map of its own about its centre, by bilinear interpolation, with 0 outside.

    Args:
        x: `(N, H, W, C)` of a floating-point dtype.
        rotate: up to so many degrees either way.
        scale: each axis by a factor between exp(-scale) and exp(scale).
        shear: up to so many pixels sideways per pixel of height.
        shift: up to so many pixels along each axis.

    Returns:
        Images of the shape and dtype of `x`.
    """
    if x.ndim != 4 or x.dtype.kind != "f":
        raise InvalidInput(
            f"x is {x.dtype}{list(x.shape)}; expected floating-point images (N, height, width, channels)"
        )
    count, height, width, channels = x.shape
    draws = uniform(np, derive(seed, "augment"), 0, (6, count, 1, 1)) * 2 - 1
    angle, slant = np.deg2rad(draws[0] * rotate), draws[1] * shear
    down, across = np.exp(draws[2] * scale), np.exp(draws[3] * scale)
    middle = (height - 1) / 2, (width - 1) / 2
    rows = np.arange(height, dtype=np.float32)[:, None] - np.float32(middle[0])
    columns = np.arange(width, dtype=np.float32) - np.float32(middle[1])
    cos, sin = np.cos(angle), np.sin(angle)
    source_row = (cos * rows - sin * columns) * down + draws[4] * shift + middle[0]
    source_column = (sin * rows + cos * columns + slant * rows) * across + draws[5] * shift + middle[1]
    return _sampled(x, source_row, source_column).astype(x.dtype).reshape(count, height, width, channels)


def enlarged(data: Dataset, copies: int, seed: int = 0, **strength: float) -> Dataset:
    """The images of a data set, followed by `copies` random variants of each; `strength` is that of `random_affine`."""
    variants = [random_affine(data.x, derive(seed, "copy", i), **strength) for i in range(copies)]
    return Dataset(np.concatenate([data.x, *variants]), np.tile(data.y, copies + 1), data.classes, data.name)


def _sampled(x: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Bilinear values at fractional places `(N, H, W)`; a border of zeros stands for all that is outside."""
    count, height, width, _ = x.shape
    padded = np.pad(x, ((0, 0), (1, 2), (1, 2), (0, 0)))
    rows, columns = np.clip(rows + 1, 0, height + 1), np.clip(columns + 1, 0, width + 1)
    top, left = rows.astype(np.int64), columns.astype(np.int64)
    lower, right = (rows - top)[..., None], (columns - left)[..., None]
    image = np.arange(count)[:, None, None]
    upper_pair = padded[image, top, left] * (1 - right) + padded[image, top, left + 1] * right
    lower_pair = padded[image, top + 1, left] * (1 - right) + padded[image, top + 1, left + 1] * right
    result: np.ndarray = upper_pair * (1 - lower) + lower_pair * lower
    return result
