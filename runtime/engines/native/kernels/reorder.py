"""Between layouts: plain [N, C, H, W] to blocks of channels and back, and from one frame to another."""

from __future__ import annotations

from functools import cache

from ..emit import FLOAT, Function, Value
from ..layouts import Blocked, Plain
from ..program import Kernel, Step

__all__ = ["from_blocked", "reframe", "to_blocked"]


def to_blocked(x: Plain, y: Blocked, x_slot: int, y_slot: int) -> Step:
    """Plain [N, C, H, W] → Blocked, the frame of y left alone; one task for each row of each block."""
    n, c, h, w = y.shape
    arguments = {"x": x_slot, "y": y_slot, "channels": c, "height": h, "width": w, **_strides(y)}
    return Step(_to_blocked(y.lanes), arguments, n * y.blocks * h, label=f"reorder {list(x.shape)} to blocks")


def from_blocked(x: Blocked, x_slot: int, y_slot: int) -> Step:
    """Blocked → plain [N, C, H, W]; one task for each row of each block."""
    n, c, h, w = x.shape
    arguments = {"x": x_slot, "y": y_slot, "channels": c, "height": h, "width": w, **_strides(x)}
    return Step(_from_blocked(x.lanes), arguments, n * x.blocks * h, label=f"reorder {list(x.shape)} from blocks")


def reframe(x: Blocked, y: Blocked, x_slot: int, y_slot: int, *, first_block: int = 0) -> Step:
    """The same values under another frame, or as some blocks of a value with more of them; y's frame left alone."""
    n, _, h, w = x.shape
    arguments = {
        "x": x_slot, "y": y_slot, "height": h, "blocks": x.blocks, "bytes": w * x.pixel,
        "x_origin": x.origin, "x_row": x.row, "x_plane": x.plane, "x_image": x.image,
        "y_origin": y.origin + first_block * y.plane, "y_row": y.row, "y_plane": y.plane, "y_image": y.image,
    }  # fmt: skip
    return Step(_reframe(), arguments, n * x.blocks * h, label="copy blocks")


_PLACE = ("origin", "row", "plane", "image", "blocks")


def _strides(layout: Blocked) -> dict[str, int]:
    return {name: getattr(layout, name) for name in _PLACE}


def _row_of_task(f: Function) -> tuple[Value, Value, Value, Value]:
    """Image, block and row of a task, and where that row begins, in bytes."""
    height, blocks = f.number("height"), f.number("blocks")
    y = f.task % height
    plane = f.task // height
    block, image = plane % blocks, plane // blocks
    place = f.number("origin") + image * f.number("image") + block * f.number("plane") + y * f.number("row")
    return image, block, y, place


def _plain_row(f: Function, image: Value, block: Value, y: Value, lanes: int) -> tuple[Value, Value, Value]:
    """Where row y of a block's first channel begins in a plain tensor, bytes from channel to channel, and the number of
    channels that the block has."""
    channels, height, width = f.number("channels"), f.number("height"), f.number("width")
    first = block * lanes
    between = height * width * 4
    place = ((image * channels + first) * height + y) * width * 4
    return place, between, f.minimum(channels - first, lanes)


@cache
def _to_blocked(lanes: int) -> Kernel:
    f = Function(f"to_blocked_{lanes}", ["x", "y", "channels", "height", "width", *_PLACE])
    image, block, y, place = _row_of_task(f)
    target = f.pointer("y") + place
    start, between, count = _plain_row(f, image, block, y, lanes)
    source = f.pointer("x") + start
    width = f.number("width")
    with f.range(count) as c, f.range(width) as i:
        f.store(f.load(FLOAT, source + c * between + i * 4), target + i * (4 * lanes) + c * 4)
    zero = f.value(0.0, FLOAT)
    with f.range(count, lanes) as c, f.range(width) as i:
        f.store(zero, target + i * (4 * lanes) + c * 4)
    return Kernel.of(f)


@cache
def _from_blocked(lanes: int) -> Kernel:
    f = Function(f"from_blocked_{lanes}", ["x", "y", "channels", "height", "width", *_PLACE])
    image, block, y, place = _row_of_task(f)
    source = f.pointer("x") + place
    start, between, count = _plain_row(f, image, block, y, lanes)
    target = f.pointer("y") + start
    with f.range(count) as c, f.range(f.number("width")) as i:
        f.store(f.load(FLOAT, source + i * (4 * lanes) + c * 4), target + c * between + i * 4)
    return Kernel.of(f)


@cache
def _reframe() -> Kernel:
    sides = [f"{side}_{name}" for side in "xy" for name in ("origin", "row", "plane", "image")]
    f = Function("reframe", ["x", "y", "height", "blocks", "bytes", *sides])
    height, blocks = f.number("height"), f.number("blocks")
    row, plane = f.task % height, f.task // height
    block, image = plane % blocks, plane // blocks
    source, target = (
        f.pointer(side)
        + f.number(f"{side}_origin")
        + image * f.number(f"{side}_image")
        + block * f.number(f"{side}_plane")
        + row * f.number(f"{side}_row")
        for side in "xy"
    )
    f.copy(target, source, f.number("bytes"))
    return Kernel.of(f)
