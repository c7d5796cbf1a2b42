"""BatchNormalization: every channel by its own mean and variance, given ones or those of the batch.

In the formulas μ and s are mean and 1 / sqrt(variance + epsilon), and x̂ = (X − μ) · s. Sums and means run over all axes
but the channels, m elements each.
"""

from __future__ import annotations

import math

from ..dtypes import compute_dtype
from ..inference import value_type
from ._precision import cast, narrow, widen
from .normalization import (
    added,
    all_but_channels,
    channel_vector,
    check_channels,
    mean_over,
    projected,
    standardized,
    sum_to_channels,
)
from .registry import GRAD_DOMAIN, op


def _by_channel(X):
    """X as [N, C, everything else]; a vector has one channel."""
    return X.reshape(X.shape[0], X.shape[1] if X.ndim > 1 else 1, math.prod(X.shape[2:]))


def _channel_sums(xp, *factors):
    """Per channel the sum of the factors' product; all are [N, C, S]."""
    return xp.einsum(",".join(["ncs"] * len(factors)) + "->nc", *factors).sum(axis=0)


def _batch_moments(xp, X, epsilon, out=None):
    """(X − μ, μ, variance, s) of [N, C, S] over N and S."""
    size = X.shape[0] * X.shape[2]
    mean = _channel_sums(xp, X) / size
    centred = xp.subtract(X, mean[:, None], out=out)
    var = _channel_sums(xp, centred, centred) / size
    return centred, mean, var, 1 / xp.sqrt(var + epsilon)


def _normalize_by_given(xp, X, scale, B, mean, var, epsilon, out):
    """One multiplication and one addition per element."""
    wide = compute_dtype(X.dtype)
    scale, B, mean, var = (v.astype(wide, copy=False) for v in (scale, B, mean, var))
    a = scale / xp.sqrt(var + epsilon)
    shape = a.shape if X.ndim <= 2 else (-1, *(1,) * (X.ndim - 2))
    is_narrow = wide != X.dtype
    Y = xp.multiply(X.astype(wide, copy=False), a.reshape(shape), out=None if is_narrow else out)
    Y = xp.add(Y, (B - mean * a).reshape(shape), out=Y)
    return Y.astype(X.dtype) if is_narrow else Y


def _normalize_by_batch(xp, X, scale, B, epsilon, out=None):
    """(Y, μ, variance)"""
    wide = compute_dtype(X.dtype)
    usable = out is not None and wide == X.dtype and out.flags.c_contiguous
    flat = _by_channel(X.astype(wide, copy=False))
    Y, mean, var, s = _batch_moments(xp, flat, epsilon, out.reshape(flat.shape) if usable else None)
    Y *= (scale.astype(wide, copy=False) * s)[:, None]
    Y += B.astype(wide, copy=False)[:, None]
    return Y.reshape(X.shape).astype(X.dtype, copy=False), mean, var


def _running(old, new, momentum):
    return (old * momentum + new.astype(old.dtype, copy=False) * (1 - momentum)).astype(old.dtype, copy=False)


def _batchnorm_until_14(xp, X, scale, B, mean, var, epsilon, momentum, training, spatial=1, out=None):
    shape = mean.shape
    if not spatial:
        flat = X.reshape(X.shape[0], math.prod(X.shape[1:]))
        scale, B, mean, var = (v.reshape(-1) for v in (scale, B, mean, var))
        out = None if out is None else out.reshape(flat.shape)
    else:
        flat = X
    check_channels("BatchNormalization", X, flat.shape[1] if flat.ndim > 1 else 1, scale=scale, B=B, mean=mean, var=var)
    if not training:
        return _normalize_by_given(xp, flat, scale, B, mean, var, epsilon, out).reshape(X.shape)
    Y, saved_mean, saved_var = _normalize_by_batch(xp, flat, scale, B, epsilon)
    statistics = _running(mean, saved_mean, momentum), _running(var, saved_var, momentum), saved_mean, saved_var
    return Y.reshape(X.shape), *(v.astype(mean.dtype, copy=False).reshape(shape) for v in statistics)


