"""Products of Plain matrices: Gemm and MatMul as steps of a program.

    Y[m, n] = epilogue(alpha · Σ_k A[m, k]·B[k, n] + beta·C[m, n])        for every index of the batch

    way        when                                             B is read
    panels     B is a constant, or many rows use it             packed: by `pack` once, or by a step in each run
    plain      B is computed and few rows use it                where it lies, [k, n]
    row        one row, B computed and large                    where it lies, some rows of it side by side
    dot        few rows, B given as its transpose [n, k]        where it lies, along k

A product with one column is computed as its transpose, which has one row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Literal

import numpy as np

from ..emit import DOUBLE, FLOAT, Type
from ..host import host
from ..program import NO_SLOT, Program, Step, aligned
from .epilogues import Epilogue
from .gemm_dot import MOST_ROWS, Dot, dot_kernel
from .gemm_pack import pack_columns, pack_rows
from .gemm_row import WIDEST, Row, row_kernel
from .gemm_tile import Tile, tile_kernel

__all__ = ["Product", "pack", "product", "scratch_bytes", "steps"]

VECTORS = 2
"""Registers of a panel: with all others as rows this loads least per multiplication, on 16 registers and on 32."""
FEW_TILES = 2
"""Up to so many tiles of rows, a computed B is read where it lies."""
NARROWEST = 128
"""Columns of a task of one row and a large matrix: the wider, the better for memory, so there are few."""
PACKED_DEPTH = 1024
"""At most so much of k of a tile is packed at once, on the stack."""
SUM, LONG_SUM = 512, 1024
"""At most so many products make a sum of their own; long ones where a single tile of rows reads B once."""
TASK_FLOPS, TASK_BYTES = 750_000, 50_000
"""About five microseconds of work."""
TASKS = 64
"""Enough to divide evenly among the cores of a desktop machine."""

FLOAT32 = np.dtype(np.float32)
_TYPES = {FLOAT32: FLOAT, np.dtype(np.float64): DOUBLE}
Way = Literal["panels", "plain", "row", "dot"]


@dataclass(frozen=True)
class Product:
    """One product. Made by `product`.

    Attributes:
        m, n, k: of one matrix product.
        batch: (size, stride of A, stride of B) of every dimension of the batch, strides in elements, 0 where repeated.
        transA, transB: A is given as [k, m], B as [n, k].
        constant: B is known beforehand and given as `pack` returns it.
        c: shape of C, (1 or m, 1 or n), or None.
        swapped: the operands have changed places.
        dtype: float32 or float64.
        lanes: of a register.
    """

    m: int
    n: int
    k: int
    batch: tuple[tuple[int, int, int], ...] = ()
    transA: bool = False
    transB: bool = False
    constant: bool = False
    alpha: float = 1.0
    beta: float = 1.0
    c: tuple[int, int] | None = None
    swapped: bool = False
    dtype: np.dtype = FLOAT32
    lanes: int = 0

    @property
    def type(self) -> Type:
        return _TYPES[self.dtype]

    @property
    def batches(self) -> int:
        return prod(size for size, _, _ in self.batch)

    @property
    def flops(self) -> int:
        return 2 * self.batches * self.m * self.n * self.k

    @property
    def way(self) -> Way:
        """How B is read."""
        if self.transB and not self.transA and self.m <= MOST_ROWS and (not self.constant or self.n < self.lanes):
            return "dot"
        large = self.k * self.n * self.dtype.itemsize > host().l2 // 2
        if self.m == 1 and self.n >= NARROWEST and large and not self.constant and not self.transB:
            return "row"
        few = self.m <= FEW_TILES * _most_rows(VECTORS)
        return "plain" if few and not self.constant and not self.transB else "panels"

    @property
    def vectors(self) -> int:
        """Registers of a panel: of packed ones the same for any m; where B is read as it lies, rows are read far."""
        most = max(VECTORS, min(8, (host().registers - 1) // (self.m + 1))) if self.way == "plain" else VECTORS
        return max(1, min(most, -(-self.n // self.lanes)))

    @property
    def most_rows(self) -> int:
        """Of a tile."""
        return _most_rows(self.vectors)

    @property
    def width(self) -> int:
        """Columns of a panel."""
        return self.vectors * self.lanes

    @property
    def panels(self) -> int:
        return -(-self.n // self.width)

    @property
    def packed_bytes(self) -> int:
        """Of one matrix B."""
        return self.panels * self.k * self.width * self.dtype.itemsize

    @property
    def matrices(self) -> int:
        """How many different matrices B there are."""
        return prod(size for size, _, b in self.batch if b)


def product(
    a: Sequence[int],
    b: Sequence[int],
    c: Sequence[int] | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: bool = False,
    transB: bool = False,
    constant: bool = False,
    dtype: np.dtype | type = np.float32,
    lanes: int | None = None,
) -> Product:
    """The product of operands of these shapes, as ONNX's MatMul and Gemm have it.

    Args:
        a, b: shapes; the last two dimensions are transposed if asked; a 1-D operand is one row, or one column.
        c: shape of what is added to each matrix: (), (n,) or (1 or m, 1 or n).
        constant: B is known now, and `pack` will be given it.
        lanes: of a register; the processor's if not given.

    Raises:
        ValueError: if shapes do not fit.
    """
    kind = np.dtype(dtype)
    left = list(a) if len(a) > 1 else [*a, 1] if transA else [1, *a]
    right = list(b) if len(b) > 1 else [1, *b] if transB else [*b, 1]
    m, k = left[-2:][::-1] if transA else left[-2:]
    n, depth = right[-2:] if transB else right[-2:][::-1]
    if k != depth:
        raise ValueError(f"shapes {tuple(a)} and {tuple(b)} do not fit: sums over {k} and {depth} products")
    if kind not in _TYPES:
        raise ValueError(f"products of {kind} are not compiled")
    rank = max(len(left), len(right))
    sizes_a, sizes_b = ([1] * (rank - len(s)) + s[:-2] for s in (left, right))
    batch = _batch(sizes_a, sizes_b, m * k, k * n)
    added = None if c is None else _added(c, m, n)
    one_b = len(batch) == 1 and batch[0][1] and not batch[0][2]
    if one_b and not transA and (added is None or added[0] == 1):
        m, batch = batch[0][0] * m, ()
    made = Product(
        m, n, k, batch, transA and m > 1, transB, constant, float(alpha), float(beta), added,
        dtype=kind, lanes=lanes or host().vector_bytes // kind.itemsize,
    )  # fmt: skip
    return _swapped(made) if n == 1 and m > 1 else made


def _batch(a: Sequence[int], b: Sequence[int], a_size: int, b_size: int) -> tuple[tuple[int, int, int], ...]:
    """The dimensions of a broadcast batch, those that can be walked as one made one."""
    dims: list[tuple[int, int, int]] = []
    for x, y in zip(reversed(a), reversed(b), strict=True):
        if x != y and 1 not in (x, y):
            raise ValueError(f"batches {tuple(a)} and {tuple(b)} do not fit")
        size = y if x == 1 else x
        here = (size, a_size if x != 1 else 0, b_size if y != 1 else 0)
        a_size, b_size = a_size * x, b_size * y
        if size == 1:
            continue
        if dims and all(here[i] == dims[-1][i] * dims[-1][0] for i in (1, 2)):
            dims[-1] = (dims[-1][0] * size, *dims[-1][1:])
        else:
            dims.append(here)
    return tuple(reversed(dims))


def _added(c: Sequence[int], m: int, n: int) -> tuple[int, int]:
    """C's shape as (1 or m, 1 or n)."""
    rows, columns = [1, 1, *c][-2:]
    if len(c) > 2 or rows not in (1, m) or columns not in (1, n):
        raise ValueError(f"C {tuple(c)} does not spread to ({m}, {n})")
    return rows, columns


