"""Activation functions, and the softmax family. Defaults of attributes are float32 numbers, as files hold them."""

from __future__ import annotations

from math import pi, prod, sqrt

from ..errors import InvalidGraph, InvalidInput
from ..inference import value_type
from ._axes import axis_in
from ._legacy import consumed_inputs
from ._numerics import erf, in_float32
from .registry import op


def _room(xp, X, out):
    """Where to compute a result shaped like X."""
    return xp.empty_like(X) if out is None else out


def _zero(g, x):
    return g.like(0.0, x)


# ---- rectifiers


@op("Relu", since=6, inplace=True)
def relu(xp, X, *, out=None):
    """max(X, 0)"""
    return xp.maximum(X, 0, out=out)


@relu.gradient
def _(g, node, dY):
    """dX = dY where Y > 0, else 0"""
    y = node.outputs[0]
    return g.Where(g.Greater(y, _zero(g, y)), dY, _zero(g, y))


@op("LeakyRelu", since=6, inplace=True)
@in_float32
def leaky_relu(xp, X, *, alpha=0.009999999776482582, out=None):
    """X, below 0 alpha · X: the greater of the two up to alpha = 1, the lesser beyond."""
    if alpha == 0:
        return xp.maximum(X, 0, out=out)
    choose = xp.maximum if alpha <= 1 else xp.minimum
    return choose(X, X * alpha, out=out)


@leaky_relu.gradient
def _(g, node, dY):
    """dX = alpha · dY where X < 0, else dY"""
    x = node.inputs[0]
    return g.Where(g.Less(x, _zero(g, x)), g.Mul(dY, node.attrs["alpha"]), dY)


@op("PRelu", since=7)
@in_float32
def p_relu(xp, X, slope, *, out=None):
    """X, below 0 slope · X; the slope broadcasts to the shape of X."""
    if slope.ndim > X.ndim or any(s not in (1, x) for s, x in zip(slope.shape[::-1], X.shape[::-1], strict=False)):
        raise InvalidInput(f"slope of shape {list(slope.shape)} does not broadcast to X of shape {list(X.shape)}")
    return xp.where(X < 0, X * slope, X)


@p_relu.gradient
def _(g, node, dY):
    """dX = slope · dY where X < 0, else dY; dslope = X · dY where X < 0, else 0"""
    x, slope = node.inputs
    negative = g.Less(x, _zero(g, x))
    return g.Where(negative, g.Mul(dY, slope), dY), g.Where(negative, g.Mul(dY, x), _zero(g, x))


@op("PRelu", since=6)
def p_relu_6(xp, X, slope):
    """X, below 0 slope · X; one slope, one for each channel (axis 1), or the shape of X."""
    if slope.size == 1:
        slope = slope.reshape(())
    elif slope.ndim == 1 and X.ndim > 1 and slope.shape[0] == X.shape[1]:
        slope = slope.reshape(-1, *(1,) * (X.ndim - 2))
    elif slope.shape != X.shape:
        raise InvalidInput(
            f"slope has shape {list(slope.shape)}, X {list(X.shape)}; "
            "expected one slope, one for each channel of X, or one for each element"
        )
    return p_relu.kernel(xp, X, slope)


@op("ThresholdedRelu", since=10)
def thresholded_relu(xp, X, *, alpha=1.0):
    """X where it exceeds alpha, else 0."""
    return xp.where(xp.greater(X, alpha), X, 0)


@thresholded_relu.gradient
def _(g, node, dY):
    """dX = dY where X > alpha, else 0"""
    x = node.inputs[0]
    return g.Where(g.Greater(x, g.like(node.attrs["alpha"], x)), dY, _zero(g, x))


@op("Shrink", since=9)
def shrink(xp, input, *, bias=0.0, lambd=0.5):
    """input + bias below −lambd, input − bias above lambd, 0 between."""
    upper = xp.where(input > lambd, input - bias, 0)
    return xp.where(input < -lambd, input + bias, upper).astype(input.dtype)


@shrink.gradient
def _(g, node, dY):
    """dinput = dY outside [−lambd, lambd], else 0"""
    x, lambd = node.inputs[0], node.attrs["lambd"]
    outside = g.Or(g.Less(x, g.like(-lambd, x)), g.Greater(x, g.like(lambd, x)))
    return g.Where(outside, dY, _zero(g, x))


# ---- exponential units


