"""Small ONNX graphs for the exporter's tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper

FLOAT = onnx.TensorProto.FLOAT


def model(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, list[int | str | None]],
    outputs: dict[str, list[int | str | None]],
    *,
    opset: int = 21,
    domains: tuple[str, ...] = (),
    **weights: np.ndarray,
) -> ir.Model:
    """A checked model of float inputs and outputs."""
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(n, FLOAT, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(n, FLOAT, s) for n, s in outputs.items()],
        [onnx.numpy_helper.from_array(a, n) for n, a in weights.items()],
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    return ir.from_proto(helper.make_model(graph, opset_imports=imports))


def convolutional(opset: int = 21, *, training: int = 0, **changes: Any) -> ir.Model:
    """Transpose, Conv, BatchNormalization, Relu, AveragePool, Dropout, Flatten, Gemm, Softmax on [N, 8, 8, 1]."""
    rng = np.random.default_rng(0)

    def weight(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32) * 0.3

    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["t", "w", "b"], ["c"], name="conv"),
        helper.make_node("BatchNormalization", ["c", "s", "o", "m", "v"], ["n"], training_mode=training),
        helper.make_node("Relu", ["n"], ["r"]),
        helper.make_node("AveragePool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Dropout", ["p", "ratio", "is_training"], ["d"]),
        helper.make_node("Flatten", ["d"], ["f"]),
        helper.make_node("Gemm", ["f", "dense", "dense_bias"], ["g"]),
        helper.make_node("Softmax", ["g"], ["y"], axis=-1),
        helper.make_node("Neg", ["g"], ["unused"]),
    ]
    return model(
        nodes,
        {"x": [changes.get("batch"), 8, 8, 1]},
        {"y": [None, 5]},
        opset=opset,
        w=weight(4, 1, 3, 3),
        b=weight(4),
        s=weight(4) + 1,
        o=weight(4),
        m=weight(4),
        v=np.abs(weight(4)) + 0.5,
        ratio=np.asarray(0.5, np.float32),
        is_training=np.asarray(True),
        dense=weight(36, 5),
        dense_bias=weight(5),
    )
