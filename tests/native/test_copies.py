"""Boxes copied between plain and blocked values against NumPy: random places, steps, orders; tails, frames, borders."""

from __future__ import annotations

import numpy as np
import pytest

from striate.runtime.engines.native.kernels.copies import Side, copy_box, side, zero_lanes
from striate.runtime.engines.native.layouts import Blocked, Plain
from striate.runtime.engines.native.program import Program, Step, aligned, call

from .guard import guarded, posix, survives
from .test_pool import filled, run

Starts = tuple[int, ...]
BYTES = {np.uint8: 1, np.float16: 2, np.float32: 4, np.int64: 8}


def place(rng: np.random.Generator, size: int, count: int, negative: bool) -> tuple[int, int]:
    """A start and a step such that `count` elements lie within `size`."""
    most = (size - 1) // (count - 1) if count > 1 else 3
    step = int(rng.integers(1, most + 1))
    start = int(rng.integers(0, size - (count - 1) * step))
    return (start + (count - 1) * step, -step) if negative and rng.random() < 0.3 else (start, step)


def indexed(x: np.ndarray, starts: Starts, steps: Starts, counts: Starts) -> np.ndarray:
    """The view of a box."""
    grid = [a + b * np.arange(n) for a, b, n in zip(starts, steps, counts, strict=True)]
    return x[np.ix_(*grid)]


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("dtype", BYTES)
def test_plain_boxes(seed: int, dtype: type) -> None:
    """Any rank, any steps, axes of the source in any order, some of them repeated."""
    rng = np.random.default_rng(seed)
    rank = int(rng.integers(0, 6))
    counts = tuple(int(v) for v in rng.integers(1, (90 if rank < 3 else 7), rank))
    perm = tuple(int(v) for v in rng.permutation(rank)) if rng.random() < 0.5 else tuple(range(rank))
    x_shape, y_shape, x_at, y_at = [0] * rank, [0] * rank, [(0, 0)] * rank, [(0, 0)] * rank
    spread = int(rng.choice([1, 1, 3]))
    for j, count in enumerate(counts):
        i = perm[j]
        still = rng.random() < 0.2
        x_shape[i] = 1 if still else count * spread + int(rng.integers(0, 3))
        x_at[i] = (0, 0) if still else place(rng, x_shape[i], count, True) if spread > 1 else (0, 1)
        y_shape[j] = count * spread + int(rng.integers(0, 3)) * int(rng.integers(0, 2))
        y_at[j] = place(rng, y_shape[j], count, False) if spread > 1 else (0, 1)
    x = rng.integers(0, 256, (*x_shape, BYTES[dtype])).astype(np.uint8).reshape(-1).view(dtype).reshape(x_shape)
    y = np.full(y_shape, 7, dtype)
    want = y.copy()
    grid = np.ix_(*(a + b * np.arange(n) for (a, b), n in zip(y_at, counts, strict=True))) if rank else ()
    taken = [counts[perm.index(i)] for i in range(rank)]
    source = indexed(x, tuple(a for a, _ in x_at), tuple(b for _, b in x_at), tuple(taken)) if rank else x
    want[grid] = source.transpose(perm)
    steps = copy_box(
        side(Plain(tuple(x_shape), x.dtype), [a for a, _ in x_at], [b for _, b in x_at], perm),
        side(Plain(tuple(y_shape), y.dtype), [a for a, _ in y_at], [b for _, b in y_at]),
        counts,
        0,
        1,
        width=int(rng.choice([16, 32, 64])),
    )
    run(steps, [x, y], threads=2)
    assert y.tobytes() == want.tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
@pytest.mark.parametrize("shape", [(150, 333), (3, 129, 70), (5, 8, 9), (2, 3000, 7), (1, 7, 3000), (300, 2, 5)])
@pytest.mark.parametrize("width", [16, 32, 64])
def test_matrices_turned(shape: tuple[int, ...], dtype: type, width: int) -> None:
    """Squares that do not divide bands and pieces, which do not divide the axes; short axes."""
    x = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    perm = (*range(len(shape) - 2), len(shape) - 1, len(shape) - 2)
    want = x.transpose(perm)
    y = np.full(want.shape, -1, dtype)
    made = side(Plain(shape, x.dtype), perm=perm), side(Plain(y.shape, x.dtype))
    run(copy_box(*made, y.shape, 0, 1, width=width), [x, y], threads=2)
    np.testing.assert_array_equal(y, want)


