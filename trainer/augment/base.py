"""What every augmentation shares: where its random numbers come from, and how several are applied one after the other.

Image i of epoch e under a seed becomes the same whatever batch it comes in, and in whatever order: its numbers are
Philox's for the counter (i, e) under a key made from the seed and the place of the step in the sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...runtime.errors import InvalidInput
from ...runtime.random import derive, philox

__all__ = ["Augmentation", "Sequential", "bounds", "draws", "per_image"]

Array = Any

_LOW = 0xFFFFFFFF


class Augmentation:
    """One way to change images. `numbers` says how many random numbers an image needs."""

    numbers = 0
    mixes = False
    """Whether it mixes images, and their labels, in pairs."""

    def apply(self, xp: Any, x: Array, u: np.ndarray) -> Array:
        """Images `(N, H, W, C)` of a floating-point dtype on xp's device, changed; never in place.

        Args:
            u: `(N, numbers)` float64 in (0, 1), on the host.
        """
        raise NotImplementedError

    def __call__(
        self,
        x: Array,
        y: Array | None = None,
        *,
        seed: int = 0,
        epoch: int = 0,
        index: np.ndarray | None = None,
        data_format: str = "channels_last",
        xp: Any = np,
    ) -> Any:
        """As `Sequential([self], seed, data_format)`."""
        return Sequential([self], seed, data_format)(x, y, epoch=epoch, index=index, xp=xp)


class Sequential:
    """Augmentations one after the other.

    Args:
        layers: in the order in which they are applied.
        seed: decides, with the epoch and an image's index, what the image becomes.
        data_format: `channels_last` `(N, H, W, C)` or `channels_first` `(N, C, H, W)`.
    """

    def __init__(self, layers: Sequence[Augmentation], seed: int = 0, data_format: str = "channels_last") -> None:
        for layer in layers:
            if not isinstance(layer, Augmentation):
                raise InvalidInput(f"{layer!r} is no augmentation; expected for example augment.RandomFlip()")
        if data_format not in ("channels_last", "channels_first"):
            raise InvalidInput(f"data_format is {data_format!r}; expected 'channels_last' or 'channels_first'")
        self.layers = tuple(layers)
        self.data_format = data_format
        self._keys = [derive(seed, "augment", i, type(layer).__name__) for i, layer in enumerate(self.layers)]

    @property
    def mixes(self) -> bool:
        """Whether labels are mixed too, and must be given as `(N, classes)` of a floating-point dtype."""
        return any(layer.mixes for layer in self.layers)

    def __call__(
        self,
        x: Array,
        y: Array | None = None,
        *,
        epoch: int = 0,
        index: np.ndarray | None = None,
        pool: tuple[np.ndarray, np.ndarray] | None = None,
        xp: Any = np,
    ) -> Any:
        """The images changed, and their labels where labels are given.

        Args:
            x: images of a floating-point dtype, on xp's device.
            y: labels `(N, classes)`, on the same device; only `MixUp` needs and changes them.
            index: `(N,)` the numbers of the images in their data set, on the host; default 0 … N-1.
            pool: all images and labels of the data set, on the host, `index` being their numbers: partners to mix with
                are taken from them. Without it they come from the batch, so that what is mixed depends on the batch.
            xp: numpy or cupy.

        Returns:
            The images, or (images, labels) if `y` was given; dtypes are kept.

        Raises:
            InvalidInput: if these are no images, or labels to be mixed are not `(N, classes)`.
        """
        first = self.data_format == "channels_first"
        if x.ndim != 4 or x.dtype.kind != "f":
            axes = "(N, channels, height, width)" if first else "(N, height, width, channels)"
            raise InvalidInput(f"x is {x.dtype}{list(x.shape)}; expected floating-point images {axes}")
        if self.mixes and (y is None or y.ndim != 2 or y.dtype.kind != "f"):
            found = "missing" if y is None else f"{y.dtype}{list(y.shape)}"
            raise InvalidInput(f"labels are {found}; to mix images they must be floating-point (N, classes), one-hot")
        index = np.arange(len(x)) if index is None else np.asarray(index)
        if index.shape != (len(x),):
            raise InvalidInput(f"index has shape {index.shape}; expected one number for each of {len(x)} images")
        images = xp.moveaxis(x, 1, 3) if first else x
        images, labels = self._through(len(self.layers), images, y, epoch, index, pool, xp)
        images = xp.ascontiguousarray(xp.moveaxis(images, 3, 1)) if first else images
        return images if y is None else (images, labels)

    def _through(
        self,
        count: int,
        x: Array,
        y: Array | None,
        epoch: int,
        index: np.ndarray,
        pool: tuple[np.ndarray, np.ndarray] | None,
        xp: Any,
    ) -> tuple[Array, Array | None]:
        """The first `count` layers; what an image is mixed with went through the same layers before."""
        for i, layer in enumerate(self.layers[:count]):
            u = draws(self._keys[i], epoch, index, layer.numbers)
            if not layer.mixes:
                x = layer.apply(xp, x, u)
                continue
            share = layer.share(u[:, 0])  # type: ignore[attr-defined]
            if pool is None:
                partner = xp.asarray((u[:, 1] * len(x)).astype(np.int64))
                others, their_labels = x[partner], None if y is None else y[partner]
            else:
                numbers = (u[:, 1] * len(pool[0])).astype(np.int64)
                picked = pool[0][numbers]
                picked = np.moveaxis(picked, 1, 3) if self.data_format == "channels_first" else picked
                given = xp.asarray(picked), xp.asarray(pool[1][numbers])
                others, their_labels = self._through(i, *given, epoch, numbers, pool, xp)
            x = _mixed(xp, x, others, share)
            y = _mixed(xp, y, their_labels, share)
        return x, y


def draws(key: int, epoch: int, index: np.ndarray, numbers: int) -> np.ndarray:
    """`(N, numbers)` float64 in (0, 1): those of row i depend on (key, epoch, index[i]) alone."""
    count, blocks = len(index), -(-numbers // 4)
    if not numbers or not count:
        return np.empty((count, numbers))
    places = np.repeat(index.astype(np.uint64), blocks)
    block = np.tile(np.arange(blocks, dtype=np.uint64), count)
    words = philox(np, (places & _LOW, places >> np.uint64(32), epoch & _LOW, block), (key & _LOW, key >> 32))
    return (words.reshape(count, 4 * blocks)[:, :numbers] + 0.5) * 2.0**-32


def per_image(xp: Any, values: np.ndarray, x: Array) -> Array:
    """One value for each image as `(N, 1, 1, 1)` in the dtype of the images, on their device."""
    return xp.asarray(values.astype(x.dtype)).reshape(-1, 1, 1, 1)


def bounds(factor: float | tuple[float, float], name: str, least: float, most: float) -> tuple[float, float]:
    """The range that a factor stands for: (lower, upper), or a number f for (-f, f).

    Raises:
        InvalidInput: if it is no range, or leaves [least, most].
    """
    pair = (-factor, factor) if isinstance(factor, (int, float)) else tuple(factor)
    if len(pair) != 2 or not least <= pair[0] <= pair[1] <= most:
        raise InvalidInput(f"{name} is {factor}; expected a number, or two in order, between {least:g} and {most:g}")
    return float(pair[0]), float(pair[1])


def _mixed(xp: Any, ours: Array, others: Array, share: np.ndarray) -> Array:
    weight = xp.asarray(share.astype(ours.dtype)).reshape(-1, *[1] * (ours.ndim - 1))
    return ours * weight + others * (1 - weight)
