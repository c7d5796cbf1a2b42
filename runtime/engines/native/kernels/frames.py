"""The zeros around the planes of a `Blocked` value, and plain images put into such a frame.

Of a quantised value they are bytes that stand for zero.

Writers of a value may zero its frame themselves, through `FRAME_FIELDS` and `zero_frame`; for those that do not there
is `frame_step`.
"""

from __future__ import annotations

from functools import cache

from ..emit import BYTE, FLOAT, Function, Value, vector
from ..layouts import FLOAT32, Blocked, Plain
from ..program import Kernel, Step

__all__ = ["FRAME_FIELDS", "frame_arguments", "frame_step", "framed", "pad_step", "zero_frame"]

FRAME_FIELDS = ("frame_height", "frame_width", "frame_top", "frame_left", "frame_bottom", "frame_right")
"""In positions; what a kernel that calls `zero_frame` has among its fields."""


def framed(layout: Blocked) -> bool:
    """Has it a frame at all?"""
    return bool(layout.top or layout.left or layout.bottom or layout.right)


def frame_arguments(layout: Blocked) -> dict[str, int]:
    """For `FRAME_FIELDS`."""
    _, _, height, width = layout.shape
    sizes = (height, width, layout.top, layout.left, layout.bottom, layout.right)
    return dict(zip(FRAME_FIELDS, sizes, strict=True))


def zero_frame(f: Function, origin: Value, lanes: int, first: Value, stop: Value, byte: Value | None = None) -> None:
    """Zeroes the frame beside rows `first` … `stop` − 1 of a plane; above the first row and below the last one too.

    Args:
        origin: the address of position (0, 0) of the plane.
        byte: the zero of a value of bytes; of float32 without it.
    """
    height, width, top, left, bottom, right = (f.number(name) for name in FRAME_FIELDS)
    zero = f.value(0.0, vector(FLOAT, lanes)) if byte is None else f.splat(byte, lanes)
    pixel, filled = zero.type.size, 0 if byte is None else byte
    row = (left + width + right) * pixel
    with f.range(first, stop) as y:
        start = origin + y * row
        with f.range(left) as i:
            f.store(zero, start + (i + 1) * -pixel)
        with f.range(right) as i:
            f.store(zero, start + (width + i) * pixel)
    with f.when(first.equals(0)):
        f.fill(origin + -(left * pixel + top * row), filled, top * row)
    with f.when(stop.equals(height)):
        f.fill(origin + (height * row - left * pixel), filled, bottom * row)


@cache
def _frame_kernel(lanes: int, bytewise: bool) -> Kernel:
    fields = ["y", "origin", "image", "blocks", "plane", "fill", *FRAME_FIELDS]
    f = Function(f"frame_{lanes}{'_bytes' if bytewise else ''}", fields)
    image, block = f.task // f.number("blocks"), f.task % f.number("blocks")
    origin = f.pointer("y") + f.number("origin") + image * f.number("image") + block * f.number("plane")
    byte = f.convert(f.number("fill"), BYTE) if bytewise else None
    zero_frame(f, origin, lanes, f.value(0, f.task.type), f.number("frame_height"), byte)
    return Kernel.of(f)


def frame_step(layout: Blocked, y: int) -> Step:
    """Zeroes the frame of the value in slot `y`; the positions within are left as they are."""
    place = {"y": y, "fill": layout.fill, **{n: getattr(layout, n) for n in ("origin", "image", "blocks", "plane")}}
    arguments = {**place, **frame_arguments(layout)}
    kernel = _frame_kernel(layout.lanes, layout.dtype != FLOAT32)
    return Step(kernel, arguments, layout.shape[0] * layout.blocks, label="frame")


@cache
def _pad_kernel() -> Kernel:
    f = Function("pad", ["x", "y", "origin", "plane", *FRAME_FIELDS])
    height, width = f.number("frame_height"), f.number("frame_width")
    row = (f.number("frame_left") + width + f.number("frame_right")) * 4
    source = f.pointer("x") + f.task * height * width * 4
    target = f.pointer("y") + f.number("origin") + f.task * f.number("plane")
    with f.range(height) as y:
        f.copy(target + y * row, source + y * width * 4, width * 4)
    zero_frame(f, target, 1, f.value(0, f.task.type), height)
    return Kernel.of(f)


def pad_step(source: Plain, target: Blocked, x: int, y: int) -> Step:
    """Copies plain images in slot `x` into the frame of `target`, whose blocks are of one channel, in slot `y`."""
    if target.lanes != 1 or target.shape != source.shape:
        raise ValueError(f"{source.shape} does not go into {target}")
    arguments = {"x": x, "y": y, "origin": target.origin, "plane": target.plane, **frame_arguments(target)}
    return Step(_pad_kernel(), arguments, target.shape[0] * target.shape[1], label="pad")
