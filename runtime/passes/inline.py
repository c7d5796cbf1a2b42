"""Calls become the nodes of what they call.

Case 1: a node calls a function of the model.
Case 2: no engine has a kernel for an operator, but the specification defines it by a function body.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir
from onnx_ir.passes import common

from ..errors import InvalidGraph
from ..function_bodies import schema_body
from ..inference import annotate
from ..ops import registry

MAX_DEPTH = 16
"""Bodies may call operators that have bodies themselves; deeper than this is refused."""

Wanted = Callable[[ir.Node, int], bool]


def run(model: ir.Model, wanted: Wanted | None = None) -> bool:
    """Inlines the model's functions, and bodies of operators that are `wanted` (default: those without a kernel)."""
    wanted = wanted or _has_no_kernel
    changed = False
    for _ in range(MAX_DEPTH):
        if model.functions:
            common.InlinePass()(model)
            changed = True
        if not _expand_schema_bodies(model, wanted):
            return changed
    raise InvalidGraph(f"function bodies are nested more than {MAX_DEPTH} deep, or call themselves")


def _has_no_kernel(node: ir.Node, version: int) -> bool:
    return registry.find(node.domain, node.op_type, version) is None


def _expand_schema_bodies(model: ir.Model, wanted: Wanted) -> bool:
    """Adds a function of its own for each such node and makes the node call it."""
    versions = model.graph.opset_imports
    if not any(wanted(node, versions.get(node.domain, 1)) for node in model.graph):
        return False
    found = 0
    for node in model.graph:
        version = versions.get(node.domain, 1)
        annotate(node, version)  # some bodies depend on the types of the inputs
        if not wanted(node, version):
            continue
        body = schema_body(node, version)
        if body is None:
            continue
        found += 1
        body.domain, body.name, body.overload = "striate.body", f"{node.op_type}_{found}", ""
        for imported in body.opset_import:
            imported.version = model.graph.opset_imports.get(imported.domain, imported.version)
        function = ir.serde.deserialize_function(body)
        model.functions[function.identifier()] = function
        model.graph.opset_imports["striate.body"] = 1
        node.domain, node.op_type, node.overload = function.domain, function.name, ""
    return found > 0
