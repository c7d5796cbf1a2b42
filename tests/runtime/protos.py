"""Small ONNX files for the tests of reader, session and backend."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

WEIGHTS = np.arange(6, dtype=np.float32).reshape(3, 2) - 2.5


def tensor_info(name: str, dims: Sequence[Any] | None, code: int = onnx.TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, code, dims)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    initializers: Sequence[onnx.TensorProto] = (),
    *,
    opset: int = 21,
    ir_version: int = 10,
    **kwargs: Any,
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "graph", inputs, outputs, list(initializers))
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version, producer_name="tests", **kwargs)


def dense(**kwargs: Any) -> onnx.ModelProto:
    """z = Relu(y), y = x w + b for x of [N, 3]; outputs z and y."""
    return model(
        [
            helper.make_node("Gemm", ["x", "w", "b"], ["y"], name="dense"),
            helper.make_node("Relu", ["y"], ["z"], name="relu"),
        ],
        [tensor_info("x", ["N", 3])],
        [tensor_info("z", ["N", 2]), tensor_info("y", ["N", 2])],
        [numpy_helper.from_array(WEIGHTS, "w"), numpy_helper.from_array(np.ones(2, np.float32), "b")],
        **kwargs,
    )


def dense_result(x: np.ndarray) -> np.ndarray:
    """What `dense` computes as y."""
    return x @ WEIGHTS + 1


def save(proto: onnx.ModelProto | bytes, path: Path) -> Path:
    path.write_bytes(proto if isinstance(proto, bytes) else proto.SerializeToString())
    return path


def make_external(tensor: onnx.TensorProto, location: str, **entries: Any) -> bytes:
    """Points a tensor at an external file; returns the bytes that belong there."""
    content = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    return content


def nested(depth: int) -> bytes:
    """A model with `depth` graphs inside one another, encoded by hand: protobuf refuses to build deep ones."""
    graph = _graph(_field(1, _field(1, b"x") + _field(2, b"y") + _field(4, b"Identity")))
    leaf = graph
    for _ in range(depth):
        branches = ((b"then_branch", graph), (b"else_branch", leaf))
        attributes = (_field(5, _field(1, name) + _field(6, body) + b"\xa0\x01\x05") for name, body in branches)
        graph = _graph(_field(1, _field(1, b"c") + _field(2, b"y") + _field(4, b"If") + b"".join(attributes)))
    inputs = b"".join(
        _field(11, tensor_info(name, dims, code).SerializeToString())
        for name, dims, code in (("x", [2], 1), ("c", [], 9))
    )
    return b"\x08\x0a" + _field(7, graph + inputs) + _field(8, b"\x10\x15")


def _graph(node: bytes) -> bytes:
    return node + _field(2, b"g") + _field(12, tensor_info("y", [2]).SerializeToString())


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    more = value >> 7
    return bytes([value & 0x7F | (0x80 if more else 0)]) + (_varint(more) if more else b"")
