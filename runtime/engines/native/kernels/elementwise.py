"""Chains of elementwise operators as one kernel, with broadcasting, on plain and on blocked values.

    silu = Expression(1, (instruction("Sigmoid", 0), instruction("Mul", 0, 1)))
    steps(silu, [layout], [layout], inputs=[slot_x], outputs=[slot_y])

A kernel walks rows: along a row each input advances with the output or stands still, as it does where it broadcasts.
Dimensions that are contiguous for all are merged first, so that most chains have a single long row. A blocked value is
walked the same way: its rows are those of its planes, one register a position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from ..host import host
from ..layouts import Blocked, Layout, Plain
from ..program import Kernel, Step
from .chains import Access, Expression, Form, Instruction, instruction, kernel, names
from .operators import TYPES

__all__ = ["Expression", "Instruction", "chain", "instruction", "steps", "supports"]

TASK = 16384
"""Additions in a task, about."""


# ---- how operands lie


@dataclass(frozen=True)
class _Plan:
    """A form and the numbers of one use of it."""

    form: Form
    numbers: dict[str, int]
    tasks: int
    elements: int


@dataclass(frozen=True)
class _Walk:
    """An operand's base and its strides in bytes for each dimension of the output."""

    type: str
    base: int
    strides: tuple[int, ...]
    spread: bool = False


def _plain_walk(layout: Layout, shape: tuple[int, ...]) -> _Walk:
    if not isinstance(layout, Plain) or layout.dtype.name not in TYPES:
        raise ValueError(f"{layout} does not go with plain outputs")
    padded = (1,) * (len(shape) - len(layout.shape)) + layout.shape
    if len(padded) != len(shape) or any(a not in (1, b) for a, b in zip(padded, shape, strict=True)):
        raise ValueError(f"{layout.shape} does not broadcast to {shape}")
    item = layout.dtype.itemsize
    strides = [0 if size == 1 else item * prod(padded[i + 1 :]) for i, size in enumerate(padded)]
    return _Walk(layout.dtype.name, 0, tuple(strides))


def _blocked_walk(layout: Layout, like: Blocked) -> _Walk:
    if isinstance(layout, Plain):
        if prod(layout.shape) != 1 or layout.dtype != np.float32:
            raise ValueError(f"{layout} does not go with blocked outputs")
        return _Walk("float32", 0, (0, 0, 0, 0), True)
    if layout.lanes != like.lanes or any(a not in (1, b) for a, b in zip(layout.shape, like.shape, strict=True)):
        raise ValueError(f"{layout} does not broadcast to {like}")
    whole = (layout.image, layout.plane, layout.row, layout.pixel)
    strides = tuple(0 if size == 1 else stride for size, stride in zip(layout.shape, whole, strict=True))
    return _Walk("float32", layout.origin, strides, layout.shape[1] == 1 < like.shape[1])


def _merged(sizes: Sequence[int], strides: Sequence[Sequence[int]], keep: int) -> tuple[list[int], list[list[int]]]:
    """Dimensions merged where they are contiguous for all operands, those of size 1 left out; the first `keep` stay."""
    kept = [i for i, size in enumerate(sizes) if size != 1 or i < keep]
    outer = [sizes[i] for i in kept]
    steps = [[s[i] for i in kept] for s in strides]
    for i in range(len(outer) - 2, max(keep - 1, -1), -1):
        if all(s[i] == outer[i + 1] * s[i + 1] for s in steps):
            outer[i : i + 2] = [outer[i] * outer[i + 1]]
            for s in steps:
                s[i : i + 2] = [s[i + 1]]
    return outer, steps