def _exponential_unit(xp, X, linear, scale, inner, out):
    """linear · X above 0, scale · (exp(X / inner) − 1) below."""
    Y = xp.minimum(X, 0, out=_room(xp, X, out))
    if inner != 1:
        Y /= inner
    xp.expm1(Y, out=Y)
    Y *= scale
    positive = xp.maximum(X, 0)
    Y += positive if linear == 1 else positive * linear
    return Y


def _exponential_rule(g, node, dY, linear, scale, inner):
    """dX = linear · dY where X > 0, else dY · (Y + scale) / inner"""
    x, y = node.inputs[0], node.outputs[0]
    below = g.Mul(dY, g.Div(g.Add(y, scale), inner) if inner != 1 else g.Add(y, scale))
    return g.Where(g.Greater(x, _zero(g, x)), g.Mul(dY, linear) if linear != 1 else dY, below)


@op("Elu", since=6)
@in_float32
def elu(xp, X, *, alpha=1.0, out=None):
    """X, below 0 alpha · (exp(X) − 1)."""
    return _exponential_unit(xp, X, 1, alpha, 1, out)


@elu.gradient
def _(g, node, dY):
    """dX = dY where X > 0, else dY · alpha · exp(X)"""
    return _exponential_rule(g, node, dY, 1, node.attrs["alpha"], 1)


@op("Selu", since=6)
@in_float32
def selu(xp, X, *, alpha=1.67326319217681884765625, gamma=1.05070102214813232421875, out=None):
    """gamma · X, below 0 gamma · alpha · (exp(X) − 1)."""
    return _exponential_unit(xp, X, gamma, gamma * alpha, 1, out)


@selu.gradient
def _(g, node, dY):
    """dX = gamma · dY where X > 0, else dY · gamma · alpha · exp(X)"""
    gamma, alpha = node.attrs["gamma"], node.attrs["alpha"]
    return _exponential_rule(g, node, dY, gamma, gamma * alpha, 1)


@op("Selu", since=1)
@in_float32
def selu_1(xp, X, *, alpha=1.673200011253357, gamma=1.0506999492645264, consumed_inputs=None, out=None):
    """gamma · X, below 0 gamma · alpha · (exp(X) − 1)."""
    return _exponential_unit(xp, X, gamma, gamma * alpha, 1, out)


# Opset 12 limits Celu to float32; the kernel and its gradient take every float, as opset 28 does.
@op("Celu", since=12, infer=lambda node: [value_type(node.inputs[0])])
@in_float32
def celu(xp, X, *, alpha=1.0, out=None):
    """X, below 0 alpha · (exp(X / alpha) − 1)."""
    return _exponential_unit(xp, X, 1, alpha, alpha, out)


@celu.gradient
def _(g, node, dY):
    """dX = dY where X > 0, else dY · exp(X / alpha)"""
    return _exponential_rule(g, node, dY, 1, node.attrs["alpha"], node.attrs["alpha"])


# ---- sigmoids


def _sigmoid(xp, X, Y):
    """1 / (1 + exp(−X)) computed in Y, which may be X."""
    xp.negative(X, out=Y)
    xp.exp(Y, out=Y)
    Y += 1
    return xp.reciprocal(Y, out=Y)


@op("Sigmoid", since=6, inplace=True)
@in_float32
def sigmoid(xp, X, *, out=None):
    """1 / (1 + exp(−X)); where exp(−X) overflows the result is 0, as it should be."""
    return _sigmoid(xp, X, _room(xp, X, out))


@sigmoid.gradient
def _(g, node, dY):
    """dX = dY · Y · (1 − Y)"""
    y = node.outputs[0]
    return g.Mul(dY, g.Mul(y, g.Sub(g.like(1.0, y), y)))


def _hard_sigmoid(xp, X, alpha, beta, Y):
    xp.multiply(X, alpha, out=Y)
    Y += beta
    xp.maximum(Y, 0, out=Y)
    return xp.minimum(Y, 1, out=Y)


@op("HardSigmoid", since=6, inplace=True)
@in_float32
def hard_sigmoid(xp, X, *, alpha=0.20000000298023224, beta=0.5, out=None):
    """alpha · X + beta, cut off at 0 and 1."""
    return _hard_sigmoid(xp, X, alpha, beta, _room(xp, X, out))


