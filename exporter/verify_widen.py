"""A model in float64 where it was in a narrower floating-point type: the oracle that says whose error is larger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, NodeProto, TensorProto

from ..runtime.dtypes import is_float

__all__ = ["wide", "widen"]

_NARROW = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16)
_TYPE_ATTRIBUTES = frozenset(("to", "dtype", "stash_type", "output_dtype", "softmax_precision"))
"""Attributes that name a data type."""


def wide(value: Any) -> Any:
    """A value with its float32, float16 and bfloat16 tensors in float64."""
    if isinstance(value, list):
        return [wide(item) for item in value]
    if isinstance(value, np.ndarray) and is_float(value.dtype) and _is_narrow(value.dtype):
        return value.astype(np.float64)
    return value


def _is_narrow(dtype: np.dtype) -> bool:
    return dtype.name in ("float32", "float16", "bfloat16")


def widen(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a model, all its types, stored tensors, casts and constants widened."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    _widen_graph(made.graph)
    for function in made.functions:
        _widen_nodes(function.node)
        for attribute in function.attribute_proto:
            _widen_attribute(attribute)
        for info in function.value_info:
            _widen_type(info.type)
    return made


def _widen_graph(graph: onnx.GraphProto) -> None:
    for info in (*graph.input, *graph.output, *graph.value_info):
        _widen_type(info.type)
    for tensor in graph.initializer:
        _widen_tensor(tensor)
    _widen_nodes(graph.node)


def _widen_type(kind: onnx.TypeProto) -> None:
    which = kind.WhichOneof("value")
    if which == "tensor_type" and kind.tensor_type.elem_type in _NARROW:
        kind.tensor_type.elem_type = TensorProto.DOUBLE
    elif which in ("sequence_type", "optional_type"):
        _widen_type(getattr(kind, which).elem_type)


def _widen_tensor(tensor: onnx.TensorProto) -> None:
    if tensor.data_type in _NARROW:
        name = tensor.name
        tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor).astype(np.float64), name))


def _widen_nodes(nodes: Sequence[NodeProto]) -> None:
    for node in nodes:
        for attribute in node.attribute:
            _widen_attribute(attribute)
        if node.op_type in _NAMED_TYPE and not node.domain:
            _name_type(node)


_NAMED_TYPE = frozenset(("ConstantOfShape", "RandomNormal", "RandomUniform", "SequenceEmpty", "EyeLike"))
"""Operators whose result is float32 unless an attribute says otherwise; of EyeLike the input's type decides."""


def _name_type(node: NodeProto) -> None:
    given = {a.name for a in node.attribute}
    if node.op_type == "ConstantOfShape" and "value" not in given:
        node.attribute.append(onnx.helper.make_attribute("value", onnx.numpy_helper.from_array(np.zeros(1))))
    elif node.op_type in ("RandomNormal", "RandomUniform", "SequenceEmpty") and "dtype" not in given:
        node.attribute.append(onnx.helper.make_attribute("dtype", TensorProto.DOUBLE))


def _widen_attribute(attribute: AttributeProto) -> None:
    if attribute.type == AttributeProto.TENSOR:
        _widen_tensor(attribute.t)
    elif attribute.type == AttributeProto.INT and attribute.name in _TYPE_ATTRIBUTES and attribute.i in _NARROW:
        attribute.i = TensorProto.DOUBLE
    elif attribute.name in ("value_float", "value_floats"):
        array = np.asarray(attribute.f if attribute.name == "value_float" else list(attribute.floats), np.float64)
        attribute.CopyFrom(onnx.helper.make_attribute("value", onnx.numpy_helper.from_array(array)))
    elif attribute.HasField("g"):
        _widen_graph(attribute.g)
    else:
        for graph in attribute.graphs:
            _widen_graph(graph)
