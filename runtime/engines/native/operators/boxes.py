"""Concat, Split, Slice, Pad, Expand, Tile, Transpose, DepthToSpace, SpaceToDepth: boxes copied, nothing computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from itertools import accumulate, chain
from math import prod

import numpy as np
import onnx_ir as ir

from ....dtypes import numpy_dtype
from ....errors import StriateError
from ....inference import constant
from ....ops._axes import axis_in, numbers
from ....ops.slicing import _slices, _widths
from ..assembly import Assembly, Kind, Op, dims
from ..kernels.copies import copy_box, side, zero_lanes
from ..layouts import Blocked, Layout, Plain
from ._nodes import bound, is_float

Ints = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Part:
    """y[to + i·to_step] = x[start + i·step] for every index i below `counts`; see `kernels.copies.side`.

    Attributes:
        source: which of the op's inputs x is, or an array; None for y itself, whose earlier parts are there by then.
        start, step: in the order of x's axes, `to` and `to_step` of y's.
    """

    counts: Ints
    source: int | np.ndarray | None = 0
    start: Ints | None = None
    step: Ints | None = None
    to: Ints | None = None
    to_step: Ints | None = None


@dataclass(eq=False)
class Boxes(Op):
    """Parts of values copied into the result, which they cover.

    Attributes:
        perm: axis j of the result is axis perm[j] of the input.
        shapes: of input and result, where they are seen under others than their own.
    """

    inputs: list[ir.Value]
    output: ir.Value
    parts: Sequence[Part]
    perm: Ints | None = None
    shapes: tuple[Ints, Ints] | None = None

    def wants(self, kinds: Sequence[Kind]) -> tuple[Sequence[Kind], Kind]:
        if "blocked" not in kinds or self.shapes is not None or len(dims(self.output)) not in (3, 4):
            return ["plain"] * len(kinds), "plain"
        if not is_float(self.output) and (self.perm or any(not isinstance(p.source, int) for p in self.parts)):
            return ["plain"] * len(kinds), "plain"  # bytes in blocks may have 128 added
        if self.perm is not None:
            return ["blocked"], "plain"
        kind: Kind = "blocked" if all(_keeps_channels(part) for part in self.parts) else "plain"
        return [kind] * len(kinds), kind

    def emit(self, asm: Assembly) -> None:
        kinds, kind = self.wants([asm.kind(v) for v in self.inputs])
        y_slot, y = asm.write(self.output, kind)
        node = self.output.producer()
        label = "copy" if node is None else node.op_type.lower()
        if isinstance(y, Blocked):
            asm.zero_frame(y_slot, y)
            if y.shape[1] % y.lanes and is_float(self.output):
                asm.add(*zero_lanes(y, y_slot, asm.constant(np.zeros(1, np.float32))))
        lines = len(dims(self.output)) == 3 and "blocked" in (*kinds, kind)
        for given in self.parts:
            part = _lifted(given, self.perm) if lines else given
            if part.source is None:
                x_slot, x = y_slot, y
            elif isinstance(part.source, np.ndarray):
                x_slot, x = asm.constant(part.source), Plain(part.source.shape, part.source.dtype)
            else:
                x_slot, x = asm.read(self.inputs[part.source], kinds[part.source])
            x, target = self._seen(x, 0, lines), self._seen(y, 1, lines)
            perm = _lines(self.perm) if lines else self.perm
            sides = side(x, part.start, part.step, perm), side(target, part.to, part.to_step)
            asm.add(*copy_box(*sides, part.counts, x_slot, y_slot, label=label))

    def _seen(self, layout: Layout, which: int, lines: bool) -> Layout:
        """The layout of input (0) or result (1) under the shape that its part's numbers are about."""
        if isinstance(layout, Blocked):
            return layout
        if lines:
            return Plain(_put(layout.shape, 0 if which and self.perm else 2, 1), layout.dtype)
        return Plain(self.shapes[which], layout.dtype) if self.shapes else layout


def _put(numbers: Ints, place: int, number: int) -> Ints:
    return (*numbers[:place], number, *numbers[place:])


def _lifted(part: Part, perm: Ints | None) -> Part:
    """A part of lines [N, C, W] as one of pictures of height 1, which transposed come first."""
    where = 2 if perm is None else 0
    numbers = (
        (part.counts, where, 1),
        (part.start, 2, 0),
        (part.step, 2, 1),
        (part.to, where, 0),
        (part.to_step, where, 1),
    )
    counts, start, step, to, to_step = (None if given is None else _put(given, *how) for given, *how in numbers)
    assert counts is not None
    return Part(counts, part.source, start, step, to, to_step)


