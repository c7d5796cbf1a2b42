"""Reverse-mode differentiation, graph → graph: the gradient is more nodes of the same graph.

Each operator's rule stands beside its kernel in `runtime/ops`; what is here walks the graph backwards, adds up what
arrives at a value from several readers, and undoes broadcasting, once for all rules. Because rules only add nodes,
`gradients` of `gradients` is the second order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import onnx_ir as ir

from .builder import Builder, NodeView
from .errors import NotDifferentiable
from .function_bodies import schema_body
from .inference import Dim, set_type, value_type
from .ops import registry

Gradients = dict[ir.Value, list[ir.Value]]


def gradients(
    g: Builder, ys: Sequence[ir.Value], xs: Sequence[ir.Value], grad_ys: Sequence[ir.Value] | None = None
) -> list[ir.Value | None]:
    """Adds the nodes that compute Σ grad_y · ∂y/∂x for every x.

    Args:
        g: builds into the graph that holds `ys` and `xs`; its nodes must be in topological order.
        grad_ys: gradients arriving at `ys`, of their shapes; ones by default.

    Returns:
        For each x a value of its shape, or None where no y depends on it.

    Raises:
        NotDifferentiable: if a path from an x to a y leads through an operator without a gradient; the message names
        the node.
    """
    nodes = list(g.graph)
    arrived: Gradients = defaultdict(list)
    for i, y in enumerate(ys):
        arrived[y].append(_ones_like(g, y) if grad_ys is None else grad_ys[i])
    on_path = _reachable(nodes, xs)
    kept = set(xs)
    found: dict[ir.Value, ir.Value] = {}
    for node in reversed(nodes):
        if node not in on_path:
            continue
        arriving = [_total(g, v, arrived.pop(v, [])) for v in node.outputs]
        found.update({v: d for v, d in zip(node.outputs, arriving, strict=True) if v in kept and d is not None})
        if any(d is not None for d in arriving):
            _differentiate(g, node, arriving, on_path[node], arrived)
    return [found.get(x) if x in found else _total(g, x, arrived.get(x, [])) for x in xs]


def _reachable(nodes: Iterable[ir.Node], xs: Sequence[ir.Value]) -> dict[ir.Node, list[int]]:
    """For every node that depends on some x through floating-point values, which of its inputs do."""
    tainted = set(xs)
    on_path: dict[ir.Node, list[int]] = {}
    for node in nodes:
        through = [i for i, v in enumerate(node.inputs) if v in tainted]
        if through:
            on_path[node] = through
            tainted.update(v for v in node.outputs if v.dtype is None or v.dtype.is_floating_point())
    return on_path


def _differentiate(
    g: Builder, node: ir.Node, arriving: list[ir.Value | None], wanted: list[int], arrived: Gradients
) -> None:
    """Sends the gradients arriving at a node's outputs on to those of its inputs that want one."""
    version = g.graph.opset_imports[node.domain]
    operator = registry.find(node.domain, node.op_type, version)
    if operator is not None and not operator.differentiable:
        raise NotDifferentiable(f"node {node.name!r}: {operator} has no gradient")
    with g.scope(f"gradient/{node.name}"):
        if operator is not None and operator.rule is not None:
            result = operator.rule(g, NodeView(node, operator, g), *arriving)
            sent = list(result) if isinstance(result, (tuple, list)) else [result]
        else:
            sent = _through_body(g, node, version, arriving)
        for i in wanted:
            value = node.inputs[i]
            gradient = sent[i] if i < len(sent) else None
            if gradient is not None and value is not None and _carries_gradient(value):
                arrived[value].append(unbroadcast(g, gradient, value))


def _through_body(g: Builder, node: ir.Node, version: int, arriving: list[ir.Value | None]) -> list[ir.Value | None]:
    """The gradient of an operator without a rule, through the function body the specification gives it."""
    body = schema_body(node, version)
    if body is None:
        raise NotDifferentiable(f"node {node.name!r}: {node.domain or 'ai.onnx'}.{node.op_type} has no gradient")
    function = ir.serde.deserialize_function(body)
    # Copies, because one input may be computed from another, or be the same: each wants its own share only.
    own = [None if v is None else g.Identity(v) for v in node.inputs]
    values: dict[ir.Value, Any] = {f: v for f, v in zip(function.inputs, own, strict=False) if v is not None}
    values |= {v: g.constant(v.const_value.numpy()) for v in function.graph.initializers.values() if v.const_value}
    for inner in function:
        given = [None if v is None else values.get(v) for v in inner.inputs]
        keywords = {name: a for name, attr in inner.attributes.items() if (a := _resolved(attr, node)) is not None}
        made = g.op(inner.op_type, *given, outputs=len(inner.outputs), **keywords)
        values.update(zip(inner.outputs, made if isinstance(made, tuple) else (made,), strict=True))
    live = [(values[o], d) for o, d in zip(function.outputs, arriving, strict=False) if d is not None]
    inputs = [v for v in own if v is not None]
    sent = dict(zip(inputs, gradients(g, [y for y, _ in live], inputs, [d for _, d in live]), strict=True))
    return [None if v is None else sent[v] for v in own]


def _resolved(attribute: ir.Attr, node: ir.Node) -> Any:
    """An attribute of a function body, taken from the calling node where the body refers to it."""
    if attribute.ref_attr_name:
        given = node.attributes.get(attribute.ref_attr_name)
        return None if given is None else given.value
    return attribute.value


def _carries_gradient(value: ir.Value) -> bool:
    return value.dtype is None or value.dtype.is_floating_point()


def _ones_like(g: Builder, y: ir.Value) -> ir.Value:
    one = g.like(1.0, y)
    return one if value_type(y)[1] == () else g.Expand(one, g.shape_of(y))


def _total(g: Builder, value: ir.Value, parts: list[ir.Value]) -> Any:
    if len(parts) < 2:
        return parts[0] if parts else None
    with g.scope(f"gradient/{value.name}"):
        return g.Add(*parts) if len(parts) == 2 else g.Sum(*parts)


def unbroadcast(g: Builder, gradient: ir.Value, x: ir.Value) -> ir.Value:
    """`gradient` summed over the axes along which `x` was broadcast, so that it has the shape of `x`."""
    _, have = value_type(gradient)
    _, want = value_type(x)
    axes = None if have is None or want is None else _broadcast_axes(have, want)
    if axes is None or have is None or want is None:
        summed = g.SumTo(gradient, g.shape_of(x))
        set_type(summed, gradient.dtype, want)
        return summed
    if not axes:
        return gradient
    extra = len(have) - len(want)
    if axes == list(range(extra)):
        return g.ReduceSum(gradient, axes, keepdims=0)
    summed = g.ReduceSum(gradient, axes, keepdims=1)
    return summed if extra == 0 else g.Squeeze(summed, list(range(extra)))


def _broadcast_axes(have: tuple[Dim, ...], want: tuple[Dim, ...]) -> list[int] | None:
    """The axes of `have` that broadcasting added or stretched; None where the shapes leave it open."""
    extra = len(have) - len(want)
    axes = list(range(extra))
    for axis, (h, w) in enumerate(zip(have[extra:], want, strict=True), start=extra):
        if w == 1 and h != 1:
            axes.append(axis)
        elif h is None or w is None or h != w:
            return None
    return axes
