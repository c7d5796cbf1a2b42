"""The kernel of one row times a large matrix where it lies: y[j] = epilogue(alpha·Σ a[k]·B[k, j] + beta·c[j]).

Some rows of B are read side by side in long stretches, as memory likes it; the sums of a task's columns meanwhile lie
in the first-level cache. They run over k in order, however the columns are divided.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

from ..emit import Function, Type, Value, vector
from ..program import Kernel
from .epilogues import Epilogue
from .gemm_pack import below

__all__ = ["WIDEST", "Row", "row_kernel"]

WIDEST = 2048
"""Columns of a task, at most, and less than a register more."""
TOGETHER = 8
"""Rows of B read side by side."""


@dataclass(frozen=True)
class Row:
    """What a kernel is specialised for, as in `gemm_tile.Tile`."""

    type: Type
    lanes: int
    c: Literal["none", "along", "across"]
    alpha: float
    beta: float
    batch: int
    epilogue: Epilogue

    @property
    def name(self) -> str:
        """For the symbol."""
        factors = "".join(f"_{x:g}" for x in (self.alpha, self.beta) if x != 1)
        parts = ("gemm_row", self.type, self.lanes, self.c + factors, f"{self.batch}d", self.epilogue.name)
        return "_".join(map(str, parts)).replace(".", "_").replace("-", "n").replace("+", "")


FIELDS = ("a", "b", "c", "y", "residual", "n", "k", "chunks")


@cache
def row_kernel(row: Row) -> Kernel:
    """The kernel; a task computes one chunk of the columns; tasks = batch · chunks."""
    dims = [f"{name}{d}" for d in range(row.batch) for name in ("size", "a", "b")]
    return _Writer(row, Function(row.name, [*FIELDS, *dims])).kernel()


class _Writer:
    """Writes one kernel."""

    def __init__(self, row: Row, f: Function) -> None:
        self.t, self.f, self.size = row, f, row.type.nbytes
        self.register = vector(row.type, row.lanes)
        self.n, self.k = f.number("n"), f.number("k")
        self.a, self.b, self.y = (f.pointer(name) for name in ("a", "b", "y"))
        self.c = f.pointer("c") if row.c != "none" else None
        self.residual = f.pointer("residual") if row.epilogue.residual else None
        self.sums = f.scratch((WIDEST + row.lanes) * self.size)

    def kernel(self) -> Kernel:
        f, t = self.f, self.t
        chunks = f.number("chunks")
        batch, chunk = f.task // chunks, f.task % chunks
        rest = batch
        for d in reversed(range(t.batch)):
            size = f.number(f"size{d}")
            index, rest = rest % size, rest // size
            self.a, self.b = self.a + index * f.number(f"a{d}"), self.b + index * f.number(f"b{d}")
        self.row = batch * self.n
        whole = self.n // t.lanes
        self.start = chunk * whole // chunks * t.lanes
        self.width = (chunk + 1) * whole // chunks * t.lanes - self.start
        self.part = f.select((chunk + 1).equals(chunks), self.n % t.lanes, 0)
        """Columns behind the last whole register."""
        zero = f.value(0.0, self.register)
        self.each(lambda j, mask: f.store(zero, self.sums + j * self.size, self.register.size))
        even = self.k - self.k % TOGETHER
        with f.range(0, even, TOGETHER) as i:
            self.add(i, TOGETHER)
        with f.range(even, self.k) as i:
            self.add(i, 1)
        self.each(self.finish)
        return Kernel.of(f)

    def each(self, do: Callable[[Value, Value | None], None]) -> None:
        """do(column, mask) for each register of the chunk; only the last has a mask."""
        f = self.f
        with f.range(0, self.width, self.t.lanes) as j:
            do(j, None)
        with f.when(self.part > 0):
            do(self.width, below(f, self.part, self.t.lanes))

    def add(self, i: Value, count: int) -> None:
        """The products of rows i … i + count − 1."""
        f, size = self.f, self.size
        factors = [f.splat(f.load(self.t.type, self.a + (i + r) * size), self.t.lanes) for r in range(count)]
        lines = [self.b + ((i + r) * self.n + self.start) * size for r in range(count)]

        def column(j: Value, mask: Value | None) -> None:
            there = self.sums + j * size
            total = f.load(self.register, there, self.register.size)
            for factor, line in zip(factors, lines, strict=True):
                total = f.fma(factor, self.read(line + j * size, mask), total)
            f.store(total, there, self.register.size)

        self.each(column)

    def finish(self, j: Value, mask: Value | None) -> None:
        """alpha, beta·C, the epilogue, and the place in Y."""
        f, t, size = self.f, self.t, self.size
        x = f.load(self.register, self.sums + j * size, self.register.size)
        x = x * t.alpha if t.alpha != 1 else x
        column = (self.start + j) * size
        if self.c is not None:
            c = self.read(self.c + column, mask) if t.c == "along" else f.splat(f.load(t.type, self.c), t.lanes)
            x = x + c if t.beta == 1 else f.fma(c, f.value(t.beta, self.register), x)
        place = self.row * size + column
        other = self.read(self.residual + place, mask) if self.residual is not None else None
        y = t.epilogue.emit(f, x, other)
        if mask is None:
            f.store(y, self.y + place)
        else:
            f.store_lanes(y, self.y + place, mask)

    def read(self, there: Value, mask: Value | None) -> Value:
        f = self.f
        return f.load(self.register, there) if mask is None else f.load_lanes(self.register, there, mask)