def _swapped(p: Product) -> Product:
    """Yᵀ = Bᵀ·Aᵀ."""
    batch = tuple((size, b, a) for size, a, b in p.batch)
    c = None if p.c is None else (p.c[1], p.c[0])
    return replace(
        p, m=p.n, n=p.m, batch=batch, transA=False, transB=not p.transA, constant=False, c=c, swapped=True
    )  # fmt: skip


def pack(product: Product, B: np.ndarray) -> np.ndarray:
    """A constant B as the steps of the product want it: bytes, 64-byte aligned. Empty products need none of it."""
    if product.swapped or product.way == "dot" or not product.n * product.batches:
        kept = aligned(B.nbytes)
        kept[:] = np.ascontiguousarray(B, product.dtype).reshape(-1).view(np.uint8)
        return kept
    given = np.ascontiguousarray(B, product.dtype)
    packed = aligned(product.matrices * product.packed_bytes)
    program = Program([_pack_step(product, 0, 1)], {1: packed}, {}, 0, 2)
    program.run({0: given.ctypes.data}, host().cores)
    return packed


def scratch_bytes(product: Product) -> int:
    """What `steps` needs of the arena, 64-byte aligned, while it runs."""
    packs = product.way == "panels" and not product.constant
    return product.matrices * product.packed_bytes if packs else 0


