"""Unique: each value, or each slice, once."""

from __future__ import annotations

import math

import numpy as np

from ..dtypes import compute_dtype, is_float
from ._axes import axis_in
from .registry import op


@op("Unique", since=11, differentiable=False)
def unique(xp, X, *, axis=None, sorted=1):
    """Each value of the flattened X once, or each of its slices along `axis`: in ascending order, or as they came.

    Slices are compared element by element, from their first on; all NaNs are one value, and the greatest.

    Returns:
        Y, and as int64 vectors: where each of it occurs first, which of it each value of X is, and how often it occurs.
    """
    group, first, counts = _grouped(xp, *_ascending(xp, X.reshape(-1)))
    if axis is not None:
        axis = axis_in(axis, X.ndim)
        slices = xp.moveaxis(group.reshape(X.shape), axis, 0)
        slices = slices.reshape(X.shape[axis], math.prod(slices.shape[1:]))
        group, first, counts = _grouped(xp, *_ascending_rows(xp, slices))
    if not sorted:
        order = xp.argsort(first)
        group, first, counts = xp.argsort(order)[group], first[order], counts[order]
    Y = xp.take(X.reshape(-1) if axis is None else X, first, axis=axis or 0)
    return Y, *(vector.astype(np.int64, copy=False) for vector in (first, group, counts))


def _ascending(xp, x):
    """What sorts a vector, equal values as they came, and which of the sorted values differ from the one before."""
    if is_float(x.dtype):
        x = x.astype(compute_dtype(x.dtype), copy=False)
    order = xp.argsort(x, kind="stable")
    x = x[order]
    differs = x[1:] != x[:-1]
    if x.dtype.kind in "fc":
        differs &= ~(xp.isnan(x[1:]) & xp.isnan(x[:-1]))
    return order, differs


def _ascending_rows(xp, x):
    """`_ascending` for the rows of an integer matrix."""
    keys = xp.concatenate((xp.arange(x.shape[0], dtype=x.dtype)[None], xp.flip(x, 1).T))
    order = xp.lexsort(keys)
    x = x[order]
    return order, (x[1:] != x[:-1]).any(axis=1)


def _grouped(xp, order, differs):
    """The number of the group each element is in, and for each group its first element and its size."""
    size = order.shape[0]
    starts = xp.concatenate((xp.ones(min(size, 1), bool), differs))
    group = xp.empty(size, np.int64)
    group[order] = xp.cumsum(starts) - 1
    places = xp.flatnonzero(starts)
    counts = xp.diff(xp.concatenate((places, xp.full(1, size, places.dtype))))
    return group, order[places], counts
