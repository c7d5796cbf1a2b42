"""Types and shapes of one node's outputs, from ONNX's own inference where the specification has the operator."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import onnx
import onnx_ir as ir

from .errors import InvalidGraph, InvalidInput
from .ops import registry

Dim = int | str | None
Type = tuple[ir.DataType | None, tuple[Dim, ...] | None]

_DATA_LIMIT = 1 << 12  # constants up to this many elements are shown to the inference: shapes, axes, repeats, ...


def value_type(value: ir.Value) -> Type:
    """(dtype, dims) of a value; dims are ints, names, or None; `(None, None)` where nothing is known."""
    return value.dtype, None if value.shape is None else dims(value.shape)


def dims(shape: ir.Shape) -> tuple[Dim, ...]:
    """The dimensions of an onnx_ir shape as plain ints, names and None."""
    return tuple(d if isinstance(d, int) else d.value for d in shape)


def set_type(value: ir.Value, dtype: ir.DataType | None, shape: Sequence[Dim] | None) -> None:
    """Writes what is known of a value's type and shape onto it."""
    if dtype is not None:
        value.dtype = dtype
    value.shape = None if shape is None else ir.Shape(shape)


def constant(value: ir.Value | None) -> np.ndarray | None:
    """The array a value is known to hold at build time, or None; a default that the caller may replace is not known."""
    if value is None or value.const_value is None or value.is_graph_input():
        return None
    return value.const_value.numpy()


def infer(node: ir.Node, version: int) -> list[ir.TypeAndShape | None]:
    """Types of the node's outputs; None where nothing can be said.

    Raises:
        InvalidGraph: if the inputs contradict the operator's specification.
    """
    own = registry.find(node.domain, node.op_type, version)
    if own is not None and own.infer is not None:
        try:
            return [t if isinstance(t, ir.TypeAndShape) else _known(t) for t in own.infer(node)][: len(node.outputs)]
        except (InvalidGraph, InvalidInput) as error:
            raise type(error)(f"node {node.name or node.op_type!r} ({node.op_type}): {error}") from None
    schema = _schema(node.op_type, version, node.domain)
    if schema is None or _has_subgraph(node):
        return [None] * len(node.outputs)
    proto = _node_proto(node)
    types: dict[str, onnx.TypeProto] = {}
    data: dict[str, onnx.TensorProto] = {}
    for name, value in zip(_input_names(node), node.inputs, strict=True):
        if value is None:
            continue
        known = type_proto(value)
        if known is None:
            return [None] * len(node.outputs)
        types[name] = known
        tensor = None if value.is_graph_input() else value.const_value
        if tensor is not None and tensor.size <= _DATA_LIMIT and tensor.dtype != ir.DataType.STRING:
            data[name] = ir.serde.serialize_tensor(tensor)
    try:
        inferred = onnx.shape_inference.infer_node_outputs(
            schema, proto, types, data, opset_imports=[onnx.helper.make_opsetid(node.domain, version)]
        )
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, RuntimeError, ValueError) as error:
        reason = str(error).replace("\n", " ").removeprefix("[ShapeInferenceError] ")
        raise InvalidGraph(f"node {node.name or node.op_type!r} ({node.op_type}): {reason}") from None
    return [_from_proto(inferred[f"o{i}"]) if f"o{i}" in inferred else None for i in range(len(node.outputs))]


def annotate(node: ir.Node, version: int) -> None:
    """Writes inferred types onto the node's outputs, keeping what was known where inference is silent."""
    for value, found in zip(node.outputs, infer(node, version), strict=True):
        if found is None:
            continue
        if found.type is not None:
            value.type = found.type
        if found.shape is not None:
            value.shape = found.shape


def annotate_graph(graph: ir.Graph) -> None:
    """`annotate` for every node of a graph."""
    for node in graph:
        annotate(node, graph.opset_imports.get(node.domain, 1))


def _known(result: Type | None) -> ir.TypeAndShape | None:
    if result is None or result[0] is None:
        return None
    dtype, shape = result
    assert dtype is not None
    return ir.TypeAndShape(ir.TensorType(dtype), None if shape is None else ir.Shape(shape))


def _from_proto(proto: onnx.TypeProto) -> ir.TypeAndShape | None:
    if "map_type" in (proto.WhichOneof("value"), proto.sequence_type.elem_type.WhichOneof("value")):
        return None  # onnx_ir has no maps
    return ir.TypeAndShape(
        ir.serde.deserialize_type_proto_for_type(proto), ir.serde.deserialize_type_proto_for_shape(proto)
    )


@cache
def _schema(name: str, version: int, domain: str) -> onnx.defs.OpSchema | None:
    try:
        return onnx.defs.get_schema(name, version, domain)
    except onnx.defs.SchemaError:
        return None


def _input_names(node: ir.Node) -> list[str]:
    return [f"i{i}" if value is not None else "" for i, value in enumerate(node.inputs)]


def _has_subgraph(node: ir.Node) -> bool:
    return any(a.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for a in node.attributes.values())


def _node_proto(node: ir.Node) -> onnx.NodeProto:
    proto = onnx.NodeProto(op_type=node.op_type, domain=node.domain, name=node.name or "")
    proto.input.extend(_input_names(node))
    proto.output.extend(f"o{i}" for i in range(len(node.outputs)))
    for attribute in node.attributes.values():
        ir.serde.serialize_attribute_into(proto.attribute.add(), attribute)
    return proto


def type_proto(value: ir.Value) -> onnx.TypeProto | None:
    """The ONNX type of a value, with its shape where it is a tensor; None where nothing is known."""
    if value.type is None:
        return None
    if isinstance(value.type, ir.TensorType):
        return onnx.helper.make_tensor_type_proto(
            value.type.dtype.value, None if value.shape is None else dims(value.shape)
        )
    return ir.serde.serialize_type(value.type)
