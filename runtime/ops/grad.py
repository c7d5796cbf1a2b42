"""Operators of the domain `striate.grad`: gradients of convolution and pooling that ONNX has no operator for."""

from __future__ import annotations

from math import prod

from ..errors import InvalidGraph
from ..inference import value_type
from ._windows import check_indices, columns, divisor, spread, widened, windows
from .convolution import chunks, left_over, placement
from .registry import GRAD_DOMAIN, op


def _weight_shape(node):
    (dtype, x), (_, dy) = value_type(node.inputs[0]), value_type(node.inputs[1])
    group = node.attributes["group"].value if "group" in node.attributes else 1
    if x is None or dy is None:
        return [(dtype, None)]
    inner = x[1] // group if isinstance(x[1], int) else None
    return [(dtype, (dy[1], inner, *node.attributes["kernel_shape"].value))]


@op("ConvWeightGrad", since=1, domain=GRAD_DOMAIN, infer=_weight_shape)
def conv_weight_grad(xp, X, dY, *, kernel_shape, strides=None, dilations=None, pads=None, group=1):
    """dW[m, c, t] = Σ_{n, o} dY[n, m, o] · X[n, c, o·stride + t·dilation - pad], zeros outside X.

    X [N, C, *spatial], dY [N, M, *out] → dW [M, C/group, *kernel]. Narrow floats are computed in float32.
    """
    fits = X.shape[0] == dY.shape[0] and X.ndim == dY.ndim > 2
    if not fits or X.shape[1] % group or dY.shape[1] % group:
        raise InvalidGraph(
            f"X has shape {list(X.shape)} and dY {list(dY.shape)}; "
            f"expected the same batch and rank, and channels divisible by group={group}"
        )
    w = windows(X.shape[2:], kernel_shape, strides, dilations, pads)
    if w.out != dY.shape[2:]:
        raise InvalidGraph(f"dY has shape {list(dY.shape)}; expected the spatial shape {list(w.out)}")
    dtype = X.dtype
    X, dY = widened(X, dY)
    outer, inner = dY.shape[1] // group, X.shape[1] // group * prod(w.kernel)
    dW = xp.zeros((group, outer, inner), X.dtype)
    for images in chunks(xp, X, w):
        x = X[images].swapaxes(0, 1)
        cols = x if w.identity else columns(xp, x, w, at=1)
        places = x.shape[1] * prod(w.out)
        dy = dY[images].swapaxes(0, 1).reshape(group, outer, places)
        dW += xp.matmul(dy, cols.reshape(group, inner, places).swapaxes(1, 2))
    return dW.reshape(dY.shape[1], X.shape[1] // group, *w.kernel).astype(dtype, copy=False)


@conv_weight_grad.gradient
def _(g, node, ddW):
    """Bilinear: dX = ConvTranspose(dY, ddW), d(dY) = Conv(X, ddW)"""
    X, dY = node.inputs
    a = node.attrs
    w = windows(node.static_shape(0, slice(2, None)), a["kernel_shape"], a["strides"], a["dilations"], a["pads"])
    where = placement(w, a["group"])
    return g.ConvTranspose(dY, ddW, **where, output_padding=left_over(w)), g.Conv(X, ddW, **where)


def _spatial_shape(node):
    dtype, dy = value_type(node.inputs[0])
    return [(dtype, None if dy is None else (*dy[:2], *node.attributes["spatial_shape"].value))]


@op("AveragePoolGrad", since=1, domain=GRAD_DOMAIN, infer=_spatial_shape)
def average_pool_grad(
    xp,
    dY,
    *,
    spatial_shape,
    kernel_shape,
    strides=None,
    dilations=None,
    pads=None,
    ceil_mode=0,
    count_include_pad=0,
):
    """dX[p] = Σ dY[o] / count[o] over the windows o that contain p.

    dY [N, C, *out] → dX [N, C, *spatial_shape]; the other attributes are those of AveragePool.
    """
    w = windows(spatial_shape, kernel_shape, strides, dilations, pads, ceil_mode=ceil_mode)
    _check_windows(dY, w)
    (wide,) = widened(dY)
    return spread(xp, wide / divisor(xp, w, count_include_pad, wide.dtype), w).astype(dY.dtype, copy=False)


@average_pool_grad.gradient
def _(g, node, ddX):
    """d(dY) = AveragePool(ddX)"""
    return g.AveragePool(ddX, **{k: v for k, v in node.attrs.items() if k != "spatial_shape"})


@op("MaxPoolGrad", since=1, domain=GRAD_DOMAIN, infer=_spatial_shape)
def max_pool_grad(xp, dY, Indices, *, spatial_shape, disjoint=0):
    """dX.flat[Indices] += dY: sends each window's gradient to its (first) maximum.

    dY, Indices [N, C, *out] → dX [N, C, *spatial_shape]. `disjoint` promises that no index occurs twice.

    Raises:
        InvalidInput: for an index outside dX.
    """
    shape = (*dY.shape[:2], *spatial_shape)
    check_indices(Indices, dY.shape, prod(shape))
    (wide,) = widened(dY)
    dX = xp.zeros(prod(shape), wide.dtype)
    if disjoint:
        dX[Indices.reshape(-1)] = wide.reshape(-1)
    else:
        xp.add.at(dX, Indices.reshape(-1), wide.reshape(-1))
    return dX.reshape(shape).astype(dY.dtype, copy=False)


@max_pool_grad.gradient
def _(g, node, ddX):
    """d(dY) = ddX.flat[Indices]"""
    return g.Gather(g.Reshape(ddX, [-1]), node.inputs[1]), None


def _check_windows(dY, w):
    if dY.shape[2:] != w.out:
        raise InvalidGraph(f"dY has shape {list(dY.shape)}; expected the spatial shape {list(w.out)}")
