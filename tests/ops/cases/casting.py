"""Cast between kinds of numbers and text, with saturation and rounding; CastLike, BitCast."""

from __future__ import annotations

import ml_dtypes
import numpy as np
from onnx import TensorProto

from striate.runtime.dtypes import numpy_dtype

from ..table import case, ints, real

FLOAT, INT64, STRING, BOOL, DOUBLE = 1, 7, 8, 9, 11
FLOAT16, BFLOAT16, E4M3, E5M2, E8M0 = 10, 16, 17, 19, 24
VALUES = np.array([-3.7, -1.0, 0.0, 0.4, 1.5, 2.5, 6.0])
EXTREME = np.array([-np.inf, -1e6, 448.0, 460.0, 1e6, np.inf, np.nan])


def to_type(x, to, **_):
    """What NumPy and ml_dtypes make of it."""
    return x.astype(numpy_dtype(to))


def gives(*values):
    """Exactly these values in the type cast to."""
    return lambda x, to, **_: np.array(values, np.float64).astype(numpy_dtype(to))


POWERS = np.array([0.0, 2.0**-130, 0.75, 1.0, 1.25, 1.5, 3.0, np.inf, np.nan])
UP = gives(2.0**-127, 2.0**-127, 1, 1, 2, 2, 4, 2.0**127, np.nan)
DOWN = gives(2.0**-127, 2.0**-127, 0.5, 1, 1, 1, 2, 2.0**127, np.nan)
NEAREST = gives(np.nan, np.nan, 1, 1, 1, 2, 4, np.nan, np.nan)
NUMBERS = np.array(["3.14", "1e-5", "-2", "+INF", "nan"], object)
BIG = str(2**62 + 1)

CASES = [
    case("Cast", VALUES, to=FLOAT, name="float"),
    case("Cast", VALUES, to=DOUBLE, grad=(0,), name="double"),
    case("Cast", VALUES, to=INT64, name="truncates"),
    case("Cast", VALUES, to=BOOL, name="bool"),
    case("Cast", np.array([0.5, 0.0, np.nan]), to=BOOL, opset=9, name="any-nonzero"),
    case("Cast", np.array([200, -129, 5], np.int16), to=TensorProto.INT8, expect=to_type, name="wraps"),
    case("Cast", ints(4, high=2).astype(bool), to=FLOAT, opset=6, name="from-bool"),
    case("Cast", VALUES, to=FLOAT16, opset=13, name="half"),
    case("Cast", VALUES, to=BFLOAT16, opset=13, name="bfloat16"),
    case("Cast", VALUES, to="INT32", opset=1, expect=lambda x, to: x.astype(np.int32)),
    *(
        case("Cast", np.array([-7, -1, 0, 3]), to=to, opset=opset, expect=to_type, name=f"to-{to}")
        for to, opset in ((21, 21), (22, 21), (25, 25), (26, 25))
    ),
    case("Cast", np.array([-8, 7, -1], ml_dtypes.int4), to=INT64, name="from-int4"),
    case("Cast", np.array([0.4, -7.0, 2.6]), to=23, opset=23, expect=gives(0.5, -6, 3), name="float4"),
    *(case("Cast", VALUES, to=to, opset=28, expect=to_type, name=f"float6-{to}") for to in (27, 28)),
    case("Cast", EXTREME, to=E4M3, expect=gives(-448, -448, 448, 448, 448, 448, np.nan), name="saturates"),
    case("Cast", EXTREME, to=E5M2, opset=19, expect=gives(-57344, -57344, 448, 448, 57344, 57344, np.nan), name="e5m2"),
    case(
        "Cast",
        EXTREME,
        to=E4M3,
        saturate=0,
        opset=19,
        expect=gives(np.nan, np.nan, 448, 448, np.nan, np.nan, np.nan),
        name="does-not-saturate",
    ),
    case("Cast", EXTREME, to=E5M2, saturate=0, expect=to_type, name="e5m2-infinite"),
    case("Cast", np.array([1000, -5]), to=E4M3, expect=gives(448, -5), name="saturates-integers"),
    case("Cast", VALUES, to=FLOAT16, opset=24, name="latest"),
    case("Cast", POWERS, to=E8M0, opset=24, expect=UP),
    case("Cast", POWERS, to=E8M0, opset=24, round_mode="down", expect=DOWN, name="down"),
    case("Cast", POWERS, to=E8M0, opset=24, round_mode="nearest", saturate=0, expect=NEAREST, name="nearest"),
    case("Cast", NUMBERS, to=FLOAT, expect=gives(3.14, 1e-5, -2, np.inf, np.nan), name="from-text"),
    case(
        "Cast",
        np.array(["100.5", "-7", BIG], object),
        to=INT64,
        expect=lambda x, to: np.array([100, -7, 2**62 + 1]),
        name="integers-from-text",
    ),
    case(
        "Cast",
        np.array(["1", "0"], object),
        to=BOOL,
        expect=lambda x, to: np.array([True, False]),
        name="bool-from-text",
    ),
    case(
        "Cast",
        np.array([3, -4]),
        to=STRING,
        expect=lambda x, to: np.array(["3", "-4"], object),
        name="integers-to-text",
    ),
    case(
        "Cast",
        np.array([0.1, -2.5], np.float32),
        to=STRING,
        expect=lambda x, to: np.array(["0.1", "-2.5"], object),
        name="to-text",
    ),
    case(
        "Cast",
        np.array([True, False]),
        to=STRING,
        expect=lambda x, to: np.array(["1", "0"], object),
        name="bool-to-text",
    ),
    case("CastLike", real(2, 3), np.float32(0), name="float", expect=lambda x, like: x.astype(like.dtype)),
    case("CastLike", real(2, 3), np.float64(0), grad=(0,), expect=lambda x, like: x, name="same"),
    case("CastLike", VALUES, np.int64(0), opset=15, expect=lambda x, like: x.astype(np.int64)),
    case("CastLike", VALUES, np.int64(0), opset=19, saturate=0, expect=lambda x, like, **_: x.astype(np.int64)),
    case("CastLike", VALUES, np.int64(0), opset=24, round_mode="down", expect=lambda x, like, **_: x.astype(np.int64)),
    case("BitCast", np.array([1.0, -2.0], np.float32), to=6, opset=26, expect=lambda x, to: x.view(np.int32)),
    case(
        "BitCast",
        np.array([-1, 3], ml_dtypes.int4),
        to=21,
        opset=26,
        expect=lambda x, to: np.array([15, 3], ml_dtypes.uint4),
        name="int4",
    ),
]
