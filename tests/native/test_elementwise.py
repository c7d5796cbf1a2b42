"""Chains of elementwise operators: every operator, broadcasting of plain and blocked values, frames, tails."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from striate.runtime.engines.native.kernels.elementwise import Expression, chain, instruction, steps, supports
from striate.runtime.engines.native.kernels.operators import OPERATORS
from striate.runtime.engines.native.layouts import Blocked, Layout, Plain
from striate.runtime.engines.native.program import Program, Step, aligned, call

from .arrays import ulps
from .guard import guarded, posix, survives

F64 = np.ndarray
_erf = np.vectorize(math.erf, [float])


def buffer_of(layout: Layout, x: np.ndarray | None = None, room: Callable[[int], np.ndarray] = aligned) -> np.ndarray:
    """Bytes that hold x, or rubbish."""
    made = room(layout.nbytes)
    made[:] = 0xFF
    if x is not None and isinstance(layout, Blocked):
        layout.pack(x, made)
    elif x is not None:
        made[:] = np.ascontiguousarray(x, layout.dtype).reshape(-1).view(np.uint8)
    return made


def walk(made: Sequence[Step], buffers: Sequence[np.ndarray], threads: int = 1) -> None:
    Program(made, {}, {}, 0, len(buffers)).run({i: b.ctypes.data for i, b in enumerate(buffers)}, threads)


def read(layout: Layout, buffer: np.ndarray) -> np.ndarray:
    """The value; of a blocked one the frame and the lanes beyond C are checked to be zero."""
    if isinstance(layout, Plain):
        return buffer[: layout.nbytes].view(layout.dtype).reshape(layout.shape)
    value = layout.unpack(buffer)
    packed = np.empty_like(buffer)
    layout.pack(value, packed)
    np.testing.assert_array_equal(packed.view(np.float32), buffer[: layout.nbytes].view(np.float32))
    return value


def run(
    expression: Expression,
    arrays: Sequence[np.ndarray],
    shape: tuple[int, ...],
    dtypes: Sequence[str] = ("float32",),
    lanes: int = 16,
) -> list[np.ndarray]:
    """A chain on plain arrays."""
    layouts = [Plain(x.shape, x.dtype) for x in arrays]
    results = [Plain(shape, np.dtype(d)) for d in dtypes]
    buffers = [buffer_of(one, x) for one, x in zip(layouts, arrays, strict=True)] + [buffer_of(y) for y in results]
    slots = list(range(len(buffers)))
    n = len(arrays)
    walk(steps(expression, layouts, results, inputs=slots[:n], outputs=slots[n:], lanes=lanes), buffers)
    return [read(y, b) for y, b in zip(results, buffers[n:], strict=True)]


def _softplus(x: F64) -> F64:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _unit(x: F64, linear: float, scale: float, inner: float = 1.0) -> F64:
    return np.where(x < 0, scale * np.expm1(np.minimum(x, 0) / inner), linear * x)


UNARY: Mapping[str, tuple[Callable[..., F64], dict[str, Any]]] = {
    # op → float64, attributes
    "Identity": (lambda x: x, {}),
    "Neg": (np.negative, {}),
    "Abs": (np.abs, {}),
    "Sign": (np.sign, {}),
    "Reciprocal": (lambda x: 1 / x, {}),
    "Sqrt": (np.sqrt, {}),
    "Exp": (np.exp, {}),
    "Log": (np.log, {}),
    "Tanh": (np.tanh, {}),
    "Erf": (_erf, {}),
    "Floor": (np.floor, {}),
    "Ceil": (np.ceil, {}),
    "Round": (np.rint, {}),
    "Relu": (lambda x: np.maximum(x, 0), {}),
    "LeakyRelu": (lambda x, alpha: np.where(x < 0, alpha * x, x), {"alpha": 1.5}),
    "ThresholdedRelu": (lambda x, alpha: np.where(x > alpha, x, 0), {"alpha": 0.75}),
    "Shrink": (
        lambda x, bias, lambd: np.where(x < -lambd, x + bias, np.where(x > lambd, x - bias, 0)),
        {"bias": 0.25, "lambd": 1.0},
    ),
    "Clip": (lambda x, min, max: np.clip(x, min, max), {"min": -0.5, "max": 2.0}),
    "HardSigmoid": (lambda x, alpha, beta: np.clip(alpha * x + beta, 0, 1), {"alpha": 0.25, "beta": 0.625}),
    "HardSwish": (lambda x: x * np.clip(x * np.float64(np.float32(1 / 6)) + 0.5, 0, 1), {}),
    "Elu": (lambda x, alpha: _unit(x, 1, alpha), {"alpha": 1.5}),
    "Selu": (lambda x, alpha, gamma: _unit(x, gamma, gamma * alpha), {"alpha": 1.5, "gamma": 1.25}),
    "Celu": (lambda x, alpha: _unit(x, 1, alpha, alpha), {"alpha": 2.0}),
    "Sigmoid": (lambda x: 1 / (1 + np.exp(-x)), {}),
    "Swish": (lambda x, alpha: x / (1 + np.exp(-alpha * x)), {"alpha": 2.0}),
    "Softplus": (_softplus, {}),
    "Softsign": (lambda x: x / (1 + np.abs(x)), {}),
    "Gelu": (lambda x, approximate: 0.5 * x * (1 + _erf(x / math.sqrt(2))), {"approximate": "none"}),
    "Mish": (lambda x: x * np.tanh(_softplus(x)), {}),
}
BINARY: Mapping[str, Callable[[F64, F64], F64]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Min": np.minimum,
    "Max": np.maximum,
    "Sum": np.add,
    "Mean": lambda a, b: (a + b) / 2,
    "Pow": np.power,
    "PRelu": lambda x, slope: np.where(x < 0, x * slope, x),
}
COMPARED: Mapping[str, Callable[[F64, F64], np.ndarray]] = {
    "Equal": np.equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
}
LOGIC: Mapping[str, Callable[..., np.ndarray]] = {"And": np.logical_and, "Or": np.logical_or, "Xor": np.logical_xor}
FLOOR = {"Gelu": 1e-15, "Mish": 1e-15, "HardSigmoid": 2.0**-24, "HardSwish": 2.0**-22, "Selu": 2.0**-26}
"""Absolute errors that do not count: where float64's own 1 + erf(x) has no digits, and beside the zeros of sums."""
ELSEWHERE = {"Not", "Where", "Cast", "IsNaN"}
VALUES = np.concatenate(
    [
        np.random.default_rng(0).normal(0, 2, 973),
        [0.0, -0.0, 1.0, -1.0, 0.5, 1.5, 2.5, -0.5, 3e-39, 1e38, -1e38, 30, -30],
    ]
).astype(np.float32)
SPECIAL = np.array([np.nan, np.inf, -np.inf], np.float32)


