"""QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear."""

from __future__ import annotations

import ml_dtypes
import numpy as np
from onnx import TensorProto

from ..table import Case, ints, real
from ..table import case as any_case

FLOAT, FLOAT16, BFLOAT16 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16
X = real(2, 3, 5, low=-40, high=40)
SCALES = np.array([0.25, 0.5, 0.125])
TIES = np.array([-1.5, -0.5, 0.5, 1.5, 2.5, 1e30, -1e30, np.inf, -np.inf, np.nan])
FLOATS = np.array([0.0, 1.0, -3.3, 0.07, 500.0, -1e5, np.inf])


def case(op, *inputs, dtypes=("float32",), **attrs):
    """The specification has no float64 here."""
    return any_case(op, *inputs, dtypes=dtypes, **attrs)


def zeros(kind, *shape):
    return np.zeros(shape, kind)


def gives(kind, *values):
    """These values as `kind`."""
    return lambda *_, **__: np.array(values, kind)


def as_narrow(kind, largest):
    """x over 2, kept within the finite values."""
    return lambda x, *_, **__: np.clip(x / 2, -largest, largest).astype(kind)


def blocked(x, scale, zero_point, axis, block_size, **_):
    """Every block by itself."""
    y = np.empty(x.shape, zero_point.dtype)
    limits = np.iinfo(zero_point.dtype)
    x, y, scale, zero = (np.moveaxis(v, axis, 0) for v in (x, y, scale, zero_point.astype(int)))
    for i in range(len(scale)):
        block = slice(i * block_size, (i + 1) * block_size)
        y[block] = np.clip(np.rint(x[block] / scale[i]) + zero[i], limits.min, limits.max)
    return np.moveaxis(y, 0, axis)


def along(axis):
    """(x - zero) · scale, one of each for every position of the axis."""

    def expect(x, scale, zero_point, **_):
        place = [1] * x.ndim
        place[axis] = -1
        return (x.astype(float) - zero_point.astype(float).reshape(place)) * scale.reshape(place)

    return expect


def straight(x, scale, zero_point=0, **_):
    return (x.astype(float) - float(zero_point)) * scale


