"""Activations."""

from __future__ import annotations

import math

from ..dtypes import compute_dtype
from ._axes import axis_in
from .registry import op

SELU_ALPHA, SELU_GAMMA = 1.67326319217681884765625, 1.05070102214813232421875


def _wide(X):
    return X.astype(compute_dtype(X.dtype), copy=False)


@op("Relu", since=1, inplace=True)
def relu(xp, X, *, out=None):
    """max(X, 0)"""
    return xp.maximum(X, xp.zeros((), X.dtype), out=out)


@relu.gradient
def _(g, node, dY):
    """dX = dY where X > 0"""
    X = node.inputs[0]
    return g.Mul(dY, g.Cast(g.Greater(X, 0.0), to=int(X.dtype)))


@op("LeakyRelu", since=1)
def leaky_relu(xp, X, *, alpha=0.01):
    """X where X ≥ 0, else alpha·X"""
    return xp.where(X >= 0, X, X * alpha).astype(X.dtype, copy=False)


@leaky_relu.gradient
def _(g, node, dY):
    """dX = dY where X ≥ 0, else alpha·dY"""
    return g.Where(g.Less(node.inputs[0], 0.0), g.Mul(dY, node.attrs["alpha"]), dY)


@op("PRelu", since=1)
def prelu_per_channel(xp, X, slope):
    """X where X ≥ 0, else slope·X; a slope vector is per channel."""
    if slope.ndim == 1 and slope.size > 1 and X.ndim > 2:
        slope = slope.reshape((-1,) + (1,) * (X.ndim - 2))
    return xp.where(X < 0, X * slope, X).astype(X.dtype, copy=False)


@op("PRelu", since=7)
def prelu(xp, X, slope):
    """X where X ≥ 0, else slope·X, slope broadcast to X"""
    return xp.where(X < 0, X * slope, X).astype(X.dtype, copy=False)


@prelu.gradient
def _(g, node, dY):
    """dX = dY where X ≥ 0, else slope·dY; dslope = X·dY where X < 0"""
    X, slope = node.inputs[:2]
    below = g.Less(X, 0.0)
    return g.Where(below, g.Mul(dY, slope), dY), g.Where(below, g.Mul(dY, X), g.like(0.0, X))


@op("Elu", since=1)
def elu(xp, X, *, alpha=1.0):
    """X where X > 0, else alpha·(exp(X) − 1)"""
    zero = xp.zeros((), X.dtype)
    return xp.where(X > 0, X, alpha * xp.expm1(xp.minimum(X, zero))).astype(X.dtype, copy=False)


@elu.gradient
def _(g, node, dY):
    """dX = dY where X > 0, else dY·alpha·exp(X)"""
    X = node.inputs[0]
    inner = g.Mul(g.Exp(g.Min(X, 0.0)), node.attrs["alpha"])
    return g.Mul(dY, g.Where(g.Greater(X, 0.0), g.like(1.0, X), inner))


@op("Selu", since=1)
def selu_1(xp, X, *, alpha=1.6732, gamma=1.0507, consumed_inputs=None):
    """As Selu-6, with shorter constants."""
    return selu(xp, X, alpha=alpha, gamma=gamma)


@op("Selu", since=6)
def selu(xp, X, *, alpha=SELU_ALPHA, gamma=SELU_GAMMA):
    """gamma·X where X > 0, else gamma·alpha·(exp(X) − 1)"""
    zero = xp.zeros((), X.dtype)
    return (gamma * xp.where(X > 0, X, alpha * xp.expm1(xp.minimum(X, zero)))).astype(X.dtype, copy=False)


@selu.gradient
def _(g, node, dY):
    """dX = dY·gamma where X > 0, else dY·gamma·alpha·exp(X)"""
    X, gamma = node.inputs[0], node.attrs["gamma"]
    inner = g.Mul(g.Exp(g.Min(X, 0.0)), gamma * node.attrs["alpha"])
    return g.Mul(dY, g.Where(g.Greater(X, 0.0), g.like(gamma, X), inner))


@op("Celu", since=12)
def celu(xp, X, *, alpha=1.0):
    """max(0, X) + min(0, alpha·(exp(X/alpha) − 1))"""
    zero = xp.zeros((), X.dtype)
    return (xp.maximum(X, zero) + alpha * xp.expm1(xp.minimum(X, zero) / alpha)).astype(X.dtype, copy=False)


@celu.gradient
def _(g, node, dY):
    """dX = dY where X > 0, else dY·exp(X/alpha)"""
    X = node.inputs[0]
    return g.Mul(dY, g.Exp(g.Div(g.Min(X, 0.0), node.attrs["alpha"])))


@op("ThresholdedRelu", since=10)
def thresholded_relu(xp, X, *, alpha=1.0):
    """X where X > alpha, else 0"""
    return xp.where(X > alpha, X, xp.zeros((), X.dtype))