def _lines(perm: Ints | None) -> Ints | None:
    """A permutation of N, C, W as one of N, C, H, W that puts H first."""
    return None if perm is None else (2, *(3 if i == 2 else i for i in perm))


def _keeps_channels(part: Part) -> bool:
    """Are channels passed one after the other on both sides? Arrays are plain and may do as they like."""
    steps = (None if isinstance(part.source, np.ndarray) else part.step, part.to_step)
    return all(step is None or step[1] == 1 for step in steps)


def movable(value: ir.Value) -> bool:
    """Are its elements of 1, 2, 4 or 8 bytes?"""
    return value.dtype not in (None, ir.DataType.STRING) and _dtype(value).itemsize in (1, 2, 4, 8)


def _dtype(value: ir.Value) -> np.dtype:
    assert value.dtype is not None
    return numpy_dtype(value.dtype.value)


Lowering = Callable[[ir.Node], Op | list[Op] | None]


def _moved(make: Lowering) -> Lowering:
    """Only for elements that can be copied; and what is no valid node is not this engine's business."""

    @wraps(make)
    def checked(node: ir.Node) -> Op | list[Op] | None:
        x = node.inputs[0]
        if x is None or not movable(x):
            return None
        try:
            return make(node)
        except StriateError:
            return None

    return checked


def _known(node: ir.Node) -> list[list[int] | None] | None:
    """The numbers in all inputs but the first, None for those left out; None altogether if one is computed."""
    found: list[list[int] | None] = []
    for value in node.inputs[1:]:
        array = constant(value)
        if value is not None and array is None:
            return None
        found.append(None if array is None else numbers(array))
    return found


@_moved
def concat(node: ir.Node) -> Op | None:
    y, values = dims(node.outputs[0]), [v for v in node.inputs if v is not None]
    axis = axis_in(bound(node)["axis"], len(y))
    inputs: list[ir.Value] = []
    parts = []
    at = 0
    for value in values:
        array = constant(value)
        if array is None and value not in inputs:
            inputs.append(value)
        to = tuple(at if i == axis else 0 for i in range(len(y)))
        parts.append(Part(dims(value), inputs.index(value) if array is None else array, to=to))
        at += dims(value)[axis]
    return Boxes(inputs, node.outputs[0], parts) if inputs else None


@_moved
def split(node: ir.Node) -> list[Op]:
    x = node.inputs[0]
    assert x is not None
    axis = axis_in(bound(node)["axis"], len(dims(x)))
    ends = accumulate(dims(v)[axis] for v in node.outputs)
    made: list[Op] = []
    for value, end in zip(node.outputs, ends, strict=True):
        start = tuple(end - n if i == axis else 0 for i, n in enumerate(dims(value)))
        made.append(Boxes([x], value, [Part(dims(value), start=start)]))
    return made


@_moved
def cut(node: ir.Node) -> Op | None:
    """Slice with constant bounds."""
    x, a, known = node.inputs[0], bound(node), _known(node)
    if x is None or known is None:
        return None
    given = known if known else [list(a["starts"]), list(a["ends"]), a["axes"]]
    starts, ends, axes, steps = [*given, None, None][:4]
    chosen = _slices(dims(x), starts, ends, axes, steps)
    start = tuple(s.start or 0 for s in chosen)
    step = tuple(s.step or 1 if n > 1 else 1 for s, n in zip(chosen, dims(node.outputs[0]), strict=True))
    return Boxes([x], node.outputs[0], [Part(dims(node.outputs[0]), start=start, step=step)])


@_moved
def pad(node: ir.Node) -> Op | None:
    """Pad by constant widths; with a constant value, or with what the border says."""
    x, a, rank = node.inputs[0], bound(node), len(dims(node.outputs[0]))
    inputs = [*node.inputs, None, None, None][:4]
    if x is None or any(v is not None and constant(v) is None for v in inputs[1:]):
        return None
    pads, value, axes = (constant(v) for v in inputs[1:])
    widths = a.get("pads", a.get("paddings")) if pads is None else numbers(pads)
    x_dims, y_dims = dims(x), dims(node.outputs[0])
    begins, ends = zip(*_widths(rank, widths, None if axes is None else numbers(axes)), strict=True)
    start = tuple(max(-b, 0) for b in begins)
    counts = tuple(n - s - max(-e, 0) for n, s, e in zip(x_dims, start, ends, strict=True))
    low = tuple(max(b, 0) for b in begins)
    if min(counts) <= 0:
        return None
    parts = [Part(counts, start=start, to=low)]
    mode = a["mode"]
    if mode == "constant":
        number = a.get("value", 0) if value is None else value.reshape(())
        filling = np.full((1,) * rank, number, _dtype(x))
        parts += [Part(size, filling, step=(0,) * rank, to=to) for size, to in _borders(y_dims, low, counts)]
    else:
        mirrored = _mirrored(y_dims, low, counts, mode)
        if mirrored is None:
            return None
        parts += mirrored
    return Boxes([x], node.outputs[0], parts)