@hard_sigmoid.gradient
def _(g, node, dY):
    """dX = alpha · dY where 0 < Y < 1, else 0"""
    y = node.outputs[0]
    inside = g.And(g.Greater(y, _zero(g, y)), g.Less(y, g.like(1.0, y)))
    return g.Where(inside, g.Mul(dY, node.attrs["alpha"]), _zero(g, y))


@op("HardSwish", since=14)
@in_float32
def hard_swish(xp, X, *, out=None):
    """X · max(0, min(1, X/6 + 1/2))"""
    Y = _hard_sigmoid(xp, X, 1 / 6, 0.5, _room(xp, X, out))
    Y *= X
    return Y


@hard_swish.gradient
def _(g, node, dY):
    """dX = dY · (X/3 + 1/2) where −3 < X < 3, else dY · HardSigmoid(X)"""
    x = node.inputs[0]
    inside = g.Less(g.Abs(x), g.like(3.0, x))
    slope = g.Where(inside, g.Add(g.Mul(x, 1 / 3), 0.5), g.HardSigmoid(x, alpha=1 / 6, beta=0.5))
    return g.Mul(dY, slope)


@op("Softsign", since=1, inplace=True)
@in_float32
def softsign(xp, input, *, out=None):
    """input / (1 + |input|)"""
    size = xp.absolute(input)
    size += 1
    return xp.true_divide(input, size, out=out)


@softsign.gradient
def _(g, node, dY):
    """dinput = dY / (1 + |input|)²"""
    size = g.Add(g.Abs(node.inputs[0]), 1.0)
    return g.Div(dY, g.Mul(size, size))


def _softplus(xp, X, Y):
    """log(1 + exp(X)) = max(X, 0) + log(1 + exp(−|X|)) computed in Y, which must not be X."""
    xp.absolute(X, out=Y)
    xp.negative(Y, out=Y)
    xp.exp(Y, out=Y)
    xp.log1p(Y, out=Y)
    Y += xp.maximum(X, 0)
    return Y


@op("Softplus", since=1)
@in_float32
def softplus(xp, X, *, out=None):
    """log(1 + exp(X)), stable for large X."""
    return _softplus(xp, X, _room(xp, X, out))


@softplus.gradient
def _(g, node, dY):
    """dX = dY · sigmoid(X)"""
    return g.Mul(dY, g.Sigmoid(node.inputs[0]))


# ---- gated by themselves


@op("Mish", since=18)
@in_float32
def mish(xp, X, *, out=None):
    """X · tanh(log(1 + exp(X)))"""
    Y = _softplus(xp, X, _room(xp, X, out))
    xp.tanh(Y, out=Y)
    Y *= X
    return Y


@mish.gradient
def _(g, node, dY):
    """dX = dY · (t + X · sigmoid(X) · (1 − t²)) with t = tanh(softplus(X))"""
    x = node.inputs[0]
    t = g.Tanh(g.Softplus(x))
    rest = g.Mul(g.Mul(x, g.Sigmoid(x)), g.Sub(g.like(1.0, x), g.Mul(t, t)))
    return g.Mul(dY, g.Add(t, rest))


_TANH_SCALE, _TANH_CUBE = sqrt(2 / pi), 0.044715


@op("Gelu", since=20)
@in_float32
def gelu(xp, X, *, approximate="none", out=None):
    """X · Φ(X) with the normal distribution's Φ, or its approximation ½ (1 + tanh(√(2/π) (X + 0.044715 X³)))."""
    if approximate not in ("none", "tanh"):
        raise InvalidGraph(f"approximate is {approximate!r}; expected none or tanh")
    if approximate == "none":
        Y = erf(xp, X * sqrt(0.5))
    else:
        Y = xp.multiply(X, X, out=_room(xp, X, out))
        Y *= _TANH_CUBE
        Y += 1
        Y *= X
        Y *= _TANH_SCALE
        xp.tanh(Y, out=Y)
    Y += 1
    Y *= X
    Y *= 0.5
    return Y


