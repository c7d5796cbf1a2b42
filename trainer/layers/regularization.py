"""Layers that only act while training."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from .base import Layer, LayerBuilder

__all__ = ["Dropout"]


class Dropout(Layer):
    """While training sets numbers to 0 with probability `rate` and multiplies the rest by 1 / (1 - rate).

    Srivastava et al. 2014. The seed of the training run decides which, unless the layer has a `seed` of its own.
    """

    def __init__(self, rate: float, noise_shape: Any = None, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate < 1:
            self.refuse(f"rate is {rate!r}, expected a number from 0 up to below 1")
        if noise_shape is not None:
            self.refuse("noise_shape is not supported; leave it out")
        self.rate = float(rate)
        self.noise_shape = None
        self.seed = seed

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        return g.Dropout(inputs[0], self.rate, seed=self.seed) if self.rate else inputs[0]