def _borders(whole: Ints, low: Ints, inside: Ints) -> list[tuple[Ints, Ints]]:
    """Sizes and places of boxes that cover what of `whole` is around a box within: before and behind it by axis."""
    made = []
    for axis, size in enumerate(whole):
        high = low[axis] + inside[axis]
        for start, count in ((0, low[axis]), (high, size - high)):
            if count:
                counts = (*inside[:axis], count, *whole[axis + 1 :])
                made.append((counts, (*low[:axis], start, *(0,) * (len(whole) - axis - 1))))
    return made


SOURCES: dict[str, tuple[Callable[[int, int], tuple[int, int, int]], Callable[[int, int], tuple[int, int, int]]]] = {
    "reflect": (lambda low, n: (2 * low, -1, n - 1), lambda low, n: (low + n - 2, -1, n - 1)),
    "edge": (lambda low, n: (low, 0, 1 << 62), lambda low, n: (low + n - 1, 0, 1 << 62)),
    "wrap": (lambda low, n: (n, 1, n), lambda low, n: (low, 1, n)),
}
"""Mode → for the border before n elements at `low`, and for that behind: where it is read, in what steps, and how
wide it may be."""


def _mirrored(whole: Ints, low: Ints, inside: Ints, mode: str) -> list[Part] | None:
    """Borders read from the result itself, axis by axis: those of an axis out of all that is there before."""
    made = []
    for axis, size in enumerate(whole):
        high = low[axis] + inside[axis]
        borders = zip(((0, low[axis]), (high, size - high)), SOURCES[mode], strict=True)
        for (place, count), source in borders:
            at, step, most = source(low[axis], inside[axis])
            if count > most:
                return None
            if count:
                start, to = ((*(0,) * axis, i, *low[axis + 1 :]) for i in (at, place))
                steps = tuple(step if i == axis else 1 for i in range(len(whole)))
                counts = (*whole[:axis], count, *inside[axis + 1 :])
                made.append(Part(counts, None, start, steps, to))
    return made


@_moved
def expand(node: ir.Node) -> Op | None:
    x, y = node.inputs[0], dims(node.outputs[0])
    assert x is not None
    padded = (1,) * (len(y) - len(dims(x))) + dims(x)
    step = tuple(0 if a == 1 else 1 for a in padded)
    return Boxes([x], node.outputs[0], [Part(y, step=step)], shapes=(padded, y))


@_moved
def tile(node: ir.Node) -> Op | None:
    """Every axis of the result is one of copies and one of the input's."""
    x, y = node.inputs[0], dims(node.outputs[0])
    assert x is not None
    pairs = [(n // size, size) for n, size in zip(y, dims(x), strict=True)]
    counts = tuple(chain.from_iterable(pairs))
    source = tuple(chain.from_iterable((1, size) for size in dims(x)))
    return Boxes([x], node.outputs[0], [Part(counts, step=(0, 1) * len(y))], shapes=(source, counts))


@_moved
def transposition(node: ir.Node) -> Op | None:
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    perm = tuple(bound(node)["perm"] or reversed(range(len(dims(x)))))
    return Boxes([x], y, [Part(dims(y))], perm)


def _turned(node: ir.Node, split: Ints, perm: Ints) -> Op | None:
    """The input seen under another shape, transposed, and that seen as the output."""
    x = node.inputs[0]
    if x is None or prod(split) != prod(dims(x)):
        return None
    turned = tuple(split[i] for i in perm)
    return Boxes([x], node.outputs[0], [Part(turned)], perm, (split, turned))


@_moved
def depth_to_space(node: ir.Node) -> Op | None:
    a, (n, c, h, w) = {"mode": "DCR", **bound(node)}, dims(node.outputs[0])
    b = a["blocksize"]
    if a["mode"] == "DCR":
        return _turned(node, (n, b, b, c, h // b, w // b), (0, 3, 4, 1, 5, 2))
    return _turned(node, (n, c, b, b, h // b, w // b), (0, 1, 4, 2, 5, 3))


@_moved
def space_to_depth(node: ir.Node) -> Op | None:
    a, (n, _, h, w) = {"mode": "DCR", **bound(node)}, dims(node.outputs[0])
    b, x = a["blocksize"], node.inputs[0]
    assert x is not None
    order = (0, 3, 5, 1, 2, 4) if a["mode"] == "DCR" else (0, 1, 3, 5, 2, 4)
    return _turned(node, (n, dims(x)[1], h, b, w, b), order)
