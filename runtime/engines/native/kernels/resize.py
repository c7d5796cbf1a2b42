"""Blocked pictures made larger or smaller.

    y[i, j] = Σ over t, s of columns.weight[j, t] · rows.weight[i, s] · x[rows.place[i, s], columns.place[j, t]]

Where each row and column of the result comes from is in tables, so that there is one kernel for nearest, linear and
cubic interpolation, whatever the scale and wherever its origin lies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from ..emit import FLOAT, INT, Function, Value, vector
from ..layouts import Blocked
from ..program import NO_SLOT, Kernel, Step

__all__ = ["MOST_TAPS", "Taps", "resize"]

MOST_TAPS = 4
"""Along one axis."""

_PLACE = ("origin", "row", "plane", "image")


@dataclass(frozen=True, eq=False)
class Taps:
    """One axis: position i is Σ over t of weights[i, t]·x[places[i, t]], or x[places[i, 0]] without weights."""

    places: np.ndarray
    weights: np.ndarray | None = None

    @property
    def count(self) -> int:
        return int(self.places.shape[1])

    def constants(self, name: str, apart: int) -> dict[str, np.ndarray]:
        """Arrays for the slots of `resize`; neighbours of x along the axis lie `apart` bytes from each other."""
        made = {f"{name}_places": np.ascontiguousarray(self.places, np.int64) * apart}
        if self.weights is not None:
            made[f"{name}_weights"] = np.ascontiguousarray(self.weights, np.float32)
        return made


def resize(x: Blocked, y: Blocked, rows: Taps, columns: Taps, slots: Mapping[str, int]) -> Step:
    """Both axes at once; the frame of y is left alone. A task is a row of a block.

    Args:
        slots: of `x`, `y` and what `Taps.constants` gives: of `rows` with `x.row`, of `columns` with `x.pixel`.
    """
    arguments = {"blocks": y.blocks, "height": y.shape[2], "width": y.shape[3]}
    arguments |= {name: slots.get(name, NO_SLOT) for name in _SLOTS}
    for side, layout in (("x", x), ("y", y)):
        arguments |= {f"{side}_{name}": getattr(layout, name) for name in _PLACE}
    form = (rows.count, rows.weights is not None), (columns.count, columns.weights is not None)
    tasks = y.shape[0] * y.blocks * y.shape[2]
    flops = 2 * tasks * y.shape[3] * y.lanes * (rows.count + 1) * columns.count
    return Step(_kernel(y.lanes, *form), arguments, tasks, flops, "resize")


_SLOTS = ("x", "y", "rows_places", "rows_weights", "columns_places", "columns_weights")


@cache
def _kernel(lanes: int, down: tuple[int, bool], along: tuple[int, bool]) -> Kernel:
    """Of each axis, how many taps it has and whether they are weighted."""
    fields = [*_SLOTS, "blocks", "height", "width", *(f"{side}_{name}" for side in "xy" for name in _PLACE)]
    parts = (f"{count}{'w' if weighted else ''}" for count, weighted in (down, along))
    f = Function(f"resize_{'_'.join(parts)}_{lanes}", fields)
    height, blocks, pixel = f.number("height"), f.number("blocks"), 4 * lanes
    row, plane = f.task % height, f.task // height
    block, image = plane % blocks, plane // blocks
    source = f.pointer("x") + f.number("x_origin") + image * f.number("x_image") + block * f.number("x_plane")
    target = f.pointer("y") + f.number("y_origin") + image * f.number("y_image") + block * f.number("y_plane")
    target = target + row * f.number("y_row")
    lines = [(source + place, weight) for place, weight in _taps(f, "rows", row, down, lanes)]
    kind = vector(FLOAT, lanes)
    with f.range(f.number("width")) as i:
        taps = []
        for place, weight in _taps(f, "columns", i, along, lanes):
            column = [(f.load(kind, line + place), factor) for line, factor in lines]
            taps.append((_sum(f, column), weight))
        f.store(_sum(f, taps), target + i * pixel)
    return Kernel.of(f)


def _taps(f: Function, axis: str, i: Value, form: tuple[int, bool], lanes: int) -> list[tuple[Value, Value | None]]:
    """Place in bytes and weight, or None, of each tap of position i."""
    count, weighted = form
    places = f.pointer(f"{axis}_places") + i * (8 * count)
    found: list[tuple[Value, Value | None]] = []
    for t in range(count):
        weight = None
        if weighted:
            weight = f.splat(f.load(FLOAT, f.pointer(f"{axis}_weights") + i * (4 * count) + 4 * t), lanes)
        found.append((f.load(INT, places + 8 * t), weight))
    return found


def _sum(f: Function, terms: list[tuple[Value, Value | None]]) -> Value:
    total: Value | None = None
    for x, weight in terms:
        total = (x if weight is None else x * weight) if total is None or weight is None else f.fma(x, weight, total)
    assert total is not None
    return total
