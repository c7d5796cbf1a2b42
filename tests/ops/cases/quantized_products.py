"""MatMulInteger, ConvInteger, QLinearMatMul and QLinearConv."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from ..table import Case, case, ints

INT8 = {"low": -128, "high": 128, "dtype": np.int8}
UINT8 = {"high": 256, "dtype": np.uint8}


def scale(*values):
    """float32 in every row: what the specification has."""
    return np.array(values if len(values) != 1 else values[0], np.float32)


def product(a, b, a_zero=0, b_zero=0):
    """The sums in int64; a vector of zero points belongs to the rows of a and the columns of b."""
    a_zero = np.asarray(a_zero, np.int64)
    a_zero = a_zero[:, None] if a_zero.ndim == 1 and a.ndim > 1 else a_zero
    return (a.astype(np.int64) - a_zero) @ (b.astype(np.int64) - np.asarray(b_zero, np.int64))


def int_product(a, b, a_zero=0, b_zero=0):
    return product(a, b, a_zero, b_zero).astype(np.int32)


def scaled(sums, multiplier, zero_point):
    """In float32, rounded half to even before the zero point is added; the reference adds first, in float64."""
    limits = np.iinfo(zero_point.dtype)
    scaled_sums = sums.astype(np.float32) * np.asarray(multiplier, np.float32)
    return np.clip(np.rint(scaled_sums) + zero_point, limits.min, limits.max).astype(zero_point.dtype)


def q_product(a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero):
    a_scale = a_scale[:, None] if a_scale.ndim == 1 and a.ndim > 1 else a_scale
    return scaled(product(a, b, a_zero, b_zero), a_scale * b_scale / y_scale, y_zero)


def float_product(a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero):
    sums = (a.astype(float) - a_zero.astype(float)) @ (b.astype(float) - b_zero.astype(float))
    return (sums * (a_scale * b_scale / y_scale).astype(float) + y_zero.astype(float)).astype(y_zero.dtype)


def convolution(x, w, x_zero=0, w_zero=0, *, pads, strides, dilations, group=1):
    """One output at a time, in int64; the padding is made of zero points."""
    rank = x.ndim - 2
    x = np.pad(x.astype(np.int64) - np.ravel(x_zero)[0], [(0, 0), (0, 0), *zip(pads[:rank], pads[rank:], strict=True)])
    w_zero = np.asarray(w_zero, np.int64).ravel()
    w = w.astype(np.int64) - (w_zero.reshape(-1, *(1,) * (rank + 1)) if w_zero.size > 1 else w_zero)
    reach = [(k - 1) * d + 1 for k, d in zip(w.shape[2:], dilations, strict=True)]
    size = [(n - r) // s + 1 for n, r, s in zip(x.shape[2:], reach, strides, strict=True)]
    y = np.zeros((x.shape[0], w.shape[0], *size), np.int64)
    inputs, outputs = w.shape[1], w.shape[0] // group
    for n, m, *o in np.ndindex(*y.shape):
        first = m // outputs * inputs
        window = tuple(slice(i * s, i * s + r, d) for i, s, r, d in zip(o, strides, reach, dilations, strict=True))
        y[(n, m, *o)] = (x[(n, slice(first, first + inputs), *window)] * w[m]).sum()
    return y


def int_convolution(*inputs, **attrs):
    return convolution(*inputs, **attrs).astype(np.int32)


def q_convolution(x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias=None, **attrs):
    sums = convolution(x, w, x_zero, w_zero, **attrs)
    place = (-1, *(1,) * (x.ndim - 2)) if w_scale.ndim else ()
    if bias is not None:
        sums = (sums + bias.reshape(-1, *(1,) * (x.ndim - 2))).astype(np.int32)
    return scaled(sums, (x_scale * w_scale / y_scale).reshape(place), y_zero)


def where(rank, **attrs):
    """The attributes with what the specification takes for granted."""
    return {"pads": [0] * 2 * rank, "strides": [1] * rank, "dilations": [1] * rank, **attrs}


A, B = ints(3, 5, **UINT8), ints(5, 4, **INT8)
STACK = ints(2, 3, 5, **UINT8, key="stack")
WORST = np.full((2, 301), 255, np.uint8)
"""301 · 255² is odd and more than 2²⁴: float32 does not hold it."""

MATMUL = [
    case("MatMulInteger", A, B),
    case("MatMulInteger", A, B, np.uint8(200), np.int8(-100), name="zero points"),
    case("MatMulInteger", A, B, None, np.int8(127), name="second zero point"),
    case("MatMulInteger", A, B, ints(3, **UINT8), ints(4, **INT8), expect=int_product, name="rows and columns"),
    case("MatMulInteger", STACK, B, ints(2, 3, 1, **UINT8), np.array([5], np.int8), name="stack of rows"),
    case("MatMulInteger", B.T, np.swapaxes(STACK, 1, 2), ints(1, dtype=np.int8), ints(2, 1, 3, **UINT8),
         name="stack of columns"),
    case("MatMulInteger", STACK[:, None], ints(4, 5, 2, **UINT8), np.uint8(3), name="stacks broadcast"),
    case("MatMulInteger", A[0], B, np.uint8(9), ints(4, **INT8), name="vector times matrix"),
    case("MatMulInteger", STACK, B[:, 0], np.uint8(9), np.int8(5), name="matrices times vector"),
    case("MatMulInteger", A[0], B[:, 0], np.array([9], np.uint8), name="vectors"),
    case("MatMulInteger", A[:, :0], B[:0], name="no terms"),
    case("MatMulInteger", A[:0], B, name="no rows"),
    case("MatMulInteger", WORST, WORST.T, name="beyond float32"),
    case("MatMulInteger", 0 * WORST, WORST.T, np.uint8(255), np.uint8(0), name="beyond float32, negative"),
    case("MatMulInteger", ints(2, 3000, **UINT8) // 250, ints(3000, 2, **UINT8), name="many small terms"),
    case("MatMulInteger", np.full((1, 33026), 255, np.uint8), np.full((33026, 1), 255, np.uint8),
         expect=lambda a, b: np.array([[33026 * 255**2 - 2**32]], np.int32), name="wraps around"),
]  # fmt: skip

Y = (scale(0.7), np.int8(3))

QLINEAR_MATMUL = [
    case("QLinearMatMul", A, scale(0.02), np.uint8(120), B, scale(0.3), np.int8(-4), *Y, opset=10),
    case("QLinearMatMul", A, scale(0.02), np.uint8(120), B, scale(0.3), np.int8(-4), scale(0.4), np.uint8(99),
         name="uint8"),
    case("QLinearMatMul", A, scale(0.01, 0.02, 0.3), ints(3, **UINT8), B, scale(0.2, 0.3, 0.1, 0.01), ints(4, **INT8),
         *Y, expect=q_product, name="rows and columns"),
    case("QLinearMatMul", STACK, np.full((2, 3, 1), 0.02, np.float32), ints(2, 3, 1, **UINT8), B, scale(0.3),
         np.int8(0), *Y, name="stack of rows"),
    case("QLinearMatMul", STACK, scale(0.3), np.uint8(7), B[:, 0], scale(0.03), np.int8(2), *Y,
         name="matrices times vector"),
    case("QLinearMatMul", A[0], scale(0.3), np.uint8(7), B, scale(0.1, 0.2, 0.3, 0.4), ints(4, **INT8), *Y,
         expect=q_product, name="vector times matrix"),
    case("QLinearMatMul", A[0], scale(0.3), np.uint8(7), B[:, 1], scale(0.03), np.int8(2), *Y, name="vectors"),
    case("QLinearMatMul", WORST, scale(1), np.uint8(0), WORST.T, scale(1), np.uint8(0), scale(2.0**18), np.uint8(0),
         name="beyond float32"),
    # 1 · 1 / 2, 3 / 2, 5 / 2: ties, rounded before the zero point is added.
    case("QLinearMatMul", np.array([[1], [3], [5]], np.int8), scale(1), np.int8(0), np.array([[1]], np.int8), scale(1),
         np.int8(0), scale(2), np.int8(1), expect=lambda *_: np.array([[1], [3], [3]], np.int8), name="ties"),
    case("QLinearMatMul", A, 0.02, np.uint8(120), B, 0.3, np.int8(-4), 0.7, np.int8(3), expect=q_product,
         dtypes=("float32", "float16", "bfloat16"), name="types of scales"),
    *(
        case("QLinearMatMul", A.astype(kind), scale(0.02), np.array(120, kind), B.astype(kind), scale(0.3),
             np.array(-4, kind), scale(0.7), np.array(3, kind), expect=float_product, name=np.dtype(kind).name)
        for kind in (ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2)
    ),
]  # fmt: skip

X2, W2 = ints(2, 4, 5, 6, **UINT8), ints(6, 2, 3, 2, **INT8)
EVERY = where(2, pads=[1, 0, 2, 1], strides=[2, 1], dilations=[1, 2], group=2)

CONV = [
    case("ConvInteger", X2, ints(3, 4, 3, 2, **INT8)),
    case("ConvInteger", X2, ints(3, 4, 3, 2, **INT8), np.uint8(77), np.int8(-3), pads=[1, 0, 2, 1], kernel_shape=[3, 2],
         name="padding is the zero point"),
    case("ConvInteger", X2, W2, np.uint8(200), ints(6, **INT8), **EVERY, expect=int_convolution,
         name="every attribute"),
    case("ConvInteger", X2, ints(4, 1, 3, 3, **INT8), np.array([9], np.uint8), ints(4, **INT8), group=4, strides=[2, 2],
         expect=lambda *inputs, **attrs: int_convolution(*inputs, **where(2, **attrs)), name="depthwise"),
    *(
        case("ConvInteger", X2, ints(3, 4, 2, 2, **INT8), np.uint8(200), auto_pad=auto_pad, name=auto_pad)
        for auto_pad in ("SAME_UPPER", "SAME_LOWER", "VALID")
    ),
    case("ConvInteger", ints(2, 3, 7, **INT8), ints(2, 3, 3, **UINT8), np.int8(-9), ints(2, **UINT8),
         **where(1, pads=[1, 2]), expect=int_convolution, name="one axis"),
    case("ConvInteger", ints(1, 2, 3, 4, 3, **INT8), ints(2, 2, 2, 2, 3, **UINT8), np.int8(-9), ints(2, **UINT8),
         **where(3, strides=[1, 2, 1]), expect=int_convolution, name="three axes"),
    case("ConvInteger", np.full((1, 33, 4, 4), 255, np.uint8), np.full((1, 33, 3, 3), 255, np.uint8),
         name="beyond float32"),
    case("ConvInteger", X2[:0], ints(3, 4, 3, 2, **INT8), **where(2), expect=int_convolution, name="no images"),
]  # fmt: skip

BIAS = np.array([2**31 - 1, -5000, 0, 17, 90000, -(2**31)], np.int32)
"""The outer two make their channels wrap around."""
PER_CHANNEL = (scale(0.1, 0.2, 0.3, 0.01, 0.02, 0.03), ints(6, **INT8))

QLINEAR_CONV = [
    case("QLinearConv", X2, scale(0.02), np.uint8(99), ints(3, 4, 3, 2, **INT8), scale(0.3), np.int8(4), scale(7),
         np.int8(-3), **where(2, pads=[1] * 4), expect=q_convolution),
    case("QLinearConv", X2, scale(0.02), np.uint8(99), W2, *PER_CHANNEL, scale(2), np.uint8(100), BIAS, **EVERY,
         expect=q_convolution, name="every attribute and a bias that wraps"),
    case("QLinearConv", X2, scale(0.02), np.uint8(99), ints(3, 4, 1, 1, **INT8), scale(0.3), np.int8(4), scale(1),
         np.int8(-3), **where(2), expect=q_convolution, name="one by one"),
    case("QLinearConv", ints(2, 3, 7, **INT8), scale(0.1), np.int8(-9), ints(2, 3, 3, **UINT8), scale(0.1, 0.2),
         ints(2, **UINT8), scale(20), np.int8(0), np.array([400, -400], np.int32), **where(1, dilations=[2]),
         expect=q_convolution, name="one axis"),
]  # fmt: skip

CASES: list[Case] = [*MATMUL, *QLINEAR_MATMUL, *CONV, *QLINEAR_CONV]
