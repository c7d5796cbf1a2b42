"""Kernels on bytes against NumPy's integers, bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from striate.runtime.engines.native.host import host
from striate.runtime.engines.native.kernels import conv_int8, depthwise_int8, quantize
from striate.runtime.engines.native.kernels.conv_int8 import Addition, dot_of_host
from striate.runtime.engines.native.kernels.conv_int8_tile import Dot
from striate.runtime.engines.native.kernels.conv_problem import Convolution
from striate.runtime.engines.native.kernels.pool_bytes import global_mean, max_pool
from striate.runtime.engines.native.kernels.reorder_bytes import bytes_from_blocked, bytes_to_blocked
from striate.runtime.engines.native.kernels.requantise import Scale
from striate.runtime.engines.native.layouts import BYTES, Blocked, Layout, Plain
from striate.runtime.engines.native.program import Program, Step
from striate.runtime.ops import registry

from .guard import guarded, posix

pytestmark = posix
INT8 = np.dtype(np.int8)
DOTS: list[tuple[int, Dot]] = [(lanes, "pairs") for lanes in (4, 8, 16)]
DOTS += [(lanes, "quads") for lanes in (4, 8, 16) if dot_of_host(lanes) == "quads" and lanes <= host().lanes]


def run(steps: list[Step], buffers: Sequence[np.ndarray], threads: int = 1) -> None:
    Program(steps, {}, {}, 0, len(buffers)).run({i: b.ctypes.data for i, b in enumerate(buffers)}, threads)


def buffer(array: np.ndarray, before: bool, align: int = 64) -> np.ndarray:
    """The bytes of an array beside a page that must not be touched."""
    made = guarded(array.nbytes, align, before)
    made[:] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return made


def packed(layout: Blocked, x: np.ndarray, before: bool) -> np.ndarray:
    made = guarded(layout.nbytes, 64, before)
    layout.pack(x, made)
    if layout.shape[1] % layout.lanes and layout.dtype == BYTES:  # what lies there may be anything
        layout.array(made)[:, -1, ..., layout.shape[1] % layout.lanes :] = 0xA5
    return made


def assert_holds(layout: Blocked, made: np.ndarray, want: np.ndarray, fill: int) -> None:
    """The value, and its frame."""
    np.testing.assert_array_equal(layout.unpack(made), want)
    whole = made.view(layout.dtype).reshape(
        layout.shape[0], layout.blocks, *(layout.plane // layout.row, layout.row // layout.pixel), layout.lanes
    )
    inside = np.zeros(whole.shape, bool)
    h, w = layout.shape[2:]
    inside[:, :, layout.top : layout.top + h, layout.left : layout.left + w] = True
    np.testing.assert_array_equal(whole[~inside], fill)


def quotients(v: np.ndarray, target: Scale, lower: float, upper: float) -> np.ndarray:
    """Bytes of v · 1/scale, v float32 already divided by the scale."""
    low, high = (np.float32(b) / np.float32(target.scale) for b in (lower, upper))
    return np.clip(np.rint(np.clip(v, low, high)) + target.zero, 0, 255).astype(np.uint8)


def integers(x: np.ndarray, zero: int, W: np.ndarray, B: np.ndarray, attributes: dict[str, Any]) -> np.ndarray:
    """The sums of a convolution, in int64."""
    (sh, sw), (dh, dw), (top, left, bottom, right) = (attributes[n] for n in ("strides", "dilations", "pads"))
    wide = np.pad(x.astype(np.int64) - zero, ((0, 0), (0, 0), (top, bottom), (left, right)))
    kh, kw = W.shape[2:]
    views = np.lib.stride_tricks.sliding_window_view(wide, ((kh - 1) * dh + 1, (kw - 1) * dw + 1), (2, 3))
    views = views[:, :, ::sh, ::sw, ::dh, ::dw]
    return np.einsum("ncijrs,mcrs->nmij", views, W.astype(np.int64)) + B.reshape(-1, 1, 1).astype(np.int64)


def drawn(rng: np.random.Generator, lanes: int, before: bool) -> tuple[Convolution, Blocked, dict[str, Any]]:
    """Any convolution: its layouts, a residual's layout, its attributes."""
    k, s, d = (tuple(int(v) for v in rng.integers(1, top, 2)) for top in (5, 4, 3))
    pads = tuple(int(v) for v in rng.integers(0, 3, 4))
    reach = [(a - 1) * b + 1 for a, b in zip(k, d, strict=True)]
    size = [int(rng.integers(max(1, r - pads[i] - pads[i + 2]), r + 20)) for i, r in enumerate(reach)]
    out = [(n + pads[i] + pads[i + 2] - reach[i]) // s[i] + 1 for i, n in enumerate(size)]
    n, c, m = int(rng.integers(1, 3)), int(rng.integers(1, 3 * lanes)), int(rng.integers(1, 4 * lanes))
    zeros = [int(v) for v in rng.integers(0, 256, 2)]
    x = Blocked((n, c, *size), lanes, dtype=BYTES, fill=zeros[0])  # type: ignore[arg-type]
    y = Blocked((n, m, *out), lanes, *map(int, rng.integers(0, 3, 4)), dtype=BYTES, fill=zeros[1])  # type: ignore[arg-type]
    residual = Blocked(y.shape, lanes, *map(int, rng.integers(0, 2, 4)), dtype=BYTES)
    problem = Convolution(x, y, k, s, d, pads)  # type: ignore[arg-type]
    return problem.with_x(x.framed(*problem.frame)), residual, {"strides": s, "dilations": d, "pads": pads}


def convolved(
    problem: Convolution,
    x: np.ndarray,
    W: np.ndarray,
    B: np.ndarray,
    factor: np.ndarray,
    dot: Dot,
    before: bool = False,
    added: Addition | None = None,
    residual: np.ndarray | None = None,
    threads: int = 1,
    **given: Any,
) -> np.ndarray:
    """The buffer of y."""
    assert isinstance(problem.x, Blocked)
    assert conv_int8.supports(problem, W, B)
    layout = added.layout if added else None
    constants = conv_int8.pack(problem, W, B, factor, layout, dot)
    y = guarded(problem.y.nbytes, 64, before)
    y[:] = 0x55
    buffers = {"x": packed(problem.x, x, before), "y": y, **{n: buffer(a, before) for n, a in constants.items()}}
    if added is not None and residual is not None:
        buffers["residual"] = packed(added.layout, residual, before)
    slots = {name: i for i, name in enumerate(buffers)}
    run(conv_int8.steps(problem, slots, added=added, dot=dot, **given), list(buffers.values()), threads)
    return y


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize(("lanes", "dot"), DOTS)
def test_convolution(seed: int, lanes: int, dot: Dot) -> None:
    rng = np.random.default_rng(seed)
    before = bool(seed % 2)
    problem, _, attributes = drawn(rng, lanes, before)
    assert isinstance(problem.x, Blocked)
    m, c = problem.y.shape[1], problem.x.shape[1]
    x = rng.integers(0, 256, problem.x.shape).astype(np.uint8)
    W = rng.integers(-128, 128, (m, c, *problem.kernel)).astype(np.int8)
    B = rng.integers(-5000, 5000, m).astype(np.int32)
    sums = integers(x, problem.x.fill, W, B, attributes)
    factor = (rng.uniform(0.2, 3, m) * 100 / max(1, sums.std())).astype(np.float32)
    target = Scale(0.25, problem.y.fill)
    lower, upper = [(-np.inf, np.inf), (0.0, np.inf), (-3.3, 6.1), (1.0, 2.0)][seed % 4]
    y = convolved(problem, x, W, B, factor, dot, before, threads=1 + seed % 3, target=target, lower=lower, upper=upper)
    want = quotients(sums.astype(np.float32) * factor.reshape(-1, 1, 1), target, lower, upper)
    assert np.unique(want).size > 1 or want.size < 40 or lower == 1.0
    assert_holds(problem.y, y, want, problem.y.fill)


@pytest.mark.parametrize(("lanes", "dot"), DOTS)
@pytest.mark.parametrize(
    "shape", [((1, 40, 1, 1), 70), ((1, 32, 14, 14), 64), ((2, 64, 5, 3), 17), ((1, 3, 30, 31), 32)]
)
def test_one_by_one(lanes: int, dot: Dot, shape: tuple[tuple[int, int, int, int], int]) -> None:
    """Planes without frames are one long row; their parts are tasks of their own."""
    (n, c, h, w), m = shape
    rng = np.random.default_rng(m)
    x, W = rng.integers(0, 256, (n, c, h, w)).astype(np.uint8), rng.integers(-128, 128, (m, c, 1, 1)).astype(np.int8)
    B, factor = rng.integers(-9, 9, m).astype(np.int32), np.full(m, 1e-2, np.float32)
    plain = {"dtype": BYTES, "fill": 9}
    problem = Convolution(Blocked((n, c, h, w), lanes, **plain), Blocked((n, m, h, w), lanes, **plain), (1, 1))
    y = convolved(problem, x, W, B, factor, dot, target=Scale(1.0, 9), threads=2)
    attributes = {"strides": (1, 1), "dilations": (1, 1), "pads": (0,) * 4}
    sums = integers(x, 9, W, B, attributes)
    assert_holds(problem.y, y, quotients(sums.astype(np.float32) * np.float32(1e-2), Scale(1.0, 9), -np.inf, np.inf), 9)


@pytest.mark.parametrize(("lanes", "dot"), DOTS)
def test_the_largest_sums(lanes: int, dot: Dot) -> None:
    """No product of two bytes, and no sum of two or four of them, is cut off on the way."""
    shape = (1, 8 * lanes, 3, 3)
    for value, weight, zero in ((255, -128, 0), (255, 127, 0), (0, -128, 255), (0, 127, 255)):
        x, W = np.full(shape, value, np.uint8), np.full((lanes, 8 * lanes, 3, 3), weight, np.int8)
        layout = Blocked(shape, lanes, dtype=BYTES, fill=zero)
        problem = Convolution(layout, Blocked((1, lanes, 1, 1), lanes, dtype=BYTES, fill=100), (3, 3))
        B = np.arange(lanes, dtype=np.int32) - 2
        B = B - np.int32((value - zero) * weight * 8 * lanes * 9)  # so that small numbers remain
        y = convolved(problem, x, W, B, np.ones(lanes, np.float32), dot, target=Scale(1.0, 100))
        assert_holds(problem.y, y, (np.arange(lanes) - 2 + 100).reshape(1, lanes, 1, 1), 100)


def test_sums_that_int32_does_not_hold_are_refused() -> None:
    layout = Blocked((1, 70000, 1, 1), 16, dtype=BYTES)
    problem = Convolution(layout, Blocked((1, 1, 1, 1), 16, dtype=BYTES), (1, 1))
    W = np.full((1, 70000, 1, 1), 127, np.int8)
    assert not conv_int8.supports(problem, W, None)
    W[0, 60000:] = 0
    assert conv_int8.supports(problem, W, None)
    assert not conv_int8.supports(problem, W, np.array([2**31 - 1], np.int32))


@pytest.mark.parametrize("seed", range(16))
@pytest.mark.parametrize(("lanes", "dot"), DOTS)
def test_convolution_with_a_residual(seed: int, lanes: int, dot: Dot) -> None:
    """Quantised, dequantised, added, quantised: bit for bit as four operators do it in float32."""
    rng = np.random.default_rng(seed)
    before = bool(seed % 2)
    problem, layout, attributes = drawn(rng, lanes, before)
    assert isinstance(problem.x, Blocked)
    m, c = problem.y.shape[1], problem.x.shape[1]
    x, r = (rng.integers(0, 256, s).astype(np.uint8) for s in (problem.x.shape, problem.y.shape))
    W, B = rng.integers(-128, 128, (m, c, *problem.kernel)).astype(np.int8), rng.integers(-50, 50, m).astype(np.int32)
    inner, other, target = Scale(0.11, 131), Scale(0.07, 90), Scale(0.13, problem.y.fill)
    sums = integers(x, problem.x.fill, W, B, attributes)
    factor = (rng.uniform(0.2, 3, m) * 50 / max(1, sums.std())).astype(np.float32)
    within, lower = (-np.inf, 0.0)[seed % 2], (0.0, -np.inf)[seed // 2 % 2]
    added = Addition(layout, other, inner, within)
    y = convolved(problem, x, W, B, factor, dot, before, added, r, target=target, lower=lower)
    q = quotients(sums.astype(np.float32) * factor.reshape(-1, 1, 1), inner, within, np.inf)
    total = (q.astype(np.float32) - 131) * np.float32(0.11) + (r.astype(np.float32) - 90) * np.float32(0.07)
    want = quotients(total / np.float32(0.13), target, lower, np.inf)
    assert_holds(problem.y, y, want, problem.y.fill)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_depthwise(seed: int, lanes: int) -> None:
    rng = np.random.default_rng(seed)
    before = bool(seed % 2)
    other, _, attributes = drawn(rng, lanes, before)
    assert isinstance(other.x, Blocked)
    n, c = other.x.shape[:2]
    y = replace(other.y, shape=(n, c, *other.y.shape[2:]))
    problem = replace(other, y=y, groups=c)
    x = rng.integers(0, 256, problem.x.shape).astype(np.uint8)
    W = rng.integers(-128, 128, (c, 1, *problem.kernel)).astype(np.int8)
    B = rng.integers(-5000, 5000, c).astype(np.int32)
    if seed == 0:
        x[:], W[:] = 255, -128
    sums = [integers(x[:, i : i + 1], other.x.fill, W[i : i + 1], B[i : i + 1], attributes) for i in range(c)]
    v = np.concatenate(sums, 1).astype(np.float32)
    factor = (rng.uniform(0.2, 3, c) * 100 / max(1, v.std())).astype(np.float32)
    lower, upper = [(-np.inf, np.inf), (0.0, np.inf), (-3.3, 6.1)][seed % 3]
    assert depthwise_int8.supports(problem, W, B)
    made = guarded(y.nbytes, 64, before)
    buffers = {"x": packed(other.x, x, before), "y": made}
    buffers |= {name: buffer(a, before) for name, a in depthwise_int8.pack(problem, W, B, factor).items()}
    slots = {name: i for i, name in enumerate(buffers)}
    target = Scale(0.25, y.fill)
    run(depthwise_int8.steps(problem, slots, target, lower, upper), list(buffers.values()), 1 + seed % 3)
    assert_holds(y, made, quotients(v * factor.reshape(-1, 1, 1), target, lower, upper), y.fill)


# ---- elementwise


def edge_numbers(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> np.ndarray:
    """Random numbers; halves of steps, NaN and infinities among them."""
    x = rng.standard_normal(shape) * 60 * scale
    places = rng.random(shape)
    x = np.where(places < 0.3, (np.rint(x / scale) + 0.5) * scale, x)
    for k, value in enumerate((np.nan, np.inf, -np.inf, 0.0, 1e30, -1e30)):
        x = np.where((places > 0.4 + k / 50) & (places < 0.41 + k / 50), value, x)
    return x.astype(np.float32)


def operator(name: str) -> Any:
    return registry.lookup("", name, 21)


SHAPES = [(1, 1, 1, 1), (2, 5, 3, 4), (1, 17, 4, 19), (1, 33, 7, 35), (3, 4, 1, 16), (1, 16, 40, 64)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("dtype", [BYTES, INT8])
def test_quantize_and_back(shape: tuple[int, int, int, int], lanes: int, dtype: np.dtype) -> None:
    """In every pair of layouts, as the operators give it bit for bit; addresses of plain values are odd."""
    rng = np.random.default_rng(lanes)
    signed = 128 * (dtype == INT8)
    for zero, scale, before in ((3, 0.25, False), (-100 if signed else 200, 0.037, True)):
        x = edge_numbers(rng, shape, scale)
        q = operator("QuantizeLinear")(np, x, np.float32(scale), np.array(zero, dtype))
        assert len(np.unique(q)) > 2 or q.size < 9
        back = operator("DequantizeLinear")(np, q, np.float32(scale), np.array(zero, dtype))
        what = Scale(scale, zero + signed)
        frame = [int(v) for v in rng.integers(0, 3, 4)]
        floats, bytes_ = Blocked(shape, lanes, *frame[::-1]), Blocked(shape, lanes, *frame, dtype=BYTES, fill=what.zero)
        unsigned = q.view(np.uint8) ^ np.uint8(signed)
        plain_x, plain_q = buffer(x, before, 4), buffer(q, before, 1)

        def written(layout: Layout, step: Any, source: np.ndarray, before: bool = before) -> np.ndarray:
            align = 64 if isinstance(layout, Blocked) else layout.dtype.itemsize
            target = guarded(layout.nbytes, align, before)
            target[:] = 0x55
            run([step], [source, target], threads=2)
            return target

        x_blocked = packed(floats, x, before)
        assert_holds(
            bytes_, written(bytes_, quantize.quantize(floats, bytes_, 0, 1, what), x_blocked), unsigned, what.zero
        )
        made = written(bytes_, bytes_to_blocked(Plain(shape), bytes_, 0, 1, what), plain_x)
        assert_holds(bytes_, made, unsigned, what.zero)
        made = written(bytes_, bytes_to_blocked(Plain(shape, dtype), bytes_, 0, 1), plain_q)
        assert_holds(bytes_, made, unsigned, what.zero)
        assert_holds(floats, written(floats, quantize.dequantize(bytes_, floats, 0, 1, what), made), back, 0)
        plain, flat = Plain(shape), Plain(shape, dtype)
        np.testing.assert_array_equal(
            written(flat, quantize.quantize(plain, flat, 0, 1, what), plain_x).view(dtype), q.ravel()
        )
        step = quantize.dequantize(flat, plain, 0, 1, what)
        np.testing.assert_array_equal(written(plain, step, plain_q).view(np.float32), back.ravel())
        step = bytes_from_blocked(bytes_, plain, 0, 1, what)
        np.testing.assert_array_equal(written(plain, step, made).view(np.float32), back.ravel())
        step = bytes_from_blocked(bytes_, flat, 0, 1)
        np.testing.assert_array_equal(written(flat, step, made).view(dtype), q.ravel())


def test_many_plain_numbers() -> None:
    """More than one task."""
    x = np.random.default_rng(0).standard_normal(100_003).astype(np.float32)
    what, q = Scale(0.02, 128), np.zeros(x.size, np.uint8)
    run([quantize.quantize(Plain(x.shape), Plain(x.shape, BYTES), 0, 1, what)], [x, q], threads=2)
    np.testing.assert_array_equal(q, operator("QuantizeLinear")(np, x, np.float32(0.02), np.uint8(128)))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("lanes", [4, 16])
def test_sums_and_other_scales(shape: tuple[int, int, int, int], lanes: int) -> None:
    rng = np.random.default_rng(1)
    a, b = (rng.integers(0, 256, shape).astype(np.uint8) for _ in range(2))
    first, second, target = Scale(0.11, 131), Scale(0.07, 90), Scale(0.13, 60)
    one, two = Blocked(shape, lanes, 1, 0, 2, 1, dtype=BYTES), Blocked(shape, lanes, dtype=BYTES)
    y = Blocked(shape, lanes, 0, 1, 1, 0, dtype=BYTES, fill=60)
    real_a, real_b = ((v.astype(np.float32) - s.zero) * np.float32(s.scale) for v, s in ((a, first), (b, second)))
    for lower in (-np.inf, 0.0):
        made = guarded(y.nbytes)
        step = quantize.add([one, two], y, [0, 1], 2, (first, second), target, lower)
        run([step], [packed(one, a, False), packed(two, b, False), made], threads=2)
        assert_holds(y, made, quotients((real_a + real_b) / np.float32(0.13), target, lower, np.inf), 60)
    whole = Blocked((shape[0], 2 * lanes + shape[1], *shape[2:]), lanes, 0, 1, 0, 2, dtype=BYTES, fill=60)
    made = guarded(whole.nbytes)
    made[:] = 7
    run([quantize.rescale(one, whole, 0, 1, first, target, first_block=2)], [packed(one, a, False), made])
    want = quotients(real_a / np.float32(0.13), target, -np.inf, np.inf)
    np.testing.assert_array_equal(whole.unpack(made)[:, 2 * lanes :], want)
    np.testing.assert_array_equal(whole.unpack(made)[:, : 2 * lanes], 7)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_pooling(seed: int, lanes: int) -> None:
    rng = np.random.default_rng(seed)
    k, s, d = (tuple(int(v) for v in rng.integers(1, top, 2)) for top in (5, 4, 3))
    reach = [(a - 1) * b + 1 for a, b in zip(k, d, strict=True)]
    pads = tuple(int(rng.integers(0, r)) for r in (*reach, *reach))
    shape = (int(rng.integers(1, 3)), int(rng.integers(1, 40)), *(int(rng.integers(r, r + 9)) for r in reach))
    x = rng.integers(0, 256, shape).astype(np.uint8)
    want = operator("MaxPool")(np, x, kernel_shape=k, strides=s, dilations=d, pads=pads, n_outputs=1)
    layout = Blocked(shape, lanes, *(int(v) for v in rng.integers(0, 3, 4)), dtype=BYTES)  # type: ignore[arg-type]
    y = Blocked(want.shape, lanes, 1, 0, 2, 1, dtype=BYTES, fill=77)
    source, made = packed(layout, x, bool(seed % 2)), guarded(y.nbytes)
    run([max_pool(layout, y, 0, 1, kernel=k, strides=s, dilations=d, pads=pads)], [source, made], threads=2)
    assert_holds(y, made, want, 77)
    point = Blocked((*shape[:2], 1, 1), lanes, 1, 1, 0, 0, dtype=BYTES, fill=5)
    made = guarded(point.nbytes)
    run([global_mean(layout, point, 0, 1, Scale(0.5, 100), Scale(0.3, 5))], [source, made], threads=2)
    mean = ((x.astype(np.float64) - 100) * 0.5).mean((2, 3), keepdims=True).astype(np.float32)
    want = quotients(mean / np.float32(0.3), Scale(0.3, 5), -np.inf, np.inf)
    assert_holds(point, made, want, 5)
