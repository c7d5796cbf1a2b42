"""Quantisation: QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear.

A scale and its zero point hold for a whole tensor, for each position along one axis, or for each block along one axis.
Integers round half to even and saturate. None of these operators has a gradient.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np

from ..dtypes import compute_dtype, is_float, numpy_dtype
from ..errors import InvalidGraph, InvalidInput
from ._axes import axis_in
from .casting import bits, cast
from .registry import op

_INTEGERS = {"int2", "uint2", "int4", "uint4", "int8", "uint8", "int16", "uint16"}
FLOAT8 = {"float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"}
_QUANTISED = _INTEGERS | FLOAT8 | {"float4_e2m1fn", "float6_e2m3fn", "float6_e3m2fn"}
_PRECISIONS = {"float16", "bfloat16", "float32", "float64"}


@op("QuantizeLinear", since=23, differentiable=False)
def quantize_linear_23(
    xp, x, y_scale, y_zero_point=None, *, axis=1, block_size=0, output_dtype=0, precision=0, saturate=1
):
    """saturate(round(x / y_scale) + y_zero_point), as data type number `output_dtype` or that of the zero point.

    x [D0, ..., Dn]; y_scale and y_zero_point [] for the tensor, [Di] along axis i, or x's shape with
    ceil(Di / block_size) in place of Di. The quotient is rounded to data type number `precision`, else to the type of
    y_scale; then to integers, half to even, unless the result is floating point. NaN becomes the least integer.

    Raises:
        InvalidInput: if scale or zero point do not fit x or each other.
        InvalidGraph: for an output_dtype that is no quantised type or contradicts the zero point, or another precision.
    """
    dtype = _quantised_dtype(y_zero_point, output_dtype)
    scale, zero_point = _aligned(xp, x, y_scale, y_zero_point, axis, block_size)
    return saturated(xp, _quotient(xp, x, scale, precision), zero_point, dtype, saturate)


@op("QuantizeLinear", since=21, differentiable=False)
def quantize_linear_21(xp, x, y_scale, y_zero_point=None, *, axis=1, block_size=0, output_dtype=0, saturate=1):
    """The later version without `precision`."""
    return quantize_linear_23(
        xp, x, y_scale, y_zero_point, axis=axis, block_size=block_size, output_dtype=output_dtype, saturate=saturate
    )


@op("QuantizeLinear", since=19, differentiable=False)
def quantize_linear_19(xp, x, y_scale, y_zero_point=None, *, axis=1, saturate=1):
    """The later version for tensors and axes alone; the zero point has the result's type, uint8 without it."""
    return quantize_linear_23(xp, x, y_scale, y_zero_point, axis=axis, saturate=saturate)


@op("QuantizeLinear", since=13, differentiable=False)
def quantize_linear_13(xp, x, y_scale, y_zero_point=None, *, axis=1):
    """The later version for integers alone."""
    return quantize_linear_23(xp, x, y_scale, y_zero_point, axis=axis)


@op("QuantizeLinear", since=10, differentiable=False)
def quantize_linear_10(xp, x, y_scale, y_zero_point=None):
    """The later version with one scale for the whole tensor."""
    return quantize_linear_23(xp, x, scalar(y_scale, "y_scale"), y_zero_point)


@op("DequantizeLinear", since=23, differentiable=False)
def dequantize_linear_23(xp, x, x_scale, x_zero_point=None, *, axis=1, block_size=0, output_dtype=0):
    """(x - x_zero_point) · x_scale, as data type number `output_dtype` or that of the scale.

    Shapes as in QuantizeLinear. Narrow floats are computed in float32 and rounded once.

    Raises:
        InvalidInput: if scale or zero point do not fit x or each other.
        InvalidGraph: for an output_dtype that is not floating point.
    """
    dtype = numpy_dtype(output_dtype) if output_dtype else x_scale.dtype
    if dtype.name not in _PRECISIONS:
        raise InvalidGraph(f"DequantizeLinear to {dtype}; expected output_dtype or x_scale to be float, or float16")
    if x_zero_point is not None and x_zero_point.dtype != x.dtype:
        raise InvalidInput(f"x_zero_point is {x_zero_point.dtype}, but x is {x.dtype}; expected the same type")
    scale, zero_point = _aligned(xp, x, x_scale, x_zero_point, axis, block_size)
    wide = compute_dtype(dtype)
    y = centred(xp, x, zero_point, wide)
    return xp.multiply(y, scale.astype(wide), out=y).astype(dtype, copy=False)


@op("DequantizeLinear", since=21, differentiable=False)
def dequantize_linear_21(xp, x, x_scale, x_zero_point=None, *, axis=1, block_size=0):
    """The later version without `output_dtype`."""
    return dequantize_linear_23(xp, x, x_scale, x_zero_point, axis=axis, block_size=block_size)


@op("DequantizeLinear", since=13, differentiable=False)
def dequantize_linear_13(xp, x, x_scale, x_zero_point=None, *, axis=1):
    """The later version for tensors and axes alone."""
    return dequantize_linear_23(xp, x, x_scale, x_zero_point, axis=axis)


@op("DequantizeLinear", since=10, differentiable=False)
def dequantize_linear_10(xp, x, x_scale, x_zero_point=None):
    """The later version with one scale for the whole tensor."""
    return dequantize_linear_23(xp, x, scalar(x_scale, "x_scale"), x_zero_point)


