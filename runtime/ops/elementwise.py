"""Arithmetic, comparison, logic and the elementary functions, element by element."""

from __future__ import annotations

import math
from functools import reduce

import numpy as np

from ..dtypes import compute_dtype, is_float, numpy_dtype
from .registry import op


def _wide(X):
    return X.astype(compute_dtype(X.dtype), copy=False)


def _unary(name, ufunc, since=1, **traits):
    def kernel(xp, X, *, out=None):
        return getattr(xp, ufunc)(X, out=out)

    kernel.__doc__ = f"`{ufunc}` of each element"
    return op(name, since=since, inplace=True, **traits)(kernel)


_UNARY = {
    "Neg": ("negative", lambda g, X, Y, dY: g.Neg(dY)),
    "Abs": ("absolute", lambda g, X, Y, dY: g.Mul(dY, g.Sign(X))),
    "Sqrt": ("sqrt", lambda g, X, Y, dY: g.Div(g.Mul(dY, 0.5), Y)),
    "Exp": ("exp", lambda g, X, Y, dY: g.Mul(dY, Y)),
    "Log": ("log", lambda g, X, Y, dY: g.Div(dY, X)),
    "Sin": ("sin", lambda g, X, Y, dY: g.Mul(dY, g.Cos(X))),
    "Cos": ("cos", lambda g, X, Y, dY: g.Neg(g.Mul(dY, g.Sin(X)))),
    "Tan": ("tan", lambda g, X, Y, dY: g.Mul(dY, g.Add(g.Mul(Y, Y), 1.0))),
    "Sinh": ("sinh", lambda g, X, Y, dY: g.Mul(dY, g.Cosh(X))),
    "Cosh": ("cosh", lambda g, X, Y, dY: g.Mul(dY, g.Sinh(X))),
    "Tanh": ("tanh", lambda g, X, Y, dY: g.Mul(dY, g.Sub(g.like(1.0, Y), g.Mul(Y, Y)))),
    "Asin": ("arcsin", lambda g, X, Y, dY: g.Div(dY, g.Sqrt(g.Sub(g.like(1.0, X), g.Mul(X, X))))),
    "Acos": ("arccos", lambda g, X, Y, dY: g.Neg(g.Div(dY, g.Sqrt(g.Sub(g.like(1.0, X), g.Mul(X, X)))))),
    "Atan": ("arctan", lambda g, X, Y, dY: g.Div(dY, g.Add(g.Mul(X, X), 1.0))),
    "Asinh": ("arcsinh", lambda g, X, Y, dY: g.Div(dY, g.Sqrt(g.Add(g.Mul(X, X), 1.0)))),
    "Acosh": ("arccosh", lambda g, X, Y, dY: g.Div(dY, g.Sqrt(g.Sub(g.Mul(X, X), 1.0)))),
    "Atanh": ("arctanh", lambda g, X, Y, dY: g.Div(dY, g.Sub(g.like(1.0, X), g.Mul(X, X)))),
    "Floor": ("floor", lambda g, X, Y, dY: g.zeros_like(X)),
    "Ceil": ("ceil", lambda g, X, Y, dY: g.zeros_like(X)),
    "Sign": ("sign", lambda g, X, Y, dY: g.zeros_like(X)),
}
"""Name → NumPy's function, and dX from X, Y and dY."""


def _rule_of(derivative):
    return lambda g, node, dY: derivative(g, node.inputs[0], node.outputs[0], dY)


for _name, (_ufunc, _derivative) in _UNARY.items():
    _unary(_name, _ufunc).gradient(_rule_of(_derivative))


@op("Round", since=11, inplace=True)
def round_half_even(xp, X, *, out=None):
    """The nearest whole number, halves to the even one."""
    return xp.rint(X, out=out)


@round_half_even.gradient
def _(g, node, dY):
    """dX = 0"""
    return g.zeros_like(node.inputs[0])


@op("Reciprocal", since=1, inplace=True)
def reciprocal(xp, X, *, out=None):
    """1 / X"""
    return xp.divide(1, X, out=out)


