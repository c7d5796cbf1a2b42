"""Augmentations as the command line names them: `flip,crop,rotate=10`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ...runtime.errors import InvalidInput
from .base import Augmentation, Sequential
from .colour import RandomBrightness, RandomColorJitter, RandomContrast, RandomHue, RandomSaturation
from .geometry import (
    Pad,
    RandomAffine,
    RandomCrop,
    RandomFlip,
    RandomRotation,
    RandomShear,
    RandomTranslation,
    RandomZoom,
)
from .mixing import Cutout, MixUp, RandomErasing

__all__ = ["NAMES", "by_name", "parse"]


@dataclass(frozen=True)
class Named:
    """A strength that suits most images, what it means, and how it becomes an augmentation of images (H, W)."""

    strength: float
    meaning: str
    make: Callable[[float, int, int], Augmentation]


def _pixels(share: float, height: int) -> float:
    """Where no strength is given, an eighth of the height for example; at least one pixel."""
    return max(1, round(share * height))


NAMES = {
    "flip": Named(0.5, "mirrored left to right", lambda s, h, w: RandomFlip("horizontal")),
    "flip-vertical": Named(0.5, "upside down", lambda s, h, w: RandomFlip("vertical")),
    "pad": Named(0, "pixels of margin; the model must take the larger images", lambda s, h, w: Pad(int(s))),
    "crop": Named(
        0, "pixels of margin before a window of the old size is cut (an eighth)",
        lambda s, h, w: RandomCrop(h, w, int(s or _pixels(1 / 8, h))),
    ),
    "rotate": Named(10, "degrees either way", lambda s, h, w: RandomRotation(s / 360, "constant")),
    "translate": Named(0.1, "share of height and width", lambda s, h, w: RandomTranslation(s, s, "constant")),
    "zoom": Named(0.1, "share, larger or smaller", lambda s, h, w: RandomZoom(s, fill_mode="constant")),
    "shear": Named(0.1, "pixels sideways per pixel of height", lambda s, h, w: RandomShear(s, fill_mode="constant")),
    "affine": Named(
        10, "degrees; with zoom, shear and translation of 0.1",
        lambda s, h, w: RandomAffine(s / 360, 0.1, 0.1, 0.1, "constant"),
    ),
    "cutout": Named(
        0, "pixels of a covered square (a quarter)", lambda s, h, w: Cutout(int(s or _pixels(1 / 4, h)))
    ),
    "erase": Named(0.5, "chance of a covered rectangle", lambda s, h, w: RandomErasing(s)),
    "mixup": Named(0.2, "alpha of mixing images in pairs", lambda s, h, w: MixUp(s)),
    "brightness": Named(0.2, "share of the range of values", lambda s, h, w: RandomBrightness(s)),
    "contrast": Named(0.2, "share", lambda s, h, w: RandomContrast(s)),
    "saturation": Named(0.1, "from 0.5 - s to 0.5 + s", lambda s, h, w: RandomSaturation((0.5 - s, 0.5 + s))),
    "hue": Named(0.1, "share of half the colour circle", lambda s, h, w: RandomHue(s)),
    "colour": Named(
        0.2, "brightness and contrast; with half of it saturation and hue",
        lambda s, h, w: RandomColorJitter(s, s, (0.5 - s / 2, 0.5 + s / 2), s / 2),
    ),
}  # fmt: skip
ALIASES = {"color": "colour"}


def parse(spec: str) -> list[tuple[str, float]]:
    """`flip,rotate=15` as names with strengths, in that order.

    Raises:
        InvalidInput: for a name that is not there, or a strength that is no number.
    """
    found = []
    for part in spec.split(","):
        name, equals, text = part.strip().partition("=")
        name = ALIASES.get(name, name)
        if name not in NAMES:
            raise InvalidInput(f"augmentation {name!r} is unknown; expected some of: {', '.join(NAMES)}")
        try:
            strength = float(text) if equals else NAMES[name].strength
        except ValueError:
            strength = math.nan
        if not math.isfinite(strength) or strength < 0:
            raise InvalidInput(f"augmentation {part.strip()!r}: expected a number after =, {NAMES[name].meaning}")
        found.append((name, strength))
    return found


def by_name(spec: str, height: int, width: int, seed: int = 0) -> Sequential:
    """The augmentations that `flip,crop,rotate=15` names, for images of height × width.

    Raises:
        InvalidInput: for an unknown name, or a strength that does not fit.
    """
    return Sequential([NAMES[name].make(strength, height, width) for name, strength in parse(spec)], seed)
