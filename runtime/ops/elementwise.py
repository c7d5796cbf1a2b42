"""Arithmetic and elementary functions, element by element with broadcasting."""

from __future__ import annotations

from math import pi, sqrt

import numpy as np

from ..dtypes import compute_dtype, is_float
from ..errors import InvalidGraph, InvalidInput
from ..inference import constant
from ._legacy import consumed_inputs, limited_broadcast
from ._numerics import erf as erf_of
from ._numerics import in_float32
from .registry import op

# ---- functions of one variable

UNARY = (
    # name, since, function, dX from dY, X and Y
    ("Abs", 6, "absolute", lambda g, dY, x, y: g.Mul(dY, g.Sign(x))),
    ("Neg", 6, "negative", lambda g, dY, x, y: g.Neg(dY)),
    ("Reciprocal", 6, "reciprocal", lambda g, dY, x, y: g.Neg(g.Mul(dY, g.Mul(y, y)))),
    ("Sqrt", 6, "sqrt", lambda g, dY, x, y: g.Div(g.Mul(dY, 0.5), y)),
    ("Exp", 6, "exp", lambda g, dY, x, y: g.Mul(dY, y)),
    ("Log", 6, "log", lambda g, dY, x, y: g.Div(dY, x)),
    ("Tanh", 6, "tanh", lambda g, dY, x, y: g.Mul(dY, g.Sub(g.like(1.0, y), g.Mul(y, y)))),
    ("Floor", 6, "floor", lambda g, dY, x, y: g.zeros_like(x)),
    ("Ceil", 6, "ceil", lambda g, dY, x, y: g.zeros_like(x)),
    ("Round", 11, "rint", lambda g, dY, x, y: g.zeros_like(x)),
    ("Sign", 9, "sign", lambda g, dY, x, y: g.zeros_like(x)),
    ("Sin", 7, "sin", lambda g, dY, x, y: g.Mul(dY, g.Cos(x))),
    ("Cos", 7, "cos", lambda g, dY, x, y: g.Neg(g.Mul(dY, g.Sin(x)))),
    ("Tan", 7, "tan", lambda g, dY, x, y: g.Mul(dY, g.Add(g.Mul(y, y), 1.0))),
    ("Asin", 7, "arcsin", lambda g, dY, x, y: g.Div(dY, g.Sqrt(_one_minus_square(g, x)))),
    ("Acos", 7, "arccos", lambda g, dY, x, y: g.Neg(g.Div(dY, g.Sqrt(_one_minus_square(g, x))))),
    ("Atan", 7, "arctan", lambda g, dY, x, y: g.Div(dY, g.Add(g.Mul(x, x), 1.0))),
    ("Sinh", 9, "sinh", lambda g, dY, x, y: g.Mul(dY, g.Cosh(x))),
    ("Cosh", 9, "cosh", lambda g, dY, x, y: g.Mul(dY, g.Sinh(x))),
    ("Asinh", 9, "arcsinh", lambda g, dY, x, y: g.Div(dY, g.Sqrt(g.Add(g.Mul(x, x), 1.0)))),
    ("Acosh", 9, "arccosh", lambda g, dY, x, y: g.Div(dY, g.Sqrt(g.Mul(g.Sub(x, 1.0), g.Add(x, 1.0))))),
    ("Atanh", 9, "arctanh", lambda g, dY, x, y: g.Div(dY, _one_minus_square(g, x))),
)


def _one_minus_square(g, x):
    one = g.like(1.0, x)
    return g.Mul(g.Sub(one, x), g.Add(one, x))


def _define_unary(name, since, function, rule):
    @op(name, since=since, inplace=True)
    def unary(xp, X, *, out=None):
        return getattr(xp, function)(X, out=out)

    @unary.gradient
    def _(g, node, dY):
        return rule(g, dY, node.inputs[0], node.outputs[0])

    if since == 6:
        consumed_inputs(unary)


for _row in UNARY:
    _define_unary(*_row)


@op("Erf", since=9)
def erf(xp, input):
    """2/√π ∫₀ˣ exp(−t²) dt. Integers are computed in float64 and truncated."""
    wide = compute_dtype(input.dtype) if is_float(input.dtype) else np.float64
    return erf_of(xp, input.astype(wide, copy=False)).astype(input.dtype, copy=False)


