"""Elementary functions of float32 registers: `exp(f, x)` emits them for a scalar or a vector `x`.

Errors are in units in the last place (ULP) of the true result, the greatest seen on a dense sample of all float32
numbers, results below the normal range included. NaN gives NaN, and infinities what the limit is.

Polynomials are minimax approximations found by Remez's exchange algorithm in 40 digits; the comment beside each says of
what, weighted how, and where. They are rounded to float32 when they are emitted. Inside these functions instructions
carry no fast-math flags: each rounding is where the source says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import wraps
from math import inf, nan
from typing import Concatenate, ParamSpec

from ..emit import DOUBLE, INT, INT32, Function, Type, Value, vector

__all__ = [
    "at_least",
    "at_most",
    "copysign",
    "erf",
    "exp",
    "exp_below",
    "expm1_below",
    "fabs",
    "gelu",
    "gelu_tanh",
    "log",
    "maximum",
    "minimum",
    "mish",
    "polynomial",
    "pow",
    "reciprocal",
    "sigmoid",
    "softplus",
    "sqrt",
    "tanh",
]

_P = ParamSpec("_P")

# (eʳ − 1 − r)/r² for |r| ≤ ln 2 / 2: the error of eʳ, and of (eʳ − 1)/r, least.
_EXP = (0.5, 0.166665181517601, 0.04166620224714279, 0.008369018323719501, 0.0013950709253549576)
_EXPM1 = (0.5, 0.16666541993618011, 0.04166628047823906, 0.008366698399186134, 0.0013946647522971034)
# (log(1 + r) − r)/r² for √½ ≤ 1 + r ≤ √2: the relative error of log least.
_LOG = (
    *(-0.49999988079071045, 0.3333330750465393, -0.25001516938209534, 0.20003022253513336, -0.16611211001873016),
    *(0.14163318276405334, -0.13208328187465668, 0.13005881011486053, -0.07825660705566406),
)
# erf(x)/x − 1 of x² for |x| ≤ √0.93: the relative error of erf least.
_ERF = (
    *(0.12837916612625122, -0.3761262893676758, 0.11283644288778305, -0.026856711134314537, 0.005194661673158407),
    *(-0.0008073552162386477, 8.090188930509612e-05),
)
# log(1 − erf(x)) for 0.92 ≤ x ≤ 4: the error of erf least.
_ERFC = (
    *(0.00017587323964107782, -1.1295207738876343, -0.6333346962928772, -0.10829392820596695, 0.025128614157438278),
    *(-0.004174638539552689, 0.0004352179530542344, -2.116182258760091e-05),
)
_ERF_SWITCH, _ERF_IS_ONE = 0.9297, 4.0
# Φ(−t)·exp(t²/2) = P(t)/Q(t) for 0 ≤ t ≤ 14.6: the relative error least (least squares, reweighted until even).
_MILLS_P = (0.5, 0.4384804368019104, 0.18337145447731018, 0.04067886248230934, 0.004122997168451548)
_MILLS_Q = (
    *(1.0, 1.674845814704895, 1.2030717134475708, 0.4698302149772644, 0.10197316855192184),
    0.010334703139960766,
)
# log₂(1 + r)/r for √½ ≤ 1 + r ≤ √2 and 2ʳ for |r| ≤ ½, float64: the relative error least.
_LOG2 = (
    *(1.4426950408686183, -0.7213475208697435, 0.4808983614489068, -0.3606736746993987, 0.2885372882958249),
    *(-0.24045316654207638, 0.20617553352243487, -0.18030077995280633, 0.15876747544598316, -0.1431520233203249),
    *(0.14475787381741145, -0.1428678678384948, 0.07738680724747345),
)
_EXP2 = (
    *(0.9999999999190536, 0.6931472067096162, 0.24022651505113865, 0.05550327215816681, 0.009617994507190277),
    *(0.0013400431654999137, 0.00015478024215202747),
)

_LN2_HIGH, _LN2_LOW = 0.693359375, -2.1219444005469057e-4
"""ln 2 in two parts, the first so short that a multiple by an exponent is exact."""
_ROUNDER = 12582912.0
"""1.5·2²³: added to a number, it leaves the nearest integer in the lowest bits."""
_ROOM = 64
"""Results that may be below the normal range are made 2⁶⁴ times too large first, so that they are rounded once."""
_LONG = 9
"""Coefficients of a polynomial."""
_TINY, _LEAST_NORMAL = -110.0, 1.1754943508222875e-38
_MODERATE = 86.0
"""Of exponents so large eˣ is a normal number."""
_HALF_ROOT_BITS = 0x3F3504F3
"""√½, and below the same in float64."""
_HALF_ROOT_BITS_64 = 0x3FE6A09E667F3BCD


def _strict(
    function: Callable[Concatenate[Function, _P], Value],
) -> Callable[Concatenate[Function, _P], Value]:
    """Emits without fast-math flags whatever the function's setting is."""

    @wraps(function)
    def emitted(f: Function, *args: _P.args, **named: _P.kwargs) -> Value:
        flags, f.fast = f.fast, ""
        try:
            return function(f, *args, **named)
        finally:
            f.fast = flags

    return emitted


