"""Places of extrema against NumPy: ties, NaN, tails, guard pages."""

from __future__ import annotations

import numpy as np
import pytest

from striate.runtime.engines.native.kernels.places import place_steps
from striate.runtime.engines.native.layouts import Plain
from striate.runtime.engines.native.program import call

from .guard import guarded, posix, survives
from .test_rows import LANES, SHAPES, walk


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("smallest", [False, True])
@pytest.mark.parametrize("last", [False, True])
def test_places(shape: tuple[int, ...], smallest: bool, last: bool) -> None:
    rng = np.random.default_rng(len(shape))
    find = np.argmin if smallest else np.argmax
    for top in (3, 1000):
        x = rng.integers(-top, top, shape).astype(np.float32)
        if top == 1000:
            x[rng.random(shape) < 0.05] = np.nan
            x[rng.random(shape) < 0.05] = rng.choice([-np.inf, np.inf])
        for axis in range(len(shape)):
            want = shape[axis] - 1 - find(np.flip(x, axis), axis) if last else find(x, axis)
            for lanes in LANES:
                y = np.full(want.shape, -1, np.int64)
                steps = place_steps(Plain(shape), axis, 0, 1, smallest=smallest, last=last, lanes=lanes)
                walk(steps, x, y, threads=2)
                np.testing.assert_array_equal(y, want)


@posix
@pytest.mark.parametrize("before", [False, True])
def test_nothing_outside_is_touched(before: bool) -> None:
    def work() -> None:
        for shape in SHAPES:
            for axis in range(len(shape)):
                places = int(np.prod(shape)) // shape[axis]
                for lanes in LANES:
                    (step,) = place_steps(Plain(shape), axis, 0, 1, lanes=lanes)
                    sizes = (4 * int(np.prod(shape)), 8 * places)
                    slots = np.array([guarded(n, a, before).ctypes.data for n, a in zip(sizes, (4, 8), strict=True)])
                    params = step.table()
                    for task in range(step.tasks):
                        call(step.kernel)(params.ctypes.data, slots.ctypes.data, task)

    assert survives(work)
