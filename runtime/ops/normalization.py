"""Normalisation by the statistics of one example, or of a window of its channels.

In the formulas μ and s are mean and 1 / sqrt(variance + epsilon), x̂ = (X − μ) · s, and mean(…) runs over the axes that
μ was taken over. Statistics are those of the centred values, in float32 at least.
"""

from __future__ import annotations

import math

import numpy as np

from ..dtypes import compute_dtype, numpy_dtype
from ..errors import InvalidInput
from ..inference import value_type
from ._axes import axes_in, axis_in, fits
from ._precision import cast, narrow, widen
from .registry import GRAD_DOMAIN, op


def _channels(name, X):
    if X.ndim < 2:
        raise InvalidInput(f"{name}: X has shape {list(X.shape)}; expected [N, C, ...]")
    return X.shape[1]


def check_channels(name, X, channels, **vectors):
    for which, vector in vectors.items():
        if vector.shape != (channels,):
            raise InvalidInput(
                f"{name}: {which} has shape {list(vector.shape)}; expected [{channels}] for X of shape {list(X.shape)}"
            )


def _check_broadcast(name, X, **tensors):
    for which, tensor in tensors.items():
        if not fits(tensor.shape, X.shape):
            raise InvalidInput(
                f"{name}: {which} of shape {list(tensor.shape)} cannot be broadcast to X of shape {list(X.shape)}"
            )


def _rows(X, axis, out, wide):
    """X as a matrix of `wide` whose rows are normalised, and `out` likewise if it can take the result."""
    shape = math.prod(X.shape[:axis]), math.prod(X.shape[axis:])
    usable = out is not None and wide == X.dtype and out.flags.c_contiguous
    return X.astype(wide, copy=False).reshape(shape), out.reshape(shape) if usable else None


def _row_moments(xp, X, epsilon, out):
    """(X − μ, μ, s) of each row of a matrix."""
    size = X.shape[1]
    mean = xp.einsum("rs->r", X)[:, None] / size
    centred = xp.subtract(X, mean, out=out)
    var = xp.einsum("rs,rs->r", centred, centred)[:, None] / size
    return centred, mean, 1 / xp.sqrt(var + epsilon)


def _normalize_groups(xp, name, X, scale, B, groups, epsilon, out):
    """x̂ · scale + B, the statistics those of `groups` groups of channels of each example; scale and B per channel."""
    channels = X.shape[1]
    if groups < 1 or channels % groups:
        raise InvalidInput(f"{name}: num_groups is {groups}; expected a divisor of the number of channels, {channels}")
    wide = compute_dtype(X.dtype)
    scale, B = (v.astype(wide, copy=False) for v in (scale, B))
    batch, each, size = X.shape[0], channels // groups, math.prod(X.shape[2:])
    grouped, out = _rows(X.reshape(batch, groups, each * size), 2, out, wide)
    Y, _, s = _row_moments(xp, grouped, epsilon, out)
    Y = Y.reshape(batch, channels, size)
    Y *= (scale.reshape(groups, each) * s.reshape(batch, groups, 1)).reshape(batch, channels, 1)
    Y += B[:, None]
    return Y.reshape(X.shape).astype(X.dtype, copy=False)


@op("InstanceNormalization", since=1, inplace=True)
def instance_normalization_1(xp, input, scale, B, *, consumed_inputs=(), epsilon=1e-5, out=None):
    """x̂ · scale + B, the statistics those of each channel of each example."""
    return instance_normalization(xp, input, scale, B, epsilon=epsilon, out=out)


@op("InstanceNormalization", since=6, inplace=True)
def instance_normalization(xp, input, scale, B, *, epsilon=1e-5, out=None):
    """x̂ · scale + B, the statistics those of each channel of each example."""
    if input.ndim < 3:
        raise InvalidInput(f"InstanceNormalization: input has shape {list(input.shape)}; expected [N, C, D1, …]")
    check_channels("InstanceNormalization", input, input.shape[1], scale=scale, B=B)
    return _normalize_groups(xp, "InstanceNormalization", input, scale, B, input.shape[1], epsilon, out)


def _type_of_input(node):
    return [value_type(node.inputs[0])]