# ---- pieces


def at_least(f: Function, x: Value, low: float) -> Value:
    """max(x, low), NaN if x is: one instruction where the processor's maximum gives its second operand for NaN."""
    return f.select(x < low, f.value(low, x.type), x)


def at_most(f: Function, x: Value, high: float) -> Value:
    """min(x, high), NaN if x is."""
    return f.select(x > high, f.value(high, x.type), x)


def maximum(f: Function, a: Value, b: Value) -> Value:
    """The larger, NaN if either is; which of two zeros is open. Of integers too."""
    if not a.type.floating:
        return f.maximum(a, b)
    return f.select(a.equals(a), f.select(a > b, a, b), a)


def minimum(f: Function, a: Value, b: Value) -> Value:
    """The smaller, NaN if either is; which of two zeros is open. Of integers too."""
    if not a.type.floating:
        return f.minimum(a, b)
    return f.select(a.equals(a), f.select(a < b, a, b), a)


def fabs(f: Function, x: Value) -> Value:
    """|x|"""
    return f.call("llvm.fabs", x)


def copysign(f: Function, size: Value, sign: Value) -> Value:
    """|size| with the sign of `sign`."""
    return f.call("llvm.copysign", size, sign)


def polynomial(f: Function, x: Value, coefficients: Sequence[float]) -> Value:
    """Σ coefficients[i]·xⁱ by Horner's rule; long ones as pairs c + d·x, by this rule in x², which waits half as long.

    Short ones have other work beside them, and would only become longer.
    """
    n = 2 if len(coefficients) >= _LONG else 1
    terms = [
        _horner(f, x, [f.value(c, x.type) for c in coefficients[i : i + n]]) for i in range(0, len(coefficients), n)
    ]
    return _horner(f, x * x if n == 2 else x, terms)


def _horner(f: Function, x: Value, terms: Sequence[Value]) -> Value:
    y = terms[-1]
    for term in terms[-2::-1]:
        y = f.fma(y, x, term)
    return y


def _like(x: Value, scalar: Type) -> Type:
    return vector(scalar, x.type.lanes or 1)


def _reduced(f: Function, x: Value, extra: int = 0) -> tuple[Value, Value]:
    """x = n·ln 2 + r: (r, 2^(n + extra))."""
    rounder = _ROUNDER + 127 + extra
    shifted = f.fma(x, f.value(1 / math.log(2.0), x.type), f.value(rounder, x.type))
    bits = f.binary("shl", f.bitcast(shifted, _like(x, INT32)), 23)
    return _rest(f, x, shifted - rounder), f.bitcast(bits, x.type)


def _rest(f: Function, x: Value, n: Value) -> Value:
    """x − n·ln 2"""
    r = f.fma(n, f.value(-_LN2_HIGH, x.type), x)
    return f.fma(n, f.value(-_LN2_LOW, x.type), r)


def _exp_of_rest(f: Function, r: Value) -> Value:
    return f.fma(r * r, polynomial(f, r, _EXP), r) + 1.0


def _split(f: Function, x: Value, high: int, bits: int, integer: Type) -> tuple[Value, Value]:
    """x = (1 + r)·2ᵉ with √½ ≤ 1 + r < √2: (r, e as a float)."""
    kind = _like(x, integer)
    whole = f.bitcast(x, kind)
    e = f.binary("ashr", whole - high, bits)
    m = f.bitcast(whole - f.binary("shl", e, bits), x.type)
    return m - 1.0, f.convert(e, x.type.scalar)


def _wide_exp2(f: Function, z: Value) -> Value:
    """2ᶻ in float64 for |z| ≤ 1000, exact to 29 bits."""
    rounder = 1.5 * 2.0**52 + 1023
    shifted = z + rounder
    power = polynomial(f, z - (shifted - rounder), _EXP2)
    bits = f.binary("shl", f.bitcast(shifted, _like(z, INT)), 52)
    return power * f.bitcast(bits, z.type)


