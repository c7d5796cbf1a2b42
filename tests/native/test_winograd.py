"""Winograd's convolution against sums in float64: any geometry, every width of registers, to the last byte."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from striate.runtime.engines.native.host import host
from striate.runtime.engines.native.kernels import winograd
from striate.runtime.engines.native.kernels.conv_problem import Convolution
from striate.runtime.engines.native.kernels.epilogues import Epilogue, Pooling
from striate.runtime.engines.native.kernels.winograd_cost import WAYS, choose, estimate
from striate.runtime.engines.native.kernels.winograd_transforms import matrices
from striate.runtime.engines.native.layouts import Blocked, Plain
from striate.runtime.engines.native.program import Program, Step, aligned, call
from tests.native.guard import guarded, posix, survives

LIMIT = {2: 3e-6, 3: 1e-5, 4: 2e-5}
"""m → the greatest error, as a part of the greatest result."""
WIDTHS = [(4, 32), (8, 16), (16, 32)]
"""Lanes and registers: NEON, AVX2, AVX-512."""
NO_FRAME = (0, 0, 0, 0)
POOLS: tuple[Pooling, ...] = ("", "max", "mean")
Buffers = dict[str, np.ndarray]
Slots = dict[str, int]


def run_steps(steps: list[Step], buffers: Buffers, slots: Slots, backwards: bool = False) -> None:
    """All tasks, one after the other, in either direction."""
    addresses = np.zeros(len(slots), np.int64)
    for name, slot in slots.items():
        addresses[slot] = buffers[name].ctypes.data
    for step in steps:
        kernel, table = call(step.kernel), step.table()
        for task in reversed(range(step.tasks)) if backwards else range(step.tasks):
            kernel(table.ctypes.data, addresses.ctypes.data, task)


def exact(x: np.ndarray, W: np.ndarray, B: np.ndarray | None, pads: Sequence[int]) -> np.ndarray:
    """The sums of the definition in float64."""
    top, left, bottom, right = pads
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (top, bottom), (left, right)))
    height, width = padded.shape[2] - 2, padded.shape[3] - 2
    y = np.zeros((len(x), len(W), height, width))
    for i in range(3):
        for j in range(3):
            seen = padded[:, :, i : i + height, j : j + width]
            y += np.einsum("nchw,mc->nmhw", seen, W[:, :, i, j].astype(np.float64), optimize=True)
    return y if B is None else y + B[:, None, None]


class Case:
    """A convolution with values; x of N, C, H, W."""

    def __init__(
        self,
        x: Sequence[int],
        outputs: int,
        m: int,
        *,
        pads: tuple[int, int, int, int] = (1, 1, 1, 1),
        lanes: int = 16,
        registers: int = 0,
        y_frame: tuple[int, int, int, int] = NO_FRAME,
        r_frame: tuple[int, int, int, int] = NO_FRAME,
        wider: tuple[int, int, int, int] = NO_FRAME,
        bias: bool = True,
        epilogue: Epilogue | None = None,
        pool: Pooling = "",
        seed: int = 0,
    ) -> None:
        n, c, h, w = x
        rng = np.random.default_rng(seed)
        size = (h + pads[0] + pads[2] - 2, w + pads[1] + pads[3] - 2)
        y = Blocked((n, outputs, *size), lanes)
        halves = replace(y, shape=(n, outputs, size[0] // 2, size[1] // 2))
        self.y = (halves if pool else y).framed(*y_frame)
        self.pooled = winograd.Pooled(pool, self.y) if pool else None
        y = y if pool else self.y
        plain = Blocked((n, c, h, w), lanes)
        p = Convolution(plain, y, (3, 3), pads=pads, registers=registers)
        self.m, self.epilogue = m, epilogue or Epilogue()
        self.problem = p.with_x(plain.framed(*winograd.frame_needed(p, m)).framed(*wider))
        self.x = rng.standard_normal(x).astype(np.float32)
        self.W = rng.standard_normal((outputs, c, 3, 3)).astype(np.float32)
        self.B = rng.standard_normal(outputs).astype(np.float32) if bias else None
        self.residual = rng.standard_normal(y.shape).astype(np.float32)
        self.r_layout = Blocked(y.shape, lanes).framed(*r_frame) if self.epilogue.residual else None

    def steps(self) -> tuple[list[Step], Buffers, Slots]:
        """With buffers for all slots, y and scratch full of NaN."""
        p = self.problem
        buffers = winograd.pack(p, self.m, self.W, self.B)
        sizes = {"x": p.x.nbytes, "y": self.y.nbytes, "scratch": winograd.scratch_bytes(p, self.m)}
        buffers |= {name: aligned(size) for name, size in sizes.items()}
        for name in sizes:
            buffers[name][:] = 255
        assert isinstance(p.x, Blocked)
        p.x.pack(self.x, buffers["x"])
        if self.r_layout is not None:
            buffers["residual"] = aligned(self.r_layout.nbytes)
            self.r_layout.pack(self.residual, buffers["residual"])
        slots = {name: i for i, name in enumerate(buffers)}
        return winograd.steps(p, self.m, slots, self.epilogue, self.r_layout, self.pooled), buffers, slots

    def result(self, buffers: Buffers) -> np.ndarray:
        """y [N, M, OH, OW]; its frame and the lanes beyond M are seen to be zero."""
        y = self.y.unpack(buffers["y"])
        whole = aligned(self.y.nbytes)
        self.y.pack(y, whole)
        np.testing.assert_array_equal(buffers["y"].view(np.float32), whole.view(np.float32))
        return y

    def run(self, backwards: bool = False) -> np.ndarray:
        steps, buffers, slots = self.steps()
        run_steps(steps, buffers, slots, backwards)
        return self.result(buffers)

    def run_threads(self, threads: int) -> np.ndarray:
        steps, buffers, slots = self.steps()
        program = Program(steps, {}, {}, 0, len(slots))
        program.run({slot: buffers[name].ctypes.data for name, slot in slots.items()}, threads)
        return self.result(buffers)

    def exact(self) -> np.ndarray:
        return exact(self.x, self.W, self.B, self.problem.pads)

    def want(self) -> np.ndarray:
        """With the residual, pooled."""
        whole = self.exact() + (self.residual if self.r_layout else 0)
        if self.pooled is None:
            return whole
        h, w = self.y.shape[2:]
        windows = np.stack([whole[:, :, i : 2 * h : 2, j : 2 * w : 2] for i in range(2) for j in range(2)])
        return windows.max(0) if self.pooled.kind == "max" else windows.mean(0)

    def check(self) -> None:
        assert winograd.supports(self.problem, self.m)
        want = self.exact()
        error = abs(self.run() - want).max(initial=0)
        assert error <= LIMIT[self.m] * abs(want).max(initial=0), f"error {error} for {self.problem}"


def random_case(seed: int, m: int, lanes: int, registers: int) -> Case:
    """Small sizes, any padding; now and then many images, so that a task passes batches of tiles."""
    rng = np.random.default_rng(seed)
    pads = tuple(int(v) for v in rng.integers(0, 4, 4))
    frames = [tuple(int(v) for v in rng.integers(0, 4, 4)) for _ in range(3)]
    h, w = (int(rng.integers(max(1, 3 - sum(pads[i::2])), 15)) for i in range(2))
    n = int(rng.choice([1, 2, 3, 40]))
    c, outputs = (int(v) for v in rng.integers(1, 3 * lanes + 2, 2))
    residual = str(rng.choice(["", "before", "after"]))
    epilogue = Epilogue("none", residual=residual)  # type: ignore[arg-type]
    size = (h + pads[0] + pads[2] - 2, w + pads[1] + pads[3] - 2)
    return Case(
        (n, c, h, w),
        outputs,
        m,
        pads=pads,  # type: ignore[arg-type]
        lanes=lanes,
        registers=registers,
        y_frame=frames[0],  # type: ignore[arg-type]
        r_frame=frames[1],  # type: ignore[arg-type]
        wider=frames[2],  # type: ignore[arg-type]
        bias=bool(rng.integers(2)),
        epilogue=epilogue,
        pool=POOLS[rng.integers(len(POOLS))] if winograd.pools(m) and min(size) > 1 else "",
        seed=seed,
    )


@pytest.mark.parametrize("m", [2, 3, 4])
def test_the_matrices_are_a_convolution(m: int) -> None:
    """Aᵀ [(G w) ⊙ (Bᵀ d)] is the correlation of d and w; and A, B are float32 numbers."""
    b, g, a = matrices(m)
    rng = np.random.default_rng(0)
    d, w = rng.standard_normal(m + 2), rng.standard_normal(3)
    np.testing.assert_allclose(a @ ((g @ w) * (b @ d)), np.correlate(d, w), rtol=1e-13, atol=1e-13)
    for matrix in (a, b):
        np.testing.assert_array_equal(matrix.astype(np.float32), matrix)


@pytest.mark.parametrize(("lanes", "registers"), WIDTHS)
@pytest.mark.parametrize("m", [2, 3, 4])
@pytest.mark.parametrize("seed", range(40))
def test_any_geometry(seed: int, m: int, lanes: int, registers: int) -> None:
    case = random_case(seed, m, lanes, registers)
    want = case.want()
    y = case.run()
    assert abs(y - want).max() <= LIMIT[m] * abs(want).max()


LAYERS = {
    "many channels, few tiles": ((1, 512, 7, 7), 512),
    "channels": ((1, 256, 14, 14), 64),
    "many tiles": ((1, 16, 60, 60), 32),
    "batches of two groups": ((1, 128, 88, 88), 256),
    "odd channels": ((2, 67, 13, 9), 49),
    "one channel": ((1, 1, 30, 30), 1),
    "one position": ((1, 40, 1, 1), 24),
    "a row": ((1, 20, 1, 50), 20),
    "a column": ((1, 20, 50, 1), 20),
    "many images": ((100, 8, 3, 3), 16),
}


@pytest.mark.parametrize("m", [2, 3, 4])
@pytest.mark.parametrize("name", LAYERS)
def test_layer(name: str, m: int) -> None:
    x, outputs = LAYERS[name]
    Case(x, outputs, m, y_frame=(1, 1, 1, 1)).check()


@pytest.mark.parametrize("m", [2, 3, 4])
@pytest.mark.parametrize("channels", [1, 15, 16, 17, 64, 200, 512])
def test_error_grows_slowly_with_channels(channels: int, m: int) -> None:
    Case((1, channels, 12, 12), 40, m, seed=channels).check()


@pytest.mark.parametrize("m", [2, 3, 4])
@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("images", [1, 30])
def test_epilogue(m: int, where: str, images: int) -> None:
    """Activation, residual, and the channels beyond the last, where the activation of 0 is not 0."""
    epilogue = Epilogue("hard_sigmoid", (0.25, 0.5), residual=where)  # type: ignore[arg-type]
    case = Case((images, 24, 11, 9), 21, m, epilogue=epilogue, r_frame=(1, 0, 2, 1), y_frame=(0, 2, 1, 0))
    before, after = (case.residual if where == name else 0 for name in ("before", "after"))
    want = np.clip(0.25 * (case.exact() + before) + 0.5, 0, 1) + after
    np.testing.assert_allclose(case.run(), want, atol=0.25 * LIMIT[m] * abs(case.exact()).max() + 1e-6)


SHAPES = {
    "three steps": ((1, 40, 14, 14), 72),
    "one step": ((2, 20, 60, 60), 40),
    "a row more than tiles": ((30, 20, 13, 13), 36),
}


@pytest.mark.parametrize("m", [2, 3, 4])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_order_of_tasks_does_not_matter(shape: str, m: int, threads: int) -> None:
    case = Case(*SHAPES[shape], m, y_frame=(1, 1, 1, 1))
    want = case.run()
    np.testing.assert_array_equal(case.run(backwards=True), want)
    np.testing.assert_array_equal(case.run_threads(threads), want)


@pytest.mark.parametrize(("m", "pool"), [(2, ""), (3, ""), (4, ""), (2, "max"), (4, "max")])
@pytest.mark.parametrize("shape", SHAPES)
def test_no_two_tasks_write_the_same_memory(shape: str, m: int, pool: Pooling) -> None:
    """Each task of a step by itself, from what the steps before have left: y and scratch are full of NaN before."""
    steps, buffers, slots = Case(*SHAPES[shape], m, y_frame=(1, 1, 1, 1), pool=pool).steps()
    addresses = np.array([buffers[name].ctypes.data for name in slots], np.int64)
    for step in steps:
        assert step.tasks > 1
        kernel, table = call(step.kernel), step.table()
        before = {name: buffers[name].copy() for name in ("y", "scratch")}
        after = {name: old.copy() for name, old in before.items()}
        written = {name: np.zeros(old.shape, bool) for name, old in before.items()}
        for task in range(step.tasks):
            kernel(table.ctypes.data, addresses.ctypes.data, task)
            for name, old in before.items():
                changed = buffers[name] != old
                assert changed.any() or name == "y" or "inverse" in step.label
                assert not (changed & written[name]).any(), f"task {task} of {step.label} writes {name} of another"
                written[name] |= changed
                after[name][changed] = buffers[name][changed]
                buffers[name][:] = old
        for name, new in after.items():
            buffers[name][:] = new


@pytest.mark.parametrize(("x", "outputs"), [((1, 256, 14, 14), 256), ((1, 512, 7, 7), 512), ((1, 64, 56, 56), 64)])
@pytest.mark.parametrize("m", [2, 3, 4])
def test_work_is_divided(x: tuple[int, int, int, int], outputs: int, m: int) -> None:
    """The greatest step of a layer of some size keeps sixteen threads busy, or nearly."""
    steps, *_ = Case(x, outputs, m).steps()
    assert max(steps, key=lambda step: step.flops).tasks >= 14
    assert sum(step.flops for step in steps) == 2 * outputs * 9 * int(np.prod(x))


@pytest.mark.parametrize("m", [2, 3, 4])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_in_the_tiles_that_read_it(value: float, m: int) -> None:
    case = Case((1, 20, 20, 20), 20, m)
    clean = case.run()
    case.x[0, 3, 9, 10] = value
    y = case.run()
    touched = ~np.isfinite(y)
    assert touched[:, :, 8:11, 9:12].all()
    first, stop = (np.array([9, 10]) - 1) // m * m, (np.array([9, 10]) + 1) // m * m + m
    inside = np.zeros_like(touched)
    inside[:, :, first[0] : stop[0], first[1] : stop[1]] = True
    assert not (touched & ~inside).any()
    np.testing.assert_array_equal(y[~inside], clean[~inside])


def test_an_empty_batch_takes_no_steps() -> None:
    case = Case((0, 16, 8, 8), 16, 4)
    assert case.steps()[0] == []
    assert winograd.scratch_bytes(case.problem, 4) == 0


def test_what_is_not_supported() -> None:
    p = Case((1, 16, 8, 8), 16, 4).problem
    assert winograd.supports(p, 4)
    narrow = p.with_x(Blocked(p.x.shape, 16, 1, 1, 1, 0))  # type: ignore[arg-type]
    others = {
        "frame": narrow,
        "plain": p.with_x(Plain(p.x.shape)),
        "lanes": p.with_x(Blocked(p.x.shape, 8, 1, 1, 8, 8)),  # type: ignore[arg-type]
        "stride": replace(p, strides=(2, 2), y=Blocked((1, 16, 4, 4), 16)),
        "dilation": replace(p, dilations=(2, 2), y=Blocked((1, 16, 6, 6), 16)),
        "kernel": replace(p, kernel=(1, 3), pads=(0, 1, 0, 1)),
        "groups": replace(p, groups=2),
    }
    for name, other in others.items():
        assert not winograd.supports(other, 4), name
        if name != "frame":
            assert choose(other) == 0, name


@pytest.mark.parametrize(
    ("pads", "size", "m", "frame"),
    [
        ((1, 1, 1, 1), (8, 8), 4, (1, 1, 1, 1)),
        ((1, 1, 1, 1), (7, 10), 4, (1, 1, 2, 3)),
        ((1, 1, 1, 1), (7, 10), 2, (1, 1, 2, 1)),
        ((0, 0, 0, 0), (6, 7), 4, (0, 0, 0, 3)),
        ((0, 2, 1, 0), (5, 5), 2, (0, 2, 1, 1)),
    ],
)
def test_frame_needed(pads: tuple[int, int, int, int], size: tuple[int, int], m: int, frame: Sequence[int]) -> None:
    assert winograd.frame_needed(Case((1, 3, *size), 4, m, pads=pads).problem, m) == frame


def test_choice() -> None:
    """The clear cases, by channels and size of a square picture."""
    right = {(64, 56): 4, (128, 28): 4, (64, 224): 4, (512, 28): 4, (256, 14): 3, (512, 7): 0, (1, 4): 0, (1024, 1): 0}
    made = {}
    for channels, size in right:
        layout = Blocked((1, channels, size, size), 16)
        problem = Convolution(layout, layout, (3, 3), pads=(1, 1, 1, 1), registers=32)
        made[channels, size] = choose(problem)
        assert all(estimate(problem, m) > 0 for m in WAYS)
    assert made == right


@posix
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("m", [2, 3, 4])
@pytest.mark.parametrize("name", ["channels", "many tiles", "odd channels", "one channel", "one position", "a row"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_nothing_beside_the_buffers_is_touched(name: str, m: int, before: bool) -> None:
    x, outputs = LAYERS[name]
    case = Case(x, outputs, m, lanes=4 if before else 16, epilogue=Epilogue("relu", residual="before"))
    steps, buffers, slots = case.steps()
    moved = {}
    for key, old in buffers.items():
        moved[key] = guarded(old.nbytes, 4 * case.problem.lanes, before)
        moved[key][:] = old.reshape(-1).view(np.uint8)
    for step in steps:
        call(step.kernel)
    assert survives(lambda: run_steps(steps, moved, slots))


@pytest.mark.parametrize("m", [2, 3, 4])
@pytest.mark.parametrize(("images", "parts"), [(6, 2), (7, 7), (4, 1)])
def test_many_images_are_passed_in_parts(images: int, parts: int, m: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where weights do not stay in the cache; here in a small one."""
    small = replace(host(), l2=1 << 16)
    monkeypatch.setattr(winograd, "host", lambda: small)
    case = Case((images, 48, 4 * m, 4 * m), 40, m, y_frame=(1, 2, 0, 1), epilogue=Epilogue("relu", residual="before"))
    for kept in (winograd._part, winograd._work):
        kept.cache_clear()
    steps, *_ = case.steps()
    stages = 3 if len({step.label for step in steps}) == 3 else 1
    assert len(steps) == parts * stages
    want = np.maximum(case.exact() + case.residual, 0)
    assert abs(case.run() - want).max() <= LIMIT[m] * abs(want).max()
    for kept in (winograd._part, winograd._work):
        kept.cache_clear()