def steps(
    product: Product,
    a: int,
    b: int,
    y: int,
    *,
    c: int = NO_SLOT,
    residual: int = NO_SLOT,
    scratch: int = NO_SLOT,
    epilogue: Epilogue | None = None,
    label: str = "",
) -> list[Step]:
    """The steps that compute Y.

    Args:
        a, b, y, c, residual: slots; `b` is that of the packed array if the product's B is constant, `residual` has Y's
            shape.
        scratch: slot of `scratch_bytes(product)` bytes.
    """
    p, done = product, epilogue or Epilogue()
    if not p.m * p.n * p.batches:
        return []
    if (p.c is None) != (c == NO_SLOT) or bool(done.residual) != (residual != NO_SLOT):
        raise ValueError("slots for C and for the residual go with the product's `c` and the epilogue's `residual`")
    a, b = (b, a) if p.swapped else (a, b)
    slots = {"a": a, "b": b, "c": c, "y": y, "residual": residual}
    if p.way == "dot":
        return [_dot_step(p, slots, done, label)]
    if p.way == "row":
        return [_row_step(p, slots, done, label)]
    made = []
    if scratch_bytes(p):
        if scratch == NO_SLOT:
            raise ValueError("the product needs scratch memory")
        made.append(replace(_pack_step(p, b, scratch), label=f"{label} pack".strip()))
        slots["b"] = scratch
    return [*made, _tile_step(p, slots, done, label)]


def _most_rows(vectors: int) -> int:
    """Registers for the sums beside those for one row of a panel and for one number of A."""
    return (host().registers - vectors - 1) // vectors