def _quotient(f: Function, x: Value, large: float, small: Value) -> Value:
    """x/(large + small), for |small| ≤ large, as if the sum were exact."""
    total = small + large
    lost = small - (total - large)
    inverse = f.value(1.0, x.type) / total
    y = x * inverse
    rest = f.fma(-y, lost, f.fma(-y, total, x))
    return f.fma(rest, inverse, y)


def _log1p_term(f: Function, r: Value, e: Value) -> Value:
    """log((1 + r)·2ᵉ)."""
    rest = f.fma(r * r, polynomial(f, r, _LOG), e * _LN2_LOW)
    return f.fma(e, f.value(_LN2_HIGH, r.type), r + rest)


# ---- exponentials


@_strict
def exp(f: Function, x: Value) -> Value:
    """eˣ, within 1.1 ULP.

    Where all of |x| is moderate, the exponent is put to the bits of the rest; both ways give the same there.
    """
    shifted = f.fma(x, f.value(1 / math.log(2.0), x.type), f.value(_ROUNDER, x.type))
    rest = _exp_of_rest(f, _rest(f, x, shifted - _ROUNDER))
    kind = _like(x, INT32)
    bits = f.bitcast(rest, kind) + f.binary("shl", f.bitcast(shifted, kind), 23)
    result = f.variable(x.type, f.bitcast(bits, x.type))
    with f.when(f.some((fabs(f, x) < _MODERATE) ^ 1)):
        result.set(_exp_of_any(f, x))
    return result.get()


def _exp_of_any(f: Function, x: Value) -> Value:
    bounded = at_least(f, at_most(f, x, 89.0), _TINY)
    small = bounded < 0.0
    r, power = _reduced(f, bounded)
    bits = f.bitcast(power, _like(x, INT32))
    bits = bits + f.select(small, f.value(_ROOM << 23, bits.type), -2 << 23)
    y = _exp_of_rest(f, r) * f.bitcast(bits, x.type)
    return y * f.select(small, f.value(2.0**-_ROOM, x.type), 4.0)


@_strict
def exp_below(f: Function, x: Value) -> Value:
    """eˣ where x ≤ 0, within 1.1 ULP."""
    r, power = _reduced(f, at_least(f, x, _TINY), _ROOM)
    return _exp_of_rest(f, r) * power * 2.0**-_ROOM


@_strict
def expm1_below(f: Function, x: Value) -> Value:
    """eˣ − 1 where x ≤ 0, within 1 ULP."""
    r, power = _reduced(f, at_least(f, x, -20.0))
    return f.fma(power, f.fma(r * r, polynomial(f, r, _EXPM1), r), power - 1.0)


@_strict
def sigmoid(f: Function, x: Value) -> Value:
    """1/(1 + e⁻ˣ), as eˣ/(1 + eˣ) where x < 0; within 1.6 ULP."""
    e = exp_below(f, -fabs(f, x))
    return _quotient(f, f.select(x < 0.0, e, f.value(1.0, x.type)), 1.0, e)


@_strict
def tanh(f: Function, x: Value) -> Value:
    """−m/(2 + m) with m = e^(−2|x|) − 1, and the sign of x; within 2 ULP."""
    m = expm1_below(f, fabs(f, x) * -2.0)
    return copysign(f, _quotient(f, m, 2.0, m), x)


@_strict
def softplus(f: Function, x: Value) -> Value:
    """log(1 + eˣ) = max(x, 0) + log(1 + t) with t = e^−|x|; within 1.8 ULP."""
    t = exp_below(f, -fabs(f, x))
    large = t > math.sqrt(2.0) - 1
    r = f.select(large, (t - 1.0) * 0.5, t)
    e = f.select(large, f.value(1.0, x.type), 0.0)
    return at_least(f, x, 0.0) + _log1p_term(f, r, e)


@_strict
def mish(f: Function, x: Value) -> Value:
    """x·tanh(log(1 + eˣ)) = x·e(e + 2)/(e(e + 2) + 2) with e = eˣ, in float64; −0 at −∞. Within 0.6 ULP."""
    z = f.convert(at_least(f, at_most(f, x, 20.0), _TINY), DOUBLE)
    e = _wide_exp2(f, z * (1 / math.log(2.0)))
    n = e * (e + 2.0)
    return f.select(x > 20.0, x, f.convert(z * n / (n + 2.0), x.type.scalar))


