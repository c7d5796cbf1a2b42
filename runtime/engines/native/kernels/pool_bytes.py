"""Pooling of blocked bytes: the largest of each window, and the mean of a whole plane.

The largest byte stands for the largest value, whatever the scale. Windows are cut off at the border of the picture; one
that lies beside it entirely gives the least byte. Inside of it four positions are one load; of the largest bytes at
these, every second is a window of stride 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from ..emit import BYTE, FLOAT, INT, INT32, Function, Value, vector
from ..layouts import Blocked
from ..program import Kernel, Step
from .conv_problem import plane_arguments
from .frames import FRAME_FIELDS, frame_arguments, framed, zero_frame
from .requantise import (
    TARGET_FIELDS,
    Scale,
    clamped,
    exactly,
    float_bits,
    float_number,
    low_bytes,
    nearest,
    quotient,
    target_arguments,
    unsigned,
)

__all__ = ["global_mean", "max_pool"]

TASK = 1 << 14
"""Bytes written in a task, about."""
LOADED = 4
"""Positions of x that are read at once."""
_AXES = ("height", "width")
_WINDOW = ("in", "kernel", "stride", "dilation", "pad")
_PLACES = tuple(f"{side}_{what}" for side in "xy" for what in ("origin", "image", "plane", "row"))


def max_pool(
    x: Blocked,
    y: Blocked,
    x_slot: int,
    y_slot: int,
    *,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    pads: Sequence[int],
) -> Step:
    """MaxPool, y's frame included; `pads`: top, left, bottom, right."""
    arguments = {"x": x_slot, "y": y_slot, "blocks": y.blocks, "zero": y.fill}
    for axis, name in enumerate(_AXES):
        values = (x.shape[2 + axis], kernel[axis], strides[axis], dilations[axis], pads[axis])
        arguments |= {f"{name}_{n}": v for n, v in zip(_WINDOW, values, strict=True)}
    n, _, height, width = y.shape
    chunk = max(1, min(height, TASK // max(width * y.lanes, 1)))
    chunks = -(-height // chunk)
    stride = strides[1] if strides[1] in (1, 2) else 0
    first, stop = _inner(x.shape[3], width, kernel[1], stride, dilations[1], pads[1]) if stride else (0, 0)
    arguments |= {"first": first, "stop": stop}
    arguments |= {"chunk": chunk, "chunks": chunks, **plane_arguments("x", x), **plane_arguments("y", y)}
    arguments |= frame_arguments(y)
    flops = n * y.blocks * y.lanes * height * width * kernel[0] * kernel[1]
    code = _max_pool(y.lanes, stride, framed(y))
    return Step(code, arguments, n * y.blocks * chunks, flops, f"max pool {list(kernel)}")


def _inner(size: int, out: int, kernel: int, stride: int, dilation: int, pad: int) -> tuple[int, int]:
    """The windows of a row, as many as one load serves at a time, for which no load passes the border."""
    together = LOADED // stride
    first = min(-(-pad // stride), out)
    last = min((size - LOADED - (kernel - 1) * dilation + pad) // stride, out - together)
    return first, first + max(0, (last - first) // together + 1) * together


@cache
def _max_pool(lanes: int, stride: int, with_frame: bool) -> Kernel:
    """`stride`: along the width, 0 for any, with which nothing is done at once."""
    windows = [f"{axis}_{n}" for axis in _AXES for n in _WINDOW]
    f = Function(
        f"max_pool_bytes_{lanes}_{stride}{'_framed' if with_frame else ''}",
        ["x", "y", "blocks", "chunks", "chunk", "zero", "first", "stop", *windows, *_PLACES, *FRAME_FIELDS],
    )
    chunk, plane = f.task % f.number("chunks"), f.task // f.number("chunks")
    x, y = (_plane(f, side, plane) for side in "xy")
    first = chunk * f.number("chunk")
    stop = f.minimum(first + f.number("chunk"), f.number("frame_height"))
    down, along = f.number("height_dilation") * f.number("x_row"), f.number("width_dilation") * lanes
    with f.range(first, stop) as i:
        start_row, top, bottom = _inside(f, "height", i)
        row, target = x + start_row * f.number("x_row"), y + i * f.number("y_row")

        def largest(size: int, start: Value, columns: tuple[Value, Value]) -> Value:
            """Of the windows at `start` and the next ones, their `columns` alone."""
            register = vector(BYTE, size)
            most = f.variable(register, 0)
            with f.range(top, bottom) as r, f.range(*columns) as s:
                value = f.load(register, row + (r * down + start * lanes + s * along), align=lanes)
                most.set(f.call("llvm.umax", most.get(), value))
            return most.get()

        for begin, end in ((f.value(0, INT), f.number("first")), (f.number("stop"), f.number("frame_width"))):
            with f.range(begin, end) as j:
                start, left, right = _inside(f, "width", j)
                f.store(largest(lanes, start, (left, right)), target + j * lanes, align=lanes)
        if stride:
            together = LOADED // stride
            order = [k * stride * lanes + lane for k in range(together) for lane in range(lanes)]
            with f.range(f.number("first"), f.number("stop"), together) as j:
                start = j * f.number("width_stride") - f.number("width_pad")
                all_four = largest(LOADED * lanes, start, (f.value(0, INT), f.number("width_kernel")))
                f.store(f.shuffle(all_four, all_four, order), target + j * lanes, align=lanes)
    if with_frame:
        zero_frame(f, y, lanes, first, stop, f.convert(f.number("zero"), BYTE))
    return Kernel.of(f)


def _plane(f: Function, side: str, plane: Value) -> Value:
    """The address of position (0, 0) of a plane."""
    block, image = plane % f.number("blocks"), plane // f.number("blocks")
    offset = f.number(f"{side}_origin") + image * f.number(f"{side}_image") + block * f.number(f"{side}_plane")
    return f.pointer(side) + offset


def _inside(f: Function, axis: str, o: Value) -> tuple[Value, Value, Value]:
    """Where window `o` begins, and its taps that lie inside the picture: from the first to before the last."""
    start = o * f.number(f"{axis}_stride") - f.number(f"{axis}_pad")
    dilation = f.number(f"{axis}_dilation")
    first = f.maximum(0 - start + dilation - 1, 0) // dilation
    last = f.maximum(f.number(f"{axis}_in") - start + dilation - 1, 0) // dilation
    return start, first, f.minimum(last, f.number(f"{axis}_kernel"))


def global_mean(x: Blocked, y: Blocked, x_slot: int, y_slot: int, source: Scale, target: Scale) -> Step:
    """GlobalAveragePool: y [N, C, 1, 1], frame included; sums are exact."""
    n, _, height, width = x.shape
    arguments = {
        "x": x_slot,
        "y": y_slot,
        "blocks": x.blocks,
        "height": height,
        "width": width,
        "x_scale": float_bits(source.scale),
        "y_scale": float_bits(target.scale),
        "start": -height * width * source.zero,
        **target_arguments(target),
        **plane_arguments("x", x),
        **plane_arguments("y", y),
        **frame_arguments(y),
    }
    flops = n * x.blocks * x.lanes * height * width
    return Step(_global_mean(x.lanes, framed(y)), arguments, n * x.blocks, flops, "global mean")


@cache
def _global_mean(lanes: int, with_frame: bool) -> Kernel:
    fields = [
        "x",
        "y",
        "blocks",
        "height",
        "width",
        "x_scale",
        "y_scale",
        "start",
        *TARGET_FIELDS,
        *_PLACES,
        *FRAME_FIELDS,
    ]
    f = exactly(Function(f"global_mean_bytes_{lanes}{'_framed' if with_frame else ''}", fields))
    x, y = (_plane(f, side, f.task) for side in "xy")
    total = f.variable(vector(INT32, lanes), f.convert(f.number("start"), INT32))
    with f.range(f.number("height")) as i, f.range(f.number("width")) as j:
        value = f.load(vector(BYTE, lanes), x + (i * f.number("x_row") + j * lanes), align=lanes)
        total.set(total.get() + unsigned(f, value))
    count = f.convert(f.number("height") * f.number("width"), FLOAT)
    v = quotient(
        f, quotient(f, f.convert(total.get(), FLOAT) * float_number(f, "x_scale"), count), float_number(f, "y_scale")
    )
    number = nearest(f, clamped(f, v, float_number(f, "low"), float_number(f, "high")))
    zero = f.convert(f.number("zero"), BYTE)
    f.store(low_bytes(f, [number]) + zero, y, align=lanes)
    if with_frame:
        zero_frame(f, y, lanes, f.value(0, f.task.type), f.number("frame_height"), zero)
    return Kernel.of(f)
