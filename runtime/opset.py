"""Rewrites a model for another opset: through onnx's version converter, one opset at a time.

Where the converter knows no way to the next lower opset, the nodes may still mean the same under both: then only the
import is lowered, and constant inputs that were attributes before become attributes again. Large weights are left out
of what the converter sees.
"""

from __future__ import annotations

import onnx
import onnx_ir as ir
from onnx import defs

from .errors import UnsupportedOperator

__all__ = ["LOWEST", "NEWEST", "convert"]

LOWEST = 9
"""Before it every initializer had to be a graph input too."""
NEWEST = defs.onnx_opset_version()

LARGE = 1 << 12
"""Initializers of more elements than this are weights: no converter needs their values."""

CHANGED_MEANING = frozenset(
    (("GroupNormalization", 21), ("DequantizeLinear", 21), ("QuantizeLinear", 21), ("Resize", 19))
)
"""Operator versions that read the same attributes and inputs otherwise than the version before."""

ATTRIBUTES_BEFORE: dict[tuple[str, int], tuple[str, ...]] = {
    ("Pad", 11): ("pads", "value"),
    **{(name, 13): ("axes",) for name in ("ReduceSum", "Squeeze", "Unsqueeze")},
}
"""Operator and the version since which it takes inputs, from the second on, that were these attributes before."""


def convert(model: ir.Model, opset: int) -> ir.Model:
    """The same model, importing `opset` of the standard domain.

    Raises:
        UnsupportedOperator: if a node cannot be expressed there; the message names it.
    """
    current = model.graph.opset_imports[""]
    if not LOWEST <= opset <= NEWEST:
        raise UnsupportedOperator(f"opset {opset} cannot be written; expected {LOWEST} to {NEWEST}")
    if current == opset:
        return model
    weights = _weights(model.graph)
    proto = _without(model, weights)
    while current != opset:
        target = current - 1 if opset < current else current + 1
        proto = _step(proto, current, target, opset)
        current = target
    converted = ir.from_proto(proto)
    _restore(converted.graph, weights)
    converted.metadata_props.update(model.metadata_props)
    return converted


def _step(proto: onnx.ModelProto, current: int, target: int, wanted: int) -> onnx.ModelProto:
    """One opset up or down."""
    try:
        converted = onnx.version_converter.convert_version(proto, target)
    except Exception as error:
        converted = onnx.ModelProto()
        converted.CopyFrom(proto)
        _inputs_to_attributes(converted.graph, current, target)
        for node in converted.graph.node:
            problem = _difference(node, current, target)
            if problem:
                raise UnsupportedOperator(
                    f"node {node.name!r} ({node.op_type}) cannot be written for opset {wanted}: {problem}; "
                    f"choose opset {max(current, target)} or higher"
                ) from error
        for node in converted.graph.node:
            _drop_defaults(node, current, target)
        _imported(converted).version = target
    return converted


def _difference(node: onnx.NodeProto, current: int, target: int) -> str:
    """Why a node does not mean the same under both opsets, or nothing."""
    if node.domain not in ("", "ai.onnx"):
        return ""
    try:
        here, there = defs.get_schema(node.op_type, current), defs.get_schema(node.op_type, target)
    except defs.SchemaError:
        return f"opset {target} has no such operator"
    if here.since_version == there.since_version:
        return ""
    changed = max(here.since_version, there.since_version)
    if (node.op_type, changed) in CHANGED_MEANING:
        return f"its meaning changed with opset {changed}"
    if any(a.type in (a.GRAPH, a.GRAPHS) for a in node.attribute):
        return f"its subgraphs changed with opset {changed}"
    for attribute in node.attribute:
        if attribute.name not in there.attributes and not _is_default(attribute, here):
            return f"opset {target} does not know its attribute {attribute.name!r}"
    missing = [n for n, a in there.attributes.items() if a.required and n not in {x.name for x in node.attribute}]
    if missing:
        return f"opset {target} needs its attribute {missing[0]!r}"
    if not there.min_input <= len(node.input) <= there.max_input:
        return f"it has {len(node.input)} inputs, opset {target} takes {there.min_input} to {there.max_input}"
    return ""


def _inputs_to_attributes(graph: onnx.GraphProto, current: int, target: int) -> None:
    """What `ATTRIBUTES_BEFORE` lists, for nodes whose inputs are constants; the constants stay, if others read them."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    freed = set()
    for node in graph.node:
        names = ATTRIBUTES_BEFORE.get((node.op_type, max(current, target))) if target < current else None
        given = [name for name in node.input[1:] if name]
        if names is None or node.domain or not all(name in constants for name in given) or len(given) > len(names):
            continue
        for name, attribute in zip(node.input[1:], names, strict=False):
            if name:
                value = onnx.numpy_helper.to_array(constants[name])
                plain = value.item() if attribute == "value" else value.reshape(-1).tolist()
                node.attribute.append(onnx.helper.make_attribute(attribute, plain))
        freed |= set(given)
        del node.input[1:]
    freed -= {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    for name in freed:
        graph.initializer.remove(constants[name])


def _drop_defaults(node: onnx.NodeProto, current: int, target: int) -> None:
    """Removes attributes that say what the older operator always does."""
    if node.domain not in ("", "ai.onnx"):
        return
    here, there = defs.get_schema(node.op_type, current), defs.get_schema(node.op_type, target)
    for attribute in list(node.attribute):
        if attribute.name not in there.attributes and _is_default(attribute, here):
            node.attribute.remove(attribute)


def _is_default(attribute: onnx.AttributeProto, schema: defs.OpSchema) -> bool:
    default = schema.attributes[attribute.name].default_value if attribute.name in schema.attributes else None
    if default is None or default.type != attribute.type:
        return False
    return bool(onnx.helper.get_attribute_value(attribute) == onnx.helper.get_attribute_value(default))


def _weights(graph: ir.Graph) -> dict[str, ir.TensorProtocol]:
    return {
        name: value.const_value
        for name, value in graph.initializers.items()
        if value.const_value is not None and value.const_value.size > LARGE and not value.is_graph_input()
    }


def _imported(proto: onnx.ModelProto) -> onnx.OperatorSetIdProto:
    return next(entry for entry in proto.opset_import if entry.domain in ("", "ai.onnx"))


def _without(model: ir.Model, weights: dict[str, ir.TensorProtocol]) -> onnx.ModelProto:
    """The model as a proto in which the given initializers are inputs instead."""
    light = model.clone()
    for name in weights:
        value = light.graph.initializers.pop(name)
        value.const_value = None
        light.graph.inputs.append(value)
    return ir.to_proto(light)


def _restore(graph: ir.Graph, weights: dict[str, ir.TensorProtocol]) -> None:
    for value in list(graph.inputs):
        if value.name in weights:
            graph.inputs.remove(value)
            value.const_value = weights[value.name]
            graph.register_initializer(value)
