"""Between layouts: plain [N, C, H, W] to blocks of channels and back, and from one frame to another.

The plane of a channel lies in plain memory as one run of H·W positions. Of a run `lanes` positions are taken at a time,
of all channels of a block: `lanes` registers, which are transposed. What is left at the end of a run is taken together
with positions before it, a second time; only runs shorter than a register need masks.

    form     when            how a block moves
    tiles    H·W ≥ lanes     squares of lanes × lanes, positions beside each other in blocks too
    framed   H·W ≥ lanes     the same, but rows of blocks have something of a frame between them
    short    H·W < lanes     one square, partly filled
    points   H·W = 1         a register, as it is
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from ..emit import FLOAT, INT, POINTER, Function, Value, vector
from ..layouts import FLOAT32, Blocked, Plain
from ..program import Kernel, Step
from .shuffles import transposed
from .sweeps import first_lanes

__all__ = ["from_blocked", "reframe", "to_blocked"]

TASK = 65536
"""Bytes of a task, about, on either side."""


def to_blocked(x: Plain, y: Blocked, x_slot: int, y_slot: int) -> Step:
    """Plain [N, C, H, W] → Blocked, the frame of y left alone."""
    arguments, tasks = _shares(y)
    kernel = _kernel("to", y.lanes, _form(y))
    return Step(kernel, {"x": x_slot, "y": y_slot, **arguments}, tasks, label=f"reorder {list(x.shape)} to blocks")


def from_blocked(x: Blocked, x_slot: int, y_slot: int) -> Step:
    """Blocked → plain [N, C, H, W]."""
    arguments, tasks = _shares(x)
    kernel = _kernel("from", x.lanes, _form(x))
    return Step(kernel, {"x": x_slot, "y": y_slot, **arguments}, tasks, label=f"reorder {list(x.shape)} from blocks")


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
_FIELDS = ("x", "y", "channels", "run", "height", "width", "units", "group", "chunks", *_PLACE)


def _form(layout: Blocked) -> str:
    _, _, h, w = layout.shape
    if h * w < layout.lanes:
        return "points" if h * w == 1 else "short"
    return "framed" if h > 1 and layout.row != w * layout.pixel else "tiles"


def _shares(layout: Blocked) -> tuple[dict[str, int], int]:
    """Planes are cut into chunks of a register's positions or more, or put together to groups."""
    if layout.dtype != FLOAT32:
        raise ValueError(f"blocks of {layout.dtype} are not reordered")
    n, c, h, w = layout.shape
    run = h * w
    nbytes = max(run * layout.pixel, 1)
    chunks = max(1, min(nbytes // TASK, run // layout.lanes))
    units = n * layout.blocks * chunks if run else 0
    group = max(1, TASK // nbytes)
    arguments = {"channels": c, "run": run, "height": h, "width": w, "units": units, "group": group, "chunks": chunks}
    return arguments | {name: getattr(layout, name) for name in _PLACE}, -(-units // group)


@cache
def _kernel(way: str, lanes: int, form: str) -> Kernel:
    f = Function(f"{way}_blocked_{form}_{lanes}", list(_FIELDS))
    writer = _Writer(f, lanes, way == "to", form == "framed")
    first = f.task * f.number("group")
    with f.range(first, f.minimum(first + f.number("group"), f.number("units"))) as unit:
        writer.begin(unit)
        {"points": writer.points, "short": writer.short}.get(form, writer.tiles)()
    return Kernel.of(f)


class _Writer:
    """Writes one kernel: moves a chunk of a block from plain memory `to` blocks, or back."""

    def __init__(self, f: Function, lanes: int, to: bool, framed: bool) -> None:
        self.f, self.lanes, self.to, self.framed = f, lanes, to, framed
        self.register = vector(FLOAT, lanes)
        self.pixel = self.register.size
        self.run, self.width = f.number("run"), f.number("width")

    plain: Value
    """Where the first channel of the block begins in plain memory; others follow after `between` bytes."""
    between: Value
    blocked: Value
    count: Value
    """Channels that the block has."""
    start: Value
    end: Value

    def begin(self, unit: Value) -> None:
        f = self.f
        chunks, blocks, channels = f.number("chunks"), f.number("blocks"), f.number("channels")
        chunk, plane = unit % chunks, unit // chunks
        block, image = plane % blocks, plane // blocks
        plain, there = ("x", "y") if self.to else ("y", "x")
        self.between = self.run * 4
        self.plain = f.pointer(plain) + (image * channels + block * self.lanes) * self.between
        self.blocked = f.pointer(there) + (f.number("origin") + image * f.number("image") + block * f.number("plane"))
        self.count = f.minimum(channels - block * self.lanes, self.lanes)
        whole = self.run // self.lanes
        self.start = chunk * whole // chunks * self.lanes
        end = (chunk + 1) * whole // chunks * self.lanes
        self.end = f.select((chunk + 1).equals(chunks), self.run, end)

    # ---- forms

    def points(self) -> None:
        f, valid = self.f, first_lanes(self.f, self.count, self.lanes)
        if self.to:
            f.store(f.load_lanes(self.register, self.plain, valid), self.blocked, self.pixel)
        else:
            f.store_lanes(f.load(self.register, self.blocked, self.pixel), self.plain, valid)

    def short(self) -> None:
        """Positions go through memory of the kernel's own, where they lie without a frame."""
        f = self.f
        square = f.scratch(self.lanes * self.pixel)
        filled = first_lanes(f, self.run, self.lanes)
        if self.to:
            rows = [f.load_lanes(self.register, at, filled) for at in self.channels()]
            for i, x in enumerate(self.zeroed(transposed(f, rows))):
                f.store(x, square + i * self.pixel, self.pixel)
        with f.range(f.number("height")) as y, f.range(self.width) as x:
            inside, there = square + (y * self.width + x) * self.pixel, self.place(y, x)
            source, target = (inside, there) if self.to else (there, inside)
            f.store(f.load(self.register, source, self.pixel), target, self.pixel)
        if not self.to:
            rows = [f.load(self.register, square + i * self.pixel, self.pixel) for i in range(self.lanes)]
            self.scatter(transposed(f, rows), lambda x, at: f.store_lanes(x, at, filled))

    def tiles(self) -> None:
        f, last = self.f, self.end - self.lanes
        walk = _FramedWalk(self) if self.framed else _Walk(self)
        walk.seek(self.start)
        with f.range(self.start, self.end, self.lanes) as p:
            begin = f.minimum(p, last)
            with f.when(last < p):
                walk.seek(last)
            if self.to:
                rows = [f.load(self.register, at + begin * 4) for at in self.channels()]
                for x in self.zeroed(transposed(f, rows)):
                    f.store(x, walk.next(), self.pixel)
            else:
                rows = [f.load(self.register, walk.next(), self.pixel) for _ in range(self.lanes)]
                self.scatter(transposed(f, rows), lambda x, at: f.store(x, at + begin * 4))

    # ---- pieces

    def place(self, y: Value, x: Value) -> Value:
        """Of a position, in blocks."""
        return self.blocked + (y * self.f.number("row") + x * self.pixel)

    def channels(self) -> list[Value]:
        """Where they begin in plain memory; the last of the block stands in for those beyond it."""
        return [self.plain + self.f.minimum(self.count - 1, c) * self.between for c in range(self.lanes)]

    def zeroed(self, positions: list[Value]) -> list[Value]:
        """Channels beyond the last are zero."""
        valid = first_lanes(self.f, self.count, self.lanes)
        return [self.f.select(valid, x, 0.0) for x in positions]

    def scatter(self, channels: list[Value], store: Callable[[Value, Value], None]) -> None:
        """Stores the channels that there are."""
        for c, x in enumerate(channels):
            with self.f.when(self.count > c):
                store(x, self.plain + self.between * c)


class _Walk:
    """Walks along the positions of a plane in blocks, whose rows lie beside each other."""

    def __init__(self, writer: _Writer) -> None:
        self.w, self.f = writer, writer.f
        self.at = self.f.variable(POINTER)

    def seek(self, position: Value) -> None:
        self.at.set(self.w.blocked + position * self.w.pixel)

    def next(self) -> Value:
        """The address of the position; then goes on to the next one."""
        here = self.at.get()
        self.at.set(here + self.w.pixel)
        return here


class _FramedWalk(_Walk):
    """The same where there is something between rows."""

    def __init__(self, writer: _Writer) -> None:
        super().__init__(writer)
        self.left = self.f.variable(INT)
        """Positions up to the end of the row."""
        row, width = self.f.number("row"), self.w.width
        self.on = row - (width - 1) * self.w.pixel

    def seek(self, position: Value) -> None:
        y, x = position // self.w.width, position % self.w.width
        self.at.set(self.w.place(y, x))
        self.left.set(self.w.width - x)

    def next(self) -> Value:
        f, here, left = self.f, self.at.get(), self.left.get()
        ends = left.equals(1)
        self.at.set(here + f.select(ends, self.on, self.w.pixel))
        self.left.set(f.select(ends, self.w.width, left - 1))
        return here


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
