"""Transposes move towards the outputs until they meet their inverse.

Case 1: a transpose of a transpose — one transpose by the product, or none.
Case 2: an elementwise node whose inputs are all transposed alike (constants are turned to fit) — the transpose moves
behind it.
Case 3: `Concat`, `Softmax` or `LogSoftmax` of transposed inputs — likewise, the axis renamed.

A node is passed only if at least one of its transposes has no other reader: then there are never more transposes than
before.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ..builder import Builder, attributes
from ..errors import InvalidGraph
from ..inference import constant, value_type

ELEMENTWISE = frozenset((
    "Abs", "Acos", "Acosh", "Add", "And", "Asin", "Asinh", "Atan", "Atanh", "Cast", "Ceil", "Celu", "Clip",
    "Cos", "Cosh", "Div", "Dropout", "Elu", "Equal", "Erf", "Exp", "Floor", "Gelu", "Greater", "GreaterOrEqual",
    "HardSigmoid", "HardSwish", "Identity", "IsInf", "IsNaN", "LeakyRelu", "Less", "LessOrEqual", "Log", "Max",
    "Mean", "Min", "Mish", "Mod", "Mul", "Neg", "Not", "Or", "PRelu", "Pow", "Reciprocal", "Relu", "Round",
    "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Swish",
    "Tan", "Tanh", "ThresholdedRelu", "Where", "Xor",
))  # fmt: skip
AXIS_ATTRIBUTE = frozenset(("Concat", "Softmax", "LogSoftmax"))
AXIS_SINCE = 13
"""From this opset on Softmax and LogSoftmax work along one axis only."""
BROADCAST_SINCE = 7
"""Before this opset `axis` and the order of the dimensions say how inputs are broadcast."""

Perm = tuple[int, ...]


def run(model: ir.Model) -> bool:
    """Applies the cases above until none fits."""
    changed = False
    while sum(_visit(model.graph, node) for node in list(model.graph) if node.graph is not None):
        changed = True
    return changed


def _visit(graph: ir.Graph, node: ir.Node) -> bool:
    if node.domain or not node.inputs or len(node.outputs) != 1:
        return False
    if node.op_type == "Transpose":
        return _merge(graph, node)
    if node.op_type in ELEMENTWISE and graph.opset_imports[""] >= BROADCAST_SINCE:
        return _sink(graph, node, None)
    if node.op_type in AXIS_ATTRIBUTE and graph.opset_imports[""] >= AXIS_SINCE:
        return _sink(graph, node, "axis")
    return False


def _perm_of(value: ir.Value | None) -> Perm | None:
    """The permutation by which a value is the transpose of another, or None."""
    node = value.producer() if value is not None else None
    if value is None or node is None or node.op_type != "Transpose" or node.domain:
        return None
    given = attributes(node).get("perm")
    _, shape = value_type(value)
    if given is not None:
        fits = sorted(given) == list(range(len(given))) and (shape is None or len(shape) == len(given))
        return tuple(given) if fits else None
    return None if shape is None else tuple(reversed(range(len(shape))))


def _merge(graph: ir.Graph, node: ir.Node) -> bool:
    outer, inner = _perm_of(node.outputs[0]), _perm_of(node.inputs[0])
    if outer is None or inner is None:
        return False
    assert node.inputs[0] is not None
    before = node.inputs[0].producer()
    assert before is not None
    source = before.inputs[0]
    assert source is not None
    perm = tuple(inner[i] for i in outer)
    if perm == tuple(range(len(perm))) and not node.outputs[0].is_graph_output():
        node.outputs[0].replace_all_uses_with(source)
        graph.remove(node, safe=True)
    else:
        node.replace_input_with(0, source)
        node.attributes["perm"] = ir.AttrInt64s("perm", perm)
    if not before.outputs[0].uses() and not before.outputs[0].is_graph_output():
        graph.remove(before, safe=True)
    return True


def _sink(graph: ir.Graph, node: ir.Node, axis_name: str | None) -> bool:
    perms = {p for v in node.inputs if (p := _perm_of(v)) is not None}
    if len(perms) != 1 or node.outputs[0].is_graph_output():
        return False
    perm = perms.pop()
    axis = attributes(node).get(axis_name, -1) if axis_name is not None else 0
    if not -len(perm) <= axis < len(perm):
        return False
    if not all(_movable(v, perm) for v in node.inputs) or not any(_vanishes(v) for v in node.inputs):
        return False
    build = Builder(graph, before=node)
    transposes = {n for v in node.inputs if v is not None and _perm_of(v) and (n := v.producer())}
    for i, value in enumerate(node.inputs):
        if value is not None:
            node.replace_input_with(i, _untransposed(build, value, perm))
    graph.remove([t for t in transposes if not t.outputs[0].uses() and not t.outputs[0].is_graph_output()], safe=True)
    if axis_name is not None:
        node.attributes[axis_name] = ir.AttrInt64(axis_name, perm[axis])
    _transpose_after(graph, node, perm)
    return True


def _movable(value: ir.Value | None, perm: Perm) -> bool:
    if value is None:
        return True
    array = constant(value)
    return _perm_of(value) == perm or (array is not None and array.ndim <= len(perm))


def _vanishes(value: ir.Value | None) -> bool:
    """Whether a transposed value has no reader but one, so that its transpose goes when that one is passed."""
    return _perm_of(value) is not None and value is not None and len(value.uses()) == 1 and not value.is_graph_output()


def _untransposed(build: Builder, value: ir.Value, perm: Perm) -> ir.Value:
    node = value.producer()
    if node is not None:
        source = node.inputs[0]
        assert source is not None
        return source
    array = constant(value)
    assert array is not None
    if array.size == 1:
        return value
    full = array.reshape((1,) * (len(perm) - array.ndim) + array.shape)
    return build.constant(np.ascontiguousarray(full.transpose(np.argsort(perm))))


def _transpose_after(graph: ir.Graph, node: ir.Node, perm: Perm) -> None:
    """The node now computes the untransposed value; its readers get the transpose of that."""
    value = node.outputs[0]
    _, shape = value_type(value)
    if shape is not None and len(shape) != len(perm):
        raise InvalidGraph(f"node {node.name!r} ({node.op_type}): rank {len(shape)} where {len(perm)} was expected")
    after = ir.node("Transpose", [value], {"perm": perm}, name=f"{node.name}/Transpose")
    moved = after.outputs[0]
    moved.name = f"{value.name}/transposed"
    moved.type, moved.shape = value.type, value.shape
    value.replace_all_uses_with(moved)
    after.replace_input_with(0, value)
    value.shape = None if shape is None else ir.Shape([shape[i] for i in np.argsort(perm)])
    graph.insert_after(node, after)
