"""Softmax, normalisations and reductions against float64, over every axis, with tails, frames and special values."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from striate.runtime.engines.native.kernels.rows import (
    REDUCTIONS,
    instance_norm_steps,
    norm_steps,
    reduce_steps,
    softmax_steps,
)
from striate.runtime.engines.native.layouts import Blocked, Plain
from striate.runtime.engines.native.program import Program, Step, aligned, call

from .arrays import ulps
from .guard import guarded, posix, survives

F64 = np.ndarray
LANES = (4, 8, 16)
SHAPES = (
    (1,),
    (7,),
    (3, 5),
    (2, 1, 9),
    (4, 16),
    (2, 130, 3),
    (3, 70, 17),
    (5, 2, 33),
    (2, 3, 300),
    (1, 1, 1),
    (2, 8, 16),
)


def walk(made: Sequence[Step], *buffers: np.ndarray, threads: int = 1) -> None:
    Program(made, {}, {}, 0, len(buffers)).run({i: b.ctypes.data for i, b in enumerate(buffers)}, threads)


def normal(shape: Sequence[int], seed: int = 0, scale: float = 3.0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=shape) * scale).astype(np.float32)


def softmax(x: F64, axis: int) -> F64:
    e = np.exp(x.astype(np.float64) - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def assert_softmax(y: np.ndarray, x: np.ndarray, axis: int) -> None:
    """Within what rounding x − max, an exponent, to float32 does, and a few roundings more."""
    want = softmax(x, axis)
    with np.errstate(invalid="ignore"):
        distance = np.abs(x.astype(np.float64) - x.max(axis=axis, keepdims=True))
    assert (np.abs(y - want) <= want * 2.0**-24 * (distance + 8)).all()


CASES = [(shape, axis) for shape in SHAPES for axis in range(len(shape))]


@pytest.mark.parametrize(("shape", "axis"), CASES)
def test_softmax(shape: tuple[int, ...], axis: int) -> None:
    x = normal(shape)
    want = softmax(x, axis)
    for lanes in LANES:
        y = np.empty_like(x)
        walk(softmax_steps(Plain(shape), axis, 0, 1, lanes=lanes), x, y)
        assert_softmax(y, x, axis)
        walk(softmax_steps(Plain(shape), axis - len(shape), 0, 1, log=True, lanes=lanes), x, y)
        np.testing.assert_allclose(y, np.log(want), rtol=5e-7, atol=1e-6)
        walk(softmax_steps(Plain(shape), axis, 0, 0, lanes=lanes), inplace := x.copy())
        assert_softmax(inplace, x, axis)


def test_softmax_of_special_values() -> None:
    rows = [
        [np.nan, 1, 2],
        [1, 2, np.nan],
        [-np.inf, 0, 1],
        [-np.inf] * 3,
        [np.inf, 1, 2],
        [1e38, -1e38, 1e38],
        [0, -100, -104],
    ]
    x = np.array(rows, np.float32)
    with np.errstate(invalid="ignore"):
        want = softmax(x, 1)
    for value, right, axis in ((x, want, 1), (x.T.copy(), want.T, 0)):
        y = np.empty_like(value)
        walk(softmax_steps(Plain(value.shape), axis, 0, 1), value, y)
        assert ulps(y, right).max() <= 4


def _numpy(kind: str) -> Callable[..., np.ndarray]:
    return {
        "sum": np.sum,
        "mean": np.mean,
        "max": np.max,
        "min": np.min,
        "sum_square": lambda x, axis: np.sum(x * x, axis=axis),
        "l1": lambda x, axis: np.sum(np.abs(x), axis=axis),
        "l2": lambda x, axis: np.sqrt(np.sum(x * x, axis=axis)),
    }[kind]


REDUCED = [
    ((2, 3, 300), (2,)),
    ((2, 3, 300), (1, 2)),
    ((3, 70, 17), (1,)),
    ((4, 5, 6, 7), (1, 2)),
    ((4, 5, 6, 7), (-2, -1)),
]
REDUCED += [
    ((9,), (0,)),
    ((1, 1), (0, 1)),
    ((5, 40), (0,)),
    ((50_000,), (0,)),
    ((3000, 20), (0,)),
    ((3, 0 + 1, 65), (1,)),
]


@pytest.mark.parametrize(("shape", "axes"), REDUCED)
@pytest.mark.parametrize("kind", REDUCTIONS)
def test_reductions(kind: str, shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    x = normal(shape) + np.float32(0.5)
    function = _numpy(kind)
    want = np.asarray(function(x.astype(np.float64), axis=axes))
    ours = np.abs(function(x, axis=axes) - want).max()
    unit = float(np.spacing(np.abs(want).max().astype(np.float32)))
    for lanes in LANES:
        y = np.empty(want.shape, np.float32)
        walk(reduce_steps(kind, Plain(shape), axes, 0, 1, lanes=lanes), x, y)
        assert np.abs(y - want).max() <= max(4 * ours, unit)


def test_long_sums_are_as_exact_as_short_ones() -> None:
    x = np.abs(normal((1, 3_000_001)))
    y = np.empty(1, np.float32)
    walk(reduce_steps("sum", Plain(x.shape), (1,), 0, 1), x, y)
    assert ulps(y, x.sum(axis=1, dtype=np.float64)).max() <= 1
    x = np.ascontiguousarray(x.reshape(-1, 1) * np.ones((1, 2), np.float32))
    y = np.empty(2, np.float32)
    walk(reduce_steps("sum", Plain(x.shape), (0,), 0, 1), x, y)
    assert ulps(y, x.sum(axis=0, dtype=np.float64)).max() <= 1


@pytest.mark.parametrize("kind", REDUCTIONS)
@pytest.mark.parametrize("place", [0, 50, 64, 98])
def test_nan_is_not_lost(kind: str, place: int) -> None:
    x = normal((3, 99))
    x[1, place] = np.nan
    for value, axis in ((x, 1), (x.T.copy(), 0)):
        y = np.empty(3, np.float32)
        walk(reduce_steps(kind, Plain(value.shape), (axis,), 0, 1), value, y)
        np.testing.assert_array_equal(np.isnan(y), [False, True, False])


def test_what_cannot_be_reduced() -> None:
    for shape, axes in (((2, 3, 4), (0, 2)), ((2, 3), (2,)), ((2, 3), ()), ((2, 3), (1, 1)), ((2, 0), (1,))):
        with pytest.raises(ValueError):
            reduce_steps("sum", Plain(shape), axes, 0, 1)
    with pytest.raises(ValueError):
        softmax_steps(Plain((2, 3), np.dtype("float64")), 1, 0, 1)


def layer_norm(x: F64, axes: tuple[int, ...], epsilon: float, centred: bool = True) -> F64:
    x = x.astype(np.float64)
    d = x - x.mean(axis=axes, keepdims=True) if centred else x
    return d / np.sqrt((d * d).mean(axis=axes, keepdims=True) + epsilon)


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize(
    ("shape", "axis"), [((4, 7), 1), ((3, 5, 6), 1), ((2, 768), -1), ((1, 1), 1), ((130, 33), 1), ((5,), 0)]
)
def test_norms(shape: tuple[int, ...], axis: int, centred: bool) -> None:
    x, n = normal(shape) + np.float32(2), int(np.prod(shape[axis:]))
    scale, bias = normal((n,), 1), normal((n,), 2)
    axes = tuple(range(axis % len(shape), len(shape)))
    plain = layer_norm(x, axes, 1e-5, centred) * scale.reshape(shape[axis:])
    for lanes in LANES:
        y = np.empty_like(x)
        walk(norm_steps(Plain(shape), axis, 1e-5, 0, 2, 3, 1, centred=centred, lanes=lanes), x, y, scale, bias)
        np.testing.assert_allclose(y, plain + bias.reshape(shape[axis:]), rtol=2e-6, atol=3e-6)
        walk(norm_steps(Plain(shape), axis, 1e-5, 0, 2, None, 1, centred=centred, lanes=lanes), x, y, scale)
        np.testing.assert_allclose(y, plain, rtol=2e-6, atol=3e-6)


def test_norm_of_large_numbers_close_together() -> None:
    """The variance is that of the differences to the mean, not a difference of squares."""
    x = np.float32(10_000) + normal((3, 500), scale=0.25)
    y, one, zero = np.empty_like(x), np.ones(500, np.float32), np.zeros(500, np.float32)
    walk(norm_steps(Plain(x.shape), 1, 1e-5, 0, 2, 3, 1), x, y, one, zero)
    np.testing.assert_allclose(y, layer_norm(x, (1,), 1e-5), atol=4e-3)


@pytest.mark.parametrize("seed", range(40))
def test_instance_norm(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lanes = int(rng.choice(LANES))
    shape = tuple(int(rng.choice(options)) for options in ([1, 2], [1, 3, 16, 21], [1, 2, 9], [1, 5, 12]))
    source, target = (Blocked(shape, lanes, *(int(v) for v in rng.integers(0, 3, 4))) for _ in range(2))
    channels = Blocked((1, shape[1], 1, 1), lanes)
    values = [normal(shape, seed), normal(channels.shape, seed + 1), normal(channels.shape, seed + 2)]
    x, scale, bias, y = (aligned(layout.nbytes) for layout in (source, channels, channels, target))
    for layout, value, buffer in zip((source, channels, channels), values, (x, scale, bias), strict=True):
        layout.pack(value, buffer)
    y[:] = 255
    walk(instance_norm_steps(source, target, 1e-3, 0, 1, 2, 3), x, scale, bias, y)
    got = target.unpack(y)
    want = layer_norm(values[0], (2, 3), 1e-3) * values[1] + values[2]
    s = 1 / np.sqrt(values[0].astype(np.float64).var(axis=(2, 3), keepdims=True) + 1e-3)
    # The mean is rounded to float32: an error in proportion to the values, not to their differences.
    room = np.abs(values[0]).max(axis=(2, 3), keepdims=True) * s * np.abs(values[1]) + np.abs(values[2])
    assert (np.abs(got - want) <= 4 * 2.0**-24 * room).all()
    packed = np.empty_like(y)
    target.pack(got, packed)
    np.testing.assert_array_equal(packed.view(np.float32), y.view(np.float32))


def _cases(shape: tuple[int, ...], lanes: int | None = None) -> list[list[Step]]:
    last = Plain(shape)
    return [
        softmax_steps(last, 1, 0, 1, lanes=lanes),
        softmax_steps(last, 0, 0, 1, log=True, lanes=lanes),
        reduce_steps("mean", last, (1,), 0, 1, lanes=lanes),
        reduce_steps("max", last, (0,), 0, 1, lanes=lanes),
        norm_steps(last, 1, 1e-5, 0, 2, 2, 1, lanes=lanes),
    ]


@pytest.mark.parametrize("which", range(5))
def test_any_split_and_order_of_tasks_gives_the_same_bits(which: int) -> None:
    shape = (300, 301)
    x, scale = normal(shape), normal((301,))
    [step] = _cases(shape)[which]
    assert step.tasks >= 8
    y = np.zeros(shape, np.float32)
    walk([step], x, y, scale)
    for threads in (2, 3):
        other = np.zeros_like(y)
        walk([step], x, other, scale, threads=threads)
        np.testing.assert_array_equal(other, y)
    other = np.zeros_like(y)
    slots, table, function = np.array([b.ctypes.data for b in (x, other, scale)]), step.table(), call(step.kernel)
    for task in reversed(range(step.tasks)):
        function(table.ctypes.data, slots.ctypes.data, task)
    np.testing.assert_array_equal(other, y)


@posix
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("shape", [(3, 5), (7, 33), (65, 3)])
def test_nothing_beside_the_buffers_is_touched(shape: tuple[int, int], lanes: int, before: bool) -> None:
    for which, made in enumerate(_cases(shape, lanes)):
        size = {2: shape[0], 3: shape[1]}.get(which, shape[0] * shape[1])
        x, y, scale = (guarded(4 * n, 4, before) for n in (shape[0] * shape[1], size, shape[1]))
        x.view(np.float32)[:] = normal((x.size // 4,))
        assert survives(lambda made=made, x=x, y=y, scale=scale: walk(made, x, y, scale)), which
