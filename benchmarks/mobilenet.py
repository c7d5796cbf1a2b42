"""MobileNet-v2 with random weights, as exporters write it: batch normalisation apart, activations as Clip.

M. Sandler et al., MobileNetV2: Inverted residuals and linear bottlenecks, 2018: width 1.0, 224×224, 1000 classes.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from striate.runtime.builder import OPSET, Builder

__all__ = ["mobilenet_v2"]

BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, output channels, how many in a row, stride of the first: the paper's table 2."""
STEM, HEAD, CLASSES = 32, 1280, 1000
EPSILON = 1e-5


def mobilenet_v2(seed: int = 0) -> bytes:
    """The model as a file's content; its batch is open."""
    x = ir.Value(name="image", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(["batch", 3, 224, 224]))
    graph = ir.Graph([x], [], nodes=[], opset_imports={"": OPSET}, name="mobilenet_v2")
    net = _Net(Builder(graph), np.random.default_rng(seed))
    y, channels = net.unit(x, 3, STEM, 3, stride=2), STEM
    for expansion, width, count, stride in BLOCKS:
        for i in range(count):
            y = net.block(y, channels, width, expansion, stride if i == 0 else 1)
            channels = width
    y = net.unit(y, channels, HEAD, 1)
    y = net.g.Flatten(net.g.GlobalAveragePool(y))
    w = net.normals((CLASSES, HEAD), HEAD)
    y = net.g.Gemm(y, w, np.zeros(CLASSES, np.float32), transB=1)
    graph.outputs.append(y)
    return ir.to_proto(ir.Model(graph, ir_version=10)).SerializeToString()


class _Net:
    def __init__(self, g: Builder, rng: np.random.Generator) -> None:
        self.g, self.rng = g, rng

    def normals(self, shape: tuple[int, ...], terms: int) -> np.ndarray:
        """Scaled by the number of terms of a sum, after He et al. (2015)."""
        return (self.rng.standard_normal(shape) * math.sqrt(2 / terms)).astype(np.float32)

    def unit(
        self, x: ir.Value, before: int, after: int, size: int, *, stride: int = 1, apart: bool = False, cut: bool = True
    ) -> ir.Value:
        """Convolution, batch normalisation, and unless it is linear the activation min(max(x, 0), 6)."""
        terms = size * size * (1 if apart else before)
        w = self.normals((after, 1 if apart else before, size, size), terms)
        y = self.g.Conv(
            x, w, strides=[stride] * 2, pads=[size // 2] * 4, group=before if apart else 1, kernel_shape=[size] * 2
        )
        draw = self.rng.uniform
        scale, shift = draw(0.8, 1.2, after), draw(-0.1, 0.1, after)
        mean, variance = draw(-0.1, 0.1, after), draw(0.8, 1.2, after)
        given = (a.astype(np.float32) for a in (scale, shift, mean, variance))
        y = self.g.BatchNormalization(y, *given, epsilon=EPSILON)
        return self.g.Clip(y, 0.0, 6.0) if cut else y

    def block(self, x: ir.Value, before: int, after: int, expansion: int, stride: int) -> ir.Value:
        """An inverted residual."""
        wide = before * expansion
        y = x if expansion == 1 else self.unit(x, before, wide, 1)
        y = self.unit(y, wide, wide, 3, stride=stride, apart=True)
        y = self.unit(y, wide, after, 1, cut=False)
        return self.g.Add(x, y) if stride == 1 and before == after else y
