"""Which way to compute a convolution is fastest: an estimate in cycles of one core.

    products      registers of results · numbers added to each, two a cycle; a group of few tiles waits for its sums
    transforms    so many cycles per tile and block of channels, in and out
    weights       bytes from the caches or memory, while products are added: with a small picture each is hardly used
    steps         the price of each

Tiles that reach beyond the picture are paid for in whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from ..host import host
from ..layouts import Blocked
from .conv_problem import Convolution

__all__ = ["choose", "estimate", "fits"]


@dataclass(frozen=True)
class _Way:
    """Cycles per tile and block of channels for the transform of x, and of y; number of steps."""

    transform: float
    transform_back: float
    steps: int


WAYS: Mapping[int, _Way] = {0: _Way(0, 0, 1), 2: _Way(90, 70, 3), 3: _Way(150, 120, 3), 4: _Way(240, 200, 3)}
"""m → its price; 0 is direct convolution, of 1×1 positions at a time and without transforms."""
PRODUCTS_PER_CYCLE = 1.85
LATENCY = 4
"""Cycles until a sum can be added to again."""
NEAR_BYTES_PER_CYCLE, FAR_BYTES_PER_CYCLE = 40, 4
"""Of weights: those that half of the second-level cache can hold, and those beyond: two thirds of what memory delivers,
half of what the last cache does, for products do not hide all of the rest. Found with whole networks."""
STEP_CYCLES = 1500


def fits(problem: Convolution) -> bool:
    """Is it a convolution for Winograd's method at all, whatever the frame of x?"""
    if (problem.kernel, problem.strides, problem.dilations, problem.groups) != ((3, 3), (1, 1), (1, 1), 1):
        return False
    same = isinstance(problem.x, Blocked) and problem.x.lanes == problem.lanes
    return same and min(problem.pads) >= 0 and problem.inputs > 0


def estimate(problem: Convolution, m: int) -> float:
    """Cycles; m = 0 for direct convolution."""
    n, _, height, width = problem.y.shape
    blocks_in, blocks_out = -(-problem.inputs // problem.lanes), problem.y.blocks
    way, edge = WAYS[m], max(m, 1)
    taps = (m + 2) ** 2 if m else 9
    tiles = n * -(-height // edge) * -(-width // edge)
    most = max(1, (problem.registers - 3) // 2)
    groups = max(1, -(-tiles // most))
    pairs = -(-blocks_out // 2)
    waiting = pairs * groups * LATENCY
    products = taps * problem.inputs * max(tiles * blocks_out / PRODUCTS_PER_CYCLE, waiting)
    transforms = tiles * (blocks_in * way.transform + blocks_out * way.transform_back)
    weights = taps * problem.inputs * blocks_out * problem.lanes * 4
    near = min(weights, host().l2 // 2)
    reading = near / NEAR_BYTES_PER_CYCLE + (weights - near) / FAR_BYTES_PER_CYCLE
    return max(products, reading) + transforms + way.steps * STEP_CYCLES


@cache
def choose(problem: Convolution) -> int:
    """The m for `winograd`, or 0 if direct convolution is expected to be at least as fast."""
    return min(WAYS if fits(problem) else (0,), key=lambda m: estimate(problem, m))