def test_every_operator_has_a_test() -> None:
    assert set(OPERATORS) == {*UNARY, *BINARY, *COMPARED, *LOGIC, *ELSEWHERE}


@pytest.mark.parametrize("lanes", [4, 16])
@pytest.mark.parametrize("op", UNARY)
def test_operators_of_one(op: str, lanes: int) -> None:
    right, attributes = UNARY[op]
    x = np.concatenate([VALUES, SPECIAL]) if op not in ("Gelu", "Mish") else np.concatenate([VALUES, [np.nan, np.inf]])
    x = x.astype(np.float32)
    [y] = run(Expression(1, (instruction(op, 0, **attributes),)), [x], x.shape, lanes=lanes)
    with np.errstate(all="ignore"):
        want = right(x.astype(np.float64), **attributes)
        near = np.abs(y - want) <= FLOOR.get(op, 0)
    wrong = (ulps(y, want) > 3) & ~near
    assert not wrong.any(), x[wrong]


@pytest.mark.parametrize("op", [*BINARY, *COMPARED])
def test_operators_of_two(op: str) -> None:
    a, b = (
        m.ravel() for m in np.meshgrid(np.concatenate([VALUES[-40:], SPECIAL]), np.concatenate([VALUES[-40:], SPECIAL]))
    )
    function = {**BINARY, **COMPARED}[op]
    with np.errstate(all="ignore"):
        want = function(a.astype(np.float64), b.astype(np.float64))
    dtype = "bool" if op in COMPARED else "float32"
    for lanes in (4, 16):
        [y] = run(Expression(2, (instruction(op, 0, 1),)), [a, b], a.shape, [dtype], lanes)
        if op in COMPARED:
            np.testing.assert_array_equal(y, want)
        else:
            assert ulps(y, want).max() <= 1


