"""Runs taken by index and permuted channels against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from striate.runtime.engines.native.kernels.movement import channel_table, permute_channels, take
from striate.runtime.engines.native.layouts import Blocked
from striate.runtime.engines.native.program import aligned

from .test_pool import filled, run


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


@pytest.mark.parametrize("channels", [1, 6, 17, 32])
@pytest.mark.parametrize("lanes", [4, 16])
def test_permuted_channels(channels: int, lanes: int) -> None:
    rng = np.random.default_rng(channels)
    x = rng.standard_normal((2, channels, 3, 5)).astype(np.float32)
    order = rng.permutation(channels)
    lx, ly = Blocked(x.shape, lanes, 1, 1, 0, 2), Blocked(x.shape, lanes, 0, 1, 1, 0)
    source, target = filled(lx, x), aligned(ly.nbytes)
    target[:] = 0x55
    run([permute_channels(lx, ly, 0, 1, 2)], [source, target, channel_table(lx, order.tolist())], threads=2)
    np.testing.assert_array_equal(ly.unpack(target), x[:, order])
    beyond = ly.array(target).transpose(0, 1, 4, 2, 3).reshape(2, -1, 3, 5)[:, channels:]
    assert not beyond.any()
