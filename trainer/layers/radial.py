"""Output units that measure distances."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from .. import initializers
from .arguments import positive
from .base import Layer, LayerBuilder, Shape

__all__ = ["RBF"]


class RBF(Layer):
    """-Σ_j (x_j - w_ij)² over the last dimension: how near x is to each of `units` centres, 0 where it is the centre.

    (batch, …, numbers) → (batch, …, units). The output layer of LeNet-5 (LeCun, Bottou, Bengio, Haffner 1998) with its
    sign turned, so that the largest output is the answer, and softmax of it is a Gaussian mixture's posterior.
    Weight: centers (units, numbers).

    Args:
        centers_initializer: for given centres `initializers.Constant(rows)`, with `trainable=False` to keep them.
    """

    def __init__(self, units: int, centers_initializer: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = positive(self, "units", units)
        if centers_initializer is None:
            centers_initializer = initializers.RandomUniform(-1.0, 1.0)
        self.centers_initializer = initializers.get(centers_initializer)

    def check(self, input_shape: Shape) -> None:
        if len(input_shape) < 2 or input_shape[-1] is None:
            self.refuse(f"its input shape is {input_shape}, expected at least 2 dimensions of which the last is known")
        if self.built and self.centers.shape[1] != input_shape[-1]:
            self.refuse(f"its input shape is {input_shape}, its centres have {self.centers.shape[1]} numbers")

    def build(self, input_shape: Any) -> None:
        self.centers = self.add_weight("centers", (self.units, input_shape[-1]), self.centers_initializer)

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        x = inputs[0]
        assert x.shape is not None
        numbers = self.centers.shape[1]
        apart = g.Sub(g.Reshape(x, [0] * (len(x.shape) - 1) + [1, numbers]), self.centers)
        return g.MatMul(g.Mul(apart, apart), np.full(numbers, -1, np.float32))
