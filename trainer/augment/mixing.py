"""Parts of images covered, and images mixed in pairs with their labels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ...runtime.errors import InvalidInput
from .base import Array, Augmentation, bounds

__all__ = ["Cutout", "MixUp", "RandomErasing"]


@dataclass(frozen=True)
class Cutout(Augmentation):
    """A square of `size` pixels about a random pixel is covered with `fill_value`; what lies outside is lost.

    T. DeVries, G. Taylor, "Improved regularization of convolutional neural networks with Cutout" (2017).
    """

    size: int
    fill_value: float = 0.0
    numbers = 2

    def __post_init__(self) -> None:
        if self.size < 1:
            raise InvalidInput(f"Cutout: size is {self.size}; expected at least 1 pixel")

    def apply(self, xp: Any, x: Array, u: np.ndarray) -> Array:
        centres = np.floor(u * x.shape[1:3])
        first = centres - self.size // 2
        return _covered(xp, x, first, first + self.size, self.fill_value)


@dataclass(frozen=True)
class RandomErasing(Augmentation):
    """A rectangle that lies inside the image is covered with `fill_value`.

    Zhong, Zheng, Kang, Li, Yang, "Random erasing data augmentation" (2020).

    Args:
        factor: the chance that an image loses a part.
        scale: (least, most) share of the image's area.
        ratio: (least, most) height over width, even on a logarithmic scale; cut down where the image is too small.
    """

    factor: float = 1.0
    scale: tuple[float, float] = (0.02, 0.33)
    ratio: tuple[float, float] = (0.3, 1 / 0.3)
    fill_value: float = 0.0
    numbers = 5

    def __post_init__(self) -> None:
        bounds((0.0, self.factor), "RandomErasing: factor", 0, 1)
        bounds(self.scale, "RandomErasing: scale", 0, 1)
        bounds(self.ratio, "RandomErasing: ratio", 1e-3, 1e3)

    def apply(self, xp: Any, x: Array, u: np.ndarray) -> Array:
        size = np.asarray(x.shape[1:3], np.float64)
        area = (self.scale[0] + u[:, 0] * (self.scale[1] - self.scale[0])) * size.prod()
        low, high = np.log(self.ratio)
        ratio = np.exp(low + u[:, 1] * (high - low))
        sides = np.minimum(np.rint(np.sqrt(np.stack([area * ratio, area / ratio], 1))), size)
        first = np.floor(u[:, 2:4] * (size - sides + 1))
        sides *= (u[:, 4] < self.factor)[:, None]
        return _covered(xp, x, first, first + sides, self.fill_value)


@dataclass(frozen=True)
class MixUp(Augmentation):
    """Every image and its label become a mixture with another's, in the proportion λ : 1 - λ, λ from Beta(α, α).

    H. Zhang, M. Cissé, Y. Dauphin, D. Lopez-Paz, "mixup: beyond empirical risk minimization" (2018).
    """

    alpha: float = 0.2
    numbers = 2
    mixes = True

    def __post_init__(self) -> None:
        if not 0.01 <= self.alpha <= 100:
            raise InvalidInput(f"MixUp: alpha is {self.alpha}; expected from 0.01 to 100")

    def share(self, u: np.ndarray) -> np.ndarray:
        """λ for uniform numbers in (0, 1): the quantiles of Beta(α, α)."""
        probabilities, roots = _quantiles(self.alpha)
        below = np.interp(np.minimum(u, 1 - u), probabilities, roots) ** (1 / self.alpha)
        return np.where(u < 0.5, below, 1 - below)


@lru_cache(maxsize=16)
def _quantiles(alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """The lower half of Beta(α, α): probabilities from 0 to 1/2, and the α-th power of the quantiles there.

    With t = x^α the density x^(α-1) (1-x)^(α-1) dx is (1 - t^(1/α))^(α-1) dt / α, which is smooth where x ≤ 1/2.
    """
    roots = np.linspace(0.0, 0.5**alpha, 4097)
    density = (1 - roots ** (1 / alpha)) ** (alpha - 1)
    total = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    return total / (2 * total[-1]), roots


def _covered(xp: Any, x: Array, first: np.ndarray, after: np.ndarray, value: float) -> Array:
    """Rectangles from (row, column) `first` to before `after`, `(N, 2)` each, set to a value."""
    inside = []
    for axis in (0, 1):
        places = np.arange(x.shape[1 + axis])
        inside.append((places >= first[:, axis, None]) & (places < after[:, axis, None]))
    mask = xp.asarray(inside[0])[:, :, None, None] & xp.asarray(inside[1])[:, None, :, None]
    return xp.where(mask, xp.full((), value, x.dtype), x)
