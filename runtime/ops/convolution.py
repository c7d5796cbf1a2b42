"""Convolutions, as matrix products over the columns that their windows see."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from math import prod
from typing import Any

import numpy as np

from ..builder import attributes
from ..errors import InvalidGraph
from ..inference import value_type
from ._windows import Windows, axis_windows, check_attributes, columns, fold, result_array, widened, windows
from .registry import op

HOST_COLUMNS = 8 << 20
DEVICE_COLUMNS = 512 << 20
"""Bytes of columns made at a time: about what a cache holds on the host; a device wants few, large launches."""


def _conv_type(node):
    return _type(node, conv.bind(dict(attributes(node))), windows, transposed=False)


def _conv_transpose_type(node):
    return _type(node, conv_transpose.bind(dict(attributes(node))), transposed_windows, transposed=True)


def _type(node, a, where, transposed):
    (dtype, x), (_, w) = (value_type(v) for v in node.inputs[:2])
    if x is None or w is None:
        return [(dtype, None)]
    b = value_type(node.inputs[2])[1] if len(node.inputs) > 2 and node.inputs[2] is not None else None
    group, kernel, auto_pad = a.pop("group"), a.pop("kernel_shape"), a.pop("auto_pad")
    channels = channels_of(x, w, b, group, kernel, transposed)
    if transposed and a["output_shape"] and len(a["output_shape"]) == len(x):
        a["output_shape"] = a["output_shape"][2:]
    made = axis_windows(x[2:], kernel or w[2:], partial(where, auto_pad=auto_pad), **a)
    return [(dtype, (x[0], channels, *(m and (m.spatial if transposed else m.out)[0] for m in made)))]


def channels_of(x, w, b, group, kernel_shape, transposed):
    """The number of output channels, None if it is not known.

    Raises:
        InvalidGraph: if the shapes of X, W and B do not fit each other, as far as they are known.
    """
    if len(x) < 3 or len(w) != len(x):
        raise InvalidGraph(
            f"X has shape {list(x)} and W {list(w)}; expected the same rank, at least 3: batch, channels, space"
        )
    kernel = kernel_shape or w[2:]
    if len(kernel) != len(w) - 2 or any(isinstance(n, int) and n != k for n, k in zip(w[2:], kernel, strict=True)):
        raise InvalidGraph(f"kernel_shape is {list(kernel_shape)}, but W has shape {list(w)}")
    if group < 1 or (isinstance(w[0], int) and w[0] % group):
        raise InvalidGraph(f"W has shape {list(w)}; expected a first dimension that is a multiple of group={group}")
    per_group = w[1] * group if isinstance(w[1], int) else None
    expected, channels = (w[0], per_group) if transposed else (per_group, w[0])
    if isinstance(expected, int) and isinstance(x[1], int) and x[1] != expected:
        raise InvalidGraph(
            f"X of shape {list(x)} has {x[1]} channels, but W of shape {list(w)} with group={group} expects {expected}"
        )
    if b is not None and isinstance(channels, int) and (len(b) != 1 or (isinstance(b[0], int) and b[0] != channels)):
        raise InvalidGraph(f"B has shape {list(b)}; expected [{channels}], one for each output channel")
    return channels


@op("Conv", since=1, infer=_conv_type)
def conv(
    xp,
    X,
    W,
    B=None,
    *,
    auto_pad="NOTSET",
    dilations=None,
    group=1,
    kernel_shape=None,
    pads=None,
    strides=None,
    out=None,
):
    """Y[n, m, o] = B[m] + Σ_{c, t} W[m, c, t] · X[n, c, o·stride + t·dilation - pad], zeros outside X.

    X [N, C, *spatial], W [M, C/group, *kernel], B [M] → Y [N, M, *out]. Narrow floats are computed in float32.

    Raises:
        InvalidGraph: if channels, groups, kernel and input do not fit.
    """
    channels = channels_of(X.shape, W.shape, None if B is None else B.shape, group, kernel_shape, transposed=False)
    w = windows(X.shape[2:], W.shape[2:], strides, dilations, pads, auto_pad)
    dtype = X.dtype
    X, W, B = widened(X, W, B)
    Y = result_array(xp, out, (X.shape[0], channels, *w.out), X.dtype)
    inner = prod(W.shape[1:])
    weights = W.reshape(group, channels // group, inner)
    products = Y.reshape(X.shape[0], group, channels // group, prod(w.out))
    per_row = prod(w.out[1:])
    for images in chunks(xp, X, w):
        for rows in _row_chunks(xp, X[images], w):
            part, read = (w, slice(None)) if rows == slice(0, w.out[0]) else w.rows(rows.start, rows.stop)
            seen = X[images][:, :, read]
            cols = seen if w.identity else columns(xp, seen, part)
            target = products[images][..., rows.start * per_row : rows.stop * per_row]
            xp.matmul(weights, cols.reshape(len(cols), group, inner, prod(part.out)), out=target)
    return _with_bias(xp, Y, B).astype(dtype, copy=False)


@conv.gradient
def _(g, node, dY):
    """dX = ConvTranspose(dY, W); dW[m, c, t] = Σ_{n, o} dY[n, m, o]·X[n, c, o·stride + t·dilation - pad]; dB = Σ dY"""
    X, W, B = node.inputs
    a = node.attrs
    spatial, kernel = node.static_shape(0, slice(2, None)), node.static_shape(1, slice(2, None))
    w = windows(spatial, kernel, a["strides"], a["dilations"], a["pads"], a["auto_pad"])
    where = placement(w, a["group"])
    dX = g.ConvTranspose(dY, W, **where, output_padding=left_over(w))
    dW = g.ConvWeightGrad(X, dY, **where, kernel_shape=kernel)
    return dX, dW, _bias_gradient(g, B, dY, w.rank)


@op("ConvTranspose", since=1, infer=_conv_transpose_type)
def conv_transpose(
    xp,
    X,
    W,
    B=None,
    *,
    auto_pad="NOTSET",
    dilations=None,
    group=1,
    kernel_shape=None,
    output_padding=None,
    output_shape=None,
    pads=None,
    strides=None,
    out=None,
):
    """The adjoint of Conv: Y[n, m, o·stride + t·dilation - pad] += X[n, c, o] · W[c, m, t]; then B[m] is added.

    X [N, C, *spatial], W [C, M/group, *kernel], B [M] → Y [N, M, *out]. Narrow floats are computed in float32.

    Raises:
        InvalidGraph: if channels, groups, kernel and input do not fit.
    """
    channels = channels_of(X.shape, W.shape, None if B is None else B.shape, group, kernel_shape, transposed=True)
    w = transposed_windows(
        X.shape[2:],
        W.shape[2:],
        strides,
        dilations,
        pads,
        auto_pad,
        output_padding=output_padding,
        output_shape=output_shape,
    )
    dtype = X.dtype
    X, W, B = widened(X, W, B)
    Y = result_array(xp, out, (X.shape[0], channels, *w.spatial), X.dtype)
    inner, places = X.shape[1] // group, prod(w.out)
    weights = W.reshape(group, inner, prod(W.shape[1:])).swapaxes(1, 2)
    for images in chunks(xp, Y, w):
        y = Y[images]
        x = X[images].reshape(len(y), group, inner, places)
        if w.identity:
            xp.matmul(weights, x, out=y.reshape(len(y), group, W.shape[1], places))
        else:
            fold(xp, xp.matmul(weights, x).reshape(len(y), channels, *w.kernel, *w.out), w, out=y)
    return _with_bias(xp, Y, B).astype(dtype, copy=False)


@conv_transpose.gradient
def _(g, node, dY):
    """dX = Conv(dY, W); dW[c, m, t] = Σ_{n, o} X[n, c, o] · dY[n, m, o·stride + t·dilation - pad]; dB = Σ dY"""
    X, W, B = node.inputs
    a = dict(node.attrs)
    group = a.pop("group")
    a.pop("kernel_shape")
    kernel = node.static_shape(1, slice(2, None))
    w = transposed_windows(node.static_shape(0, slice(2, None)), kernel, **a)
    needed = [s * (n - 1) + r - b for s, n, r, b in zip(w.strides, w.out, w.reach, w.begin, strict=True)]
    used = [min(n, size) for n, size in zip(needed, w.spatial, strict=True)]
    where = placement(w, group, end=[n - u for n, u in zip(needed, used, strict=True)])
    dB = _bias_gradient(g, B, dY, w.rank)
    if used != list(w.spatial):
        dY = g.Slice(dY, [0] * w.rank, used, list(range(2, w.rank + 2)))
    return g.Conv(dY, W, **where), g.ConvWeightGrad(dY, X, **where, kernel_shape=kernel), dB


def transposed_windows(
    spatial: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    auto_pad: str = "NOTSET",
    output_padding: Sequence[int] | None = None,
    output_shape: Sequence[int] | None = None,
) -> Windows:
    """The windows of the convolution whose adjoint a ConvTranspose of an input of shape `spatial` is.

    Where padding follows from the wanted size, the odd one goes to the end for SAME_UPPER, to the beginning otherwise.
    An output larger than all windows together has the rest at its end. `output_shape` may name batch and channels too.

    Raises:
        InvalidGraph: if the attributes contradict each other or leave nothing of the output.
    """
    rank = len(spatial)
    strides, dilations = strides or (1,) * rank, dilations or (1,) * rank
    extra = output_padding or (0,) * rank
    if output_shape and len(output_shape) == rank + 2:
        output_shape = output_shape[2:]
    check_attributes(
        rank, pads, auto_pad, kernel_shape=kernel, strides=strides, dilations=dilations, output_shape=output_shape
    )
    if len(extra) != rank or any(not 0 <= e < max(s, d) for e, s, d in zip(extra, strides, dilations, strict=True)):
        raise InvalidGraph(
            f"output_padding {list(extra)} does not fit strides {list(strides)} and dilations {list(dilations)}; "
            f"expected one entry per axis, less than the stride or the dilation"
        )
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    full = [s * (n - 1) + e + r for s, n, e, r in zip(strides, spatial, extra, reach, strict=True)]
    same = auto_pad in ("SAME_UPPER", "SAME_LOWER")
    if output_shape or same:
        wanted = output_shape or [n * s for n, s in zip(spatial, strides, strict=True)]
        total = [max(0, f - size) for f, size in zip(full, wanted, strict=True)]
        less: Sequence[int] = [t // 2 for t in total]
        more: Sequence[int] = [t - t // 2 for t in total]
        begin, end = (less, more) if auto_pad == "SAME_UPPER" else (more, less)
    else:
        pads = pads if pads and auto_pad == "NOTSET" else (0,) * 2 * rank
        begin, end = pads[:rank], pads[rank:]
    size = output_shape or [f - b - e for f, b, e in zip(full, begin, end, strict=True)]
    if any(n < 1 for n in size):
        raise InvalidGraph(
            f"an input of spatial shape {list(spatial)} with a kernel of shape {list(kernel)}, strides {list(strides)} "
            f"and padding {list(begin)} before and {list(end)} after leaves an output of shape {list(size)}; "
            f"expected less padding"
        )
    return Windows(*(tuple(v) for v in (size, kernel, strides, dilations, begin, end, spatial)))


def placement(w: Windows, group: int, end: Sequence[int] | None = None) -> dict[str, Any]:
    """The attributes that put a convolution's windows where those of `w` lie."""
    pads = w.pads if end is None else (*w.begin, *end)
    return {"strides": w.strides, "dilations": w.dilations, "pads": pads, "group": group}


