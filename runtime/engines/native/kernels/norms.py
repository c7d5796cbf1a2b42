"""Normalisations of plain values by groups of channels, and by the norm of a row."""

from __future__ import annotations

from functools import cache
from math import inf, prod
from typing import Literal

from ..emit import DOUBLE, FLOAT, Function, Value
from ..host import host
from ..layouts import Plain
from ..program import Kernel, Step
from . import vmath
from .rows import TASK, _bits, _normalised, _plain_arguments, _plain_kernel, _viewed
from .sweeps import Operand, Rows

__all__ = ["group_norm_steps", "lp_norm_steps"]

_FIELDS = ("x", "y", "scale", "bias", "n", "lines", "groups", "units", "together", "epsilon")


def group_norm_steps(
    layout: Plain, groups: int, epsilon: float, x: int, scale: int, bias: int, y: int, *, lanes: int | None = None
) -> list[Step]:
    """[N, C, …]: the channels of each of `groups` by their own mean and variance, then by scale and bias [C]."""
    n, c, *size = layout.shape
    lines, length, units = c // groups, prod(size), n * groups
    lanes = lanes or host().lanes
    together = min(units, max(1, TASK // max(lines * length, 1)))
    arguments = {"x": x, "y": y, "scale": scale, "bias": bias, "n": length, "lines": lines, "groups": groups}
    arguments |= {"units": units, "together": together, "epsilon": _bits(epsilon)}
    return [Step(_group_kernel(lanes), arguments, -(-units // together), 8 * prod(layout.shape), "group norm")]


@cache
def _group_kernel(lanes: int) -> Kernel:
    """A group of an example is a row of `lines` channels; a task is some of them."""
    f = Function(f"group_norm_{lanes}", _FIELDS)
    n, lines, groups = f.number("n"), f.number("lines"), f.number("groups")
    first = f.task * f.number("together")
    with f.range(first, f.minimum(first + f.number("together"), f.number("units"))) as unit:
        at = unit * lines * n * 4
        x, y = (Operand(f.pointer(name) + at, 4, n * 4) for name in "xy")
        rows = Rows(f, lanes, n, along=True, lines=lines)
        moments = rows.moments(x, lines * n, f.bitcast(f.number("epsilon"), DOUBLE), True)
        channel = (unit % groups) * lines

        def factors(line: Value, i: Value, mask: Value | None, channel: Value = channel) -> tuple[Value, Value]:
            offset = (channel + line) * 4
            scale, bias = (f.splat(f.load(FLOAT, f.pointer(name) + offset), lanes) for name in ("scale", "bias"))
            return scale, bias

        _normalised(rows, x, y, moments, factors)
    return Kernel.of(f)


def lp_norm_steps(
    layout: Plain, axis: int, p: Literal[1, 2], x: int, y: int, *, lanes: int | None = None
) -> list[Step]:
    """Along one axis x / Σ|x|, or x / √Σx²; zero where that is zero."""
    outer, n, inner = _viewed(layout, axis, axis)
    lanes = lanes or host().lanes
    arguments, tasks = _plain_arguments(outer, n, inner, lanes)
    kernel = _lp_kernel(p, lanes, inner == 1)
    return [Step(kernel, {"x": x, "y": y, **arguments}, tasks, 3 * prod(layout.shape), f"l{p} norm")]


@cache
def _lp_kernel(p: int, lanes: int, along: bool) -> Kernel:
    def body(f: Function, rows: Rows, x: Operand, y: Operand) -> None:
        def term(line: Value, i: Value, mask: Value | None) -> Value:
            value = rows.load(x, line, i, mask)
            return vmath.fabs(f, value) if p == 1 else value * value

        total = rows.sum(term)
        norm = f.convert(total if p == 1 else f.call("llvm.sqrt", total), FLOAT)
        norm = rows.spread(f.select(norm.equals(0.0), f.value(inf, norm.type), norm))
        rows.each(lambda *at: rows.store(rows.load(x, *at) / norm, y, *at))

    return _plain_kernel(f"l{p}_norm", body, lanes, along, True)
