"""Function bodies that the specification gives to operators."""

from __future__ import annotations

from typing import Any

import onnx
import onnx_ir as ir

from .inference import type_proto

__all__ = ["schema_body"]


def schema_body(node: ir.Node, version: int) -> onnx.FunctionProto | None:
    """The specification's function body of a node, or None; attribute defaults are written onto the node."""
    try:
        schema: Any = onnx.defs.get_schema(node.op_type, version, node.domain)  # its type stub is incomplete
    except onnx.defs.SchemaError:
        return None
    body = _context_free(schema, version) or _for_context(schema, node, version)
    if body is None:
        return None
    del body.output[len(node.outputs) :]  # bodies need not compute optional outputs that nobody asked for
    for name, attribute in schema.attributes.items():
        if name not in node.attributes and attribute.default_value.type:
            node.attributes[name] = ir.serde.deserialize_attribute(attribute.default_value)
    return body


def _context_free(schema: Any, version: int) -> onnx.FunctionProto | None:
    usable = [v for v in schema.function_opset_versions if v <= version]
    return onnx.FunctionProto.FromString(schema.get_function_with_opset_version(max(usable))) if usable else None


def _for_context(schema: Any, node: ir.Node, version: int) -> onnx.FunctionProto | None:
    usable = [v for v in schema.context_dependent_function_opset_versions if v <= version]
    if not usable:
        return None
    types = []
    for value in node.inputs:
        proto = None if value is None else type_proto(value)
        types.append((proto or onnx.TypeProto()).SerializeToString())
    call = ir.to_proto(node).SerializeToString()
    made = schema.get_context_dependent_function_with_opset_version(max(usable), call, types)
    return onnx.FunctionProto.FromString(made) if made else None
