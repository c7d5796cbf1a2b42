"""Reductions over axes, the places of extremes, cumulative sums and products."""

from __future__ import annotations

from math import prod

import numpy as np

from ..dtypes import compute_dtype, is_float
from ..errors import InvalidInput
from ..inference import constant, value_type
from ._axes import axes_in, axis_in, numbers
from .registry import op

# ---- what is computed: (xp, floats or integers, axes, keepdims, out); narrow floats arrive as float32


def _sum(xp, data, axes, keepdims, out=None):
    return xp.sum(data, axis=axes, dtype=data.dtype, out=out, keepdims=keepdims)


def _mean(xp, data, axes, keepdims, out=None):
    total = _sum(xp, data, axes, keepdims, out)
    count = prod(data.shape[axis] for axis in axes)
    if is_float(data.dtype):
        return xp.true_divide(total, count, out=out)
    quotient = total // count
    return quotient + ((quotient * count != total) & (total < 0))


def _prod(xp, data, axes, keepdims, out=None):
    return xp.prod(data, axis=axes, dtype=data.dtype, out=out, keepdims=keepdims)


def _l1(xp, data, axes, keepdims, out=None):
    return _sum(xp, xp.absolute(data), axes, keepdims, out)


def _sum_square(xp, data, axes, keepdims, out=None):
    return _sum(xp, xp.square(data), axes, keepdims, out)


def _l2(xp, data, axes, keepdims, out=None):
    return xp.sqrt(_sum_square(xp, data, axes, keepdims, out), out=out if is_float(data.dtype) else None)


def _log_sum(xp, data, axes, keepdims, out=None):
    return xp.log(_sum(xp, data, axes, keepdims, out), out=out if is_float(data.dtype) else None)


def _log_sum_exp(xp, data, axes, keepdims, out=None):
    """Shifted by the maximum, so that nothing overflows; an infinite maximum shifts nothing."""
    data = data if is_float(data.dtype) else data.astype(np.float64)
    if not data.size:
        return _log_sum(xp, data, axes, keepdims)
    peak = xp.amax(data, axis=axes, keepdims=True)
    peak = xp.where(xp.isfinite(peak), peak, 0)
    total = xp.sum(xp.exp(data - peak), axis=axes, keepdims=True)
    total = xp.log(total) + peak
    return total if keepdims else total.reshape(_reduced_shape(data, axes, False))


def _max(xp, data, axes, keepdims, out=None):
    if not all(data.shape[axis] for axis in axes):
        return xp.full(_reduced_shape(data, axes, keepdims), _extreme(data.dtype, -1), data.dtype)
    return xp.amax(data, axis=axes, out=out, keepdims=keepdims)


def _min(xp, data, axes, keepdims, out=None):
    if not all(data.shape[axis] for axis in axes):
        return xp.full(_reduced_shape(data, axes, keepdims), _extreme(data.dtype, 1), data.dtype)
    return xp.amin(data, axis=axes, out=out, keepdims=keepdims)


def _reduced_shape(data, axes, keepdims):
    return tuple(1 if axis in axes else n for axis, n in enumerate(data.shape) if keepdims or axis not in axes)


def _extreme(dtype, sign):
    """The least (sign −1) or greatest value of a dtype."""
    if dtype.kind == "b":
        return sign > 0
    if is_float(dtype):
        return sign * np.inf
    return np.iinfo(dtype).max if sign > 0 else np.iinfo(dtype).min


# ---- their gradients


def _kept(g, node, y):
    """`y`, shaped like the node's output, with the reduced axes back as ones: it broadcasts to the node's input."""
    axes = node.inputs[1]
    known = constant(axes)
    if node.attrs["keepdims"] or axes is None or (known is not None and not known.size):
        return y
    return g.Unsqueeze(y, axes)


def _spread(g, node, y):
    """`y`, shaped like the node's output, repeated to the shape of its input."""
    return g.Expand(_kept(g, node, y), g.shape_of(node.inputs[0]))


def _again(g, node, op_type, x):
    """Reduces `x` as the node reduces its input, keeping the axes."""
    return g.op(op_type, x, node.inputs[1], keepdims=1, noop_with_empty_axes=node.attrs["noop_with_empty_axes"])


def _sum_rule(g, node, dY):
    """dX = dY"""
    return _spread(g, node, dY)