@thresholded_relu.gradient
def _(g, node, dY):
    """dX = dY where X > alpha"""
    X = node.inputs[0]
    return g.Mul(dY, g.Cast(g.Greater(X, node.attrs["alpha"]), to=int(X.dtype)))


@op("Sigmoid", since=1)
def sigmoid(xp, X):
    """1 / (1 + exp(−X)), computed from exp(−|X|) so that it never overflows"""
    x = _wide(X)
    e = xp.exp(-xp.abs(x))
    return (xp.where(x >= 0, xp.ones((), x.dtype), e) / (1 + e)).astype(X.dtype, copy=False)


@sigmoid.gradient
def _(g, node, dY):
    """dX = dY·Y·(1 − Y)"""
    Y = node.outputs[0]
    return g.Mul(dY, g.Mul(Y, g.Sub(g.like(1.0, Y), Y)))


@op("HardSigmoid", since=1)
def hard_sigmoid(xp, X, *, alpha=0.2, beta=0.5):
    """max(0, min(1, alpha·X + beta))"""
    return xp.clip(X * alpha + beta, 0, 1).astype(X.dtype, copy=False)


@hard_sigmoid.gradient
def _(g, node, dY):
    """dX = alpha·dY where 0 < alpha·X + beta < 1"""
    return g.Mul(_inside(g, node.inputs[0], node.attrs["alpha"], node.attrs["beta"]), g.Mul(dY, node.attrs["alpha"]))


def _inside(g, X, alpha, beta):
    line = g.Add(g.Mul(X, alpha), beta)
    return g.Cast(g.And(g.Greater(line, 0.0), g.Less(line, 1.0)), to=int(X.dtype))


@op("HardSwish", since=14)
def hard_swish(xp, X):
    """X · max(0, min(1, X/6 + ½))"""
    return (X * xp.clip(X * (1 / 6) + 0.5, 0, 1)).astype(X.dtype, copy=False)


@hard_swish.gradient
def _(g, node, dY):
    """dX = dY·(h(X) + X/6 where 0 < h < 1), h the hard sigmoid of slope 1/6"""
    X = node.inputs[0]
    h = g.HardSigmoid(X, alpha=1 / 6, beta=0.5)
    return g.Mul(dY, g.Add(h, g.Mul(g.Mul(X, 1 / 6), _inside(g, X, 1 / 6, 0.5))))


@op("Softplus", since=1)
def softplus(xp, X):
    """log(1 + exp(X)), stable for large X."""
    return xp.logaddexp(X, xp.zeros((), X.dtype))


@softplus.gradient
def _(g, node, dY):
    """dX = dY * sigmoid(X)"""
    return g.Mul(dY, g.Sigmoid(node.inputs[0]))


@op("Softsign", since=1)
def softsign(xp, X):
    """X / (1 + |X|)"""
    return X / (1 + xp.abs(X))


@softsign.gradient
def _(g, node, dY):
    """dX = dY / (1 + |X|)²"""
    X = node.inputs[0]
    below = g.Add(g.Abs(X), 1.0)
    return g.Div(dY, g.Mul(below, below))


@op("Mish", since=18)
def mish(xp, X):
    """X · tanh(softplus(X))"""
    return X * xp.tanh(xp.logaddexp(X, xp.zeros((), X.dtype)))


@mish.gradient
def _(g, node, dY):
    """dX = dY·(t + X·(1 − t²)·sigmoid(X)), t = tanh(softplus(X))"""
    X = node.inputs[0]
    t = g.Tanh(g.Softplus(X))
    slope = g.Mul(g.Sub(g.like(1.0, X), g.Mul(t, t)), g.Sigmoid(X))
    return g.Mul(dY, g.Add(t, g.Mul(X, slope)))


