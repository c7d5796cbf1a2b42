"""Pooling of blocked values against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from striate.runtime.engines.native.kernels.pool import pool
from striate.runtime.engines.native.layouts import Blocked
from striate.runtime.engines.native.program import Program, Step, aligned
from striate.runtime.ops import registry

from .guard import guarded, posix, survives


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


USUAL = (
    # form, kernel, strides, pads
    ("near", (3, 3), (1, 1), (1, 1, 1, 1)),
    ("near", (3, 3), (2, 2), (0, 0, 1, 1)),
    ("near", (3, 2), (3, 1), (2, 1, 0, 1)),
    ("near", (2, 2), (2, 2), (0, 0, 0, 0)),
    ("near", (1, 3), (1, 3), (0, 2, 0, 2)),
    ("any", (5, 5), (2, 1), (2, 2, 2, 2)),
    ("whole", None, (1, 1), (0, 0, 0, 0)),
)
PLANES = ((1, 1), (2, 1), (3, 3), (4, 9), (7, 7), (6, 23))


def pooled(kind: str, x: np.ndarray, kernel: tuple, strides: tuple, pads: tuple) -> np.ndarray:
    """In float64."""
    attributes = {"kernel_shape": kernel, "strides": strides, "pads": pads}
    name = "MaxPool" if kind == "max" else "AveragePool"
    more = {"n_outputs": 1} if kind == "max" else {}
    return registry.lookup("", name, 21)(np, x.astype(np.float64), **attributes, **more)


def fits(plane: tuple[int, int], kernel: tuple, pads: tuple) -> bool:
    return all(plane[i] + pads[i] + pads[2 + i] >= kernel[i] for i in range(2))


@posix
@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("kind", ["max", "mean"])
@pytest.mark.parametrize(("form", "kernel", "strides", "pads"), USUAL)
def test_usual_windows(form: str, kernel: tuple | None, strides: tuple, pads: tuple, kind: str, lanes: int) -> None:
    """Nothing outside of the planes is read, nothing of the result's frame written."""

    def work() -> None:
        for plane in PLANES:
            window = kernel or plane
            if not fits(plane, window, pads):
                continue
            for before in (False, True):
                x = np.random.default_rng(1).standard_normal((2, lanes + 3, *plane)).astype(np.float32) - 1
                want = pooled(kind, x, window, strides, pads)
                lx, ly = Blocked(x.shape, lanes), Blocked(want.shape, lanes, 1, 0, 1, 2)
                source, target = guarded(lx.nbytes, before=before), guarded(ly.nbytes, before=before)
                lx.pack(x, source)
                target[:] = 0x55
                step = pool(kind, lx, ly, 0, 1, kernel=window, strides=strides, pads=pads)
                assert form in step.kernel.name or plane == window
                run([step], [source, target], threads=2)
                np.testing.assert_allclose(ly.unpack(target), want, rtol=1e-6, atol=1e-6)
                frame = np.full(ly.nbytes, 0x55, np.uint8)
                ly.array(frame)[...] = ly.array(target)
                np.testing.assert_array_equal(frame, target)

    assert survives(work)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", ["max", "mean"])
@pytest.mark.parametrize(("form", "kernel", "strides", "pads"), USUAL)
def test_special_values(form: str, kernel: tuple | None, strides: tuple, pads: tuple, kind: str, value: float) -> None:
    """One in each place in turn; a negative NaN too."""
    plane = (5, 7)
    x = np.random.default_rng(0).standard_normal((2, 35, *plane)).astype(np.float32)
    for i in range(35):
        x[0, i, i // 7, i % 7] = value
        x[1, i, i // 7, i % 7] = -value
    if np.isnan(value):
        x[1].view(np.uint32)[np.isnan(x[1])] |= np.uint32(1 << 31)
    want = pooled(kind, x, kernel or plane, strides, pads)
    lx, ly = Blocked(x.shape, 16), Blocked(want.shape, 16)
    source, target = filled(lx, x), aligned(ly.nbytes)
    run([pool(kind, lx, ly, 0, 1, kernel=kernel or plane, strides=strides, pads=pads)], [source, target])
    np.testing.assert_allclose(ly.unpack(target), want, rtol=1e-6, atol=1e-6)


def test_rows_put_together_and_planes_divided() -> None:
    for shape, kernel in (((1, 20, 50, 90), (3, 3)), ((7, 300, 4, 4), (2, 2)), ((3, 300, 6, 6), (6, 6))):
        x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        want = pooled("max", x, kernel, (1, 1), (0, 0, 0, 0))
        lx, ly = Blocked(shape, 16), Blocked(want.shape, 16)
        step = pool("max", lx, ly, 0, 1, kernel=kernel)
        assert 1 < step.tasks < ly.shape[0] * ly.blocks * ly.shape[2]
        source, target = filled(lx, x), aligned(ly.nbytes)
        run([step], [source, target], threads=3)
        np.testing.assert_array_equal(ly.unpack(target), want.astype(np.float32))