def _mean_rule(g, node, dY):
    """dX = dY / n"""
    x, axes = node.inputs
    known = constant(axes)
    if known is not None and known.size and value_type(x)[1] is not None:
        count = g.axes_size(x, known.tolist())
    else:
        count = g.Cast(g.Div(g.Size(x), g.Size(node.outputs[0])), to=x.dtype.value)
    return _spread(g, node, g.Div(dY, count))


def _extremum_rule(g, node, dY):
    """dX = dY where X is the extremum; elements that tie share it equally"""
    x = node.inputs[0]
    hit = g.Equal(x, _kept(g, node, node.outputs[0]))
    count = _again(g, node, "ReduceSum", g.Cast(hit, to=x.dtype.value))
    return g.Where(hit, g.Div(_kept(g, node, dY), count), g.like(0.0, x))


def _prod_rule(g, node, dY):
    """dX = dY · (product of the other elements), built from products alone: finite, and right to any order, at zeros

    The sizes of the reduced axes must be known.
    """
    x = node.inputs[0]
    rank = len(node.shape(0))
    known = [] if node.inputs[1] is None else node.constant(1).tolist()
    if not known and node.attrs["noop_with_empty_axes"]:
        return dY
    reduced = sorted(axes_in(known, rank)) or list(range(rank))
    kept = [axis for axis in range(rank) if axis not in reduced]
    perm = kept + reduced
    sizes = [node.static_shape(0, slice(axis, axis + 1))[0] for axis in reduced]
    rows = g.Reshape(g.Transpose(x, perm=perm), [0] * len(kept) + [prod(sizes)])
    moved = g.Gather(g.shape_of(x), np.array(perm))
    others = g.Reshape(_others(g, rows, prod(sizes), len(kept)), moved)
    others = g.Transpose(others, perm=sorted(range(rank), key=perm.__getitem__))
    return g.Mul(_kept(g, node, dY), others)


def _others(g, x, n, axis):
    """For each of the `n` elements along the last axis the product of the others.

    Pairs are multiplied, the problem of half the size solved, and each result multiplied by the partner.
    """
    if n <= 1:
        return g.Expand(g.like(1.0, x), g.shape_of(x))
    if n % 2:
        x = g.Pad(x, [0] * (axis * 2 + 1) + [1], g.like(1.0, x))
    half = (n + 1) // 2
    low, high = g.Split(x, [half, half], axis=axis, outputs=2)
    rest = _others(g, g.Mul(low, high), half, axis)
    both = g.Concat(g.Mul(rest, high), g.Mul(rest, low), axis=axis)
    return g.Slice(both, [0], [n], [axis]) if n % 2 else both


def _l1_rule(g, node, dY):
    """dX = dY · sign(X)"""
    return g.Mul(_kept(g, node, dY), g.Sign(node.inputs[0]))


def _sum_square_rule(g, node, dY):
    """dX = 2 · dY · X"""
    return g.Mul(g.Mul(_kept(g, node, dY), 2.0), node.inputs[0])


def _l2_rule(g, node, dY):
    """dX = dY · X / Y, and 0 where Y = 0"""
    y = node.outputs[0]
    divisor = g.Where(g.Equal(y, g.like(0.0, y)), g.like(1.0, y), y)
    return g.Mul(_kept(g, node, g.Div(dY, divisor)), node.inputs[0])


def _log_sum_rule(g, node, dY):
    """dX = dY / Σ X"""
    total = _again(g, node, "ReduceSum", node.inputs[0])
    return g.Expand(g.Div(_kept(g, node, dY), total), g.shape_of(node.inputs[0]))


def _log_sum_exp_rule(g, node, dY):
    """dX = dY · exp(X − Y)"""
    return g.Mul(_kept(g, node, dY), g.Exp(g.Sub(node.inputs[0], _kept(g, node, node.outputs[0]))))


# ---- the operators

REDUCTIONS = (
    # name, since when axes are an input, computation, gradient
    ("ReduceSum", 13, _sum, _sum_rule),
    ("ReduceMean", 18, _mean, _mean_rule),
    ("ReduceMax", 18, _max, _extremum_rule),
    ("ReduceMin", 18, _min, _extremum_rule),
    ("ReduceProd", 18, _prod, _prod_rule),
    ("ReduceL1", 18, _l1, _l1_rule),
    ("ReduceL2", 18, _l2, _l2_rule),
    ("ReduceSumSquare", 18, _sum_square, _sum_square_rule),
    ("ReduceLogSum", 18, _log_sum, _log_sum_rule),
    ("ReduceLogSumExp", 18, _log_sum_exp, _log_sum_exp_rule),
)