@op("BatchNormalization", since=1)
def batch_normalization_1(
    xp, X, scale, B, mean, var, *, consumed_inputs, epsilon=1e-5, is_test=0, momentum=0.9, spatial=1, out=None
):
    """By the batch's statistics unless `is_test`; per feature instead of per channel unless `spatial`."""
    return _batchnorm_until_14(xp, X, scale, B, mean, var, epsilon, momentum, not is_test, spatial, out)


@op("BatchNormalization", since=6)
def batch_normalization_6(xp, X, scale, B, mean, var, *, epsilon=1e-5, is_test=0, momentum=0.9, spatial=1, out=None):
    """By the batch's statistics unless `is_test`; per feature instead of per channel unless `spatial`."""
    return _batchnorm_until_14(xp, X, scale, B, mean, var, epsilon, momentum, not is_test, spatial, out)


@op("BatchNormalization", since=7)
def batch_normalization_7(xp, X, scale, B, mean, var, *, epsilon=1e-5, momentum=0.9, spatial=1, out=None, n_outputs=1):
    """By the batch's statistics if they are asked for; per feature instead of per channel unless `spatial`."""
    return _batchnorm_until_14(xp, X, scale, B, mean, var, epsilon, momentum, n_outputs > 1, spatial, out)


@op("BatchNormalization", since=9)
def batch_normalization_9(xp, X, scale, B, mean, var, *, epsilon=1e-5, momentum=0.9, out=None, n_outputs=1):
    """By the batch's statistics if they are asked for."""
    return _batchnorm_until_14(xp, X, scale, B, mean, var, epsilon, momentum, n_outputs > 1, out=out)


@op("BatchNormalization", since=14, inplace=True)
def batch_normalization(
    xp, X, scale, B, input_mean, input_var, *, epsilon=1e-5, momentum=0.9, training_mode=0, out=None, n_outputs=1
):
    """x̂ · scale + B per channel, by the given statistics or, in training mode, by those of the batch."""
    channels = X.shape[1] if X.ndim > 1 else 1
    check_channels("BatchNormalization", X, channels, scale=scale, B=B, input_mean=input_mean, input_var=input_var)
    if X.ndim < 2:
        out = None  # might be the memory of `scale`, which has the same shape
    if not training_mode:
        return _normalize_by_given(xp, X, scale, B, input_mean, input_var, epsilon, out)
    Y, mean, var = _normalize_by_batch(xp, X, scale, B, epsilon, out)
    return Y if n_outputs == 1 else (Y, _running(input_mean, mean, momentum), _running(input_var, var, momentum))


@batch_normalization.gradient
def _(g, node, dY, d_running_mean=None, d_running_var=None):
    """By given statistics: dX = dY · scale · s, dscale = Σ dY · x̂, dB = Σ dY, dmean = −Σ dX, dvar = −½ Σ dX · x̂ · s.

    In training mode see `BatchNormalizationGrad`. What arrives at a running statistic goes to the old one times
    momentum, and times 1 − momentum to X: through μ divided by m, through the variance multiplied by 2(x − μ)/m.
    """
    if not node.attrs["training_mode"]:
        return _gradient_by_given(g, node, dY)
    X, scale = node.inputs[:2]
    momentum, axes = node.attrs["momentum"], all_but_channels(len(node.shape(0)))
    dX, d_scale, dB = [], None, None
    if dY is not None:
        to_X, d_scale, dB = g.BatchNormalizationGrad(dY, X, scale, outputs=3, epsilon=node.attrs["epsilon"])
        dX.append(to_X)
    if d_running_mean is not None:
        dX.append(_to_every_element(g, X, d_running_mean, 1 - momentum, axes))
    if d_running_var is not None:
        centred = g.Sub(X, mean_over(g, X, axes))
        dX.append(g.Mul(centred, _to_every_element(g, X, d_running_var, 2 * (1 - momentum), axes)))
    kept = [None if d is None else g.Mul(d, momentum) for d in (d_running_mean, d_running_var)]
    return added(g, dX), d_scale, dB, *kept


