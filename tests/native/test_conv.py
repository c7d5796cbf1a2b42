"""Convolution kernels against sums in float64: every path, every width of registers, to the last byte of memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
import pytest

from striate.runtime.engines.native.kernels import conv
from striate.runtime.engines.native.kernels.conv import Convolution
from striate.runtime.engines.native.kernels.conv_tiles import split_blocks, tiling
from striate.runtime.engines.native.kernels.epilogues import ACTIVATIONS, Epilogue
from striate.runtime.engines.native.kernels.frames import frame_step
from striate.runtime.engines.native.layouts import Blocked, Plain
from striate.runtime.engines.native.program import Program, Step, aligned, call
from striate.runtime.ops import registry
from tests.native.guard import guarded, posix, survives

EPS = np.finfo(np.float32).eps
WIDTHS = [(4, 32), (8, 16), (16, 32)]
"""Lanes and registers: NEON, AVX2, AVX-512."""


def run_steps(
    steps: list[Step], buffers: dict[str, np.ndarray], slots: dict[str, int], backwards: bool = False
) -> None:
    """All tasks, one after the other, in either direction."""
    addresses = np.zeros(len(slots), np.int64)
    for name, slot in slots.items():
        addresses[slot] = buffers[name].ctypes.data
    for step in steps:
        kernel, table = call(step.kernel), step.table()
        for task in reversed(range(step.tasks)) if backwards else range(step.tasks):
            kernel(table.ctypes.data, addresses.ctypes.data, task)


def exact(x, W, B, p: Convolution) -> np.ndarray:
    """The sums of the definition, in the precision of x."""
    (top, left, bottom, right), (r, s), (dh, dw), (sh, sw) = p.pads, p.kernel, p.dilations, p.strides
    _, _, height, width = p.y.shape
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    y = np.zeros(p.y.shape, x.dtype)
    for i, j in product(range(r), range(s)):
        seen = padded[:, :, i * dh :, j * dw :][:, :, : (height - 1) * sh + 1 : sh, : (width - 1) * sw + 1 : sw]
        seen = seen.reshape(len(x), p.groups, p.inputs, height, width)
        some = W[:, :, i, j].reshape(p.groups, p.outputs, p.inputs)
        y += np.einsum("ngchw,gmc->ngmhw", seen, some).reshape(y.shape)
    return y if B is None else y + B[:, None, None]


class Case:
    """A convolution with values."""

    def __init__(
        self,
        x: Sequence[int],
        m: int,
        kernel=(1, 1),
        lanes=16,
        registers=0,
        plain=False,
        y_frame=(0, 0, 0, 0),
        wider=(0, 0, 0, 0),
        bias=True,
        epilogue: Epilogue | None = None,
        r_frame=(0, 0, 0, 0),
        seed=0,
        **attributes,
    ) -> None:
        rng = np.random.default_rng(seed)
        one = Convolution(
            Plain(tuple(x)), self._layout(x, m, kernel, lanes, **attributes), kernel, registers=registers, **attributes
        )
        p = replace(one, y=one.y.framed(*y_frame))
        if not plain:
            p = p.with_x(Blocked(tuple(x), lanes).framed(*conv.frame_needed(p)).framed(*wider))
        self.problem, self.epilogue = p, epilogue or Epilogue()
        self.x = rng.standard_normal(x).astype(np.float32)
        self.W = rng.standard_normal((m, x[1] // p.groups, *kernel)).astype(np.float32)
        self.B = rng.standard_normal(m).astype(np.float32) if bias else None
        self.r_layout = Blocked(p.y.shape, lanes).framed(*r_frame) if self.epilogue.residual else None
        self.residual = rng.standard_normal(p.y.shape).astype(np.float32)

    @staticmethod
    def _layout(x, m, kernel, lanes, strides=(1, 1), dilations=(1, 1), pads=(0, 0, 0, 0), groups=1) -> Blocked:
        size = [
            (n + pads[i] + pads[i + 2] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1
            for i, n in enumerate(x[2:])
        ]
        return Blocked((x[0], m, *size), lanes)

    def steps(self) -> tuple[list[Step], dict[str, np.ndarray], dict[str, int]]:
        """With buffers for all slots, y and scratch full of NaN."""
        p = self.problem
        buffers = conv.pack(p, self.W, self.B, self.r_layout)
        if isinstance(p.x, Plain):
            buffers["x"] = self.x
        else:
            buffers["x"] = aligned(p.x.nbytes)
            p.x.pack(self.x, buffers["x"])
        scratch = conv.scratch(p)
        if scratch is not None:
            buffers["scratch"] = aligned(scratch.nbytes)
            buffers["scratch"][:] = 255
        if self.r_layout is not None:
            buffers["residual"] = aligned(self.r_layout.nbytes)
            self.r_layout.pack(self.residual, buffers["residual"])
        buffers["y"] = aligned(p.y.nbytes)
        buffers["y"][:] = 255
        slots = {name: i for i, name in enumerate(buffers)}
        return conv.steps(p, slots, self.epilogue, self.r_layout), buffers, slots

    def run(self, **how) -> np.ndarray:
        """y [N, M, OH, OW]; its frame and the lanes beyond M are seen to be zero."""
        steps, buffers, slots = self.steps()
        run_steps(steps, buffers, slots, **how)
        y = self.problem.y.unpack(buffers["y"])
        whole = aligned(self.problem.y.nbytes)
        self.problem.y.pack(y, whole)
        np.testing.assert_array_equal(buffers["y"].view(np.float32), whole.view(np.float32))
        return y

    def exact(self) -> np.ndarray:
        """Before the epilogue."""
        return exact(self.x.astype(np.float64), self.W, self.B, self.problem)

    def limit(self) -> np.ndarray:
        """Of the error: four times what the NumPy kernel has, or two roundings of the sum of all sizes."""
        p = self.problem
        op = registry.lookup("", "Conv", 21)
        attributes = {"strides": p.strides, "dilations": p.dilations, "pads": p.pads, "group": p.groups}
        theirs = op(np, self.x, self.W, self.B, **attributes)
        sizes = exact(abs(self.x), abs(self.W), None if self.B is None else abs(self.B), p)
        return np.maximum(4 * abs(theirs - self.exact()).max(initial=0), 2 * EPS * sizes)

    def check(self) -> None:
        assert conv.supports(self.problem)
        error = abs(self.run() - self.exact())
        assert (error <= self.limit()).all(), f"error {error.max()} for {self.problem}"


def random_case(seed: int, lanes: int, registers: int) -> Case:
    """Small sizes, all attributes; half of the cases have groups, a fifth are plain."""
    rng = np.random.default_rng(seed)
    pick = lambda *choices: choices[rng.integers(len(choices))]  # noqa: E731
    plain = rng.random() < 0.2
    groups = pick(1, 1, 2, 3, lanes, 2 * lanes + 1)
    inputs = pick(1, 2, 3, 4) if plain or groups > 3 else pick(1, 3, lanes, lanes + 2, 2 * lanes)
    outputs = pick(1, 2, 4, 5) if groups > 3 else pick(1, 5, lanes, 3 * lanes, 5 * lanes - 1)
    kernel = tuple(int(n) for n in pick((1, 1), (1, 1), (3, 3), (3, 3), (5, 2), (1, 7), (2, 9), (11, 1)))
    dilations = tuple(int(n) for n in rng.choice([1, 1, 2, 3], 2))
    least = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    size = [int(rng.integers(1, 40)) if kernel == (1, 1) else int(rng.integers(1, 20)) for _ in range(2)]
    pads = [int(rng.integers(0, k)) if rng.random() < 0.6 else 0 for k in (*kernel, *kernel)]
    for i in range(2):
        pads[i] += max(0, least[i] - size[i] - pads[i] - pads[i + 2])
    return Case(
        (pick(1, 1, 2), groups * inputs, *size),
        groups * outputs,
        kernel,
        lanes,
        registers,
        plain=plain,
        bias=rng.random() < 0.7,
        y_frame=pick((0, 0, 0, 0), (1, 2, 3, 0)),
        wider=pick((0, 0, 0, 0), (2, 1, 0, 3)),
        strides=tuple(int(n) for n in rng.choice([1, 1, 2, 3], 2)),
        dilations=dilations,
        pads=tuple(pads),
        groups=groups,
        seed=seed,
    )


@pytest.mark.parametrize(("lanes", "registers"), WIDTHS)
@pytest.mark.parametrize("seed", range(50))
def test_any_geometry(seed: int, lanes: int, registers: int) -> None:
    random_case(seed, lanes, registers).check()


LAYERS = {
    "one pixel": partial(Case, (1, 1, 1, 1), 1),
    "one pixel in a frame": partial(Case, (1, 1, 1, 1), 1, (3, 3), pads=(1, 1, 1, 1)),
    "one pixel, many channels": partial(Case, (1, 70, 1, 1), 200),
    "one column": partial(Case, (1, 16, 33, 1), 32, (3, 1), pads=(1, 0, 1, 0)),
    "one row": partial(Case, (2, 16, 1, 50), 32, (1, 3), pads=(0, 1, 0, 1), y_frame=(0, 3, 0, 1)),
    "long row in pieces": partial(Case, (1, 16, 1, 20000), 20, (1, 3), pads=(0, 1, 0, 1), y_frame=(1, 2, 1, 3)),
    "LeNet-5": partial(Case, (2, 1, 28, 28), 6, (5, 5), plain=True, pads=(2, 2, 2, 2)),
    "LeNet-5, second layer": partial(Case, (2, 6, 14, 14), 16, (5, 5)),
    "7×7 of stride 2": partial(Case, (1, 3, 45, 38), 64, (7, 7), plain=True, strides=(2, 2), pads=(3, 3, 3, 3)),
    "11×11 of stride 4": partial(Case, (1, 3, 61, 61), 48, (11, 11), plain=True, strides=(4, 4), pads=(2, 2, 2, 2)),
    "3×3 of stride 2": partial(Case, (1, 3, 32, 33), 24, (3, 3), plain=True, strides=(2, 2), pads=(0, 0, 1, 1)),
    "divided taps": partial(Case, (1, 520, 7, 7), 80, (3, 3), pads=(1, 1, 1, 1)),
    "divided taps, many chunks": partial(Case, (1, 1040, 30, 29), 32, (3, 3), pads=(1, 1, 1, 1)),
    "wide depthwise kernel": partial(Case, (1, 20, 20, 20), 20, (3, 13), pads=(1, 6, 1, 6), groups=20),
    "depthwise, stride 2, dilated": partial(
        Case, (2, 40, 21, 20), 40, (3, 3), pads=(2, 2, 2, 2), strides=(2, 2), dilations=(2, 2), groups=40
    ),
    "depthwise, two of each": partial(Case, (1, 24, 9, 40), 48, (3, 3), pads=(1, 1, 1, 1), groups=24),
    "depthwise, three of each": partial(Case, (1, 24, 9, 10), 72, (3, 3), pads=(1, 1, 1, 1), groups=24),
    "groups of 4": partial(Case, (1, 64, 10, 10), 64, (3, 3), pads=(1, 1, 1, 1), groups=16),
    "groups of 32": partial(Case, (1, 96, 10, 10), 96, (3, 3), pads=(1, 1, 1, 1), groups=3),
    "groups of 68": partial(Case, (1, 272, 6, 5), 272, groups=4, y_frame=(1, 1, 1, 1)),
}


@pytest.mark.parametrize(("lanes", "registers"), WIDTHS)
@pytest.mark.parametrize("name", LAYERS)
def test_layer(name: str, lanes: int, registers: int) -> None:
    LAYERS[name](lanes=lanes, registers=registers).check()


SHAPES = {
    "direct": partial(Case, (1, 20, 9, 9), 37, (3, 3), pads=(1, 1, 1, 1)),
    "narrow": partial(Case, (1, 16, 5, 3), 37),
    "divided": partial(Case, (1, 2064, 5, 9), 40, (3, 3), pads=(1, 1, 1, 1)),
    "own lanes": partial(Case, (1, 40, 9, 9), 30, (3, 3), pads=(1, 1, 1, 1), groups=2),
    "depthwise": partial(Case, (1, 20, 9, 9), 20, (3, 3), pads=(1, 1, 1, 1), groups=20),
    "plain": partial(Case, (1, 3, 20, 20), 20, (3, 3), plain=True, pads=(1, 1, 1, 1)),
}
CONSTANTS = {"clip": (0.5, 6.0), "leaky_relu": (0.1,), "hard_sigmoid": (0.2, 0.5), "elu": (1.5,)}
WANT = {
    "none": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "clip": np.clip,
    "leaky_relu": lambda x, alpha: np.where(x < 0, alpha * x, x),
    "hard_sigmoid": lambda x, alpha, beta: np.clip(alpha * x + beta, 0, 1),
    "hard_swish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "swish": lambda x: x / (1 + np.exp(-x)),
    "elu": lambda x, alpha: np.where(x < 0, alpha * np.expm1(x), x),
    "softplus": lambda x: np.logaddexp(x, 0),
    "mish": lambda x: x * np.tanh(np.logaddexp(x, 0)),
    "gelu_tanh": lambda x: x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
}


def erf(x: np.ndarray) -> np.ndarray:
    """By the integral of its derivative, Gauss's rule with 60 points."""
    points, weights = np.polynomial.legendre.leggauss(60)
    x = np.clip(x, -6, 6)[..., None]
    return (np.exp(-((x * (points + 1) / 2) ** 2)) * weights * x).sum(-1) / np.sqrt(np.pi)


