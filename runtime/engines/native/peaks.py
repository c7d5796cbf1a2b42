"""What this machine can do at most, measured with loops of our own: multiply-adds, and reading memory."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path

import numpy as np

from .emit import FLOAT, Function, vector
from .host import host
from .program import Kernel, Program, Step, aligned

__all__ = ["bytes_per_second", "flops_per_second"]

SHORT, LONG = 60, 7
"""Rounds of the loop in registers, of that over memory."""
TURNS = 100_000
"""Of the loop of multiply-adds, a few hundred microseconds."""
PIECES = 8
"""Tasks of a thread: a thread that is held up by others leaves nothing undone by the rest."""
BEYOND = 2
"""So many times the last cache is read, so that it comes from memory."""
LEAST, MOST = 64 << 20, 256 << 20


@cache
def flops_per_second(threads: int) -> float:
    """Of float32 multiply-adds (two each) in registers, the best of some rounds."""
    chains = _chains()
    slots = aligned(4 * host().lanes * threads).view(np.float32)
    slots[:] = 1
    step = Step(_multiply_adds(host().lanes, chains), {"x": 0, "n": TURNS}, threads)
    best = _best([step], [slots], threads, SHORT)
    return 2.0 * host().lanes * chains * TURNS * threads / best


@cache
def bytes_per_second(threads: int) -> float:
    """Of reading an array that no cache holds, the best of some rounds."""
    size = min(MOST, max(LEAST, BEYOND * _last_cache()))
    array = aligned(size).view(np.float32)
    array[:] = 1
    sums = aligned(4 * host().lanes * threads * PIECES).view(np.float32)
    tasks = threads * PIECES
    piece = size // tasks // (64 * _chains()) * (64 * _chains())
    step = Step(_reads(host().lanes, _chains()), {"x": 0, "y": 1, "nbytes": piece}, tasks)
    return piece * tasks / _best([step], [array, sums], threads, LONG)


def _chains() -> int:
    """Sums kept at once: more than a multiply-add takes cycles, times those begun in a cycle."""
    return 24 if host().registers >= 32 else 12


def _best(steps: list[Step], arrays: list[np.ndarray], threads: int, rounds: int) -> float:
    program = Program(steps, {}, {}, 0, len(arrays))
    addresses = {i: a.ctypes.data for i, a in enumerate(arrays)}
    found = []
    for _ in range(rounds):
        begin = time.perf_counter()
        program.run(addresses, threads)
        found.append(time.perf_counter() - begin)
    return min(found)


@cache
def _multiply_adds(lanes: int, chains: int) -> Kernel:
    """Independent chains of a ← a·b + c, whose values stay near 1."""
    f = Function(f"peak_flops_{lanes}_{chains}", ["x", "n"])
    kind = vector(FLOAT, lanes)
    x = f.pointer("x") + f.task * (4 * lanes)
    first = f.load(kind, x)
    b, c = first * 0.5, first * 0.5
    sums = [f.variable(kind, first * (1 + i / 64)) for i in range(chains)]
    with f.range(f.number("n")):
        for s in sums:
            s.set(f.fma(s.get(), b, c))
    total = sums[0].get()
    for s in sums[1:]:
        total = total + s.get()
    f.store(total * (1 / chains), x)
    return Kernel.of(f)


@cache
def _reads(lanes: int, chains: int) -> Kernel:
    """The sum of a piece of x, into y."""
    f = Function(f"peak_reads_{lanes}_{chains}", ["x", "y", "nbytes"])
    kind = vector(FLOAT, lanes)
    nbytes, width = f.number("nbytes"), 4 * lanes
    x = f.pointer("x") + f.task * nbytes
    sums = [f.variable(kind, 0.0) for _ in range(chains)]
    with f.range(0, nbytes, width * chains) as at:
        for i, s in enumerate(sums):
            s.set(s.get() + f.load(kind, x + at + i * width))
    total = sums[0].get()
    for s in sums[1:]:
        total = total + s.get()
    f.store(total, f.pointer("y") + f.task * width)
    return Kernel.of(f)


def _last_cache() -> int:
    """Bytes of the largest cache, as far as the system tells."""
    sizes = [0]
    for file in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        try:
            sizes.append(int(file.read_text().strip().removesuffix("K")) << 10)
        except (OSError, ValueError):
            continue
    return max(sizes)
