"""Rows of operators that move, pick and place elements, and of those that read shapes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .graphs import DTYPES, FLOATS, LARGEST, Maker, Value, taken
from .rows import row


def _factors(g: Maker, size: int) -> list[int]:
    """Sizes whose product is `size`."""
    made, left = [], size
    for _ in range(g.integer(0, 3)):
        divisor = g.choice([d for d in range(1, left + 1) if left % d == 0][:6])
        made.append(divisor)
        left //= divisor
    made.insert(g.integer(0, len(made)), left)
    return [] if size == 1 and g.chance(30) else made


@row("Reshape", exact=True, weight=3)
def reshape(g: Maker, op: str) -> None:
    x = g.of(op)
    shape = list(x.shape) if x.data.size == 0 else _factors(g, x.data.size)
    attrs: dict[str, Any] = {}
    if x.data.size == 0:
        attrs["allowzero"] = 1 if g.opset >= 14 else None
        if g.opset >= 14:
            shape = g.choice([shape, shape[::-1], [0, 3]])
    elif shape and g.chance(50):
        at = g.integer(0, len(shape) - 1)
        shape[at] = 0 if at < x.rank and shape[at] == x.shape[at] and g.chance(60) else -1
    g.node(op, [x, g.ints(shape)], **attrs)


@row("Flatten", exact=True)
def flatten(g: Maker, op: str) -> None:
    x = g.of(op)
    g.node(op, [x], axis=g.maybe(70 if x.rank else 100, lambda: g.integer(-x.rank, x.rank)))


@row("Squeeze", exact=True)
def squeeze(g: Maker, op: str) -> None:
    x = g.of(op, where=lambda v: 1 in v.shape, new=lambda t: g.new(t, (1, *g.shape(0, 2), 1)))
    ones = [a for a, n in enumerate(x.shape) if n == 1]
    axes = [a - x.rank if g.chance(30) else a for a in g.some(ones, 1)]
    g.node(op, [x, g.maybe(75, lambda: g.ints(axes))])


@row("Unsqueeze", exact=True)
def unsqueeze(g: Maker, op: str) -> None:
    x = g.of(op, rank=(0, 3))
    count = g.integer(1, 2)
    g.node(op, [x, g.ints(g.axes(x.rank + count, count)[:count])])


@row("Transpose", exact=True, weight=3)
def transpose(g: Maker, op: str) -> None:
    x = g.of(op)
    g.node(op, [x], perm=g.some(range(x.rank), x.rank) if x.rank and g.chance(85) else None)


@row("Expand", exact=True)
def expand(g: Maker, op: str) -> None:
    x = g.of(op, rank=(0, 4), where=lambda v: v.data.size <= 60)
    shape = [g.integer(1, 3) if n == 1 else n if g.chance(70) else 1 for n in x.shape]
    shape = shape[g.integer(0, len(shape)) if g.chance(20) else 0 :]
    g.node(op, [x, g.ints([g.integer(1, 3), *shape] if g.chance(25) and len(shape) == x.rank else shape)])


@row("Tile", exact=True)
def tile(g: Maker, op: str) -> None:
    x = g.of(op, rank=(0, 4), where=lambda v: v.data.size <= 40)
    g.node(op, [x, g.ints([g.integer(0 if g.chance(5) else 1, 2) for _ in x.shape])])


@row("Concat", exact=True, weight=2)
def concat(g: Maker, op: str) -> None:
    x = g.of(op, rank=(1, 5), where=lambda v: v.data.size <= LARGEST // 2)
    axis = g.axis(x.rank)

    def fits(v: Value) -> bool:
        return v.rank == x.rank and np.delete(v.shape, axis).tolist() == np.delete(x.shape, axis).tolist()

    def new(dtype: str) -> Value:
        return g.new(dtype, [g.integer(0 if g.chance(5) else 1, 3) if i == axis % x.rank else n
                             for i, n in enumerate(x.shape)])  # fmt: skip

    g.node(op, [x, *(g.value([x.dtype], where=fits, new=new) for _ in range(g.integer(0, 2)))], axis=axis)


@row("Split", exact=True, weight=2)
def split(g: Maker, op: str) -> None:
    x = g.of(op, rank=(1, 5), where=lambda v: max(v.shape) > 1, new=lambda t: g.new(t, (g.integer(2, 4), 3)))
    axis = g.choice([a for a, n in enumerate(x.shape) if n > 1])
    size = x.shape[axis]
    axis = axis - x.rank if g.chance(30) else axis
    if g.chance(60):
        cut = g.integer(0, size)
        sizes = [cut, size - cut] if g.chance(70) else [size]
        g.node(op, [x, g.ints(sizes)], len(sizes), axis=axis)
    elif g.opset >= 18:
        parts = g.integer(1, size)
        if -(-size // parts) * (parts - 1) < size:
            g.node(op, [x], parts, axis=axis, num_outputs=parts)
    else:
        g.node(op, [x], g.choice([d for d in range(1, size + 1) if size % d == 0]), axis=axis)


@row("Slice", exact=True, weight=3)
def slice_(g: Maker, op: str) -> None:
    x = g.of(op, rank=(1, 5))
    axes = g.axes(x.rank, 1)
    named = g.chance(80) or len(axes) < x.rank
    if not named:
        axes = list(range(x.rank))
    starts, ends, steps = [], [], []
    for axis in axes:
        n = x.shape[axis]
        step = g.choice([1, 1, 2, -1, -2])
        low, high = g.integer(-n - 1, n + 1), g.integer(-n - 1, n + 1)
        far = g.choice([2**31 - 1, 2**63 - 1]) if step > 0 else g.choice([-(2**31), -(2**63)])
        starts.append(low)
        ends.append(far if g.chance(30) else high)
        steps.append(step)
    narrow = g.chance(25) and all(abs(e) < 2**31 for e in ends)
    dtype = "int32" if narrow else "int64"
    with_steps = any(s != 1 for s in steps) or g.chance(40)
    inputs = [x, g.ints(starts, dtype), g.ints(ends, dtype), g.ints(axes, dtype) if named else None]
    g.node(op, [*inputs, g.ints(steps, dtype) if with_steps else None])


@row("Pad", exact=True, weight=2)
def pad(g: Maker, op: str) -> None:
    mode = g.choice(["constant", "edge", "reflect"] + ["wrap"] * (g.opset >= 19))
    x = g.of(op, rank=(1, 4), where=lambda v: v.data.size > 0 and v.data.size <= 200,
             new=lambda t: g.new(t, [max(n, 1) for n in g.shape(1)]))  # fmt: skip
    axes = g.axes(x.rank, 1) if g.opset >= 18 and g.chance(30) else list(range(x.rank))
    limits = [(x.shape[a] - 1 if mode == "reflect" else min(x.shape[a], 2)) for a in axes] * 2
    pads = [min(g.integer(0, 2), limit) for limit in limits]
    if mode != "reflect" and g.chance(20):
        pads = [-1 if x.shape[a] > 2 and p == 0 and mode == "constant" else p
                for a, p in zip(axes * 2, pads, strict=True)]  # fmt: skip
    filler = g.maybe(60, lambda: g.new(x.dtype, ())) if mode == "constant" else None
    named = [] if axes == list(range(x.rank)) else [g.ints(axes)]
    g.node(op, [x, g.ints(pads), filler, *named], mode=mode if mode != "constant" or g.chance(50) else None)


def _indices(g: Maker, shape: Any, size: int, types: Any = ("int64", "int32")) -> Value:
    """In range, some counted from the back."""
    dtype = g.choice(types)
    numbers = g.random.integers(-size if g.chance(40) else 0, size, tuple(shape))
    return g.source(numbers.astype(dtype))


def _filled(g: Maker, op: str, low: int = 1, high: int = 5, index: int = 0) -> Value:
    return g.of(op, index, rank=(low, high), where=lambda v: v.data.size > 0,
                new=lambda t: g.new(t, [max(n, 1) for n in g.shape(low, min(high, 4))]))  # fmt: skip


@row("Gather", exact=True, blind=False, weight=3)
def gather(g: Maker, op: str) -> None:
    x = _filled(g, op)
    axis = g.axis(x.rank)
    n = x.shape[axis]
    found = g.value(["int64", "int32"], rank=(0, 2), where=lambda v: v.data.size <= 6 and v.within(-n, n - 1),
                    new=lambda t: _indices(g, g.shape(0, 2), n))  # fmt: skip
    if x.data.size // n * found.data.size <= LARGEST * 2:
        g.node(op, [x, found], axis=axis if axis or g.chance(50) else None)


@row("GatherElements", exact=True, blind=False)
def gather_elements(g: Maker, op: str) -> None:
    x = _filled(g, op)
    axis = g.axis(x.rank)
    shape = [g.integer(1, 3) if i == axis % x.rank else g.integer(1, n) for i, n in enumerate(x.shape)]
    g.node(op, [x, _indices(g, shape, x.shape[axis])], axis=axis)


def _places(g: Maker, x: Value, depth: int, batch: int, *, once: bool = False) -> np.ndarray:
    """Rows of `depth` indices below x.shape[batch:]; each row another one if `once`."""
    sizes = x.shape[batch : batch + depth]
    count = g.integer(1, min(4, math.prod(sizes)) if once else 4)
    flat = g.random.choice(math.prod(sizes), count, replace=not once)
    return np.stack(np.unravel_index(flat, sizes), -1).astype(np.int64) if sizes else np.zeros((count, 0), np.int64)


@row("GatherND", exact=True, blind=False)
def gather_nd(g: Maker, op: str) -> None:
    x = _filled(g, op)
    batch = g.integer(0, 1) if x.rank > 1 and g.chance(40) else 0
    depth = g.integer(1, x.rank - batch)
    at = np.stack([_places(g, x, depth, batch)[:1] for _ in range(x.shape[0])]) if batch else _places(g, x, depth, 0)
    g.node(op, [x, g.source(at)], batch_dims=batch or None)


def _reductions(g: Maker, x: Value) -> str | None:
    ways = ["none", "add", "mul"] + ["max", "min"] * (g.opset >= 18)
    return None if x.dtype in ("string", "bool") or g.opset < 16 else g.maybe(60, lambda: g.choice(ways))


@row("ScatterElements", blind=False)
def scatter_elements(g: Maker, op: str) -> None:
    x = _filled(g, op)
    axis, way = g.axis(x.rank), _reductions(g, x)
    n = x.shape[axis]
    shape = [g.integer(1, m) for m in x.shape]
    if way in (None, "none"):  # each place at most once: the order is open
        lines = [g.random.permutation(n)[: shape[axis]] for _ in range(math.prod(shape) // shape[axis])]
        moved = [m for i, m in enumerate(shape) if i != axis % x.rank]
        at = np.moveaxis(np.array(lines).reshape(*moved, shape[axis]), -1, axis)
    else:
        at = g.random.integers(-n, n, shape)
    updates = g.new(x.dtype, shape)
    g.node(op, [x, g.source(at.astype(np.int64)), updates], axis=axis, reduction=way)


@row("ScatterND", blind=False)
def scatter_nd(g: Maker, op: str) -> None:
    x = _filled(g, op)
    depth, way = g.integer(1, x.rank), _reductions(g, x)
    at = _places(g, x, depth, 0, once=way in (None, "none"))
    g.node(op, [x, g.source(at), g.new(x.dtype, (len(at), *x.shape[depth:]))], reduction=way)


@row("OneHot", exact=True)
def one_hot(g: Maker, op: str) -> None:
    at = g.of(op, rank=(1, 3), only=["int64", "int32", "float32"], where=lambda v: v.data.size <= 100)
    depth = g.source(np.asarray(g.integer(1, 4), g.choice(["int64", "int32"])), dynamic=25)
    values = g.new(g.choice([t for t in taken(op, g.opset, 2) if t in ("float32", "int64", "int32", "bool")]), (2,))
    g.node(op, [at, depth, values], axis=g.maybe(60, lambda: g.axis(at.rank + 1)))


@row("Trilu", exact=True)
def trilu(g: Maker, op: str) -> None:
    x = g.of(op, rank=(2, 4))
    g.node(op, [x, g.maybe(60, lambda: g.source(np.asarray(g.integer(-3, 3)), 25))], upper=g.choice([None, 0, 1]))


@row("DepthToSpace", "SpaceToDepth", exact=True)
def blocks(g: Maker, op: str) -> None:
    n = g.integer(1, 2)
    deep = op == "DepthToSpace"

    def fits(v: Value) -> bool:
        return v.data.size > 0 and (v.shape[1] % (n * n) == 0 if deep else v.shape[2] % n == v.shape[3] % n == 0)

    a, b, c = g.integer(1, 2), g.integer(1, 3), g.integer(1, 3)
    shape = (1, a * n * n, b, c) if deep else (1, a, b * n, c * n)
    x = g.of(op, rank=(4, 4), where=fits, new=lambda t: g.new(t, shape))
    g.node(op, [x], blocksize=n, mode=g.choice([None, "DCR", "CRD"]) if deep else None)


@row("NonZero", exact=True)
def nonzero(g: Maker, op: str) -> None:
    g.node(op, [g.of(op, rank=(1, 4), where=lambda v: v.data.size <= 100)])


@row("Compress", exact=True)
def compress(g: Maker, op: str) -> None:
    x = _filled(g, op)
    axis = g.maybe(60, lambda: g.axis(x.rank))
    g.node(op, [x, g.new("bool", (g.integer(1, x.data.size if axis is None else x.shape[axis]),))], axis=axis)


@row("Unique", exact=True)
def unique(g: Maker, op: str) -> None:
    x = _filled(g, op)
    g.node(op, [x], [True, *(g.chance(40) for _ in range(3))], axis=g.maybe(40, lambda: g.axis(x.rank)),
           sorted=g.choice([None, 0, 1]))  # fmt: skip


@row("ReverseSequence", exact=True)
def reverse_sequence(g: Maker, op: str) -> None:
    x = _filled(g, op, 2)
    time = g.integer(0, 1)
    lengths = g.random.integers(1, x.shape[time] + 1, x.shape[1 - time])
    g.node(op, [x, g.source(lengths)], time_axis=time, batch_axis=1 - time)


@row("Shape", exact=True, weight=2)
def shape(g: Maker, op: str) -> None:
    x = g.of(op)
    ends = {n: g.integer(-x.rank - 1, x.rank + 1) for n in ("start", "end") if g.opset >= 15 and g.chance(30)}
    g.node(op, [x], **ends)


@row("Size", exact=True)
def size(g: Maker, op: str) -> None:
    g.node(op, [g.of(op)])


@row("ConstantOfShape", exact=True, blind=False)
def constant_of_shape(g: Maker, op: str) -> None:
    s = g.value(["int64"], rank=(1, 1), where=lambda v: v.data.size <= 4 and v.within(0, 5),
                new=lambda t: g.ints(g.shape(0, 3)))  # fmt: skip
    g.node(op, [s], value=g.maybe(70, lambda: g.contents(g.choice([t for t in DTYPES if t != "string"]), (1,))))


@row("Range", blind=False)
def range_(g: Maker, op: str) -> None:
    dtype = g.choice([t for t in taken(op, g.opset) if t in ("float32", "float64", "int16", "int32", "int64")])
    step = g.choice([1, 2, -1, 0.5] if dtype in FLOATS else [1, 2, -1])
    start = g.integer(-2, 2)
    ends = (start, start + step * g.integer(0, 5), step)
    g.node(op, [g.source(np.asarray(n, dtype), dynamic=25) for n in ends])


@row("EyeLike", exact=True)
def eye_like(g: Maker, op: str) -> None:
    g.node(op, [g.of(op, rank=(2, 2))], k=g.maybe(50, lambda: g.integer(-2, 2)), dtype=g.choice([None, 1, 7, 11]))


@row("CenterCropPad", exact=True)
def center(g: Maker, op: str) -> None:
    x = _filled(g, op, 1, 4)
    axes = g.maybe(50, lambda: g.axes(x.rank, 1))
    g.node(op, [x, g.ints([g.integer(1, 5) for _ in (x.shape if axes is None else axes)])], axes=axes)
