"""Products of quantised tensors: MatMulInteger, ConvInteger, QLinearMatMul and QLinearConv, exact to the last bit.

Products of 8-bit integers less their zero points are summed in floating point: in float32 as long as no sum can leave
the integers that float32 holds, in float64 otherwise. Both are exact, whatever the order of summation, and the matrix
product of floats is many times faster than that of integers.
"""

from __future__ import annotations

import math

import numpy as np

from ..dtypes import compute_dtype, is_float
from ..errors import InvalidInput
from ._axes import bounded
from .convolution import conv
from .linear import matmul
from .quantization import FLOAT8, centred, same_shape, saturated, scalar
from .registry import op

_LARGEST = 255
"""No 8-bit integer less another one of its type is larger."""
_FLOAT32_INTEGERS = 1 << 24
_INT32_INTEGERS = 1 << 31
_INTEGERS = {"int8", "uint8"}


@op("MatMulInteger", since=10, differentiable=False)
def mat_mul_integer(xp, A, B, a_zero_point=None, b_zero_point=None):
    """(A - a_zero_point) · (B - b_zero_point) as int32, summed exactly and then taken modulo 2³².

    Shapes as numpy.matmul has them. Zero points are scalars, or one for each row of A and each column of B.

    Raises:
        InvalidInput: if shapes, types or zero points do not fit.
    """
    shape = _product_shape(A, B)
    _check_types(_INTEGERS, (A, a_zero_point), (B, b_zero_point))
    return _matrix_sums(xp, *_matrices(A, B), a_zero_point, b_zero_point).reshape(shape)


@op("QLinearMatMul", since=10, differentiable=False)
def q_linear_mat_mul(xp, a, a_scale, a_zero_point, b, b_scale, b_zero_point, y_scale, y_zero_point):
    """saturate(round((a - a_zero_point) · (b - b_zero_point) · (a_scale · b_scale / y_scale)) + y_zero_point).

    Shapes as numpy.matmul has them. Scales and zero points are scalars; those of a may have one element for each row,
    those of b for each column. Integers are summed as in MatMulInteger and scaled in float32, float8 all in float64.

    Raises:
        InvalidInput: if shapes, types, scales or zero points do not fit.
    """
    _check_types(_INTEGERS | FLOAT8, (a, a_zero_point), (b, b_zero_point), (y_zero_point, None))
    same_shape(a_scale, a_zero_point)
    same_shape(b_scale, b_zero_point)
    shape = _product_shape(a, b)
    a, b = _matrices(a, b)
    sums = _matrix_sums(xp, a, b, a_zero_point, b_zero_point)
    multiplier = _multiplier(_of_rows(a_scale, a), _of_columns(b_scale, b), y_scale)
    return _requantised(xp, sums, multiplier, y_zero_point).reshape(shape)


@op("ConvInteger", since=10, differentiable=False)
def conv_integer(
    xp,
    x,
    w,
    x_zero_point=None,
    w_zero_point=None,
    *,
    auto_pad="NOTSET",
    dilations=None,
    group=1,
    kernel_shape=None,
    pads=None,
    strides=None,
):
    """Conv of x - x_zero_point and w - w_zero_point as int32, summed exactly and then taken modulo 2³².

    x_zero_point is a scalar, w_zero_point a scalar or [M]; padding counts as x_zero_point.

    Raises:
        InvalidInput: if types or zero points do not fit.
        InvalidGraph: if channels, groups, kernel and input do not fit.
    """
    return _conv_sums(xp, x, w, x_zero_point, w_zero_point, auto_pad, dilations, group, kernel_shape, pads, strides)


@op("QLinearConv", since=10, differentiable=False)
def q_linear_conv(
    xp,
    x,
    x_scale,
    x_zero_point,
    w,
    w_scale,
    w_zero_point,
    y_scale,
    y_zero_point,
    B=None,
    *,
    auto_pad="NOTSET",
    dilations=None,
    group=1,
    kernel_shape=None,
    pads=None,
    strides=None,
):
    """saturate(round((ConvInteger + B[m]) · (x_scale · w_scale[m] / y_scale)) + y_zero_point).

    w_scale and w_zero_point are scalars or [M], the other scales and zero points scalars, B int32 [M]. The sums are
    those of ConvInteger, modulo 2³² with B, and scaled in float32.

    Raises:
        InvalidInput: if types, scales, zero points or B do not fit.
        InvalidGraph: if channels, groups, kernel and input do not fit.
    """
    _check_types(_INTEGERS, (y_zero_point, None))
    same_shape(w_scale, w_zero_point)
    sums = _conv_sums(xp, x, w, x_zero_point, w_zero_point, auto_pad, dilations, group, kernel_shape, pads, strides)
    if B is not None:
        if B.shape != w.shape[:1] or B.dtype != np.int32:
            raise InvalidInput(f"B is {B.dtype} of shape {list(B.shape)}; expected int32 of shape {[w.shape[0]]}")
        xp.add(sums, B.reshape(-1, *(1,) * (w.ndim - 2)), out=sums)
    multiplier = _multiplier(scalar(x_scale, "x_scale"), _of_channels(w_scale, w, w.ndim - 1), y_scale)
    return _requantised(xp, sums, multiplier, y_zero_point)