@op("GroupNormalization", since=18, inplace=True, infer=_type_of_input)
def group_normalization_18(xp, X, scale, bias, *, num_groups, epsilon=1e-5, out=None):
    """x̂ · scale + bias, both per group."""
    check_channels("GroupNormalization", X, num_groups, scale=scale, bias=bias)
    repeated = (xp.repeat(v, X.shape[1] // num_groups) for v in (scale, bias))
    return _normalize_groups(xp, "GroupNormalization", X, *repeated, num_groups, epsilon, out)


@op("GroupNormalization", since=21, inplace=True, infer=_type_of_input)
def group_normalization(xp, X, scale, bias, *, num_groups, epsilon=1e-5, stash_type=1, out=None):
    """x̂ · scale + bias, both per channel."""
    check_channels("GroupNormalization", X, _channels("GroupNormalization", X), scale=scale, bias=bias)
    return _normalize_groups(xp, "GroupNormalization", X, scale, bias, num_groups, epsilon, out)


@instance_normalization.gradient
def _(g, node, dY):
    """dX = s · (d − mean(d) − x̂ · mean(d · x̂)) with d = dY · scale; dscale = Σ dY · x̂, dB = Σ dY."""
    return _grouped_gradient(g, node, dY, None)


@group_normalization.gradient
def _(g, node, dY):
    """dX = s · (d − mean(d) − x̂ · mean(d · x̂)) with d = dY · scale; dscale = Σ dY · x̂, dbias = Σ dY."""
    return _grouped_gradient(g, node, dY, node.attrs["num_groups"])


def _grouped_gradient(g, node, dY, groups):
    rank = len(node.shape(0))
    axes = list(range(2, rank)) if groups is None else [2]
    d, X, scale = widen(g, dY, *node.inputs[:2])
    shape = g.shape_of(X)
    scaled = g.Mul(d, channel_vector(g, scale, rank))
    grouped, scaled = (z if groups is None else g.Reshape(z, [0, groups, -1]) for z in (X, scaled))
    normal, s = standardized(g, grouped, axes, node.attrs["epsilon"])
    dX = g.Mul(projected(g, scaled, normal, axes), s)
    dX, normal = (z if groups is None else g.Reshape(z, shape) for z in (dX, normal))
    return narrow(g, node.inputs, dX, sum_to_channels(g, g.Mul(d, normal), rank), sum_to_channels(g, d, rank))


@op("LayerNormalization", since=17)
def layer_normalization(xp, X, Scale, B=None, *, axis=-1, epsilon=1e-5, stash_type=1, out=None, n_outputs=1):
    """(x̂ · Scale + B, μ, s), the statistics over the axes from `axis` on."""
    axis = _axis("LayerNormalization", axis, X.ndim)
    _check_broadcast("LayerNormalization", X, Scale=Scale, **({} if B is None else {"B": B}))
    stash = numpy_dtype(stash_type)
    wide = np.promote_types(compute_dtype(X.dtype), compute_dtype(stash))
    rows, out = _rows(X, axis, out, wide)
    Y, mean, s = _row_moments(xp, rows, epsilon, out)
    Y *= s
    Y = Y.reshape(X.shape)
    Y *= Scale.astype(wide, copy=False)
    if B is not None:
        Y += B.astype(wide, copy=False)
    Y = Y.astype(X.dtype, copy=False)
    if n_outputs == 1:
        return Y
    shape = (*X.shape[:axis], *(1,) * (X.ndim - axis))
    return Y, mean.reshape(shape).astype(stash, copy=False), s.reshape(shape).astype(stash, copy=False)


@layer_normalization.gradient
def _(g, node, dY, dMean=None, dInvStdDev=None):
    """dX = s · (d − mean(d) − x̂ · mean(d · x̂)) + dMean / m − dInvStdDev · s² · x̂ / m, dScale = dY · x̂, dB = dY.

    d = dY · Scale, and m is the number of elements that μ was taken over.
    """
    rank = len(node.shape(0))
    axes = list(range(node.attrs["axis"] % rank, rank))
    X, Scale = widen(g, *node.inputs[:2])
    normal, s = standardized(g, X, axes, node.attrs["epsilon"])
    to_X, d, d_scale = [], None, None
    if dY is not None:
        (d,) = widen(g, dY)
        to_X.append(g.Mul(projected(g, g.Mul(d, Scale), normal, axes), s))
        d_scale = g.Mul(d, normal)
    size = g.axes_size(X, axes)
    if dMean is not None:
        to_X.append(g.Expand(g.Div(cast(g, dMean, X.dtype), size), g.shape_of(X)))
    if dInvStdDev is not None:
        factor = g.Div(g.Mul(cast(g, dInvStdDev, X.dtype), g.Mul(s, s)), size)
        to_X.append(g.Neg(g.Mul(normal, factor)))
    return narrow(g, node.inputs, added(g, to_X), d_scale, d)


@op("RMSNormalization", since=23)
def rms_normalization(xp, X, scale, *, axis=-1, epsilon=1e-5, stash_type=1, out=None):
    """X / sqrt(mean(X²) + epsilon) · scale over the axes from `axis` on; the result has the dtype of `scale`."""
    axis = _axis("RMSNormalization", axis, X.ndim)
    _check_broadcast("RMSNormalization", X, scale=scale)
    wide = np.promote_types(compute_dtype(X.dtype), compute_dtype(numpy_dtype(stash_type)))
    rows, out = _rows(X, axis, out if X.dtype == scale.dtype else None, wide)
    square = xp.einsum("rs,rs->r", rows, rows)[:, None] / rows.shape[1]
    Y = xp.multiply(rows, 1 / xp.sqrt(square + epsilon), out=out).reshape(X.shape)
    Y *= scale.astype(wide, copy=False)
    return Y.astype(scale.dtype, copy=False)


@rms_normalization.gradient
def _(g, node, dY):
    """dX = s · (d − x̂ · mean(d · x̂)), dscale = dY · x̂; s = 1 / sqrt(mean(X²) + epsilon), x̂ = X · s, d = dY · scale."""
    rank = len(node.shape(0))
    axes = list(range(node.attrs["axis"] % rank, rank))
    X, scale, d = widen(g, *node.inputs, dY)
    scale, d = (cast(g, z, X.dtype) for z in (scale, d))
    s = g.Reciprocal(g.Sqrt(g.Add(mean_over(g, g.Mul(X, X), axes), node.attrs["epsilon"])))
    normal, scaled = g.Mul(X, s), g.Mul(d, scale)
    dX = g.Mul(g.Sub(scaled, g.Mul(normal, mean_over(g, g.Mul(scaled, normal), axes))), s)
    return narrow(g, node.inputs, dX, g.Mul(d, normal))


_MVN_EPSILON = 1e-9


@op("MeanVarianceNormalization", since=9, inplace=True, infer=_type_of_input)
def mean_variance_normalization(xp, X, *, axes=(0, 2, 3), out=None):
    """(X − μ) / (σ + 1e-9), mean and standard deviation over `axes`."""
    wide, axes = compute_dtype(X.dtype), axes_in(axes, X.ndim)
    x = X.astype(wide, copy=False)
    centred = xp.subtract(x, x.mean(axis=axes, keepdims=True), out=out if wide == X.dtype else None)
    deviation = xp.sqrt(xp.square(centred).mean(axis=axes, keepdims=True))
    deviation += _MVN_EPSILON
    centred /= deviation
    return centred.astype(X.dtype, copy=False)


@mean_variance_normalization.gradient
def _(g, node, dY):
    """dX = (dY − mean(dY) − (X − μ) / σ · mean(dY · Y)) / (σ + 1e-9)"""
    axes = list(node.attrs["axes"])
    d, X, Y = widen(g, dY, node.inputs[0], node.outputs[0])
    centred = g.Sub(X, mean_over(g, X, axes))
    deviation = g.Sqrt(mean_over(g, g.Mul(centred, centred), axes))
    direction = g.Div(centred, g.Max(deviation, 1e-30))
    bracket = g.Sub(g.Sub(d, mean_over(g, d, axes)), g.Mul(direction, mean_over(g, g.Mul(d, Y), axes)))
    return narrow(g, node.inputs, g.Div(bracket, g.Add(deviation, _MVN_EPSILON)))


@op("LpNormalization", since=1, inplace=True)
def lp_normalization(xp, input, *, axis=-1, p=2, out=None):
    """input / its p-norm along `axis`, for p = 1 or 2; zero where the norm is zero."""
    if p not in (1, 2):
        raise InvalidInput(f"LpNormalization: p is {p}; expected 1 or 2")
    wide, axis = compute_dtype(input.dtype), axis_in(axis, input.ndim)
    x = input.astype(wide, copy=False)
    norm = xp.abs(x).sum(axis=axis, keepdims=True) if p == 1 else xp.sqrt(xp.square(x).sum(axis=axis, keepdims=True))
    norm[norm == 0] = math.inf
    return xp.divide(x, norm, out=out if wide == input.dtype else None).astype(input.dtype, copy=False)


@lp_normalization.gradient
def _(g, node, dY):
    """dX = (dY − Y · Σ dY · Y) / norm for p = 2, sign(X) for the first Y for p = 1; zero where the norm is zero."""
    axes, p = [node.attrs["axis"]], node.attrs["p"]
    d, X, Y = widen(g, dY, node.inputs[0], node.outputs[0])
    norm = (g.ReduceL1 if p == 1 else g.ReduceL2)(X, axes, keepdims=1)
    norm = g.Where(g.Equal(norm, 0.0), g.like(math.inf, X), norm)
    along = g.ReduceSum(g.Mul(d, Y), axes, keepdims=1)
    return narrow(g, node.inputs, g.Div(g.Sub(d, g.Mul(g.Sign(X) if p == 1 else Y, along)), norm))


@op("ChannelWindowSum", since=1, domain=GRAD_DOMAIN, infer=_type_of_input)
def channel_window_sum(xp, X, *, before, after, out=None):
    """Y[:, c] = Σ X[:, c − before … c + after], as far as there are such channels."""
    channels = X.shape[1]
    total = xp.zeros(X.shape, X.dtype) if out is None else out
    total[...] = X
    for shift in range(-min(before, channels - 1), min(after, channels - 1) + 1):
        if shift:
            total[:, max(0, -shift) : channels - max(0, shift)] += X[:, max(0, shift) : channels + min(0, shift)]
    return total


@channel_window_sum.gradient
def _(g, node, dY):
    """Channel c is in the windows of the channels c − after … c + before."""
    return g.ChannelWindowSum(dY, before=node.attrs["after"], after=node.attrs["before"])


@op("LRN", since=1, inplace=True)
def lrn(xp, X, *, size, alpha=1e-4, beta=0.75, bias=1.0, out=None):
    """X / (bias + alpha / size · Σ X²)^beta, summed over the `size` channels around, as far as there are such."""
    if size < 1:
        raise InvalidInput(f"LRN: size is {size}; expected at least 1")
    wide = compute_dtype(X.dtype)
    x = X.astype(wide, copy=False)
    scale = channel_window_sum(xp, xp.square(x), before=(size - 1) // 2, after=size // 2)
    scale *= alpha / size
    scale += bias
    return xp.divide(x, _power(xp, scale, beta), out=out if wide == X.dtype else None).astype(X.dtype, copy=False)


def _power(xp, x, exponent):
    """x ** exponent, overwriting x; the usual 0.75 by square roots, which are much faster."""
    if exponent == 0.75:
        root = xp.sqrt(x)
        xp.sqrt(root, out=x)
        return xp.multiply(root, x, out=x)
    return xp.power(x, exponent, out=x)


@lrn.gradient
def _(g, node, dY):
    """dX = P − 2αβ/size · X · Wᵀ(P · X / S) with P = dY · S^−β.

    Y = X · S^−β with S = bias + α/size · W(X²), where W sums over windows and its transpose Wᵀ over mirrored windows.
    The product rule gives dX = dY · S^−β + 2X · α/size · Wᵀ(dY · X · (−β) · S^(−β−1)).
    """
    size, alpha, beta, bias = (node.attrs[name] for name in ("size", "alpha", "beta", "bias"))
    before, after = (size - 1) // 2, size // 2
    d, X = widen(g, dY, node.inputs[0])
    S = g.Add(g.Mul(g.ChannelWindowSum(g.Mul(X, X), before=before, after=after), alpha / size), bias)
    P = g.Mul(d, g.Pow(S, -beta))
    spread = g.ChannelWindowSum(g.Div(g.Mul(P, X), S), before=after, after=before)
    return narrow(g, node.inputs, g.Sub(P, g.Mul(g.Mul(X, spread), 2 * alpha * beta / size)))


def _axis(name, axis, rank):
    if not -rank <= axis < rank:
        raise InvalidInput(f"{name}: axis is {axis}; expected one of {-rank} … {rank - 1} for X of rank {rank}")
    return axis % rank


def mean_over(g, z, axes):
    return g.ReduceMean(z, axes, keepdims=1)


def standardized(g, X, axes, epsilon):
    """(x̂, s)"""
    centred = g.Sub(X, mean_over(g, X, axes))
    s = g.Reciprocal(g.Sqrt(g.Add(mean_over(g, g.Mul(centred, centred), axes), epsilon)))
    return g.Mul(centred, s), s


def projected(g, z, normal, axes):
    """z − mean(z) − x̂ · mean(z · x̂)"""
    return g.Sub(g.Sub(z, mean_over(g, z, axes)), g.Mul(normal, mean_over(g, g.Mul(z, normal), axes)))


def all_but_channels(rank):
    return [axis for axis in range(rank) if axis != 1]


def channel_vector(g, vector, rank):
    """[C] as [C, 1, …], to be broadcast along the channels of a tensor of that rank."""
    return g.Unsqueeze(vector, list(range(1, rank - 1))) if rank > 2 else vector


def sum_to_channels(g, z, rank):
    """Summed over all axes but the channels; a vector has one channel."""
    return g.ReduceSum(z, all_but_channels(rank), keepdims=int(rank == 1))


def added(g, terms):
    return g.Sum(*terms) if len(terms) > 1 else terms[0] if terms else None