def _reduced(xp, data, axes, keepdims, compute, out):
    """Over all axes where none are given; narrow floats in float32, integers back in their own dtype."""
    axes = axes_in(axes, data.ndim) if axes is not None else tuple(range(data.ndim))
    wide = compute_dtype(data.dtype)
    if wide != data.dtype:
        out, dtype, data = None, data.dtype, data.astype(wide)
        return compute(xp, data, axes, keepdims == 1).astype(dtype)
    return compute(xp, data, axes, keepdims == 1, out).astype(data.dtype, copy=False)


def _define_reduction(name, since, compute, rule):
    @op(name, since=1)
    def by_attribute(xp, data, *, axes=None, keepdims=1, out=None):
        return _reduced(xp, data, axes or None, keepdims, compute, out)

    @op(name, since=since, host=(1,))
    def by_input(xp, data, axes=None, *, keepdims=1, noop_with_empty_axes=0, out=None):
        given = [] if axes is None else numbers(axes)
        return _reduced(xp, data, given if given or noop_with_empty_axes else None, keepdims, compute, out)

    by_input.gradient(rule)


for _row in REDUCTIONS:
    _define_reduction(*_row)


def _place(xp, name, data, axis, keepdims, last):
    axis = axis_in(axis, data.ndim)
    if not data.shape[axis]:
        raise InvalidInput(f"{name} over axis {axis} of shape {list(data.shape)}: there is nothing to choose from")
    find = getattr(xp, name.lower())
    if last:
        index = data.shape[axis] - 1 - find(xp.flip(data, axis), axis=axis)
    else:
        index = find(data, axis=axis)
    index = index.astype(np.int64, copy=False)
    return xp.expand_dims(index, axis) if keepdims == 1 else index


def _define_place(name):
    @op(name, since=12, differentiable=False)
    def selected(xp, data, *, axis=0, keepdims=1, select_last_index=0):
        return _place(xp, name, data, axis, keepdims, select_last_index)

    @op(name, since=1, differentiable=False)
    def first(xp, data, *, axis=0, keepdims=1):
        return _place(xp, name, data, axis, keepdims, False)


_define_place("ArgMax")
_define_place("ArgMin")


def _accumulated(xp, x, axis, accumulate, neutral, exclusive, reverse):
    """Running sums or products in x's dtype; `exclusive` starts from the neutral element instead of the first."""
    if axis.size != 1:
        raise InvalidInput(f"axis has shape {list(axis.shape)}; expected a scalar")
    axis = axis_in(int(axis.reshape(())), x.ndim)
    wide = x.astype(compute_dtype(x.dtype), copy=False)
    wide = xp.flip(wide, axis) if reverse else wide
    y = accumulate(wide, axis=axis, dtype=wide.dtype)
    if exclusive and x.shape[axis]:
        first = xp.full((*x.shape[:axis], 1, *x.shape[axis + 1 :]), neutral, y.dtype)
        y = xp.concatenate([first, y[(slice(None),) * axis + (slice(-1),)]], axis=axis)
    return (xp.flip(y, axis) if reverse else y).astype(x.dtype, copy=False)


@op("CumSum", since=11, host=(1,))
def cum_sum(xp, x, axis, *, exclusive=0, reverse=0):
    """Sums of the elements up to each along the axis; from the end with `reverse`, without it if `exclusive`."""
    return _accumulated(xp, x, axis, xp.cumsum, 0, exclusive, reverse)


@cum_sum.gradient
def _(g, node, dY):
    """dX = the cumulative sum of dY the other way round"""
    reverse = 1 - node.attrs["reverse"]
    return g.CumSum(dY, node.inputs[1], exclusive=node.attrs["exclusive"], reverse=reverse), None


@op("CumProd", since=26, host=(1,))
def cum_prod(xp, x, axis, *, exclusive=0, reverse=0):
    """Products of the elements up to each along the axis; from the end with `reverse`, without it if `exclusive`."""
    return _accumulated(xp, x, axis, xp.cumprod, 1, exclusive, reverse)
