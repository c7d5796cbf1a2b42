"""Convolution with few output channels, of plain images into plain ones, perhaps pooled: registers are parts of rows.

    task → image, some rows
    for each tile of rows, of output channels, of pieces of the rows:
        sums[row, piece, channel] = bias[channel]
        for each tap (input channel, row and column of the kernel; its offset in x is in a table):
            sums[row, piece, channel] += x[offset + row + piece] · w[tap, channel]
        y = after(pool(epilogue(sums)))

Where channels are fewer than the lanes of a register this wastes none of them. The last piece of a row and the last
group of channels begin so far back that they are whole: what they share with those before is computed twice, to the
same bits. Only rows shorter than a register need masks. Nothing is read or written beside the buffers.

Pooling is that of windows of 2×2 with stride 2. An odd row or column at the end has no window, and is not computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from math import ceil

import numpy as np

from ..emit import FLOAT, INT, Function, Type, Value, Variable, vector
from ..layouts import Plain
from ..program import Kernel, Step, aligned
from .conv_problem import Convolution
from .conv_tiles import PORTS, Tiling, wide_tiling
from .epilogues import Epilogue, Pooling, pooled_pair
from .frames import pad_step
from .gemm_pack import below

__all__ = ["Wide", "pack", "steps", "suits"]


TASK_FLOPS, MOST_TASKS = 400_000, 64
"""Of one task at least; enough tasks for an even division among many threads."""
CHAIN = 80
"""Of twice as many products on, so many make a sum of their own: the error of a sum grows with its length."""
SHARE = 0.9
"""Of the products with registers of channels: up to that share of them, registers of columns are better."""
MOVED = 1.0
"""Cycles saved per number of x at least: that pays for bringing it from blocks to a plain image where it has to be."""
COMMUTING = ("none", "relu", "clip")
"""Activations after which the largest is the same number, to the bit, as before them."""
FIELDS = (
    *("x", "weights", "bias", "table", "y", "chunks", "chunk_rows", "height", "width", "pieces", "channels", "taps"),
    *("x_image", "x_row", "y_image", "y_plane", "y_row"),
)


@dataclass(frozen=True)
class Wide:
    """What is computed.

    Attributes:
        problem: x is plain, y the images before pooling, in blocks of one channel.
        lanes: of a register.
        pool: how windows of 2×2 become one number, if they do.
        epilogue: of the sums, without a residual.
        after: what follows pooling.
    """

    problem: Convolution
    lanes: int
    pool: Pooling = ""
    epilogue: Epilogue = field(default_factory=Epilogue)
    after: Epilogue = field(default_factory=Epilogue)

    @property
    def computed(self) -> tuple[int, int]:
        """Rows and columns before pooling, without those that no window sees."""
        _, _, height, width = self.problem.y.shape
        return (height // 2 * 2, width // 2 * 2) if self.pool else (height, width)

    @property
    def result(self) -> Plain:
        n, m, *_ = self.problem.y.shape
        height, width = self.computed
        return Plain((n, m, height // 2, width // 2) if self.pool else (n, m, height, width))

    @property
    def taps(self) -> int:
        return self.problem.inputs * self.problem.kernel[0] * self.problem.kernel[1]


def suits(problem: Convolution, lanes: int) -> bool:
    """Is it a convolution for these kernels, and better here than with registers of channels?"""
    _, m, _, width = problem.y.shape
    if problem.groups > 1 or problem.strides != (1, 1) or min(*problem.pads, problem.inputs - 1, m - 1, width - 1) < 0:
        return False
    here, there = m * -(-width // lanes) / width, -(-m // lanes)
    saved = problem.kernel[0] * problem.kernel[1] * (there - here) / PORTS
    return here <= SHARE * there and saved >= MOVED


def _tile(wide: Wide) -> Tiling:
    """Its `blocks` are output channels, its `columns` pieces of rows."""
    height, width = wide.computed
    p = wide.problem
    return wide_tiling(height, ceil(width / wide.lanes), p.outputs, wide.taps, p.registers, bool(wide.pool))


def pack(wide: Wide, W: np.ndarray, B: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Weights [M, C, R, S] and bias [M] as `steps` wants them, by name of the slot: [group of channels][tap][channel].

    The groups of channels are those of the tile; the last one begins so far back that it is whole.
    """
    p, count = wide.problem, _tile(wide).blocks
    firsts = [min(m, p.outputs - count) for m in range(0, p.outputs, count)]
    by_tap = W.reshape(p.outputs, -1).T
    source, (down, along) = p.source, p.dilations
    places = product(range(p.inputs), range(p.kernel[0]), range(p.kernel[1]))
    taps = [c * source.plane + r * down * source.row + s * along * source.pixel for c, r, s in places]
    return {
        "weights": _kept(np.stack([by_tap[:, m : m + count] for m in firsts]), np.float32),
        "bias": _kept(np.zeros(p.outputs) if B is None else B, np.float32),
        "table": _kept(np.array(taps), np.int64),
    }


