"""Comparison, logic, bits, Where and Clip."""

from __future__ import annotations

import numpy as np

from ..table import case, distinct, ints, real

A, B = ints(2, 3, high=4), ints(3, high=4, key="B")
TRUE, FALSE = np.array([[True, True, False], [False, True, False]]), np.array([True, False, False])
TEXT = np.array(["a", "bc", ""], object)
COMPARISONS = [
    # name, first version, function
    ("Equal", 7, np.equal),
    ("Less", 7, np.less),
    ("Greater", 7, np.greater),
    ("LessOrEqual", 12, np.less_equal),
    ("GreaterOrEqual", 12, np.greater_equal),
]
LOGIC = {"And": np.logical_and, "Or": np.logical_or, "Xor": np.logical_xor}
INFINITE = np.array([-np.inf, -1.0, 0.0, np.inf, np.nan])


def old(function, shape):
    """What version 1 gives when B, placed by `axis`, stands for that shape."""
    return {"opset": 1, "broadcast": 1, "axis": 0, "expect": lambda a, b, **_: function(a, b.reshape(shape))}


def comparison_cases():
    for name, since, function in COMPARISONS:
        yield case(name, real(2, 3), real(3, key="B"), opset=13, expect=function)
        yield case(name, INFINITE, INFINITE[::-1].copy(), expect=function, name="special")
        yield case(name, A, B, expect=function, name="integers")
        yield case(name, A.astype(np.uint8), B.astype(np.uint8), expect=function, name="bytes")
        if since == 7:
            values = A if name == "Equal" else A * 1.0
            yield case(name, values, values[::-1].copy(), opset=1, expect=function)
            yield case(name, values, values[:, 0].copy(), **old(function, (2, 1)), name="axis")


def shifted(values):
    return lambda x, y, direction: np.array(values, x.dtype)


PLACES = np.array([0, 1, 7, 8, 200], np.uint8)
SIGNED_PLACES = np.array([0, 1, 7, 8, -1], np.int8)
CUBE = (4, 1, 3), (2, 3)

CASES = [
    *comparison_cases(),
    case("Equal", TRUE, FALSE, opset=7, name="booleans"),
    case("Equal", TEXT, np.array(["a"], object), opset=19, expect=lambda a, b: a == b, name="text"),
    *(case(name, TRUE, FALSE) for name in LOGIC),
    *(case(name, TRUE, TRUE[:, 0].copy(), name="axis", **old(function, (2, 1))) for name, function in LOGIC.items()),
    case("Not", TRUE),
    *(case(name, A, B, opset=18) for name in ("BitwiseAnd", "BitwiseOr", "BitwiseXor")),
    case("BitwiseNot", ints(4, dtype=np.uint8), opset=18),
    case("BitwiseNot", ints(4, low=-5, high=5, dtype=np.int16), opset=18, name="signed"),
    case("BitShift", np.full(5, 129, np.uint8), PLACES, direction="LEFT", expect=shifted([129, 2, 128, 0, 0])),
    case(
        "BitShift",
        np.full(5, 129, np.uint8),
        PLACES,
        direction="RIGHT",
        expect=shifted([129, 64, 1, 0, 0]),
        name="right",
    ),
    case(
        "BitShift",
        np.full(5, -127, np.int8),
        SIGNED_PLACES,
        direction="RIGHT",
        opset=28,
        expect=shifted([-127, -64, -1, -1, -1]),
        name="signed-right",
    ),
    case(
        "BitShift",
        np.full(5, -127, np.int8),
        SIGNED_PLACES,
        direction="LEFT",
        opset=28,
        expect=shifted([-127, 2, -128, 0, 0]),
        name="signed-left",
    ),
    case("IsNaN", INFINITE, dtypes=("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")),
    case("IsInf", INFINITE, opset=20, dtypes=("float64", "float32", "float16", "bfloat16", "float8_e5m2")),
    case("IsInf", INFINITE, opset=10, detect_negative=0, name="positive"),
    case("IsInf", INFINITE, opset=10, detect_positive=0, name="negative"),
    case(
        "IsInf", INFINITE, detect_positive=0, detect_negative=0, expect=lambda x, **_: np.zeros(5, bool), name="neither"
    ),
    case("Where", TRUE, real(2, 3), real(2, 3, key="Y"), grad=(1, 2)),
    case("Where", FALSE, real(2, 1), np.float64(0.5), grad=(1, 2), name="broadcast"),
    case("Where", TRUE, INFINITE[:3].copy(), INFINITE[2:].copy(), name="special"),
    case("Where", real(70, 70) > 0, real(70, 70, key="X"), real(70, key="Y"), grad=(2,), name="large"),
    case("Where", real(70, 70) > 0, real(70, 70, key="X"), real(70), dtypes=("float16", "bfloat16"), name="large-half"),
    case("Where", real(70, 70) > 0, ints(2, 70, 70, dtype=np.uint8), ints(70, dtype=np.uint8), name="large-bytes"),
    case("Where", real(70, 70) > 0, real(70, 70) > 1, np.array(True), name="large-booleans"),
    case("Where", FALSE, TEXT, np.array(["z"], object), expect=np.where, name="text"),
    case("Clip", distinct(3, 4), np.float64(-0.31), np.float64(0.22), grad=(0, 1, 2)),
    case("Clip", distinct(3, 4), np.float64(-0.31), grad=(0, 1), name="min"),
    case("Clip", distinct(3, 4), None, np.float64(0.22), grad=(0, 2), name="max"),
    case("Clip", distinct(3, 4), grad=(0,), name="none"),
    case("Clip", distinct(3, 4), np.float64(0.22), np.float64(-0.31), grad=(0, 1, 2), name="min-above-max"),
    case("Clip", np.float64(5.0), np.float64(0.0), np.float64(1.0), opset=11, name="scalar"),
    case("Clip", ints(2, 3), np.int64(2), np.int64(5), opset=12, name="integers"),
    case("Clip", real(2, 3), np.float64(-0.5), np.float64(0.5), dtypes=("float16", "bfloat16"), name="half"),
    case("Clip", real(2, 3), opset=6, min=-0.5, max=0.5),
    case("Clip", real(2, 3), opset=6, max=0.5, name="max"),
    case("Clip", real(2, 3), opset=6, name="none"),
    case("Clip", real(2, 3), opset=1, min=-0.5, consumed_inputs=[0], expect=lambda x, **_: np.maximum(x, -0.5)),
    case("Clip", real(2, 3), opset=1, expect=lambda x: x, name="none"),
]
