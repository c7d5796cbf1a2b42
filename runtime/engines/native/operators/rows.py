"""Softmax, layer normalisation and reductions of plain values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import onnx_ir as ir

from ....inference import constant
from ..assembly import Assembly, Kind, Op, dims
from ..kernels import norms, places, rows
from ..kernels.copies import copy_box, side
from ..kernels.pool import pool
from ..layouts import Blocked, Plain
from ..program import Step
from . import pictures
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


@dataclass(eq=False)
class Reduce(Op):
    """A reduction over any axes; where they are not neighbours, the value is transposed first."""

    inputs: list[ir.Value]
    output: ir.Value
    kind: str
    axes: Sequence[int]

    def wants(self, kinds: Sequence[Kind]) -> tuple[Sequence[Kind], Kind]:
        kind: Kind = "blocked" if kinds[0] == "blocked" and self._pools() else "plain"
        return [kind], kind

    def _pools(self) -> bool:
        """Is it a global pooling of pictures?"""
        x, y = dims(self.inputs[0]), dims(self.output)
        return self.kind in ("mean", "max") and list(self.axes) == [2, 3] and len(x) == 4 and len(y) in (2, 4)

    def emit(self, asm: Assembly) -> None:
        kind = asm.kind(self.output)
        (x, layout), (y, target) = asm.read(self.inputs[0], kind), asm.write(self.output, kind)
        if isinstance(layout, Blocked) and isinstance(target, Blocked):
            asm.zero_frame(y, target)
            asm.add(pool(self.kind, layout, target, x, y, kernel=layout.shape[2:]))
            return
        assert isinstance(layout, Plain)
        rank, first = len(layout.shape), self.axes[0]
        if list(self.axes) == list(range(first, first + len(self.axes))):
            asm.add(*rows.reduce_steps(self.kind, layout, self.axes, x, y))
            return
        perm = [*(i for i in range(rank) if i not in self.axes), *self.axes]
        turned, made = Plain(tuple(layout.shape[i] for i in perm)), asm.scratch(layout.nbytes)
        asm.add(*copy_box(side(layout, perm=perm), side(turned), turned.shape, x, made, label="transpose"))
        asm.add(*rows.reduce_steps(self.kind, turned, range(rank - len(self.axes), rank), made, y))


def reduction(node: ir.Node) -> Op | None:
    """Over constant axes."""
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
    chosen = sorted({axis % len(dims(x)) for axis in axes})
    return Reduce([x], node.outputs[0], kind, chosen) if len(chosen) == len(list(axes)) else None


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


def global_pooling(node: ir.Node) -> Op | None:
    """GlobalAveragePool and GlobalMaxPool: of volumes a reduction."""
    x, y = node.inputs[0], node.outputs[0]
    if x is None or len(dims(x)) < 5 or not is_float(x, y):
        return pictures.global_pooling(node)
    return Reduce([x], y, "max" if node.op_type == "GlobalMaxPool" else "mean", range(2, len(dims(x))))


@dataclass(eq=False)
class GroupNorm(Op):
    """InstanceNormalization and GroupNormalization with constant scale and bias, one of each for every channel."""

    inputs: list[ir.Value]
    output: ir.Value
    groups: int
    epsilon: float
    scale: np.ndarray
    bias: np.ndarray

    def wants(self, kinds: Sequence[Kind]) -> tuple[Sequence[Kind], Kind]:
        shape = dims(self.output)
        planes = self.groups == shape[1] and len(shape) in (3, 4)
        kind: Kind = "blocked" if planes and kinds[0] == "blocked" else "plain"
        return [kind], kind

    def emit(self, asm: Assembly) -> None:
        kind = asm.kind(self.output)
        (x, layout), (y, target) = asm.read(self.inputs[0], kind), asm.write(self.output, kind)
        if isinstance(layout, Plain):
            scale, bias = asm.constant(self.scale), asm.constant(self.bias)
            asm.add(*norms.group_norm_steps(layout, self.groups, self.epsilon, x, scale, bias, y))
            return
        assert isinstance(target, Blocked)
        scale, bias = (asm.constant(np.pad(v, (0, -len(v) % layout.lanes))) for v in (self.scale, self.bias))
        asm.add(*rows.instance_norm_steps(layout, target, self.epsilon, x, scale, bias, y))


def group_normalization(node: ir.Node) -> Op | None:
    x, scale, bias = node.inputs[0], constant(node.inputs[1]), constant(node.inputs[2])
    if x is None or scale is None or bias is None or not is_float(*node.inputs, *node.outputs) or len(dims(x)) < 3:
        return None
    a, channels = bound(node), dims(x)[1]
    groups = a.get("num_groups", channels)
    if channels % groups or len(scale) not in (groups, channels) or len(bias) != len(scale):
        return None
    scale, bias = (np.repeat(v, channels // len(v)) for v in (scale, bias))
    return GroupNorm([x], node.outputs[0], groups, a["epsilon"], scale, bias)


def lp_normalization(node: ir.Node) -> Op | None:
    x, a = node.inputs[0], bound(node)
    if x is None or not is_float(x, node.outputs[0]) or not dims(x) or a["p"] not in (1, 2):
        return None
    layout, axis, p = Plain(dims(x)), a["axis"], a["p"]
    return Rows([x], node.outputs[0], lambda x, y: norms.lp_norm_steps(layout, axis, p, x, y))


def place(node: ir.Node) -> Op | None:
    """ArgMax and ArgMin."""
    x, a = node.inputs[0], bound(node)
    if x is None or not is_float(x) or not dims(x):
        return None
    layout, axis, last = Plain(dims(x)), a["axis"], bool(a.get("select_last_index", 0))
    smallest = node.op_type == "ArgMin"
    return Rows([x], node.outputs[0], lambda x, y: places.place_steps(layout, axis, x, y, smallest=smallest, last=last))
