"""LeCun's trainable subsampling."""

from __future__ import annotations

from math import prod
from typing import Any

import onnx_ir as ir

from .. import activations, initializers, regularizers
from .arguments import one_of, window_pads
from .base import LayerBuilder, Shape
from .parameter import Layout, Parameter
from .pooling import Pooling

__all__ = ["Subsampling2D"]


class Subsampling2D(Pooling):
    """activation(coefficient · (sum or mean of each window) + bias): two weights per map, as S2 and S4 of LeNet-5 have.

    (batch, height, width, channels) → (batch, new height, new width, channels). Source: LeCun, Bottou, Bengio,
    Haffner 1998, who take the sum. Weights: coefficient (channels,) and bias (channels,).

    Args:
        mode: "sum" or "mean"; padding counts as 0 in a sum, and not at all in a mean.
        coefficient_initializer: default: what makes it the mean at first.
    """

    rank = 2

    def __init__(
        self,
        pool_size: Any = 2,
        strides: Any = None,
        padding: str = "valid",
        activation: Any = None,
        mode: str = "sum",
        data_format: str | None = None,
        coefficient_initializer: Any = None,
        bias_initializer: Any = "zeros",
        coefficient_regularizer: Any = None,
        bias_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, **kwargs)
        self.mode = one_of(self, "mode", mode, ("sum", "mean"))
        self.activation = activations.get(activation)
        if coefficient_initializer is None:
            coefficient_initializer = initializers.Constant(1.0 / self.summed)
        self.coefficient_initializer = initializers.get(coefficient_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.coefficient_regularizer = regularizers.get(coefficient_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)

    @property
    def summed(self) -> int:
        """How many numbers a coefficient multiplies."""
        return prod(self.pool_size) if self.mode == "sum" else 1

    def check(self, input_shape: Shape) -> None:
        super().check(input_shape)
        channels = self.channels(input_shape)
        if self.built and self.coefficient.size != channels:
            self.refuse(f"its input shape is {input_shape}, its coefficients are for {self.coefficient.size} maps")

    def build(self, input_shape: Any) -> None:
        channels = self.channels(input_shape)
        self.coefficient = self._per_map("coefficient", channels, self.coefficient_initializer)
        self.bias = self._per_map("bias", channels, self.bias_initializer)

    def _per_map(self, name: str, channels: int, initializer: initializers.Initializer) -> Parameter:
        return self.add_weight(
            name,
            (channels,),
            initializers.with_fans(initializer, prod(self.pool_size), 1),
            getattr(self, f"{name}_regularizer"),
            layout=Layout((channels, 1, 1), (channels,), (0,)),
        )

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        x = self.to_channels_first(g, inputs[0])
        geometry = window_pads(self.padding, self.spatial_of(x), self.pool_size, self.strides, (1, 1))
        summing = self.mode == "sum"
        y = g.AveragePool(
            x, kernel_shape=self.pool_size, strides=self.strides, count_include_pad=int(summing), **geometry
        )
        scale = g.Mul(self.coefficient, float(self.summed)) if summing else self.coefficient
        return self.finish(g, g.Add(g.Mul(y, scale), self.bias))
