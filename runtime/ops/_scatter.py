"""Writing rows of one array to chosen rows of another, some of them several times; and the gradient of picking rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from ..errors import InvalidInput
from ._axes import inverse

REDUCTIONS = {"add": "add", "mul": "multiply", "max": "maximum", "min": "minimum"}
"""The specification's `reduction` → the function that combines two values."""

NARROW = 16
"""Up to this width rows are written element by element where that is fast."""


def scatter_rows(xp: Any, target: Any, rows: Any, updates: Any, reduction: str) -> None:
    """`target[rows[i]] = updates[i]`, or combined with what is there by `reduction`; the same bits in every run.

    Args:
        target: C-contiguous, (size, width); written to.
        rows: (n,) int64 in [0, size). Without a reduction the last of several updates of a row stays.
        updates: (n, width).

    Raises:
        InvalidInput: for an unknown reduction.
    """
    if reduction != "none" and reduction not in REDUCTIONS:
        raise InvalidInput(f"reduction {reduction!r} is unknown; expected one of {['none', *REDUCTIONS]}")
    if rows.size == 0:
        return
    # NumPy writes in order, a device in no order at all.
    on_host = isinstance(target, np.ndarray)
    if reduction != "none":
        combine = getattr(xp, REDUCTIONS[reduction])
        if on_host and target.shape[1] <= NARROW:
            width = target.shape[1]
            places = (rows[:, None] * width + xp.arange(width)).reshape(-1)
            combine.at(target.reshape(-1), places, updates.reshape(-1))
        else:
            combine_by_pairs(xp, target, rows, updates, combine)
    elif on_host:
        target[rows] = updates
    else:
        order, first, count, _ = _runs(xp, rows)
        last = order[first + count - 1]
        target[rows[last]] = updates[last]


def _runs(xp: Any, rows: Any) -> tuple[Any, Any, Any, Any]:
    """`rows` sorted, equal ones in order of occurrence: (permutation, start and length of each run, run of each)."""
    order = xp.argsort(rows, kind="stable")
    ordered = rows[order]
    starts = xp.concatenate((xp.ones(1, bool), ordered[1:] != ordered[:-1]))
    first = xp.flatnonzero(starts)
    end = xp.concatenate((first[1:], xp.full(1, rows.size, first.dtype)))
    return order, first, end - first, xp.cumsum(starts) - 1


def combine_by_pairs(xp: Any, target: Any, rows: Any, updates: Any, combine: Any) -> None:
    """Combines the updates of equal rows in a binary tree, then each result with the target."""
    order, first, count, run = _runs(xp, rows)
    updates = updates[order]
    rank = xp.arange(rows.size) - first[run]
    following = count[run] - rank
    longest, step = int(count.max()), 1
    while step < longest:
        left = xp.flatnonzero((rank % (2 * step) == 0) & (following > step))
        updates[left] = combine(updates[left], updates[left + step])
        step *= 2
    places = rows[order[first]]
    target[places] = combine(target[places], updates[first])


def gather_gradient(g: Any, x: Any, rank: int, indices: Any, index_rank: int, axis: int, dY: Any) -> Any:
    """The gradient of `Gather(x, indices, axis=axis)` with respect to `x`: every dY is added to where it came from."""
    indices = as_int64(g, indices)
    moved = range(axis, axis + index_rank)
    front = [*moved, *range(axis), *range(axis + index_rank, rank - 1 + index_rank)]
    perm = [axis, *range(axis), *range(axis + 1, rank)]
    zeros = g.zeros_like(x) if axis == 0 else g.Transpose(g.zeros_like(x), perm=perm)
    updates = dY if axis == 0 else g.Transpose(dY, perm=front)
    summed = g.ScatterND(zeros, g.Unsqueeze(indices, [-1]), updates, reduction="add")
    return summed if axis == 0 else g.Transpose(summed, perm=inverse(perm))


def as_int64(g: Any, indices: Any) -> Any:
    """The indices in the only dtype that `ScatterND` and `GatherND` take."""
    return indices if indices.dtype == ir.DataType.INT64 else g.Cast(indices, to=ir.DataType.INT64.value)
