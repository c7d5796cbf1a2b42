"""Augmentation on NumPy and CuPy, reproducible from (seed, epoch, index of the image) and from nothing else.

    augment = Sequential([RandomFlip("horizontal"), RandomCrop(32, 32, padding=4), RandomRotation(0.03)], seed=1)
    x = augment(x, epoch=3, index=picked)

Images are of a floating-point dtype, by convention in [0, 1]. Several maps in a row cost several interpolations:
`RandomAffine` does it in one.
"""

from __future__ import annotations

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
from .names import NAMES, by_name
from .variants import enlarged, random_affine

__all__ = [
    "NAMES",
    "Augmentation",
    "Cutout",
    "MixUp",
    "Pad",
    "RandomAffine",
    "RandomBrightness",
    "RandomColorJitter",
    "RandomContrast",
    "RandomCrop",
    "RandomErasing",
    "RandomFlip",
    "RandomHue",
    "RandomRotation",
    "RandomSaturation",
    "RandomShear",
    "RandomTranslation",
    "RandomZoom",
    "Sequential",
    "by_name",
    "enlarged",
    "random_affine",
]