@erf.gradient
def _(g, node, dY):
    """dX = dY · 2/√π · exp(−X²)"""
    x = node.inputs[0]
    return g.Mul(dY, g.Mul(g.Exp(g.Neg(g.Mul(x, x))), 2 / sqrt(pi)))


# ---- arithmetic


@op("Add", since=7, inplace=True)
def add(xp, A, B, *, out=None):
    """A + B"""
    return xp.add(A, B, out=out)


@add.gradient
def _(g, node, dC):
    """dA = dB = dC"""
    return dC, dC


@op("Sub", since=7, inplace=True)
def sub(xp, A, B, *, out=None):
    """A − B"""
    return xp.subtract(A, B, out=out)


@sub.gradient
def _(g, node, dC):
    """dA = dC, dB = −dC"""
    return dC, g.Neg(dC)


@op("Mul", since=7, inplace=True)
def mul(xp, A, B, *, out=None):
    """A · B"""
    return xp.multiply(A, B, out=out)


@mul.gradient
def _(g, node, dC):
    """dA = dC · B, dB = dC · A"""
    A, B = node.inputs
    return g.Mul(dC, B), g.Mul(dC, A)


@op("Div", since=7, inplace=True)
def div(xp, A, B, *, out=None):
    """A / B; integers truncate toward zero."""
    if A.dtype.kind not in "iu":
        return xp.true_divide(A, B, out=out)
    if A.dtype.kind == "u":
        return xp.floor_divide(A, B, out=out)
    rounded_down = _rounds_down(xp, A, B)
    quotient = xp.floor_divide(A, B, out=out)
    quotient += rounded_down
    return quotient


@div.gradient
def _(g, node, dC):
    """dA = dC / B, dB = −dC · C / B"""
    B = node.inputs[1]
    return g.Div(dC, B), g.Neg(g.Div(g.Mul(dC, node.outputs[0]), B))


def _rounds_down(xp, A, B):
    """Where the floor of a quotient of signed integers is one less than its truncation."""
    return (xp.remainder(A, B) != 0) & ((A ^ B) < 0)


for _operator in (add, sub, mul, div):
    consumed_inputs(limited_broadcast(_operator, since=6))


@op("Mod", since=10)
def mod(xp, A, B, *, fmod=0):
    """The remainder of A / B: of the sign of B, or with `fmod` of A."""
    if is_float(A.dtype) and not fmod:
        raise InvalidGraph("Mod of floating-point numbers needs fmod=1 before opset 28")
    return _mod(xp, A, B, fmod)


@op("Mod", since=28)
def mod_28(xp, A, B, *, fmod=0):
    """The remainder of A / B: of the sign of B, or with `fmod` of A."""
    return _mod(xp, A, B, fmod)


def _mod(xp, A, B, fmod):
    kind = A.dtype.kind
    if kind == "u" or (kind == "i" and not fmod):
        return xp.remainder(A, B)
    if kind == "i":
        return xp.remainder(A, B) - B * _rounds_down(xp, A, B)
    rest = xp.fmod(A, B)
    if fmod:
        return rest
    moved = xp.where((rest < 0) != (B < 0), rest + B, rest)
    return xp.where(rest == 0, xp.copysign(rest, B), moved)


@mod.gradient
def _(g, node, dC):
    """dA = dC, dB = −dC · n, where n = (A − C) / B is the rounded quotient"""
    A, B = node.inputs
    n = g.Round(g.Div(g.Sub(A, node.outputs[0]), B))
    return dC, g.Neg(g.Mul(dC, n))


@op("Pow", since=7, inplace=True)
def pow(xp, X, Y, *, out=None):
    """X to the power Y, in the dtype of X. An integer to a negative integer power truncates toward zero."""
    integer = X.dtype.kind in "iu"
    if integer and Y.dtype.kind in "iu":
        return _integer_power(xp, X.astype(np.int64), Y.astype(np.int64)).astype(X.dtype)
    if X.dtype == Y.dtype:
        return xp.power(X, Y, out=out)
    wide = np.float64 if integer or np.float64 in (X.dtype, Y.dtype) else np.float32
    return xp.power(X.astype(wide), Y.astype(wide)).astype(X.dtype)