@pytest.mark.parametrize("exponent", [1.0, 2.0, 3.0, -1.0, 0.5, 1.7, -2.0, 0.0])
def test_constant_powers(exponent: float) -> None:
    x = np.concatenate([VALUES, SPECIAL])
    [y] = run(Expression(1, (instruction("Pow", 0, exponent),)), [x], x.shape)
    with np.errstate(all="ignore"):
        want = np.power(x.astype(np.float64), np.full(x.shape, np.float32(exponent), np.float64))
        assert ulps(y, want).max() <= 2


@pytest.mark.parametrize("dtype", ["int32", "int64", "float64"])
@pytest.mark.parametrize(
    "op", ["Add", "Sub", "Mul", "Div", "Min", "Max", "Less", "Equal", "Abs", "Neg", "Sign", "Relu"]
)
def test_other_numbers(op: str, dtype: str) -> None:
    rng = np.random.default_rng(1)
    a, b = rng.integers(-9, 9, (2, 203)).astype(dtype)
    if dtype != "float64":
        a[:2], b[:2] = np.iinfo(dtype).min, (-1, 0)
    truncated = lambda p, q: np.where(q == 0, 0, np.trunc(p / np.where(q == 0, 1, q)))  # noqa: E731
    with np.errstate(all="ignore"):
        if op == "Div" and dtype != "float64":
            want = truncated(a.astype(float), b).astype(dtype)
            want[0] = a[0]
        elif op in ("Abs", "Neg", "Sign", "Relu"):
            want = {"Abs": np.abs, "Neg": np.negative, "Sign": np.sign, "Relu": lambda v: np.maximum(v, 0)}[op](a)
        else:
            want = {**BINARY, **COMPARED}[op](a, b)
    inputs = [a] if op in ("Abs", "Neg", "Sign", "Relu") else [a, b]
    expression = Expression(len(inputs), (instruction(op, *range(len(inputs))),))
    [y] = run(expression, inputs, a.shape, [want.dtype.name])
    np.testing.assert_array_equal(y, want)


def test_logic_and_where() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.integers(0, 2, (2, 77)).astype(bool)
    for op, function in LOGIC.items():
        [y] = run(Expression(2, (instruction(op, 0, 1),)), [a, b], a.shape, ["bool"])
        np.testing.assert_array_equal(y, function(a, b))
    x = rng.normal(size=77).astype(np.float32)
    x[5] = np.nan
    chained = Expression(2, (instruction("Not", 0), instruction("Where", 2, 1, 7.5), instruction("IsNaN", 1)), (3, 4))
    y, missing = run(chained, [a, x], a.shape, ["float32", "bool"])
    np.testing.assert_array_equal(y, np.where(~a, x, np.float32(7.5)))
    np.testing.assert_array_equal(missing, np.isnan(x))


@pytest.mark.parametrize("source", ["float32", "float64", "int32", "int64", "bool"])
@pytest.mark.parametrize("target", ["float32", "float64", "int32", "int64", "bool"])
def test_cast(source: str, target: str) -> None:
    x = np.array([0, 1, -1, 2.75, -2.75, 123456789, 3, 0.25, -0.0] * 5)
    if source.startswith("float"):
        x = np.concatenate([x, [np.nan, np.inf, -np.inf, 3e9, -1e20]])
    x = x.astype(source)
    [y] = run(Expression(1, (instruction("Cast", 0, to=target),)), [x], x.shape, [target])
    with np.errstate(all="ignore"):
        want = x.astype(target)
        if target.startswith("int") and source.startswith("float"):
            bound = 2.0 ** (8 * want.itemsize - 1)
            want = np.where((x >= -bound) & (x < bound), want, np.iinfo(target).min)
    np.testing.assert_array_equal(y, want)


# ---- broadcasting

AXPY = Expression(3, (instruction("Mul", 0, 1), instruction("Add", 3, 2), instruction("Sub", 4, 0.5)))


