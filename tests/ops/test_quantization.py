"""What the case table cannot say of quantisation: exactness by the bound on a sum, and errors."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from striate.runtime.errors import StriateError
from striate.runtime.ops import registry
from striate.runtime.ops.quantized_products import _exact_dtype


@pytest.mark.parametrize(
    ("terms", "value", "wanted"),
    [(258, 255, np.float32), (259, 255, np.float64), (65793, 1, np.float32), (65794, 1, np.float64)],
)
def test_float32_sums_only_what_it_holds(terms: int, value: int, wanted: Any) -> None:
    """255 · 65793 is 2²⁴ - 1: one term more could leave the integers of float32."""
    factor = np.full((2, terms), -value, np.float32)
    factor[0] = 0
    assert _exact_dtype(np, terms, factor, -1) is wanted


@pytest.mark.parametrize("spread", [1, 16, 255])
def test_sums_are_exact(spread: int) -> None:
    """The sums of integer arithmetic, whichever dtype they are taken in."""
    random = np.random.default_rng(spread)
    a = random.integers(0, spread + 1, (5, 4001)).astype(np.uint8)
    b = random.integers(0, 256, (4001, 6)).astype(np.uint8)
    got = registry.lookup("", "MatMulInteger", 10).kernel(np, a, b)
    np.testing.assert_array_equal(got, a.astype(np.int64) @ b.astype(np.int64))
    x, w = a.reshape(1, 5, 4001), b.T[:, None, :31].repeat(5, 1)
    got = registry.lookup("", "ConvInteger", 10).kernel(np, x, w)
    windows = np.lib.stride_tricks.sliding_window_view(x[0].astype(np.int64), 31, 1)
    np.testing.assert_array_equal(got[0], np.einsum("cot,mct->mo", windows, w.astype(np.int64)))


def test_quantised_values_survive_the_way_back() -> None:
    """DequantizeLinear followed by QuantizeLinear is the identity on every value of every narrow integer."""
    for kind in (ml_dtypes.int2, ml_dtypes.uint2, ml_dtypes.int4, ml_dtypes.uint4, np.int8, np.uint8, np.int16):
        limits = ml_dtypes.iinfo(kind)
        q = np.arange(limits.min, limits.max + 1).astype(kind)
        scale, zero_point = np.float32(0.037), np.array(1, kind)
        x = registry.lookup("", "DequantizeLinear", 25).kernel(np, q, scale, zero_point)
        back = registry.lookup("", "QuantizeLinear", 25).kernel(np, x, scale, zero_point)
        assert back.dtype == q.dtype
        np.testing.assert_array_equal(back, q)


X, Q = np.ones((2, 3), np.float32), np.ones((2, 3), np.int8)
IMAGE, KERNEL = np.ones((1, 2, 4, 4), np.uint8), np.ones((3, 2, 2, 2), np.int8)
ONE = np.float32(1)


def scales(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def integers(*shape: int, kind: Any = np.int8) -> np.ndarray:
    return np.ones(shape, kind)


PER_TENSOR = (ONE, integers())
WRONG: dict[str, tuple[str, int, tuple[Any, ...], dict[str, Any], str]] = {
    "scale of an axis": ("QuantizeLinear", 13, (X, scales(2)), {}, r"expected \[\] or \[3\], one for each"),
    "matrix of scales": ("QuantizeLinear", 21, (X, scales(2, 3)), {}, r"shape \[2, 3\]"),
    "first version": ("QuantizeLinear", 10, (X, scales(3)), {}, "y_scale has shape .* expected a scalar"),
    "axis": ("QuantizeLinear", 13, (X, scales(3)), {"axis": 2}, "axis 2 does not exist"),
    "zero point's shape": ("QuantizeLinear", 13, (X, scales(3), integers(2)), {}, "expected the same"),
    "blocks": ("QuantizeLinear", 21, (X, scales(2, 3)), {"block_size": 2}, r"expected \[2, 2\] for x"),
    "scalar in blocks": ("QuantizeLinear", 21, (X, scales(3)), {"block_size": 2}, r"expected \[2, 2\] for x"),
    "block size": ("DequantizeLinear", 21, (Q, scales(2, 3)), {"block_size": -1}, "block_size is -1"),
    "contradiction": ("QuantizeLinear", 21, (X, ONE, integers()), {"output_dtype": 2}, "output_dtype is uint8"),
    "to int32": ("QuantizeLinear", 21, (X, ONE), {"output_dtype": 6}, "QuantizeLinear to int32"),
    "to a zero point's type": ("QuantizeLinear", 21, (X, ONE, ONE), {}, "QuantizeLinear to float32"),
    "to no type": ("QuantizeLinear", 21, (X, ONE), {"output_dtype": 99}, "99"),
    "precision": ("QuantizeLinear", 23, (X, ONE), {"precision": 17}, "precision=float8_e4m3fn"),
    "back to int8": ("DequantizeLinear", 23, (Q, ONE), {"output_dtype": 3}, "DequantizeLinear to int8"),
    "zero point's type": ("DequantizeLinear", 21, (Q, ONE, np.uint8(1)), {}, "x_zero_point is uint8, but x is int8"),
    "inner": ("MatMulInteger", 10, (Q, Q), {}, r"shapes \[2, 3\] and \[2, 3\] is not defined"),
    "no axes": ("MatMulInteger", 10, (integers(), Q), {}, "is not defined"),
    "stacks": ("MatMulInteger", 10, (integers(2, 1, 3), integers(3, 3, 1)), {}, "is not defined"),
    "result too large": (
        "MatMulInteger", 10, (np.broadcast_to(Q[:1, :1], (2**25, 1)), np.broadcast_to(Q[:1, :1], (1, 2**25))), {},
        "would take",
    ),
    "zero point of rows": ("MatMulInteger", 10, (Q, Q.T, integers(3)), {}, r"expected a scalar or \[2, 1\]"),
    "zero point of columns": ("MatMulInteger", 10, (Q, Q.T, None, integers(3)), {}, r"expected a scalar or \[1, 2\]"),
    "type of a factor": ("MatMulInteger", 10, (X, Q.T), {}, "a quantised tensor is float32"),
    "type of a zero point": ("MatMulInteger", 10, (Q, Q.T, np.uint8(0)), {}, "a zero point is uint8"),
    "scale and zero point": ("QLinearMatMul", 21, (Q, scales(2), integers(), Q.T, *PER_TENSOR, *PER_TENSOR), {},
                             "expected the same"),
    "result's scale": ("QLinearMatMul", 21, (Q, *PER_TENSOR, Q.T, *PER_TENSOR, scales(2), integers()), {},
                       "y_scale has shape"),
    "result's zero point": ("QLinearMatMul", 21, (Q, *PER_TENSOR, Q.T, *PER_TENSOR, ONE, integers(2)), {},
                            "y_zero_point has shape"),
    "result's type": ("QLinearMatMul", 21, (Q, *PER_TENSOR, Q.T, *PER_TENSOR, ONE, np.int32(1)), {}, "int32"),
    "channels": ("ConvInteger", 10, (IMAGE, KERNEL[:, :1]), {}, "2 channels"),
    "padding too large": ("ConvInteger", 10, (IMAGE, KERNEL), {"pads": [2**40, 0, 0, 0]}, "would take"),
    "zero point of the image": ("ConvInteger", 10, (IMAGE, KERNEL, integers(2, kind=np.uint8)), {}, "x_zero_point"),
    "zero point of the kernel": ("ConvInteger", 10, (IMAGE, KERNEL, None, integers(2)), {}, r"a scalar or \[3\]"),
    "float8 image": ("ConvInteger", 10, (IMAGE.astype(ml_dtypes.float8_e5m2), KERNEL), {}, "expected one of int8"),
    "bias": ("QLinearConv", 10, (IMAGE, ONE, np.uint8(0), KERNEL, *PER_TENSOR, *PER_TENSOR, np.ones(2, np.int32)), {},
             r"B is int32 of shape \[2\]; expected int32 of shape \[3\]"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_errors(wrong: tuple[str, int, tuple[Any, ...], dict[str, Any], str]) -> None:
    name, version, inputs, attributes, message = wrong
    with pytest.raises(StriateError, match=message):
        registry.lookup("", name, version).kernel(np, *map(_array, inputs), **attributes)


def _array(x: Any) -> np.ndarray | None:
    return None if x is None else np.asarray(x)