def _kept(values: np.ndarray, dtype: type) -> np.ndarray:
    """At an aligned address."""
    whole: np.ndarray = aligned(values.size * np.dtype(dtype).itemsize).view(dtype)
    whole[:] = values.ravel()
    return whole


def steps(wide: Wide, slots: Mapping[str, int]) -> list[Step]:
    """One step, after one that frames x where there is padding.

    Args:
        slots: of `x`, `y` (see `Wide.result`), what `pack` gives, `scratch` if `conv.scratch(problem)` says so.
    """
    p, made, x = wide.problem, [], slots["x"]
    (height, width), tile, result = wide.computed, _tile(wide), wide.result
    images = p.y.shape[0]
    if not images or not p.outputs or not height or not width:
        return []
    if p.padded:
        assert isinstance(p.x, Plain)
        made.append(pad_step(p.x, p.source, x, slots["scratch"]))
        x = slots["scratch"]
    down = -(-height // tile.rows)
    chunks = max(1, min(MOST_TASKS, p.flops // TASK_FLOPS, down * images) // images)
    chunk_rows = -(-down // chunks) * tile.rows
    chunks = -(-height // chunk_rows)
    row, plane = 4 * result.shape[3], 4 * result.shape[2] * result.shape[3]
    arguments = {
        **{name: slots[name] for name in ("weights", "bias", "table", "y")},
        "x": x,
        "chunks": chunks,
        "chunk_rows": chunk_rows,
        "height": height,
        "width": width,
        "pieces": -(-width // wide.lanes),
        "channels": p.outputs,
        "taps": wide.taps,
        "x_image": p.source.image,
        "x_row": p.source.row,
        "y_image": p.outputs * plane,
        "y_plane": plane,
        "y_row": row,
    }
    flops = p.flops // (p.y.shape[2] * p.y.shape[3]) * height * width
    label = f"conv {p.kernel[0]}×{p.kernel[1]}{f', {wide.pool} pool' if wide.pool else ''}"
    return [*made, Step(_kernel_of(wide, tile), arguments, images * chunks, flops, label)]


def _kernel_of(wide: Wide, tile: Tiling) -> Kernel:
    epilogue, after = wide.epilogue, wide.after
    if wide.pool == "max" and after == Epilogue() and epilogue.activation in COMMUTING:
        epilogue, after = after, epilogue
    short = wide.computed[1] < wide.lanes
    return kernel(_Spec(wide.lanes, tile, short, wide.taps >= 2 * CHAIN, wide.pool, epilogue, after))


@dataclass(frozen=True)
class _Spec:
    """What the machine code is specialised for: `short` rows have less than one register, `chained` sums are made of
    shorter ones."""

    lanes: int
    tile: Tiling
    short: bool
    chained: bool
    pool: Pooling
    epilogue: Epilogue
    after: Epilogue

    @property
    def name(self) -> str:
        t = self.tile
        tile = f"{t.rows}x{t.columns}x{t.blocks}_{t.last_rows}x{t.last_columns}"
        flags = "s" * self.short + "c" * self.chained
        after = f"_{self.pool}_{self.after.name}" if self.pool else ""
        return f"conv_wide{self.lanes}_{tile}_{flags}_{self.epilogue.name}{after}"


Sums = dict[tuple[int, int, int], Variable]
"""Row, piece and channel in the tile → its register."""


@cache
def kernel(spec: _Spec) -> Kernel:
    """The machine code."""
    f = Function(spec.name, FIELDS)
    _Emitter(f, spec).emit()
    return Kernel.of(f)


class _Emitter:
    """Fills the function of one kernel."""

    def __init__(self, f: Function, spec: _Spec) -> None:
        self.f, self.spec, self.tile = f, spec, spec.tile
        self.kind: Type = vector(FLOAT, spec.lanes)
        self.number: dict[str, Value] = {name: f.number(name) for name in FIELDS[5:]}
        n = self.number
        image, self.chunk = f.task // n["chunks"], f.task % n["chunks"]
        self.x = f.pointer("x") + image * n["x_image"]
        self.y = f.pointer("y") + image * n["y_image"]
        self.w, self.bias, self.table = (f.pointer(name) for name in ("weights", "bias", "table"))
        self.mask = below(f, n["width"], spec.lanes) if spec.short else None

    def emit(self) -> None:
        f, n, t = self.f, self.number, self.tile
        first = self.chunk * n["chunk_rows"]
        stop = f.minimum(first + n["chunk_rows"], n["height"])
        down = _divided(first, stop, t.rows, t.last_rows)
        along = _divided(f.value(0, INT), n["pieces"], t.columns, t.last_columns)
        for top, bottom, rows in down:
            with f.range(top, bottom, rows) as i, f.range(0, n["channels"], t.blocks) as group:
                for left, right, pieces in along:
                    with f.range(left, right, pieces) as j:
                        self._fill(i, group, j, rows, pieces)

    def _fill(self, i: Value, group: Value, j: Value, rows: int, pieces: int) -> None:
        """One tile: rows from i on, channels from `group` on, pieces of the rows from j on."""
        f, n, t = self.f, self.number, self.tile
        channel = f.minimum(group, n["channels"] - t.blocks)
        sums: Sums = {key: f.variable(self.kind) for key in product(range(rows), range(pieces), range(t.blocks))}
        for k in range(t.blocks):
            bias = f.splat(f.load(FLOAT, self.bias + (channel + k) * 4), self.spec.lanes)
            for (_, _, of), total in sums.items():
                if of == k:
                    total.set(bias)
        columns = [self._column(j, piece) for piece in range(pieces)]
        x = self.x + i * n["x_row"]
        starts = {(r, v): x + n["x_row"] * r + column * 4 for r in range(rows) for v, column in enumerate(columns)}
        w = f.variable(self.w.type, self.w + group * n["taps"] * 4)
        if self.spec.chained:
            self._in_chains(sums, lambda first, stop: self._taps(sums, starts, w, first, stop))
        else:
            self._taps(sums, starts, w, f.value(0, INT), n["taps"])
        self._finish({key: total.get() for key, total in sums.items()}, i, channel, columns)

    def _column(self, j: Value, piece: int) -> Value:
        """Where a piece of a row begins."""
        if self.spec.short:
            return self.f.value(0, INT)
        return self.f.minimum((j + piece) * self.spec.lanes, self.number["width"] - self.spec.lanes)

    def _taps(self, sums: Sums, starts: dict[tuple[int, int], Value], w: Variable, first: Value, stop: Value) -> None:
        """The products of some taps, added to the sums."""
        f, count = self.f, self.tile.blocks
        with f.range(first, stop) as tap:
            offset = f.load(INT, self.table + tap * 8)
            seen = {place: self._load(start + offset) for place, start in starts.items()}
            at = w.get()
            for k in range(count):
                weight = f.splat(f.load(FLOAT, at + 4 * k), self.spec.lanes)
                for (r, v), x in seen.items():
                    total = sums[r, v, k]
                    total.set(f.fma(x, weight, total.get()))
            w.set(at + 4 * count)

    def _load(self, pointer: Value) -> Value:
        return (
            self.f.load(self.kind, pointer) if self.mask is None else self.f.load_lanes(self.kind, pointer, self.mask)
        )

    def _in_chains(self, sums: Sums, add: Callable[[Value, Value], None]) -> None:
        """Sums of sums: those of `CHAIN` taps begin at 0, and are added to what waits in memory."""
        f, size = self.f, self.kind.size
        memory = f.scratch(len(sums) * size)
        waiting = {key: memory + i * size for i, key in enumerate(sums)}
        for key, total in sums.items():
            f.store(total.get(), waiting[key], align=size)
        with f.range(0, self.number["taps"], CHAIN) as first:
            for total in sums.values():
                total.set(0.0)
            add(first, f.minimum(first + CHAIN, self.number["taps"]))
            for key, total in sums.items():
                f.store(f.load(self.kind, waiting[key], align=size) + total.get(), waiting[key], align=size)
        for key, total in sums.items():
            total.set(f.load(self.kind, waiting[key], align=size))

    def _through(self, epilogue: Epilogue, values: list[Value]) -> list[Value]:
        """Registers through an epilogue; a long one stands in the machine code once."""
        f, size = self.f, self.kind.size
        if not epilogue.long:
            return [epilogue.emit(f, x) for x in values]
        memory = f.scratch(len(values) * size)
        for i, x in enumerate(values):
            f.store(x, memory + i * size, align=size)

        def through(i: Value) -> None:
            at = memory + i * size
            f.store(epilogue.emit(f, f.load(self.kind, at, align=size)), at, align=size)

        f.repeat(len(values), through)
        return [f.load(self.kind, memory + i * size, align=size) for i in range(len(values))]

    def _finish(self, sums: dict[tuple[int, int, int], Value], i: Value, channel: Value, columns: list[Value]) -> None:
        """Epilogue, pooling and what follows it, and the places in y."""
        n = self.number
        done = dict(zip(sums, self._through(self.spec.epilogue, list(sums.values())), strict=True))
        y = self.y + channel * n["y_plane"]
        if self.spec.pool:
            self._pooled(done, y + i // 2 * n["y_row"], columns)
            return
        y = y + i * n["y_row"]
        for (r, v, k), result in done.items():
            self._store(result, y + (n["y_plane"] * k + n["y_row"] * r + columns[v] * 4), self.mask)

    def _pooled(self, sums: dict[tuple[int, int, int], Value], y: Value, columns: list[Value]) -> None:
        """Pairs of rows become one; of two pieces the even and the odd columns are taken together."""
        f, n, lanes = self.f, self.number, self.spec.lanes
        rows, count = (1 + max(key[axis] for key in sums) for axis in (0, 2))
        pairs = [tuple(range(v, min(v + 2, len(columns)))) for v in range(0, len(columns), 2)]
        places = list(product(range(0, rows, 2), pairs, range(count)))
        found = []
        for r, pair, k in places:
            lines = [self._joined(sums[r, v, k], sums[r + 1, v, k]) for v in pair]
            even, odd = (f.shuffle(lines[0], lines[-1], range(side, 2 * lanes, 2)) for side in (0, 1))
            result = self._joined(even, odd)
            found.append(result * 0.25 if self.spec.pool == "mean" else result)
        mask = below(f, n["width"] // 2, lanes // 2) if self.spec.short else None
        for (r, pair, k), result in zip(places, self._through(self.spec.after, found), strict=True):
            for half, v in enumerate(pair):
                part = f.shuffle(result, result, range(half * lanes // 2, (half + 1) * lanes // 2))
                self._store(part, y + (n["y_plane"] * k + n["y_row"] * (r // 2) + columns[v] * 2), mask)

    def _joined(self, a: Value, b: Value) -> Value:
        return pooled_pair(self.f, self.spec.pool, a, b)

    def _store(self, value: Value, pointer: Value, mask: Value | None) -> None:
        if mask is None:
            self.f.store(value, pointer)
        else:
            self.f.store_lanes(value, pointer, mask)


def _divided(first: Value, stop: Value, size: int, last: int) -> list[tuple[Value, Value, int]]:
    """Where tiles of a size begin, where they end."""
    if not last:
        return [(first, stop, size)]
    middle = first + (stop - first) // size * size
    return [(first, middle, size), (middle, stop, last)]
