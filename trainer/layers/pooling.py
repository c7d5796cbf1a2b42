"""Pooling over windows, and over all positions at once."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import onnx_ir as ir

from .arguments import SpatialLayer, one_of, sizes, window_pads
from .base import LayerBuilder, Shape

__all__ = [
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "L2Pooling1D",
    "L2Pooling2D",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
    "Pooling",
]


class Pooling(SpatialLayer):
    """One number per window and channel; windows do not overlap unless `strides` says so."""

    op = ""
    attributes: Mapping[str, Any] = MappingProxyType({})

    def __init__(
        self,
        pool_size: Any = 2,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.pool_size = sizes(self, "pool_size", pool_size, self.rank)
        self.strides = self.pool_size if strides is None else sizes(self, "strides", strides, self.rank)
        self.padding = one_of(self, "padding", padding, ("valid", "same"))

    def check(self, input_shape: Shape) -> None:
        super().check(input_shape)
        if self.padding == "valid":
            self.check_window(input_shape, self.pool_size, (1,) * self.rank, "window")

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        x = self.to_channels_first(g, inputs[0])
        pads = window_pads(self.padding, self.spatial_of(x), self.pool_size, self.strides, (1,) * self.rank)
        y = g.op(self.op, x, kernel_shape=self.pool_size, strides=self.strides, **self.attributes, **pads)
        return self.from_channels_first(g, y)


class _MaxPooling(Pooling):
    op = "MaxPool"


class _AveragePooling(Pooling):
    op = "AveragePool"


class _L2Pooling(Pooling):
    op = "LpPool"
    attributes = MappingProxyType({"p": 2})


class MaxPooling1D(_MaxPooling):
    """The largest number of each window along one dimension."""

    rank = 1


class MaxPooling2D(_MaxPooling):
    """The largest number of each window of an image."""

    rank = 2


class MaxPooling3D(_MaxPooling):
    """The largest number of each window of a volume."""

    rank = 3


class AveragePooling1D(_AveragePooling):
    """The mean of each window along one dimension; padding does not count."""

    rank = 1


class AveragePooling2D(_AveragePooling):
    """The mean of each window of an image; padding does not count."""

    rank = 2


class AveragePooling3D(_AveragePooling):
    """The mean of each window of a volume; padding does not count."""

    rank = 3


class L2Pooling1D(_L2Pooling):
    """sqrt(Σ x²) over each window along one dimension; padding counts as 0."""

    rank = 1


class L2Pooling2D(_L2Pooling):
    """sqrt(Σ x²) over each window of an image; padding counts as 0."""

    rank = 2


class _GlobalPooling(SpatialLayer):
    """One number per channel; `keepdims` keeps the spatial dimensions, as 1."""

    op = ""

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.keepdims = bool(keepdims)

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        y = g.op(self.op, self.to_channels_first(g, inputs[0]))
        return self.from_channels_first(g, y) if self.keepdims else g.Flatten(y, axis=1)


class _GlobalAveragePooling(_GlobalPooling):
    op = "GlobalAveragePool"


class _GlobalMaxPooling(_GlobalPooling):
    op = "GlobalMaxPool"


class GlobalAveragePooling1D(_GlobalAveragePooling):
    """The mean of each channel over all steps."""

    rank = 1


class GlobalAveragePooling2D(_GlobalAveragePooling):
    """The mean of each channel over the whole image."""

    rank = 2


class GlobalAveragePooling3D(_GlobalAveragePooling):
    """The mean of each channel over the whole volume."""

    rank = 3


class GlobalMaxPooling1D(_GlobalMaxPooling):
    """The largest number of each channel over all steps."""

    rank = 1


class GlobalMaxPooling2D(_GlobalMaxPooling):
    """The largest number of each channel over the whole image."""

    rank = 2


class GlobalMaxPooling3D(_GlobalMaxPooling):
    """The largest number of each channel over the whole volume."""

    rank = 3
