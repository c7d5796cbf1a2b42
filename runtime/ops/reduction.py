"""Reductions along axes, positions of extremes, running sums."""

from __future__ import annotations

import math

import numpy as np

from ..dtypes import compute_dtype, is_float
from ._axes import axis_in
from .registry import op

# Each reduction as (xp, X widened, axes, keepdims) → Y.


def _sum(xp, X, axes, keepdims):
    return xp.sum(X, axis=axes, keepdims=keepdims, dtype=X.dtype)


def _prod(xp, X, axes, keepdims):
    return xp.prod(X, axis=axes, keepdims=keepdims, dtype=X.dtype)


def _mean(xp, X, axes, keepdims):
    if is_float(X.dtype):
        return xp.mean(X, axis=axes, keepdims=keepdims)
    return xp.trunc(xp.mean(X, axis=axes, keepdims=keepdims, dtype=xp.float64))


def _extreme(name):
    def reduce(xp, X, axes, keepdims):
        if 0 in (X.shape[a] for a in axes):
            shape = [1 if i in axes else d for i, d in enumerate(X.shape)]
            if not keepdims:
                shape = [d for i, d in enumerate(X.shape) if i not in axes]
            return xp.full(shape, _bound(X.dtype, lowest=name == "max"), X.dtype)
        return getattr(xp, name)(X, axis=axes, keepdims=keepdims)

    return reduce


