"""Runs taken by index against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from striate.runtime.engines.native.kernels.movement import take

from .test_pool import run


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.int64])
@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4), (2, 1, 3, 2), (3, 500, 3), (2, 7, 9001)])
def test_take(shape: tuple[int, ...], dtype: type) -> None:
    """Also more runs than one task has, and runs of one element."""
    rng = np.random.default_rng(len(shape))
    x = rng.integers(0, 100, shape).astype(dtype)
    for axis, size in enumerate(shape):
        for count in (1, 4, 70):
            order = rng.integers(0, size, count)
            want = x.take(order, axis)
            y = np.full_like(want, 101)
            inner = int(np.prod(shape[axis + 1 :])) * x.itemsize
            outer = int(np.prod(shape[:axis]))
            run([take(outer, size * inner, count, inner, 0, 1, 2)], [x, y, order * inner], threads=2)
            np.testing.assert_array_equal(y, want)
