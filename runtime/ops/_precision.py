"""What gradient rules need to compute in the precision of the kernels: narrow floats pass through float32."""

from __future__ import annotations

import onnx_ir as ir


def widen(g, *values):
    """The values, those narrower than float32 cast to it."""
    return [g.Cast(v, to=ir.DataType.FLOAT.value) if v.dtype.itemsize < 4 else v for v in values]


def narrow(g, inputs, *gradients):
    """The gradients (some may be None) in the dtypes of the inputs they belong to."""
    return tuple(cast(g, d, x.dtype) if x is not None else None for d, x in zip(gradients, inputs, strict=False))


def cast(g, value, dtype):
    """`value` as `dtype`; None stays None."""
    return value if value is None or value.dtype == dtype else g.Cast(value, to=dtype.value)
