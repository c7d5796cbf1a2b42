"""Convolution of bytes: machine code for one group of blocks of output channels.

    task → image, unit (a group of blocks of output channels), chunk (rows, or a part of a row)
    for each tile of the chunk:
        sums[position, block] = start[block]                                     int32
        for each tap (offset in bytes from the first byte under the tile's window; see `conv_int8`):
            for each of the `run` groups of channels that follow it:
                sums[position, block] += x[offset + position, group] · w[next block of weights]
        y = bytes of sums · scale[block]

Each group of channels may ask for a cache line of the weights of the next unit, for the second cache.

A group is four channels where the processor multiplies and adds four pairs of bytes in one instruction, else two:
bytes widened to 16 bits, whose products are added in pairs. Both are exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

from ..emit import BYTE, FLOAT, INT, INT32, Function, Type, Value, Variable, vector
from ..program import Kernel
from .conv_direct import pieces
from .conv_tiles import Tiling
from .frames import FRAME_FIELDS, zero_frame
from .requantise import TARGET_FIELDS, clamped, exactly, float_number, nearest, quotient, store_bytes, unsigned

__all__ = ["DEPTH", "Dot", "Integer", "kernel"]

Dot = Literal["quads", "pairs"]
DEPTH: dict[Dot, int] = {"quads": 4, "pairs": 2}
"""Channels of a group."""
SHORT = Type("i16", 2)
CACHE_LINE = 64
_POINTERS = ("x", "weights", "start", "scale", "taps", "y", "residual")
_PLACES = tuple(f"{name}_{what}" for name in ("y", "residual") for what in ("origin", "image", "plane", "row"))
_NUMBERS = (
    *("unit_every", "unit_count", "image_every", "image_count", "chunk_every", "chunk_count"),
    *("column_chunks", "chunk_rows", "chunk_columns", "height", "width", "tap_count", "run"),
    *("first_block", "block_weights", "ahead", "ahead_every", "ahead_count"),
    *("x_origin", "x_image", "x_row", *_PLACES),
)
RESIDUAL_FIELDS = ("inner_low", "inner_high", "inner_scale", "other_zero", "other_scale", "y_scale")
"""The sums become whole numbers between two bounds, times `inner_scale`; bytes of the residual less `other_zero`, times
`other_scale`, are added; then y is divided by its scale."""


@dataclass(frozen=True)
class Integer:
    """What the machine code is specialised for.

    Attributes:
        column_step, row_step: bytes of x from one position of a tile to the next.
        framed: y has a frame.
        residual: another quantised value of the same shape is added.
        ahead: the weights of the next unit are asked for.
    """

    lanes: int
    dot: Dot
    tiling: Tiling
    column_step: int
    row_step: int
    framed: bool
    residual: bool
    ahead: bool

    @property
    def name(self) -> str:
        t = self.tiling
        tile = f"{t.blocks}x{t.rows}x{t.columns}_{t.last_rows}x{t.last_columns}"
        flags = "".join(letter for letter, on in (("f", self.framed), ("r", self.residual), ("a", self.ahead)) if on)
        return f"conv_{self.dot}{self.lanes}_{tile}_{self.column_step}_{self.row_step}_{flags}"


@cache
def kernel(spec: Integer) -> Kernel:
    """The machine code."""
    f = exactly(Function(spec.name, [*_POINTERS, *_NUMBERS, *TARGET_FIELDS, *RESIDUAL_FIELDS, *FRAME_FIELDS]))
    _Emitter(f, spec).emit()
    return Kernel.of(f)


class _Emitter:
    """Fills the function of one kernel."""

    def __init__(self, f: Function, spec: Integer) -> None:
        self.f, self.spec, self.tiling, self.depth = f, spec, spec.tiling, DEPTH[spec.dot]
        self.number = n = {name: f.number(name) for name in _NUMBERS}
        self.image, unit, self.chunk = (
            (f.task // n[f"{what}_every"]) % n[f"{what}_count"] for what in ("image", "unit", "chunk")
        )
        self.block = n["first_block"] + unit * self.tiling.blocks
        self.sums_kind = vector(INT32, spec.lanes)
        self.taps = f.pointer("taps")
        self.x = f.pointer("x") + (n["x_origin"] + self.image * n["x_image"])
        self.w = f.pointer("weights") + self.block * n["block_weights"]
        turn = self.chunk % n["ahead_count"] * n["ahead_every"]
        self.ahead = f.variable(self.w.type, self.w + (n["ahead"] + turn))
        self.start, self.scale = (self._of_blocks(name, kind) for name, kind in (("start", INT32), ("scale", FLOAT)))
        self.y = self._plane("y")
        self.residual = self._plane("residual") if spec.residual else None
        self.bound = {name: float_number(f, name) for name in ("low", "high", *RESIDUAL_FIELDS)}
        self.zero = f.convert(f.number("zero"), BYTE)

    def _of_blocks(self, name: str, kind: Type) -> list[Value]:
        """A vector of each block."""
        f, wide = self.f, vector(kind, self.spec.lanes)
        at = f.pointer(name) + self.block * wide.size
        return [f.load(wide, at + b * wide.size, align=wide.size) for b in range(self.tiling.blocks)]

    def _plane(self, name: str) -> Value:
        """The address of position (0, 0) of the unit's first block."""
        n = self.number
        offset = n[f"{name}_origin"] + self.image * n[f"{name}_image"] + self.block * n[f"{name}_plane"]
        return self.f.pointer(name) + offset

    def emit(self) -> None:
        f, n, t = self.f, self.number, self.tiling
        rows, columns = self.chunk // n["column_chunks"], self.chunk % n["column_chunks"]
        first_row, first_column = rows * n["chunk_rows"], columns * n["chunk_columns"]
        stop_row = f.minimum(first_row + n["chunk_rows"], n["height"])
        stop_column = f.minimum(first_column + n["chunk_columns"], n["width"])
        for top, bottom, high in pieces(first_row, stop_row, t.rows, t.last_rows):
            with f.range(top, bottom, high) as i:
                for left, right, wide in pieces(first_column, stop_column, t.columns, t.last_columns):
                    with f.range(left, right, wide) as j:
                        self._tile(i, j, high, wide)
        if self.spec.framed:
            with f.when(columns.equals(0)):
                for block in range(t.blocks):
                    plane = self.y + n["y_plane"] * block
                    zero_frame(f, plane, self.spec.lanes, first_row, stop_row, self.zero)

    def _tile(self, i: Value, j: Value, rows: int, columns: int) -> None:
        f, n, spec, blocks = self.f, self.number, self.spec, self.tiling.blocks
        places = [(r, c) for r in range(rows) for c in range(columns)]
        sums = {(p, b): f.variable(self.sums_kind, self.start[b]) for p in places for b in range(blocks)}
        x = self.x + (i * n["x_row"] + j * spec.column_step)
        offsets = [r * spec.row_step + c * spec.column_step for r, c in places]
        w = f.variable(self.w.type, self.w)
        with f.range(n["tap_count"]) as k:
            window = x + f.load(INT, self.taps + k * 8)
            with f.range(n["run"]) as c:
                self._multiply(sums, window + c * self.depth, w, offsets)
        y = self._addresses(self.y, "y", i, j)
        others = self._addresses(self.residual, "residual", i, j) if self.residual is not None else None
        for row in range(rows):
            for block in range(blocks):
                self._store_row([sums[(row, c), block].get() for c in range(columns)], row, block, y, others)

    def _multiply(self, sums: dict, x: Value, w: Variable, offsets: list[int]) -> None:
        """One group of channels under each position, times one vector of weights of each block."""
        blocks, at = self.tiling.blocks, w.get()
        size = self.spec.lanes * self.depth
        weights = [self._weights(at + block * size) for block in range(blocks)]
        w.set(at + blocks * size)
        if self.spec.ahead:
            self.f.prefetch(self.ahead.get(), level=2)
            self.ahead.set(self.ahead.get() + CACHE_LINE)
        for index, ((_, block), total) in enumerate(sums.items()):
            if block == 0:
                spread = self._spread(x + offsets[index // blocks])
            total.set(self._dot(total.get(), spread, weights[block]))

    def _weights(self, at: Value) -> Value:
        f, lanes = self.f, self.spec.lanes
        if self.spec.dot == "quads":
            return f.load(self.sums_kind, at, align=self.sums_kind.size)
        return f.convert(f.load(vector(BYTE, 2 * lanes), at, align=2 * lanes), INT32)

    def _spread(self, at: Value) -> Value:
        """A group of channels, once for each lane."""
        f, lanes = self.f, self.spec.lanes
        if self.spec.dot == "quads":
            return f.splat(f.load(INT32, at, align=4), lanes)
        pairs = f.splat(f.load(SHORT, at, align=2), lanes)
        return unsigned(f, f.bitcast(pairs, vector(BYTE, 2 * lanes)))

    def _dot(self, total: Value, x: Value, w: Value) -> Value:
        """total + Σ x · w over the channels of each lane's group."""
        f, lanes, kind = self.f, self.spec.lanes, self.sums_kind
        if self.spec.dot == "quads":
            name = f"llvm.x86.avx512.vpdpbusd.{32 * lanes}"
            f.declared.setdefault(name, f"declare {kind} @{name}({kind}, {kind}, {kind})")
            return f.emit(kind, f"call {kind} @{name}({kind} {total.text}, {kind} {x.text}, {kind} {w.text})")
        products = x * w
        even, odd = (f.shuffle(products, products, range(first, 2 * lanes, 2)) for first in (0, 1))
        return total + (even + odd)

    def _addresses(self, plane: Value, name: str, i: Value, j: Value) -> list[Value]:
        """Where the tile begins, in each block."""
        n = self.number
        start = plane + (i * n[f"{name}_row"] + j * self.spec.lanes)
        return [start + n[f"{name}_plane"] * block for block in range(self.tiling.blocks)]

    def _store_row(self, sums: list[Value], row: int, block: int, y: list[Value], others: list[Value] | None) -> None:
        """Positions of a row lie side by side."""
        target = y[block] + self.number["y_row"] * row if row else y[block]
        other = others[block] + self.number["residual_row"] * row if others else None
        numbers = [
            self._quotient(total, block, None if other is None else other + k * self.spec.lanes)
            for k, total in enumerate(sums)
        ]
        store_bytes(self.f, numbers, target, self.zero)

    def _quotient(self, total: Value, block: int, other: Value | None) -> Value:
        """A register of sums as whole numbers, from which only the zero point is missing."""
        f, bound = self.f, self.bound
        v = f.convert(total, FLOAT) * self.scale[block]
        if other is not None:
            inner = f.call("llvm.rint", clamped(f, v, bound["inner_low"], bound["inner_high"]))
            byte = f.load(vector(BYTE, self.spec.lanes), other, align=self.spec.lanes)
            more = (f.convert(unsigned(f, byte), FLOAT) - bound["other_zero"]) * bound["other_scale"]
            v = quotient(f, inner * bound["inner_scale"] + more, bound["y_scale"])
        return nearest(f, clamped(f, v, bound["low"], bound["high"]))