@op("DynamicQuantizeLinear", since=11, differentiable=False)
def dynamic_quantize_linear(xp, x):
    """y uint8, y_scale = (max(0, x) - min(0, x)) / 255, y_zero_point = round(-min(0, x) / y_scale).

    x without any element but zero has the scale 1: the quotient would be 0 / 0.
    """
    zero = xp.zeros((), x.dtype)
    low, high = (xp.minimum(x.min(), zero), xp.maximum(x.max(), zero)) if x.size else (zero, zero)
    y_scale = xp.asarray(xp.where(high == low, zero + 1, (high - low) / 255))
    y_zero_point = saturated(xp, xp.asarray(-low / y_scale), None, np.dtype(np.uint8))
    return quantize_linear_23(xp, x, y_scale, y_zero_point), y_scale, y_zero_point


def centred(xp, x, zero_point, dtype):
    """x - zero_point as a new array of a floating-point dtype that holds both; int32 is rounded only afterwards."""
    wide = np.dtype(np.float64) if x.dtype.itemsize > 2 else dtype
    y = xp.asarray(x.astype(dtype if zero_point is None else wide))
    if zero_point is not None:
        xp.subtract(y, zero_point.astype(wide), out=y)
    return xp.asarray(y.astype(dtype, copy=False))


def saturated(xp, q, zero_point, dtype, saturate=1):
    """round(q) + zero_point within the range of an integer `dtype`, or q + zero_point as a narrow float.

    `q` is float32 or float64, is broadcast already, and is overwritten. NaN becomes the least integer.
    """
    if is_float(dtype):
        if zero_point is not None:
            xp.add(q, zero_point.astype(q.dtype), out=q)
        return cast(xp, q, dtype, saturate)
    xp.rint(q, out=q)
    if zero_point is not None:
        xp.add(q, zero_point.astype(q.dtype), out=q)
    limits = ml_dtypes.iinfo(dtype)
    xp.fmax(q, q.dtype.type(limits.min), out=q)
    xp.minimum(q, q.dtype.type(limits.max), out=q)
    if bits(dtype) < 8:
        q = q.astype(np.int8)
    return q.astype(dtype)


def scalar(value, name):
    """A tensor of one element as one of no axes.

    Raises:
        InvalidInput: if it has another number of elements.
    """
    if value.size != 1:
        raise InvalidInput(f"{name} has shape {list(value.shape)}; expected a scalar")
    return value.reshape(())


def same_shape(scale, zero_point):
    """Raises InvalidInput unless the zero point has the shape of its scale, or both have one element."""
    if zero_point.shape != scale.shape and (zero_point.size, scale.size) != (1, 1):
        raise InvalidInput(
            f"the scale has shape {list(scale.shape)} and the zero point {list(zero_point.shape)}; expected the same"
        )


def _quotient(xp, x, scale, precision):
    """x / scale as a new array of float32 or float64, rounded to the precision asked for.

    Integers are divided in float64, which tells every quotient of two int32 from a tie. Scales of float8e8m0 are powers
    of two, by which float32 divides exactly.
    """
    asked = numpy_dtype(precision) if precision else scale.dtype
    if precision and asked.name not in _PRECISIONS:
        raise InvalidGraph(f"QuantizeLinear with precision={asked}; expected a floating-point type of at least 16 bits")
    if asked.kind in "iu":
        asked = np.dtype(np.float64)
    elif asked.name not in _PRECISIONS:
        asked = compute_dtype(asked)
    q = xp.divide(x.astype(asked, copy=False), scale.astype(asked, copy=False))
    return xp.asarray(q).astype(compute_dtype(asked), copy=False)


def _quantised_dtype(zero_point, output_dtype):
    asked = numpy_dtype(output_dtype) if output_dtype else None
    dtype = asked or np.dtype(np.uint8)
    if zero_point is not None:
        dtype = zero_point.dtype
        if asked not in (None, dtype):
            raise InvalidGraph(f"output_dtype is {asked}, but y_zero_point is {dtype}; expected the same type")
    if dtype.name not in _QUANTISED:
        raise InvalidGraph(f"QuantizeLinear to {dtype}; expected an integer of at most 16 bits or a float of at most 8")
    return dtype


def _aligned(xp, x, scale, zero_point, axis, block_size):
    """Scale and zero point in shapes that broadcast to that of x."""
    if zero_point is not None:
        same_shape(scale, zero_point)
        zero_point = _spread(xp, zero_point, x.shape, axis, block_size)
    return _spread(xp, scale, x.shape, axis, block_size), zero_point


def _spread(xp, value, shape, axis, block_size):
    if block_size < 0:
        raise InvalidGraph(f"block_size is {block_size}; expected a positive number, or 0 for no blocks")
    if value.size == 1:
        return value.reshape(())
    axis = 0 if len(shape) == 1 else axis_in(axis, len(shape))
    if block_size:
        return _blocks(xp, value, shape, axis, block_size)
    if value.shape != (shape[axis],):
        raise InvalidInput(
            f"a scale or zero point has shape {list(value.shape)}, but x has shape {list(shape)}; "
            f"expected [] or [{shape[axis]}], one for each position along axis {axis}"
        )
    return value.reshape(-1, *(1,) * (len(shape) - axis - 1))


def _blocks(xp, value, shape, axis, block_size):
    """Every element repeated along the axis, once for each position of its block."""
    expected = (*shape[:axis], -(-shape[axis] // block_size), *shape[axis + 1 :])
    if value.shape != expected:
        raise InvalidInput(
            f"a scale or zero point has shape {list(value.shape)}; expected {list(expected)} for x of shape "
            f"{list(shape)} in blocks of {block_size} along axis {axis}"
        )
    repeated = xp.repeat(value, min(block_size, max(1, shape[axis])), axis)
    return repeated[(slice(None),) * axis + (slice(shape[axis]),)]
