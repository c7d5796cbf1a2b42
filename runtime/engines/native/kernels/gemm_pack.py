"""Kernels that pack the right operand of a product into panels, and the pieces that packing is made of.

    panel p of B[k, n]:  packed[p, i, j] = B[i, p·width + j]   for 0 ≤ i < k, 0 ≤ j < width

so that the product reads memory in order. Columns beyond n hold anything finite that B holds, or zero: what is computed
from them is never stored.
"""

from __future__ import annotations

from functools import cache

from ..emit import INT, INT32, Function, Operand, Type, Value, vector
from ..program import Kernel
from .shuffles import transposed

__all__ = ["below", "pack_columns", "pack_rows"]

TOGETHER = 8
"""So many panels are written at once, for each row of B is read in longer stretches then."""


def below(f: Function, count: Value, lanes: int) -> Value:
    """The mask of the lanes 0 … count − 1."""
    kind = vector(INT32, lanes)
    order = Value(f, kind, "<" + ", ".join(f"i32 {i}" for i in range(lanes)) + ">")
    return order < f.convert(count, INT32)


def smaller(f: Function, a: Value, b: Operand) -> Value:
    return f.minimum(a, f.value(b, INT))


@cache
def pack_rows(type: Type, lanes: int, vectors: int) -> Kernel:
    """Packs B[k, n] as it lies. A task packs the panels of one chunk; tasks = batch · chunks."""
    fields = ["b", "packed", "k", "n", "panels", "chunks", "b_batch", "packed_batch"]
    f = Function(f"gemm_pack_rows_{type}_{lanes}x{vectors}", fields)
    size, register, width = type.nbytes, vector(type, lanes), lanes * vectors
    k, n, panels, chunks = (f.number(name) for name in ("k", "n", "panels", "chunks"))
    batch, chunk = f.task // chunks, f.task % chunks
    source = f.pointer("b") + batch * f.number("b_batch")
    target = f.pointer("packed") + batch * f.number("packed_batch")
    first, end = chunk * panels // chunks, (chunk + 1) * panels // chunks
    full = n // width
    panel = k * (width * size)
    with f.range(first, end, TOGETHER) as p:
        stop = smaller(f, p + TOGETHER, end)
        with f.range(k) as i:
            row, there = source + i * n * size, target + i * (width * size)
            with f.range(p, smaller(f, stop, full)) as q:
                for j in range(vectors):
                    x = f.load(register, row + (q * width + j * lanes) * size)
                    f.store(x, there + q * panel + j * lanes * size, register.size)
            with f.when(full < stop):
                for j in range(vectors):
                    column = full * width + j * lanes
                    x = f.load_lanes(register, row + column * size, below(f, n - column, lanes))
                    f.store(x, there + full * panel + j * lanes * size, register.size)
    return Kernel.of(f)


@cache
def pack_columns(type: Type, lanes: int, vectors: int) -> Kernel:
    """Packs B given as its transpose [n, k]. Tasks as in `pack_rows`."""
    fields = ["b", "packed", "k", "n", "panels", "chunks", "b_batch", "packed_batch"]
    f = Function(f"gemm_pack_columns_{type}_{lanes}x{vectors}", fields)
    size, register, width = type.nbytes, vector(type, lanes), lanes * vectors
    k, n, panels, chunks = (f.number(name) for name in ("k", "n", "panels", "chunks"))
    batch, chunk = f.task // chunks, f.task % chunks
    source = f.pointer("b") + batch * f.number("b_batch")
    target = f.pointer("packed") + batch * f.number("packed_batch")
    whole = k - k % lanes
    with f.range(chunk * panels // chunks, (chunk + 1) * panels // chunks) as p:
        panel = target + p * k * (width * size)

        def columns(g: Value) -> list[Value]:
            return [source + smaller(f, p * width + g * lanes + j, n - 1) * k * size for j in range(lanes)]

        with f.range(0, whole, lanes) as i, f.range(vectors) as g:
            block = transposed(f, [f.load(register, column + i * size) for column in columns(g)])
            for r, x in enumerate(block):
                f.store(x, panel + (i + r) * (width * size) + g * register.size, register.size)
        with f.range(whole, k) as i, f.range(vectors) as g:
            for j, column in enumerate(columns(g)):
                f.store(f.load(type, column + i * size), panel + i * (width * size) + g * register.size + j * size)
    return Kernel.of(f)
