"""Comparison, logic, bits, and choosing by them: Where and Clip."""

from __future__ import annotations

import numpy as np

from ..dtypes import compute_dtype
from ..errors import InvalidGraph, InvalidInput
from ._legacy import limited_broadcast
from ._numerics import select
from .registry import op

DISCRETE = (
    # name, since, function, whether version 1 has the attributes axis and broadcast
    ("Equal", 7, "equal", True),
    ("Less", 7, "less", True),
    ("Greater", 7, "greater", True),
    ("LessOrEqual", 12, "less_equal", False),
    ("GreaterOrEqual", 12, "greater_equal", False),
    ("And", 7, "logical_and", True),
    ("Or", 7, "logical_or", True),
    ("Xor", 7, "logical_xor", True),
    ("BitwiseAnd", 18, "bitwise_and", False),
    ("BitwiseOr", 18, "bitwise_or", False),
    ("BitwiseXor", 18, "bitwise_xor", False),
)


def _define_discrete(name, since, function, legacy):
    @op(name, since=since, inplace=True, differentiable=False)
    def discrete(xp, A, B, *, out=None):
        return getattr(xp, function)(A, B, out=out)

    if legacy:
        limited_broadcast(discrete, since=1)


for _row in DISCRETE:
    _define_discrete(*_row)


@op("Not", since=1, inplace=True, differentiable=False)
def not_(xp, X, *, out=None):
    """¬X"""
    return xp.logical_not(X, out=out)


@op("BitwiseNot", since=18, inplace=True, differentiable=False)
def bitwise_not(xp, X, *, out=None):
    """All bits of X flipped."""
    return xp.invert(X, out=out)


@op("BitShift", since=11, differentiable=False)
def bit_shift(xp, X, Y, *, direction):
    """X shifted by Y bits; the sign fills up from the left. By fewer than 0 or by all bits: only the fill is left."""
    if direction not in ("LEFT", "RIGHT"):
        raise InvalidGraph(f"direction is {direction!r}; expected LEFT or RIGHT")
    width = 8 * X.dtype.itemsize
    beyond = xp.less(Y, 0) | xp.greater_equal(Y, width)
    amount = xp.where(beyond, width - 1, Y)
    shifted = xp.left_shift(X, amount) if direction == "LEFT" else xp.right_shift(X, amount)
    keeps_sign = direction == "RIGHT" and X.dtype.kind == "i"
    return shifted if keeps_sign else xp.where(beyond, 0, shifted)


@op("IsNaN", since=9, differentiable=False)
def is_nan(xp, X, *, out=None):
    """Whether elements are NaN."""
    return xp.isnan(X.astype(compute_dtype(X.dtype), copy=False), out=out)


@op("IsInf", since=10, differentiable=False)
def is_inf(xp, X, *, detect_negative=1, detect_positive=1):
    """Whether elements are infinite, of the signs asked for."""
    X = X.astype(compute_dtype(X.dtype), copy=False)
    if detect_negative and detect_positive:
        return xp.isinf(X)
    if detect_negative or detect_positive:
        return xp.equal(X, np.inf if detect_positive else -np.inf)
    return xp.zeros(X.shape, bool)


@op("Where", since=9, inplace=True)
def where(xp, condition, X, Y, *, out=None):
    """X where the condition holds, else Y."""
    return select(xp, condition, X, Y, out=out)


@where.gradient
def _(g, node, dZ):
    """dX = dZ where the condition holds, else 0; dY the other way round"""
    condition, zero = node.inputs[0], g.like(0.0, dZ)
    return None, g.Where(condition, dZ, zero), g.Where(condition, zero, dZ)


@op("Clip", since=11, inplace=True)
def clip(xp, input, min=None, max=None, *, out=None):
    """min(max(input, min), max); both bounds are scalars."""
    low, high = (_bound(name, x) for name, x in (("min", min), ("max", max)))
    if low is None or high is None:
        return _clipped(xp, input, low, high, out)
    # With a single element, `out` may be the memory of a bound that is still to be read.
    return xp.minimum(xp.maximum(input, low, out=out if input.size > 1 else None), high, out=out)


def _bound(name, x):
    if x is not None and x.size != 1:
        raise InvalidInput(f"{name} has shape {list(x.shape)}; expected a scalar")
    return None if x is None else x.reshape(())


def _clipped(xp, input, low, high, out):
    if low is not None:
        input = out = xp.maximum(input, low, out=out)
    if high is not None:
        return xp.minimum(input, high, out=out)
    return input if low is not None else xp.array(input)


@clip.gradient
def _(g, node, dY):
    """dinput = dY where min ≤ input ≤ max, dmin = dY where input < min ≤ max, dmax = dY where max(input, min) > max

    and 0 elsewhere
    """
    X, low, high = node.inputs
    zero = g.like(0.0, X)
    below = None if low is None else g.Less(X, low)
    above = None if high is None else g.Greater(X if low is None else g.Max(X, low), high)
    outside = [mask for mask in (below, above) if mask is not None]
    if not outside:
        return dY
    dX = g.Where(g.Or(*outside) if len(outside) == 2 else outside[0], zero, dY)
    d_low = d_high = None
    if low is not None:
        d_low = g.Where(below if above is None else g.And(below, g.Not(above)), dY, zero)
    if high is not None:
        d_high = g.Where(above, dY, zero)
    return dX, d_low, d_high


_FLOAT_MAX = float(np.finfo(np.float32).max)


@op("Clip", since=6, inplace=True)
def clip_6(xp, input, *, min=-_FLOAT_MAX, max=_FLOAT_MAX, out=None):
    """min(max(input, min), max)"""
    return _clipped(xp, input, min, max, out)


@op("Clip", since=1, inplace=True)
def clip_1(xp, input, *, min=None, max=None, consumed_inputs=None, out=None):
    """min(max(input, min), max)"""
    return _clipped(xp, input, min, max, out)