@reciprocal.gradient
def _(g, node, dY):
    """dX = −dY·Y²"""
    Y = node.outputs[0]
    return g.Neg(g.Mul(dY, g.Mul(Y, Y)))


# --- two inputs ---


def _aligned(A, B, axis, broadcast):
    """Before opset 7 the second input was broadcast only if asked for, its first axis put at `axis` of the first."""
    if not broadcast or axis is None or B.ndim == 0:
        return B
    return B.reshape(B.shape + (1,) * (A.ndim - axis - B.ndim)) if axis >= 0 else B


def _div(xp, A, B, out=None):
    """A / B; whole numbers are rounded towards zero."""
    if is_float(A.dtype) or A.dtype.kind == "c":
        return xp.divide(A, B, out=out)
    if A.dtype.kind == "u":
        return xp.floor_divide(A, B, out=out)
    quotient = xp.floor_divide(xp.abs(A), xp.abs(B))
    return (quotient * (xp.sign(A) * xp.sign(B))).astype(A.dtype, copy=False)


def _pow(xp, A, B, out=None):
    """A to the power of B, in A's dtype."""
    if A.dtype == B.dtype and is_float(A.dtype):
        return xp.power(A, B, out=out)
    if not is_float(A.dtype) and not is_float(B.dtype):
        return xp.power(A, xp.maximum(B, 0).astype(A.dtype)).astype(A.dtype, copy=False)
    return xp.power(_wide(A), B).astype(A.dtype, copy=False)


def _ufunc(name):
    def function(xp, A, B, out=None):
        return getattr(xp, name)(A, B, out=out)

    return function


def _binary(name, function, *, legacy=True, since=7, **traits):
    """Registers an operator of two broadcasting inputs, and its form of before opset 7."""

    def kernel(xp, A, B, *, out=None):
        return function(xp, A, B, out=out)

    def old(xp, A, B, *, axis=None, broadcast=0):
        return function(xp, A, _aligned(A, B, axis, broadcast))

    if legacy:
        op(name, since=1, **traits)(old)
    return op(name, since=since, inplace=not traits.get("compares"), **{k: v for k, v in traits.items() if k != "compares"})(kernel)


add = _binary("Add", _ufunc("add"))
sub = _binary("Sub", _ufunc("subtract"))
mul = _binary("Mul", _ufunc("multiply"))
div = _binary("Div", _div)
power = _binary("Pow", _pow)


@add.gradient
def _(g, node, dY):
    """dA = dY; dB = dY"""
    return dY, dY


@sub.gradient
def _(g, node, dY):
    """dA = dY; dB = −dY"""
    return dY, g.Neg(dY)


@mul.gradient
def _(g, node, dY):
    """dA = dY·B; dB = dY·A"""
    A, B = node.inputs
    return g.Mul(dY, B), g.Mul(dY, A)


@div.gradient
def _(g, node, dY):
    """dA = dY / B; dB = −dY·A / B²"""
    A, B = node.inputs
    dA = g.Div(dY, B)
    return dA, g.Neg(g.Div(g.Mul(dA, A), B))


@power.gradient
def _(g, node, dY):
    """dA = dY·B·A^(B−1); dB = dY·Y·log A where A > 0, else 0"""
    A, B = node.inputs
    same = g.Cast(B, to=int(A.dtype)) if B.dtype != A.dtype else B
    dA = g.Mul(dY, g.Mul(same, g.Pow(A, g.Sub(same, g.like(1.0, A)))))
    if not B.dtype.is_floating_point():
        return dA, None
    positive = g.Greater(A, 0.0)
    log = g.Log(g.Where(positive, A, g.like(1.0, A)))
    dB = g.Mul(dY, g.Mul(node.outputs[0], log))
    return dA, g.Cast(dB, to=int(B.dtype)) if B.dtype != A.dtype else dB


def _compare(name, ufunc, since=7, legacy=True):
    function = _ufunc(ufunc)

    def kernel(xp, A, B):
        return xp.asarray(function(xp, A, B)).astype(xp.bool_, copy=False)

    def old(xp, A, B, *, axis=None, broadcast=0):
        return function(xp, A, _aligned(A, B, axis, broadcast))

    if legacy:
        op(name, since=1, differentiable=False)(old)
    op(name, since=since, differentiable=False)(kernel)


