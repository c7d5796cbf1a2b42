"""Types and shapes of one node's outputs, from ONNX's own inference where the specification has the operator."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnx_ir as ir

from . import dtypes
from .errors import InvalidGraph, InvalidInput
from .ops import registry

Dim = int | str | None
Type = tuple[ir.DataType | None, tuple[Dim, ...] | None]

_DATA_LIMIT = 1 << 12  # constants up to this many elements are shown to the inference: shapes, axes, repeats, ...
_SCALES_LIMIT = 64  # and floats up to this many, which are scales, one for each dimension, or the bounds of a range
_REMEMBERED = 1 << 12  # so many results of the inference are kept: networks repeat their layers
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
    asked = _asked(node, version)
    known = _answers.get(asked) if asked is not None and not _lengths_unknown(node) else None
    if known is not None:
        return [None if t is None else _fresh(t) for t in known]
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
    if any(value is not None and value.type is None for value in node.inputs):
        return [None] * len(node.outputs)
    found = _inferred(node, schema, version)
    if asked is not None and all(t is None or isinstance(t.type, ir.TensorType) for t in found):
        if len(_answers) >= _REMEMBERED:
            _answers.clear()
        _answers[asked] = [None if t is None else _fresh(t) for t in found]
    return found


_answers: dict[Any, list[ir.TypeAndShape | None]] = {}
"""What ONNX's own inference said of nodes that it, and the check of their types, had nothing against."""


def _fresh(known: ir.TypeAndShape) -> ir.TypeAndShape:
    """A copy: values own their types, and change them; a shape is shared, since it is frozen."""
    kind = ir.TensorType(known.type.dtype) if isinstance(known.type, ir.TensorType) else known.type
    if known.shape is not None:
        known.shape.freeze()
    return ir.TypeAndShape(kind, known.shape)


def _asked(node: ir.Node, version: int) -> Any:
    """All that ONNX's inference sees of a node, but for names; None of values that are not tensors."""
    inputs: list[Any] = []
    for value in node.inputs:
        if value is None:
            inputs.append(None)
            continue
        if not isinstance(value.type, ir.TensorType):
            return None
        tensor = _shown(value)
        shape = None if value.shape is None else value.shape.dims
        inputs.append((value.type.dtype, shape, None if tensor is None else tensor.tobytes()))
    given = []
    for name, attribute in node.attributes.items():
        content = None if attribute.is_ref() else _plain(attribute)
        if content is None:
            return None
        given.append((name, attribute.type, content))
    return node.domain, node.op_type, version, tuple(given), tuple(inputs), len(node.outputs)


_SCALARS = (ir.AttributeType.INT, ir.AttributeType.FLOAT, ir.AttributeType.STRING)
_LISTS = (ir.AttributeType.INTS, ir.AttributeType.FLOATS, ir.AttributeType.STRINGS)


def _plain(attribute: ir.Attr) -> Any:
    """The value of an attribute as something that can be compared; None if it is of a kind that cannot."""
    if attribute.type in _SCALARS:
        return attribute.value
    if attribute.type in _LISTS:
        return tuple(attribute.value)
    if attribute.type == ir.AttributeType.TENSOR:
        tensor = attribute.value
        if tensor.dtype != ir.DataType.STRING and tensor.size <= _DATA_LIMIT:
            return tensor.dtype, tensor.shape.numpy(), tensor.tobytes()
    return None


def _shown(value: ir.Value) -> ir.TensorProtocol | None:
    """The tensor of a constant of which the inference may want to know more than its shape."""
    tensor = None if value.is_graph_input() else value.const_value
    if tensor is None or tensor.dtype == ir.DataType.STRING:
        return None
    return tensor if tensor.size <= (_SCALES_LIMIT if tensor.dtype.is_floating_point() else _DATA_LIMIT) else None


def _inferred(node: ir.Node, schema: onnx.defs.OpSchema, version: int) -> list[ir.TypeAndShape | None]:
    """What ONNX's own inference says of each output.

    Raises:
        InvalidGraph: if the inputs contradict the operator's specification.
    """
    proto = _node_proto(node)
    given = [(name, v) for name, v in zip(_input_names(node), node.inputs, strict=True) if v is not None]
    types = {name: known for name, value in given if (known := type_proto(value)) is not None}
    shown = {name: tensor for name, value in given if (tensor := _shown(value)) is not None}
    data = {name: ir.serde.serialize_tensor(tensor) for name, tensor in shown.items()}
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
    formals = _formals(schema)
    where = f"node {node.name or node.op_type!r} ({node.op_type})"
    for i, value in enumerate(node.inputs):
        found = "" if value is None else _type_name(value.type)
        if value is None or not found or not formals:
            continue
        formal = formals[min(i, len(formals) - 1)]
        types = formal.types
        wider = found == "tensor(double)" and "tensor(float)" in types  # kernels take it where ONNX does not
        if found not in types and not wider:
            raise InvalidGraph(
                f"{where}: Type Error: Type '{found}' of input parameter ({value.name}) is invalid; {formal.name} is "
                f"one of {', '.join(sorted(types))}"
            )
        other, name = bound.setdefault(formal.letter, (found, str(value.name)))
        if other != found and formal.alike:
            raise InvalidGraph(
                f"{where}: Type Error: its inputs {name!r} and {value.name!r} must have the same type; found {other} "
                f"and {found}"
            )


def _type_name(kind: ir.TypeProtocol | None) -> str:
    """ONNX's name of a type; empty where it is not known to the end."""
    if isinstance(kind, ir.TensorType):
        return _tensor_name(kind.dtype)
    if isinstance(kind, (ir.SequenceType, ir.OptionalType)):
        inner = _type_name(kind.elem_type)
        return inner and f"{'seq' if isinstance(kind, ir.SequenceType) else 'optional'}({inner})"
    return ""


@cache
def _tensor_name(dtype: ir.DataType) -> str:
    return f"tensor({dtypes.onnx_name(dtype.value)})" if dtype.value in dtypes.NAMES else ""


class _Formal(NamedTuple):
    """An input as the specification has it: `letter` stands for its type, which is one of `types`."""

    name: str
    letter: str
    types: frozenset[str]
    alike: bool


@cache
def _formals(schema: Any) -> tuple[_Formal, ...]:
    allowed = {c.type_param_str: frozenset(c.allowed_type_strs) for c in schema.type_constraints}
    return tuple(
        _Formal(
            formal.name,
            formal.type_str,
            allowed.get(formal.type_str, frozenset((formal.type_str,))),
            formal.option != _VARIADIC or formal.is_homogeneous,
        )
        for formal in schema.inputs
    )


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
