"""Transposes of plain values and permuted channels against NumPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from striate.runtime.engines.native.kernels.movement import channel_table, permute_channels, transpose
from striate.runtime.engines.native.layouts import Blocked, Plain
from striate.runtime.engines.native.program import aligned

from .test_pool import filled, run


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4), (2, 1, 3, 2), (2, 3, 1, 2, 3)])
def test_transpose(shape: tuple[int, ...], dtype: type) -> None:
    x = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    for perm in itertools.permutations(range(len(shape))):
        y = np.full_like(x.transpose(perm), -1, order="C")
        run([transpose(Plain(shape, np.dtype(dtype)), perm, 0, 1)], [x, y], threads=2)
        np.testing.assert_array_equal(y, x.transpose(perm))


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