for _name, _ufunc_name in (("Equal", "equal"), ("Less", "less"), ("Greater", "greater"), ("And", "logical_and"),
                           ("Or", "logical_or"), ("Xor", "logical_xor")):  # fmt: skip
    _compare(_name, _ufunc_name)
_compare("LessOrEqual", "less_equal", since=12, legacy=False)
_compare("GreaterOrEqual", "greater_equal", since=12, legacy=False)
for _name, _ufunc_name in (("BitwiseAnd", "bitwise_and"), ("BitwiseOr", "bitwise_or"), ("BitwiseXor", "bitwise_xor")):
    _binary(_name, _ufunc(_ufunc_name), legacy=False, since=18, differentiable=False)
_unary("Not", "logical_not", differentiable=False)
_unary("BitwiseNot", "invert", since=18, differentiable=False)


@op("BitShift", since=11, differentiable=False)
def bit_shift(xp, X, Y, *, direction):
    """X · 2^Y or X / 2^Y by moving bits"""
    return (xp.left_shift if direction == "LEFT" else xp.right_shift)(X, Y)


@op("IsNaN", since=9, differentiable=False)
def is_nan(xp, X):
    """Which elements are not a number."""
    return xp.isnan(X)


@op("IsInf", since=10, differentiable=False)
def is_inf(xp, X, *, detect_negative=1, detect_positive=1):
    """Which elements are infinite, of the signs asked for."""
    found = xp.isinf(X)
    if not detect_negative:
        found &= X > 0
    if not detect_positive:
        found &= X < 0
    return found


@op("Mod", since=10)
def mod(xp, A, B, *, fmod=0):
    """The remainder with the sign of B, or with `fmod` of A"""
    return xp.fmod(A, B) if fmod else xp.mod(A, B)


@mod.gradient
def _(g, node, dY):
    """dA = dY; dB = −dY·(A − Y)/B"""
    A, B = node.inputs
    return dY, g.Neg(g.Mul(dY, g.Div(g.Sub(A, node.outputs[0]), B)))


# --- any number of inputs ---


def _many(ufunc):
    def kernel(xp, *data_0, out=None):
        if len(data_0) == 1:
            return data_0[0].copy()
        first = getattr(xp, ufunc)(data_0[0], data_0[1], out=out if len(data_0) == 2 else None)
        return reduce(getattr(xp, ufunc), data_0[2:], first)

    return kernel


total = op("Sum", since=1)(_many("add"))
largest = op("Max", since=1)(_many("maximum"))
smallest = op("Min", since=1)(_many("minimum"))


@op("Mean", since=1)
def mean(xp, *data_0):
    """Σ / count"""
    return (reduce(xp.add, data_0) / len(data_0)).astype(data_0[0].dtype, copy=False)


@total.gradient
def _(g, node, dY):
    """each dX = dY"""
    return [dY] * len(node.node.inputs)


@mean.gradient
def _(g, node, dY):
    """each dX = dY / count"""
    return [g.Div(dY, float(len(node.node.inputs)))] * len(node.node.inputs)


def _winner(g, node, dY):
    """dX = dY where X is the extreme, shared equally among ties"""
    Y = node.outputs[0]
    hits = [g.Cast(g.Equal(X, Y), to=int(Y.dtype)) for X in node.node.inputs]
    share = g.Div(dY, g.Sum(*hits))
    return [g.Mul(share, hit) for hit in hits]


largest.gradient(_winner)
smallest.gradient(_winner)


@op("Where", since=9)
def where(xp, condition, X, Y):
    """X where the condition holds, else Y"""
    return xp.where(condition, X, Y)


@where.gradient
def _(g, node, dY):
    """dX = dY where the condition holds; dY' = dY elsewhere"""
    condition = node.inputs[0]
    none = g.like(0.0, dY)
    return None, g.Where(condition, dY, none), g.Where(condition, none, dY)


