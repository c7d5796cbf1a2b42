"""Direct convolution: machine code for one group of blocks of output channels.

    task → image, unit (a group of blocks of output channels), chunk (rows, or a part of a row)
    for each tile of the chunk:
        sums[position, block] = bias[block]
        for each tap (offset in bytes from the first number under the tile's window; see `conv_pack`):
            for each of the `run` numbers that follow it:
                sums[position, block] += x[offset + position] · w[next block of weights]
        y = epilogue(sums)

The taps make input channels, rows and columns of the kernel one loop for every layout of x. If the weights of a unit
are too many for the cache, the taps are divided, and all tiles of the chunk are passed for each part, with the sums
waiting in y. Long sums are made of shorter ones, since the error of a sum grows with the number of its terms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

from ..emit import FLOAT, INT, INT32, Function, Type, Value, Variable, vector
from ..program import Kernel
from .conv_tiles import Tiling
from .epilogues import Epilogue
from .frames import FRAME_FIELDS, zero_frame

__all__ = ["UNIT_FIELDS", "Direct", "kernel", "pieces"]

UNIT_FIELDS = ("taps", "x", "weights", "bias", "block", "low", "high", "stop")
"""A row of the table of units: offsets in bytes of its taps in the table, of its channels in an image of x, of its
weights and its bias; its first block of y; among the channels of its blocks, which are its own (low … high − 1) and
which it writes (low … stop − 1), those that are not its own as zeros."""

FIELDS = (
    *("x", "weights", "bias", "table", "y", "residual"),
    *("units", "unit_every", "unit_count", "image_every", "image_count", "chunk_every", "chunk_count"),
    *(
        "column_chunks",
        "chunk_rows",
        "chunk_columns",
        "height",
        "width",
        "taps",
        "taps_together",
        "chain",
        "run",
        "ahead",
        "ahead_every",
        "ahead_count",
        "ahead_step",
    ),
    *("x_origin", "x_image", "x_row", "y_origin", "y_image", "y_plane", "y_row"),
    *("residual_origin", "residual_image", "residual_plane", "residual_row"),
)


CACHE_LINE = 64


@dataclass(frozen=True)
class Direct:
    """What the machine code is specialised for.

    Attributes:
        column_step, row_step: bytes of x from one position of a tile to the next.
        single: every tap is one number, `run` is 1.
        divided: the taps are passed in parts.
        chained: sums are made of shorter ones.
        lanes_written: all lanes of a block; all, those beyond the last channel as zeros; or only those of the group.
        framed: y has a frame.
    """

    lanes: int
    tiling: Tiling
    column_step: int
    row_step: int
    single: bool
    divided: bool
    chained: bool
    lanes_written: Literal["all", "zeros", "own"]
    framed: bool
    epilogue: Epilogue

    @property
    def name(self) -> str:
        t = self.tiling
        tile = f"{t.blocks}x{t.rows}x{t.columns}_{t.last_rows}x{t.last_columns}"
        flags = "".join(
            letter
            for letter, on in zip("sdcf", (self.single, self.divided, self.chained, self.framed), strict=True)
            if on
        )
        return (
            f"conv{self.lanes}_{tile}_{self.column_step}_{self.row_step}_{flags}_{self.lanes_written}"
            f"_{self.epilogue.name}"
        )


@cache
def kernel(spec: Direct) -> Kernel:
    """The machine code."""
    f = Function(spec.name, [*FIELDS, *FRAME_FIELDS])
    _Emitter(f, spec).emit()
    return Kernel.of(f)


def pieces(first: Value, stop: Value, size: int, last: int) -> list[tuple[Value, Value, int]]:
    """Where tiles of a size begin, where they end; and those of size `last`, if it is not 0, at the end."""
    if not last:
        return [(first, stop, size)]
    middle = first + (stop - first) // size * size
    return [(first, middle, size), (middle, stop, last)]


class _Emitter:
    """Fills the function of one kernel."""

    def __init__(self, f: Function, spec: Direct) -> None:
        self.f, self.spec, self.tiling = f, spec, spec.tiling
        self.kind: Type = vector(FLOAT, spec.lanes)
        self.number: dict[str, Value] = {name: f.number(name) for name in FIELDS[6:]}
        self.image, self.unit, self.chunk = (
            (f.task // self.number[f"{what}_every"]) % self.number[f"{what}_count"]
            for what in ("image", "unit", "chunk")
        )
        self.table = f.pointer("table")
        row = self.table + (self.number["units"] + self.unit * (8 * len(UNIT_FIELDS)))
        self.own = {name: f.load(INT, row + 8 * i) for i, name in enumerate(UNIT_FIELDS)}
        self.taps = self.table + self.own["taps"]
        self.x = f.pointer("x") + (self.number["x_origin"] + self.image * self.number["x_image"] + self.own["x"])
        self.w = f.pointer("weights") + self.own["weights"]
        turn = f.task % self.number["ahead_count"] * self.number["ahead_every"]
        self.ahead = f.variable(self.w.type, self.w + (self.number["ahead"] + turn))
        self.y = self._plane("y")
        self.residual = self._plane("residual") if spec.epilogue.residual else None
        bias = f.pointer("bias") + self.own["bias"]
        self.bias = [self._weight(bias, block) for block in range(self.tiling.blocks)]
        self.keep, self.write = self._masks()

    def _plane(self, name: str) -> Value:
        """The address of position (0, 0) of the unit's first block."""
        n = self.number
        offset = n[f"{name}_origin"] + self.image * n[f"{name}_image"] + self.own["block"] * n[f"{name}_plane"]
        return self.f.pointer(name) + offset

    def _weight(self, pointer: Value, block: int) -> Value:
        return self.f.load(self.kind, pointer + block * self.kind.size, align=self.kind.size)

    def _masks(self) -> tuple[list[Value], list[Value]]:
        """Of each block: which lanes hold results, which are written."""
        f, lanes = self.f, self.spec.lanes
        if self.spec.lanes_written == "all":
            return [], []
        low, high, stop = (f.convert(self.own[name], INT32) for name in ("low", "high", "stop"))
        kind = vector(INT32, lanes)
        keep, write = [], []
        for block in range(self.tiling.blocks):
            numbers = ", ".join(f"i32 {block * lanes + lane}" for lane in range(lanes))
            lane = Value(f, kind, f"<{numbers}>")
            ours = lane >= low
            keep.append(ours & (lane < high))
            write.append(ours & (lane < stop))
        return keep, write

    def emit(self) -> None:
        f, n, t = self.f, self.number, self.tiling
        rows, columns = self.chunk // n["column_chunks"], self.chunk % n["column_chunks"]
        first_row, first_column = rows * n["chunk_rows"], columns * n["chunk_columns"]
        stop_row = f.minimum(first_row + n["chunk_rows"], n["height"])
        stop_column = f.minimum(first_column + n["chunk_columns"], n["width"])
        down = pieces(first_row, stop_row, t.rows, t.last_rows)
        along = pieces(first_column, stop_column, t.columns, t.last_columns)
        if self.spec.divided:
            with f.range(0, n["taps"], n["taps_together"]) as k:
                self._sweep(down, along, k, f.minimum(k + n["taps_together"], n["taps"]))
        else:
            self._sweep(down, along, f.value(0, INT), n["taps"])
        if self.spec.framed:
            with f.when(columns.equals(0)):
                self._frame(first_row, stop_row)

    def _sweep(self, down: list, along: list, tap: Value, stop: Value) -> None:
        """All tiles, for the taps from `tap` on."""
        for top, bottom, rows in down:
            with self.f.range(top, bottom, rows) as i:
                for left, right, columns in along:
                    with self.f.range(left, right, columns) as j:
                        self._tile(i, j, rows, columns, tap, stop)

    def _tile(self, i: Value, j: Value, rows: int, columns: int, tap: Value, stop: Value) -> None:
        f, n, spec, blocks = self.f, self.number, self.spec, self.tiling.blocks
        places = [(r, c) for r in range(rows) for c in range(columns)]
        y = [self._address(self.y, "y", i, j, block) for block in range(blocks)]
        sums = {(p, b): f.variable(self.kind) for p in places for b in range(blocks)}
        self._start(sums, y, tap)
        others = self._residuals(i, j)
        for place, block in sums if others else ():
            f.prefetch(self._place(others, "residual", place, block))
        x = self.x + (i * n["x_row"] + j * spec.column_step)
        offsets = [r * spec.row_step + c * spec.column_step for r, c in places]
        w = f.variable(self.w.type, self.w + tap * n["run"] * (blocks * self.kind.size))
        if spec.chained:
            self._in_chains(sums, tap, stop, lambda first, end: self._taps(sums, x, w, offsets, first, end))
        else:
            self._taps(sums, x, w, offsets, tap, stop)
        self._finish(sums, y, i, j, stop)

    def _taps(self, sums: dict, x: Value, w: Variable, offsets: list[int], first: Value, stop: Value) -> None:
        """The products of some taps, added to the sums; meanwhile what the tap after each will read is asked for, since
        another core may have written it."""
        f = self.f
        with f.range(first, stop) as k:
            window = x + f.load(INT, self.taps + k * 8)
            if self.spec.single:
                self._multiply(sums, window, w, offsets)
            else:
                after, apart = x + f.load(INT, self.taps + k * 8 + 8), max(CACHE_LINE, self.spec.column_step)
                with f.range(self.number["run"]) as c:
                    f.prefetch(after + c * apart)
                    self._multiply(sums, window + c * 4, w, offsets)

    def _in_chains(self, sums: dict, tap: Value, stop: Value, add: Callable[[Value, Value], None]) -> None:
        """Sums of sums: those of `chain` taps begin at 0, and are added to what waits in memory."""
        f, size, chain = self.f, self.kind.size, self.number["chain"]
        memory = f.scratch(len(sums) * size)
        waiting = {key: memory + i * size for i, key in enumerate(sums)}
        for key, total in sums.items():
            f.store(total.get(), waiting[key], align=size)
        with f.range(tap, stop, chain) as first:
            for total in sums.values():
                total.set(0.0)
            add(first, f.minimum(first + chain, stop))
            for key, total in sums.items():
                f.store(f.load(self.kind, waiting[key], align=size) + total.get(), waiting[key], align=size)
        for key, total in sums.items():
            total.set(f.load(self.kind, waiting[key], align=size))

    def _multiply(self, sums: dict, x: Value, w: Variable, offsets: list[int]) -> None:
        """One number under each position, times one vector of weights of each block."""
        f, blocks, at = self.f, self.tiling.blocks, w.get()
        weights = [self._weight(at, block) for block in range(blocks)]
        w.set(at + blocks * self.kind.size)
        f.prefetch(self.ahead.get(), level=2)
        self.ahead.set(self.ahead.get() + self.number["ahead_step"])
        for index, ((_, block), total) in enumerate(sums.items()):
            if block == 0:
                spread = f.splat(f.load(FLOAT, x + offsets[index // blocks]), self.spec.lanes)
            total.set(f.fma(spread, weights[block], total.get()))

    def _address(self, plane: Value, name: str, i: Value, j: Value, block: int) -> Value:
        n = self.number
        return plane + (i * n[f"{name}_row"] + j * self.kind.size + n[f"{name}_plane"] * block)

    def _place(self, pointers: list[Value], name: str, place: tuple[int, int], block: int) -> Value:
        row, column = place
        at = pointers[block] + self.number[f"{name}_row"] * row if row else pointers[block]
        return at + column * self.kind.size

    def _start(self, sums: dict, y: list[Value], tap: Value) -> None:
        def from_bias() -> None:
            for (_, block), total in sums.items():
                total.set(self.bias[block])

        def from_y() -> None:
            for (place, block), total in sums.items():
                total.set(self.f.load(self.kind, self._place(y, "y", place, block), align=self.kind.size))

        self._either(tap.equals(0), from_bias, from_y)

    def _finish(self, sums: dict, y: list[Value], i: Value, j: Value, stop: Value) -> None:
        long = self.spec.epilogue.long and self.spec.lanes_written != "own"

        def to_y() -> None:
            for (place, block), total in sums.items():
                self.f.store(total.get(), self._place(y, "y", place, block), align=self.kind.size)

        def through_epilogue() -> None:
            others = self._residuals(i, j)
            for (place, block), total in sums.items():
                other = self._place(others, "residual", place, block) if others else None
                self._store(total.get(), self._place(y, "y", place, block), other, block)

        def afterwards() -> None:
            others = self._residuals(i, j)
            rows, columns = (n + 1 for n in max(sums)[0])
            for row in range(rows):
                for block in range(self.tiling.blocks):
                    at = self._place(y, "y", (row, 0), block)
                    other = self._place(others, "residual", (row, 0), block) if others else None

                    def finish(i: Value, at: Value = at, other: Value | None = other, block: int = block) -> None:
                        k = i * self.kind.size
                        total = self.f.load(self.kind, at + k, align=self.kind.size)
                        self._store(total, at + k, other + k if other is not None else None, block)

                    self.f.repeat(columns, finish)

        if long:
            to_y()
            self._either(stop.equals(self.number["taps"]), afterwards, lambda: None)
        else:
            self._either(stop.equals(self.number["taps"]), through_epilogue, to_y)

    def _residuals(self, i: Value, j: Value) -> list[Value]:
        """Where the tile's values to be added begin, of each block."""
        if self.residual is None:
            return []
        return [self._address(self.residual, "residual", i, j, block) for block in range(self.tiling.blocks)]

    def _store(self, total: Value, at: Value, other: Value | None, block: int) -> None:
        """The epilogue of a sum, with the residual at address `other`."""
        added = None if other is None else self.f.load(self.kind, other, align=self.kind.size)
        result = self.spec.epilogue.emit(self.f, total, added)
        if self.keep:
            result = self.f.select(self.keep[block], result, 0.0)
        if self.spec.lanes_written == "own":
            self.f.store_lanes(result, at, self.write[block])
        else:
            self.f.store(result, at, align=self.kind.size)

    def _either(self, condition: Value, then: Callable[[], None], otherwise: Callable[[], None]) -> None:
        """Only `then` if the taps are not divided."""
        if not self.spec.divided:
            then()
            return
        with self.f.when(condition):
            then()
        with self.f.when(condition.equals(0)):
            otherwise()

    def _frame(self, first: Value, stop: Value) -> None:
        """By the unit to which the first lane of a block belongs."""
        f = self.f
        for block in range(self.tiling.blocks):
            plane = self.y + self.number["y_plane"] * block
            if block or self.spec.lanes_written != "own":
                zero_frame(f, plane, self.spec.lanes, first, stop)
            else:
                with f.when(self.own["low"].equals(0)):
                    zero_frame(f, plane, self.spec.lanes, first, stop)
