"""ArgMax and ArgMin of plain values: where along an axis the greatest or the smallest number is."""

from __future__ import annotations

from functools import cache

from ..emit import FLOAT, INT, INT32, Function, Value, vector
from ..host import host
from ..layouts import Plain
from ..program import Kernel, Step
from .rows import TASK, _viewed
from .sweeps import first_lanes

__all__ = ["place_steps"]


def place_steps(
    layout: Plain, axis: int, x: int, y: int, *, smallest: bool = False, last: bool = False, lanes: int | None = None
) -> list[Step]:
    """int64 places of the extremum, of several the first or the `last`; NaN is more extreme than any number."""
    outer, n, inner = _viewed(layout, axis, axis)
    lanes = 1 if inner == 1 else lanes or host().lanes
    columns = -(-inner // lanes)
    units = outer * columns
    group = max(1, TASK // (n * min(inner, lanes)))
    arguments = {"x": x, "y": y, "n": n, "inner": inner, "columns": columns, "units": units, "group": group}
    name = f"arg{'min' if smallest else 'max'}"
    return [Step(_kernel(smallest, last, lanes), arguments, -(-units // group), 2 * outer * n * inner, name)]


@cache
def _kernel(smallest: bool, last: bool, lanes: int) -> Kernel:
    """[outer, n, inner]: a register holds numbers of as many neighbouring rows as it has lanes."""
    name = f"arg{'min' if smallest else 'max'}{'_last' if last else ''}_{lanes}"
    f = Function(name, ["x", "y", "n", "inner", "columns", "units", "group"])
    n, inner, columns = f.number("n"), f.number("inner"), f.number("columns")
    first = f.task * f.number("group")
    with f.range(first, f.minimum(first + f.number("group"), f.number("units"))) as unit:
        outer, column = unit // columns, (unit % columns) * lanes
        x = f.pointer("x") + (outer * n * inner + column) * 4
        y = f.pointer("y") + (outer * inner + column) * 8
        full = inner - column >= lanes
        with f.when(full):
            f.store(_found(f, x, n, inner, smallest, last, lanes, None), y)
        if lanes > 1:
            with f.when(full ^ 1):
                mask = first_lanes(f, inner - column, lanes)
                f.store_lanes(_found(f, x, n, inner, smallest, last, lanes, mask), y, mask)
    return Kernel.of(f)


def _found(
    f: Function, x: Value, n: Value, inner: Value, smallest: bool, last: bool, lanes: int, mask: Value | None
) -> Value:
    """The places of one register's rows."""
    kind = vector(FLOAT, lanes)

    def load(i: Value | int) -> Value:
        address = x + inner * i * 4
        return f.load(kind, address) if mask is None else f.load_lanes(kind, address, mask)

    best, place = f.variable(kind, load(0)), f.variable(vector(INT32, lanes), 0)
    with f.range(1, n) as i:
        value, known = load(i), best.get()
        a, b = (known, value) if smallest else (value, known)
        better = (a >= b if last else a > b) | (_nan(value) if last else _nan(value) & known.equals(known))
        best.set(f.select(better, value, known))
        place.set(f.select(better, f.splat(f.convert(i, INT32), lanes), place.get()))
    return f.convert(place.get(), INT)


def _nan(x: Value) -> Value:
    return x.equals(x) ^ 1