def axpy(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> F64:
    return a.astype(np.float64) * b + c - 0.5


@pytest.mark.parametrize("seed", range(150))
def test_plain_broadcasting(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(int(s) for s in rng.choice([1, 2, 3, 5, 16, 33, 70], rng.integers(0, 5)))
    arrays = []
    for _ in range(3):
        cut = shape[int(rng.integers(0, len(shape) + 1)) :] if rng.random() < 0.4 else shape
        mine = tuple(1 if rng.random() < 0.3 else s for s in cut)
        arrays.append(rng.normal(size=mine).astype(np.float32))
    [y] = run(AXPY, arrays, shape, lanes=int(rng.choice([4, 8, 16])))
    np.testing.assert_allclose(y, np.broadcast_to(axpy(*arrays), shape), rtol=1e-6, atol=1e-6)


def _blocked_case(rng: np.random.Generator) -> tuple[list[Layout], list[np.ndarray], Blocked]:
    lanes = int(rng.choice([4, 8, 16]))
    n, c, h, w = (int(rng.choice(options)) for options in ([1, 2, 3], [1, 3, 16, 19, 32, 48], [1, 2, 7], [1, 4, 9]))
    frame = lambda: [int(v) for v in rng.integers(0, 3, 4)] if rng.random() < 0.6 else [0] * 4  # noqa: E731
    layouts: list[Layout] = []
    arrays = []
    for _ in range(3):
        kind = rng.choice(["full", "channel", "scalar", "any"], p=[0.4, 0.2, 0.1, 0.3])
        if kind == "scalar":
            layouts.append(Plain((1,) * int(rng.integers(0, 5))))
        else:
            keep = {"full": [1, 1, 1, 1], "channel": [0, 1, 0, 0], "any": rng.integers(0, 2, 4)}[kind]
            mine = tuple(s if k else 1 for s, k in zip((n, c, h, w), keep, strict=True))
            layouts.append(Blocked(mine, lanes, *frame()))
        arrays.append(rng.normal(size=layouts[-1].shape).astype(np.float32))
    return layouts, arrays, Blocked((n, c, h, w), lanes, *frame())


@pytest.mark.parametrize("seed", range(200))
def test_blocked_broadcasting(seed: int) -> None:
    layouts, arrays, target = _blocked_case(np.random.default_rng(seed))
    buffers = [buffer_of(one, x) for one, x in zip(layouts, arrays, strict=True)] + [buffer_of(target)]
    walk(steps(AXPY, layouts, [target], inputs=[0, 1, 2], outputs=[3]), buffers)
    want = np.broadcast_to(axpy(*arrays), target.shape)
    np.testing.assert_allclose(read(target, buffers[3]), want, rtol=1e-6, atol=1e-6)


def test_two_blocked_results_with_frames_of_their_own() -> None:
    x = np.random.default_rng(0).normal(size=(2, 20, 5, 6)).astype(np.float32)
    source, first, second = (Blocked(x.shape, 8, *frame) for frame in ((1, 1, 1, 1), (0, 2, 1, 0), (0, 0, 0, 0)))
    expression = Expression(1, (instruction("Exp", 0), instruction("Mul", 0, 1)), (1, 2))
    buffers = [buffer_of(source, x), buffer_of(first), buffer_of(second)]
    walk(steps(expression, [source], [first, second], inputs=[0], outputs=[1, 2]), buffers)
    np.testing.assert_allclose(read(first, buffers[1]), np.exp(x), rtol=1e-6)
    np.testing.assert_allclose(read(second, buffers[2]), x * np.exp(x), rtol=1e-6)


@pytest.mark.parametrize("shape", [(0,), (3, 0, 2), (0, 4, 2, 2)])
def test_nothing_to_do(shape: tuple[int, ...]) -> None:
    assert steps(AXPY, [Plain(shape)] * 3, [Plain(shape)], inputs=[0, 1, 2], outputs=[3]) == []
    if len(shape) == 4:
        blocked = Blocked(shape, 8)
        assert steps(AXPY, [blocked] * 3, [blocked], inputs=[0, 1, 2], outputs=[3]) == []


def test_in_place() -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(37, 129)).astype(np.float32) for _ in range(3)]
    layout = Plain((37, 129))
    buffers = [buffer_of(layout, x) for x in arrays]
    walk(steps(AXPY, [layout] * 3, [layout], inputs=[0, 1, 2], outputs=[1]), buffers)
    np.testing.assert_allclose(read(layout, buffers[1]), axpy(*arrays), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("offset", [1, 4, 8, 13])
def test_unaligned(offset: int) -> None:
    x = np.random.default_rng(0).normal(size=100).astype(np.float32)
    room = aligned(400 + 64)
    room[offset : offset + 400] = x.view(np.uint8)
    target = aligned(400 + 64)[offset : offset + 400]
    layout = Plain((100,))
    walk(
        steps(Expression(1, (instruction("Neg", 0),)), [layout], [layout], inputs=[0], outputs=[1]),
        [room[offset:], target],
    )
    np.testing.assert_array_equal(target.copy().view(np.float32), -x)


def _big_case(layout: Layout) -> tuple[list[Step], list[np.ndarray]]:
    x = np.random.default_rng(0).normal(size=layout.shape).astype(np.float32)
    made = steps(AXPY, [layout] * 3, [layout], inputs=[0, 1, 2], outputs=[3])
    return made, [buffer_of(layout, x) for _ in range(3)] + [buffer_of(layout)]


@pytest.mark.parametrize(
    "layout",
    [Plain((3, 50001)), Plain((900, 61)), Blocked((2, 40, 30, 31), 16, 1, 1, 1, 1), Blocked((2, 64, 30, 31), 8)],
)
def test_any_split_and_order_of_tasks_gives_the_same_bits(layout: Layout) -> None:
    [step], buffers = _big_case(layout)
    assert step.tasks >= 8
    walk([step], buffers)
    want = buffers[3].copy()
    for threads in (2, 3):
        buffers[3][:] = 0xFF
        walk([step], buffers, threads)
        np.testing.assert_array_equal(buffers[3], want)
    buffers[3][:] = 0xFF
    slots, table, function = np.array([b.ctypes.data for b in buffers]), step.table(), call(step.kernel)
    for task in reversed(range(step.tasks)):
        function(table.ctypes.data, slots.ctypes.data, task)
    np.testing.assert_array_equal(buffers[3], want)


@posix
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_nothing_beside_the_buffers_is_touched(seed: int, before: bool) -> None:
    rng = np.random.default_rng(seed)
    if seed % 2:
        layouts, arrays, target = _blocked_case(rng)
        room = lambda nbytes: guarded(nbytes, 64, before)  # noqa: E731
    else:
        shape = tuple(int(s) for s in rng.integers(1, 40, 3))
        layouts, target = [Plain(shape), Plain(shape[1:]), Plain((shape[0], 1, 1))], Plain(shape)
        arrays = [rng.normal(size=one.shape) for one in layouts]
        room = lambda nbytes: guarded(nbytes, 4, before)  # noqa: E731
    lanes = [4, 8, 16][seed % 3]
    made = steps(AXPY, layouts, [target], inputs=[0, 1, 2], outputs=[3], lanes=lanes)
    buffers = [buffer_of(one, x, room) for one, x in zip(layouts, arrays, strict=True)] + [
        buffer_of(target, None, room)
    ]
    assert survives(lambda: walk(made, buffers))


def test_what_is_not_supported() -> None:
    x, y, blocked = Plain((2, 3)), Plain((4, 3)), Blocked((1, 8, 2, 2), 8)
    neg, exp = (Expression(1, (instruction(op, 0),)) for op in ("Neg", "Exp"))
    assert supports(neg, [x], [x])
    for expression, inputs, outputs in (
        (neg, [x], [y]),
        (neg, [Plain((1, 8, 2, 2))], [blocked]),
        (neg, [blocked], [Plain((1, 8, 2, 2))]),
        (neg, [Plain((2, 3), np.dtype("float16"))], [Plain((2, 3), np.dtype("float16"))]),
        (exp, [Plain((2, 3), np.dtype("float64"))], [Plain((2, 3), np.dtype("float64"))]),
        (neg, [x, x], [x]),
        (Expression(1, (instruction("NonMaxSuppression", 0),)), [x], [x]),
        (Expression(1, (instruction("Cast", 0, to="int32"),)), [x], [x]),
        (Expression(1, (instruction("Where", 0, 0, 0),)), [x], [x]),
        (Expression(1, (instruction("Elu", 0, slope=2.0),)), [x], [x]),
    ):
        assert not supports(expression, inputs, outputs)


def test_constants_of_either_sign_of_zero() -> None:
    x = np.array([1.0, -1.0], np.float32)
    for zero in (0.0, -0.0):
        [y] = run(Expression(1, (instruction("Mul", 0, zero),)), [x], x.shape)
        np.testing.assert_array_equal(np.signbit(y), np.signbit(x * np.float32(zero)))


def test_one_kernel_serves_many_shapes() -> None:
    kernels = {chain(AXPY, [Plain(s)] * 3, [Plain(s)], lanes=8).name for s in ((7,), (3, 4), (2, 9, 100), (1, 1), ())}
    assert len(kernels) <= 2