def _integer_power(xp, X, Y):
    power = xp.power(X, xp.maximum(Y, 0))
    inverse = xp.where(X == 1, 1, xp.where(X == -1, 1 - 2 * (Y & 1), 0))
    return xp.where(Y < 0, inverse, power)


limited_broadcast(pow, since=1)


@pow.gradient
def _(g, node, dZ):
    """dX = dZ · Y · X^(Y−1), zero where Y = 0 even at X = 0; dY = dZ · Z · log X, zero where X ≤ 0"""
    X, Y = node.inputs
    exponent = Y if Y.dtype == X.dtype else g.Cast(Y, to=X.dtype.value)
    known = constant(Y)
    if known is not None and known.size == 1:
        dX = _slope_of_known_power(g, X, dZ, float(known.reshape(())))
    else:
        zero = g.like(0.0, X)
        singular = g.And(g.Equal(X, zero), g.Equal(exponent, zero))
        lower = g.Where(singular, g.like(1.0, X), g.Sub(exponent, 1.0))
        dX = g.Mul(dZ, g.Mul(exponent, g.Pow(X, lower)))
    if not Y.dtype.is_floating_point():
        return dX, None
    one = g.like(1.0, X)
    dY = g.Mul(dZ, g.Mul(node.outputs[0], g.Log(g.Where(g.Greater(X, g.like(0.0, X)), X, one))))
    return dX, dY if Y.dtype == X.dtype else g.Cast(dY, to=Y.dtype.value)


def _slope_of_known_power(g, X, dZ, exponent):
    if exponent in (0.0, 1.0):
        return dZ if exponent else g.zeros_like(X)
    power = X if exponent == 2.0 else g.Pow(X, exponent - 1.0)
    return g.Mul(dZ, g.Mul(power, exponent))


# ---- any number of inputs


def _folded(xp, function, data, out):
    """`function` over the inputs from left to right; never an input itself."""
    if len(data) == 1:
        return xp.array(data[0])
    result, *rest = data
    for x in rest:
        fits = out is not None and out.shape in (result.shape, x.shape)
        result = function(result, x, out=out if fits else None)
    return result


def _max(xp, *data, out=None):
    return _folded(xp, xp.maximum, data, out)


def _min(xp, *data, out=None):
    return _folded(xp, xp.minimum, data, out)


@in_float32
def _sum(xp, *data, out=None):
    return _folded(xp, xp.add, data, out)


@in_float32
def _mean(xp, *data, out=None):
    total = _folded(xp, xp.add, data, out)
    return xp.true_divide(total, len(data), out=out if total is out else None)


def _extremum_rule(g, node, dY):
    """dXᵢ = dY where Xᵢ is the result; inputs that tie share it equally"""
    y = node.outputs[0]
    hits = [g.Equal(x, y) for x in node.inputs]
    counts = [g.Cast(hit, to=y.dtype.value) for hit in hits]
    share = g.Div(dY, g.Sum(*counts))
    return tuple(g.Where(hit, share, g.like(0.0, y)) for hit in hits)


def _sum_rule(g, node, dY):
    """dXᵢ = dY"""
    return (dY,) * len(node.inputs)


def _mean_rule(g, node, dY):
    """dXᵢ = dY / n"""
    return (g.Div(dY, float(len(node.inputs))),) * len(node.inputs)


def _define_variadic(name, combine, rule):
    @op(name, since=8)
    def variadic(xp, *data_0, out=None):
        return combine(xp, *data_0, out=out)

    variadic.gradient(rule)

    @op(name, since=6)
    def same_shape(xp, *data_0, out=None):
        if len({x.shape for x in data_0}) > 1:
            shapes = ", ".join(str(list(x.shape)) for x in data_0)
            raise InvalidInput(f"inputs have shapes {shapes}; before opset 8 {name} needs them all equal")
        return combine(xp, *data_0, out=out)

    consumed_inputs(same_shape)


for _name, _combine, _rule in (
    ("Max", _max, _extremum_rule),
    ("Min", _min, _extremum_rule),
    ("Sum", _sum, _sum_rule),
    ("Mean", _mean, _mean_rule),
):
    _define_variadic(_name, _combine, _rule)
