"""Pooling of blocked values against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from striate.runtime.engines.native.kernels.pool import pool
from striate.runtime.engines.native.layouts import Blocked
from striate.runtime.engines.native.program import Program, Step, aligned
from striate.runtime.ops import registry


def run(steps: list[Step], buffers: list[np.ndarray], threads: int = 1) -> None:
    program = Program(steps, {}, {}, 0, len(buffers))
    program.run({i: b.ctypes.data for i, b in enumerate(buffers)}, threads)


def filled(layout: Blocked, x: np.ndarray) -> np.ndarray:
    """x in this layout, with rubbish in the frame, which nobody may read."""
    buffer = aligned(layout.nbytes)
    layout.pack(x, buffer)
    inside = layout.array(buffer).copy()
    buffer[:] = 0x7F
    layout.array(buffer)[...] = inside
    return buffer


@pytest.mark.parametrize("seed", range(120))
@pytest.mark.parametrize("lanes", [4, 16])
def test_pool(seed: int, lanes: int) -> None:
    rng = np.random.default_rng(seed)
    k, s, d = (tuple(int(v) for v in rng.integers(1, top, 2)) for top in (5, 4, 3))
    reach = [(a - 1) * b + 1 for a, b in zip(k, d, strict=True)]
    pads = tuple(int(rng.integers(0, r)) for r in (reach[0], reach[1], reach[0], reach[1]))
    shape = (
        *(int(v) for v in rng.integers(1, 4, 1)),
        int(rng.integers(1, 40)),
        *(int(rng.integers(r, r + 9)) for r in reach),
    )
    kind, include = ("max", False) if rng.random() < 0.4 else ("mean", bool(rng.integers(2)))
    x = rng.standard_normal(shape).astype(np.float32) - (1 if kind == "max" else 0)
    attributes = {"kernel_shape": k, "strides": s, "dilations": d, "pads": pads}
    name = "MaxPool" if kind == "max" else "AveragePool"
    if kind == "mean":
        attributes["count_include_pad"] = int(include)
    operator = registry.lookup("", name, 21)
    want = operator(np, x.astype(np.float64), **attributes, **({"n_outputs": 1} if kind == "max" else {}))
    frame = [int(v) for v in rng.integers(0, 3, 4)]
    lx, ly = Blocked(x.shape, lanes, *frame), Blocked(want.shape, lanes, *frame[::-1])
    source, target = filled(lx, x), aligned(ly.nbytes)
    target[:] = 0x55
    step = pool(kind, lx, ly, 0, 1, kernel=k, strides=s, dilations=d, pads=pads, include_pad=include)
    run([step], [source, target], threads=int(rng.integers(1, 4)))
    np.testing.assert_allclose(ly.unpack(target), want, rtol=2e-6, atol=1e-6)
