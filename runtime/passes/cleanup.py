"""Dead nodes, equal nodes, unused initializers: onnx_ir's own passes in the order we want them."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes import Sequential, common

from ..ops import registry

_CLEANUP = Sequential(common.CommonSubexpressionEliminationPass(), common.RemoveUnusedNodesPass())
_ONLY_DEAD = Sequential(common.RemoveUnusedNodesPass())

INITIALIZERS_ARE_INPUTS_BELOW = 4
"""Before this IR version every initializer had to be listed as an input too, so listing it there means nothing."""


def run(model: ir.Model) -> bool:
    """Case 1: two nodes compute the same; case 2: nobody uses a node's outputs; case 3: nobody uses an initializer.

    Case 1 waits for graphs in which nothing draws random numbers, since equal nodes need not draw equal ones, and in
    which no attribute is a type, since onnx_ir cannot compare types.
    """
    return (_ONLY_DEAD if any(map(_stands_alone, model.graph)) else _CLEANUP)(model).modified


def _stands_alone(node: ir.Node) -> bool:
    assert isinstance(node.graph, ir.Graph)
    if any(a.type in (ir.AttributeType.TYPE_PROTO, ir.AttributeType.TYPE_PROTOS) for a in node.attributes.values()):
        return True
    operator = registry.find(node.domain, node.op_type, node.graph.opset_imports[node.domain])
    return operator is not None and not operator.deterministic


def drop_initializer_inputs(model: ir.Model) -> bool:
    """Initializers of old models stop being inputs; in newer ones it is a default the caller may replace."""
    if model.ir_version >= INITIALIZERS_ARE_INPUTS_BELOW:
        return False
    return common.RemoveInitializersFromInputsPass()(model).modified
