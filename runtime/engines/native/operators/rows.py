"""Softmax, layer normalisation and reductions of plain values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import onnx_ir as ir

from ....inference import constant
from ..assembly import Assembly, Kind, Op, dims
from ..kernels import rows
from ..layouts import Plain
from ..program import Step
from ._nodes import bound, is_float

REDUCTIONS = {
    "ReduceSum": "sum", "ReduceMean": "mean", "ReduceMax": "max", "ReduceMin": "min", "ReduceSumSquare": "sum_square",
    "ReduceL1": "l1", "ReduceL2": "l2",
}  # fmt: skip


@dataclass(eq=False)
class Rows(Op):
    """`steps(x, y, *constants)` gives the steps for these slots."""

    inputs: list[ir.Value]
    output: ir.Value
    steps: Callable[..., list[Step]]
    constants: Sequence[np.ndarray] = ()

    def wants(self, kinds: Sequence[Kind]) -> tuple[Sequence[Kind], Kind]:
        return ["plain"], "plain"

    def emit(self, asm: Assembly) -> None:
        x, y = asm.read(self.inputs[0])[0], asm.write(self.output)[0]
        asm.add(*self.steps(x, y, *(asm.constant(array) for array in self.constants)))


def softmax(node: ir.Node) -> Op | None:
    """Before opset 13 over all axes from one on, since then along one."""
    x = node.inputs[0]
    if x is None or not is_float(x) or not dims(x) or not isinstance(node.graph, ir.Graph):
        return None
    shape, axis, log = dims(x), bound(node)["axis"], node.op_type == "LogSoftmax"
    axis += len(shape) if axis < 0 else 0
    if node.graph.opset_imports[""] < 13:
        shape, axis = (prod(shape[:axis]), prod(shape[axis:])), 1
    return Rows([x], node.outputs[0], lambda x, y: rows.softmax_steps(Plain(shape), axis, x, y, log=log))


def reduction(node: ir.Node) -> Op | None:
    """Over axes next to each other."""
    x, kind, a = node.inputs[0], REDUCTIONS[node.op_type], bound(node)
    if x is None or not is_float(x) or not dims(x) or len(node.outputs) != 1:
        return None
    given = node.inputs[1] if len(node.inputs) > 1 else None
    known = constant(given)
    if given is not None and known is None:
        return None
    axes = a.get("axes") if known is None else known.tolist()
    if not axes:
        if a.get("noop_with_empty_axes"):
            return None
        axes = range(len(dims(x)))
    layout, chosen = Plain(dims(x)), list(axes)
    try:
        rows.reduce_steps(kind, layout, chosen, 0, 1)
    except ValueError:
        return None
    return Rows([x], node.outputs[0], lambda x, y: rows.reduce_steps(kind, layout, chosen, x, y))


def layer_normalization(node: ir.Node) -> Op | None:
    """With constant scale and bias of the normalised shape, where only Y is asked for."""
    x, a = node.inputs[0], bound(node)
    used = [v for v in node.outputs[1:] if v.uses() or v.is_graph_output()]
    if x is None or not is_float(*node.inputs, node.outputs[0]) or used or not dims(x):
        return None
    axis = a["axis"] % len(dims(x))
    known = [constant(v) for v in node.inputs[1:]]
    if any(k is None or k.shape != dims(x)[axis:] for k in known):
        return None
    centred = node.op_type == "LayerNormalization"
    layout, epsilon = Plain(dims(x)), a["epsilon"]

    def steps(x: int, y: int, scale: int, bias: int | None = None) -> list[Step]:
        return rows.norm_steps(layout, axis, epsilon, x, scale, bias, y, centred=centred)

    return Rows([x], node.outputs[0], steps, [k for k in known if k is not None])
