"""The kernel of the matrix product: Y = epilogue(alpha·A·B + beta·C), tile by tile.

    task ─▶ one batch, some tiles of rows, some panels of columns
      for each block of k                 the part of B that it touches stays in the second-level cache
        for each tile of rows             its part of A is packed where it is given as columns
          for each panel of columns
            rows × vectors registers += A[:, i] ⊗ B[i, :] for i in the block

All columns but those of the last panel are whole panels. The rows of a product are cut evenly: its tiles have `rows` or
`rows − 1` rows. Each block of k is summed apart, in order whatever the tasks are: results do not depend on the number
of threads, and their error does not grow with k as that of one long sum would.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

from ..emit import INT, POINTER, Function, Type, Value, Variable, vector
from ..program import Kernel
from .epilogues import Epilogue
from .gemm_pack import below, smaller

__all__ = ["Tile", "tile_kernel"]

Tail = tuple[int, bool]
"""Registers of the last, narrower panel; is the last of them filled in part?"""


@dataclass(frozen=True)
class Tile:
    """What a kernel is specialised for.

    Attributes:
        type, lanes, vectors: a panel is `vectors` registers of `lanes` numbers of `type`.
        rows: of a tile; `uneven`: are there tiles of one row less?
        tail: of the last panel; (0, False) if all are whole.
        a: how a tile of A is read: "rows" where it lies, or "columns" after packing it from A's transpose [k, m];
            `depth`: so much of k is packed at most.
        b: "panels" as packed, or "plain" where it lies, [k, n].
        partial: sums that are kept apart, so that additions do not wait for each other where a tile is small.
        c: what is added: "none", "along" (numbers that differ from column to column) or "across" (one per row).
        alpha, beta: as in Gemm.
        batch: dimensions of the batch, as A's and B's strides need them.
    """

    type: Type
    lanes: int
    vectors: int
    rows: int
    uneven: bool
    tail: Tail
    a: Literal["rows", "columns"]
    b: Literal["panels", "plain"]
    depth: int
    partial: int
    c: Literal["none", "along", "across"]
    alpha: float
    beta: float
    batch: int
    epilogue: Epilogue

    @property
    def name(self) -> str:
        """For the symbol."""
        factors = "".join(f"_{x:g}" for x in (self.alpha, self.beta) if x != 1)
        parts = (
            *("gemm", self.type, f"{self.rows}{'u' if self.uneven else ''}x{self.vectors}x{self.lanes}"),
            *(f"{self.tail[0]}{'m' if self.tail[1] else ''}", self.a, self.b, f"{self.depth}p{self.partial}"),
            *(self.c + factors, f"{self.batch}d", self.epilogue.name),
        )
        return "_".join(map(str, parts)).replace(".", "_").replace("-", "n").replace("+", "")


FIELDS = (
    *("a", "b", "c", "y", "residual", "m", "n", "k", "step", "tiles", "panels", "row_chunks", "column_chunks"),
    *("a_stride", "b_stride", "b_panel", "c_stride"),
)
"""Strides in bytes: from row to row of A as it lies, of B as it lies, of C; from panel to panel of B."""


LINE = 64
"""Bytes of a cache line."""
AHEAD = 1024
"""So many bytes ahead the panels of B are asked for: hardware does not look beyond a page."""


@cache
def tile_kernel(tile: Tile) -> Kernel:
    """The kernel; its tasks are batch · column_chunks · row_chunks."""
    dims = [f"{name}{d}" for d in range(tile.batch) for name in ("size", "a", "b")]
    return _Writer(tile, Function(tile.name, [*FIELDS, *dims])).kernel()


class _Writer:
    """Writes one kernel."""

    def __init__(self, tile: Tile, f: Function) -> None:
        self.t, self.f = tile, f
        self.size = tile.type.nbytes
        self.register = vector(tile.type, tile.lanes)
        self.width = tile.lanes * tile.vectors
        self.padded = -(-tile.rows // tile.lanes) * tile.lanes
        for name in ("m", "n", "k", "tiles", "panels", "a_stride", "b_stride", "b_panel", "c_stride"):
            setattr(self, name, f.number(name))
        self.a, self.b, self.y = (f.pointer(name) for name in ("a", "b", "y"))
        self.c = f.pointer("c") if tile.c != "none" else None
        self.residual = f.pointer("residual") if tile.epilogue.residual else None
        self.scratch = f.scratch(self.padded * tile.depth * self.size) if tile.a != "rows" else None

    m: Value
    n: Value
    k: Value
    tiles: Value
    panels: Value
    a_stride: Value
    b_stride: Value
    b_panel: Value
    c_stride: Value

    def kernel(self) -> Kernel:
        f, t = self.f, self.t
        rows, columns = f.number("row_chunks"), f.number("column_chunks")
        row, column, batch = f.task % rows, f.task // rows % columns, f.task // (rows * columns)
        self.find_batch(batch)
        first, end = column * self.panels // columns, (column + 1) * self.panels // columns
        step = f.number("step")
        with f.range(0, f.maximum(self.k, 1), step) as start:
            depth = smaller(f, step, self.k - start)
            with f.range(row * self.tiles // rows, (row + 1) * self.tiles // rows) as i:
                top = i * self.m // self.tiles
                height = (i + 1) * self.m // self.tiles - top
                for count in (t.rows, t.rows - 1) if t.uneven else (t.rows,):
                    with f.when(height.equals(count)):
                        self.tile(count, top, start, depth, first, end)
        return Kernel.of(f)

    def find_batch(self, batch: Value) -> None:
        """Moves the pointers to a batch: the last dimension runs fastest."""
        f, rest = self.f, batch
        for d in reversed(range(self.t.batch)):
            size = f.number(f"size{d}")
            index, rest = rest % size, rest // size
            self.a, self.b = self.a + index * f.number(f"a{d}"), self.b + index * f.number(f"b{d}")
        whole = batch * self.m * self.n * self.size
        self.y = self.y + whole
        if self.residual is not None:
            self.residual = self.residual + whole

    def tile(self, rows: int, top: Value, start: Value, depth: Value, first: Value, end: Value) -> None:
        """`rows` rows from row `top` on, the panels first … end − 1, k from `start` on."""
        f, t = self.f, self.t
        whole = smaller(f, end, self.panels - 1) if t.tail[0] else end
        a = self.prepared(rows, top, start, depth)
        b = self.b + start * (self.b_stride if t.b == "plain" else self.width * self.size)
        with f.range(first, whole) as p:
            self.micro((t.vectors, False), a, b, top, p, start, depth)
        if t.tail[0]:
            with f.when(end.equals(self.panels)):
                self.micro(t.tail, a, b, top, self.panels - 1, start, depth)

    # ---- A

    def prepared(self, rows: int, top: Value, start: Value, depth: Value) -> list[Value]:
        """Addresses of the rows of a tile of A, packed if need be."""
        f, size = self.f, self.size
        if self.t.a == "rows":
            return [self.a + (top + r) * self.a_stride + start * size for r in range(rows)]
        self.pack_columns(rows, self.a + start * self.a_stride + top * size, depth)
        assert self.scratch is not None
        return [f.offset(self.scratch, r * size) for r in range(rows)]

    def pack_columns(self, rows: int, source: Value, depth: Value) -> None:
        """scratch[i, r] = Aᵀ[i, r]."""
        f, lanes, size = self.f, self.t.lanes, self.size
        assert self.scratch is not None
        with f.range(depth) as i:
            line, there = source + i * self.a_stride, self.scratch + i * (self.padded * size)
            for r in range(0, rows - rows % lanes, lanes):
                f.store(f.load(self.register, line + r * size), there + r * size, self.register.size)
            if rows % lanes:
                r = rows - rows % lanes
                x = f.load_lanes(self.register, line + r * size, below(f, f.value(rows % lanes, INT), lanes))
                f.store(x, there + r * size, self.register.size)

    # ---- registers

    def micro(self, tail: Tail, a: list[Value], b: Value, top: Value, p: Value, start: Value, depth: Value) -> None:
        """One tile × one panel × one block of k."""
        f, t, (vectors, masked) = self.f, self.t, tail
        rows, column = len(a), p * self.width
        last = below(f, self.n - column - (vectors - 1) * t.lanes, t.lanes) if masked else None
        masks: list[Value | None] = [*[None] * (vectors - 1), last]
        places = [self.y + ((top + r) * self.n + column) * self.size for r in range(rows)]
        cells = [(r, j) for r in range(rows) for j in range(vectors)]
        sums = {cell: f.variable(self.register, 0.0) for cell in cells}
        readable: list[Value | None] = masks if t.b == "plain" else [None] * vectors
        self.multiply(sums, a, b + p * self.b_panel, readable, depth)
        with f.when(f.value(0, INT) < start):
            for r, j in cells:
                sums[r, j].set(sums[r, j].get() + self.read(places[r], j, masks[j]))
        with f.when(self.k <= start + depth):
            self.finish(sums, top, column, masks)
        for r, j in cells:
            self.write(sums[r, j].get(), places[r], j, masks[j])
        if t.epilogue.long:
            with f.when(self.k <= start + depth):
                self.afterwards(rows, top, column, masks)

    def multiply(
        self, sums: dict[tuple[int, int], Variable], a: list[Value], b: Value, masks: list[Value | None], depth: Value
    ) -> None:
        """sums[r, j] += Σ_i a[r, i]·b[i, j]."""
        f, t, size = self.f, self.t, self.size
        a_step = size if t.a == "rows" else self.padded * size
        b_step = self.b_stride if t.b == "plain" else f.value(self.width * size, INT)
        align = size if t.b == "plain" else self.register.size

        def add(there: dict[tuple[int, int], Variable], i: Value, line: Value) -> None:
            if t.b == "panels":
                for offset in range(0, len(masks) * self.register.size, LINE):
                    f.prefetch(line + (AHEAD + offset))
            loaded = [self.read(line, j, mask, align) for j, mask in enumerate(masks)]
            for r, row in enumerate(a):
                x = f.splat(f.load(t.type, row + i * a_step), t.lanes)
                for j, y in enumerate(loaded):
                    there[r, j].set(f.fma(x, y, there[r, j].get()))

        together = depth - depth % t.partial if t.partial > 1 else f.value(0, INT)
        line = f.variable(POINTER, b)
        if t.partial > 1:
            others = [{cell: f.variable(self.register, 0.0) for cell in sums} for _ in range(t.partial - 1)]
            with f.range(0, together, t.partial) as i:
                for u, there in enumerate([sums, *others]):
                    add(there, i + u, line.get())
                    line.set(line.get() + b_step)
            for there in others:
                for cell, total in sums.items():
                    total.set(total.get() + there[cell].get())
        with f.range(together, depth) as i:
            add(sums, i, line.get())
            line.set(line.get() + b_step)

    def finish(
        self, sums: dict[tuple[int, int], Variable], top: Value, column: Value, masks: list[Value | None]
    ) -> None:
        """What is done to complete sums: alpha, beta·C, the epilogue unless it is long."""
        f, t, size = self.f, self.t, self.size
        for (r, j), total in sums.items():
            x = total.get() * t.alpha if t.alpha != 1 else total.get()
            if self.c is not None:
                line = self.c + (top + r) * self.c_stride
                if t.c == "along":
                    c = self.read(line + column * size, j, masks[j])
                else:
                    c = f.splat(f.load(t.type, line), t.lanes)
                x = x + c if t.beta == 1 else f.fma(c, f.value(t.beta, self.register), x)
            if t.epilogue.long:
                total.set(x)
            else:
                total.set(t.epilogue.emit(f, x, self.added((top + r) * self.n + column, j, masks[j])))

    def afterwards(self, rows: int, top: Value, column: Value, masks: list[Value | None]) -> None:
        """The epilogue of a tile that has been written, which then stands in the code once for all of its rows."""
        with self.f.range(rows) as r:
            at = (top + r) * self.n + column
            for j, mask in enumerate(masks):
                x = self.read(self.y + at * self.size, j, mask)
                y = self.t.epilogue.emit(self.f, x, self.added(at, j, mask))
                self.write(y, self.y + at * self.size, j, mask)

    def added(self, at: Value, j: int, mask: Value | None) -> Value | None:
        """The residual's register j from element `at` on."""
        return None if self.residual is None else self.read(self.residual + at * self.size, j, mask)

    def read(self, line: Value, j: int, mask: Value | None, align: int | None = None) -> Value:
        f, there = self.f, line + j * self.t.lanes * self.size
        return f.load(self.register, there, align) if mask is None else f.load_lanes(self.register, there, mask)

    def write(self, x: Value, line: Value, j: int, mask: Value | None) -> None:
        there = line + j * self.t.lanes * self.size
        if mask is None:
            self.f.store(x, there)
        else:
            self.f.store_lanes(x, there, mask)
