"""What an operator becomes when its inputs are given untransposed: the same operator, its axes renamed.

If x is the transpose of u by p, axis i of x is axis p[i] of u. `RULES` say for a node that reads x how it reads u, and
by which permutation its results are then transposed. Results that lost axes are transposed by what is left of p.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from ..builder import attributes
from ..inference import constant, value_type

__all__ = ["Moved", "Perm", "moved"]

Perm = tuple[int, ...]

ELEMENTWISE = frozenset((
    "Abs", "Acos", "Acosh", "Add", "And", "Asin", "Asinh", "Atan", "Atanh", "Cast", "Ceil", "Celu", "Clip",
    "Cos", "Cosh", "Div", "Dropout", "Elu", "Equal", "Erf", "Exp", "Floor", "Gelu", "Greater", "GreaterOrEqual",
    "HardSigmoid", "HardSwish", "Identity", "IsInf", "IsNaN", "LeakyRelu", "Less", "LessOrEqual", "Log", "Max",
    "Mean", "Min", "Mish", "Mod", "Mul", "Neg", "Not", "Or", "PRelu", "Pow", "Reciprocal", "Relu", "Round",
    "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Swish",
    "Tan", "Tanh", "ThresholdedRelu", "Where", "Xor",
))  # fmt: skip
REDUCTIONS = (
    *("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd"),
    *("ReduceSum", "ReduceSumSquare"),
)


@dataclass(frozen=True)
class Moved:
    """A node that reads untransposed values.

    Attributes:
        perm: by which its results are transposed then.
        data: how many of its first inputs are the values in question.
        attributes: that it gets.
        inputs: other inputs that it gets: axes, and what goes with them.
    """

    perm: Perm
    data: int = 1
    attributes: Mapping[str, ir.Attr] = field(default_factory=dict)
    inputs: Mapping[int, np.ndarray] = field(default_factory=dict)


def moved(node: ir.Node, perm: Perm) -> Moved | None:
    """The node for inputs that are not transposed by `perm`; None if it cannot be, or is not known to be, the same."""
    found = RULES.get(node.op_type)
    if node.domain or found is None or not isinstance(node.graph, ir.Graph):
        return None
    since, outputs, rule = found
    if node.graph.opset_imports[""] < since or (outputs is not None and len(node.outputs) != outputs):
        return None
    return rule(node, perm)


def _elementwise(node: ir.Node, perm: Perm) -> Moved | None:
    return Moved(perm, len(node.inputs))


def _along_axis(node: ir.Node, perm: Perm) -> Moved | None:
    axis = attributes(node).get("axis", 0 if node.op_type == "Split" else -1)
    if not -len(perm) <= axis < len(perm):
        return None
    data = len(node.inputs) if node.op_type == "Concat" else 1
    return Moved(perm, data, {"axis": ir.AttrInt64("axis", perm[axis])})


def _pad(node: ir.Node, perm: Perm) -> Moved | None:
    axes = node.inputs[3] if len(node.inputs) > 3 else None
    if axes is not None:
        named = _renamed(constant(axes), perm)
        return None if named is None else Moved(perm, inputs={3: named})
    pads = constant(node.inputs[1])
    if pads is None or pads.size != 2 * len(perm):
        return None
    return Moved(perm, inputs={1: np.ascontiguousarray(pads.reshape(2, -1)[:, np.argsort(perm)]).reshape(-1)})


def _slice(node: ir.Node, perm: Perm) -> Moved | None:
    axes = node.inputs[3] if len(node.inputs) > 3 else None
    if axes is not None:
        named = _renamed(constant(axes), perm)
    else:
        _, shape = value_type(node.inputs[1]) if node.inputs[1] is not None else (None, None)
        count = shape[0] if shape is not None and len(shape) == 1 else None
        named = _renamed(np.arange(count), perm) if isinstance(count, int) else None
    return None if named is None else Moved(perm, inputs={3: named})


def _reduction(node: ir.Node, perm: Perm) -> Moved | None:
    given = attributes(node)
    read = node.inputs[1] if len(node.inputs) > 1 else None
    axes = constant(read) if read is not None else given.get("axes")
    if read is None and axes is None and not given.get("noop_with_empty_axes", 0):
        return Moved(perm if given.get("keepdims", 1) else ())
    if axes is None or not len(axes):
        return None
    named = _renamed(np.asarray(axes), perm)
    if named is None:
        return None
    left = perm if given.get("keepdims", 1) else _without(perm, {int(i) for i in named})
    if read is not None:
        return Moved(left, inputs={1: named})
    return Moved(left, attributes={"axes": ir.AttrInt64s("axes", named.tolist())})


def _renamed(axes: np.ndarray | None, perm: Perm) -> np.ndarray | None:
    if axes is None or axes.ndim != 1 or any(not -len(perm) <= axis < len(perm) for axis in axes):
        return None
    return np.array([perm[axis] for axis in axes], np.int64)


def _without(perm: Perm, gone: set[int]) -> Perm:
    """The permutation of the axes that are left."""
    kept = [axis for axis in perm if axis not in gone]
    return tuple(sorted(kept).index(axis) for axis in kept)


Rule = Callable[[ir.Node, Perm], Moved | None]

RULES: Mapping[str, tuple[int, int | None, Rule]] = {
    **dict.fromkeys(ELEMENTWISE, (7, 1, _elementwise)),
    "Concat": (13, 1, _along_axis),
    "Softmax": (13, 1, _along_axis),
    "LogSoftmax": (13, 1, _along_axis),
    "Split": (13, None, _along_axis),
    "Pad": (11, 1, _pad),
    "Slice": (10, 1, _slice),
    **dict.fromkeys(REDUCTIONS, (7, 1, _reduction)),
}
"""Operator → the opset since when it works so, how many outputs it must have (None: any number), and the rule.

Before opset 7 `axis` and the order of the dimensions say how inputs are broadcast; before 13 Softmax and LogSoftmax
work along all axes from one on."""
