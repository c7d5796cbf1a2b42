"""Local response normalisation of blocked values against float64."""

from __future__ import annotations

import numpy as np
import pytest

from striate.runtime.engines.native.kernels.lrn import lrn, power
from striate.runtime.engines.native.layouts import Blocked
from striate.runtime.engines.native.program import aligned
from striate.runtime.ops import registry

from .arrays import apply, ulps
from .test_pool import filled, run

REFERENCE = registry.lookup("", "LRN", 13)


@pytest.mark.parametrize("channels", [1, 3, 4, 16, 17, 40])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("beta", [0.75, 0.5, 0.6])
@pytest.mark.parametrize("lanes", [4, 16])
def test_lrn(channels: int, size: int, beta: float, lanes: int) -> None:
    x = np.random.default_rng(channels).standard_normal((2, channels, 3, 5)).astype(np.float32) * 3
    attributes = {"size": size, "alpha": 0.3, "beta": beta, "bias": 1.5}
    want = REFERENCE(np, x.astype(np.float64), **attributes)
    lx, ly = Blocked(x.shape, lanes, 1, 0, 2, 1), Blocked(x.shape, lanes)
    source, target = filled(lx, x), aligned(ly.nbytes)
    run([lrn(lx, ly, 0, 1, **attributes)], [source, target], threads=2)
    np.testing.assert_allclose(ly.unpack(target), want, rtol=1e-6, atol=1e-7)
    assert not ly.array(target).transpose(0, 1, 4, 2, 3).reshape(2, -1, 3, 5)[:, channels:].any()


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_power_of_any_size(lanes: int) -> None:
    x = np.geomspace(1e-37, 3e38, 200_001).astype(np.float32)
    found = apply(lambda f, x: power(f, x, -0.75), x, lanes=lanes)
    error = ulps(found, x.astype(np.float64) ** -0.75)
    assert error[(x > 1e-30) & (x < 1e30)].max() <= 1.9
    assert error.max() <= 3.5
    special = np.array([np.inf, 0.0, np.nan, -1.0] * lanes, np.float32)
    found = apply(lambda f, x: power(f, x, -0.75), special, lanes=lanes)
    np.testing.assert_array_equal(found.reshape(-1, 4), [[0.0, np.inf, np.nan, np.nan]] * lanes)


def test_infinity_stays_among_its_neighbours() -> None:
    x = np.ones((1, 16, 1, 1), np.float32)
    x[0, 0] = np.inf
    layout = Blocked(x.shape, 16)
    source, target = filled(layout, x), aligned(layout.nbytes)
    run([lrn(layout, layout, 0, 1, size=3, alpha=1.0, beta=0.75, bias=1.0)], [source, target])
    found = layout.unpack(target).ravel()
    assert np.isnan(found[0])
    assert found[1] == 0
    assert np.isfinite(found[2:]).all()
