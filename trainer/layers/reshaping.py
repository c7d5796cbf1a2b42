"""Layers that move numbers: Flatten, Reshape, Permute, shuffling, padding, cropping, upsampling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from ...runtime.inference import set_type, value_type
from .arguments import SpatialLayer, data_format_of, one_of, positive, sizes
from .base import Layer, LayerBuilder, Shape

__all__ = [
    "ChannelShuffle",
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "Flatten",
    "Permute",
    "Reshape",
    "UpSampling1D",
    "UpSampling2D",
    "UpSampling3D",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
]

_TO_THE_END = np.iinfo(np.int64).max


class Flatten(Layer):
    """(batch, …) → (batch, numbers), channels-first inputs in the order of channels-last ones, as in Keras."""

    accepts_integers = True

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = data_format_of(self, data_format)

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        x = inputs[0]
        assert x.shape is not None
        rank = len(x.shape)
        if self.data_format == "channels_first" and rank > 2:
            x = g.Transpose(x, perm=[0, *range(2, rank), 1])
        return g.Flatten(x, axis=1)


class Reshape(Layer):
    """(batch, …) → (batch, *target_shape); one of its numbers may be -1: whatever fits."""

    accepts_integers = True

    def __init__(self, target_shape: Sequence[int] | int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target_shape = tuple(target_shape) if isinstance(target_shape, (list, tuple)) else (target_shape,)
        valid = all(isinstance(d, int) and (d > 0 or d == -1) for d in self.target_shape)
        if not valid or self.target_shape.count(-1) > 1:
            self.refuse(f"target_shape is {target_shape!r}, expected integers above 0, of which one may be -1")

    def check(self, input_shape: Shape) -> None:
        if all(d is not None for d in input_shape[1:]):
            self._resolved(input_shape)

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        x = inputs[0]
        assert x.shape is not None
        shape = tuple(d if isinstance(d, int) else None for d in x.shape)
        target = self.target_shape if None in shape[1:] else self._resolved(shape)
        return g.Reshape(x, [0, *target])

    def _resolved(self, input_shape: Shape) -> tuple[int, ...]:
        """The target without -1."""
        size = math.prod(d for d in input_shape[1:] if d is not None)
        known = math.prod(d for d in self.target_shape if d != -1)
        if size % known or (-1 not in self.target_shape and size != known):
            self.refuse(
                f"its input shape {input_shape} has {size} numbers per sample, which cannot be arranged as "
                f"target_shape {self.target_shape}"
            )
        return tuple(size // known if d == -1 else d for d in self.target_shape)


class Permute(Layer):
    """Reorders the dimensions of each sample; `dims` counts from 1, which is the first after the batch."""

    accepts_integers = True

    def __init__(self, dims: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dims = tuple(dims) if isinstance(dims, (list, tuple)) else (dims,)
        if list(range(1, len(self.dims) + 1)) != sorted(self.dims, key=repr):
            self.refuse(f"dims is {dims!r}, expected an order of the numbers 1 to {len(self.dims)}")

    def check(self, input_shape: Shape) -> None:
        if len(input_shape) != len(self.dims) + 1:
            self.refuse(
                f"its input shape is {input_shape}, expected {len(self.dims) + 1} dimensions for dims {self.dims}"
            )

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        return g.Transpose(inputs[0], perm=[0, *self.dims])


class ChannelShuffle(SpatialLayer):
    """Deals the channels of `groups` groups out in turn: channel i of group j becomes channel i · groups + j.

    (batch, height, width, channels) → the same (Zhang et al. 2018, ShuffleNet).
    """

    rank = 2

    def __init__(self, groups: int, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.groups = positive(self, "groups", groups)

    def check(self, input_shape: Shape) -> None:
        super().check(input_shape)
        channels = self.channels(input_shape)
        if channels % self.groups:
            self.refuse(
                f"its input shape is {input_shape}: {channels} channels cannot be divided into {self.groups} groups"
            )

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        x = self.to_channels_first(g, inputs[0])
        dtype, shape = value_type(x)
        assert shape is not None
        channels, *space = (d if isinstance(d, int) else 0 for d in shape[1:])
        split = g.Reshape(x, [0, self.groups, channels // self.groups, *(space if all(space) else [-1])])
        turned = g.Transpose(split, perm=[0, 2, 1, *range(3, 5 if all(space) else 4)])
        y = g.Reshape(turned, [0, channels, *space] if all(space) else g.Shape(x))
        set_type(y, dtype, shape)
        return self.from_channels_first(g, y)


class _Margins(SpatialLayer):
    """Reads a margin as Keras does: one int; one per dimension; or a pair (before, after) per dimension."""

    accepts_integers = True

    def margins(self, name: str, value: Any) -> tuple[tuple[int, int], ...]:
        if isinstance(value, int):
            pairs: Any = ((value, value),) * self.rank
        elif self.rank == 1 and len(value) == 2 and all(isinstance(v, int) for v in value):
            pairs = (tuple(value),)
        else:
            pairs = tuple((v, v) if isinstance(v, int) else tuple(v) for v in value)
        if len(pairs) != self.rank or not all(
            len(p) == 2 and all(isinstance(v, int) and v >= 0 for v in p) for p in pairs
        ):
            self.refuse(f"{name} is {value!r}, expected integers of at least 0: one, {self.rank}, or {self.rank} pairs")
        return pairs

    @property
    def first_spatial(self) -> int:
        return 1 if self.last else 2


class _ZeroPadding(_Margins):
    """Zeros around each sample."""

    def __init__(self, padding: Any = 1, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.padding = self.margins("padding", padding)

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        rank = self.rank + 2
        pads = [0] * 2 * rank
        for i, (before, after) in enumerate(self.padding, self.first_spatial):
            pads[i], pads[i + rank] = before, after
        return g.Pad(inputs[0], pads)


class ZeroPadding1D(_ZeroPadding):
    """Zeros before and after the steps."""

    rank = 1


class ZeroPadding2D(_ZeroPadding):
    """Zeros around images: `padding=((top, bottom), (left, right))`."""

    rank = 2


class ZeroPadding3D(_ZeroPadding):
    """Zeros around volumes."""

    rank = 3


class _Cropping(_Margins):
    """Cuts margins off each sample."""

    def __init__(self, cropping: Any = 0, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.cropping = self.margins("cropping", cropping)

    def check(self, input_shape: Shape) -> None:
        super().check(input_shape)
        for size, pair in zip(self.spatial(input_shape), self.cropping, strict=True):
            if size is not None and size <= sum(pair):
                self.refuse(f"its input shape is {input_shape}, cropping {self.cropping} would leave nothing of it")

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        starts = [before for before, _ in self.cropping]
        ends = [-after if after else _TO_THE_END for _, after in self.cropping]
        axes = list(range(self.first_spatial, self.first_spatial + self.rank))
        return g.Slice(inputs[0], starts, ends, axes)


class Cropping1D(_Cropping):
    """Cuts steps off both ends."""

    rank = 1

    def __init__(self, cropping: Any = (1, 1), data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(cropping, data_format, **kwargs)


class Cropping2D(_Cropping):
    """Cuts margins off images: `cropping=((top, bottom), (left, right))`."""

    rank = 2


class Cropping3D(_Cropping):
    """Cuts margins off volumes."""

    rank = 3

    def __init__(self, cropping: Any = 1, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(cropping, data_format, **kwargs)


class _UpSampling(SpatialLayer):
    """Repeats each number `size` times along each dimension, or interpolates between them."""

    interpolations: tuple[str, ...] = ("nearest",)

    def __init__(
        self, size: Any = 2, data_format: str | None = None, interpolation: str = "nearest", **kwargs: Any
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.size = sizes(self, "size", size, self.rank)
        self.interpolation = one_of(self, "interpolation", interpolation, self.interpolations)

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        x = self.to_channels_first(g, inputs[0])
        scales = np.asarray([1, 1, *self.size], np.float32)
        how: dict[str, Any] = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
        if self.interpolation == "nearest":
            how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self.from_channels_first(g, g.Resize(x, None, scales, **how))


class UpSampling1D(_UpSampling):
    """Repeats each step."""

    rank = 1


class UpSampling2D(_UpSampling):
    """Enlarges images: `interpolation` is "nearest" or "bilinear" (pixel centres aligned, edges repeated)."""

    rank = 2
    interpolations = ("nearest", "bilinear")


class UpSampling3D(_UpSampling):
    """Enlarges volumes by repeating."""

    rank = 3
