"""Augmentation: what each does to images, the same in any batch, and on arrays with CuPy's manners."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from striate.runtime.errors import InvalidInput
from striate.trainer import augment
from striate.trainer.augment import NAMES, Sequential, by_name
from tests.ops.strict import strict

X = np.random.default_rng(0).random((12, 9, 11, 3), np.float32)
Y = np.eye(4, dtype=np.float32)[np.arange(12) % 4]
EVERYTHING = [*NAMES, "flip,crop,rotate,colour,cutout,mixup"]


@pytest.mark.parametrize("name", EVERYTHING)
def test_batches_and_order_change_nothing(name: str) -> None:
    """Image i of epoch e becomes the same, whatever else is in its batch."""
    made = by_name(name, 9, 11, seed=5)
    whole, labels = made(X, Y, epoch=3, index=np.arange(12), pool=(X, Y))
    order = np.random.default_rng(1).permutation(12)
    for picked in (order[:5], order[5:6], order[6:]):
        x, y = made(X[picked], Y[picked], epoch=3, index=picked, pool=(X, Y))
        np.testing.assert_array_equal(x, whole[picked])
        np.testing.assert_array_equal(y, labels[picked])
    assert whole.dtype == np.float32
    if name != "pad":
        assert whole.shape == X.shape
        assert not np.array_equal(whole, made(X, Y, epoch=4, pool=(X, Y))[0])
        assert not np.array_equal(whole, by_name(name, 9, 11, seed=6)(X, Y, epoch=3, pool=(X, Y))[0])


@pytest.mark.parametrize("name", EVERYTHING)
def test_strict_arrays_give_the_same(name: str) -> None:
    made = by_name(name, 9, 11, seed=5)
    want = made(X, Y)
    got = made(strict.asarray(X), strict.asarray(Y), xp=strict)
    for y, right in zip(got, want, strict=True):
        assert isinstance(y, strict.ndarray)
        np.testing.assert_array_equal(y.get(), right)


@pytest.mark.parametrize("mode", ["constant", "nearest", "reflect", "wrap"])
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_fill_modes_on_both(mode: str, interpolation: str) -> None:
    """Moved by whole pixels, what comes in is what the mode says; strict arrays agree."""
    moved = augment.RandomTranslation((2 / 9, 2 / 9), (-3 / 11, -3 / 11), mode, interpolation, fill_value=0.25)
    kind: Any = {"constant": "constant", "nearest": "edge", "reflect": "symmetric", "wrap": "wrap"}[mode]
    value = {"constant_values": 0.25} if mode == "constant" else {}
    right = np.pad(X, ((0, 0), (2, 0), (0, 3), (0, 0)), kind, **value)[:, :9, 3:]
    np.testing.assert_allclose(moved(X), right, atol=2e-6)
    np.testing.assert_array_equal(moved(strict.asarray(X), xp=strict).get(), moved(X))


@pytest.mark.parametrize("name", EVERYTHING)
def test_channels_first(name: str) -> None:
    layers = by_name(name, 9, 11).layers
    first = Sequential(layers, data_format="channels_first")(X.transpose(0, 3, 1, 2), Y)[0]
    np.testing.assert_array_equal(first.transpose(0, 2, 3, 1), Sequential(layers)(X, Y)[0])


def test_flip_mirrors_about_half() -> None:
    x = np.random.default_rng(0).random((400, 4, 5, 1), np.float32)
    found = augment.RandomFlip("horizontal")(x)
    same = np.array([np.array_equal(a, b) for a, b in zip(found, x, strict=True)])
    mirrored = np.array([np.array_equal(a, b[:, ::-1]) for a, b in zip(found, x, strict=True)])
    assert (same ^ mirrored).all()
    assert 150 < same.sum() < 250


def test_crop_takes_windows_from_everywhere() -> None:
    x = np.arange(1, 31, dtype=np.float32).reshape(1, 5, 6, 1).repeat(300, 0)
    found = augment.RandomCrop(3, 4)(x)
    corners = set(found[:, 0, 0, 0].astype(int).tolist())
    assert corners == {1 + 6 * r + c for r in range(3) for c in range(3)}
    np.testing.assert_array_equal(found[:, 2, 3, 0] - found[:, 0, 0, 0], 6 * 2 + 3)
    with pytest.raises(InvalidInput, match="5×6 pixels"):
        augment.RandomCrop(6, 6)(x)


def test_quarter_turn_and_zoom_as_keras_has_them() -> None:
    x = np.random.default_rng(0).random((2, 7, 7, 2), np.float32)
    turned = augment.RandomRotation((0.25, 0.25))(x)
    np.testing.assert_allclose(turned, np.rot90(x, axes=(1, 2)), atol=1e-5)
    point = np.zeros((1, 9, 9, 1), np.float32)
    point[0, 4, 8] = 1
    smaller = augment.RandomZoom((1.0, 1.0), fill_mode="constant", interpolation="nearest")(point)
    assert np.argwhere(smaller[0, ..., 0]).tolist() == [[4, 6]], "factor 1 shows twice as much"
    slanted = augment.RandomShear((0.5, 0.5), fill_mode="constant", interpolation="nearest")(
        np.ones((1, 9, 9, 1), "f4")
    )
    assert slanted[0, 4].all()
    assert not slanted[0, 0].all()


def test_affine_is_its_parts_in_one() -> None:
    x = np.zeros((1, 21, 21, 1), np.float32)
    x[0, 8:13, 6:15] = 1
    one = augment.RandomAffine((0.1, 0.1), (0.2, 0.2), 0.0, (0.1, 0.1), "constant")(x)
    parts = [
        augment.RandomZoom((0.2, 0.2), fill_mode="constant"),
        augment.RandomRotation((0.1, 0.1), "constant"),
        augment.RandomTranslation((0.1, 0.1), (0.1, 0.1), "constant"),
    ]
    assert np.abs(one - Sequential(parts)(x)).mean() < 0.02
    assert np.corrcoef(one.ravel(), Sequential(parts)(x).ravel())[0, 1] > 0.97


def hsv(change: Callable[[list[float]], list[float]]) -> np.ndarray:
    pixels = [colorsys.hsv_to_rgb(*change(list(colorsys.rgb_to_hsv(*map(float, p))))) for p in X.reshape(-1, 3)]
    return np.asarray(pixels, np.float32).reshape(X.shape)


def test_colours_agree_with_the_hsv_model() -> None:
    found = augment.RandomSaturation((0.8, 0.8))(X)
    np.testing.assert_allclose(found, hsv(lambda c: [c[0], min(4 * c[1], 1), c[2]]), atol=2e-6)
    found = augment.RandomHue((0.3, 0.3))(X)
    ways = [hsv(lambda c, s=s: [(c[0] + s) % 1, *c[1:]]) for s in (0.15, -0.15)]
    assert all(min(np.abs(found[i] - w[i]).max() for w in ways) < 3e-6 for i in range(len(X)))
    assert len({int(np.argmin([np.abs(found[i] - w[i]).max() for w in ways])) for i in range(len(X))}) == 2
    grey = X[..., :1]
    assert augment.RandomHue(0.5)(grey) is grey
    mean = augment.RandomContrast((0.0, 0.0))(X)
    np.testing.assert_allclose(mean, X, atol=1e-6)
    np.testing.assert_allclose(augment.RandomBrightness((0.1, 0.1))(X), np.clip(X + 0.1, 0, 1), atol=1e-6)


def test_contrast_and_saturation_at_their_ends() -> None:
    flat = augment.RandomContrast((1.0, 0.0))
    u = np.zeros((12, 1))
    np.testing.assert_allclose(flat.apply(np, X, u), np.broadcast_to(X.mean((1, 2), keepdims=True), X.shape), atol=1e-6)
    grey = augment.RandomSaturation((0.0, 0.0))(X)
    np.testing.assert_allclose(grey, X.max(3, keepdims=True).repeat(3, 3), atol=1e-6)


def test_covered_parts() -> None:
    x = np.ones((200, 8, 10, 2), np.float32)
    found = augment.Cutout(4)(x)
    lost = (found == 0).sum((1, 2, 3)) / 2
    assert lost.max() == 16
    assert lost.min() >= 4
    found = augment.RandomErasing(0.5, (0.25, 0.25), (1.0, 1.0), fill_value=0.5)(x)
    lost = (found == 0.5).sum((1, 2, 3)) / 2
    assert set(lost.tolist()) == {0, 16}
    assert 70 < (lost == 0).sum() < 130


def test_mixup_is_the_same_mixture_of_labels_from_beta() -> None:
    many = np.arange(4000, dtype=np.float32).reshape(-1, 1, 1, 1)
    labels = np.eye(4000, dtype=np.float32)[:1000]
    mixed, y = augment.MixUp(0.4)(many[:1000], labels, seed=1)
    np.testing.assert_allclose(y.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(mixed.ravel(), y @ many.ravel(), atol=0.05)
    for alpha in (0.2, 1.0, 3.0):
        share = augment.MixUp(alpha).share((np.arange(20_000) + 0.5) / 20_000)
        assert share.mean() == pytest.approx(0.5, abs=1e-6)
        assert share.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=2e-3)
        assert (np.diff(share) >= 0).all()


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "integers": (lambda: by_name("flip", 4, 4)(np.zeros((1, 4, 4, 1), np.uint8)), "uint8"),
    "rank": (lambda: by_name("flip", 4, 4)(np.zeros((4, 4, 1), np.float32)), "floating-point images"),
    "class numbers": (lambda: by_name("mixup", 9, 11)(X, np.arange(12)), "one-hot"),
    "index": (lambda: by_name("flip", 9, 11)(X, index=np.arange(3)), "one number for each of 12"),
    "no name": (lambda: by_name("flip,spin", 4, 4), "'spin' is unknown; expected some of: flip,"),
    "no number": (lambda: by_name("rotate=far", 4, 4), "degrees either way"),
    "factor": (lambda: augment.RandomRotation((0.5, 0.1)), "RandomRotation: factor"),
    "mode": (lambda: augment.RandomZoom(0.1, fill_mode="mirror"), "constant, nearest, reflect, wrap"),
    "flip": (lambda: augment.RandomFlip("sideways"), "sideways"),
    "two channels": (lambda: augment.RandomHue(0.1)(np.zeros((1, 4, 4, 2), np.float32)), "2 channels"),
    "no layer": (lambda: Sequential([len]), "is no augmentation"),  # type: ignore[list-item]
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments(name: str) -> None:
    act, message = BAD[name]
    with pytest.raises(InvalidInput, match=message):
        act()
