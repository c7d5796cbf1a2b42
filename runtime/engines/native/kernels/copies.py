"""Boxes of elements copied from one place to another: what joins, cuts, pads, repeats and transposes tensors.

    y[i] = x[i]        for every index i of a box, where each side says what an index means: see `Side`

A side may be plain or in blocks of channels; then a box whose channels begin within a block falls into a few boxes,
none of whose runs of channels crosses blocks. Strides are in bytes: 0 repeats an element, a negative one reverses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import prod

from ..emit import BYTE, INT, INT32, Function, Type, Value, Variable, vector
from ..host import host
from ..layouts import Blocked, Layout, Plain
from ..program import Kernel, Step
from .shuffles import transposed
from .sweeps import first_lanes

__all__ = ["ELEMENTS", "Side", "copy_box", "side", "zero_lanes"]

TASK = 32768
"""Bytes of a task, about."""
LONG = 512
"""Bytes; runs of at least so many are left to memcpy."""
SQUARE = 4
"""Elements; smaller squares are not worth turning in registers."""
STRIP = 64
"""Columns of a transposition that are passed together, at least."""
SHORT = 8
"""Rows shorter than this, where a side is passed by strides, are not worth a loop of their own."""
NARROW = 128
"""Elements of a piece where a side is passed by strides: their cache lines are still there for the next row."""

ELEMENTS: dict[int, Type] = {1: BYTE, 2: Type("i16", 2), 4: INT32, 8: INT}
"""Bytes → what an element is moved as."""
_CHANNELS = 1


@dataclass(frozen=True)
class Side:
    """Element i lies at base + Σ i·strides; along `channels`, if that is an axis, block by block instead.

    Attributes:
        channels: the axis of the index that counts channels of a blocked value; −1 for none.
        first: the channel at index 0; `lanes` of a block; `plane` bytes from one block to the next.
    """

    item: int
    base: int
    strides: tuple[int, ...]
    channels: int = -1
    first: int = 0
    lanes: int = 0
    plane: int = 0


def side(
    layout: Layout,
    start: Sequence[int] | None = None,
    step: Sequence[int] | None = None,
    perm: Sequence[int] | None = None,
) -> Side:
    """Axis j of the index runs along axis perm[j] of a value, from its `start` on in steps of `step` elements.

    `start` and `step` are in the order of the value's axes. A step of 0 repeats.

    Raises:
        ValueError: for channels of a blocked value in steps other than 1.
    """
    rank = len(layout.shape)
    start, step, perm = start or (0,) * rank, step or (1,) * rank, perm or tuple(range(rank))
    if isinstance(layout, Plain):
        item = layout.dtype.itemsize
        strides = [item * prod(layout.shape[i + 1 :]) for i in range(rank)]
        base = sum(a * b for a, b in zip(start, strides, strict=True))
        return Side(item, base, tuple(strides[i] * step[i] for i in perm))
    if step[_CHANNELS] != 1:
        raise ValueError("channels of blocks are passed one after the other")
    strides = [layout.image, 0, layout.row, layout.pixel]
    base = layout.origin + sum(a * b for a, b in zip(start, strides, strict=True))
    along = tuple(strides[i] * step[i] for i in perm)
    return Side(
        layout.dtype.itemsize, base, along, list(perm).index(_CHANNELS), start[_CHANNELS], layout.lanes, layout.plane
    )


# ---- boxes


@dataclass(frozen=True)
class _Box:
    """Sizes, and of both sides the base and the strides."""

    sizes: tuple[int, ...]
    bases: tuple[int, int]
    strides: tuple[tuple[int, ...], tuple[int, ...]]


def _boxes(x: Side, y: Side, counts: Sequence[int]) -> list[_Box]:
    blocked = [s for s in (x, y) if s.channels >= 0]
    if not blocked:
        return [_Box(tuple(counts), (x.base, y.base), (x.strides, y.strides))]
    axis, lanes = blocked[0].channels, blocked[0].lanes
    if any((s.channels, s.lanes) != (axis, lanes) for s in blocked):
        raise ValueError("the blocks of both sides have to be along the same axis and equally wide")
    runs: dict[tuple[int, ...], list[int]] = {}
    at = 0
    while at < counts[axis]:
        lane = [(s.first + at) % lanes for s in blocked]
        room = min(counts[axis] - at, *(lanes - i for i in lane))
        runs.setdefault((room, *lane), []).append(at)
        at += room
    made = []
    for (room, *_), places in runs.items():
        sizes = (*counts[:axis], len(places), room, *counts[axis + 1 :])
        (xb, xs), (yb, ys) = (_unfolded(s, axis, places[0], lanes) for s in (x, y))
        made.append(_Box(sizes, (xb, yb), (xs, ys)))
    return made


def _unfolded(s: Side, axis: int, at: int, lanes: int) -> tuple[int, tuple[int, ...]]:
    """Base and strides where the axis of channels has become one of blocks and one of lanes, from channel `at` on."""
    if s.channels < 0:
        stride = s.strides[axis]
        return s.base + at * stride, (*s.strides[:axis], lanes * stride, stride, *s.strides[axis + 1 :])
    channel = s.first + at
    base = s.base + channel // lanes * s.plane + channel % lanes * s.item
    return base, (*s.strides[:axis], s.plane, s.item, *s.strides[axis + 1 :])


def _ordered(box: _Box) -> tuple[list[int], list[int], list[int]]:
    """Sizes and strides with the axis along which y is dense last, without those of one, merged where both allow it."""
    axes = [i for i, size in enumerate(box.sizes) if size != 1]
    axes.sort(key=lambda i: -abs(box.strides[1][i]))
    sizes: list[int] = []
    xs: list[int] = []
    ys: list[int] = []
    for i in axes:
        size, a, b = box.sizes[i], box.strides[0][i], box.strides[1][i]
        if sizes and xs[-1] == size * a and ys[-1] == size * b:
            sizes[-1], xs[-1], ys[-1] = sizes[-1] * size, a, b
        else:
            sizes.append(size)
            xs.append(a)
            ys.append(b)
    return (sizes, xs, ys) if sizes else ([1], [0], [0])


# ---- steps


def copy_box(
    x: Side, y: Side, counts: Sequence[int], x_slot: int, y_slot: int, *, width: int = 0, label: str = "copy"
) -> list[Step]:
    """Copies a box of `counts` elements. Where both sides are in one slot, they may not overlap.

    Args:
        width: bytes of a register; the host's by default.
    """
    if 0 in counts:
        return []
    if x.item != y.item:
        raise ValueError(f"elements of {x.item} bytes do not become ones of {y.item}")
    return [_step(box, x.item, x_slot, y_slot, width or host().vector_bytes, label) for box in _boxes(x, y, counts)]


def zero_lanes(y: Blocked, y_slot: int, zero_slot: int) -> list[Step]:
    """Zeroes the lanes beyond the last channel; slot `zero_slot` holds a zero."""
    n, c, h, w = y.shape
    counts = (n, -c % y.lanes, h, w)
    whole = replace(y, shape=(n, y.blocks * y.lanes, h, w))
    return copy_box(Side(4, 0, (0,) * 4), side(whole, (0, c, 0, 0)), counts, zero_slot, y_slot, label="zero lanes")


def _step(box: _Box, item: int, x: int, y: int, width: int, label: str) -> Step:
    sizes, xs, ys = _ordered(box)
    across = _across(sizes, xs, ys, item, width)
    if across is not None:
        return _turn_step(box, item, x, y, (sizes, xs, ys), *across)
    longest = max(range(len(sizes)), key=lambda j: sizes[j])
    if xs[-1] not in (0, item) and sizes[-1] < SHORT <= sizes[longest]:
        sizes, xs, ys = ([*a[:longest], *a[longest + 1 :], a[longest]] for a in (sizes, xs, ys))
    n, rows = sizes[-1], prod(sizes[:-1])
    dense = ys[-1] == item
    form = "run" if dense and xs[-1] == item else "still" if dense and xs[-1] == 0 else "strided"
    if form == "run" and (n * item >= LONG or item < 4):
        form = "long"
    most = max(TASK // item, 1)
    piece = min(n, NARROW if form == "strided" and rows > 1 else most)
    group = min(rows, max(most // piece, 1))
    pieces = -(-n // piece)
    depth = len(sizes) - 1
    arguments = {"x": x, "y": y, "x_base": box.bases[0], "y_base": box.bases[1], "x_step": xs[-1], "y_step": ys[-1]}
    arguments |= {"n": n, "piece": piece, "pieces": pieces, "rows": rows, "group": group}
    for j in range(depth):
        arguments |= {f"size{j}": sizes[j], f"x_stride{j}": xs[j], f"y_stride{j}": ys[j]}
    return Step(_kernel(item, form, depth, width), arguments, pieces * -(-rows // group), label=label)


def _across(sizes: list[int], xs: list[int], ys: list[int], item: int, width: int) -> tuple[int, int] | None:
    """The axis along which x is dense, if that is not the one along which y is, and the size of squares to turn."""
    dense = [j for j in range(len(sizes) - 1) if xs[j] == item]
    if not dense or ys[-1] != item or item < 4:
        return None
    square = min(width // item, 1 << min(sizes[dense[-1]], sizes[-1]).bit_length() - 1)
    return (dense[-1], square) if square >= SQUARE else None


def _turn_step(
    box: _Box, item: int, x: int, y: int, lie: tuple[list[int], list[int], list[int]], axis: int, square: int
) -> Step:
    sizes, xs, ys = lie
    outer = [j for j in range(len(sizes) - 1) if j != axis]
    n, m, rows = sizes[-1], sizes[axis], prod(sizes[j] for j in outer)
    pieces, bands = max(1, n // STRIP), max(1, m // (TASK // item // STRIP))
    group = min(rows, max(1, TASK // (item * (n // pieces) * (m // bands))))
    arguments = {"x": x, "y": y, "x_base": box.bases[0], "y_base": box.bases[1], "x_step": xs[-1], "y_step": ys[axis]}
    arguments |= {"n": n, "pieces": pieces, "m": m, "bands": bands, "rows": rows, "group": group}
    for i, j in enumerate(outer):
        arguments |= {f"size{i}": sizes[j], f"x_stride{i}": xs[j], f"y_stride{i}": ys[j]}
    tasks = bands * pieces * -(-rows // group)
    return Step(_turn_kernel(item, square, len(outer)), arguments, tasks, label="transpose")


# ---- the kernel

_FIELDS = ("x", "y", "x_base", "y_base", "x_step", "y_step", "n", "piece", "pieces", "rows", "group")


@cache
def _kernel(item: int, form: str, depth: int, width: int) -> Kernel:
    """Rows along the last axis, in pieces; a task is some rows of a piece. `form` says how a row is copied."""
    axes = range(depth)
    fields = [*_FIELDS, *(f"{name}{j}" for name in ("size", "x_stride", "y_stride") for j in axes)]
    f = Function(f"copy_{form}_{item}_{depth}_{width}", fields)
    piece, pieces, group = f.number("piece"), f.number("pieces"), f.number("group")
    start = (f.task % pieces) * piece
    length = f.minimum(piece, f.number("n") - start)
    first = (f.task // pieces) * group
    x_step, y_step = f.number("x_step"), f.number("y_step")
    walk = _Walk(f, depth, first, (start * x_step, start * y_step))
    with f.range(first, f.minimum(first + group, f.number("rows"))):
        _row(f, form, ELEMENTS[item], width // item, walk.at(), (x_step, y_step), length)
        walk.advance()
    return Kernel.of(f)


class _Walk:
    """Where a row of both sides begins, from row `first` of `depth` axes on; `offsets` bytes into it."""

    def __init__(self, f: Function, depth: int, first: Value, offsets: tuple[Value, Value]) -> None:
        self.f = f
        self.sizes = [f.number(f"size{j}") for j in range(depth)]
        self.strides = [[f.number(f"{side}_stride{j}") for j in range(depth)] for side in "xy"]
        rest = first
        places: list[Value] = []
        for size in reversed(self.sizes):
            places.insert(0, rest % size)
            rest = rest // size
        self.counters = [f.variable(INT, place) for place in places]
        self.addresses: list[Variable] = []
        for name, offset, along in zip("xy", offsets, self.strides, strict=True):
            address = f.pointer(name) + f.number(f"{name}_base") + offset
            for place, stride in zip(places, along, strict=True):
                address = address + place * stride
            self.addresses.append(f.variable(address.type, address))

    def at(self) -> tuple[Value, Value]:
        return self.addresses[0].get(), self.addresses[1].get()

    def advance(self) -> None:
        """On to the next row."""
        self._count(len(self.sizes) - 1)

    def _count(self, j: int) -> None:
        """Counts in axis j, and carries over to the one before."""
        if j < 0:
            return
        f, counter, size = self.f, self.counters[j], self.sizes[j]
        counter.set(counter.get() + 1)
        for address, along in zip(self.addresses, self.strides, strict=True):
            address.set(address.get() + along[j])
        with f.when(counter.get().equals(size)):
            counter.set(0)
            for address, along in zip(self.addresses, self.strides, strict=True):
                address.set(address.get() + -(size * along[j]))
            self._count(j - 1)


def _row(
    f: Function, form: str, kind: Type, lanes: int, at: tuple[Value, Value], steps: tuple[Value, Value], n: Value
) -> None:
    (x, y), (x_step, y_step), item = at, steps, kind.nbytes
    if form == "long":
        f.copy(y, x, n * item)
    elif form == "strided":
        with f.range(n) as i:
            f.store(f.load(kind, x + i * x_step), y + i * y_step)
    elif form == "still":
        value = f.load(kind, x)
        with f.range(n) as i:
            f.store(value, y + i * item)
    else:
        wide = vector(kind, lanes)
        for i, mask in _registers(f, lanes, n):
            if mask is None:
                f.store(f.load(wide, x + i * item), y + i * item)
            else:
                f.store_lanes(f.load_lanes(wide, x + i * item, mask), y + i * item, mask)


def _registers(f: Function, lanes: int, n: Value) -> Iterator[tuple[Value, Value | None]]:
    """Each whole register of a row, then what is left under a mask."""
    whole = n - n % lanes
    with f.range(0, whole, lanes) as i:
        yield i, None
    with f.when(whole < n):
        yield whole, first_lanes(f, n - whole, lanes)


@cache
def _turn_kernel(item: int, square: int, depth: int) -> Kernel:
    """Matrices [n, m] of x, dense along m, to [m, n] of y, dense along n: squares are turned in registers.

    A task is a band of m and a piece of n of some matrices. Both are as equal as can be and wider than a square, so the
    last square of each overlaps the one before where they do not divide.
    """
    axes = range(depth)
    names = ("x", "y", "x_base", "y_base", "x_step", "y_step", "n", "pieces", "m", "bands", "rows", "group")
    f = Function(
        f"turn_{item}_{square}_{depth}",
        [*names, *(f"{name}{j}" for name in ("size", "x_stride", "y_stride") for j in axes)],
    )
    pieces, bands, group = f.number("pieces"), f.number("bands"), f.number("group")
    piece, band = f.task % pieces, f.task // pieces % bands
    first = f.task // (pieces * bands) * group
    (left, width), (top, height) = (
        _share(f, which, f.number(name), count) for which, name, count in ((piece, "n", pieces), (band, "m", bands))
    )
    x_step, y_step = f.number("x_step"), f.number("y_step")
    walk = _Walk(f, depth, first, (left * x_step + top * item, left * item + top * y_step))
    wide = vector(ELEMENTS[item], square)
    with f.range(first, f.minimum(first + group, f.number("rows"))):
        x, y = walk.at()
        with f.range(0, height, square) as down, f.range(0, width, square) as along:
            i, j = f.minimum(down, height - square), f.minimum(along, width - square)
            source, target = x + i * item + j * x_step, y + i * y_step + j * item
            columns = [f.load(wide, source + x_step * k) for k in range(square)]
            for k, row in enumerate(transposed(f, columns)):
                f.store(row, target + y_step * k)
        walk.advance()
    return Kernel.of(f)


def _share(f: Function, which: Value, total: Value, count: Value) -> tuple[Value, Value]:
    """Of so many equal shares one: where it begins and how long it is."""
    start = which * total // count
    return start, (which + 1) * total // count - start