def left_over(w: Windows) -> list[int]:
    """The positions at the end of each axis that no window reaches: the `output_padding` of the adjoint."""
    spans = [s * (o - 1) + r - b - e for s, o, r, b, e in zip(w.strides, w.out, w.reach, w.begin, w.end, strict=True)]
    return [max(0, size - span) for size, span in zip(w.spatial, spans, strict=True)]


def chunks(xp: Any, X: Any, w: Windows) -> Iterator[slice]:
    """Ranges of the images [N, C, *spatial] whose columns fit into the cache, and at least one image each."""
    each = 0 if w.identity else X.shape[1] * prod(w.kernel) * prod(w.out) * X.dtype.itemsize
    step = max(1, (HOST_COLUMNS if xp is np else DEVICE_COLUMNS) // each) if each else max(1, X.shape[0])
    for first in range(0, X.shape[0], step):
        yield slice(first, first + step)


def _row_chunks(xp: Any, X: Any, w: Windows) -> Iterator[slice]:
    """Ranges of the windows of the first axis: all of them, but of one large image as many as fit into the cache."""
    each = X.shape[0] * X.shape[1] * prod(w.kernel) * prod(w.out[1:]) * X.dtype.itemsize
    step = w.out[0]
    if X.shape[0] == 1 and not w.identity:
        step = min(step, max(1, (HOST_COLUMNS if xp is np else DEVICE_COLUMNS) // max(1, each)))
    for first in range(0, w.out[0], step):
        yield slice(first, min(first + step, w.out[0]))


def _with_bias(xp: Any, Y: Any, B: Any) -> Any:
    return Y if B is None else xp.add(Y, B.reshape(-1, *(1,) * (Y.ndim - 2)), out=Y)


def _bias_gradient(g: Any, B: Any, dY: Any, rank: int) -> Any:
    return None if B is None else g.ReduceSum(dY, [0, *range(2, rank + 2)], keepdims=0)
