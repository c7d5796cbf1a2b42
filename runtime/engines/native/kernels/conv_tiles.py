"""How the output of a convolution is cut into pieces that fit into registers.

The sums of a tile of `rows` × `columns` positions and `blocks` blocks of channels stay in registers while the taps of
the kernel pass by: each tap loads `blocks` vectors of weights and spreads one number per position.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product

__all__ = ["Tiling", "split_blocks", "tiling"]

MOST_BLOCKS = 8
MOST_ROWS = 6
PORTS = 2
"""Vector operations, and loads, per cycle: only ratios matter."""
LATENCY = 4
"""Cycles until a sum can be added to again."""
CACHE_BYTES = 32
"""Of weights that the second cache delivers per cycle."""
STEP_CYCLES = 3000
"""The price of a step of its own."""


@dataclass(frozen=True)
class Tiling:
    """Tiles of `rows` × `columns`, the last ones of `last_rows` and `last_columns`; 0 if all are alike."""

    blocks: int
    rows: int
    columns: int
    last_rows: int = 0
    last_columns: int = 0


def _cut(size: int, most: int) -> tuple[int, int]:
    """Pieces of at most `most`, as equal as can be: how long they are, and the last one if it is shorter."""
    pieces = -(-size // most)
    piece = -(-size // pieces)
    last = size - (pieces - 1) * piece
    return piece, last if last != piece else 0


def tiling(height: int, width: int, blocks: int, registers: int) -> Tiling:
    """For `blocks` blocks; narrow planes get tiles of several rows."""
    most = max(1, (registers - 1 - blocks) // blocks)
    if width > most:
        columns, last_columns = _cut(width, most)
        return Tiling(blocks, 1, columns, 0, last_columns)
    rows, last_rows = _cut(height, max(1, min(most // width, height)))
    return Tiling(blocks, rows, width, last_rows, 0)


def _tiles(t: Tiling, height: int, width: int) -> Iterator[tuple[int, int]]:
    """Number of positions in a tile, how many such tiles."""
    down = [(t.rows, height // t.rows), (t.last_rows, bool(t.last_rows))]
    along = [(t.columns, width // t.columns), (t.last_columns, bool(t.last_columns))]
    return ((rows * columns, n * m) for rows, n in down for columns, m in along if n * m)


def _cycles(height: int, width: int, blocks: int, taps: int, vector_bytes: int, registers: int) -> float:
    """An estimate for all positions of one group of blocks."""
    total = 0.0
    for pixels, count in _tiles(tiling(height, width, blocks, registers), height, width):
        sums = pixels * blocks
        tap = max(sums / PORTS, (pixels + blocks) / PORTS, LATENCY, blocks * vector_bytes / CACHE_BYTES)
        total += count * (tap * taps + 2 * sums + 10)
    return total


@cache
def split_blocks(blocks: int, height: int, width: int, taps: int, vector_bytes: int, registers: int) -> tuple[int, ...]:
    """Blocks of output channels in groups that are computed together: the cheapest way, by estimate."""
    most = min(MOST_BLOCKS, (registers - 1) // 2, blocks)
    cost = {b: _cycles(height, width, b, taps, vector_bytes, registers) for b in range(1, most + 1)}
    best, found = float("inf"), (1,) * blocks
    for b in cost:
        for count in range(max(1, blocks // b - 1), blocks // b + 1):
            rest = blocks - count * b
            if rest and rest not in cost:
                continue
            total = count * cost[b] + (cost[rest] if rest else 0) + STEP_CYCLES * bool(rest and rest != b)
            if total < best:
                best, found = total, (b,) * count + ((rest,) if rest else ())
    return found


@cache
def wide_tiling(height: int, pieces: int, channels: int, taps: int, registers: int, pooled: bool) -> Tiling:
    """For `conv_wide`, where a tile is `rows` × `columns` registers, each a piece of a row, of `blocks` channels.

    Each tap loads a register per row and piece, mostly across two lines of the cache, which are two loads, and spreads
    one weight per channel. The cheapest tile is found by estimate; its rows are even if they are pooled.
    """
    step = 2 if pooled else 1
    best, found = float("inf"), Tiling(1, step, 1, height % step)
    for rows, columns in product(range(step, min(height, MOST_ROWS) + 1, step), range(1, pieces + 1)):
        for count in range(1, min(channels, (registers - 2) // (rows * columns) - 1) + 1):
            tile = Tiling(count, rows, columns, height % rows, pieces % columns)
            cost = 0.0
            for places, number in _tiles(tile, height, pieces):
                sums = places * count
                tap = max(sums / PORTS, (count + 2 * places) / PORTS, LATENCY)
                cost += number * -(-channels // count) * (tap * taps + 2 * sums + 10)
            if cost < best:
                best, found = cost, tile
    return found
