"""Normalisation by groups of channels and by norms against float64, with tails, special values and guard pages."""

from __future__ import annotations

import numpy as np
import pytest

from striate.runtime.engines.native.kernels.norms import group_norm_steps, lp_norm_steps
from striate.runtime.engines.native.layouts import Plain
from striate.runtime.engines.native.program import call

from .guard import guarded, posix, survives
from .test_rows import LANES, SHAPES, normal, walk

GROUPED = (((1, 4, 1), 2), ((2, 6, 5), 3), ((3, 8, 4, 5), 2), ((2, 3, 17), 3), ((1, 2, 70, 9), 1), ((5, 4, 1, 1), 1))


@pytest.mark.parametrize(("shape", "groups"), GROUPED)
@pytest.mark.parametrize("lanes", LANES)
def test_group_norm(shape: tuple[int, ...], groups: int, lanes: int) -> None:
    x = normal(shape) + 5
    scale, bias = normal(shape[1:2], 1), normal(shape[1:2], 2)
    rows = x.astype(np.float64).reshape(shape[0], groups, -1)
    centred = rows - rows.mean(axis=2, keepdims=True)
    want = (centred / np.sqrt((centred**2).mean(axis=2, keepdims=True) + 1e-3)).reshape(shape)
    channels = (-1, *(1,) * (len(shape) - 2))
    want = want * scale.reshape(channels) + bias.reshape(channels)
    y = np.empty_like(x)
    walk(group_norm_steps(Plain(shape), groups, 1e-3, 0, 1, 2, 3, lanes=lanes), x, scale, bias, y, threads=2)
    np.testing.assert_allclose(y, want, rtol=2e-6, atol=1e-5)
    inplace = x.copy()
    walk(group_norm_steps(Plain(shape), groups, 1e-3, 0, 1, 2, 0, lanes=lanes), inplace, scale, bias)
    np.testing.assert_array_equal(inplace, y)


def test_nan_stays_in_its_group() -> None:
    x = normal((2, 6, 5))
    x[1, 2, 0] = np.nan
    y = np.empty_like(x)
    ones = np.ones(6, np.float32)
    walk(group_norm_steps(Plain(x.shape), 3, 1e-5, 0, 1, 1, 2), x, ones, y)
    bad = np.zeros(x.shape, bool)
    bad[1, 2:4] = True
    np.testing.assert_array_equal(np.isnan(y), bad)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("p", [1, 2])
def test_lp_norm(shape: tuple[int, ...], p: int) -> None:
    x = normal(shape)
    for axis in range(len(shape)):
        x[tuple(0 if i != axis else slice(None) for i in range(len(shape)))] = 0
        with np.errstate(invalid="ignore"):
            want = x / np.linalg.norm(x.astype(np.float64), p, axis=axis, keepdims=True)
        for lanes in LANES:
            y = np.empty_like(x)
            walk(lp_norm_steps(Plain(shape), axis, p, 0, 1, lanes=lanes), x, y, threads=2)
            np.testing.assert_allclose(y, np.nan_to_num(want), rtol=1e-6, atol=0)


@posix
@pytest.mark.parametrize("before", [False, True])
def test_nothing_outside_is_touched(before: bool) -> None:
    def work() -> None:
        for lanes in LANES:
            for shape, groups in GROUPED:
                steps = group_norm_steps(Plain(shape), groups, 1e-3, 0, 1, 2, 3, lanes=lanes)
                steps += lp_norm_steps(Plain(shape), 1, 2, 0, 3, lanes=lanes)
                sizes = (np.prod(shape), shape[1], shape[1], np.prod(shape))
                slots = np.array([guarded(4 * int(size), 4, before).ctypes.data for size in sizes], np.int64)
                for step in steps:
                    params = step.table()
                    for task in range(step.tasks):
                        call(step.kernel)(params.ctypes.data, slots.ctypes.data, task)

    assert survives(work)
