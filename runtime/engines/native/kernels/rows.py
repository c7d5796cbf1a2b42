"""Softmax, normalisations and reductions: whatever looks at a row before it writes one.

A plain value is taken as [outer, n, inner], the n numbers in the middle being a row. With inner = 1 a register holds
numbers of one row, else one number each of neighbouring rows. A blocked value's rows are its planes, a register holding
as many as it has lanes. How they are summed, and how exactly, is told in `sweeps`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import inf, prod

import numpy as np

from ..emit import DOUBLE, FLOAT, INT, Function, Value
from ..host import host
from ..layouts import Blocked, Plain
from ..program import Kernel, Step
from . import vmath
from .frames import FRAME_FIELDS, frame_arguments, zero_frame
from .sweeps import Operand, Rows, first_lanes

__all__ = ["REDUCTIONS", "instance_norm_steps", "norm_steps", "reduce_steps", "softmax_steps"]

TASK = 4096
"""Numbers in a task, at least, where there are so many."""


# ---- plain values

Body = Callable[[Function, Rows, Operand, Operand], None]
_FIELDS = ("x", "y", "n", "inner", "units", "group", "columns")


def _plain_kernel(name: str, body: Body, lanes: int, along: bool, y_rows: bool, more: Sequence[str] = ()) -> Kernel:
    """A kernel that applies `body` to each unit: a row, or a register's width of neighbouring rows.

    Args:
        y_rows: the output has rows as the input has, not one number for each.
    """
    f = Function(f"{name}_{'along' if along else 'across'}_{lanes}", [*_FIELDS, *more])
    x, y, n, inner = f.pointer("x"), f.pointer("y"), f.number("n"), f.number("inner")
    group, columns = f.number("group"), f.number("columns")
    first = f.task * group
    with f.range(first, f.minimum(first + group, f.number("units"))) as unit:
        outer, column = unit // columns, (unit % columns) * lanes
        at = (outer * n * inner + column) * 4
        target = y + (at if y_rows else (outer * inner + column) * 4)
        source, result = Operand(x + at, inner * 4), Operand(target, inner * 4)
        if along:
            body(f, Rows(f, lanes, n, along=True), source, result)
        else:
            full = inner - column >= lanes
            with f.when(full):
                body(f, Rows(f, lanes, n, along=False), source, result)
            with f.when(full ^ 1):
                mask = first_lanes(f, inner - column, lanes)
                body(f, Rows(f, lanes, n, along=False, columns=mask), source, result)
    return Kernel.of(f)


def _plain_arguments(outer: int, n: int, inner: int, lanes: int) -> tuple[dict[str, int], int]:
    columns = 1 if inner == 1 else -(-inner // lanes)
    units = outer * columns
    group = max(TASK // max(n * min(inner, lanes), 1), 1)
    tasks = -(-units // group)
    group = -(-units // max(tasks, 1)) or 1
    return {"n": n, "inner": inner, "units": units, "group": group, "columns": columns}, -(-units // group)


def _viewed(layout: Plain, first: int, last: int) -> tuple[int, int, int]:
    """The layout as [outer, n, inner], n being dimensions first … last."""
    if layout.dtype != np.float32:
        raise ValueError(f"rows of {layout.dtype}")
    rank = len(layout.shape)
    if not -rank <= first < rank or not -rank <= last < rank:
        raise ValueError(f"axes {first} … {last} of {rank} dimensions")
    first, last = first % rank, last % rank
    return prod(layout.shape[:first]), prod(layout.shape[first : last + 1]), prod(layout.shape[last + 1 :])


def _softmax(f: Function, rows: Rows, x: Operand, y: Operand, log: bool) -> None:
    """exp(x − max)/Σ, or x − max − log Σ."""
    greatest = rows.fold(lambda *at: rows.load(x, *at), lambda a, b: f.select(a > b, a, b), -inf, wide=False)
    top = rows.spread(greatest)

    def power(line: Value, i: Value, mask: Value | None) -> Value:
        e = vmath.exp_below(f, rows.load(x, line, i, mask) - top)
        if not log:
            rows.store(e, y, line, i, mask)
        return e

    total = rows.sum(power)
    if log:
        shift = rows.spread(vmath.log(f, f.convert(total, FLOAT)))
        rows.each(lambda *at: rows.store(rows.load(x, *at) - top - shift, y, *at))
    else:
        scale = rows.spread(f.convert(f.value(1.0, total.type) / total, FLOAT))
        rows.each(lambda *at: rows.store(rows.load(y, *at) * scale, y, *at))


@cache
def _softmax_kernel(log: bool, lanes: int, along: bool) -> Kernel:
    name = "log_softmax" if log else "softmax"
    return _plain_kernel(name, lambda f, rows, x, y: _softmax(f, rows, x, y, log), lanes, along, True)


def softmax_steps(
    layout: Plain, axis: int, x: int, y: int, *, log: bool = False, lanes: int | None = None
) -> list[Step]:
    """Softmax or LogSoftmax along one axis, from slot x to slot y, which may be the same."""
    outer, n, inner = _viewed(layout, axis, axis)
    lanes = lanes or host().lanes
    if not outer * n * inner:
        return []
    arguments, tasks = _plain_arguments(outer, n, inner, lanes)
    kernel = _softmax_kernel(log, lanes, inner == 1)
    return [Step(kernel, {"x": x, "y": y, **arguments}, tasks, 20 * outer * n * inner, "softmax")]


@dataclass(frozen=True)
class _Reduction:
    """term(x) of every number, combined from `start`; then finish(f, total, n)."""

    term: Callable[[Function, Value], Value]
    finish: Callable[[Function, Value, Value], Value]
    combine: Callable[[Function, Value, Value], Value] = lambda f, a, b: a + b
    start: float = 0.0
    wide: bool = True


def _numbers(f: Function, n: Value, like: Value) -> Value:
    return f.splat(f.convert(n, DOUBLE), like.type.lanes)


REDUCTIONS = {
    "sum": _Reduction(lambda f, x: x, lambda f, t, n: t),
    "mean": _Reduction(lambda f, x: x, lambda f, t, n: t / _numbers(f, n, t)),
    "sum_square": _Reduction(lambda f, x: x * x, lambda f, t, n: t),
    "l1": _Reduction(lambda f, x: vmath.fabs(f, x), lambda f, t, n: t),
    "l2": _Reduction(lambda f, x: x * x, lambda f, t, n: f.call("llvm.sqrt", t)),
    "max": _Reduction(lambda f, x: x, lambda f, t, n: t, vmath.maximum, -inf, False),
    "min": _Reduction(lambda f, x: x, lambda f, t, n: t, vmath.minimum, inf, False),
}
"""NaN makes all of them NaN. Squares are added in float32 before float64 takes over."""


@cache
def _reduce_kernel(kind: str, lanes: int, along: bool) -> Kernel:
    how = REDUCTIONS[kind]

    def body(f: Function, rows: Rows, x: Operand, y: Operand) -> None:
        total = rows.fold(
            lambda *at: how.term(f, rows.load(x, *at)), lambda a, b: how.combine(f, a, b), how.start, wide=how.wide
        )
        result = f.convert(how.finish(f, total, rows.n), FLOAT)
        if along or rows.columns is None:
            f.store(result, y.at)
        else:
            f.store_lanes(result, y.at, rows.columns)

    return _plain_kernel(f"reduce_{kind}", body, lanes, along, False)


def reduce_steps(
    kind: str, layout: Plain, axes: Sequence[int], x: int, y: int, *, lanes: int | None = None
) -> list[Step]:
    """A reduction over neighbouring axes; the result is plain, with or without the axes as ones.

    Args:
        kind: a key of `REDUCTIONS`.

    Raises:
        ValueError: if the axes are not neighbours.
    """
    rank = len(layout.shape)
    places = sorted({a % rank for a in axes if -rank <= a < rank})
    if len(places) != len(axes) or not places or places[-1] - places[0] != len(places) - 1:
        raise ValueError(f"{kind} over axes {list(axes)} of {rank} dimensions")
    outer, n, inner = _viewed(layout, places[0], places[-1])
    lanes = lanes or host().lanes
    if not outer * n * inner:
        raise ValueError(f"{kind} of an empty value")
    arguments, tasks = _plain_arguments(outer, n, inner, lanes)
    return [Step(_reduce_kernel(kind, lanes, inner == 1), {"x": x, "y": y, **arguments}, tasks, outer * n * inner)]


# ---- normalisations


def _normalised(
    rows: Rows, x: Operand, y: Operand, moments: tuple[Value, Value], scale: Callable[..., tuple[Value, Value]]
) -> None:
    """y = (x − mean)·s·scale + bias; scale(line, position, mask) gives the last two."""
    mean, s = moments

    def write(line: Value, i: Value, mask: Value | None) -> None:
        factor, bias = scale(line, i, mask)
        rows.store(rows.f.fma((rows.load(x, line, i, mask) - mean) * s, factor, bias), y, line, i, mask)

    rows.each(write)


@cache
def _norm_kernel(centred: bool, biased: bool, lanes: int) -> Kernel:
    more = ("scale", "epsilon", *(("bias",) if biased else ()))

    def body(f: Function, rows: Rows, x: Operand, y: Operand) -> None:
        factors, biases = (Operand(f.pointer(name), 4) for name in ("scale", "bias" if biased else "scale"))

        def scale(*at: Value) -> tuple[Value, Value]:
            zero = f.value(0.0, rows.kind)
            return rows.load(factors, *at), rows.load(biases, *at) if biased else zero

        epsilon = f.bitcast(f.number("epsilon"), DOUBLE)
        _normalised(rows, x, y, rows.moments(x, rows.n, epsilon, centred), scale)

    name = f"{'layer' if centred else 'rms'}_norm{'_bias' if biased else ''}"
    return _plain_kernel(name, body, lanes, True, True, more)


def norm_steps(
    layout: Plain,
    axis: int,
    epsilon: float,
    x: int,
    scale: int,
    bias: int | None,
    y: int,
    *,
    centred: bool = True,
    lanes: int | None = None,
) -> list[Step]:
    """LayerNormalization, or not `centred` RMSNormalization, over the dimensions from `axis` on.

    Args:
        scale, bias: slots of plain values with one number for each of a row.
        x, y: slots; they may be the same.
    """
    outer, n, _ = _viewed(layout, axis, -1)
    lanes = lanes or host().lanes
    if not outer * n:
        return []
    numbers, tasks = _plain_arguments(outer, n, 1, lanes)
    arguments = {"x": x, "y": y, "scale": scale, "epsilon": _bits(epsilon), **numbers}
    if bias is not None:
        arguments["bias"] = bias
    return [Step(_norm_kernel(centred, bias is not None, lanes), arguments, tasks, 8 * outer * n, "norm")]


def _bits(x: float) -> int:
    """A float64 as a parameter."""
    return int(struct.unpack("<q", struct.pack("<d", x))[0])


_PLANE_FIELDS = ("x", "x_base", "x_plane", "x_row", "y", "y_base", "y_plane", "y_row", "scale", "bias", "blocks")


@cache
def _instance_kernel(lanes: int) -> Kernel:
    f = Function(f"instance_norm_{lanes}", [*_PLANE_FIELDS, "epsilon", *FRAME_FIELDS])
    height, width = f.number("frame_height"), f.number("frame_width")
    pixel = 4 * lanes
    rows = Rows(f, lanes, width, along=False, lines=height)
    x, y = (
        Operand(f.pointer(p) + f.number(f"{p}_base") + f.task * f.number(f"{p}_plane"), pixel, f.number(f"{p}_row"))
        for p in ("x", "y")
    )
    moments = rows.moments(x, height * width, f.bitcast(f.number("epsilon"), DOUBLE), True)
    block = (f.task % f.number("blocks")) * pixel
    scale, bias = (f.load(rows.kind, f.pointer(name) + block) for name in ("scale", "bias"))
    _normalised(rows, x, y, moments, lambda *at: (scale, bias))
    zero_frame(f, y.at, lanes, f.value(0, INT), height)
    return Kernel.of(f)


def instance_norm_steps(
    source: Blocked, target: Blocked, epsilon: float, x: int, scale: int, bias: int, y: int
) -> list[Step]:
    """InstanceNormalization: each plane by its own mean and variance; a task is a block of planes.

    Args:
        scale, bias: slots of numbers for each channel as `Blocked((1, C, 1, 1), lanes)`, zero beyond C.
    """
    if source.shape != target.shape or source.lanes != target.lanes:
        raise ValueError(f"{source} does not go into {target}")
    if not prod(source.shape):
        return []
    arguments = {"scale": scale, "bias": bias, "blocks": source.blocks, "epsilon": _bits(epsilon)}
    for name, slot, layout in (("x", x, source), ("y", y, target)):
        arguments |= {name: slot, f"{name}_base": layout.origin, f"{name}_plane": layout.plane}
        arguments[f"{name}_row"] = layout.row
    arguments |= frame_arguments(target)
    tasks = source.shape[0] * source.blocks
    return [Step(_instance_kernel(source.lanes), arguments, tasks, 8 * prod(source.shape), "instance_norm")]