def _bound(dtype, lowest):
    """The neutral element of a maximum (the lowest value) or minimum (the highest)."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return not lowest
    if is_float(dtype):
        return -math.inf if lowest else math.inf
    return np.iinfo(dtype).min if lowest else np.iinfo(dtype).max


def _l1(xp, X, axes, keepdims):
    return _sum(xp, xp.abs(X), axes, keepdims)


def _l2(xp, X, axes, keepdims):
    return xp.sqrt(_sum(xp, X * X, axes, keepdims))


def _sum_square(xp, X, axes, keepdims):
    return _sum(xp, X * X, axes, keepdims)


def _log_sum(xp, X, axes, keepdims):
    return xp.log(_sum(xp, X, axes, keepdims))


def _log_sum_exp(xp, X, axes, keepdims):
    if 0 in (X.shape[a] for a in axes):
        return xp.log(_sum(xp, X, axes, keepdims))
    top = xp.max(X, axis=axes, keepdims=True)
    top = xp.where(xp.isfinite(top), top, xp.zeros((), top.dtype))
    total = xp.log(_sum(xp, xp.exp(X - top), axes, True)) + top
    return total if keepdims else total.reshape([d for i, d in enumerate(X.shape) if i not in axes])



def _reduce(xp, X, axes, keepdims, kernel):
    axes = tuple(range(X.ndim)) if axes is None else tuple(axis_in(int(a), X.ndim) for a in axes)
    wide = X.astype(compute_dtype(X.dtype), copy=False)
    return xp.asarray(kernel(xp, wide, axes, bool(keepdims))).astype(X.dtype, copy=False)


def _with_attribute(kernel):
    def reduce(xp, data, *, axes=None, keepdims=1):
        return _reduce(xp, data, axes, keepdims, kernel)

    return reduce


def _with_input(kernel):
    def reduce(xp, data, axes=None, *, keepdims=1, noop_with_empty_axes=0):
        """An empty `axes` means all axes, or with `noop_with_empty_axes` none: then only the elementwise part is done."""
        if axes is not None and not axes.size:
            axes = None
        if axes is None and noop_with_empty_axes:
            axes = np.zeros(0, np.int64)
        return _reduce(xp, data, None if axes is None else axes.tolist(), keepdims, kernel)

    return reduce


def _axes_of(node):
    """The axes a node reduces, counted from the front."""
    rank = len(node.shape(0))
    axes = node.constant(1).ravel().tolist() if node.inputs[1] is not None else []
    if not axes:
        axes = [] if node.attrs["noop_with_empty_axes"] else range(rank)
    return [axis_in(int(a), rank) for a in axes]


def _kept(g, node, value):
    """A reduced value with the reduced axes of size 1 still there, so that it broadcasts against the input."""
    axes = _axes_of(node)
    return value if node.attrs["keepdims"] or not axes else g.Unsqueeze(value, axes)


def _sum_rule(g, node, dY):
    """dX = dY, spread over the reduced axes"""
    return g.Expand(_kept(g, node, dY), g.shape_of(node.inputs[0]))


def _mean_rule(g, node, dY):
    """dX = dY / count, spread over the reduced axes"""
    X = node.inputs[0]
    return g.Expand(g.Div(_kept(g, node, dY), g.axes_size(X, _axes_of(node))), g.shape_of(X))


def _extreme_rule(g, node, dY):
    """dX = dY where X is the extreme, shared equally among ties"""
    X = node.inputs[0]
    hit = g.Cast(g.Equal(X, _kept(g, node, node.outputs[0])), to=int(X.dtype))
    share = g.Div(hit, g.ReduceSum(hit, _axes_of(node)))
    return g.Mul(share, _kept(g, node, dY))


def _prod_rule(g, node, dY):
    """dX = dY · (product of the others): Y/X without zeros; with one zero the product of the rest arrives there, else nothing"""
    X = node.inputs[0]
    axes = _axes_of(node)
    zero = g.Equal(X, 0.0)
    one = g.like(1.0, X)
    filled = g.Where(zero, one, X)
    rest = g.ReduceProd(filled, axes)
    zeros = g.ReduceSum(g.Cast(zero, to=int(X.dtype)), axes)
    none = g.like(0.0, X)
    at_zero = g.Where(g.Equal(zeros, 1.0), rest, none)
    elsewhere = g.Where(g.Equal(zeros, 0.0), g.Div(rest, filled), none)
    return g.Mul(_kept(g, node, dY), g.Where(zero, at_zero, elsewhere))


def _l1_rule(g, node, dY):
    """dX = dY · sign(X)"""
    return g.Mul(_kept(g, node, dY), g.Sign(node.inputs[0]))


def _l2_rule(g, node, dY):
    """dX = dY · X / Y, nothing where Y is 0"""
    X, Y = node.inputs[0], _kept(g, node, node.outputs[0])
    safe = g.Where(g.Equal(Y, 0.0), g.like(1.0, X), Y)
    return g.Mul(g.Div(X, safe), _kept(g, node, dY))


def _sum_square_rule(g, node, dY):
    """dX = dY · 2X"""
    return g.Mul(g.Mul(node.inputs[0], 2.0), _kept(g, node, dY))


def _log_sum_rule(g, node, dY):
    """dX = dY / ΣX"""
    X = node.inputs[0]
    return g.Expand(g.Div(_kept(g, node, dY), g.ReduceSum(X, _axes_of(node))), g.shape_of(X))


def _log_sum_exp_rule(g, node, dY):
    """dX = dY · exp(X − Y)"""
    Y = _kept(g, node, node.outputs[0])
    return g.Mul(g.Exp(g.Sub(node.inputs[0], Y)), _kept(g, node, dY))


_REDUCTIONS = {
    "ReduceSum": (_sum, _sum_rule, 13),
    "ReduceMean": (_mean, _mean_rule, 18),
    "ReduceMax": (_extreme("max"), _extreme_rule, 18),
    "ReduceMin": (_extreme("min"), _extreme_rule, 18),
    "ReduceProd": (_prod, _prod_rule, 18),
    "ReduceL1": (_l1, _l1_rule, 18),
    "ReduceL2": (_l2, _l2_rule, 18),
    "ReduceLogSum": (_log_sum, _log_sum_rule, 18),
    "ReduceLogSumExp": (_log_sum_exp, _log_sum_exp_rule, 18),
    "ReduceSumSquare": (_sum_square, _sum_square_rule, 18),
}
"""Name → kernel, gradient rule, and the opset from which axes are an input."""

for _name, (_kernel, _rule, _since) in _REDUCTIONS.items():
    op(_name, since=1)(_with_attribute(_kernel))
    op(_name, since=_since, host=(1,))(_with_input(_kernel)).gradient(_rule)


def _position(xp, find, data, axis, keepdims, select_last_index):
    axis = axis_in(axis, data.ndim)
    if select_last_index:
        found = data.shape[axis] - 1 - find(xp.flip(data, axis), axis=axis)
    else:
        found = find(data, axis=axis)
    found = xp.asarray(found).astype(xp.int64, copy=False)
    return xp.expand_dims(found, axis) if keepdims else found


def _arg(name):
    def first(xp, data, *, axis=0, keepdims=1):
        return _position(xp, getattr(xp, name), data, axis, keepdims, 0)

    def chosen(xp, data, *, axis=0, keepdims=1, select_last_index=0):
        """The first extreme along an axis, or the last if `select_last_index`."""
        return _position(xp, getattr(xp, name), data, axis, keepdims, select_last_index)

    return first, chosen


for _name in ("ArgMax", "ArgMin"):
    _first, _chosen = _arg(_name.lower())
    op(_name, since=1, differentiable=False)(_first)
    op(_name, since=12, differentiable=False)(_chosen)


def _running(xp, accumulate, start, X, axis, exclusive, reverse):
    axis = axis_in(int(axis), X.ndim)
    data = xp.flip(X, axis) if reverse else X
    result = accumulate(data, axis=axis, dtype=X.dtype)
    if exclusive:
        first = [slice(None)] * X.ndim
        rest = list(first)
        first[axis], rest[axis] = slice(0, 1), slice(0, -1)
        shifted = xp.concatenate([xp.full_like(data[tuple(first)], start), result[tuple(rest)]], axis=axis)
        result = shifted if X.shape[axis] else result
    return xp.flip(result, axis) if reverse else result


@op("CumSum", since=11, host=(1,))
def cum_sum(xp, x, axis, *, exclusive=0, reverse=0):
    """y[i] = Σ x[j] over j ≤ i along an axis; j < i if exclusive; from the end if reverse."""
    return _running(xp, xp.cumsum, 0, x, axis, exclusive, reverse)


@cum_sum.gradient
def _(g, node, dY):
    """dX = the same sum of dY, in the other direction"""
    a = node.attrs
    return g.CumSum(dY, node.inputs[1], exclusive=a["exclusive"], reverse=1 - a["reverse"])
