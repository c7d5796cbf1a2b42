"""Convolution by parts of rows against sums in float64: every tile, every width of registers, pooled and not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial, reduce
from itertools import product

import numpy as np
import pytest

from striate.runtime.engines.native.kernels import conv, conv_wide
from striate.runtime.engines.native.kernels.conv import Convolution
from striate.runtime.engines.native.kernels.conv_tiles import wide_tiling
from striate.runtime.engines.native.kernels.conv_wide import Pooling, Wide
from striate.runtime.engines.native.kernels.epilogues import ACTIVATIONS, Epilogue
from striate.runtime.engines.native.layouts import Blocked, Plain
from striate.runtime.engines.native.program import Program, Step, aligned, call
from tests.native.guard import guarded, posix, survives
from tests.native.test_conv import CONSTANTS, EPS, WANT, WIDTHS, exact, run_steps

POOLS: tuple[Pooling, ...] = ("", "max", "mean")


class Case:
    """A convolution with values."""

    def __init__(
        self,
        x: Sequence[int],
        m: int,
        kernel: tuple[int, int] = (3, 3),
        lanes: int = 16,
        registers: int = 0,
        pool: Pooling = "",
        bias: bool = True,
        epilogue: Epilogue | None = None,
        after: Epilogue | None = None,
        dilations: tuple[int, int] = (1, 1),
        pads: tuple[int, int, int, int] = (0, 0, 0, 0),
        seed: int = 0,
    ) -> None:
        rng = np.random.default_rng(seed)
        out = [n + pads[i] + pads[i + 2] - dilations[i] * (kernel[i] - 1) for i, n in enumerate(x[2:])]
        y = Blocked((x[0], m, out[0], out[1]), 1)
        p = Convolution(Plain(tuple(x)), y, kernel, (1, 1), dilations, pads, registers=registers)
        self.wide = Wide(p, lanes, pool, epilogue or Epilogue(), after or Epilogue())
        self.x = rng.standard_normal(x).astype(np.float32)
        self.W = rng.standard_normal((m, x[1], *kernel)).astype(np.float32)
        self.B = rng.standard_normal(m).astype(np.float32) if bias else None

    def steps(self) -> tuple[list[Step], dict[str, np.ndarray], dict[str, int]]:
        """With buffers for all slots, y and scratch full of NaN."""
        p = self.wide.problem
        buffers = {**conv_wide.pack(self.wide, self.W, self.B), "x": self.x}
        scratch = conv.scratch(p)
        if scratch is not None:
            buffers["scratch"] = aligned(scratch.nbytes)
            buffers["scratch"][:] = 255
        buffers["y"] = np.full(self.wide.result.shape, np.nan, np.float32)
        slots = {name: i for i, name in enumerate(buffers)}
        return conv_wide.steps(self.wide, slots), buffers, slots

    def run(self, backwards: bool = False) -> np.ndarray:
        steps, buffers, slots = self.steps()
        run_steps(steps, buffers, slots, backwards)
        return buffers["y"]

    def sums(self) -> np.ndarray:
        return exact(self.x.astype(np.float64), self.W, self.B, self.wide.problem)

    def sizes(self) -> np.ndarray:
        """Sums of absolute values, with which the errors of sums are compared."""
        return exact(abs(self.x), abs(self.W), None if self.B is None else abs(self.B), self.wide.problem)

    def want(self, sums: np.ndarray | None = None) -> np.ndarray:
        """What the definition says, of these sums."""
        done = self._activated(self.wide.epilogue, self.sums() if sums is None else sums)
        return self._activated(self.wide.after, self.pooled(done))

    def _activated(self, epilogue: Epilogue, x: np.ndarray) -> np.ndarray:
        return WANT[epilogue.activation](x, *epilogue.constants)

    def pooled(self, y: np.ndarray) -> np.ndarray:
        if not self.wide.pool:
            return y
        n, m, h, w = y.shape
        windows = y[:, :, : h // 2 * 2, : w // 2 * 2].reshape(n, m, h // 2, 2, w // 2, 2)
        return windows.max((3, 5)) if self.wide.pool == "max" else windows.mean((3, 5))

    def check(self) -> None:
        """Activations here have slopes of little more than 1, so the error of a result is that of its sums."""
        y, want, sizes = self.run(), self.want(), self.sizes()
        _, _, height, width = want.shape
        step = 2 if self.wide.pool else 1
        sizes = reduce(
            np.maximum, [sizes[:, :, i::step, j::step][:, :, :height, :width] for i, j in np.ndindex(step, step)]
        )
        limit = 2 * EPS * (sizes + abs(want)) + 1e-30
        error = abs(y - want)
        assert y.shape == self.wide.result.shape
        assert (error <= limit).all(), f"{(error / limit).max()} times the limit for {self.wide}"


def random_case(seed: int, lanes: int, registers: int) -> Case:
    """Small sizes, all attributes, rows shorter than a register and much longer ones."""
    rng = np.random.default_rng(seed)
    pick = lambda *choices: choices[rng.integers(len(choices))]  # noqa: E731
    pool = pick(*POOLS)
    kernel = pick((1, 1), (2, 2), (3, 3), (5, 5), (1, 7), (4, 1))
    dilations = tuple(int(n) for n in rng.choice([1, 1, 2, 3], 2))
    pads = [int(rng.integers(0, k + 1)) if rng.random() < 0.5 else 0 for k in (*kernel, *kernel)]
    least = 2 if pool else 1
    size = []
    for i in range(2):
        out = pick(least, int(rng.integers(least, 3 * lanes)), int(rng.integers(least, 9)))
        need = out + dilations[i] * (kernel[i] - 1) - pads[i] - pads[i + 2]
        size.append(max(1, need))
    return Case(
        (pick(1, 1, 2, 3), pick(1, 1, 2, 3, 20), *size),
        pick(1, 2, 3, 5, 6, 7, 8, 11, 13, 37),
        kernel,
        lanes,
        registers,
        pool,
        rng.random() < 0.7,
        Epilogue(pick("none", "relu", "tanh")),
        Epilogue(pick("none", "relu", "sigmoid") if pool else "none"),
        dilations,
        tuple(pads),
        seed,
    )


@pytest.mark.parametrize(("lanes", "registers"), WIDTHS)
@pytest.mark.parametrize("seed", range(50))
def test_any_geometry(seed: int, lanes: int, registers: int) -> None:
    random_case(seed, lanes, registers).check()


LAYERS = {
    "LeNet-5": partial(Case, (2, 1, 32, 32), 6, (5, 5), pool="mean", epilogue=Epilogue("relu")),
    "LeNet-5, padded": partial(Case, (3, 1, 28, 28), 6, (5, 5), pool="max", pads=(2, 2, 2, 2)),
    "odd, pooled": partial(Case, (1, 3, 21, 37), 5, pool="max"),
    "odd, not pooled": partial(Case, (1, 3, 21, 37), 5),
    "a window": partial(Case, (1, 2, 4, 4), 3, pool="mean"),
    "a window, cut": partial(Case, (1, 2, 5, 5), 3, pool="max"),
    "a pixel": partial(Case, (1, 1, 3, 3), 1),
    "one row": partial(Case, (2, 3, 1, 50), 4, (1, 5)),
    "one column": partial(Case, (2, 3, 50, 1), 4, (5, 1)),
    "exactly a register": partial(Case, (1, 1, 18, 18), 6, pool="mean"),
    "one more than a register": partial(Case, (1, 1, 19, 19), 6),
    "many channels": partial(Case, (1, 30, 20, 20), 3, pads=(1, 1, 1, 1)),
    "groups of channels overlap": partial(Case, (1, 1, 20, 40), 41),
    "dilated": partial(Case, (1, 2, 30, 30), 6, dilations=(2, 3), pads=(0, 3, 1, 0), pool="mean"),
    "big": partial(Case, (1, 3, 120, 130), 8, pads=(1, 1, 1, 1), pool="max"),
}


@pytest.mark.parametrize(("lanes", "registers"), WIDTHS)
@pytest.mark.parametrize("name", LAYERS)
def test_layer(name: str, lanes: int, registers: int) -> None:
    LAYERS[name](lanes=lanes, registers=registers).check()


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activation(activation: str, pool: Pooling) -> None:
    epilogue = Epilogue(activation, CONSTANTS.get(activation, ()))
    Case((2, 2, 9, 36), 5, pool=pool, epilogue=epilogue).check()
    if pool:
        Case((2, 2, 9, 36), 5, pool=pool, after=epilogue).check()


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nan_goes_through(activation: str, pool: Pooling) -> None:
    """To all channels of the places that see it, and to no others."""
    epilogue = Epilogue(activation, CONSTANTS.get(activation, ()))
    for which in ("epilogue", "after") if pool else ("epilogue",):
        case = Case((2, 2, 14, 40), 5, pool=pool, **{which: epilogue})
        for column in (5, 23, 24):
            case.x[0, 1, 6, column] = np.nan
        y, where = case.run(), np.isnan(case.sums())
        assert where.any()
        np.testing.assert_array_equal(np.isnan(y), case.pooled(where.astype(np.float32)) > 0)


@pytest.mark.parametrize("pool", POOLS)
def test_infinity(pool: Pooling) -> None:
    case = Case((1, 2, 14, 40), 5, pool=pool)
    case.x[0, 0, 6, 5] = np.inf
    case.x[0, 1, 3, 33] = -np.inf
    with np.errstate(invalid="ignore"):
        want, y = case.want(), case.run()
    assert np.isinf(want).any()
    np.testing.assert_array_equal(np.isfinite(y), np.isfinite(want))
    np.testing.assert_array_equal(y[np.isinf(want)], want[np.isinf(want)])


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_neither_order_nor_threads_matter(name: str, threads: int) -> None:
    case = LAYERS[name]()
    steps, buffers, slots = case.steps()
    program = Program(steps, {}, {}, 0, len(slots))
    program.run({slot: buffers[key].ctypes.data for key, slot in slots.items()}, threads)
    np.testing.assert_array_equal(buffers["y"], case.run(backwards=True))


@pytest.mark.parametrize("pool", POOLS)
def test_tasks_write_apart(pool: Pooling) -> None:
    """Every number is written by one task."""
    case = Case((2, 3, 77, 60), 5, (5, 5), pool=pool)
    ((step,), buffers, slots) = case.steps()
    assert step.tasks > 2 * 2
    addresses = np.array([buffers[name].ctypes.data for name in slots], np.int64)
    kernel, table = call(step.kernel), step.table()
    times = np.zeros(case.wide.result.shape, int)
    for task in range(step.tasks):
        buffers["y"][:] = np.nan
        kernel(table.ctypes.data, addresses.ctypes.data, task)
        times += ~np.isnan(buffers["y"])
    assert (times == 1).all()


def test_big_batches_are_divided() -> None:
    ((step,), _, _) = Case((64, 1, 32, 32), 6, (5, 5), pool="mean").steps()
    assert step.tasks == 64


@pytest.mark.parametrize("pool", POOLS)
def test_an_empty_batch_takes_no_steps(pool: Pooling) -> None:
    assert Case((0, 1, 9, 9), 4, pool=pool).steps()[0] == []


def test_images_may_lie_anywhere() -> None:
    case = LAYERS["LeNet-5"]()
    want = case.run()
    odd = np.empty(case.x.nbytes + 4, np.uint8)[4:].view(np.float32).reshape(case.x.shape)
    odd[:] = case.x
    case.x = odd
    np.testing.assert_array_equal(case.run(), want)


@pytest.mark.parametrize(
    ("height", "pieces", "channels", "registers", "pooled"),
    [*product((2, 4, 14, 30), (1, 2, 3, 7), (1, 6, 23), (16, 32), (False, True))],
)
def test_tiles_fit(height: int, pieces: int, channels: int, registers: int, pooled: bool) -> None:
    t = wide_tiling(height, pieces, channels, 25, registers, pooled)
    assert t.rows * t.columns * (t.blocks + 1) < registers
    assert (height % t.rows, pieces % t.columns) == (t.last_rows, t.last_columns)
    assert t.blocks <= channels
    assert not pooled or (t.rows % 2, t.last_rows % 2) == (0, 0)


def test_what_suits() -> None:
    def suits(*where, lanes: int = 16, **attributes) -> bool:
        return conv_wide.suits(Case(*where, lanes=lanes, **attributes).wide.problem, lanes)

    assert suits((1, 1, 32, 32), 6, (5, 5))
    assert suits((1, 1, 16, 16), 6, (5, 5))
    assert not suits((1, 6, 14, 14), 16, (5, 5))
    assert not suits((1, 3, 32, 32), 64)
    assert not suits((1, 3, 32, 32), 6, (1, 1))
    assert not suits((1, 1, 32, 32), 6, (5, 5), lanes=1)
    p = Case((1, 2, 33, 33), 6).wide.problem
    assert conv_wide.suits(p, 16)
    assert not conv_wide.suits(replace(p, groups=2), 16)
    assert not conv_wide.suits(replace(p, y=Blocked((1, 6, 16, 16), 1), strides=(2, 2)), 16)


@posix
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_nothing_beside_the_buffers_is_touched(name: str, before: bool) -> None:
    for lanes in (4, 16):
        case = LAYERS[name](lanes=lanes)
        steps, buffers, slots = case.steps()
        moved = {}
        for key, old in buffers.items():
            new = guarded(old.nbytes, 8 if key == "table" else 4, before)
            new[:] = old.reshape(-1).view(np.uint8)
            moved[key] = new
        for step in steps:
            call(step.kernel)
        assert survives(lambda steps=steps, moved=moved, slots=slots: run_steps(steps, moved, slots))
