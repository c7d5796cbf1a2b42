"""Pooling over windows and over all of space."""

from __future__ import annotations

from functools import partial
from math import prod

import numpy as np
import onnx_ir as ir

from ..builder import attributes
from ..dtypes import is_float
from ..errors import InvalidGraph, InvalidInput
from ..inference import value_type
from ._axes import bounded, numbers
from ._windows import (
    Windows,
    axis_windows,
    check_attributes,
    check_indices,
    divisor,
    first_maxima,
    reduce_windows,
    widened,
    windows,
)
from .registry import op


def _windows_of(X, kernel_shape, strides=None, pads=None, auto_pad="NOTSET", dilations=None, ceil_mode=0) -> Windows:
    if X.ndim < 3:
        raise InvalidGraph(f"X has shape {list(X.shape)}; expected at least 3 dimensions: batch, channels, space")
    return windows(X.shape[2:], kernel_shape, strides, dilations, pads, auto_pad, ceil_mode)


def _type(node):
    """Types of a pooling node's outputs; ONNX's own inference keeps windows that ceil_mode drops."""
    dtype, x = value_type(node.inputs[0])
    if x is None:
        return [(dtype, None), (ir.DataType.INT64, None)][: len(node.outputs)]
    a = dict(attributes(node))
    lists = {name: a.get(name) for name in ("strides", "dilations", "pads")}
    where = partial(windows, auto_pad=a.get("auto_pad", "NOTSET"), ceil_mode=a.get("ceil_mode", 0))
    made = axis_windows(x[2:], a["kernel_shape"], where, **lists)
    shape = (*x[:2], *(w and w.out[0] for w in made))
    return [(dtype, shape), (ir.DataType.INT64, shape)][: len(node.outputs)]


def _check_inhabited(w: Windows) -> None:
    if any((c == 0).any() for c in w.counts):
        raise InvalidGraph(
            f"pads {list(w.pads)} are too large for a kernel of shape {list(w.kernel)} with dilations "
            f"{list(w.dilations)}: a window would hold nothing but padding; "
            f"expected every window to touch the input of spatial shape {list(w.spatial)}"
        )


def _static_windows(node) -> Windows:
    """The windows of a pooling node whose gradient is asked for."""
    a = {k: v for k, v in node.attrs.items() if k in ("strides", "dilations", "pads", "auto_pad", "ceil_mode")}
    return windows(node.static_shape(0, slice(2, None)), node.attrs["kernel_shape"], **a)


def _explicit(node, w: Windows) -> dict:
    """Attributes that place the windows of the node without `auto_pad`; under SAME `ceil_mode` has no effect."""
    ceil_mode = node.attrs["ceil_mode"] if node.attrs["auto_pad"] in ("NOTSET", "VALID") else 0
    return {
        "kernel_shape": w.kernel,
        "strides": w.strides,
        "dilations": w.dilations,
        "pads": w.pads,
        "ceil_mode": ceil_mode,
    }


# --- MaxPool ----------------------------------------------------------------------------------------------------------


def _max_pool(xp, X, w, n_outputs=1, storage_order=0, out=None):
    _check_inhabited(w)
    (wide,) = widened(X)
    lowest = -np.inf if is_float(X.dtype) else np.iinfo(X.dtype).min
    if n_outputs > 1:
        Y, indices = first_maxima(xp, wide, w, lowest, storage_order)
        return Y.astype(X.dtype, copy=False), indices
    return reduce_windows(xp, xp.maximum, lowest, wide, w, out).astype(X.dtype, copy=False)


@op("MaxPool", since=1, infer=_type)
def max_pool_1(xp, X, *, kernel_shape, auto_pad="NOTSET", pads=None, strides=None, out=None):
    """As MaxPool-10, without indices, dilations and ceil_mode."""
    return _max_pool(xp, X, _windows_of(X, kernel_shape, strides, pads, auto_pad), out=out)


@op("MaxPool", since=8, infer=_type)
def max_pool_8(
    xp, X, *, kernel_shape, auto_pad="NOTSET", pads=None, storage_order=0, strides=None, n_outputs=1, out=None
):
    """As MaxPool-10, without dilations and ceil_mode."""
    return _max_pool(xp, X, _windows_of(X, kernel_shape, strides, pads, auto_pad), n_outputs, storage_order, out)


