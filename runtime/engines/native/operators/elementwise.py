"""Chains of elementwise operators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from ....dtypes import numpy_dtype
from ....inference import constant
from ..assembly import Assembly, Kind, Op, dims, pictured
from ..kernels import elementwise
from ..kernels.elementwise import Expression, Instruction, instruction
from ..kernels.operators import TYPES
from ..layouts import Blocked, Plain
from ._nodes import bound, clip_bounds, is_float

EXACT = 2.0**53
"""Up to here float64, in which bounds are kept, has every whole number."""


@dataclass(eq=False)
class Elementwise(Op):
    """A chain of elementwise operators on values that broadcast to one shape.

    `operands[i]` is what value i of the expression stands for: one of `inputs`, or an array.
    """

    inputs: list[ir.Value]
    output: ir.Value
    operands: list[ir.Value | np.ndarray]
    expression: Expression

    def wants(self, kinds: Sequence[Kind]) -> tuple[Sequence[Kind], Kind]:
        shape = dims(self.output)
        whole = [k for v, k in zip(self.inputs, kinds, strict=True) if dims(v) == shape] or kinds
        kind: Kind = "blocked" if "blocked" in whole and self._may_be_blocked() else "plain"
        return [kind] * len(kinds), kind

    def _may_be_blocked(self) -> bool:
        shape = dims(self.output)
        if len(shape) not in (3, 4):
            return False
        shapes = list(map(_shape, self.operands))
        fits = all(len(s) == len(shape) and s[1] == shape[1] for s in shapes)
        return is_float(*self.inputs, self.output) and fits

    def emit(self, asm: Assembly) -> None:
        kind = asm.kind(self.output)
        slots, layouts = [], []
        for operand in self.operands:
            if isinstance(operand, ir.Value):
                slot, layout = asm.read(operand, kind)
            elif kind == "plain":
                slot, layout = asm.constant(operand), Plain(operand.shape, operand.dtype)
            else:
                layout = Blocked(pictured(operand.shape), asm.lanes)
                packed = np.zeros(layout.nbytes, np.uint8)
                layout.pack(operand.reshape(layout.shape), packed)
                slot = asm.constant(packed)
            slots.append(slot)
            layouts.append(layout)
        y_slot, y = asm.write(self.output, kind)
        asm.add(*elementwise.steps(self.expression, layouts, [y], inputs=slots, outputs=[y_slot]))

    def merge(self, node: ir.Node, other: ir.Value | None) -> bool:
        """Takes in an elementwise node that reads the result, if the shape stays."""
        following = chain(node)
        if following is None or dims(node.outputs[0]) != dims(self.output) or len(self.expression.instructions) >= 16:
            return False
        assert isinstance(following, Elementwise)
        self.operands, self.expression = _joined(self, following)
        self.inputs = list(dict.fromkeys(v for v in self.operands if isinstance(v, ir.Value)))
        self.output = node.outputs[0]
        return True


def _joined(first: Elementwise, second: Elementwise) -> tuple[list[ir.Value | np.ndarray], Expression]:
    """The operands of two chains, of which the second reads the result of the first, and the expression of both."""
    link = first.output
    operands = [*first.operands, *(v for v in second.operands if v is not link)]
    given, steps = len(operands), len(first.expression.instructions)
    own = len(first.operands)
    in_first = [*range(own), *(given + i for i in range(steps))]
    fresh = iter(range(own, given))
    in_second = [given + steps - 1 if v is link else next(fresh) for v in second.operands]
    in_second += [given + steps + i for i in range(len(second.expression.instructions))]
    instructions = [_renumbered(i, in_first) for i in first.expression.instructions]
    instructions += [_renumbered(i, in_second) for i in second.expression.instructions]
    return operands, Expression(given, tuple(instructions))


def _shape(operand: ir.Value | np.ndarray) -> tuple[int, ...]:
    return dims(operand) if isinstance(operand, ir.Value) else operand.shape


def _renumbered(each: Instruction, places: Sequence[int]) -> Instruction:
    operands = tuple(places[x] if isinstance(x, int) else x for x in each.operands)
    return Instruction(each.op, operands, each.attributes)


def chain(node: ir.Node) -> Op | None:
    """One node as a chain of one instruction; constants of one element become part of the code."""
    if len(node.outputs) != 1 or not isinstance(node.graph, ir.Graph) or node.graph.opset_imports[""] < 7:
        return None
    y, given = node.outputs[0], bound(node)
    read: Sequence[ir.Value | None] = node.inputs
    if node.op_type == "Clip":
        bounds = clip_bounds(node)
        if bounds is None or (y.dtype == ir.DataType.INT64 and any(EXACT < abs(b) < np.inf for b in bounds)):
            return None
        read, given = node.inputs[:1], {n: b for n, b in zip(("min", "max"), bounds, strict=True) if np.isfinite(b)}
    elif node.op_type == "Cast":
        dtype = numpy_dtype(given["to"])
        if dtype.name not in TYPES:
            return None
        given = {"to": dtype.name}
    operands: list[ir.Value | np.ndarray] = []
    numbers: list[int | float] = []
    for value in read:
        known = constant(value)
        if value is None:
            return None
        if known is not None and known.size == 1 and known.dtype == np.float32 and known.ndim <= len(dims(y)):
            numbers.append(float(known.reshape(())))
        else:
            numbers.append(len(operands))
            operands.append(value if known is None else known)
    values = [v for v in operands if isinstance(v, ir.Value)]
    known_attributes = {n: v for n, v in given.items() if isinstance(v, (int, float, str)) and v is not None}
    expression = Expression(len(operands), (instruction(node.op_type, *numbers, **known_attributes),))
    made = Elementwise(list(dict.fromkeys(values)), y, operands, expression)
    layouts = [Plain(_shape(v), _dtype(v)) for v in operands]
    if not values or not elementwise.supports(expression, layouts, [Plain(dims(y), _dtype(y))]):
        return None
    return made


def _dtype(operand: ir.Value | np.ndarray) -> np.dtype:
    if isinstance(operand, np.ndarray):
        return operand.dtype
    assert operand.dtype is not None
    return numpy_dtype(operand.dtype.value)


def normalization(node: ir.Node) -> Op | None:
    """BatchNormalization with constant parameters, outside training: x · scale + shift, a number for each channel."""
    x = node.inputs[0]
    known = [constant(v) for v in node.inputs[1:5]]
    a = bound(node)
    if x is None or len(node.outputs) != 1 or a.get("training_mode", 0) or any(k is None for k in known):
        return None
    if not is_float(*node.inputs, *node.outputs) or len(dims(x)) < 2 or not a.get("spatial", 1):
        return None
    gamma, beta, mean, variance = (k.astype(np.float64) for k in known if k is not None)
    scale = gamma / np.sqrt(variance + a["epsilon"])
    shape = (1, -1, *(1,) * (len(dims(x)) - 2))
    numbers = [v.astype(np.float32).reshape(shape) for v in (scale, beta - mean * scale)]
    expression = Expression(3, (instruction("Mul", 0, 1), instruction("Add", 3, 2)))
    return Elementwise([x], node.outputs[0], [x, *numbers], expression)