def _gradient_by_given(g, node, dY):
    rank = len(node.shape(0))
    d, x, scale, mean, var = widen(g, dY, node.inputs[0], node.inputs[1], *node.inputs[3:])
    s = channel_vector(g, g.Reciprocal(g.Sqrt(g.Add(var, node.attrs["epsilon"]))), rank)
    normal = g.Mul(g.Sub(x, channel_vector(g, mean, rank)), s)
    dX = g.Mul(d, g.Mul(channel_vector(g, scale, rank), s))
    d_scale, dB, minus_dmean = (sum_to_channels(g, z, rank) for z in (g.Mul(d, normal), d, dX))
    d_var = g.Mul(sum_to_channels(g, g.Mul(g.Mul(dX, normal), s), rank), -0.5)
    return narrow(g, node.inputs, dX, d_scale, dB, g.Neg(minus_dmean), d_var)


def _to_every_element(g, X, vector, factor, axes):
    """factor / m · vector, broadcast to the shape of X."""
    share = g.Div(g.Mul(cast(g, vector, X.dtype), factor), g.axes_size(X, axes))
    return g.Expand(channel_vector(g, share, len(axes) + 1), g.shape_of(X))


def _types_of_inputs_1_2_2(node):
    return [value_type(node.inputs[i]) for i in (1, 2, 2)]


@op("BatchNormalizationGrad", since=1, domain=GRAD_DOMAIN, infer=_types_of_inputs_1_2_2)
def batch_normalization_grad(xp, dY, X, scale, *, epsilon=1e-5):
    """(dX, dscale, dB) of BatchNormalization in training mode.

    dB = Σ dY, dscale = Σ dY · x̂, dX = scale · s · (dY − dB/m − x̂ · dscale/m), sums over the m elements of a channel.
    """
    wide = compute_dtype(X.dtype)
    x, d = (_by_channel(z.astype(wide, copy=False)) for z in (X, dY))
    size = x.shape[0] * x.shape[2]
    centred, _, _, s = _batch_moments(xp, x, epsilon)
    dB = _channel_sums(xp, d)
    d_scale = _channel_sums(xp, d, centred) * s
    factor = scale.astype(wide, copy=False) * s
    dX = centred
    dX *= (-factor * s * d_scale / size)[:, None]
    dX += d * factor[:, None]
    dX -= (factor * dB / size)[:, None]
    dX = dX.reshape(X.shape).astype(X.dtype, copy=False)
    return dX, d_scale.astype(scale.dtype, copy=False), dB.astype(scale.dtype, copy=False)


@batch_normalization_grad.gradient
def _(g, node, U, v, w):
    """With P(z) = z − mean(z) − x̂ · mean(z · x̂), its own transpose; γ = scale; U, v, w arriving at dX, dscale, dB:

    d(dY) = γ · s · P(U) + v · x̂ + w,  dγ = s · Σ U · P(dY),
    dX = s · v · P(dY) − γ · s² · (x̂ · mean(U · P(dY)) + P(U) · mean(dY · x̂) + P(dY) · mean(U · x̂))

    because ds/dx = −s² x̂ / m and the gradient of mean(z · x̂) by x is s · P(z) / m.
    """
    rank = len(node.shape(1))
    axes = all_but_channels(rank)
    d, x, scale = widen(g, *node.inputs)
    normal, s = standardized(g, x, axes, node.attrs["epsilon"])
    gamma = channel_vector(g, scale, rank)
    Pd = projected(g, d, normal, axes)
    to_dY, to_X, to_scale = [], [], None
    if U is not None:
        (U,) = widen(g, U)
        PU, UPd = projected(g, U, normal, axes), g.Mul(U, Pd)
        bracket = g.Add(
            g.Mul(normal, mean_over(g, UPd, axes)),
            g.Add(g.Mul(PU, mean_over(g, g.Mul(d, normal), axes)), g.Mul(Pd, mean_over(g, g.Mul(U, normal), axes))),
        )
        to_dY.append(g.Mul(PU, g.Mul(gamma, s)))
        to_X.append(g.Neg(g.Mul(bracket, g.Mul(gamma, g.Mul(s, s)))))
        to_scale = sum_to_channels(g, g.Mul(UPd, s), rank)
    if v is not None:
        v = channel_vector(g, *widen(g, v), rank)
        to_dY.append(g.Mul(normal, v))
        to_X.append(g.Mul(Pd, g.Mul(v, s)))
    if w is not None:
        to_dY.append(g.Expand(channel_vector(g, *widen(g, w), rank), g.shape_of(x)))
    return narrow(g, node.inputs, added(g, to_dY), added(g, to_X), to_scale)
