"""Winograd's minimal filtering F(m×m, 3×3): the three transforms (Lavin & Gray 2015, "Fast Algorithms for Convolutional
Neural Networks").

    Y = Aᵀ [ (G w Gᵀ) ⊙ (Bᵀ d B) ] A         d: a tile of m + 2 by m + 2 positions of x; w: 3×3; Y: m×m positions of y

The matrices come from polynomials that are multiplied by evaluation at the points 0, ±p for p in `POINTS[m]`, and ∞.
With N(z) = Π (z − q) over all finite points:

    row of Bᵀ     coefficients of N(z) / (z − p); for ∞ those of N
    row of G      (1, p, p²) / Π over q ≠ p of (p − q); for ∞ (0, 0, 1)
    column of Aᵀ  1, p, p², …; for ∞ (0, …, 0, 1)

The points decide the rounding error and nothing else. ±3/4 and ±3/2 give a third of the error of the usual ±1 and ±2,
and all numbers of A and B are float32 numbers. For a point and its opposite, the even powers have equal coefficients
and the odd ones opposite coefficients: both rows cost little more than one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from ..emit import Function, Value

__all__ = ["POINTS", "emit_input", "emit_output", "matrices", "transform_weights"]

POINTS: Mapping[int, tuple[float, ...]] = {2: (1.0,), 4: (0.75, 1.5)}
"""m → the points that are used with both signs."""


@cache
def matrices(m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bᵀ [m + 2, m + 2], G [m + 2, 3], Aᵀ [m, m + 2] in float64; rows of points: 0, p, −p, …, ∞."""
    points = [0.0, *(sign * p for p in POINTS[m] for sign in (1, -1))]
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
    b = matrices(m)[0]
    made = [_sum(f, b[0], d)]
    for i, p in enumerate(POINTS[m]):
        row = b[1 + 2 * i]
        even, odd = row.copy(), row / p
        even[1::2], odd[::2] = 0, 0
        made += _plus_minus(f, _sum(f, even, d), _sum(f, odd, d), p)
    return [*made, _sum(f, b[-1], d)]


def emit_output(f: Function, m: int, t: Sequence[Value]) -> list[Value]:
    """Aᵀ t for m + 2 registers: m results."""
    a = matrices(m)[2]
    pairs = [(t[1 + 2 * i], t[2 + 2 * i]) for i in range(len(POINTS[m]))]
    sums = [[x + y for x, y in pairs], [x - y for x, y in pairs]]
    made = []
    for k in range(m):
        terms = [t[0], *sums[k % 2], t[-1]]
        factors = [a[k, 0], *(p**k for p in POINTS[m]), a[k, -1]]
        made.append(_sum(f, factors, terms))
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
