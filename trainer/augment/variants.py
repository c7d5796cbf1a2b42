"""More training images from those there are: each is turned, scaled, slanted and moved a little, by a seed."""

from __future__ import annotations

import numpy as np

from ...runtime.errors import InvalidInput
from ...runtime.random import derive, uniform
from ..data.dataset import Dataset
from .sampling import sampled

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
    count, height, width, _ = x.shape
    draws = uniform(np, derive(seed, "augment"), 0, (6, count, 1, 1)) * 2 - 1
    angle, slant = np.deg2rad(draws[0] * rotate), draws[1] * shear
    down, across = np.exp(draws[2] * scale), np.exp(draws[3] * scale)
    middle = (height - 1) / 2, (width - 1) / 2
    rows = np.arange(height, dtype=np.float32)[:, None] - np.float32(middle[0])
    columns = np.arange(width, dtype=np.float32) - np.float32(middle[1])
    cos, sin = np.cos(angle), np.sin(angle)
    source_row = (cos * rows - sin * columns) * down + draws[4] * shift + middle[0]
    source_column = (sin * rows + cos * columns + slant * rows) * across + draws[5] * shift + middle[1]
    return np.asarray(sampled(np, x, source_row, source_column, precision=np.float64), x.dtype)


def enlarged(data: Dataset, copies: int, seed: int = 0, **strength: float) -> Dataset:
    """The images of a data set, followed by `copies` random variants of each; `strength` is that of `random_affine`."""
    variants = [random_affine(data.x, derive(seed, "copy", i), **strength) for i in range(copies)]
    return Dataset(np.concatenate([data.x, *variants]), np.tile(data.y, copies + 1), data.classes, data.name)