def unblocked(x, scale, zero_point, axis, block_size, **_):
    """Every element by itself."""
    y = np.empty(x.shape)
    for at in np.ndindex(*x.shape):
        block = (*at[:axis], at[axis] // block_size, *at[axis + 1 :])
        y[at] = (int(x[at]) - int(zero_point[block])) * scale[block]
    return y


QUANTIZE = [
    case("QuantizeLinear", X, 0.3, opset=10, name="first version"),
    case("QuantizeLinear", X, 0.3, np.uint8(128), opset=10, name="first version, zero point"),
    case("QuantizeLinear", X, SCALES, np.array([-3, 0, 120], np.int8), opset=13, name="axis"),
    case("QuantizeLinear", X, SCALES[:2], zeros(np.uint8, 2), opset=19, axis=-3, name="negative axis"),
    case("QuantizeLinear", X, np.array([0.5]), np.array([7], np.int8), axis=2, name="vector of one"),
    case("QuantizeLinear", X[0, 0], real(5, low=0.2, high=1), ints(5, dtype=np.int8), name="rank one has one axis",
         expect=lambda x, scale, zero: np.clip(np.rint(x / scale) + zero, -128, 127).astype(np.int8)),
    case("QuantizeLinear", np.array(3.7), 0.5, np.int8(1), name="scalar"),
    case("QuantizeLinear", zeros(float, 0, 3), SCALES, zeros(np.int8, 3), name="nothing"),
    case("QuantizeLinear", TIES, 1.0, np.int8(1),
         expect=gives(np.int8, -1, 1, 1, 3, 3, 127, -128, 127, -128, -128), name="ties, extremes, NaN"),
    case("QuantizeLinear", np.array([1.0, -1.0, 0.0]), 0.0, np.uint8(9), expect=gives(np.uint8, 255, 0, 0),
         name="scale of zero"),
    case("QuantizeLinear", X * 1000, 0.5, np.uint16(32768), name="uint16"),
    case("QuantizeLinear", X * 1000, 0.5, np.int16(-5), name="int16"),
    case("QuantizeLinear", X, 0.5, output_dtype=TensorProto.INT8, name="output_dtype"),
    case("QuantizeLinear", X, 0.5, np.int16(2), output_dtype=TensorProto.INT16, name="output_dtype and zero point"),
    case("QuantizeLinear", ints(7, low=-900, high=900, dtype=np.int32), np.float32(3), np.int8(1), opset=10,
         name="from int32"),
    case("QuantizeLinear", np.array([2**31 - 1, -(2**31), 5, 7, 9], np.int32), np.int32(2), np.int16(0),
         expect=gives(np.int16, 32767, -32768, 2, 4, 4), name="by int32"),
    case("QuantizeLinear", X, real(2, 2, 5, low=0.2, high=1), ints(2, 2, 5, dtype=np.int8), axis=1, block_size=2,
         expect=blocked, name="blocks with a rest"),
    case("QuantizeLinear", X, real(2, 3, 2, low=0.2, high=1), ints(2, 3, 2, dtype=np.uint8), axis=-1, block_size=4,
         opset=23, expect=blocked, name="blocks of the last axis"),
    case("QuantizeLinear", X, real(1, 3, 5, low=0.2, high=1), ints(1, 3, 5, dtype=np.int16), axis=0, block_size=2**50,
         expect=blocked, name="one block"),
    case("QuantizeLinear", zeros(float, 0, 3), zeros(float, 0, 3), zeros(np.int8, 0, 3), axis=0, block_size=2,
         name="no blocks"),
    *(
        case("QuantizeLinear", X, 8.0, zeros(kind), opset=opset, name=np.dtype(kind).name)
        for kind, opset in ((ml_dtypes.int4, 21), (ml_dtypes.uint4, 21), (ml_dtypes.int2, 25), (ml_dtypes.uint2, 25))
    ),
    case("QuantizeLinear", X, 8.0, np.array(5, ml_dtypes.uint4), opset=24, name="uint4, zero point"),
    *(
        case("QuantizeLinear", FLOATS, 2.0, zeros(kind), opset=opset, expect=as_narrow(kind, largest),
             name=np.dtype(kind).name)
        for kind, largest, opset in (
            (ml_dtypes.float8_e4m3fn, 448, 19), (ml_dtypes.float8_e4m3fnuz, 240, 19),
            (ml_dtypes.float8_e5m2, 57344, 19), (ml_dtypes.float8_e5m2fnuz, 57344, 21),
            (ml_dtypes.float4_e2m1fn, 6, 23), (ml_dtypes.float6_e2m3fn, 7.5, 28), (ml_dtypes.float6_e3m2fn, 28, 28),
        )
    ),
    case("QuantizeLinear", FLOATS, 2.0, zeros(ml_dtypes.float8_e4m3fn), saturate=0,
         expect=gives(ml_dtypes.float8_e4m3fn, 0, 0.5, -1.65, 0.035, 250, np.nan, np.nan), name="without saturation"),
    case("QuantizeLinear", np.array([1.0, 7.0, -2.0]), 2.0, np.array(1, ml_dtypes.float8_e5m2),
         expect=gives(ml_dtypes.float8_e5m2, 1.5, 4.5, 0), name="float8, zero point"),
    case("QuantizeLinear", X, np.array([0.25, 8, 1], ml_dtypes.float8_e8m0fnu), zeros(np.int8, 3), opset=24,
         dtypes=("float32", "bfloat16"), name="by powers of two"),
    case("QuantizeLinear", np.array([2.0, 3.0, -7.0]), 0.5, np.int8(1), dtypes=("float16", "bfloat16"), name="half"),
    # 100 / 0.3 is 333.3; bfloat16 has 0.30078 for 0.3 and steps by 2 there.
    # 2049 / 2 = 1024.5 is a tie in float32; float16, which steps by 1 there, has 1024; 2051 becomes 2052.
    case("QuantizeLinear", np.array([2049, 2051, 2053], np.float32), np.float32(2), np.int16(0), opset=23,
         precision=FLOAT16, expect=gives(np.int16, 1024, 1026, 1026), name="in float16"),
    case("QuantizeLinear", np.array([2050, 2054], np.float16), np.float16(0.7), np.int16(0), opset=23, precision=FLOAT,
         expect=gives(np.int16, 2928, 2933), name="in float32"),
    case("QuantizeLinear", np.array([2050, 2054], np.float16), np.float16(0.7), np.int16(0),
         expect=gives(np.int16, 2928, 2934), name="in its own float16"),
    case("QuantizeLinear", np.array([100, 3], ml_dtypes.bfloat16), np.float32(0.3), np.int16(0), opset=23,
         precision=BFLOAT16, expect=gives(np.int16, 332, 10), name="in bfloat16"),
    case("QuantizeLinear", np.array([2049, 100], np.float32), np.array(1, np.float16), np.int16(0), opset=23,
         expect=gives(np.int16, 2048, 100), name="in the scale's precision"),
]  # fmt: skip

Q = ints(2, 3, 5, low=-128, high=128, dtype=np.int8)

DEQUANTIZE = [
    case("DequantizeLinear", Q, 0.3, np.int8(-7), opset=10, expect=straight, name="first version"),
    case("DequantizeLinear", Q, 0.3, opset=10, expect=straight, name="first version, no zero point"),
    case("DequantizeLinear", Q, SCALES, np.array([-128, 0, 127], np.int8), opset=13, expect=along(1), name="axis"),
    case("DequantizeLinear", Q, SCALES[:2], opset=19, axis=-3, dtypes=("float32", "float16", "bfloat16"),
         name="negative axis"),
    case("DequantizeLinear", ints(4, high=256, dtype=np.uint8), 0.3, np.uint8(255), name="uint8"),
    case("DequantizeLinear", ints(4, high=2**16, dtype=np.uint16), 0.3, np.uint16(65535), name="uint16"),
    case("DequantizeLinear", ints(4, low=-(2**15), high=2**15, dtype=np.int16), 0.3, np.int16(32767), name="int16"),
    # 2^24 + 1 is no float32: the difference is taken before.
    case("DequantizeLinear", np.array([2**24 + 1, -5], np.int32), np.float32(0.5), np.array(1, np.int32),
         expect=gives(np.float32, 2**23, -3), name="int32"),
    case("DequantizeLinear", ints(4, low=-900, high=900, dtype=np.int32), 0.25, opset=10, expect=straight,
         name="int32, no zero point"),
    case("DequantizeLinear", np.array(3, np.int8), 0.5, np.int8(1), name="scalar"),
    case("DequantizeLinear", zeros(np.int8, 3, 0), SCALES, axis=0, name="nothing"),
    case("DequantizeLinear", Q, real(2, 2, 5), ints(2, 2, 5, dtype=np.int8), axis=1, block_size=2, expect=unblocked,
         name="blocks with a rest"),
    case("DequantizeLinear", Q, real(2, 3, 1), ints(2, 3, 1, dtype=np.int8), axis=2, block_size=5, opset=23,
         expect=unblocked, name="one block"),
    case("DequantizeLinear", Q, np.float16(0.3), np.int8(1), opset=23, output_dtype=FLOAT, name="wider than its scale"),
    case("DequantizeLinear", Q, np.float32(0.3), np.int8(1), opset=23, output_dtype=FLOAT16,
         name="narrower than its scale"),
    *(
        case("DequantizeLinear", np.arange(-2, 2).astype(kind), 0.3, np.array(1, kind), opset=opset,
             name=np.dtype(kind).name)
        for kind, opset in ((ml_dtypes.int4, 21), (ml_dtypes.uint4, 21), (ml_dtypes.int2, 25), (ml_dtypes.uint2, 25))
    ),
    *(
        case("DequantizeLinear", np.array([0.5, -1, 3], kind), 0.3, np.array(1, kind), opset=opset,
             expect=lambda x, scale, zero: (x.astype(float) - 1) * scale, name=np.dtype(kind).name)
        for kind, opset in (
            (ml_dtypes.float8_e4m3fn, 19), (ml_dtypes.float8_e5m2fnuz, 21), (ml_dtypes.float4_e2m1fn, 23),
            (ml_dtypes.float6_e2m3fn, 28), (ml_dtypes.float6_e3m2fn, 28),
        )
    ),
    case("DequantizeLinear", Q, np.array(0.25, ml_dtypes.float8_e8m0fnu), np.int8(3), opset=24, output_dtype=FLOAT,
         expect=lambda x, *_, **__: (x.astype(np.float32) - 3) / 4, name="by powers of two"),
]  # fmt: skip

DYNAMIC = [
    case("DynamicQuantizeLinear", X, opset=11, outputs=3),
    case("DynamicQuantizeLinear", np.abs(X) + 1, outputs=3, name="positive"),
    case("DynamicQuantizeLinear", -np.abs(X) - 1, outputs=3, name="negative"),
    # The quotient is 0 / 0; the specification's reference takes 1/255, onnxruntime 1.
    *(
        case("DynamicQuantizeLinear", zeros(float, n), outputs=3, name=name,
             expect=lambda x: (np.zeros(x.shape, np.uint8), np.ones((), x.dtype), np.zeros((), np.uint8)))
        for name, n in (("zeros", 3), ("nothing", 0))
    ),
]  # fmt: skip

CASES: list[Case] = [*QUANTIZE, *DEQUANTIZE, *DYNAMIC]
