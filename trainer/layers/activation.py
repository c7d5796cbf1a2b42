"""Activations with arguments of their own, as layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx_ir as ir

from .. import activations, initializers, regularizers
from .base import Layer, LayerBuilder, Shape

__all__ = ["ELU", "LeakyReLU", "PReLU", "ReLU", "Softmax"]


class ReLU(Layer):
    """max_value above it, x above `threshold`, negative_slope · (x - threshold) below."""

    def __init__(
        self, max_value: float | None = None, negative_slope: float = 0.0, threshold: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.max_value = None if max_value is None else self._number("max_value", max_value)
        self.negative_slope = self._number("negative_slope", negative_slope)
        self.threshold = self._number("threshold", threshold)

    def _number(self, name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
            self.refuse(f"{name} is {value!r}, expected a number of at least 0")
        return float(value)

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        x = inputs[0]
        if self.threshold == 0 and self.negative_slope == 0:
            return g.Relu(x) if self.max_value is None else g.Clip(x, 0.0, self.max_value)
        if self.threshold == 0:
            y = g.LeakyRelu(x, alpha=self.negative_slope)
        else:
            below = g.Mul(g.Sub(x, self.threshold), self.negative_slope)
            y = g.Where(g.Greater(x, self.threshold), x, below)
        return y if self.max_value is None else g.Min(y, self.max_value)


class LeakyReLU(Layer):
    """x above 0, negative_slope · x below."""

    def __init__(self, negative_slope: float = 0.3, **kwargs: Any) -> None:
        negative_slope = kwargs.pop("alpha", negative_slope)  # its name before Keras 3
        super().__init__(**kwargs)
        self.negative_slope = float(negative_slope)

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        return activations.leaky_relu(g, inputs[0], self.negative_slope)


class PReLU(Layer):
    """x above 0, alpha · x below, alpha being learnt (He et al. 2015).

    One alpha per number of a sample; dimensions in `shared_axes` (1 is the first after the batch) share theirs.
    """

    def __init__(
        self,
        alpha_initializer: Any = "zeros",
        alpha_regularizer: Any = None,
        shared_axes: Sequence[int] | int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.alpha_regularizer = regularizers.get(alpha_regularizer)
        axes = (shared_axes,) if isinstance(shared_axes, int) else shared_axes
        self.shared_axes = None if axes is None else tuple(axes)

    def check(self, input_shape: Shape) -> None:
        shape = self._shape(input_shape)
        if None in shape:
            self.refuse(f"its input shape is {input_shape}; dimensions that are not in shared_axes must be known")
        if self.built and shape != self.alpha.shape:
            self.refuse(f"its input shape is {input_shape}, its alpha has shape {self.alpha.shape}")

    def build(self, input_shape: Any) -> None:
        shape = tuple(int(d) for d in self._shape(input_shape) if d is not None)
        self.alpha = self.add_weight("alpha", shape, self.alpha_initializer, self.alpha_regularizer)

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        return g.PRelu(inputs[0], self.alpha)

    def _shape(self, input_shape: Shape) -> Shape:
        shared = self.shared_axes or ()
        if any(not isinstance(a, int) or not 0 < a < len(input_shape) for a in shared):
            self.refuse(f"shared_axes is {shared}, expected numbers from 1 to {len(input_shape) - 1}")
        return tuple(1 if i in shared else d for i, d in enumerate(input_shape) if i)


class ELU(Layer):
    """x above 0, alpha · (exp(x) - 1) below (Clevert et al. 2016)."""

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = float(alpha)

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        return activations.elu(g, inputs[0], self.alpha)


class Softmax(Layer):
    """exp(x) / Σ exp(x) along `axis`."""

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis

    def check(self, input_shape: Shape) -> None:
        if not isinstance(self.axis, int) or not -len(input_shape) <= self.axis < len(input_shape):
            self.refuse(f"axis is {self.axis!r}, but its input has {len(input_shape)} dimensions: {input_shape}")

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        return activations.softmax(g, inputs[0], self.axis)