def _matrix_sums(xp, a, b, a_zero_point, b_zero_point):
    """The sums of products of two stacks of matrices less their zero points: int32, of float8 float64."""
    a_zero_point, b_zero_point = _of_rows(a_zero_point, a), _of_columns(b_zero_point, b)
    if is_float(a.dtype) or is_float(b.dtype):
        return matmul(xp, centred(xp, a, a_zero_point, np.float64), centred(xp, b, b_zero_point, np.float64))
    terms = a.shape[-1]
    a, b = centred(xp, a, a_zero_point, np.float32), centred(xp, b, b_zero_point, np.float32)
    dtype = _exact_dtype(xp, terms, *((a, -1) if a.size <= b.size else (b, -2)))
    return _as_int32(matmul(xp, a.astype(dtype, copy=False), b.astype(dtype, copy=False)), terms)


def _conv_sums(xp, x, w, x_zero_point, w_zero_point, auto_pad, dilations, group, kernel_shape, pads, strides):
    """The sums of a convolution of x and w less their zero points, as int32."""
    _check_types(_INTEGERS, (x, x_zero_point), (w, w_zero_point))
    X = centred(xp, x, None if x_zero_point is None else scalar(x_zero_point, "x_zero_point"), np.float32)
    W = centred(xp, w, _of_channels(w_zero_point, w, w.ndim), np.float32)
    terms = math.prod(w.shape[1:])
    dtype = _exact_dtype(xp, terms, W, tuple(range(1, w.ndim)))
    sums = conv(
        xp,
        X.astype(dtype, copy=False),
        W.astype(dtype, copy=False),
        auto_pad=auto_pad,
        dilations=dilations,
        group=group,
        kernel_shape=kernel_shape,
        pads=pads,
        strides=strides,
    )
    return _as_int32(sums, terms)


def _exact_dtype(xp, terms, factor, axes):
    """float32 if it holds all sums of so many products, else float64.

    The absolute sums of the one factor along `axes` bound them more closely than their number.
    """
    if terms * _LARGEST**2 <= _FLOAT32_INTEGERS or not factor.size:
        return np.float32
    largest = float(xp.absolute(factor).sum(axis=axes).max())
    return np.float32 if largest * _LARGEST <= _FLOAT32_INTEGERS else np.float64


def _as_int32(sums, terms):
    """Integers held as floats, modulo 2³²."""
    if terms * _LARGEST**2 >= _INT32_INTEGERS:
        sums = sums.astype(np.int64)
    return sums.astype(np.int32)


def _multiplier(a_scale, b_scale, y_scale):
    wide = compute_dtype(y_scale.dtype)
    return a_scale.astype(wide) * b_scale.astype(wide) / scalar(y_scale, "y_scale").astype(wide)


def _requantised(xp, sums, multiplier, zero_point):
    wide = sums.dtype if is_float(sums.dtype) else multiplier.dtype
    q = xp.multiply(sums.astype(wide, copy=False), multiplier.astype(wide, copy=False))
    return saturated(xp, q, scalar(zero_point, "y_zero_point"), zero_point.dtype)


def _check_types(allowed, *pairs):
    """Raises InvalidInput unless each tensor has one of the types, and its zero point, if any, the same."""
    for x, zero_point in pairs:
        if x.dtype.name not in allowed:
            raise InvalidInput(f"a quantised tensor is {x.dtype}; expected one of {', '.join(sorted(allowed))}")
        if zero_point is not None and zero_point.dtype != x.dtype:
            raise InvalidInput(
                f"a zero point is {zero_point.dtype}, but its tensor is {x.dtype}; expected the same type"
            )


def _product_shape(a, b):
    """The shape of numpy.matmul's result."""
    inner = b.shape[-2:][:1]
    try:
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        batch = None
    if batch is None or not a.ndim or not b.ndim or a.shape[-1:] != inner:
        raise InvalidInput(f"a matrix product of shapes {list(a.shape)} and {list(b.shape)} is not defined")
    return bounded((*batch, *a.shape[-2:-1], *(b.shape[-1:] if b.ndim > 1 else ())), np.float64)


def _matrices(a, b):
    """Both with at least two axes: a vector a is one row, a vector b one column."""
    return a[None] if a.ndim == 1 else a, b[:, None] if b.ndim == 1 else b


def _of_rows(value, a):
    """A scale or zero point of the tensor or of each row of a, in a shape that broadcasts to a's; None stays None."""
    if value is not None and value.ndim == 1 and value.shape == a.shape[-2:-1]:
        return value.reshape(-1, 1)
    return _matching(value, (*a.shape[:-1], 1))


def _of_columns(value, b):
    """A scale or zero point of the tensor or of each column of b, in a shape that broadcasts to b's; or None."""
    if value is not None and value.ndim == 1 and value.shape == b.shape[-1:]:
        return value
    return _matching(value, (*b.shape[:-2], 1, b.shape[-1]))


def _of_channels(value, w, rank):
    """A scale or zero point of the tensor, or of each output channel of w with `rank` axes; None stays None."""
    if value is not None and value.ndim == 1 and value.shape == w.shape[:1]:
        return value.reshape(-1, *(1,) * (rank - 1))
    return _matching(value, w.shape[:1])


def _matching(value, shape):
    if value is None or value.shape == shape:
        return value
    if value.size != 1:
        raise InvalidInput(f"a scale or zero point has shape {list(value.shape)}; expected a scalar or {list(shape)}")
    return value.reshape(())
