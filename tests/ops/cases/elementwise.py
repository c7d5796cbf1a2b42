"""Arithmetic and elementary functions: broadcasting, integers, special values, the versions before opset 8."""

from __future__ import annotations

from math import erf

import numpy as np

from ..table import case, distinct, ints, real

SIGNED = np.array([7, -7, 7, -7, 0, 5])
DIVISORS = np.array([2, 2, -2, -2, 3, 5])
SPECIAL = np.array([-np.inf, -1.5, -0.0, 0.0, 2.5, np.inf, np.nan])

# ---- functions of one variable

FUNCTIONS = [
    # name, first version, range of arguments, function
    ("Abs", 6, (0.2, 2), np.abs),
    ("Neg", 6, (-2, 2), np.negative),
    ("Reciprocal", 6, (0.5, 2), np.reciprocal),
    ("Sqrt", 6, (0.5, 4), np.sqrt),
    ("Exp", 6, (-2, 2), np.exp),
    ("Log", 6, (0.5, 4), np.log),
    ("Tanh", 6, (-2, 2), np.tanh),
    ("Floor", 6, (0.1, 0.9), np.floor),
    ("Ceil", 6, (0.1, 0.9), np.ceil),
    ("Round", 11, (0.6, 1.4), np.rint),
    ("Sign", 9, (0.1, 2), np.sign),
    ("Sin", 7, (-2, 2), np.sin),
    ("Cos", 7, (-2, 2), np.cos),
    ("Tan", 7, (-1.2, 1.2), np.tan),
    ("Asin", 7, (-0.8, 0.8), np.arcsin),
    ("Acos", 7, (-0.8, 0.8), np.arccos),
    ("Atan", 7, (-2, 2), np.arctan),
    ("Sinh", 9, (-2, 2), np.sinh),
    ("Cosh", 9, (-2, 2), np.cosh),
    ("Asinh", 9, (-2, 2), np.arcsinh),
    ("Acosh", 9, (1.3, 4), np.arccosh),
    ("Atanh", 9, (-0.8, 0.8), np.arctanh),
]


def unary_cases():
    for name, since, (low, high), function in FUNCTIONS:
        x = real(2, 3, low=low, high=high)
        yield case(name, x, grad=(0,))
        yield case(name, x, dtypes=("float16", "bfloat16"), opset=22, name="half")
        yield case(name, SPECIAL, name="special")
        yield case(name, real(low=low, high=high), name="scalar")
        if since == 6:
            old = {"opset": 1, "consumed_inputs": [0], "expect": lambda x, f=function, **_: f(x)}
            yield case(name, x, **old)


def error_function(x):
    return np.vectorize(erf, otypes=[np.float64])(x)


HALVES = np.array([0.9, 2.5, 2.3, 1.5, -4.5, -0.5, 0.5, -2.5])
WIDE = np.array([-7.0, -3.0, -1.0, -0.999, -1e-9, 0.0, 0.3, 1.0, 1.001, 2.0, 4.5, 5.9, 6.1, 30.0, np.inf, -np.inf])

# ---- arithmetic with two inputs

SHAPES = [("scalar", (2, 3), ()), ("row", (2, 3), (3,)), ("column", (2, 3), (2, 1)), ("both", (2, 1), (1, 3))]
ARITHMETIC = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.true_divide}
PARTS = [
    # B's shape, attributes, B's shape as NumPy broadcasts it
    ("equal", (2, 3, 4), {}, (2, 3, 4)),
    ("last", (3, 4), {"broadcast": 1}, (3, 4)),
    ("middle", (3,), {"broadcast": 1, "axis": 1}, (3, 1)),
    ("first", (2, 3), {"broadcast": 1, "axis": 0}, (2, 3, 1)),
    ("from-the-end", (3,), {"broadcast": 1, "axis": -2}, (3, 1)),
    ("one", (1, 1), {"broadcast": 1}, ()),
    ("stretched", (2, 1), {"broadcast": 1, "axis": 0}, (2, 1, 1)),
]