@op("MaxPool", since=10, infer=_type)
def max_pool(
    xp,
    X,
    *,
    kernel_shape,
    auto_pad="NOTSET",
    ceil_mode=0,
    dilations=None,
    pads=None,
    storage_order=0,
    strides=None,
    n_outputs=1,
    out=None,
):
    """The largest value of each window, padding excluded; Indices are its positions in the flattened X.

    X [N, C, *spatial] → Y [N, C, *out], Indices int64 [N, C, *out], counted in row-major or, with storage_order=1,
    column-major order within each channel; the first of equals counts. With ceil_mode a last window may reach over the
    end; one that would start there is dropped. NaN in a window makes its maximum NaN.

    Raises:
        InvalidGraph: if the kernel does not fit the input, or a window would see only padding.
    """
    w = _windows_of(X, kernel_shape, strides, pads, auto_pad, dilations, ceil_mode)
    return _max_pool(xp, X, w, n_outputs, storage_order, out)


@max_pool.gradient
def _(g, node, dY, *_):
    """dX.flat[Indices] += dY; of equal values in a window, the first gets all."""
    w = _static_windows(node)
    if node.attrs["storage_order"]:
        _, indices = g.MaxPool(node.inputs[0], outputs=2, **_explicit(node, w))
    else:
        indices = node.output(1)
    return g.MaxPoolGrad(dY, indices, spatial_shape=w.spatial, disjoint=w.disjoint)


# --- AveragePool ------------------------------------------------------------------------------------------------------


def _average_pool(xp, X, w, count_include_pad=0, out=None):
    if not count_include_pad:
        _check_inhabited(w)
    (wide,) = widened(X)
    Y = reduce_windows(xp, xp.add, 0, wide, w, out)
    return xp.divide(Y, divisor(xp, w, count_include_pad, Y.dtype), out=Y).astype(X.dtype, copy=False)


@op("AveragePool", since=1, infer=_type)
def average_pool_1(xp, X, *, kernel_shape, auto_pad="NOTSET", pads=None, strides=None, out=None):
    """As AveragePool-19, never counting padding, without dilations and ceil_mode."""
    return _average_pool(xp, X, _windows_of(X, kernel_shape, strides, pads, auto_pad), out=out)


@op("AveragePool", since=7, infer=_type)
def average_pool_7(xp, X, *, kernel_shape, auto_pad="NOTSET", count_include_pad=0, pads=None, strides=None, out=None):
    """As AveragePool-19, without dilations and ceil_mode."""
    return _average_pool(xp, X, _windows_of(X, kernel_shape, strides, pads, auto_pad), count_include_pad, out)


@op("AveragePool", since=10, infer=_type)
def average_pool_10(
    xp, X, *, kernel_shape, auto_pad="NOTSET", ceil_mode=0, count_include_pad=0, pads=None, strides=None, out=None
):
    """As AveragePool-19, without dilations."""
    w = _windows_of(X, kernel_shape, strides, pads, auto_pad, ceil_mode=ceil_mode)
    return _average_pool(xp, X, w, count_include_pad, out)


@op("AveragePool", since=19, infer=_type)
def average_pool(
    xp,
    X,
    *,
    kernel_shape,
    auto_pad="NOTSET",
    ceil_mode=0,
    count_include_pad=0,
    dilations=None,
    pads=None,
    strides=None,
    out=None,
):
    """The mean of each window, over its elements inside the input or, with count_include_pad, inside the padded input.

    X [N, C, *spatial] → Y [N, C, *out]. What ceil_mode adds beyond the padding never counts.

    Raises:
        InvalidGraph: if the kernel does not fit the input, or a window would average nothing.
    """
    w = _windows_of(X, kernel_shape, strides, pads, auto_pad, dilations, ceil_mode)
    return _average_pool(xp, X, w, count_include_pad, out)


@average_pool.gradient
def _(g, node, dY):
    """dX[p] = Σ dY[o] / count[o] over the windows o that contain p"""
    w = _static_windows(node)
    include = node.attrs["count_include_pad"]
    return g.AveragePoolGrad(dY, spatial_shape=w.spatial, count_include_pad=include, **_explicit(node, w))


# --- LpPool -----------------------------------------------------------------------------------------------------------