@pytest.mark.parametrize("seed", range(80))
@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_boxes_of_blocks(seed: int, lanes: int) -> None:
    """Blocks on one side or both; channels may begin anywhere within a block on either."""
    rng = np.random.default_rng(seed)
    n, c, h, w = (int(v) for v in rng.integers(1, (3, 40, 6, 6)))
    counts = (n, c, h, w)
    perm = (0, 2, 3, 1) if rng.random() < 0.3 else (0, 1, 2, 3)
    x_kind, y_kind = [("blocked", "blocked"), ("plain", "blocked"), ("blocked", "plain")][int(rng.integers(3))]
    y_counts = tuple(counts[i] for i in perm)
    if perm[1] != 1 and y_kind == "blocked":
        x_kind = "plain"
    x_shape = tuple(v + int(rng.integers(0, 20 if i == 1 else 3)) for i, v in enumerate(counts))
    y_shape = tuple(2 * v + int(rng.integers(0, 20)) for v in y_counts)
    x_at = [(int(rng.integers(0, s - v + 1)), 1) for s, v in zip(x_shape, counts, strict=True)]
    y_at = [(int(rng.integers(0, s - v + 1)), 1) for s, v in zip(y_shape, y_counts, strict=True)]
    y_at[2:] = [place(rng, s, v, False) for s, v in zip(y_shape[2:], y_counts[2:], strict=True)]
    x = rng.standard_normal(x_shape).astype(np.float32)
    y = rng.standard_normal(y_shape).astype(np.float32)
    frames = [[int(v) for v in rng.integers(0, 3, 4)] for _ in range(2)]
    lx = Blocked(x_shape, lanes, *frames[0]) if x_kind == "blocked" else Plain(x_shape)
    ly = Blocked(y_shape, lanes, *frames[1]) if y_kind == "blocked" else Plain(y_shape)
    source = filled(lx, x) if isinstance(lx, Blocked) else x
    target = filled(ly, y) if isinstance(ly, Blocked) else y.copy()
    untouched = target.copy()
    parts = [[a for a, _ in at] for at in (x_at, y_at)], [[b for _, b in at] for at in (x_at, y_at)]
    steps = copy_box(
        side(lx, parts[0][0], parts[1][0], perm), side(ly, parts[0][1], parts[1][1]), y_counts, 0, 1, width=4 * lanes
    )
    run(steps, [source, target], threads=2)
    want = y.copy()
    taken = indexed(x, tuple(parts[0][0]), tuple(parts[1][0]), counts).transpose(perm)
    want[np.ix_(*(a + b * np.arange(v) for (a, b), v in zip(y_at, y_counts, strict=True)))] = taken
    if isinstance(ly, Plain):
        np.testing.assert_array_equal(target, want)
        return
    np.testing.assert_array_equal(ly.unpack(target), want)
    ly.array(untouched)[...] = ly.array(target)
    np.testing.assert_array_equal(target, untouched)  # the frame, and whatever else is not in the box


@pytest.mark.parametrize("channels", [1, 4, 5, 16, 33])
@pytest.mark.parametrize("lanes", [4, 16])
def test_lanes_beyond_the_last_channel(channels: int, lanes: int) -> None:
    layout = Blocked((2, channels, 3, 5), lanes, 1, 0, 2, 1)
    y = aligned(layout.nbytes)
    y[:] = 0x55
    zero = np.zeros(1, np.float32)
    run(zero_lanes(layout, 0, 1), [y, zero], threads=2)
    lanes_of = layout.array(y).transpose(0, 1, 4, 2, 3).reshape(2, -1, 3, 5)
    assert not lanes_of[:, channels:].any()
    assert (lanes_of[:, :channels].view(np.uint32) == 0x55555555).all()


def test_what_does_not_fit_is_refused() -> None:
    blocked = Blocked((1, 8, 2, 2), 4)
    with pytest.raises(ValueError, match="one after the other"):
        side(blocked, (0, 0, 0, 0), (1, 2, 1, 1))
    with pytest.raises(ValueError, match="equally wide"):
        copy_box(side(blocked), side(Blocked((1, 8, 2, 2), 8)), (1, 8, 2, 2), 0, 1)
    with pytest.raises(ValueError, match="bytes"):
        copy_box(Side(8, 0, ()), Side(4, 0, ()), (), 0, 1)
    assert copy_box(side(blocked), side(blocked), (1, 0, 2, 2), 0, 1) == []


def _alone(steps: list[Step], *buffers: np.ndarray) -> None:
    program = Program(steps, {}, {}, 0, len(buffers))
    slots = np.array([b.ctypes.data for b in buffers], np.int64)
    for step, table in zip(program.steps, [b.table for b in program.bound], strict=True):
        for task in range(step.tasks):
            call(step.kernel)(table.ctypes.data, slots.ctypes.data, task)


@posix
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("shape", [(3, 5), (4, 7, 33), (2, 300), (5, 1), (1, 129)])
def test_nothing_outside_is_touched(shape: tuple[int, ...], before: bool) -> None:
    def work() -> None:
        for dtype in BYTES:
            for perm in (tuple(range(len(shape))), tuple(reversed(range(len(shape))))):
                size = int(np.prod(shape)) * BYTES[dtype]
                x, y = (guarded(size, BYTES[dtype], before) for _ in range(2))
                made = tuple(shape[i] for i in perm)
                steps = copy_box(
                    side(Plain(shape, np.dtype(dtype)), perm=perm), side(Plain(made, np.dtype(dtype))), made, 0, 1
                )
                _alone(steps, x, y)

    assert survives(work)