# ---- logarithm and powers


@_strict
def log(f: Function, x: Value) -> Value:
    """The natural logarithm; −∞ at 0, NaN below. Within 1 ULP."""
    small = x < _LEAST_NORMAL
    r, e = _split(f, f.select(small, x * 2.0**23, x), _HALF_ROOT_BITS, 23, INT32)
    y = _log1p_term(f, r, e - f.select(small, f.value(23.0, x.type), 0.0))
    y = f.select(x < inf, y, x)
    return f.select(x <= 0.0, f.select(x.equals(0.0), f.value(-inf, x.type), nan), y)


@_strict
def pow(f: Function, x: Value, y: Value) -> Value:
    """x to the power y with IEEE 754's special cases: 2^(y·log₂|x|) in float64, the sign put to it. Within 0.6 ULP."""
    a = fabs(f, x)
    wide = f.convert(a, DOUBLE)
    r, e = _split(f, wide, _HALF_ROOT_BITS_64, 52, INT)
    logarithm = f.fma(r, polynomial(f, r, _LOG2), e)
    logarithm = f.select(wide < inf, logarithm, wide)
    logarithm = f.select(wide.equals(0.0), f.value(-inf, wide.type), logarithm)
    z = at_least(f, at_most(f, f.convert(y, DOUBLE) * logarithm, 200.0), -200.0)
    result = f.convert(_wide_exp2(f, z), x.type.scalar)
    one = f.value(1.0, x.type)
    result = f.select(a.equals(1.0), one, result)
    half, whole = y * 0.5, f.call("llvm.roundeven", y).equals(y)
    odd = whole & (f.call("llvm.roundeven", half).equals(half) ^ 1)
    result = f.select(odd, copysign(f, result, x), result)
    undefined = (x < 0.0) & (x > -inf) & (whole ^ 1)
    result = f.select(undefined, f.value(nan, x.type), result)
    return f.select(y.equals(0.0) | x.equals(1.0), one, result)


@_strict
def sqrt(f: Function, x: Value) -> Value:
    """√x, rounded correctly."""
    return f.call("llvm.sqrt", x)


@_strict
def reciprocal(f: Function, x: Value) -> Value:
    """1/x, rounded correctly."""
    return f.value(1.0, x.type) / x


# ---- the normal distribution


@_strict
def erf(f: Function, x: Value) -> Value:
    """2/√π ∫₀ˣ e^(−t²) dt: x + x·P(x²), and 1 − exp(R(|x|)) beyond 0.93; within 1.2 ULP."""
    small = f.fma(x, polynomial(f, x * x, _ERF), x)
    a = at_most(f, fabs(f, x), _ERF_IS_ONE)
    r, power = _reduced(f, polynomial(f, a, _ERFC))
    large = f.value(1.0, x.type) - _exp_of_rest(f, r) * power
    return f.select(a < _ERF_SWITCH, small, copysign(f, large, x))


@_strict
def gelu(f: Function, x: Value) -> Value:
    """x·Φ(x) = max(x, 0) − t·Φ(−t) with t = |x| and Φ(−t) = e^(−t²/2)·P(t)/Q(t); −0 at −∞.

    No digits are lost for negative x, as they are in ½x(1 + erf(x/√2)). Computed in float64; within 1 ULP.
    """
    t = f.convert(at_most(f, fabs(f, x), 15.0), DOUBLE)
    tail = t * _wide_exp2(f, t * t * (-0.5 / math.log(2.0)))
    tail = tail * polynomial(f, t, _MILLS_P) / polynomial(f, t, _MILLS_Q)
    return at_least(f, x, 0.0) - f.convert(tail, x.type.scalar)


@_strict
def gelu_tanh(f: Function, x: Value) -> Value:
    """½x(1 + tanh(√(2/π)(x + 0.044715x³))) = max(x, 0) − t·e/(1 + e), e = exp(−√(8/π)(t + 0.044715t³)), t = |x|.

    Computed in float64 like `gelu`, since far below 0 the error of the exponent is that of the result; within 0.9 ULP.
    """
    t = f.convert(at_most(f, fabs(f, x), 11.0), DOUBLE)
    scale = -math.sqrt(8 / math.pi) / math.log(2.0)
    e = _wide_exp2(f, t * f.fma(t * t, f.value(scale * 0.044715, t.type), f.value(scale, t.type)))
    return at_least(f, x, 0.0) - f.convert(t * e / (e + 1.0), x.type.scalar)
