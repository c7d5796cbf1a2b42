"""Elements picked by tables: runs of plain values taken by index."""

from __future__ import annotations

from functools import cache

from ..emit import INT, Function
from ..program import Kernel, Step
from .copies import ELEMENTS, TASK

__all__ = ["take"]


def take(outer: int, apart: int, count: int, inner: int, x_slot: int, y_slot: int, table_slot: int) -> Step:
    """y[o, i] = x[o, table[i]], each so many bytes: `outer` times `count` runs of `inner` bytes.

    Args:
        apart: bytes from x[o] to x[o + 1].
        table_slot: of int64 places within x[o], in bytes.
    """
    rows = outer * count
    group = min(rows, max(TASK // inner, 1))
    item = next(n for n in (8, 4, 2, 1) if inner % n == 0)
    arguments = {"x": x_slot, "y": y_slot, "table": table_slot, "apart": apart, "count": count, "inner": inner}
    arguments |= {"rows": rows, "group": group}
    return Step(_take(item, inner == item), arguments, -(-rows // group), label="take")


@cache
def _take(item: int, single: bool) -> Kernel:
    """A task is `group` runs; `single` ones are of one element of `item` bytes."""
    fields = ["x", "y", "table", "apart", "count", "inner", "rows", "group"]
    f = Function(f"take_{item}{'_single' if single else ''}", fields)
    x, y, table, count, inner = f.pointer("x"), f.pointer("y"), f.pointer("table"), f.number("count"), f.number("inner")
    first = f.task * f.number("group")
    kind = ELEMENTS[item]
    with f.range(first, f.minimum(first + f.number("group"), f.number("rows"))) as row:
        source = x + row // count * f.number("apart") + f.load(INT, table + row % count * 8)
        target = y + row * inner
        if single:
            f.store(f.load(kind, source), target)
        else:
            f.copy(target, source, inner)
    return Kernel.of(f)
