"""Many small images put together to a large one, so that they are one object in the figure."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["energy_order", "grid_of", "magnified", "mosaic"]

TILE = 48
"""Kernels and small maps are enlarged to about so many pixels, so that the gaps between them can be thin."""


def magnified(tiles: np.ndarray, size: int = TILE) -> np.ndarray:
    """`(N, h, w, …)` with every pixel repeated until the longer side has about `size`."""
    times = max(1, size // max(tiles.shape[1:3]))
    return tiles.repeat(times, 1).repeat(times, 2)


def mosaic(tiles: np.ndarray, columns: int, gap: int | None = None) -> np.ndarray:
    """Images `(N, h, w, …)` row by row; between them and where none is left NaN.

    Returns:
        float `(rows * (h + gap) - gap, columns * (w + gap) - gap, …)`.
    """
    count, height, width = tiles.shape[:3]
    gap = max(1, round(max(height, width) / 14)) if gap is None else gap
    rows = -(-count // columns)
    whole = np.full((rows * columns, height + gap, width + gap, *tiles.shape[3:]), np.nan, np.result_type(tiles, "f4"))
    whole[:count, :height, :width] = tiles
    whole = whole.reshape(rows, columns, height + gap, width + gap, *tiles.shape[3:]).swapaxes(1, 2)
    return whole.reshape(rows * (height + gap), columns * (width + gap), *tiles.shape[3:])[:-gap, :-gap]


def grid_of(count: int, aspect: float = 1.6) -> int:
    """How many columns make `count` tiles a block about `aspect` times as wide as high, without a nearly empty row."""
    wanted = math.sqrt(count * aspect)
    candidates = range(max(1, int(wanted * 0.7)), int(wanted * 1.4) + 2)
    return min(candidates, key=lambda c: 6 * (-(-count // c) * c - count) / count + abs(math.log(c / wanted)))


def energy_order(tiles: np.ndarray, count: int) -> np.ndarray:
    """The indices of the `count` tiles `(N, …)` with most energy (mean square), in ascending order of index."""
    energy = np.square(tiles.reshape(len(tiles), -1).astype(np.float64)).mean(1)
    return np.sort(np.argsort(-energy, kind="stable")[:count])
