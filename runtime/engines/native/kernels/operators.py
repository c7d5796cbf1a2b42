"""Elementwise operators on registers: ONNX's name → how it is emitted, for which types.

`emit(f, *operands, **attributes)` works on scalars and vectors alike; attributes have the specification's names and
defaults. Results are those of the NumPy kernels in `runtime/ops`, save that Gelu and Mish of −∞ are 0, the limit, where
NumPy says NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce

import numpy as np

from ..emit import BOOL, DOUBLE, FLOAT, INT, INT32, Function, Type, Value
from . import vmath
from .vmath import at_least, at_most

__all__ = ["OPERATORS", "POWERS", "TYPES", "Operator"]

TYPES: Mapping[str, Type] = {"float32": FLOAT, "float64": DOUBLE, "int32": INT32, "int64": INT, "bool": BOOL}
"""NumPy's name → what a register holds. In memory a bool is a byte."""

Emitter = Callable[..., Value]
_SINGLE, _FLOATS, _NUMBERS = (FLOAT,), (FLOAT, DOUBLE), (FLOAT, DOUBLE, INT32, INT)
_ANY = (*_NUMBERS, BOOL)


@dataclass(frozen=True)
class Operator:
    """An elementwise operator.

    Attributes:
        emit: (f, operands …, attributes by name) → result.
        types: of its operands, which all have the same one.
        cost: in additions, for the size of tasks.
    """

    emit: Emitter
    types: tuple[Type, ...] = _NUMBERS
    cost: int = 1


def _folded(combine: Emitter) -> Emitter:
    return lambda f, *values: reduce(lambda a, b: combine(f, a, b), values)


def _mean(f: Function, *values: Value) -> Value:
    return _folded(lambda f, a, b: a + b)(f, *values) / float(len(values))


def _div(f: Function, a: Value, b: Value) -> Value:
    """Integers truncate; by 0 gives 0, and the least number by −1 itself, as in NumPy: neither traps."""
    if a.type.floating:
        return a / b
    special = b.equals(0) | b.equals(-1)
    quotient = f.binary("sdiv", a, f.select(special, f.value(1, b.type), b))
    return f.select(special, f.select(b.equals(0), f.value(0, a.type), -a), quotient)


def _abs(f: Function, x: Value) -> Value:
    return vmath.fabs(f, x) if x.type.floating else f.select(x < 0, -x, x)


def _sign(f: Function, x: Value) -> Value:
    return f.select(x > 0, f.value(1, x.type), f.select(x < 0, f.value(-1, x.type), x))


def _clip(f: Function, x: Value, *, min: float | None = None, max: float | None = None) -> Value:
    if min is not None:
        x = at_least(f, x, min)
    return x if max is None else at_most(f, x, max)


def _leaky_relu(f: Function, x: Value, *, alpha: float = 0.009999999776482582) -> Value:
    return at_least(f, x, 0.0) if alpha == 0 else f.select(x < 0.0, x * alpha, x)


def _hard_sigmoid(f: Function, x: Value, *, alpha: float = 0.20000000298023224, beta: float = 0.5) -> Value:
    return _clip(f, f.fma(x, f.value(alpha, x.type), f.value(beta, x.type)), min=0.0, max=1.0)


def _exponential_unit(f: Function, x: Value, linear: float, scale: float, inner: float) -> Value:
    """linear·x above 0, scale·(exp(x/inner) − 1) below."""
    below = at_most(f, x, 0.0) / inner if inner != 1 else at_most(f, x, 0.0)
    above = x * linear if linear != 1 else x
    return f.select(x < 0.0, vmath.expm1_below(f, below) * scale, above)


def _selu(
    f: Function, x: Value, *, alpha: float = 1.67326319217681884765625, gamma: float = 1.05070102214813232421875
) -> Value:
    return _exponential_unit(f, x, gamma, gamma * alpha, 1.0)


def _gelu(f: Function, x: Value, *, approximate: str = "none") -> Value:
    return {"none": vmath.gelu, "tanh": vmath.gelu_tanh}[approximate](f, x)


def _shrink(f: Function, x: Value, *, bias: float = 0.0, lambd: float = 0.5) -> Value:
    upper = f.select(x > lambd, x - bias, 0.0)
    return f.select(x < -lambd, x + bias, upper)


def _cast(f: Function, x: Value, *, to: str) -> Value:
    """Floats to integers truncate, and what does not fit becomes the least integer; to bool: is it not 0?"""
    target = TYPES[to]
    if target == x.type.scalar:
        return x
    if target == BOOL:
        return _not(f, x.equals(0))
    if x.type.floating and not target.floating:
        limit = 2.0 ** (8 * target.nbytes - 1)
        x = f.select((x < limit) & (x >= -limit), x, -limit)
    return f.convert(x, target)


def _not(f: Function, x: Value) -> Value:
    return x ^ 1


