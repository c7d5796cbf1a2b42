"""ONNX data types and their NumPy counterparts, as one table."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from .errors import InvalidModel

STRING = 8

NUMPY: dict[int, np.dtype] = {
    1: np.dtype(np.float32),
    2: np.dtype(np.uint8),
    3: np.dtype(np.int8),
    4: np.dtype(np.uint16),
    5: np.dtype(np.int16),
    6: np.dtype(np.int32),
    7: np.dtype(np.int64),
    STRING: np.dtype(object),
    9: np.dtype(np.bool_),
    10: np.dtype(np.float16),
    11: np.dtype(np.float64),
    12: np.dtype(np.uint32),
    13: np.dtype(np.uint64),
    14: np.dtype(np.complex64),
    15: np.dtype(np.complex128),
    16: np.dtype(ml_dtypes.bfloat16),
    17: np.dtype(ml_dtypes.float8_e4m3fn),
    18: np.dtype(ml_dtypes.float8_e4m3fnuz),
    19: np.dtype(ml_dtypes.float8_e5m2),
    20: np.dtype(ml_dtypes.float8_e5m2fnuz),
    21: np.dtype(ml_dtypes.uint4),
    22: np.dtype(ml_dtypes.int4),
    23: np.dtype(ml_dtypes.float4_e2m1fn),
    24: np.dtype(ml_dtypes.float8_e8m0fnu),
    25: np.dtype(ml_dtypes.uint2),
    26: np.dtype(ml_dtypes.int2),
    27: np.dtype(ml_dtypes.float6_e2m3fn),
    28: np.dtype(ml_dtypes.float6_e3m2fn),
}
ONNX: dict[np.dtype, int] = {dtype: code for code, dtype in NUMPY.items()}

NAMES: dict[int, str] = {
    code: {"float32": "float", "float64": "double", "object": "string", "float8_e4m3fn": "float8e4m3fn",
           "float8_e4m3fnuz": "float8e4m3fnuz", "float8_e5m2": "float8e5m2", "float8_e5m2fnuz": "float8e5m2fnuz",
           "float4_e2m1fn": "float4e2m1", "float8_e8m0fnu": "float8e8m0", "float6_e2m3fn": "float6e2m3",
           "float6_e3m2fn": "float6e3m2"}.get(dtype.name, dtype.name)
    for code, dtype in NUMPY.items()
}  # fmt: skip


def numpy_dtype(code: int) -> np.dtype:
    """The NumPy dtype of an ONNX `TensorProto.DataType` number (strings are `object`)."""
    try:
        return NUMPY[code]
    except KeyError:
        raise InvalidModel(f"data type {code} is not one of ONNX's; expected one of {sorted(NUMPY)}") from None


def onnx_dtype(dtype: np.dtype | type) -> int:
    """The ONNX `TensorProto.DataType` number of a NumPy dtype; text of any kind is `string`."""
    dtype = np.dtype(dtype)
    if dtype.kind in "OSUT":
        return STRING
    try:
        return ONNX[dtype]
    except KeyError:
        raise InvalidModel(f"dtype {dtype} has no ONNX counterpart; convert the array first") from None


def onnx_name(code: int) -> str:
    """onnxruntime's name of a data type: `float`, `double`, `int64`, ..."""
    return NAMES[code]


def type_name(proto: Any) -> str:
    """onnxruntime's name of a TypeProto: `tensor(float)`, `seq(map(int64,tensor(float)))`, ...; empty if it is open."""
    kind = proto.WhichOneof("value")
    if kind in ("tensor_type", "sparse_tensor_type"):
        inner = getattr(proto, kind).elem_type
        return f"{kind.removesuffix('_type')}({NAMES[inner]})" if inner in NAMES else ""
    if kind == "map_type":
        return f"map({NAMES.get(proto.map_type.key_type, '')},{type_name(proto.map_type.value_type)})"
    if kind in ("sequence_type", "optional_type"):
        outer = {"sequence_type": "seq", "optional_type": "optional"}[kind]
        return f"{outer}({type_name(getattr(proto, kind).elem_type)})"
    return ""


def is_float(dtype: np.dtype) -> bool:
    """Whether values of this dtype are floating point, ml_dtypes' narrow floats included."""
    dtype = np.dtype(dtype)
    return dtype.kind == "f" or dtype.name.startswith(("bfloat", "float"))


def compute_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype arithmetic runs in: float32 for floats narrower than that, else the dtype itself."""
    dtype = np.dtype(dtype)
    return np.dtype(np.float32) if is_float(dtype) and dtype.itemsize < 4 else dtype