@op("Clip", since=1)
def clip_attributes(xp, input, *, min=None, max=None):
    """Values kept within [min, max]."""
    low = np.finfo(np.float32).min if min is None else min
    high = np.finfo(np.float32).max if max is None else max
    return xp.minimum(xp.maximum(input, xp.asarray(low, input.dtype)), xp.asarray(high, input.dtype))


@op("Clip", since=11)
def clip(xp, input, min=None, max=None, *, out=None):
    """Values kept within [min, max]; max wins."""
    result = input if min is None else xp.maximum(input, min, out=out)
    if max is not None:
        result = xp.minimum(result, max, out=out)
    return result.copy() if result is input else result


@clip.gradient
def _(g, node, dY):
    """dX = dY within the bounds; a bound gets what it replaced"""
    X, low, high = node.inputs
    none = g.like(0.0, dY)
    over = g.Greater(X, high) if high is not None else None
    under = g.Less(X, low) if low is not None else None
    dX = dY
    for beyond in (over, under):
        dX = dX if beyond is None else g.Where(beyond, none, dX)
    d_low = None if under is None else g.ReduceSum(g.Where(under, dY, none), keepdims=0)
    d_high = None if over is None else g.ReduceSum(g.Where(over, dY, none), keepdims=0)
    return dX, d_low, d_high


# --- casts ---


def cast_values(xp, X, dtype, saturate=1):
    """X as `dtype` by the specification's rules; text is host only."""
    if dtype == object:
        return X.astype(str).astype(object) if X.dtype != object else X
    if X.dtype == object:
        return X.astype(np.float64 if is_float(dtype) or dtype.kind == "b" else np.int64).astype(dtype)
    if dtype.kind == "b":
        return X != 0
    return X.astype(dtype, copy=False)


@op("Cast", since=1)
def cast_1(xp, input, *, to):
    """`to` is the name of a data type."""
    names = {"FLOAT": 1, "INT32": 6, "INT64": 7, "BOOL": 9, "DOUBLE": 11, "FLOAT16": 10}
    return cast_values(xp, input, numpy_dtype(names[to]))


@op("Cast", since=6, view=True)
def cast(xp, input, *, to, saturate=1, round_mode="up"):
    """The values in another data type."""
    return cast_values(xp, input, numpy_dtype(to), saturate)


@cast.gradient
def _(g, node, dY):
    """dX = dY cast back, from one floating type to another"""
    X = node.inputs[0]
    return g.Cast(dY, to=int(X.dtype)) if X.dtype.is_floating_point() else None


@op("CastLike", since=15, view=True)
def cast_like(xp, input, target_type, *, saturate=1, round_mode="up"):
    """The values in the data type of another tensor."""
    return cast_values(xp, input, target_type.dtype, saturate)


# --- error function ---


def erf_values(xp, x):
    """The error function, for float32 or float64.

    Maclaurin's series below 2, else a continued fraction of the complement.
    """
    y = x.astype(xp.float64)
    a = xp.abs(y)
    t = y * y
    term, series = y, y
    for n in range(1, 40):
        term = -term * t / n
        series = series + term / (2 * n + 1)
    big = xp.maximum(a, 2.0)
    fraction = big
    for n in range(60, 0, -1):
        fraction = big + (n / 2) / fraction
    tail = 1 - xp.exp(-big * big) / (fraction * math.sqrt(math.pi))
    result = xp.where(a < 2.0, series * (2 / math.sqrt(math.pi)), xp.sign(y) * tail)
    return result.astype(x.dtype)


@op("Erf", since=9)
def erf(xp, input):
    """2/√π · ∫ exp(−t²) dt from 0 to X"""
    return erf_values(xp, _wide(input)).astype(input.dtype, copy=False)


@erf.gradient
def _(g, node, dY):
    """dX = dY·2/√π·exp(−X²)"""
    X = node.inputs[0]
    return g.Mul(dY, g.Mul(g.Exp(g.Neg(g.Mul(X, X))), 2 / math.sqrt(math.pi)))