def _pack_step(p: Product, b: int, packed: int) -> Step:
    kernel = (pack_columns if p.transB else pack_rows)(p.type, p.lanes, p.vectors)
    chunks = max(1, min(p.panels, -(-p.packed_bytes // TASK_BYTES)))
    arguments = {
        "b": b, "packed": packed, "k": p.k, "n": p.n, "panels": p.panels, "chunks": chunks,
        "b_batch": p.k * p.n * p.dtype.itemsize, "packed_batch": p.packed_bytes,
    }  # fmt: skip
    return Step(kernel, arguments, p.matrices * chunks, label="pack")


def _dot_step(p: Product, slots: dict[str, int], epilogue: Epilogue, label: str) -> Step:
    form, stride = _c(p)
    dot = Dot(p.type, p.lanes, p.m, form, p.alpha, p.beta, len(p.batch), epilogue)
    work = max(2 * p.m * p.n * p.k // TASK_FLOPS, p.n * p.k * p.dtype.itemsize // TASK_BYTES)
    chunks = max(1, min(p.n // 8, work, TASKS))
    arguments = {**slots, "n": p.n, "k": p.k, "chunks": chunks, "c_stride": stride, **_dims(p, 1)}
    return Step(dot_kernel(dot), arguments, p.batches * chunks, p.flops, label)


def _row_step(p: Product, slots: dict[str, int], epilogue: Epilogue, label: str) -> Step:
    form, _ = _c(p)
    row = Row(p.type, p.lanes, form, p.alpha, p.beta, len(p.batch), epilogue)
    chunks = max(-(-p.n // WIDEST), min(host().cores // p.batches, p.n // NARROWEST), 1)
    arguments = {**slots, "n": p.n, "k": p.k, "chunks": chunks, **_dims(p, 1)}
    return Step(row_kernel(row), arguments, p.batches * chunks, p.flops, label)


def _tile_step(p: Product, slots: dict[str, int], epilogue: Epilogue, label: str) -> Step:
    size = p.dtype.itemsize
    tiles = -(-p.m // p.most_rows)
    rows = -(-p.m // tiles)
    depth = host().l2 // 4 // (p.width * size)
    if p.transA:
        depth = min(depth, PACKED_DEPTH)
    depth = max(min(depth, SUM if tiles > 1 else LONG_SUM) // p.lanes, 1) * p.lanes
    step = p.lanes * -(-p.k // (p.lanes * max(1, -(-p.k // depth))))
    row_chunks, column_chunks = _chunks(p, tiles, step)
    partial = 1
    while rows * p.vectors * partial < 8:
        partial *= 2
    last, plain = p.n % p.width, p.way == "plain"
    form, stride = _c(p)
    tail = (-(-last // p.lanes), last % p.lanes != 0)
    tile = Tile(
        p.type, p.lanes, p.vectors, rows, p.m % tiles != 0, tail, "columns" if p.transA else "rows",
        "plain" if plain else "panels", depth if p.transA else 0, partial,
        form, p.alpha, p.beta, len(p.batch), epilogue,
    )  # fmt: skip
    arguments = {
        **slots, "m": p.m, "n": p.n, "k": p.k, "step": max(step, 1), "tiles": tiles, "panels": p.panels,
        "row_chunks": row_chunks, "column_chunks": column_chunks, "a_stride": (p.m if p.transA else p.k) * size,
        "b_stride": p.n * size, "b_panel": p.width * size * (1 if plain else p.k), "c_stride": stride,
        **_dims(p, 1 if plain else 0),
    }  # fmt: skip
    return Step(tile_kernel(tile), arguments, p.batches * row_chunks * column_chunks, p.flops, label)


def _c(p: Product) -> tuple[Literal["none", "along", "across"], int]:
    """How C is read, and the bytes from row to row."""
    if p.c is None:
        return "none", 0
    rows, columns = p.c
    stride = columns * p.dtype.itemsize if rows > 1 else 0
    return ("along" if columns > 1 else "across"), stride


def _dims(p: Product, plain: int) -> dict[str, int]:
    """The batch's sizes and strides in bytes, for B as it lies or packed."""
    found: dict[str, int] = {}
    for d, (size, a, b) in enumerate(p.batch):
        there = b * p.dtype.itemsize if plain else b // max(p.k * p.n, 1) * p.packed_bytes
        found |= {f"size{d}": size, f"a{d}": a * p.dtype.itemsize, f"b{d}": there}
    return found


def _chunks(p: Product, tiles: int, step: int) -> tuple[int, int]:
    """Into how many parts rows and columns are cut: B's part of a task fits the second-level cache, tasks are many."""
    size = p.dtype.itemsize
    fits = max(1, host().l2 // 2 // (max(step, 1) * p.width * size)) if tiles > 1 else p.panels
    rows, columns = 1, -(-p.panels // fits)
    work = max(p.flops // TASK_FLOPS, p.matrices * p.n * p.k * size // TASK_BYTES)
    wanted = min(TASKS, work)
    while p.batches * rows * columns < wanted and (rows < tiles or columns < p.panels):
        tall = 2 * p.m * columns >= p.n * rows or (p.panels < 8 * columns and tiles > 4)
        if rows < tiles and (tall or columns >= p.panels):
            rows = min(tiles, 2 * rows)
        else:
            columns = min(p.panels, 2 * columns)
    return rows, columns
