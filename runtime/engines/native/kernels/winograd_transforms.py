"""Winograd's minimal filtering F(m×m, 3×3): the three transforms (Lavin & Gray 2015, "Fast Algorithms for Convolutional
Neural Networks").

    Y = Aᵀ [ (G w Gᵀ) ⊙ (Bᵀ d B) ] A         d: a tile of m + 2 by m + 2 positions of x; w: 3×3; Y: m×m positions of y

The matrices come from polynomials that are multiplied by evaluation at the points 0, those of `POINTS[m]`, and ∞.
With N(z) = Π (z − q) over all finite points:

    row of Bᵀ     coefficients of N(z) / (z − p); for ∞ those of N
    row of G      (1, p, p²) / Π over q ≠ p of (p − q); for ∞ (0, 0, 1)
    column of Aᵀ  1, p, p², …; for ∞ (0, …, 0, 1)

The points decide the rounding error and nothing else. ±3/4 and ±3/2 give a third of the error of the usual ±1 and ±2,
and all numbers of A and B are float32 numbers; so do ±3/4 and 2 where three are needed, found by trying small
fractions. For a point and its opposite, the even powers have equal coefficients and the odd ones opposite
coefficients: both rows cost little more than one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from ..emit import Function, Value

__all__ = ["POINTS", "emit_input", "emit_output", "matrices", "transform_weights"]


class Points(NamedTuple):
    """Of evaluation, beside 0 and ∞: some with both signs, some as they are."""

    both: tuple[float, ...]
    single: tuple[float, ...] = ()


POINTS: Mapping[int, Points] = {2: Points((1.0,)), 3: Points((0.75,), (2.0,)), 4: Points((0.75, 1.5))}
"""m → m + 2 points, with 0 and ∞."""


@cache
def matrices(m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bᵀ [m + 2, m + 2], G [m + 2, 3], Aᵀ [m, m + 2] in float64; rows of points: 0, p, −p, …, single ones, ∞."""
    both, single = POINTS[m]
    points = [0.0, *(sign * p for p in both for sign in (1, -1)), *single]
    b, g, a = np.zeros((m + 2, m + 2)), np.zeros((m + 2, 3)), np.zeros((m, m + 2))
    for i, p in enumerate(points):
        others = points[:i] + points[i + 1 :]
        b[i, : m + 1] = np.poly(others)[::-1]
        g[i] = np.array([1, p, p * p]) / np.prod([p - q for q in others])
        a[:, i] = [p**k for k in range(m)]
    b[-1], g[-1, 2], a[-1, -1] = np.poly(points)[::-1], 1, 1
    return b, g, a


def transform_weights(m: int, W: np.ndarray) -> np.ndarray:
    """G w Gᵀ of weights [M, C, 3, 3], as [M, C, (m + 2)²] in float64."""
    g = matrices(m)[1]
    return W.reshape(*W.shape[:2], 9).astype(np.float64) @ np.kron(g, g).T


def emit_input(f: Function, m: int, d: Sequence[Value]) -> list[Value]:
    """Bᵀ d for m + 2 registers."""
    b, both = matrices(m)[0], POINTS[m].both
    made = [_sum(f, b[0], d)]
    for i, p in enumerate(both):
        # The rows of p and −p: N(z)/(z ∓ p) = (z ± p)·R(z), R the same for both.
        plus, minus = b[1 + 2 * i], b[2 + 2 * i]
        made += _plus_minus(f, _sum(f, (plus + minus) / 2, d), _sum(f, (plus - minus) / (2 * p), d), p)
    return [*made, *(_sum(f, row, d) for row in b[1 + 2 * len(both) :])]


def emit_output(f: Function, m: int, t: Sequence[Value]) -> list[Value]:
    """Aᵀ t for m + 2 registers: m results."""
    a, both = matrices(m)[2], POINTS[m].both
    pairs = [(t[1 + 2 * i], t[2 + 2 * i]) for i in range(len(both))]
    sums = [[x + y for x, y in pairs], [x - y for x, y in pairs]]
    others = [0, *range(1 + 2 * len(both), m + 2)]
    made = []
    for k in range(m):
        factors = [*a[k, others], *(p**k for p in both)]
        made.append(_sum(f, factors, [*(t[i] for i in others), *sums[k % 2]]))
    return made


def _sum(f: Function, factors: Sequence[float] | np.ndarray, terms: Sequence[Value]) -> Value:
    """Σ factor·term; those with factor 1 first, which saves a multiplication."""
    used = [(float(c), t) for c, t in zip(factors, terms, strict=True) if c]
    (first, total), *rest = sorted(used, key=lambda pair: pair[0] != 1)
    if first != 1:
        total = total * first
    for c, t in rest:
        total = total + t if c == 1 else total - t if c == -1 else f.fma(t, f.value(c, t.type), total)
    return total


def _plus_minus(f: Function, even: Value, odd: Value, p: float) -> list[Value]:
    """even + p·odd and even − p·odd."""
    if p == 1:
        return [even + odd, even - odd]
    return [f.fma(odd, f.value(p, odd.type), even), f.fma(odd, f.value(-p, odd.type), even)]