@gelu.gradient
def _(g, node, dY):
    """dX = dY · (Φ(X) + X · Φ'(X)): Φ' = exp(−X²/2) / √(2π), or with tanh ½ (1 − t²) √(2/π) (1 + 3 · 0.044715 X²)"""
    x = node.inputs[0]
    one, square = g.like(1.0, x), g.Mul(x, x)
    if node.attrs["approximate"] == "none":
        t = g.Erf(g.Mul(x, sqrt(0.5)))
        slope = g.Mul(g.Exp(g.Mul(square, -0.5)), 1 / sqrt(2 * pi))
    else:
        inner = g.Mul(g.Mul(x, g.Add(g.Mul(square, _TANH_CUBE), 1.0)), _TANH_SCALE)
        t = g.Tanh(inner)
        d_inner = g.Mul(g.Add(g.Mul(square, 3 * _TANH_CUBE), 1.0), _TANH_SCALE / 2)
        slope = g.Mul(g.Sub(one, g.Mul(t, t)), d_inner)
    return g.Mul(dY, g.Add(g.Mul(g.Add(t, one), 0.5), g.Mul(x, slope)))


def _swish(xp, X, alpha, out):
    Y = xp.multiply(X, alpha, out=_room(xp, X, out))
    _sigmoid(xp, Y, Y)
    Y *= X
    return Y


@op("Swish", since=24)
@in_float32
def swish(xp, X, *, alpha=1.0, out=None):
    """X · sigmoid(alpha · X)"""
    return _swish(xp, X, alpha, out)


@op("SwiGLU", since=28)
@in_float32
def swi_glu(xp, A, B, *, alpha=1.0, out=None):
    """A · sigmoid(alpha · A) · B"""
    if A.shape != B.shape:
        raise InvalidInput(f"A has shape {list(A.shape)} and B {list(B.shape)}; expected equal shapes")
    return xp.multiply(_swish(xp, A, alpha, None), B, out=out)


for _operator in (relu, leaky_relu, p_relu_6, elu, sigmoid, hard_sigmoid):
    consumed_inputs(_operator)

# ---- softmax and its kin


def _shifted(xp, input, axis, out):
    """`input` less its maximum, so that nothing overflows."""
    return xp.subtract(input, input.max(axis=axis, keepdims=True), out=out)


@in_float32
def _softmax(xp, input, *, axis, out=None):
    if not input.size:
        return xp.array(input)
    Y = _shifted(xp, input, axis, out)
    xp.exp(Y, out=Y)
    Y /= Y.sum(axis=axis, keepdims=True)
    return Y


@in_float32
def _log_softmax(xp, input, *, axis, out=None):
    if not input.size:
        return xp.array(input)
    Y = _shifted(xp, input, axis, out)
    total = xp.exp(Y).sum(axis=axis, keepdims=True)
    Y -= xp.log(total, out=total)
    return Y


def _hardmax(xp, input, *, axis, out=None):
    if not input.size:
        return xp.array(input)
    first = xp.expand_dims(xp.argmax(input, axis=axis), axis)
    places = xp.arange(input.shape[axis]).reshape(-1, *(1,) * (input.ndim - 1 - axis))
    return (first == places).astype(input.dtype)


def _define_normalizer(name, compute, rule):
    """One axis since 13; before, the dimensions from the axis on were taken as one."""

    @op(name, since=13, inplace=True, differentiable=rule is not None)
    def over_axis(xp, input, *, axis=-1, out=None):
        return compute(xp, input, axis=axis_in(axis, input.ndim), out=out)

    @op(name, since=1, inplace=True, differentiable=rule is not None)
    def over_rest(xp, input, *, axis=1, out=None):
        start = axis if axis == input.ndim else axis_in(axis, input.ndim)
        matrix = (prod(input.shape[:start]), prod(input.shape[start:]))
        room = None if out is None else out.reshape(matrix)
        return compute(xp, input.reshape(matrix), axis=1, out=room).reshape(input.shape)

    if rule is not None:
        over_axis.gradient(rule)


def _softmax_rule(g, node, dY):
    """dX = Y · (dY − Σ dY · Y)"""
    y = node.outputs[0]
    total = g.ReduceSum(g.Mul(dY, y), [node.attrs["axis"]], keepdims=1)
    return g.Mul(y, g.Sub(dY, total))


def _log_softmax_rule(g, node, dY):
    """dX = dY − exp(Y) · Σ dY"""
    total = g.ReduceSum(dY, [node.attrs["axis"]], keepdims=1)
    return g.Sub(dY, g.Mul(g.Exp(node.outputs[0]), total))


_define_normalizer("Softmax", _softmax, _softmax_rule)
_define_normalizer("LogSoftmax", _log_softmax, _log_softmax_rule)
_define_normalizer("Hardmax", _hardmax, None)
