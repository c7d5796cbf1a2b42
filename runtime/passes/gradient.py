"""The operator Gradient of ai.onnx.preview.training becomes the nodes that compute the gradient.

Its attributes name tensors of the graph around it. `connect` turns these names into inputs of the node, so that they
survive whatever happens to the graph; `lower` differentiates.

Case 1: the values given for `xs` and `zs` are the named tensors — the forward nodes are used as they are.
Case 2: other values are given — the nodes between them and `y` are repeated on those values.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from .. import graph_checks, opset
from ..autodiff import gradients
from ..builder import OPSET, Builder, attributes
from ..errors import InvalidGraph, UndefinedValue, UnsupportedOperator
from ..inference import annotate_graph
from ..subgraphs import walk

(OPERATOR,) = graph_checks.LOWERED
_CONNECTED = "striate.gradient"


def connect(model: ir.Model) -> bool:
    """Gives every Gradient node the tensors it names as inputs: xs, zs and y, before the values given for xs and zs.

    Raises:
        UndefinedValue: if the graph has no tensor of a name.
        InvalidGraph: if there is not one value for each of xs and zs.
        UnsupportedOperator: for a Gradient inside a subgraph.
    """
    if any((n.domain, n.op_type) == OPERATOR for g in walk(model.graph) if g is not model.graph for n in g):
        raise UnsupportedOperator("Gradient inside a subgraph is not supported; move it to the main graph")
    nodes = [n for n in model.graph if (n.domain, n.op_type) == OPERATOR]
    graph = model.graph
    known = {v.name: v for v in (*graph.inputs, *graph.initializers.values())}
    known |= {v.name: v for node in graph for v in node.outputs}
    for node in nodes:
        given = attributes(node)
        names = [*given.get("xs", ()), *given.get("zs", ())]
        if len(names) != len(node.inputs) or None in node.inputs:
            raise InvalidGraph(f"node {node.name!r} (Gradient) has {len(node.inputs)} inputs; it names {len(names)}")
        for name in (*names, given["y"]):
            if name not in known:
                raise UndefinedValue(f"node {node.name!r} (Gradient): the graph has no tensor {name!r}")
        connected = ir.node(
            "Gradient",
            [*(known[name] for name in (*names, given["y"])), *node.inputs],
            {"xs": len(given["xs"])},
            domain=_CONNECTED,
            num_outputs=len(node.outputs),
            name=node.name,
        )
        graph.insert_after(node, connected)
        _hand_over(node, connected.outputs)
        graph.remove(node, safe=True)
        known |= {v.name: v for v in connected.outputs}
    if nodes:
        graph.sort()
    return bool(nodes)


def lower(model: ir.Model) -> ir.Model:
    """The model without Gradient nodes; gradient rules write nodes of opset `OPSET`, so the model is brought there.

    Raises:
        NotDifferentiable: through an operator without a gradient; the message names the node.
    """
    if not any(node.domain == _CONNECTED for node in model.graph):
        return model
    if model.graph.opset_imports.get("", OPSET) != OPSET:
        model = opset.convert(model, OPSET)
        for graph in walk(model.graph):
            graph.opset_imports.update(model.opset_imports)
    annotate_graph(model.graph)
    for node in [node for node in model.graph if node.domain == _CONNECTED]:
        _differentiate(model.graph, node)
    model.graph.opset_imports.pop(_CONNECTED, None)
    return model


def _differentiate(graph: ir.Graph, node: ir.Node) -> None:
    values = [v for v in node.inputs if v is not None]
    count = (len(values) - 1) // 2
    named, y, given = values[:count], values[count], values[count + 1 :]
    for value in (*named, y):
        if value.dtype is None:
            raise InvalidGraph(f"node {node.name!r} (Gradient): the data type of tensor {value.name!r} is not known")
    g = Builder(graph, before=node)
    with g.scope(node.name or "gradient"):
        if named != given:
            copies = {n: g.Identity(v) for n, v in zip(named, given, strict=True)}
            y = _repeated(g, node, y, copies)
            named = [copies[n] for n in named]
        xs = named[: node.attributes["xs"].as_int()]
        found = gradients(g, [y], xs)
        results = [g.Identity(d) if d is not None else g.zeros_like(x) for x, d in zip(xs, found, strict=True)]
    _hand_over(node, results[: len(node.outputs)])
    graph.remove(node, safe=True)


def _repeated(g: Builder, end: ir.Node, y: ir.Value, values: dict[ir.Value, ir.Value]) -> ir.Value:
    """`y` computed once more, by copies of the nodes before `end` that depend on the keys of `values`.

    The copies read what those map to; the copies' own outputs are added to the map.
    """
    for node in list(g.graph):
        if node is end:
            break
        if node.domain == _CONNECTED or not any(v in values for v in node.inputs):
            continue
        copy = ir.Node(
            node.domain,
            node.op_type,
            [v and values.get(v, v) for v in node.inputs],
            list(node.attributes.values()),
            num_outputs=len(node.outputs),
            name=g.unique(node.name or node.op_type),
        )
        for old, new in zip(node.outputs, copy.outputs, strict=True):
            new.name, new.type, new.shape = g.unique(old.name or "value"), old.type, old.shape
            values.setdefault(old, new)
        g.graph.insert_before(end, copy)
    return values.get(y, y)


def _hand_over(node: ir.Node, values: Sequence[ir.Value]) -> None:
    """The readers of a node's outputs read `values` instead, which take over the names."""
    for old, new in zip(node.outputs, values, strict=True):
        name, old.name = old.name, None
        new.name = name
        new.type, new.shape = new.type or old.type, new.shape or old.shape
        old.replace_all_uses_with(new, replace_graph_outputs=True)
