"""Images flipped, cut, padded, turned, moved, scaled and slanted, under the names and arguments of Keras's layers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ...runtime.errors import InvalidInput
from .base import Array, Augmentation, bounds, per_image
from .sampling import checked_sampling, warped

__all__ = [
    "Pad",
    "RandomAffine",
    "RandomCrop",
    "RandomFlip",
    "RandomRotation",
    "RandomShear",
    "RandomTranslation",
    "RandomZoom",
]

Factor = float | tuple[float, float]
_MODES = ("horizontal", "vertical", "horizontal_and_vertical")


@dataclass(frozen=True)
class RandomFlip(Augmentation):
    """Every second image mirrored: left to right (`horizontal`), upside down (`vertical`), or both, each by chance."""

    mode: str = "horizontal_and_vertical"
    numbers = 2

    def __post_init__(self) -> None:
        if self.mode not in _MODES:
            raise InvalidInput(f"RandomFlip: mode is {self.mode!r}; expected one of {', '.join(_MODES)}")

    def apply(self, xp: Any, x: Array, u: np.ndarray) -> Array:
        if self.mode != "vertical":
            x = xp.where(per_image(xp, u[:, 0], x) < 0.5, x[:, :, ::-1], x)
        if self.mode != "horizontal":
            x = xp.where(per_image(xp, u[:, 1], x) < 0.5, x[:, ::-1], x)
        return x


@dataclass(frozen=True)
class Pad(Augmentation):
    """A margin of `padding` pixels, or of (rows, columns): `constant` (`fill_value`), `edge` or `reflect`."""

    padding: int | tuple[int, int]
    mode: Literal["constant", "edge", "reflect"] = "constant"
    fill_value: float = 0.0

    def __post_init__(self) -> None:
        if min(self.margins) < 0 or self.mode not in ("constant", "edge", "reflect"):
            raise InvalidInput(
                f"Pad: padding {self.padding} by {self.mode!r}; expected no negative number, and constant, edge or "
                "reflect"
            )

    @property
    def margins(self) -> tuple[int, int]:
        """Rows and columns."""
        return (self.padding, self.padding) if isinstance(self.padding, int) else self.padding

    def apply(self, xp: Any, x: Array, u: np.ndarray) -> Array:
        rows, columns = self.margins
        value = {"constant_values": self.fill_value} if self.mode == "constant" else {}
        return xp.pad(x, ((0, 0), (rows, rows), (columns, columns), (0, 0)), mode=self.mode, **value)


@dataclass(frozen=True)
class RandomCrop(Augmentation):
    """A window of height × width pixels from a place of its own in each image.

    Args:
        padding: a margin of so many pixels of `fill_value` is put around the image first; with the image's own size as
            that of the window this is the usual augmentation of CIFAR.
    """

    height: int
    width: int
    padding: int = 0
    fill_value: float = 0.0
    numbers = 2

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 1 or self.padding < 0:
            raise InvalidInput(
                f"RandomCrop: {self.height}×{self.width} with padding {self.padding}; expected at least 1×1 and 0"
            )

    def apply(self, xp: Any, x: Array, u: np.ndarray) -> Array:
        if self.padding:
            x = Pad(self.padding, fill_value=self.fill_value).apply(xp, x, u)
        rows, columns = x.shape[1] - self.height + 1, x.shape[2] - self.width + 1
        if min(rows, columns) < 1:
            raise InvalidInput(
                f"RandomCrop: images of {x.shape[1]}×{x.shape[2]} pixels, padding included; expected at least "
                f"{self.height}×{self.width}"
            )
        windows = xp.lib.stride_tricks.sliding_window_view(x, (self.height, self.width), axis=(1, 2))
        top, left = (xp.asarray((u[:, i] * n).astype(np.int64)) for i, n in enumerate((rows, columns)))
        return xp.ascontiguousarray(windows.transpose(0, 1, 2, 4, 5, 3)[xp.arange(len(x)), top, left])


@dataclass(frozen=True)
class _Warp(Augmentation):
    """Base: a random affine map, and what lies outside of the image."""

    def __post_init__(self) -> None:
        checked_sampling(self.fill_mode, self.interpolation)  # type: ignore[attr-defined]
        self.matrices(np.full((1, self.numbers), 0.5), 8, 8)

    def matrices(self, u: np.ndarray, height: int, width: int) -> np.ndarray:
        """`(N, 2, 3)`; see `warped`."""
        raise NotImplementedError

    def apply(self, xp: Any, x: Array, u: np.ndarray) -> Array:
        made = self.matrices(u, *x.shape[1:3])
        return warped(xp, x, made, self.fill_mode, self.fill_value, self.interpolation)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class RandomRotation(_Warp):
    """Turned about the centre.

    Args:
        factor: as a share of a full turn, counter-clockwise: (lower, upper), or f for (-f, f).
        fill_mode: what lies outside: `reflect`, `constant`, `wrap` or `nearest`.
    """

    factor: Factor
    fill_mode: str = "reflect"
    interpolation: str = "bilinear"
    fill_value: float = 0.0
    numbers = 1

    def matrices(self, u: np.ndarray, height: int, width: int) -> np.ndarray:
        return _rotation(_between(u[:, 0], bounds(self.factor, "RandomRotation: factor", -1, 1)) * (2 * math.pi))


@dataclass(frozen=True)
class RandomTranslation(_Warp):
    """Moved down and to the right by shares of the height and width: (lower, upper), or f for (-f, f)."""

    height_factor: Factor
    width_factor: Factor
    fill_mode: str = "reflect"
    interpolation: str = "bilinear"
    fill_value: float = 0.0
    numbers = 2

    def matrices(self, u: np.ndarray, height: int, width: int) -> np.ndarray:
        made = _identity(len(u))
        made[:, 0, 2] = -height * _between(u[:, 0], bounds(self.height_factor, "RandomTranslation: height", -1, 1))
        made[:, 1, 2] = -width * _between(u[:, 1], bounds(self.width_factor, "RandomTranslation: width", -1, 1))
        return made


@dataclass(frozen=True)
class RandomZoom(_Warp):
    """Scaled about the centre: a factor of 0.2 shows 20 % more (the picture gets smaller), one of -0.2 shows 20 % less.

    Args:
        height_factor: (lower, upper), or f for (-f, f).
        width_factor: likewise; None takes for each image the height's, so that proportions stay.
    """

    height_factor: Factor
    width_factor: Factor | None = None
    fill_mode: str = "reflect"
    interpolation: str = "bilinear"
    fill_value: float = 0.0
    numbers = 2

    def matrices(self, u: np.ndarray, height: int, width: int) -> np.ndarray:
        made = _identity(len(u))
        made[:, 0, 0] += _between(u[:, 0], bounds(self.height_factor, "RandomZoom: height", -0.99, 10))
        if self.width_factor is None:
            made[:, 1, 1] = made[:, 0, 0]
        else:
            made[:, 1, 1] += _between(u[:, 1], bounds(self.width_factor, "RandomZoom: width", -0.99, 10))
        return made


@dataclass(frozen=True)
class RandomShear(_Warp):
    """Slanted about the centre: x_factor pixels sideways per pixel of height, y_factor down per pixel of width."""

    x_factor: Factor
    y_factor: Factor = 0.0
    fill_mode: str = "reflect"
    interpolation: str = "bilinear"
    fill_value: float = 0.0
    numbers = 2

    def matrices(self, u: np.ndarray, height: int, width: int) -> np.ndarray:
        made = _identity(len(u))
        made[:, 1, 0] = _between(u[:, 0], bounds(self.x_factor, "RandomShear: x_factor", -1, 1))
        made[:, 0, 1] = _between(u[:, 1], bounds(self.y_factor, "RandomShear: y_factor", -1, 1))
        return made


@dataclass(frozen=True)
class RandomAffine(_Warp):
    """Turned, scaled, slanted and moved at once, so that every image is interpolated only once.

    Args:
        rotation, zoom, shear: as the factors of `RandomRotation`, `RandomZoom` (proportions kept), `RandomShear` (x).
        translation: of height and width alike, as in `RandomTranslation`.
    """

    rotation: Factor = 0.0
    zoom: Factor = 0.0
    shear: Factor = 0.0
    translation: Factor = 0.0
    fill_mode: str = "reflect"
    interpolation: str = "bilinear"
    fill_value: float = 0.0
    numbers = 6

    def matrices(self, u: np.ndarray, height: int, width: int) -> np.ndarray:
        steps = (
            RandomTranslation(self.translation, self.translation).matrices(u[:, 4:6], height, width),
            RandomRotation(self.rotation).matrices(u[:, :1], height, width),
            RandomShear(self.shear).matrices(u[:, 1:3], height, width),
            RandomZoom(self.zoom).matrices(u[:, 3:5], height, width),
        )
        made = _identity(len(u))
        for step in reversed(steps):
            linear = made[:, :, :2] @ step[:, :, :2]
            offset = made[:, :, :2] @ step[:, :, 2:] + made[:, :, 2:]
            made = np.concatenate([linear, offset], axis=2)
        return made


def _identity(count: int) -> np.ndarray:
    return np.tile(np.eye(2, 3), (count, 1, 1))


def _rotation(angle: np.ndarray) -> np.ndarray:
    """Counter-clockwise, as it is seen: rows count downwards."""
    made = _identity(len(angle))
    made[:, 0, 0] = made[:, 1, 1] = np.cos(angle)
    made[:, 0, 1], made[:, 1, 0] = np.sin(angle), -np.sin(angle)
    return made


def _between(u: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    return limits[0] + u * (limits[1] - limits[0])
