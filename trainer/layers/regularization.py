"""Layers that only act while training."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from .base import Layer, LayerBuilder

__all__ = ["PER_SAMPLE", "Dropout", "StochasticDepth"]

PER_SAMPLE = "striate.per_sample"
"""Among the `metadata_props` of a Dropout node: training drops whole samples, not single numbers."""


class Dropout(Layer):
    """While training sets numbers to 0 with probability `rate` and multiplies the rest by 1 / (1 - rate).

    Srivastava et al. 2014. The seed of the training run decides which, unless the layer has a `seed` of its own.
    """

    def __init__(self, rate: float, noise_shape: Any = None, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if noise_shape is not None:
            self.refuse("noise_shape is not supported; leave it out")
        self.rate = _rate(self, rate)
        self.noise_shape = None
        self.seed = seed

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        return g.Dropout(inputs[0], self.rate, seed=self.seed) if self.rate else inputs[0]


class StochasticDepth(Layer):
    """While training makes whole samples 0 with probability `rate` and multiplies the rest by 1 / (1 - rate).

    At the end of a residual branch, before the addition, it drops the branch for that sample (Huang et al. 2016).
    The seed of the training run decides which, unless the layer has a `seed` of its own.
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = _rate(self, rate)
        self.seed = seed

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        if not self.rate:
            return inputs[0]
        y = g.Dropout(inputs[0], self.rate, seed=self.seed)
        y.producer().metadata_props[PER_SAMPLE] = "1"
        return y


def _rate(layer: Layer, rate: Any) -> float:
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate < 1:
        layer.refuse(f"rate is {rate!r}, expected a number from 0 up to below 1")
    return float(rate)
