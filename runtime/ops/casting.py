"""Cast, CastLike and BitCast: conversion between all of ONNX's data types, text included."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx

from ..dtypes import compute_dtype, is_float, numpy_dtype
from ..errors import InvalidGraph, InvalidInput
from .registry import op

_SATURATING = {"float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"}
_BITS = {"int2": 2, "uint2": 2, "int4": 4, "uint4": 4, "float4_e2m1fn": 4, "float6_e2m3fn": 6, "float6_e3m2fn": 6}
_E8M0_BIAS, _E8M0_MAX, _E8M0_NAN = 127, 254, 255
_E8M0_CARRY = {"down": 1.0, "nearest": 0.75, "up": np.nextafter(0.5, 1.0)}


def cast(xp, x, dtype, saturate=True, round_mode="up"):
    """`x` as `dtype`, by the rules of Cast: floats to integers truncate, integers wrap, floats round to even.

    Args:
        saturate: whether what float8 cannot hold becomes its largest finite value instead of infinity or NaN.
        round_mode: `up`, `down` or `nearest` (ties up), for float8e8m0 alone.

    Returns:
        `x` itself if it has the dtype.

    Raises:
        InvalidGraph: for another round_mode.
        InvalidInput: for text that is not a number.
    """
    if x.dtype == dtype:
        return x
    if x.dtype.kind in "OSUT":
        x = _parsed(x, dtype)
    if dtype.kind == "O":
        return _written(x if xp is np else xp.asnumpy(x))
    if dtype.name == "float8_e8m0fnu":
        return _to_e8m0(xp, x, saturate, round_mode)
    if saturate and dtype.name in _SATURATING:
        limit = float(ml_dtypes.finfo(dtype).max)
        x = x.astype(compute_dtype(x.dtype) if is_float(x.dtype) else np.float64, copy=False)
        x = xp.minimum(xp.maximum(x, -limit), limit)
    return x.astype(dtype)


def bits(dtype):
    """How many bits ONNX gives a value of this dtype."""
    return _BITS.get(dtype.name, 8 * dtype.itemsize)


def _to_e8m0(xp, x, saturate, round_mode):
    """Powers of two from 2⁻¹²⁷ to 2¹²⁷. Zero and smaller values become the least, or NaN without `saturate`."""
    if round_mode not in _E8M0_CARRY:
        raise InvalidGraph(f"round_mode is {round_mode!r}; expected one of {', '.join(_E8M0_CARRY)}")
    x = x.astype(np.float64)
    mantissa, exponent = xp.frexp(x)
    code = exponent + (_E8M0_BIAS - 1) + (mantissa >= _E8M0_CARRY[round_mode])
    code = xp.where(x == 0, -1, xp.where(x == np.inf, _E8M0_MAX + 1, code))
    if saturate:
        code = xp.minimum(xp.maximum(code, 0), _E8M0_MAX)
    valid = (x >= 0) & (code >= 0) & (code <= _E8M0_MAX)
    return xp.where(valid, code, _E8M0_NAN).astype(np.uint8).view(ml_dtypes.float8_e8m0fnu)


def _parsed(x, dtype):
    """Text as numbers; integers keep all their digits."""
    read, wide = (float, np.float64) if is_float(dtype) or dtype.kind == "b" else (_integer, np.int64)
    if dtype.kind == "u":
        wide = np.uint64
    try:
        texts = [text.decode() if isinstance(text, bytes) else text for text in x.ravel().tolist()]
        return np.array([read(text) for text in texts], wide).reshape(x.shape)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(
            f"cannot cast text to {dtype}: {error}; expected numbers such as 12, -0.5, 1e-3, INF"
        ) from None


def _integer(text):
    try:
        return int(text)
    except ValueError:
        return int(float(text))


def _written(x):
    """Numbers as the shortest text that reads back as the same number."""
    x = np.asarray(x)
    if x.dtype.kind == "O":
        return x
    if x.dtype.kind == "b":
        x = x.astype(np.uint8)
    if x.dtype.kind not in "iufc":
        x = x.astype(np.float32 if is_float(x.dtype) else np.int32)
    return x.astype(str).astype(object)


@op("Cast", since=24, view=True)
def cast_24(xp, input, *, to, saturate=1, round_mode="up"):
    """The input as data type number `to`."""
    return cast(xp, input, numpy_dtype(to), saturate, round_mode)


@op("Cast", since=19, view=True)
def cast_19(xp, input, *, to, saturate=1):
    """The input as data type number `to`."""
    return cast(xp, input, numpy_dtype(to), saturate)


@op("Cast", since=6, view=True)
def cast_6(xp, input, *, to):
    """The input as data type number `to`."""
    return cast(xp, input, numpy_dtype(to))


@op("Cast", since=1, view=True)
def cast_1(xp, input, *, to):
    """The input as the data type named `to`, such as FLOAT."""
    types = onnx.TensorProto.DataType
    if to not in types.keys():  # noqa: SIM118
        raise InvalidGraph(f"to is {to!r}; expected the name of a data type such as FLOAT or INT64")
    return cast(xp, input, numpy_dtype(types.Value(to)))


@op("CastLike", since=24, view=True)
def cast_like_24(xp, input, target_type, *, saturate=1, round_mode="up"):
    """The input as the data type of `target_type`."""
    return cast(xp, input, target_type.dtype, saturate, round_mode)


@op("CastLike", since=19, view=True)
def cast_like_19(xp, input, target_type, *, saturate=1):
    """The input as the data type of `target_type`."""
    return cast(xp, input, target_type.dtype, saturate)


@op("CastLike", since=15, view=True)
def cast_like_15(xp, input, target_type):
    """The input as the data type of `target_type`."""
    return cast(xp, input, target_type.dtype)


@cast_19.gradient
@cast_like_19.gradient
def _(g, node, dY):
    """dinput = dY in the data type of the input: rounding counts as the identity"""
    return g.Cast(dY, to=node.inputs[0].dtype.value)


@op("BitCast", since=26, view=True, differentiable=False)
def bit_cast(xp, input, *, to):
    """The bits of the input read as data type number `to` of the same width."""
    dtype = numpy_dtype(to)
    if "O" in (input.dtype.kind, dtype.kind) or bits(input.dtype) != bits(dtype):
        raise InvalidGraph(f"BitCast from {input.dtype} to {dtype}: expected data types of equally many bits, not text")
    return input.view(dtype)
