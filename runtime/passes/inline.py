"""Calls become the nodes of what they call.

Case 1: a node calls a function of the model.
Case 2: no engine has a kernel for an operator, but the specification defines it by a function body.

Both also inside subgraphs.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx
import onnx_ir as ir

from ..errors import InvalidGraph, UnsupportedOperator
from ..function_bodies import schema_body
from ..inference import annotate_graph
from ..ops import registry
from ..subgraphs import walk
from ._calls import inline_calls

MAX_DEPTH = 16
"""Bodies may call operators that have bodies themselves; deeper than this is refused."""

BODY_DOMAIN = "striate.body"

Wanted = Callable[[ir.Node, int], bool]


def run(model: ir.Model, wanted: Wanted | None = None) -> bool:
    """Inlines the model's functions, and bodies of operators that are `wanted` (default: those without a kernel).

    Raises:
        UnsupportedOperator: if a function means another version of an operator than the model does.
        InvalidGraph: if function bodies are nested without end.
    """
    wanted = wanted or _has_no_kernel
    changed = False
    for _ in range(MAX_DEPTH):
        if model.functions:
            _align_opsets(model)
            inline_calls(model)
            changed = True
        for graph in walk(model.graph):
            graph.opset_imports.update(model.opset_imports)
        if not _expand_schema_bodies(model, wanted):
            return changed
    raise InvalidGraph(f"function bodies are nested more than {MAX_DEPTH} deep, or call themselves")


def _has_no_kernel(node: ir.Node, version: int) -> bool:
    return registry.find(node.domain, node.op_type, version) is None


def _align_opsets(model: ir.Model) -> None:
    """Functions import what the model imports, if their operators mean the same there."""
    for function in model.functions.values():
        for domain, version in list(function.opset_imports.items()):
            wanted = model.opset_imports.setdefault(domain, version)
            changed = [n for n in function.all_nodes() if n.domain == domain and _changes(n, version, wanted)]
            if version != wanted and changed:
                raise UnsupportedOperator(
                    f"function {function.domain}.{function.name} uses {changed[0].op_type} of opset {version}; the "
                    f"model imports opset {wanted}, where it is another version. Convert one of them with "
                    "onnx.version_converter"
                )
            function.opset_imports[domain] = wanted


def _changes(node: ir.Node, version: int, wanted: int) -> bool:
    try:
        schemas = [onnx.defs.get_schema(node.op_type, v, node.domain) for v in (version, wanted)]
    except onnx.defs.SchemaError:
        return False
    return schemas[0].since_version != schemas[1].since_version


def _expand_schema_bodies(model: ir.Model, wanted: Wanted) -> bool:
    """Adds a function of its own for each such node and makes the node call it."""
    versions = model.graph.opset_imports
    nodes = [n for g in walk(model.graph) for n in g if wanted(n, versions.get(n.domain, 1))]
    if not nodes:
        return False
    annotate_graph(model.graph)  # some bodies depend on the types of the inputs
    found = 0
    for node in nodes:
        body = schema_body(node, versions.get(node.domain, 1))
        if body is None:
            continue
        found += 1
        body.domain, body.name, body.overload = BODY_DOMAIN, f"{node.op_type}_{found}", ""
        for imported in body.opset_import:
            imported.version = versions.get(imported.domain, imported.version)
        function = ir.serde.deserialize_function(body)
        model.functions[function.identifier()] = function
        versions[BODY_DOMAIN] = 1
        node.domain, node.op_type, node.overload = function.domain, function.name, ""
    return found > 0
