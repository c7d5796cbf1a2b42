"""Branches that are always taken.

Case 1: the condition of an `If` is constant — the nodes of that branch stand in its place.
"""

from __future__ import annotations

import onnx_ir as ir

from ..builder import Builder
from ..inference import constant
from ..subgraphs import graphs_of
from . import fold


def run(model: ir.Model) -> bool:
    """Removes the branches described above; what thereby becomes constant is folded."""
    changed = False
    while _flatten(model.graph):
        changed = True
        fold.run(model)
    return changed


def _flatten(graph: ir.Graph) -> bool:
    build = Builder(graph)
    changed = False
    for node in list(graph):
        if node.domain or node.op_type != "If":
            continue
        condition = constant(node.inputs[0])
        if condition is not None and condition.size == 1:
            _take(build, node, graphs_of(node)["then_branch" if condition.reshape(()) else "else_branch"])
            changed = True
    return changed


def _take(build: Builder, node: ir.Node, branch: ir.Graph) -> None:
    """Moves the nodes and constants of a branch to where its `If` stands."""
    graph = build.graph
    for value in list(branch.initializers.values()):
        branch.initializers.pop(str(value.name))
        value.name = build.unique(str(value.name))
        graph.register_initializer(value)
    moved = list(branch)
    results = list(branch.outputs)
    branch.outputs.clear()
    branch.remove(moved)
    for inner in moved:
        inner.name = build.unique(inner.name or inner.op_type)
        for value in inner.outputs:
            value.name = build.unique(value.name or inner.name) if value.name != "" else ""
    graph.insert_before(node, moved)
    for old, result in zip(node.outputs, results, strict=True):
        name, old.name = old.name, None
        if old.is_graph_output():
            kept = ir.node("Identity", [result], name=build.unique(f"{node.name or node.op_type}/{name}"))
            graph.insert_before(node, kept)
            kept.outputs[0].type, kept.outputs[0].shape, kept.outputs[0].name = old.type, old.shape, name
            result = kept.outputs[0]
        old.replace_all_uses_with(result, replace_graph_outputs=True)
    graph.remove(node, safe=True)