def limited(function, shape):
    """What an operator with the attributes `axis` and `broadcast` gives when B stands for that shape."""
    return lambda a, b, **_: function(a, b.reshape(shape))


def arithmetic_cases():
    for name, function in ARITHMETIC.items():
        yield case(name, real(2, 3), real(2, 3, low=0.5, key="B"), grad=(0, 1))
        for shapes, a, b in SHAPES:
            yield case(name, real(*a), real(*b, low=0.5, key="B"), grad=(0, 1), name=shapes)
        yield case(name, real(2, 3), real(3, low=0.5, key="B"), dtypes=("float16", "bfloat16"), name="half")
        yield case(name, real(0, 3), real(3), name="empty")
        yield case(name, ints(2, 3, low=1, dtype=np.int32), ints(3, low=1, dtype=np.int32), name="integers")
        yield case(name, ints(2, 3, low=1, dtype=np.uint8), ints(3, low=1, dtype=np.uint8), name="bytes")
        for part, shape, attrs, stands_for in PARTS:
            a, b = real(2, 3, 4), real(*shape, low=0.5, key="B")
            for opset in (1, 6):
                yield case(name, a, b, opset=opset, expect=limited(function, stands_for), name=part, **attrs)


MOD = [("bytes", np.int8), ("long", np.int64)]

# ---- any number of inputs

VARIADIC = {
    "Max": lambda *data, **_: np.maximum.reduce(np.broadcast_arrays(*data)),
    "Min": lambda *data, **_: np.minimum.reduce(np.broadcast_arrays(*data)),
    "Sum": lambda *data, **_: np.add.reduce(np.broadcast_arrays(*data)),
    "Mean": lambda *data, **_: np.add.reduce(np.broadcast_arrays(*data)) / len(data),
}


def variadic_cases():
    for name, function in VARIADIC.items():
        # A table of distinct values keeps central differences away from ties.
        a, b, c = distinct(3, 2, 3)
        yield case(name, a, b, c, grad=(0, 1, 2), expect=function)
        yield case(name, a, b, grad=(0, 1), expect=function, name="two")
        yield case(name, a, grad=(0,), expect=function, name="one")
        yield case(name, a[:, :1], b[:1], c, grad=(0, 1, 2), expect=function, name="broadcast")
        yield case(name, a, b, c, expect=function, dtypes=("float16", "bfloat16"), name="half")
        yield case(name, a, b, c, opset=6, expect=function)
        yield case(name, a, b, c, opset=1, expect=function, consumed_inputs=[0, 0, 0])
        yield case(name, SPECIAL, SPECIAL[::-1].copy(), expect=function, name="special")


POWER_BASE = np.array([2, -3, 1, -1, 0, 5])