def _power(xp, X, p):
    """|X|^p"""
    if p <= 0:
        raise InvalidGraph(f"p is {p}; expected a positive number")
    if p == 1:
        return xp.abs(X)
    return xp.multiply(X, X) if p == 2 else xp.abs(X) ** p


def _root(xp, total, p):
    """total^(1/p), in place"""
    if p == 1:
        return total
    return xp.sqrt(total, out=total) if p == 2 else xp.power(total, 1 / p, out=total)


def _lp_pool(xp, X, w, p, out=None):
    (wide,) = widened(X)
    return _root(xp, reduce_windows(xp, xp.add, 0, _power(xp, wide, p), w, out), p).astype(X.dtype, copy=False)


@op("LpPool", since=1, infer=_type)
def lp_pool_1(xp, X, *, kernel_shape, auto_pad="NOTSET", p=2.0, pads=None, strides=None, out=None):
    """As LpPool-18 with a real p, without dilations and ceil_mode."""
    return _lp_pool(xp, X, _windows_of(X, kernel_shape, strides, pads, auto_pad), p, out)


@op("LpPool", since=2, infer=_type)
def lp_pool_2(xp, X, *, kernel_shape, auto_pad="NOTSET", p=2, pads=None, strides=None, out=None):
    """As LpPool-18, without dilations and ceil_mode."""
    return _lp_pool(xp, X, _windows_of(X, kernel_shape, strides, pads, auto_pad), p, out)


@op("LpPool", since=18, infer=_type)
def lp_pool(
    xp, X, *, kernel_shape, auto_pad="NOTSET", ceil_mode=0, dilations=None, p=2, pads=None, strides=None, out=None
):
    """(Σ |x|^p)^(1/p) over each window: X [N, C, *spatial] → Y [N, C, *out].

    Raises:
        InvalidGraph: if the kernel does not fit the input, or p is not positive.
    """
    return _lp_pool(xp, X, _windows_of(X, kernel_shape, strides, pads, auto_pad, dilations, ceil_mode), p, out)


@lp_pool.gradient
def _(g, node, dY):
    """dX[p] = sign(x)·|x|^(p-1) · Σ dY[o]·Y[o]^(1-p) over the windows o that contain p; 0 where Y is 0"""
    w = _static_windows(node)
    X, p = node.inputs[0], node.attrs["p"]
    count = w.count(True)
    scaled = g.Mul(_over_norm(g, node.outputs[0], dY, p), count if isinstance(count, int) else _typed(X, count))
    spread = g.AveragePoolGrad(scaled, spatial_shape=w.spatial, count_include_pad=1, **_explicit(node, w))
    return g.Mul(_signed_power(g, X, p), spread)


def _typed(like, array):
    return array.astype(like.dtype.numpy())


def _over_norm(g, Y, dY, p):
    """dY·Y^(1-p); what it is where Y is 0 does not matter, as there x is 0 too, but it must be finite."""
    if p == 1:
        return dY
    norm = g.Where(g.Equal(Y, 0.0), g.like(1.0, Y), Y)
    return g.Div(dY, norm if p == 2 else g.Pow(norm, p - 1.0))


def _signed_power(g, X, p):
    """sign(x)·|x|^(p-1)"""
    if p <= 2:
        return g.Sign(X) if p == 1 else X
    return g.Mul(X, g.Abs(X) if p == 3 else g.Pow(g.Abs(X), p - 2.0))


# --- global pools -----------------------------------------------------------------------------------------------------


def _planes(X):
    """X as [N, C, all of space], and the shape of what remains after reducing that."""
    if X.ndim < 2 or not prod(X.shape[2:]):
        raise InvalidGraph(f"X has shape {list(X.shape)}; expected batch, channels and space, which must not be empty")
    return X.reshape(*X.shape[:2], prod(X.shape[2:])), (*X.shape[:2], *(1,) * (X.ndim - 2))


def _space(node):
    return list(range(2, len(node.shape(0))))


@op("GlobalAveragePool", since=1)
def global_average_pool(xp, X):
    """The mean over all spatial axes: X [N, C, *spatial] → [N, C, 1, ...]."""
    planes, shape = _planes(*widened(X))
    return xp.mean(planes, axis=2).reshape(shape).astype(X.dtype, copy=False)


