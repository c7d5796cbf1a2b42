"""The kernel of few rows times a transposed matrix: Y[i, j] = epilogue(alpha·Σ A[i, k]·B[j, k] + beta·C).

Both operands are read along k, once and where they lie; a register holds `lanes` consecutive k of one sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

from ..emit import Function, Type, Value, vector
from ..program import Kernel
from .epilogues import Epilogue
from .gemm_pack import below

__all__ = ["MOST_ROWS", "Dot", "dot_kernel"]

MOST_ROWS = 4
SUMS = 8
"""About so many sums run at once, so that additions do not wait for each other."""


@dataclass(frozen=True)
class Dot:
    """What a kernel is specialised for: `rows` of A at most `MOST_ROWS`, the rest as in `gemm_tile.Tile`."""

    type: Type
    lanes: int
    rows: int
    c: Literal["none", "along", "across"]
    alpha: float
    beta: float
    batch: int
    epilogue: Epilogue

    @property
    def name(self) -> str:
        """For the symbol."""
        factors = "".join(f"_{x:g}" for x in (self.alpha, self.beta) if x != 1)
        parts = ("gemm_dot", self.type, f"{self.rows}x{self.lanes}", self.c + factors, f"{self.batch}d")
        return "_".join(map(str, (*parts, self.epilogue.name))).replace(".", "_").replace("-", "n").replace("+", "")


FIELDS = ("a", "b", "c", "y", "residual", "n", "k", "chunks", "c_stride")


@cache
def dot_kernel(dot: Dot) -> Kernel:
    """The kernel; a task computes one chunk of the columns; tasks = batch · chunks."""
    dims = [f"{name}{d}" for d in range(dot.batch) for name in ("size", "a", "b")]
    return _Writer(dot, Function(dot.name, [*FIELDS, *dims])).kernel()


class _Writer:
    """Writes one kernel."""

    def __init__(self, dot: Dot, f: Function) -> None:
        self.t, self.f, self.size = dot, f, dot.type.nbytes
        self.register = vector(dot.type, dot.lanes)
        self.n, self.k, self.c_stride = (f.number(name) for name in ("n", "k", "c_stride"))
        self.a, self.b, self.y = (f.pointer(name) for name in ("a", "b", "y"))
        self.c = f.pointer("c") if dot.c != "none" else None
        self.residual = f.pointer("residual") if dot.epilogue.residual else None

    def kernel(self) -> Kernel:
        f, t = self.f, self.t
        chunks = f.number("chunks")
        batch, chunk = f.task // chunks, f.task % chunks
        rest = batch
        for d in reversed(range(t.batch)):
            size = f.number(f"size{d}")
            index, rest = rest % size, rest // size
            self.a, self.b = self.a + index * f.number(f"a{d}"), self.b + index * f.number(f"b{d}")
        self.first = batch * (self.n * t.rows)
        start, end = chunk * self.n // chunks, (chunk + 1) * self.n // chunks
        together = max(1, SUMS // t.rows)
        whole = start + (end - start) // together * together
        with f.range(start, whole, together) as j:
            self.block(j, together)
        with f.range(whole, end) as j:
            self.block(j, 1)
        return Kernel.of(f)

    def block(self, j: Value, columns: int) -> None:
        """All rows × `columns` columns from column j on."""
        f, t, size = self.f, self.t, self.size
        lines_a = [self.a + self.k * (r * size) for r in range(t.rows)]
        lines_b = [self.b + (j + c) * self.k * size for c in range(columns)]
        cells = [(r, c) for c in range(columns) for r in range(t.rows)]
        sums = {cell: f.variable(self.register, 0.0) for cell in cells}
        whole = self.k - self.k % t.lanes
        with f.range(0, whole, t.lanes) as i:
            a = [f.load(self.register, line + i * size) for line in lines_a]
            for c, line in enumerate(lines_b):
                b = f.load(self.register, line + i * size)
                for r in range(t.rows):
                    sums[r, c].set(f.fma(a[r], b, sums[r, c].get()))
        with f.when(whole < self.k):
            mask = below(f, self.k - whole, t.lanes)
            a = [f.load_lanes(self.register, line + whole * size, mask) for line in lines_a]
            for c, line in enumerate(lines_b):
                b = f.load_lanes(self.register, line + whole * size, mask)
                for r in range(t.rows):
                    sums[r, c].set(f.fma(a[r], b, sums[r, c].get()))
        for r, c in cells:
            self.finish(self.total(sums[r, c].get()), r, j + c)

    def total(self, x: Value) -> Value:
        """The sum of the lanes."""
        f, half = self.f, self.t.lanes // 2
        while half > 1:
            x = f.shuffle(x, x, range(half)) + f.shuffle(x, x, range(half, 2 * half))
            half //= 2
        return f.lane(x, 0) + f.lane(x, 1)

    def finish(self, x: Value, r: int, column: Value) -> None:
        """alpha, beta·C, the epilogue, and the place in Y."""
        f, t = self.f, self.t
        x = x * t.alpha if t.alpha != 1 else x
        if self.c is not None:
            line = self.c + self.c_stride * r
            c = f.load(t.type, line + column * self.size if t.c == "along" else line)
            x = x + c if t.beta == 1 else f.fma(c, f.value(t.beta, t.type), x)
        place = (self.first + self.n * r + column) * self.size
        other = f.load(t.type, self.residual + place) if self.residual is not None else None
        f.store(t.epilogue.emit(f, x, other), self.y + place)
