"""Where the boxes of a block stand: ranks from top to bottom, few crossings, straight connections.

The steps are those of K. Sugiyama, S. Tagawa, M. Toda, "Methods for visual understanding of hierarchical system
structures" (1981): ranks by longest path, places of their own for connections that pass ranks, orders by the mean
position of neighbours. Coordinates are then the least squares of the connections' slopes under the distances that must
be kept, one rank after the other, which for one rank is an isotonic regression.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

__all__ = ["Placed", "isotonic", "place"]

SWEEPS = 60
LANE = 7.0
"""Points that a connection passing a rank needs."""
STRAIGHT = 30.0
"""How much more a chain inside a block is to be straight than its connections to entry and exit."""


@dataclass
class Placed:
    """A layout in points, x to the right and y downwards, the entry at (0, 0).

    Attributes:
        centres: of each box.
        paths: for each connection (source, target) the points between them, from top to bottom; source -1 is the entry.
        left, right: how far it reaches; `height`: of all ranks.
    """

    centres: list[tuple[float, float]]
    paths: dict[tuple[int, int], list[tuple[float, float]]]
    left: float
    right: float
    height: float


def place(
    sizes: Sequence[tuple[float, float]], sources: Sequence[Sequence[int]], gap: tuple[float, float], entry: float
) -> Placed:
    """Lays boxes out under an entry point; the last box stands under it, too.

    Args:
        sizes: width and height of each box, in topological order.
        sources: for each box those that it reads; -1 is the entry.
        gap: between neighbours, and between ranks.
        entry: distance from the entry to the first rank.
    """
    count = len(sizes)
    rank = _ranks(sources)
    rows, chains, edges = _with_lanes(rank, sources)
    widths = {i: sizes[i][0] for i in range(count)} | {lane: LANE for chain in chains.values() for lane in chain}
    _order(rows, edges)
    x = _coordinates(rows, edges, widths, gap[0], pinned=count - 1)
    heights = [max((sizes[i][1] for i in row if i < count), default=0.0) for row in rows]
    tops = entry + np.concatenate([[0.0], np.cumsum([h + gap[1] for h in heights])])
    centres = [(x[i], float(tops[rank[i]] + heights[rank[i]] / 2)) for i in range(count)]
    paths = {}
    for (source, target), chain in chains.items():
        first = -1 if source < 0 else rank[source]
        points = []
        for step, lane in enumerate(chain, start=first + 1):
            points += [(x[lane], float(tops[step])), (x[lane], float(tops[step] + heights[step]))]
        paths[source, target] = points
    left = min(x[i] - widths[i] / 2 for i in widths)
    right = max(x[i] + widths[i] / 2 for i in widths)
    return Placed(centres, paths, left, right, float(tops[-1] - gap[1]))


def _ranks(sources: Sequence[Sequence[int]]) -> list[int]:
    rank: list[int] = []
    for own in sources:
        rank.append(1 + max((rank[s] for s in own if s >= 0), default=-1))
    if rank:
        rank[-1] = max(rank)
    for i in reversed(range(len(rank) - 1)):  # what nothing but later boxes holds back stands close to its reader
        readers = [rank[t] for t in range(i + 1, len(rank)) if i in sources[t]]
        if readers and not any(s >= 0 for s in sources[i]) and -1 not in sources[i]:
            rank[i] = max(rank[i], min(readers) - 1)
    return rank


def _with_lanes(
    rank: Sequence[int], sources: Sequence[Sequence[int]]
) -> tuple[list[list[int]], dict[tuple[int, int], list[int]], list[tuple[int, int]]]:
    """Rows of boxes and lanes, the lanes of each connection, and all connections between neighbouring rows."""
    rows: list[list[int]] = [[] for _ in range(max(rank) + 1)]
    for i, r in enumerate(rank):
        rows[r].append(i)
    chains: dict[tuple[int, int], list[int]] = {}
    edges = []
    free = len(rank)
    for target, own in enumerate(sources):
        for source in own:
            first = -1 if source < 0 else rank[source]
            lanes = list(range(free, free + rank[target] - first - 1))
            free += len(lanes)
            for lane, r in zip(lanes, range(first + 1, rank[target]), strict=True):
                rows[r].append(lane)
            chains[source, target] = lanes
            steps = [source, *lanes, target]
            edges += list(pairwise(steps))
    return rows, chains, edges


def _order(rows: list[list[int]], edges: Sequence[tuple[int, int]]) -> None:
    """Sorts each row by the mean place of its neighbours above, then below, a few times over; keeps the best order."""
    above, below = _neighbours(edges)
    best, fewest = [list(row) for row in rows], _crossings(rows, edges)
    for sweep in range(8):
        near = above if sweep % 2 == 0 else below
        for row in rows if sweep % 2 == 0 else reversed(rows):
            places = {i: p / max(len(r) - 1, 1) for r in rows for p, i in enumerate(r)} | {-1: 0.5}
            own = {i: p / max(len(row) - 1, 1) for p, i in enumerate(row)}
            row.sort(key=lambda i: np.mean([places[n] for n in near[i]]) if near.get(i) else own[i])
        found = _crossings(rows, edges)
        if found < fewest:
            best, fewest = [list(row) for row in rows], found
    rows[:] = best


def _neighbours(edges: Sequence[tuple[int, int]]) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    above: dict[int, list[int]] = {}
    below: dict[int, list[int]] = {}
    for source, target in edges:
        above.setdefault(target, []).append(source)
        below.setdefault(source, []).append(target)
    return above, below


def _crossings(rows: Sequence[Sequence[int]], edges: Sequence[tuple[int, int]]) -> int:
    places = {i: p for row in rows for p, i in enumerate(row)}
    where = {i: r for r, row in enumerate(rows) for i in row}
    between: dict[int, list[tuple[int, int]]] = {}
    for source, target in edges:
        if source >= 0:
            between.setdefault(where[source], []).append((places[source], places[target]))
    return sum(
        (a[0] - b[0]) * (a[1] - b[1]) < 0 for pairs in between.values() for k, a in enumerate(pairs) for b in pairs[:k]
    )


def _coordinates(
    rows: Sequence[Sequence[int]], edges: Sequence[tuple[int, int]], widths: dict[int, float], gap: float, pinned: int
) -> dict[int, float]:
    above, below = _neighbours(edges)
    x: dict[int, float] = {-1: 0.0}
    for row in rows:
        whole = sum(widths[i] + gap for i in row) - gap
        at = -whole / 2
        for i in row:
            x[i] = at + widths[i] / 2
            at += widths[i] + gap
    for sweep in range(SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wanted, weights = [], []
            for i in row:
                near = [(n, 1.0 if n in (-1, pinned) else STRAIGHT) for n in (*above.get(i, ()), *below.get(i, ()))]
                total = sum(weight for _, weight in near)
                mean = sum(x[n] * weight for n, weight in near) / total if near else x[i]
                wanted.append(0.0 if i == pinned else mean)
                weights.append(1e6 if i == pinned else 1.0 + total)
            steps = [0.0, *((widths[a] + widths[b]) / 2 + gap for a, b in pairwise(row))]
            offsets = np.cumsum(steps)
            for i, value in zip(
                row, isotonic(np.asarray(wanted) - offsets, np.asarray(weights)) + offsets, strict=True
            ):
                x[i] = float(value)
    shift = x[pinned]
    return {i: value - shift if i >= 0 else 0.0 for i, value in x.items()}


def isotonic(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The non-decreasing numbers with the least weighted sum of squared differences (pool adjacent violators)."""
    pools: list[list[float]] = []
    for value, weight in zip(values, weights, strict=True):
        pools.append([float(value), float(weight), 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            second, first = pools.pop(), pools.pop()
            total = first[1] + second[1]
            pools.append([(first[0] * first[1] + second[0] * second[1]) / total, total, first[2] + second[2]])
    return np.repeat([p[0] for p in pools], [int(p[2]) for p in pools])
