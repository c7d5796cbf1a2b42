"""Types and shapes of one node's outputs, from ONNX's own inference where the specification has the operator."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from . import dtypes
from .errors import InvalidGraph, InvalidInput
from .ops import registry

Dim = int | str | None
Type = tuple[ir.DataType | None, tuple[Dim, ...] | None]

_DATA_LIMIT = 1 << 12  # constants up to this many elements are shown to the inference: shapes, axes, repeats, ...
_INT32 = range(-(1 << 31), 1 << 31)
_VARIADIC = onnx.defs.OpSchema.FormalParameterOption.Variadic


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


def is_constant(value: ir.Value | None) -> bool:
    """Whether `constant` would return an array, which may have to be read from a file or computed first."""
    return value is not None and value.const_value is not None and not value.is_graph_input()


FOLDED = "dequantised"
"""Key in the `meta` of an initializer: see `dequantised`."""


def dequantised(value: ir.Value | None) -> tuple[Sequence[np.ndarray | None], int] | None:
    """The constant inputs and the axis of the DequantizeLinear that a value is, or was before it was folded."""
    if value is None or value.is_graph_input():
        return None
    node = value.producer()
    if node is None:
        return value.meta.get(FOLDED)
    arrays = [constant(v) for v in node.inputs]
    if node.op_type != "DequantizeLinear" or node.domain or arrays[0] is None or arrays[1] is None:
        return None
    axis = node.attributes.get("axis")
    return arrays, 1 if axis is None else axis.as_int()


def infer(node: ir.Node, version: int) -> list[ir.TypeAndShape | None]:
    """Types of the node's outputs; None where nothing can be said.

    Raises:
        InvalidGraph: if the inputs contradict the operator's specification.
    """
    own, schema = registry.find(node.domain, node.op_type, version), _schema(node.op_type, version, node.domain)
    if schema is not None:
        _check_types(node, schema)
    if own is not None and own.infer is not None:
        try:
            return [t if isinstance(t, ir.TypeAndShape) else _known(t) for t in own.infer(node)][: len(node.outputs)]
        except (InvalidGraph, InvalidInput) as error:
            raise type(error)(f"node {node.name or node.op_type!r} ({node.op_type}): {error}") from None
    if schema is None or _has_subgraph(node) or _crashes_inference(node):
        return [None] * len(node.outputs)
    if _lengths_unknown(node):
        kind = node.inputs[0].type if node.inputs[0] is not None else None
        return [None if kind is None else ir.TypeAndShape(kind, None)]
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
    except MemoryError:
        return [None] * len(node.outputs)
    except Exception as error:  # of C++, and of many kinds
        reason = str(error).replace("\n", " ").removeprefix("[ShapeInferenceError] ")
        raise InvalidGraph(f"node {node.name or node.op_type!r} ({node.op_type}): {reason}") from None
    return [_from_proto(inferred[f"o{i}"]) if f"o{i}" in inferred else None for i in range(len(node.outputs))]


def _check_types(node: ir.Node, schema: Any) -> None:
    """The element types of the inputs, where they are known, against the operator's type constraints.

    Raises:
        InvalidGraph: a type the operator does not take, or two where it wants the same.
    """
    bound: dict[str, tuple[str, str]] = {}
    formals, allowed = schema.inputs, _constraints(schema)
    for i, value in enumerate(node.inputs):
        found = "" if value is None else _type_name(value.type)
        if value is None or not found or not formals:
            continue
        formal = formals[min(i, len(formals) - 1)]
        types = allowed.get(formal.type_str, (formal.type_str,))
        where = f"node {node.name or node.op_type!r} ({node.op_type})"
        wider = found == "tensor(double)" and "tensor(float)" in types  # kernels take it where ONNX does not
        if found not in types and not wider:
            raise InvalidGraph(
                f"{where}: Type Error: Type '{found}' of input parameter ({value.name}) is invalid; {formal.name} is "
                f"one of {', '.join(sorted(types))}"
            )
        other, name = bound.setdefault(formal.type_str, (found, str(value.name)))
        if other != found and (formal.option != _VARIADIC or formal.is_homogeneous):
            raise InvalidGraph(
                f"{where}: Type Error: its inputs {name!r} and {value.name!r} must have the same type; found {other} "
                f"and {found}"
            )


def _type_name(kind: ir.TypeProtocol | None) -> str:
    """ONNX's name of a type; empty where it is not known to the end."""
    if isinstance(kind, (ir.SequenceType, ir.OptionalType)):
        inner = _type_name(kind.elem_type)
        return inner and f"{'seq' if isinstance(kind, ir.SequenceType) else 'optional'}({inner})"
    if isinstance(kind, ir.TensorType) and kind.dtype.value in dtypes.NAMES:
        return f"tensor({dtypes.onnx_name(kind.dtype.value)})"
    return ""


@cache
def _constraints(schema: Any) -> dict[str, frozenset[str]]:
    return {c.type_param_str: frozenset(c.allowed_type_strs) for c in schema.type_constraints}


def _crashes_inference(node: ir.Node) -> bool:
    """ONNX's own inference reads past the ends of vectors for some attributes; the kernels say what is wrong."""
    if node.domain not in ("", "ai.onnx.ml"):
        return False
    given = {name: attribute for name, attribute in node.attributes.items() if not attribute.is_ref()}
    if node.op_type == "Split" and "num_outputs" in given and given["num_outputs"].value != len(node.outputs):
        return True
    if node.op_type == "GatherND" and "batch_dims" in given and given["batch_dims"].value < 0:
        return True
    if node.op_type in ("Slice", "Constant"):
        return False
    return any(
        a.value not in _INT32 if a.type == ir.AttributeType.INT else any(i not in _INT32 for i in a.value)
        for a in given.values()
        if a.type in (ir.AttributeType.INT, ir.AttributeType.INTS)
    )


def _lengths_unknown(node: ir.Node) -> bool:
    """Scales or sizes of a length that is not known yet, which ONNX's inference takes to be 0.

    The axes of Pad too: where they are not constant it takes them for all.
    """
    if node.domain or node.op_type not in ("Pad", "Resize", "Upsample"):
        return False
    given = [v for v in node.inputs[1:] if v is not None and constant(v) is None]
    if node.op_type == "Pad":
        return len(node.inputs) > 3 and node.inputs[3] in given
    return any(v.shape is None or not all(isinstance(d, int) for d in v.shape) for v in given)


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
