"""Elements moved: plain tensors transposed, channels of blocked values put into another order."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import prod

import numpy as np

from ..emit import FLOAT, INT, Function
from ..layouts import Blocked, Plain
from ..program import Kernel, Step

__all__ = ["RANK", "channel_table", "merged", "permute_channels", "transpose"]

RANK = 6
"""Of a transposition, after axes that stay neighbours are merged."""

_PLACE = ("origin", "row", "plane", "image")


def merged(shape: Sequence[int], perm: Sequence[int]) -> tuple[list[int], list[int]]:
    """Sizes of the result's axes and how far apart their elements lie in the source, in elements; runs are merged."""
    strides = [prod(shape[i + 1 :]) for i in range(len(shape))]
    sizes, apart = [1], [0]
    for axis in perm:
        size, stride = shape[axis], strides[axis]
        if size == 1:
            continue
        if apart[-1] == size * stride:
            sizes[-1], apart[-1] = sizes[-1] * size, stride
        else:
            sizes.append(size)
            apart.append(stride)
    return (sizes[1:], apart[1:]) if len(sizes) > 1 else ([1], [1])


def transpose(x: Plain, perm: Sequence[int], x_slot: int, y_slot: int) -> Step:
    """y = x with its axes in the order `perm`; one task for each row of the result's last two axes.

    Raises:
        ValueError: if more than `RANK` axes are left.
    """
    sizes, apart = merged(x.shape, perm)
    if len(sizes) > RANK:
        raise ValueError(f"{len(sizes)} axes; at most {RANK} can be transposed")
    tasks = prod(sizes[:-2])
    sizes, apart = [1] * (RANK - len(sizes)) + sizes, [0] * (RANK - len(apart)) + apart
    item = x.dtype.itemsize
    arguments = {"x": x_slot, "y": y_slot}
    arguments |= {f"size{i}": n for i, n in enumerate(sizes)} | {f"apart{i}": n * item for i, n in enumerate(apart)}
    return Step(_transpose(item, apart[-1] == 1), arguments, tasks, label=f"transpose {list(perm)}")


@cache
def _transpose(item: int, contiguous: bool) -> Kernel:
    fields = ["x", "y", *(f"{name}{i}" for name in ("size", "apart") for i in range(RANK))]
    f = Function(f"transpose_{item}{'_rows' if contiguous else ''}", fields)
    source, left = f.pointer("x"), f.task
    for axis in reversed(range(RANK - 2)):
        size = f.number(f"size{axis}")
        source = source + (left % size) * f.number(f"apart{axis}")
        left = left // size
    rows, columns = f.number(f"size{RANK - 2}"), f.number(f"size{RANK - 1}")
    down, along = f.number(f"apart{RANK - 2}"), f.number(f"apart{RANK - 1}")
    target = f.pointer("y") + f.task * rows * columns * item
    kind = {4: FLOAT, 8: INT}[item]
    with f.range(rows) as i:
        if contiguous:
            f.copy(target + i * columns * item, source + i * down, columns * item)
        else:
            with f.range(columns) as j:
                f.store(f.load(kind, source + i * down + j * along), target + (i * columns + j) * item)
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