@op("Gelu", since=20)
def gelu(xp, X, *, approximate="none"):
    """X·Φ(X); `tanh` approximates Φ (Hendrycks & Gimpel 2016)"""
    from .elementwise import erf_values

    x = _wide(X)
    if approximate == "tanh":
        share = 0.5 * (1 + xp.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
    else:
        share = 0.5 * (1 + erf_values(xp, x * math.sqrt(0.5)))
    return (x * share).astype(X.dtype, copy=False)


@gelu.gradient
def _(g, node, dY):
    """dX = dY·(Φ + X·φ), or the derivative of the tanh form"""
    X = node.inputs[0]
    one = g.like(1.0, X)
    if node.attrs["approximate"] == "tanh":
        c = math.sqrt(2 / math.pi)
        square = g.Mul(X, X)
        t = g.Tanh(g.Mul(g.Mul(X, g.Add(g.Mul(square, 0.044715), 1.0)), c))
        inner = g.Mul(g.Add(g.Mul(square, 3 * 0.044715), 1.0), c)
        slope = g.Mul(g.Mul(X, 0.5), g.Mul(g.Sub(one, g.Mul(t, t)), inner))
        return g.Mul(dY, g.Add(g.Mul(g.Add(t, 1.0), 0.5), slope))
    share = g.Mul(g.Add(g.Erf(g.Mul(X, math.sqrt(0.5))), 1.0), 0.5)
    density = g.Mul(g.Exp(g.Mul(g.Mul(X, X), -0.5)), 1 / math.sqrt(2 * math.pi))
    return g.Mul(dY, g.Add(share, g.Mul(X, density)))


@op("Swish", since=24)
def swish(xp, X, *, alpha=1.0):
    """X · sigmoid(alpha·X)"""
    return X * sigmoid.kernel(xp, (X * alpha).astype(X.dtype, copy=False))


@op("Shrink", since=9)
def shrink(xp, input, *, bias=0.0, lambd=0.5):
    """X + bias below −lambd, X − bias above lambd, else 0"""
    zero = xp.zeros((), input.dtype)
    moved = xp.where(input < -lambd, input + bias, xp.where(input > lambd, input - bias, zero))
    return moved.astype(input.dtype, copy=False)


@shrink.gradient
def _(g, node, dY):
    """dX = dY where |X| > lambd"""
    X = node.inputs[0]
    return g.Mul(dY, g.Cast(g.Greater(g.Abs(X), node.attrs["lambd"]), to=int(X.dtype)))


def _normalised(xp, X, axes, out=None):
    """exp(X − max) / Σ along the axes"""
    x = _wide(X)
    if not x.size:
        return X
    e = xp.subtract(x, x.max(axis=axes, keepdims=True), out=out if x.dtype == X.dtype else None)
    e = xp.exp(e, out=e)
    e /= e.sum(axis=axes, keepdims=True)
    return e.astype(X.dtype, copy=False)


def _log_normalised(xp, X, axes, out=None):
    """(X − max) − log Σ exp(X − max) along the axes"""
    x = _wide(X)
    if not x.size:
        return X
    d = xp.subtract(x, x.max(axis=axes, keepdims=True), out=out if x.dtype == X.dtype else None)
    d -= xp.log(xp.exp(d).sum(axis=axes, keepdims=True))
    return d.astype(X.dtype, copy=False)


def _from(axis, rank):
    """Before opset 13 the tensor was read as a matrix, rows ending before `axis`."""
    return tuple(range(axis_in(axis, rank), rank)) if axis != rank else ()


@op("Softmax", since=1)
def softmax_matrix(xp, input, *, axis=1, out=None):
    """Softmax over all axes from `axis` on."""
    return _normalised(xp, input, _from(axis, input.ndim), out)


@op("Softmax", since=13, inplace=True)
def softmax(xp, input, *, axis=-1, out=None):
    """exp(X) / Σ exp(X) along an axis"""
    return _normalised(xp, input, axis_in(axis, input.ndim), out)


@softmax.gradient
def _(g, node, dY):
    """dX = Y·(dY − Σ dY·Y)"""
    Y = node.outputs[0]
    return g.Mul(Y, g.Sub(dY, g.ReduceSum(g.Mul(dY, Y), [node.attrs["axis"]])))


@op("LogSoftmax", since=1)
def log_softmax_matrix(xp, input, *, axis=1, out=None):
    """Logarithm of Softmax over all axes from `axis` on."""
    return _log_normalised(xp, input, _from(axis, input.ndim), out)


@op("LogSoftmax", since=13, inplace=True)
def log_softmax(xp, input, *, axis=-1, out=None):
    """X − log Σ exp(X) along an axis"""
    return _log_normalised(xp, input, axis_in(axis, input.ndim), out)


@log_softmax.gradient
def _(g, node, dY):
    """dX = dY − exp(Y)·Σ dY"""
    Y = node.outputs[0]
    return g.Sub(dY, g.Mul(g.Exp(Y), g.ReduceSum(dY, [node.attrs["axis"]])))


def _one_hot_of_maximum(xp, flat):
    first = xp.argmax(flat, axis=-1)
    return (xp.arange(flat.shape[-1]) == first[..., None]).astype(flat.dtype)


@op("Hardmax", since=1, differentiable=False)
def hardmax_matrix(xp, input, *, axis=1):
    """1 at the first maximum over all axes from `axis` on, else 0."""
    rows = math.prod(input.shape[: input.ndim if axis == input.ndim else axis_in(axis, input.ndim)])
    return _one_hot_of_maximum(xp, input.reshape(rows, -1)).reshape(input.shape)


@op("Hardmax", since=13, differentiable=False)
def hardmax(xp, input, *, axis=-1):
    """1 at the first maximum along an axis, else 0."""
    return xp.moveaxis(_one_hot_of_maximum(xp, xp.moveaxis(input, axis, -1)), -1, axis)