@global_average_pool.gradient
def _(g, node, dY):
    """dX = dY / size, broadcast"""
    X = node.inputs[0]
    return g.Expand(g.Div(dY, g.axes_size(X, _space(node))), g.shape_of(X))


@op("GlobalMaxPool", since=1)
def global_max_pool(xp, X):
    """The largest value over all spatial axes: X [N, C, *spatial] → [N, C, 1, ...]."""
    planes, shape = _planes(*widened(X))
    return xp.max(planes, axis=2).reshape(shape).astype(X.dtype, copy=False)


@global_max_pool.gradient
def _(g, node, dY):
    """dX = dY where x is the maximum, else 0; equal maxima share it"""
    X = node.inputs[0]
    at = g.Cast(g.Equal(X, node.outputs[0]), to=X.dtype.value)
    return g.Mul(at, g.Div(dY, g.ReduceSum(at, _space(node), keepdims=1)))


def _global_lp_pool(xp, X, p):
    planes, shape = _planes(*widened(X))
    return _root(xp, xp.sum(_power(xp, planes, p), axis=2), p).reshape(shape).astype(X.dtype, copy=False)


@op("GlobalLpPool", since=1)
def global_lp_pool_1(xp, X, *, p=2.0):
    """As GlobalLpPool-2 with a real p."""
    return _global_lp_pool(xp, X, p)


@op("GlobalLpPool", since=2)
def global_lp_pool(xp, X, *, p=2):
    """(Σ |x|^p)^(1/p) over all spatial axes: X [N, C, *spatial] → [N, C, 1, ...]."""
    return _global_lp_pool(xp, X, p)


@global_lp_pool.gradient
def _(g, node, dY):
    """dX = sign(x)·|x|^(p-1) · dY·Y^(1-p); 0 where Y is 0"""
    p = node.attrs["p"]
    return g.Mul(_signed_power(g, node.inputs[0], p), _over_norm(g, node.outputs[0], dY, p))


# --- MaxUnpool --------------------------------------------------------------------------------------------------------


def _unpooled(spatial, kernel_shape, pads, strides):
    rank = len(spatial)
    pads, strides = pads or (0,) * 2 * rank, strides or (1,) * rank
    check_attributes(rank, pads, kernel_shape=kernel_shape, strides=strides)
    size = [strides[i] * (n - 1) + kernel_shape[i] - pads[i] - pads[i + rank] for i, n in enumerate(spatial)]
    if any(n < 1 for n in size):
        raise InvalidGraph(f"an input of spatial shape {list(spatial)} unpools to {size}; expected less padding")
    return tuple(size)


@op("MaxUnpool", since=9, host=(2,))
def max_unpool(xp, X, I, output_shape=None, *, kernel_shape, pads=None, strides=None):  # noqa: E741 - the spec's name
    """Puts each value of X at its index in a tensor of zeros, as large as what such a MaxPool pools to X.

    X, I [N, C, *spatial] → [N, C, *unpooled]. `output_shape` adds zeros at the ends. Of values with equal indices, one
    stays.

    Raises:
        InvalidInput: for an index outside the unpooled tensor, or an output_shape smaller than it.
    """
    natural = (*X.shape[:2], *_unpooled(X.shape[2:], kernel_shape, pads, strides))
    check_indices(I, X.shape, prod(bounded(natural, X.dtype)))
    flat = xp.zeros(prod(natural), X.dtype)
    flat[I.reshape(-1)] = X.reshape(-1)
    Y = flat.reshape(natural)
    target = natural if output_shape is None else bounded(numbers(output_shape), X.dtype)
    if target == natural:
        return Y
    if len(target) != X.ndim or any(t < n for t, n in zip(target, natural, strict=True)):
        raise InvalidInput(f"output_shape is {list(target)}; expected {X.ndim} entries, none below {list(natural)}")
    result = xp.zeros(target, X.dtype)
    result[tuple(slice(0, n) for n in natural)] = Y
    return result


@max_unpool.gradient
def _(g, node, dY):
    """dX = dY.flat[I]"""
    a = node.attrs
    if node.inputs[2] is not None:
        size = _unpooled(node.static_shape(0, slice(2, None)), a["kernel_shape"], a["pads"], a["strides"])
        dY = g.Slice(dY, [0] * len(size), list(size), list(range(2, len(size) + 2)))
    return g.Gather(g.Reshape(dY, [-1]), node.inputs[1]), None, None
