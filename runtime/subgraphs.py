"""Graphs inside nodes: what one reads from around it becomes inputs, so that it can be run as a model of its own."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

__all__ = ["close", "graphs_of", "walk"]


def graphs_of(node: ir.Node) -> dict[str, ir.Graph]:
    """The node's graphs by attribute name (no operator has an attribute that is a list of graphs)."""
    return {name: a.as_graph() for name, a in node.attributes.items() if a.type == ir.AttributeType.GRAPH}


def walk(graph: ir.Graph) -> Iterator[ir.Graph]:
    """`graph` and every graph inside its nodes."""
    pending = [graph]
    while pending:
        current = pending.pop()
        yield current
        for node in current:
            pending += graphs_of(node).values()


def close(graph: ir.Graph, ir_version: int) -> tuple[ir.Model, list[ir.Value]]:
    """A copy of a subgraph that reads nothing from around it.

    Returns:
        The model, its first inputs those of `graph`; and the outer values that its further inputs stand for, in order.
        Outer constants are no inputs: the copy holds them itself, sharing their memory.
    """
    inner = graph.clone(allow_outer_scope_values=True)
    names = {v.name for g in walk(inner) for v in (*g.inputs, *g.initializers.values(), *_produced(g))}
    own = {v for g in walk(inner) for v in (*g.inputs, *g.initializers.values(), *_produced(g))}
    stand_ins: dict[ir.Value, ir.Value] = {}
    captured = []
    for node in [node for g in walk(inner) for node in g]:
        for i, value in enumerate(node.inputs):
            if value is None or value in own:
                continue
            if value not in stand_ins:
                stand_ins[value] = _stand_in(value, names)
                if stand_ins[value].const_value is None:
                    inner.inputs.append(stand_ins[value])
                    captured.append(value)
                else:
                    inner.register_initializer(stand_ins[value])
            node.replace_input_with(i, stand_ins[value])
    return ir.Model(inner, ir_version=ir_version), captured


def _produced(graph: ir.Graph) -> list[ir.Value]:
    return [value for node in graph for value in node.outputs]


def _stand_in(value: ir.Value, names: set[str | None]) -> ir.Value:
    known = None if value.is_graph_input() else value.const_value
    name, count = str(value.name), 0
    while name in names:
        count += 1
        name = f"{value.name}_{count}"
    names.add(name)
    shape = None if value.shape is None else value.shape.copy()
    return ir.Value(name=name, type=value.type, shape=shape, const_value=known)
