"""Direct convolution: which units there are, the table of taps, and the weights in the order in which they are read.

A unit is `blocks` consecutive blocks of output channels of one group. Two ways to walk the input channels:

    by blocks     the taps are (block of channels, kernel row), each followed by its `run` numbers: the kernel's columns
                  and a block's channels, one after the other in memory; of dilated kernels every column is a tap
    by channels   every channel at every place of the kernel is a tap: no work for lanes beyond the last channel, and
                  groups may begin anywhere in a block

Weights: [unit][tap][run][blocks · lanes], zeros for channels that the unit does not have.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np

from ..program import aligned
from .conv_direct import UNIT_FIELDS
from .conv_problem import Convolution
from .conv_tiles import Tiling, split_blocks, tiling

__all__ = ["Part", "Walk", "pack", "parts", "walk"]


@dataclass(frozen=True)
class Unit:
    """Blocks `block` … of the output, for one group."""

    group: int
    block: int
    blocks: int


@dataclass(frozen=True)
class Part:
    """Units of equally many blocks, which one step computes; `first` is the number of units before it."""

    tiling: Tiling
    units: tuple[Unit, ...]
    first: int


@dataclass(frozen=True)
class Walk:
    """How the input channels of a group are passed.

    Attributes:
        blocked: by blocks; else by channels.
        run: numbers of each tap.
        taps: of a group.
    """

    blocked: bool
    run: int
    taps: int


@lru_cache(512)
def flat(problem: Convolution) -> bool:
    """May a plane be taken for one long row? (The residual's layout is the caller's concern.)"""
    x, y = problem.source, problem.y
    tight = not any((x.left, x.right, y.left, y.right, x.top, x.bottom, y.top, y.bottom))
    return tight and problem.kernel == (1, 1) and problem.strides == (1, 1)


@lru_cache(512)
def walk(problem: Convolution) -> Walk:
    lanes, (rows, columns) = problem.source.lanes, problem.kernel
    if problem.inputs % lanes:
        return Walk(False, 1, problem.inputs * rows * columns)
    blocks = problem.inputs // lanes
    if problem.dilations[1] == 1:
        return Walk(True, columns * lanes, blocks * rows)
    return Walk(True, lanes, blocks * rows * columns)


@lru_cache(512)
def parts(problem: Convolution, rows_apart: bool) -> tuple[Part, ...]:
    """`rows_apart`: the rows of a plane are not one after the other, see `flat`."""
    _, _, height, width = problem.y.shape
    if not rows_apart:
        height, width = 1, height * width
    lanes, steps = problem.lanes, walk(problem)
    by_blocks: dict[int, list[Unit]] = {}
    for group in range(problem.groups):
        first = group * problem.outputs // lanes
        count = -(-(group + 1) * problem.outputs // lanes) - first
        split = split_blocks(count, height, width, steps.taps * steps.run, 4 * lanes, problem.registers)
        for blocks in split:
            by_blocks.setdefault(blocks, []).append(Unit(group, first, blocks))
            first += blocks
    made, before = [], 0
    for blocks, units in by_blocks.items():
        made.append(Part(tiling(height, width, blocks, problem.registers), tuple(units), before))
        before += len(units)
    return tuple(made)


def own_lanes(problem: Convolution) -> bool:
    """Do groups share blocks of the output?"""
    return problem.groups > 1 and problem.outputs % problem.lanes != 0


def _group_taps(problem: Convolution, group: int) -> np.ndarray:
    """Offsets in bytes from the place in block 0 of x where a window begins."""
    x, steps, (rows, columns) = problem.source, walk(problem), problem.kernel
    down, along = (problem.dilations[0] * x.row, problem.dilations[1] * x.pixel)
    if steps.blocked:
        first = group * problem.inputs // x.lanes
        blocks = [b * x.plane for b in range(first, first + problem.inputs // x.lanes)]
        many = columns if steps.run == x.lanes else 1
        return np.array([b + r * down + s * along for b, r, s in product(blocks, range(rows), range(many))])
    channels = range(group * problem.inputs, (group + 1) * problem.inputs)
    starts = [c // x.lanes * x.plane + c % x.lanes * 4 for c in channels]
    return np.array([c + r * down + s * along for c, r, s in product(starts, range(rows), range(columns))])


def _table(problem: Convolution, every: tuple[Part, ...]) -> np.ndarray:
    """The rows of all units, then the taps: of group 0 for all where the groups begin at blocks, else of each group;
    and one number more, since the tap after the last is looked up too."""
    shared = walk(problem).blocked
    taps = [_group_taps(problem, group) for group in range(1 if shared else problem.groups)]
    units = [unit for part in every for unit in part.units]
    rows = np.zeros((len(units), len(UNIT_FIELDS)), np.int64)
    per_block = 4 * problem.lanes * walk(problem).run * walk(problem).taps
    weights = bias = 0
    for row, unit in zip(rows, units, strict=True):
        before = unit.block * problem.lanes
        low = max(0, unit.group * problem.outputs - before)
        high = min((unit.group + 1) * problem.outputs - before, unit.blocks * problem.lanes)
        stop = unit.blocks * problem.lanes if unit.group == problem.groups - 1 else high
        at = rows.nbytes + (0 if shared else unit.group * taps[0].size * 8)
        skipped = unit.group * problem.inputs // problem.source.lanes * problem.source.plane if shared else 0
        row[:] = (at, skipped, weights, bias, unit.block, low, high, stop)
        weights += unit.blocks * per_block
        bias += unit.blocks * 4 * problem.lanes
    return np.concatenate([rows.ravel(), *taps, [0]]).astype(np.int64)


def _kept(values: list[np.ndarray], dtype: type) -> np.ndarray:
    """All values one after the other, at an aligned address."""
    size = sum(v.size for v in values)
    whole: np.ndarray = aligned(size * np.dtype(dtype).itemsize).view(dtype)
    np.concatenate([v.ravel() for v in values], out=whole, casting="unsafe")
    return whole


def pack(problem: Convolution, W: np.ndarray, B: np.ndarray | None, rows_apart: bool) -> dict[str, np.ndarray]:
    """The constants `weights`, `bias` and `table`."""
    every, steps, lanes = parts(problem, rows_apart), walk(problem), problem.source.lanes
    rows, columns = problem.kernel
    weights, biases = [], []
    for unit in (unit for part in every for unit in part.units):
        before, count = unit.block * problem.lanes, unit.blocks * problem.lanes
        low = max(before, unit.group * problem.outputs)
        high = min((unit.group + 1) * problem.outputs, before + count)
        some = np.zeros((count, problem.inputs, rows, columns), np.float32)
        some[low - before : high - before] = W[low:high]
        if steps.blocked:
            blocked = some.reshape(count, problem.inputs // lanes, lanes, rows, columns)
            weights.append(blocked.transpose(1, 3, 4, 2, 0))
        else:
            weights.append(some.transpose(1, 2, 3, 0))
        bias = np.zeros(count, np.float32)
        if B is not None:
            bias[low - before : high - before] = B[low:high]
        biases.append(bias)
    return {
        "weights": _kept(weights, np.float32),
        "bias": _kept(biases, np.float32),
        "table": _kept([_table(problem, every)], np.int64),
    }
