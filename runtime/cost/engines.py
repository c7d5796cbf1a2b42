"""Which engine would run a node."""

from __future__ import annotations

from collections.abc import Container
from functools import cache
from typing import Any

import onnx
import onnx_ir as ir

from ..ops import registry

__all__ = ["engine_of"]


def engine_of(node: ir.Node, version: int, functions: Container[Any] = (), *, folded: bool = False) -> str:
    """What becomes of a node of the given opset when its model runs.

    Args:
        functions: the identifiers of the model's own functions.
        folded: whether its result is known before the first run.

    Returns:
        `folded`: computed once, when the model is loaded or the shapes are known;
        `arrays`: a kernel on NumPy or CuPy arrays;
        `function body`: replaced by the nodes of a function of the model, or of the specification;
        `not supported`: nothing here can run it.
    """
    if folded:
        return "folded"
    if node.op_identifier() in functions:
        return "function body"
    return _engine(node.domain, node.op_type, version)


@cache
def _engine(domain: str, name: str, version: int) -> str:
    if registry.find(domain, name, version) is not None:
        return "arrays"
    try:
        schema: Any = onnx.defs.get_schema(name, version, domain)
    except onnx.defs.SchemaError:
        return "not supported"
    bodies = (*schema.function_opset_versions, *schema.context_dependent_function_opset_versions)
    return "function body" if any(body <= version for body in bodies) else "not supported"
