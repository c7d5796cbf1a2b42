"""Blocked pictures resized against the arrays engine in float64: modes, scales, taps, frames, borders of memory."""

from __future__ import annotations

import numpy as np
import pytest

from striate.runtime.engines.native.kernels.resize import Taps, resize
from striate.runtime.engines.native.layouts import Blocked
from striate.runtime.engines.native.program import Program, aligned, call
from striate.runtime.ops._interpolation import Line, table
from striate.runtime.ops.image import _DEFAULTS
from striate.runtime.ops.registry import lookup

from .guard import guarded, posix, survives
from .test_pool import filled

MODES = ("nearest", "linear", "cubic")


def taps(size: int, resized: int, mode: str) -> Taps:
    made = table(Line(size, resized, float(size), float(resized)), **{**_DEFAULTS, "mode": mode})
    return Taps(made.source.T, None if made.weights is None else made.weights.T)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_resize(mode: str, seed: int, lanes: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 3)), int(rng.integers(1, 40)), int(rng.integers(1, 9)), int(rng.integers(1, 9)))
    size = (int(rng.integers(1, 17)), shape[3] if seed % 4 == 0 else int(rng.integers(1, 17)))
    x = rng.standard_normal(shape).astype(np.float32)
    if seed % 3 == 0:
        x[0, 0, 0, 0], x[-1, -1, -1, -1] = np.nan, np.inf
    sizes = np.array([*shape[:2], *size])
    with np.errstate(invalid="ignore"):
        want = lookup("", "Resize", 21)(np, x.astype(np.float64), None, None, sizes, mode=mode)
    rows, columns = (
        Taps(np.arange(b)[:, None]) if a == b else taps(a, b, mode) for a, b in zip(shape[2:], size, strict=True)
    )
    lx, ly = Blocked(shape, lanes, 1, 0, 2, 1), Blocked(want.shape, lanes, 0, 2, 1, 1)
    source, target = filled(lx, x), aligned(ly.nbytes)
    target[:] = 0x55
    frame = target.copy()
    tables = rows.constants("rows", lx.row) | columns.constants("columns", lx.pixel)
    slots = {"x": 0, "y": 1} | {name: i for i, name in enumerate(tables, start=2)}
    program = Program([resize(lx, ly, rows, columns, slots)], {}, {}, 0, len(slots))
    buffers = [source, target, *tables.values()]
    program.run({i: b.ctypes.data for i, b in enumerate(buffers)}, 2)
    np.testing.assert_allclose(ly.unpack(target), want, rtol=1e-5, atol=2e-6)
    beyond = ly.array(target).transpose(0, 1, 4, 2, 3).reshape(shape[0], -1, *size)[:, shape[1] :]
    assert not beyond.any()
    ly.array(frame)[...] = ly.array(target)
    np.testing.assert_array_equal(target, frame)


@posix
@pytest.mark.parametrize("before", [False, True])
def test_nothing_outside_is_touched(before: bool) -> None:
    def work() -> None:
        for mode in MODES:
            lx, ly = Blocked((1, 5, 4, 6), 4), Blocked((1, 5, 7, 3), 4)
            rows, columns = taps(4, 7, mode), taps(6, 3, mode)
            tables = rows.constants("rows", lx.row) | columns.constants("columns", lx.pixel)
            slots = {"x": 0, "y": 1} | {name: i for i, name in enumerate(tables, start=2)}
            step = resize(lx, ly, rows, columns, slots)
            buffers = [guarded(n, 64, before) for n in (lx.nbytes, ly.nbytes, *(t.nbytes for t in tables.values()))]
            for buffer, array in zip(buffers[2:], tables.values(), strict=True):
                buffer[:] = array.reshape(-1).view(np.uint8)
            places, params = np.array([b.ctypes.data for b in buffers], np.int64), step.table()
            for task in range(step.tasks):
                call(step.kernel)(params.ctypes.data, places.ctypes.data, task)

    assert survives(work)
