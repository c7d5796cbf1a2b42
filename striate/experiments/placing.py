"""Digits moved about: the same pixels at other places, background elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..runtime.random import derive, uniform
from ..trainer.data import Dataset

__all__ = ["at_positions", "placed"]


def at_positions(data: Dataset, offsets: Sequence[int]) -> Dataset:
    """Every image once for each offset, moved so many pixels to the right (left if negative); 0 comes in from outside.

    Args:
        data: images `(N, height, width, channels)`.

    Returns:
        `N · len(offsets)` images of the same size.
    """
    width = data.x.shape[2]
    moved = []
    for offset in offsets:
        x = np.zeros_like(data.x)
        kept = slice(max(0, -offset), min(width, width - offset))
        x[:, :, slice(kept.start + offset, kept.stop + offset)] = data.x[:, :, kept]
        moved.append(x)
    return replace(data, x=np.concatenate(moved), y=np.tile(data.y, len(offsets)))


def placed(data: Dataset, size: int, seed: int) -> Dataset:
    """Every image somewhere in an empty square of `size` pixels a side, at a place drawn from the seed."""
    count, height, width, channels = data.x.shape
    x = np.zeros((count, size, size, channels), np.float32)
    corners = uniform(np, derive(seed, "placed"), 0, (count, 2)) * (size - height + 1, size - width + 1)
    for i, (row, column) in enumerate(corners.astype(int)):
        x[i, row : row + height, column : column + width] = data.x[i]
    return replace(data, x=x)
