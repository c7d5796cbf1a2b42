"""Elementwise steps between float32 and bytes, and between bytes of different scales.

    quantize      bytes of x / scale                            float32 → bytes
    dequantize    (x − zero) · scale                            bytes → float32
    rescale       quantize(dequantize(x))                       bytes → bytes
    add           quantize(dequantize(x) + dequantize(other))

Plain values of bytes are int8 or uint8, blocked ones uint8 (see `layouts.Blocked`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from math import inf, prod
from typing import Literal

from ..emit import BYTE, FLOAT, Function, Type, Value, vector
from ..host import host
from ..layouts import Blocked, Layout, Plain
from ..program import NO_SLOT, Kernel, Step
from .conv_problem import plane_arguments
from .frames import FRAME_FIELDS, frame_arguments, framed, zero_frame
from .requantise import (
    TARGET_FIELDS,
    Scale,
    clamped,
    exactly,
    flip_of,
    float_bits,
    float_number,
    low_bytes,
    nearest,
    quotient,
    target_arguments,
    unsigned,
)

__all__ = ["add", "dequantize", "quantize", "rescale"]

Form = Literal["quantize", "dequantize", "rescale", "add"]
TASK = 1 << 15
"""Elements of a task, about."""
_SOURCES = ("x_scale", "x_zero", "other_scale", "other_zero")
_NUMBERS = ("scale", *_SOURCES, *TARGET_FIELDS)
_PLACES = tuple(f"{side}_{what}" for side in ("x", "other", "y") for what in ("origin", "image", "plane", "row"))


def quantize(
    x: Layout, y: Layout, x_slot: int, y_slot: int, target: Scale, lower: float = -inf, upper: float = inf
) -> Step:
    """float32 → bytes, in equal kinds of layout; values are cut off at `lower` and `upper` first."""
    numbers = {"scale": float_bits(target.scale), **target_arguments(target, lower, upper)}
    return _step("quantize", [x], y, [x_slot], y_slot, numbers)


def dequantize(x: Layout, y: Layout, x_slot: int, y_slot: int, source: Scale) -> Step:
    """Bytes → float32, in equal kinds of layout."""
    return _step("dequantize", [x], y, [x_slot], y_slot, _sources(source))


def rescale(
    x: Blocked, y: Blocked, x_slot: int, y_slot: int, source: Scale, target: Scale, *, first_block: int = 0
) -> Step:
    """Bytes of one scale → bytes of another, perhaps as some blocks of a value with more of them."""
    numbers = {"scale": float_bits(target.scale), **_sources(source), **target_arguments(target)}
    return _step("rescale", [x], y, [x_slot], y_slot, numbers, first_block)


def add(
    x: Sequence[Blocked],
    y: Blocked,
    x_slots: Sequence[int],
    y_slot: int,
    sources: Sequence[Scale],
    target: Scale,
    lower: float = -inf,
    upper: float = inf,
) -> Step:
    """The sum of two values of bytes of the same shape, cut off at `lower` and `upper`."""
    numbers = {"scale": float_bits(target.scale), **_sources(*sources), **target_arguments(target, lower, upper)}
    return _step("add", x, y, x_slots, y_slot, numbers)


def _sources(*sources: Scale) -> dict[str, int]:
    """For `_SOURCES`."""
    values = [float_bits(v) for s in sources for v in (s.scale, s.zero)]
    return dict(zip(_SOURCES, values, strict=False))


def _step(
    form: Form,
    x: Sequence[Layout],
    y: Layout,
    x_slots: Sequence[int],
    y_slot: int,
    numbers: Mapping[str, int],
    first_block: int = 0,
) -> Step:
    pointers = {"x": x_slots[0], "other": x_slots[1] if len(x) > 1 else NO_SLOT, "y": y_slot}
    filled = {**dict.fromkeys(_NUMBERS, 0), **numbers}
    size = prod(y.shape)
    if isinstance(y, Plain):
        plain_bytes = y if form == "quantize" else x[0]
        assert isinstance(plain_bytes, Plain)
        filled["flip"] = flip_of(plain_bytes)
        arguments = {"x": pointers["x"], "y": y_slot, "size": size, **filled}
        return Step(_flat(form, host().lanes), arguments, -(-size // TASK), size, form)
    first = x[0]
    assert isinstance(first, Blocked)
    n, _, height, width = first.shape
    chunk = max(1, min(height, TASK // max(width * y.lanes, 1)))
    chunks = -(-height // chunk)
    arguments = {**pointers, "blocks": first.blocks, "chunks": chunks, "chunk": chunk, **filled, **frame_arguments(y)}
    for side, layout in zip(("x", "other", "y"), (first, x[1] if len(x) > 1 else None, y), strict=True):
        assert not isinstance(layout, Plain)
        arguments |= plane_arguments(side, layout)
    arguments["y_origin"] += first_block * y.plane
    return Step(_planes(form, y.lanes, framed(y)), arguments, n * first.blocks * chunks, size * len(x), form)


def _result(f: Function, form: Form, x: Value, other: Value | None) -> Value:
    """A register of float32, or of whole numbers from which only the zero point is missing."""
    if form == "quantize":
        v = x / float_number(f, "scale")
    else:
        v = (x - float_number(f, "x_zero")) * float_number(f, "x_scale")
        if other is not None:
            v = v + (other - float_number(f, "other_zero")) * float_number(f, "other_scale")
        if form == "dequantize":
            return v
        v = quotient(f, v, float_number(f, "scale"))
    return nearest(f, clamped(f, v, float_number(f, "low"), float_number(f, "high")))


@cache
def _planes(form: Form, lanes: int, with_frame: bool) -> Kernel:
    """A task is some rows of a block; four positions at once where bytes are written."""
    name = f"{form}_planes_{lanes}{'_framed' if with_frame else ''}"
    fields = ["x", "other", "y", "blocks", "chunks", "chunk", *_NUMBERS, *_PLACES, *FRAME_FIELDS]
    f = exactly(Function(name, fields))
    chunk, plane = f.task % f.number("chunks"), f.task // f.number("chunks")
    block, image = plane % f.number("blocks"), plane // f.number("blocks")
    height, width = f.number("frame_height"), f.number("frame_width")
    first = chunk * f.number("chunk")
    stop = f.minimum(first + f.number("chunk"), height)
    x, other, y = (
        f.pointer(side)
        + (f.number(f"{side}_origin") + image * f.number(f"{side}_image") + block * f.number(f"{side}_plane"))
        for side in ("x", "other", "y")
    )
    source, target = (FLOAT if form == "quantize" else BYTE), (FLOAT if form == "dequantize" else BYTE)
    zero = f.convert(f.number("zero"), BYTE)

    def some(row: Value, i: Value, together: int) -> None:
        results = []
        for k in range(together):
            values = [
                _numbers(f, base + row * f.number(f"{side}_row"), i + k, source, lanes)
                for side, base in (("x", x), ("other", other))[: 2 if form == "add" else 1]
            ]
            results.append(_result(f, form, values[0], values[1] if form == "add" else None))
        at = y + row * f.number("y_row") + i * (target.nbytes * lanes)
        if target == FLOAT:
            for k, value in enumerate(results):
                f.store(value, at + k * value.type.size, align=value.type.size)
        else:
            f.store(low_bytes(f, results) + zero, at, align=lanes)

    with f.range(first, stop) as row:
        whole = width // 4 * 4
        for begin, end, together in ((f.value(0, width.type), whole, 4), (whole, width, 1)):
            with f.range(begin, end, together) as i:
                some(row, i, together)
    if with_frame:
        zero_frame(f, y, lanes, first, stop, zero if target == BYTE else None)
    return Kernel.of(f)


def _numbers(f: Function, row: Value, index: Value, kind: Type, lanes: int) -> Value:
    """A register of a row as float32."""
    register = vector(kind, lanes)
    value = f.load(register, row + index * register.size, align=register.size)
    return value if kind == FLOAT else f.convert(unsigned(f, value), FLOAT)


@cache
def _flat(form: Form, lanes: int) -> Kernel:
    """Plain memory; the last elements one by one."""
    f = exactly(Function(f"{form}_flat_{lanes}", ["x", "y", "size", "flip", *_NUMBERS]))
    x, y = f.pointer("x"), f.pointer("y")
    first = f.task * TASK
    stop = f.minimum(first + TASK, f.number("size"))
    whole = first + (stop - first) // lanes * lanes
    flip, zero = f.convert(f.number("flip"), BYTE), f.convert(f.number("zero"), BYTE)
    for begin, end, count in ((first, whole, lanes), (whole, stop, 1)):
        with f.range(begin, end, count) as i:
            if form == "quantize":
                result = _result(f, form, f.load(vector(FLOAT, count), x + i * 4), None)
                f.store((f.convert(result, BYTE) + zero) ^ flip, y + i)
            else:
                value = f.load(vector(BYTE, count), x + i) ^ flip
                f.store(_result(f, form, f.convert(unsigned(f, value), FLOAT), None), y + i * 4)
    return Kernel.of(f)
