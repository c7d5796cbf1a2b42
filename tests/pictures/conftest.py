"""Small models with known weights, and figures kept instead of written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from striate.pictures import architecture, confusion, curves, features, kernels, receptive, saliency
from striate.pictures.graphs import inference_graph

MODULES = (architecture, confusion, curves, features, kernels, receptive, saliency)

Make = Callable[..., ir.Model]


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that would have been written."""
    figures: list[Any] = []
    for module in MODULES:
        monkeypatch.setattr(module, "save", lambda figure, path: figures.append(figure))
    return figures


@pytest.fixture
def nowhere() -> Path:
    return Path("never-written.png")


def graph_of(
    nodes: list[onnx.NodeProto],
    weights: dict[str, np.ndarray],
    shape: tuple[int, ...],
    output: tuple[int | str, ...],
    dtype: int = TensorProto.FLOAT,
    opset: int = 21,
) -> ir.Model:
    """The graph from `x` to `y`, as pictures are drawn from it."""
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info("y", dtype, output)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return inference_graph(ir.from_proto(model))


def small_weights(dtype: type = np.float32) -> dict[str, np.ndarray]:
    """Of `small`: 3 → 4 maps, 4 → 6 maps, 6·3·4 → 5 scores."""
    rng = np.random.default_rng(3)
    shapes = {"w1": (4, 3, 3, 3), "b1": (4,), "w2": (6, 4, 3, 3), "k": (72, 5)}
    return {name: (0.4 * rng.standard_normal(shape)).astype(dtype) for name, shape in shapes.items()}


@pytest.fixture
def small() -> Make:
    """Convolution, ReLU, pooling, convolution, tanh, product, softmax, on images of 14×18."""

    def make(dtype: type = np.float32, opset: int = 21) -> ir.Model:
        node = helper.make_node
        nodes = [
            node("Conv", ["x", "w1", "b1"], ["c1"], "first/Conv", pads=[1, 1, 1, 1]),
            node("Relu", ["c1"], ["r1"], "first/Relu"),
            node("MaxPool", ["r1"], ["p1"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
            node("Conv", ["p1", "w2"], ["c2"], "second", strides=[2, 2]),
            node("Tanh", ["c2"], ["t2"], "tanh"),
            node("Flatten", ["t2"], ["f"], "flatten"),
            node("Gemm", ["f", "k"], ["s"], "scores"),
            node("Softmax", ["s"], ["y"], "softmax"),
        ]
        code = TensorProto.DOUBLE if dtype is np.float64 else TensorProto.FLOAT
        return graph_of(nodes, small_weights(dtype), (1, 3, 14, 18), (1, 5), code, opset)

    return make
