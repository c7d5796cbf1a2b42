"""Elementary functions of registers against float64, over the whole range of float32."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from striate.runtime.engines.native.kernels import vmath

from .arrays import apply, ulps

F64 = np.ndarray
_erf, _erfc = np.vectorize(math.erf, [float]), np.vectorize(math.erfc, [float])


def _gelu(x: F64) -> F64:
    return np.where(x < -50, 0.0, x * 0.5 * _erfc(-x * math.sqrt(0.5)))


def _gelu_tanh(x: F64) -> F64:
    z = math.sqrt(8 / math.pi) * (x + 0.044715 * x**3)
    return np.where(x < -50, 0.0, x / (1 + np.exp(-z)))


def _mish(x: F64) -> F64:
    n = np.exp(np.minimum(x, 50)) * (np.exp(np.minimum(x, 50)) + 2)
    return np.where(x < -200, 0.0, np.where(x > 50, x, x * n / (n + 2)))


FUNCTIONS: tuple[tuple[str, Callable[[F64], F64], float], ...] = (
    # name, float64, the greatest error in ULP
    ("exp", np.exp, 1.1),
    ("log", np.log, 1.0),
    ("tanh", np.tanh, 2.0),
    ("erf", _erf, 1.2),
    ("sigmoid", lambda x: 1 / (1 + np.exp(-x)), 1.6),
    ("softplus", lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), 1.8),
    ("mish", _mish, 0.6),
    ("gelu", _gelu, 1.0),
    ("gelu_tanh", _gelu_tanh, 0.9),
    ("sqrt", np.sqrt, 0.5),
    ("reciprocal", lambda x: 1 / x, 0.5),
    ("expm1_below", lambda x: np.expm1(np.minimum(x, 0)), 1.0),
)


def _sample() -> np.ndarray:
    """Every 20011th float32, all around thresholds, dense where functions are neither flat nor out of range."""
    bits = np.arange(0, 2**32, 20011, dtype=np.uint64).astype(np.uint32)
    edges = np.array(
        [0.9297**0.5, 0.9297, 4, 9.01, 11, 15, 20, 87.33, 88.0296, 88.7228, 89, 103.28, 103.97, 104.5, 150]
    )
    edges = np.concatenate([edges, [1.0, 2**0.5, 0.5**0.5, 2.0**-126, 2.0**-149, 14.4, 13.2, 0.34657, 1.0397]])
    near = (edges.astype(np.float32).view(np.uint32)[:, None] + np.arange(-40, 41)).ravel().astype(np.uint32)
    special = np.array([0.0, np.inf, np.nan, 1.0, np.finfo(np.float32).max], np.float32)
    dense = np.concatenate([np.linspace(-4, 4, 60001), np.linspace(-110, 110, 60001)])
    with np.errstate(invalid="ignore"):
        one_sided = np.concatenate([near.view(np.float32), special])
        return np.concatenate([bits.view(np.float32), one_sided, -one_sided, dense.astype(np.float32)])


SAMPLE = _sample()


@pytest.mark.parametrize(("name", "right", "most"), FUNCTIONS, ids=[row[0] for row in FUNCTIONS])
@pytest.mark.parametrize("lanes", [1, 4, 8, 16])
def test_error(name: str, right: Callable[[F64], F64], most: float, lanes: int) -> None:
    x = np.minimum(SAMPLE, 0) if name == "expm1_below" else SAMPLE
    with np.errstate(all="ignore"):
        error = ulps(apply(getattr(vmath, name), x, lanes=lanes), right(x.astype(np.float64)))
    worst = int(error.argmax())
    assert error[worst] <= most, f"{name}({x[worst]!r}) is wrong by {error[worst]} ULP"


@pytest.mark.parametrize("name", [row[0] for row in FUNCTIONS])
def test_fast_flags_change_nothing(name: str) -> None:
    strict, fast = (apply(getattr(vmath, name), SAMPLE, lanes=8, fast=fast) for fast in (False, True))
    np.testing.assert_array_equal(strict, fast)


def test_exp_is_the_same_beside_any_number() -> None:
    x = np.linspace(-90, 90, 16 * 4001).astype(np.float32)
    beside = x.copy()
    beside[::16] = np.resize(np.array([np.inf, -200, 100, np.nan], np.float32), beside[::16].size)
    alone, mixed = (apply(vmath.exp, v, lanes=16).reshape(-1, 16)[:, 1:] for v in (x, beside))
    np.testing.assert_array_equal(alone, mixed)


def test_signs_of_zero() -> None:
    x = np.array([0.0, -0.0], np.float32)
    for name in ("tanh", "erf", "sqrt"):
        np.testing.assert_array_equal(np.signbit(apply(getattr(vmath, name), x, lanes=1)), [False, True], err_msg=name)


@pytest.mark.parametrize("lanes", [1, 4, 16])
def test_pow(lanes: int) -> None:
    rng = np.random.default_rng(1)
    n = 100_000
    x = np.concatenate([np.exp(rng.uniform(-103, 88, n)), rng.uniform(0.5, 2, n)]).astype(np.float32)
    y = np.concatenate([rng.uniform(-6, 6, n), rng.uniform(-160, 160, n)]).astype(np.float32)
    with np.errstate(all="ignore"):
        want = x.astype(np.float64) ** y.astype(np.float64)
    assert ulps(apply(vmath.pow, x, y, lanes=lanes), want).max() <= 0.6


def test_special_powers() -> None:
    """Every pair of numbers that C's pow has a rule for."""
    s = [0.0, 1, 2, 3, 0.5, 2.5, np.inf, np.nan, 1e-45, 1e38, 16777215, 16777216, 3e9]
    s = np.array([*s, *(-v for v in s)], np.float32)
    x, y = (m.ravel() for m in np.meshgrid(s, s))
    with np.errstate(all="ignore"):
        want = np.power(x.astype(np.float64), y.astype(np.float64))
    got = apply(vmath.pow, x, y, lanes=8)
    assert ulps(got, want).max() <= 0.6
    known = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got[known]), np.signbit(want[known]))
