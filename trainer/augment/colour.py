"""Brightness, contrast, saturation and hue of images, under the names and arguments of Keras's layers.

Values outside of `value_range` are cut off. Saturation and hue need 1 or 3 channels, and leave grey images as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...runtime.errors import InvalidInput
from .base import Array, Augmentation, bounds, per_image

__all__ = ["RandomBrightness", "RandomColorJitter", "RandomContrast", "RandomHue", "RandomSaturation"]

Factor = float | tuple[float, float]
Range = tuple[float, float]
UNIT: Range = (0.0, 1.0)
"""Where the values of images lie here; Keras's default is (0, 255)."""


@dataclass(frozen=True)
class RandomBrightness(Augmentation):
    """Adds to every value a share of the range of values: (lower, upper), or f for (-f, f)."""

    factor: Factor
    value_range: Range = UNIT
    numbers = 1
    limits: Range = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "limits", bounds(self.factor, "RandomBrightness: factor", -1, 1))

    def apply(self, xp: Any, x: Array, u: np.ndarray) -> Array:
        low, high = self.value_range
        return xp.clip(x + per_image(xp, _between(u[:, 0], self.limits) * (high - low), x), low, high)


@dataclass(frozen=True)
class RandomContrast(Augmentation):
    """Scales the distance from each channel's mean by a number from 1 - lower to 1 + upper; f stands for (f, f)."""

    factor: Factor
    value_range: Range = UNIT
    numbers = 1
    limits: Range = field(init=False, repr=False)

    def __post_init__(self) -> None:
        lower, upper = (self.factor,) * 2 if isinstance(self.factor, (int, float)) else self.factor
        if not (0 <= lower <= 1 and 0 <= upper <= 10):
            raise InvalidInput(f"RandomContrast: factor is {self.factor}; expected from 0 to 1")
        object.__setattr__(self, "limits", (1.0 - lower, 1.0 + upper))

    def apply(self, xp: Any, x: Array, u: np.ndarray) -> Array:
        mean = xp.mean(x, axis=1, keepdims=True).mean(axis=2, keepdims=True)
        return xp.clip((x - mean) * per_image(xp, _between(u[:, 0], self.limits), x) + mean, *self.value_range)


@dataclass(frozen=True)
class RandomSaturation(Augmentation):
    """Scales the saturation of the HSV model by t / (1 - t), t from (lower, upper), or from (0, f) as in Keras.

    So 0.5 changes nothing, 0 leaves only grey, 1 only the purest colours.
    """

    factor: Factor
    value_range: Range = UNIT
    numbers = 1
    limits: Range = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "limits", _shares(self.factor, "RandomSaturation"))

    def apply(self, xp: Any, x: Array, u: np.ndarray) -> Array:
        if _is_grey(x, "RandomSaturation"):
            return x
        share = np.minimum(_between(u[:, 0], self.limits), 1 - 1e-6)
        value, _, divisor = _value_and_spread(xp, x)
        most = (value - self.value_range[0]) / divisor
        scale = xp.minimum(per_image(xp, share / (1 - share), x)[..., 0], most)
        return x * scale[..., None] + (value * (1 - scale))[..., None]


@dataclass(frozen=True)
class RandomHue(Augmentation):
    """Turns the hue of the HSV model by up to half of `factor` of the colour circle, either way.

    Args:
        factor: from 0 to 1: (lower, upper), or f for (0, f); the way is chosen for each image.
    """

    factor: Factor
    numbers = 2
    limits: Range = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "limits", _shares(self.factor, "RandomHue"))

    def apply(self, xp: Any, x: Array, u: np.ndarray) -> Array:
        if _is_grey(x, "RandomHue"):
            return x
        turn = 3 * _between(u[:, 0], self.limits) * np.where(u[:, 1] < 0.5, -1, 1)
        red, green, blue = x[..., 0], x[..., 1], x[..., 2]
        value, spread, divisor = _value_and_spread(xp, x)
        hue = xp.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor)
        hue = xp.where(value == red, (green - blue) / divisor, hue)
        hue = hue + per_image(xp, turn, x)[..., 0]
        return xp.stack([_channel(xp, hue, value, spread, start) for start in (5, 3, 1)], axis=3)


@dataclass(frozen=True)
class RandomColorJitter(Augmentation):
    """Brightness, contrast, saturation and hue one after the other; a factor of None leaves its part out."""

    brightness_factor: Factor | None = None
    contrast_factor: Factor | None = None
    saturation_factor: Factor | None = None
    hue_factor: Factor | None = None
    value_range: Range = UNIT
    numbers = 5
    steps: tuple[Augmentation, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        made: list[Augmentation] = []
        if self.brightness_factor is not None:
            made.append(RandomBrightness(self.brightness_factor, self.value_range))
        if self.contrast_factor is not None:
            made.append(RandomContrast(self.contrast_factor, self.value_range))
        if self.saturation_factor is not None:
            made.append(RandomSaturation(self.saturation_factor, self.value_range))
        if self.hue_factor is not None:
            made.append(RandomHue(self.hue_factor))
        object.__setattr__(self, "steps", tuple(made))

    def apply(self, xp: Any, x: Array, u: np.ndarray) -> Array:
        used = 0
        for step in self.steps:
            x = step.apply(xp, x, u[:, used : used + step.numbers])
            used += step.numbers
        return x


def _value_and_spread(xp: Any, x: Array) -> tuple[Array, Array, Array]:
    """Largest value of each pixel, its distance from the smallest, and that with 1 in place of 0 to divide by."""
    red, green, blue = x[..., 0], x[..., 1], x[..., 2]
    value = xp.maximum(xp.maximum(red, green), blue)
    spread = value - xp.minimum(xp.minimum(red, green), blue)
    return value, spread, spread + (spread == 0)


def _channel(xp: Any, hue: Array, value: Array, spread: Array, start: int) -> Array:
    """One channel of an HSV colour, hue in sixths of the circle: Smith, "Color gamut transform pairs" (1978)."""
    place = hue + start
    place = place - xp.floor(place / 6) * 6
    return value - spread * xp.clip(xp.minimum(place, 4 - place), 0, 1)


def _between(u: np.ndarray, limits: Range) -> np.ndarray:
    return limits[0] + u * (limits[1] - limits[0])


def _shares(factor: Factor, name: str) -> Range:
    pair = (0.0, factor) if isinstance(factor, (int, float)) else factor
    return bounds(pair, f"{name}: factor", 0, 1)


def _is_grey(x: Array, name: str) -> bool:
    if x.shape[3] not in (1, 3):
        raise InvalidInput(f"{name}: images have {x.shape[3]} channels; expected 1 or 3")
    return bool(x.shape[3] == 1)