def _rounded(how: str) -> Operator:
    return Operator(lambda f, x: f.call(f"llvm.{how}", x), _FLOATS)


def _compared(how: str) -> Operator:
    return Operator(lambda f, a, b: f.compare(how, a, b))


OPERATORS: Mapping[str, Operator] = {
    "Identity": Operator(lambda f, x: x, _ANY),
    "Add": Operator(lambda f, a, b: a + b),
    "Sub": Operator(lambda f, a, b: a - b),
    "Mul": Operator(lambda f, a, b: a * b),
    "Div": Operator(_div, cost=6),
    "Min": Operator(_folded(vmath.minimum)),
    "Max": Operator(_folded(vmath.maximum)),
    "Sum": Operator(_folded(lambda f, a, b: a + b)),
    "Mean": Operator(_mean, _FLOATS),
    "Pow": Operator(lambda f, x, y: vmath.pow(f, x, y), _SINGLE, 40),
    "Neg": Operator(lambda f, x: -x),
    "Abs": Operator(_abs),
    "Sign": Operator(_sign),
    "Reciprocal": Operator(lambda f, x: f.value(1.0, x.type) / x, _FLOATS, 6),
    "Sqrt": Operator(lambda f, x: f.call("llvm.sqrt", x), _FLOATS, 8),
    "Exp": Operator(lambda f, x: vmath.exp(f, x), _SINGLE, 10),
    "Log": Operator(lambda f, x: vmath.log(f, x), _SINGLE, 12),
    "Tanh": Operator(lambda f, x: vmath.tanh(f, x), _SINGLE, 15),
    "Erf": Operator(lambda f, x: vmath.erf(f, x), _SINGLE, 20),
    "Floor": _rounded("floor"),
    "Ceil": _rounded("ceil"),
    "Round": _rounded("roundeven"),
    "Relu": Operator(lambda f, x: at_least(f, x, 0)),
    "LeakyRelu": Operator(_leaky_relu, _FLOATS),
    "PRelu": Operator(lambda f, x, slope: f.select(x < 0.0, x * slope, x), _FLOATS),
    "ThresholdedRelu": Operator(lambda f, x, *, alpha=1.0: f.select(x > alpha, x, 0.0), _FLOATS),
    "Shrink": Operator(_shrink, _FLOATS),
    "Clip": Operator(_clip),
    "HardSigmoid": Operator(_hard_sigmoid, _FLOATS),
    "HardSwish": Operator(lambda f, x: x * _hard_sigmoid(f, x, alpha=1 / 6, beta=0.5), _FLOATS),
    "Elu": Operator(lambda f, x, *, alpha=1.0: _exponential_unit(f, x, 1.0, alpha, 1.0), _SINGLE, 10),
    "Selu": Operator(_selu, _SINGLE, 10),
    "Celu": Operator(lambda f, x, *, alpha=1.0: _exponential_unit(f, x, 1.0, alpha, alpha), _SINGLE, 10),
    "Sigmoid": Operator(lambda f, x: vmath.sigmoid(f, x), _SINGLE, 18),
    "Swish": Operator(lambda f, x, *, alpha=1.0: x * vmath.sigmoid(f, x * alpha), _SINGLE, 18),
    "Softplus": Operator(lambda f, x: vmath.softplus(f, x), _SINGLE, 20),
    "Softsign": Operator(lambda f, x: x / (_abs(f, x) + 1.0), _FLOATS, 6),
    "Gelu": Operator(_gelu, _SINGLE, 30),
    "Mish": Operator(lambda f, x: vmath.mish(f, x), _SINGLE, 30),
    "Equal": Operator(lambda f, a, b: a.equals(b), _ANY),
    "Less": _compared("lt"),
    "LessOrEqual": _compared("le"),
    "Greater": _compared("gt"),
    "GreaterOrEqual": _compared("ge"),
    "IsNaN": Operator(lambda f, x: _not(f, x.equals(x)), _FLOATS),
    "And": Operator(lambda f, a, b: a & b, (BOOL,)),
    "Or": Operator(lambda f, a, b: a | b, (BOOL,)),
    "Xor": Operator(lambda f, a, b: a ^ b, (BOOL,)),
    "Not": Operator(_not, (BOOL,)),
    "Where": Operator(lambda f, condition, a, b: f.select(condition, a, b), _ANY),
    "Cast": Operator(_cast, _ANY),
}

_INFINITE = float(np.inf)

POWERS: Mapping[float, Emitter] = {
    1.0: lambda f, x: x,
    2.0: lambda f, x: x * x,
    3.0: lambda f, x: x * x * x,
    -1.0: lambda f, x: f.value(1.0, x.type) / x,
    0.5: lambda f, x: f.select(x.equals(-_INFINITE), f.value(_INFINITE, x.type), f.call("llvm.sqrt", x + 0.0)),
}
"""Pow with a constant exponent that needs no logarithm."""
