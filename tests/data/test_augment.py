"""Random affine maps of images."""

from __future__ import annotations

import numpy as np
import pytest

from striate.runtime.errors import InvalidInput
from striate.trainer.augment import enlarged, random_affine
from striate.trainer.data import load


def test_no_strength_changes_nothing() -> None:
    x = np.random.default_rng(0).random((3, 7, 9, 2), np.float32)
    assert np.allclose(random_affine(x), x, atol=1e-6)


def test_from_the_seed_within_the_range() -> None:
    x = load("digits").x[:20]
    strength = {"rotate": 10.0, "scale": 0.1, "shear": 0.1, "shift": 2.0}
    first = random_affine(x, 1, **strength)
    assert first.shape == x.shape
    assert first.dtype == x.dtype
    assert 0 <= first.min() <= first.max() <= 1
    assert np.array_equal(first, random_affine(x, 1, **strength))
    assert not np.array_equal(first, random_affine(x, 2, **strength))
    correlation = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(x, first, strict=True)]
    assert 0.5 < np.mean(correlation) < 0.99


def test_a_shift_moves_a_point_no_further() -> None:
    x = np.zeros((200, 11, 11, 1), np.float32)
    x[:, 5, 5] = 1
    moved = random_affine(x, 3, shift=2.0)
    assert np.allclose(moved.sum((1, 2, 3)), 1, atol=1e-5)
    rows = (moved[..., 0].sum(2) * np.arange(11)).sum(1) - 5
    assert np.abs(rows).max() <= 2 + 1e-5
    assert np.abs(rows).max() > 1.9
    assert abs(rows.mean()) < 0.3


def test_what_comes_from_outside_is_zero() -> None:
    x = np.ones((50, 6, 6, 1), np.float32)
    moved = random_affine(x, 0, shift=20.0)
    assert moved.max() <= 1
    assert moved.min() == 0
    assert (moved.sum((1, 2, 3)) == 0).any()


def test_enlarged_keeps_the_originals_first() -> None:
    data = load("digits").select(slice(0, 10))
    more = enlarged(data, 2, seed=1, shift=1.0)
    assert len(more) == 30
    assert np.array_equal(more.x[:10], data.x)
    assert np.array_equal(more.y, np.tile(data.y, 3))
    assert not np.array_equal(more.x[10:20], more.x[20:])


def test_integers_are_refused() -> None:
    with pytest.raises(InvalidInput, match="uint8"):
        random_affine(np.zeros((1, 4, 4, 1), np.uint8))
