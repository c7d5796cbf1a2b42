"""Elements picked by tables: runs of plain values taken by index, channels of blocked values in another order."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from ..emit import FLOAT, INT, Function
from ..layouts import Blocked
from ..program import Kernel, Step
from .copies import ELEMENTS, TASK

__all__ = ["channel_table", "permute_channels", "take"]

_PLACE = ("origin", "row", "plane", "image")


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


def channel_table(x: Blocked, order: Sequence[int]) -> np.ndarray:
    """Where the channels that the result's channels are lie in an image of x, in bytes; −1 beyond the last."""
    table = np.full(-(-len(order) // x.lanes) * x.lanes, -1, np.int64)
    for channel, source in enumerate(order):
        table[channel] = source // x.lanes * x.plane + source % x.lanes * 4
    return table


def permute_channels(x: Blocked, y: Blocked, x_slot: int, y_slot: int, table_slot: int) -> Step:
    """Channel c of y is the one that `table[c]` says; the frame of y is left alone. A task is a row of a block."""
    arguments = {"x": x_slot, "y": y_slot, "table": table_slot, "blocks": y.blocks, "height": y.shape[2]}
    arguments["width"] = y.shape[3]
    for side, layout in (("x", x), ("y", y)):
        arguments |= {f"{side}_{name}": getattr(layout, name) for name in _PLACE}
    return Step(_permute(y.lanes), arguments, y.shape[0] * y.blocks * y.shape[2], label="permute channels")


@cache
def _permute(lanes: int) -> Kernel:
    fields = ["x", "y", "table", "blocks", "height", "width", *(f"{side}_{name}" for side in "xy" for name in _PLACE)]
    f = Function(f"permute_channels_{lanes}", fields)
    height, blocks, width = f.number("height"), f.number("blocks"), f.number("width")
    row, plane = f.task % height, f.task // height
    block, image = plane % blocks, plane // blocks
    source = f.pointer("x") + f.number("x_origin") + image * f.number("x_image") + row * f.number("x_row")
    target = f.pointer("y") + f.number("y_origin") + image * f.number("y_image")
    target = target + block * f.number("y_plane") + row * f.number("y_row")
    table = f.pointer("table") + block * (8 * lanes)
    zero = f.value(0.0, FLOAT)
    for lane in range(lanes):
        place = f.load(INT, table + 8 * lane)
        with f.when(place >= 0), f.range(width) as i:
            f.store(f.load(FLOAT, source + place + i * (4 * lanes)), target + i * (4 * lanes) + 4 * lane)
        with f.when(place < 0), f.range(width) as i:
            f.store(zero, target + i * (4 * lanes) + 4 * lane)
    return Kernel.of(f)
