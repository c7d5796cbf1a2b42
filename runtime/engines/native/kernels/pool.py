"""Pooling of blocked values: the largest or the mean of each window, one register of channels at a time.

Windows are cut off at the border of the picture, so the frame of the input is never read.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from ..emit import FLOAT, INT, Function, Value, vector
from ..layouts import Blocked
from ..program import Kernel, Step

__all__ = ["pool"]

_AXES = ("height", "width")
_NUMBERS = ("in", "out", "kernel", "stride", "dilation", "pad", "pad_end")
_PLACE = ("origin", "row", "plane", "image")


def pool(
    kind: str,
    x: Blocked,
    y: Blocked,
    x_slot: int,
    y_slot: int,
    *,
    kernel: Sequence[int],
    strides: Sequence[int] = (1, 1),
    dilations: Sequence[int] = (1, 1),
    pads: Sequence[int] = (0, 0, 0, 0),
    include_pad: bool = False,
) -> Step:
    """MaxPool or AveragePool; the frame of y is left alone. One task for each row of each block.

    Args:
        kind: `max` or `mean`.
        pads: top, left, bottom, right; `include_pad` counts them as zeros in the mean.
    """
    arguments = {"x": x_slot, "y": y_slot, "blocks": x.blocks}
    for axis, name in enumerate(_AXES):
        values = (x.shape[2 + axis], y.shape[2 + axis], kernel[axis], strides[axis], dilations[axis], pads[axis])
        arguments |= {f"{name}_{n}": v for n, v in zip(_NUMBERS, (*values, pads[2 + axis]), strict=True)}
    for side, layout in (("x", x), ("y", y)):
        arguments |= {f"{side}_{n}": getattr(layout, n) for n in _PLACE}
    tasks = y.shape[0] * y.blocks * y.shape[2]
    flops = tasks * y.shape[3] * y.lanes * kernel[0] * kernel[1]
    return Step(_kernel(kind, x.lanes, include_pad), arguments, tasks, flops, f"{kind} pool {list(kernel)}")


@cache
def _kernel(kind: str, lanes: int, include_pad: bool) -> Kernel:
    fields = ["x", "y", "blocks", *(f"{axis}_{n}" for axis in _AXES for n in _NUMBERS)]
    fields += [f"{side}_{n}" for side in "xy" for n in _PLACE]
    f = Function(f"{kind}_pool_{lanes}{'_padded' if include_pad else ''}", fields)
    register = vector(FLOAT, lanes)
    rows = f.number("height_out")
    oy, plane = f.task % rows, f.task // rows
    blocks = f.number("blocks")
    block, image = plane % blocks, plane // blocks
    source = f.pointer("x") + f.number("x_origin") + image * f.number("x_image") + block * f.number("x_plane")
    target = f.pointer("y") + f.number("y_origin") + image * f.number("y_image") + block * f.number("y_plane")
    target = target + oy * f.number("y_row")
    top, bottom = _inside(f, "height", oy)
    x_row = f.number("x_row") * f.number("height_dilation")
    first_row = source + (oy * f.number("height_stride") - f.number("height_pad")) * f.number("x_row")
    start = f.value(float("-inf") if kind == "max" else 0.0, register)
    with f.range(f.number("width_out")) as ox:
        left, right = _inside(f, "width", ox)
        column = (ox * f.number("width_stride") - f.number("width_pad")) * (4 * lanes)
        step = f.number("width_dilation") * (4 * lanes)
        total = f.variable(register, start)
        with f.range(top, bottom) as r, f.range(left, right) as s:
            value = f.load(register, first_row + r * x_row + column + s * step, align=4 * lanes)
            total.set(f.maximum(total.get(), value) if kind == "max" else total.get() + value)
        result = total.get()
        if kind == "mean":
            result = result / f.splat(
                f.convert(_count(f, oy, ox, include_pad, (top, bottom, left, right)), FLOAT), lanes
            )
        f.store(result, target + ox * (4 * lanes), align=4 * lanes)
    return Kernel.of(f)


def _inside(f: Function, axis: str, o: Value) -> tuple[Value, Value]:
    """The taps of window `o` that lie inside the picture: from the first to before the last."""
    before = f.number(f"{axis}_pad") - o * f.number(f"{axis}_stride")
    dilation = f.number(f"{axis}_dilation")
    first = f.maximum(before + dilation - 1, 0) // dilation
    last = f.maximum(before + f.number(f"{axis}_in") + dilation - 1, 0) // dilation
    return first, f.minimum(last, f.number(f"{axis}_kernel"))


def _count(f: Function, oy: Value, ox: Value, include_pad: bool, inside: tuple[Value, Value, Value, Value]) -> Value:
    """How many elements the mean is of: those inside, or those that lie in the picture or its padding."""
    if not include_pad:
        top, bottom, left, right = inside
        return f.maximum((bottom - top) * (right - left), 1)
    counts = []
    for axis, o in zip(_AXES, (oy, ox), strict=True):
        dilation = f.number(f"{axis}_dilation")
        end = f.number(f"{axis}_in") + f.number(f"{axis}_pad") + f.number(f"{axis}_pad_end")
        room = f.maximum(end - o * f.number(f"{axis}_stride") + dilation - 1, 0) // dilation
        counts.append(f.minimum(room, f.number(f"{axis}_kernel")))
    assert counts[0].type == INT
    return f.maximum(counts[0] * counts[1], 1)
