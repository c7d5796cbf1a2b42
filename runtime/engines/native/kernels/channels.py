"""Channels of blocked values in another order.

A register of the result is put together of runs of channels that lie beside each other in the source too, as long as
there are for all registers, and then its lanes are turned as those of a transposed matrix: that is what a shuffle of
channels between groups needs (Zhang et al. 2017, ShuffleNet), and any other order has runs of one channel.

A few rows of all blocks are passed together: they stay in the first-level cache while each block takes its channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from ..emit import FLOAT, INT, Function, Value, vector
from ..host import host
from ..layouts import Blocked
from ..program import Kernel, Step
from .frames import FRAME_FIELDS, frame_arguments, zero_frame
from .sweeps import first_lanes

__all__ = ["channel_table", "permute_channels"]

TASK = 65536
"""Bytes of a task, about."""

_PLACE = ("origin", "row", "plane", "image")
_FIELDS = (
    *("x", "y", "table", "blocks", "channels", "units", "group", "chunks"),
    *(f"{side}_{name}" for side in "xy" for name in _PLACE),
    *FRAME_FIELDS,
)


@dataclass(frozen=True)
class _Pattern:
    """Lane j·groups + i of a register is element i·(lanes/groups) + j of its runs of `run` channels.

    Attributes:
        places: where each run of each block of the result begins in an image of the source, in bytes.
    """

    groups: int
    run: int
    places: np.ndarray


def channel_table(x: Blocked, order: Sequence[int]) -> np.ndarray:
    """What `permute_channels` is given in the slot `table`."""
    return _pattern(x, order).places


def permute_channels(x: Blocked, y: Blocked, order: Sequence[int], x_slot: int, y_slot: int, table_slot: int) -> Step:
    """Channel c of y is channel order[c] of x; the frame of y is zeroed too."""
    n, c, h, w = y.shape
    pattern = _pattern(x, order)
    nbytes = max(w * x.pixel * x.blocks, 1)
    chunks = max(1, min(h, -(-h * nbytes // (host().l1 * 3 // 4))))
    units, group = n * chunks, max(1, TASK * chunks // (h * nbytes))
    arguments = {"x": x_slot, "y": y_slot, "table": table_slot, "blocks": y.blocks, "channels": c}
    arguments |= {"units": units, "group": group, "chunks": chunks, **frame_arguments(y)}
    for side, layout in (("x", x), ("y", y)):
        arguments |= {f"{side}_{name}": getattr(layout, name) for name in _PLACE}
    return Step(_kernel(y.lanes, pattern.groups, pattern.run), arguments, -(-units // group), label="permute channels")


def _pattern(x: Blocked, order: Sequence[int]) -> _Pattern:
    """The one with the longest runs."""
    source = np.array(order, np.int64)
    places = np.full((-(-len(source) // x.lanes), x.lanes), -1, np.int64)
    places.ravel()[: len(source)] = source // x.lanes * x.plane + source % x.lanes * 4
    run = x.lanes
    while True:
        groups = 1
        while groups * run <= x.lanes:
            turned = places.reshape(-1, x.lanes // groups, groups).transpose(0, 2, 1)
            found = _runs(turned.reshape(len(places), -1, run), x.pixel)
            if found is not None:
                return _Pattern(groups, run, found)
            groups *= 2
        run //= 2


def _runs(places: np.ndarray, pixel: int) -> np.ndarray | None:
    """Where runs begin, if they are runs; −1 stands for lanes that may hold anything."""
    starts = np.where(places < 0, -1, places - 4 * np.arange(places.shape[-1]))
    first = starts.max(-1)
    together = ((starts == first[..., None]) | (places < 0)).all()
    first = np.where((places < 0).all(-1), 0, first)
    inside = ((first >= 0) & (first % pixel + 4 * places.shape[-1] <= pixel)).all()
    return np.ascontiguousarray(first) if together and inside else None


@cache
def _kernel(lanes: int, groups: int, run: int) -> Kernel:
    f = Function(f"permute_channels_{lanes}_{groups}x{run}", list(_FIELDS))
    register, pieces = vector(FLOAT, lanes), lanes // run
    height, width = f.number("frame_height"), f.number("frame_width")
    chunks, blocks = f.number("chunks"), f.number("blocks")
    first = f.task * f.number("group")
    with f.range(first, f.minimum(first + f.number("group"), f.number("units"))) as unit:
        chunk, image = unit % chunks, unit // chunks
        start, stop = chunk * height // chunks, (chunk + 1) * height // chunks
        source = f.pointer("x") + (f.number("x_origin") + image * f.number("x_image"))
        result = f.pointer("y") + (f.number("y_origin") + image * f.number("y_image"))
        with f.range(blocks) as block:
            table, target = f.pointer("table") + block * (8 * pieces), result + block * f.number("y_plane")
            runs = [source + f.load(INT, table + 8 * piece) for piece in range(pieces)]
            valid = first_lanes(f, f.number("channels") - block * lanes, lanes)
            with f.range(start, stop) as y, f.range(width) as x:
                there = y * f.number("x_row") + x * register.size
                together = _joined(f, [f.load(vector(FLOAT, run), at + there) for at in runs])
                rows = lanes // groups
                turned = f.shuffle(together, together, [i % groups * rows + i // groups for i in range(lanes)])
                at = target + (y * f.number("y_row") + x * register.size)
                f.store(f.select(valid, turned, 0.0), at, register.size)
            zero_frame(f, target, lanes, start, stop)
    return Kernel.of(f)


def _joined(f: Function, parts: list[Value]) -> Value:
    """A power of two of numbers, or of vectors, one after the other."""
    if len(parts) > 1 and not parts[0].type.lanes:
        pair = vector(parts[0].type, 2)
        parts = [
            f.emit(pair, f"insertelement {pair} {f.splat(a, 2).text}, {b.type} {b.text}, i64 1")
            for a, b in zip(parts[::2], parts[1::2], strict=True)
        ]
    while len(parts) > 1:
        order = range(2 * parts[0].type.lanes)
        parts = [f.shuffle(a, b, order) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]