CASES = [
    *unary_cases(),
    case("Round", HALVES, opset=11, name="half-to-even"),
    case("Abs", ints(2, 3, low=-5, high=5, dtype=np.int32), name="integers"),
    case("Sign", ints(2, 3, low=-5, high=5, dtype=np.int8), opset=9, name="integers"),
    case("Neg", ints(2, 3, low=-5, high=5), name="integers"),
    case("Erf", real(2, 3), grad=(0,), expect=error_function),
    case("Erf", WIDE, expect=error_function, opset=9, name="all-branches"),
    case("Erf", real(70, 70, low=-4, high=4), expect=error_function, name="large"),
    case("Erf", real(2, 3), expect=error_function, dtypes=("float16", "bfloat16"), name="half"),
    case("Erf", ints(4, low=-1, high=2, dtype=np.int32), opset=9, expect=lambda x: np.zeros_like(x), name="integers"),
    *arithmetic_cases(),
    case("Div", SIGNED, DIVISORS, expect=lambda a, b: np.trunc(a / b).astype(np.int64), name="truncates"),
    case(
        "Div",
        SIGNED.astype(np.int8),
        DIVISORS.astype(np.int8)[:, None],
        expect=lambda a, b: np.trunc(a / b).astype(np.int8),
        name="truncates-bytes",
    ),
    case("Div", np.array([3, -3, 0]), np.array([0, 0, 0]), expect=lambda a, b: a * 0, name="by-zero"),
    *(
        case("Mod", SIGNED.astype(dtype), DIVISORS.astype(dtype), opset=10, expect=np.mod, name=name)
        for name, dtype in MOD
    ),
    *(
        case(
            "Mod",
            SIGNED.astype(dtype),
            DIVISORS.astype(dtype),
            fmod=1,
            expect=lambda a, b, fmod: np.fmod(a, b),
            name=f"fmod-{name}",
        )
        for name, dtype in MOD
    ),
    case("Mod", ints(2, 3, dtype=np.uint8), ints(3, low=1, dtype=np.uint8), name="unsigned"),
    case("Mod", np.array([5.3, -5.3, 4.1]), np.array([2.0, 2.0, -1.5]), fmod=1, grad=(0, 1), name="floats"),
    case("Mod", np.array([5.3, -5.3, 4.1]), np.array([2.0, 2.0, -1.5]), opset=28, fmod=1),
    case(
        "Mod",
        np.array([5.3, -5.3, 4.1, -0.0, 0.0, np.inf, 1.0, -1.0, 1.0, 1.0, np.nan]),
        np.array([2.0, 2.0, -1.5, 1.0, -1.0, 2.0, np.inf, np.inf, -np.inf, 0.0, 1.0]),
        opset=28,
        expect=lambda a, b: np.array([1.3, 0.7, -0.4, 0.0, -0.0, np.nan, 1.0, np.inf, -np.inf, np.nan, np.nan]),
        dtypes=("float64",),
        name="floor",
    ),
    case("Pow", real(2, 3, low=0.5), real(2, 3, key="Y"), grad=(0, 1)),
    case("Pow", real(2, 3, low=0.5), real(3, key="Y"), grad=(0, 1), name="broadcast"),
    case("Pow", np.array([-1.5, -0.5, 0.5, 2.0]), np.float64(2.0), grad=(0,), name="square"),
    case("Pow", np.array([-1.5, -0.5, 0.5, 2.0]), np.float64(3.0), grad=(0,), name="cube"),
    case("Pow", np.array([-1.5, 0.0, 0.5]), np.float64(1.0), grad=(0,), name="first-power"),
    case("Pow", np.array([-1.5, 0.0, 0.5]), np.float64(0.0), grad=(0,), name="zeroth-power"),
    case("Pow", np.array([-1.5, 0.0, 0.5]), np.array([2.0, 2.0, 0.0]), grad=(0,), name="powers"),
    case("Pow", real(2, 3, low=0.5), np.float64(0.5), grad=(0,), name="root"),
    case("Pow", real(2, 3), ints(3, high=4), grad=(0,), expect=np.power, name="integer-exponent"),
    case("Pow", real(2, 3, low=0.5), real(3, key="Y"), dtypes=("float16", "bfloat16"), opset=15, name="half"),
    case(
        "Pow", POWER_BASE, np.array([3, 3, -2, -3, 0, 2]), expect=lambda x, y: [[8, -27, 1, -1, 1, 25]], name="integers"
    ),
    case("Pow", POWER_BASE.astype(np.int32), np.float64(2.0), expect=lambda x, y: x * x, name="integer-base"),
    case("Pow", real(2, 3, low=0.5), real(2, 3, key="Y"), opset=1),
    case(
        "Pow",
        real(2, 3, low=0.5),
        real(2, key="Y"),
        opset=1,
        broadcast=1,
        axis=0,
        expect=limited(np.power, (2, 1)),
        name="broadcast",
    ),
    *variadic_cases(),
    case("Max", ints(2, 3), ints(3, key="B"), opset=12, name="integers"),
    case("Min", ints(2, 3, dtype=np.uint8), ints(3, dtype=np.uint8, key="B"), opset=12, name="integers"),
]