def _plan(expression: Expression, inputs: Sequence[Layout], outputs: Sequence[Layout], lanes: int, fast: bool) -> _Plan:
    if len(inputs) != expression.inputs or len(outputs) != len(expression.results):
        raise ValueError(f"{len(inputs)} inputs and {len(outputs)} outputs; the expression has other numbers of them")
    first = outputs[0]
    if any(each.shape != first.shape or type(each) is not type(first) for each in outputs):
        raise ValueError("outputs differ in shape or kind")
    if isinstance(first, Plain):
        walks = [_plain_walk(each, first.shape) for each in (*inputs, *outputs)]
        sizes, strides = _merged(first.shape, [w.strides for w in walks], 0)
        if not sizes:
            sizes, strides = [1], [[0] if i < len(inputs) else [TYPES[w.type].nbytes] for i, w in enumerate(walks)]
        n, channels, framed = sizes[-1], 0, (False,) * len(outputs)
        elements = prod(sizes)
    else:
        lanes = first.lanes
        walks = [_blocked_walk(each, first) for each in (*inputs, *outputs)]
        blocked = [each for each in outputs if isinstance(each, Blocked)]
        framed = tuple(bool(b.top or b.left or b.bottom or b.right) for b in blocked)
        channels = first.shape[1] if first.shape[1] % lanes else 0
        shape = (first.shape[0], first.blocks, *first.shape[2:])
        sizes, strides = _merged(shape, [w.strides for w in walks], 3 if any(framed) else 2 if channels else 0)
        apart = any(s[-1:] not in ([], [0], [first.pixel]) for s in strides)
        if apart or len(sizes) < (4 if any(framed) else 3 if channels else 1):
            sizes, strides = [*sizes, 1], [[*s, first.pixel] for s in strides]
        n = sizes[-1] * lanes
        elements = prod(sizes) * lanes
    accesses = tuple(
        Access(w.type, w.spread or (isinstance(first, Plain) and not s[-1]), bool(s[-1]))
        for w, s in zip(walks[: len(inputs)], strides, strict=False)
    )
    depth = len(sizes) - 1
    types = tuple(w.type for w in walks[len(inputs) :])
    form = Form(
        expression, accesses, types, lanes, depth, isinstance(first, Plain), bool(channels), framed, fast
    )  # fmt: skip
    numbers, tasks = _shares(prod(sizes[:-1]), n, lanes, max(expression.cost, 2), any(framed))
    numbers |= {"n": n} | {f"size{j}": sizes[j] for j in range(depth)}
    for name, walk, s in zip(names(form), walks, strides, strict=True):
        numbers |= {f"{name}_base": walk.base} | {f"{name}_stride{j}": s[j] for j in range(depth)}
    if channels:
        numbers["channels"] = channels
    for k, layout in enumerate(outputs):
        if isinstance(layout, Blocked) and framed[k]:
            numbers[f"y{k}_before"] = layout.top * layout.row + layout.left * layout.pixel
            numbers[f"y{k}_between"] = (layout.left + layout.right) * layout.pixel
            numbers[f"y{k}_after"] = layout.bottom * layout.row + layout.right * layout.pixel
    return _Plan(form, numbers, tasks, elements)


def _shares(rows: int, n: int, lanes: int, cost: int, whole: bool) -> tuple[dict[str, int], int]:
    """Rows, or pieces of rows unless they are to stay `whole`, that make up a task."""
    most = max(TASK // cost, 64)
    pieces = 1 if whole else max(-(-n // most), 1)
    piece = -(-n // (pieces * lanes)) * lanes
    pieces = max(-(-n // max(piece, 1)), 1)
    groups = -(-rows // max(most // max(n, 1), 1)) if pieces == 1 else rows
    group = -(-rows // max(groups, 1)) or 1
    return {"rows": rows, "group": group, "pieces": pieces, "piece": piece}, pieces * -(-rows // group)


# ---- for the engine


def chain(
    expression: Expression,
    inputs: Sequence[Layout],
    outputs: Sequence[Layout],
    *,
    lanes: int | None = None,
    fast: bool = False,
) -> Kernel:
    """The kernel alone; see `steps`."""
    return kernel(_plan(expression, inputs, outputs, lanes or host().lanes, fast).form)


def supports(expression: Expression, inputs: Sequence[Layout], outputs: Sequence[Layout]) -> bool:
    """Are there kernels for these operators, types and layouts?"""
    try:
        chain(expression, inputs, outputs)
    except (KeyError, TypeError, ValueError):
        return False
    return True


def steps(
    expression: Expression,
    layouts: Sequence[Layout],
    results: Sequence[Layout],
    *,
    inputs: Sequence[int],
    outputs: Sequence[int],
    lanes: int | None = None,
    fast: bool = False,
    label: str = "",
) -> list[Step]:
    """What computes the expression; nothing for an empty result.

    Args:
        layouts: of the inputs. With `Plain` results: plain ones that broadcast to the result. With `Blocked` results:
            blocked ones of any frames that broadcast (1×C×1×1 is a number for each channel, N×1×H×W one for each
            position), or a plain single number.
        results: layouts of the outputs, all of one shape. Frames and lanes beyond C of blocked ones are zeroed.
        inputs, outputs: their slots. An output may be the place of an input of the same layout.
        lanes: float32 per register, for plain results.

    Raises:
        ValueError: if something does not fit; see `supports`.
    """
    plan = _plan(expression, layouts, results, lanes or host().lanes, fast)
    if not plan.elements:
        return []
    slots = dict(zip(names(plan.form), (*inputs, *outputs), strict=True))
    flops = plan.elements * expression.cost
    return [Step(kernel(plan.form), {**plan.numbers, **slots}, plan.tasks, flops, label or plan.form.name)]