WANT["gelu"] = lambda x: x / 2 * (1 + erf(x / np.sqrt(2)))


@pytest.mark.parametrize("shape", ["direct", "divided", "own lanes", "depthwise"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activation(activation: str, shape: str) -> None:
    constants = CONSTANTS.get(activation, ())
    check_epilogue(SHAPES[shape](epilogue=Epilogue(activation, constants)), constants)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_residual(activation: str, when: str, shape: str) -> None:
    epilogue = Epilogue(activation, (), when)
    check_epilogue(SHAPES[shape](epilogue=epilogue, y_frame=(1, 1, 1, 1), r_frame=(0, 2, 1, 0)), ())


def test_a_residual_with_a_frame_where_the_others_have_none() -> None:
    check_epilogue(Case((1, 32, 6, 5), 32, epilogue=Epilogue("relu", (), "before"), r_frame=(1, 1, 1, 1)), ())


def check_epilogue(case: Case, constants: tuple[float, ...]) -> None:
    e, x = case.epilogue, case.exact()
    x = x + case.residual if e.residual == "before" else x
    want = WANT[e.activation](x, *constants)
    want = want + case.residual if e.residual == "after" else want
    slack = 4 * EPS * (abs(want) + abs(case.residual) * bool(e.residual) + abs(x)) + 1e-30
    assert (abs(case.run() - want) <= 2 * case.limit() + slack).all()


def test_wrong_constants_are_refused() -> None:
    with pytest.raises(ValueError, match="leaky_relu takes 1 constants, not 0"):
        Epilogue("leaky_relu")


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nan_goes_through(activation: str) -> None:
    """To the channels and places that see it, and to no others."""
    case = SHAPES["direct"](epilogue=Epilogue(activation, CONSTANTS.get(activation, ())))
    case.x[0, 3, 4, 4] = np.nan
    y = case.run()
    assert np.isnan(y[:, :, 3:6, 3:6]).all()
    y[:, :, 3:6, 3:6] = 0
    assert np.isfinite(y).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_infinity_stays_within_its_group(shape: str) -> None:
    """Lanes beyond the last channel are zero although infinity times their weights, zero, is NaN."""
    case = SHAPES[shape]()
    case.x[0, 0, 2, 2] = np.inf
    with np.errstate(invalid="ignore"):
        want = case.exact()
    y = case.run()
    np.testing.assert_array_equal(np.isfinite(y), np.isfinite(want))
    np.testing.assert_array_equal(y[np.isinf(want)], want[np.isinf(want)])


@pytest.mark.parametrize("shape", SHAPES)
def test_the_order_of_tasks_does_not_matter(shape: str) -> None:
    case = SHAPES[shape](y_frame=(1, 1, 1, 1))
    np.testing.assert_array_equal(case.run(), case.run(backwards=True))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_do_not_matter(shape: str, threads: int) -> None:
    case = SHAPES[shape]()
    steps, buffers, slots = case.steps()
    program = Program(steps, {}, {}, 0, len(slots))
    program.run({slot: buffers[name].ctypes.data for name, slot in slots.items()}, threads)
    np.testing.assert_array_equal(case.problem.y.unpack(buffers["y"]), case.run())


def test_big_work_is_divided() -> None:
    steps, _, _ = Case((1, 64, 56, 56), 64, (3, 3), pads=(1, 1, 1, 1)).steps()
    assert 16 <= sum(step.tasks for step in steps) <= 256


def test_an_empty_batch_takes_no_steps() -> None:
    assert Case((0, 16, 5, 5), 16).steps()[0] == []


def test_a_plain_image_may_lie_anywhere() -> None:
    case = SHAPES["plain"]()
    want = case.run()
    odd = np.empty(case.x.nbytes + 4, np.uint8)[4:].view(np.float32).reshape(case.x.shape)
    odd[:] = case.x
    case.x = odd
    np.testing.assert_array_equal(case.run(), want)


def test_what_is_not_supported() -> None:
    p = Case((1, 16, 9, 9), 16, (3, 3), pads=(1, 1, 1, 1)).problem
    assert conv.frame_needed(p) == (1, 1, 1, 1)
    assert not conv.supports(p.with_x(Blocked((1, 16, 9, 9), 16, 1, 1, 1, 0)))
    assert not conv.supports(p.with_x(Blocked((1, 16, 9, 9), 8, 1, 1, 1, 1)))
    assert not conv.supports(p.with_x(Plain((1, 16, 9, 9), np.dtype(np.float64))))
    with pytest.raises(ValueError, match=r"gives \(1, 16, 9, 9\)"):
        replace(p, y=Blocked((1, 16, 8, 9), 16))


def test_the_frame_is_no_wider_than_what_is_read() -> None:
    p = Case((1, 16, 10, 9), 16, (3, 3), pads=(1, 1, 1, 1), strides=(2, 2)).problem
    assert conv.frame_needed(p) == (1, 1, 0, 1)


@pytest.mark.parametrize(
    ("height", "width", "blocks", "registers"),
    [*product((1, 7, 30), (1, 6, 7, 15, 57), (1, 2, 3), (16, 32))],
)
def test_tiles_cover_and_fit(height: int, width: int, blocks: int, registers: int) -> None:
    t = tiling(height, width, blocks, registers)
    assert t.rows * t.columns * blocks + blocks < registers
    assert height % t.rows == t.last_rows
    assert width % t.columns == t.last_columns
    assert sum(split_blocks(11, height, width, 100, 64, registers)) == 11


@posix
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("name", [*SHAPES, *LAYERS])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_nothing_beside_the_buffers_is_touched(name: str, before: bool) -> None:
    case = (SHAPES | LAYERS)[name](lanes=4 if before else 16)
    steps, buffers, slots = case.steps()
    moved = {}
    for key, old in buffers.items():
        align = 4 if key == "x" and isinstance(case.problem.x, Plain) else 4 * case.problem.lanes
        new = guarded(old.nbytes, align, before)
        new[:] = old.reshape(-1).view(np.uint8)
        moved[key] = new
    for step in steps:
        call(step.kernel)
    assert survives(lambda: run_steps(steps, moved, slots))


@posix
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_the_guard_notices(before: bool) -> None:
    buffer = guarded(64, 64, before)
    beside = np.lib.stride_tricks.as_strided(buffer, (2,), (-1 if before else 64,))
    assert survives(lambda: buffer.fill(0))
    assert not survives(lambda: beside.fill(0))


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_a_frame_is_zeroed(lanes: int) -> None:
    layout = Blocked((2, 20, 3, 4), lanes, 2, 1, 0, 3)
    x = np.random.default_rng(0).standard_normal(layout.shape).astype(np.float32)
    want, buffer = aligned(layout.nbytes), aligned(layout.nbytes)
    layout.pack(x, want)
    buffer[:] = 255
    layout.array(buffer)[...] = layout.array(want)
    run_steps([frame_step(layout, 0)], {"y": buffer}, {"y": 0})
    np.testing.assert_array_equal(buffer, want)
