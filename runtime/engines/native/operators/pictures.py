"""Pooling, response normalisation and joining of blocked pictures; views of plain memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import onnx_ir as ir

from ....inference import constant, is_constant
from ....ops._windows import Windows, windows
from ..assembly import Assembly, Kind, Op, dims, pictured
from ..host import host
from ..kernels import lrn as lrn_kernel
from ..kernels.pool import pool
from ..kernels.reorder import reframe
from ..layouts import Blocked
from ._nodes import bound, inhabited, is_float, windows_of
from .boxes import movable


@dataclass(eq=False)
class Pool(Op):
    """MaxPool, AveragePool and their global forms."""

    inputs: list[ir.Value]
    output: ir.Value
    kind: str
    where: Windows
    include_pad: bool = False

    def wants(self, kinds: Sequence[Kind]) -> tuple[Sequence[Kind], Kind]:
        return ["blocked"], "blocked"

    def emit(self, asm: Assembly) -> None:
        (x_slot, x), (y_slot, y), w = asm.read(self.inputs[0], "blocked"), asm.write(self.output, "blocked"), self.where
        assert isinstance(x, Blocked)
        assert isinstance(y, Blocked)
        asm.zero_frame(y_slot, y)
        step = pool(
            self.kind,
            x,
            y,
            x_slot,
            y_slot,
            kernel=w.kernel,
            strides=w.strides,
            dilations=w.dilations,
            pads=(w.begin[0], w.begin[1], w.end[0], w.end[1]),
            include_pad=self.include_pad,
        )
        asm.add(step)


def pooling(node: ir.Node) -> Pool | None:
    x = node.inputs[0]
    if not is_float(x, node.outputs[0]) or x is None or len(dims(x)) not in (3, 4) or len(node.outputs) != 1:
        return None
    a = {"dilations": None, "ceil_mode": 0, **bound(node)}
    kind = "max" if node.op_type == "MaxPool" else "mean"
    where = windows_of(x, a["kernel_shape"], a, ceil_mode=a["ceil_mode"])
    if not inhabited(where):
        return None
    return Pool([x], node.outputs[0], kind, where, bool(a.get("count_include_pad", 0)))


def global_pooling(node: ir.Node) -> Op | None:
    x = node.inputs[0]
    if not is_float(x, node.outputs[0]) or x is None or len(dims(x)) not in (3, 4):
        return None
    kind, size = "max" if node.op_type == "GlobalMaxPool" else "mean", pictured(dims(x))[2:]
    return Pool([x], node.outputs[0], kind, windows(size, size))


@dataclass(eq=False)
class View(Op):
    """Reshape, Flatten, Squeeze, Unsqueeze, Identity, Dropout: the plain memory is the same."""

    inputs: list[ir.Value]
    output: ir.Value

    def wants(self, kinds: Sequence[Kind]) -> tuple[Sequence[Kind], Kind]:
        return ["plain"], "plain"

    def emit(self, asm: Assembly) -> None:
        asm.alias(self.output, asm.read(self.inputs[0])[0])


def view(node: ir.Node) -> Op | None:
    x, y = node.inputs[0], node.outputs[0]
    used = [v for v in node.outputs[1:] if v.uses() or v.is_graph_output()]
    if x is None or not movable(x) or x.dtype != y.dtype or used or prod(dims(x)) != prod(dims(y)):
        return None
    if node.op_type == "Dropout" and len(node.inputs) > 2 and not _never(node.inputs[2]):
        return None
    return View([x], node.outputs[0])


def standing(node: ir.Node) -> Op | None:
    """Transpose, where only axes of size 1 change their places among the others."""
    x, y = node.inputs[0], node.outputs[0]
    perm = bound(node)["perm"] or tuple(reversed(range(len(dims(y)))))
    long = [axis for axis, size in zip(perm, dims(y), strict=True) if size > 1]
    return View([x], y) if x is not None and movable(x) and long == sorted(long) else None


def _never(training: ir.Value | None) -> bool:
    known = constant(training)
    return training is None or (known is not None and not known)


@dataclass(eq=False)
class Join(Op):
    """Concat along the channels of blocked values, where every part but the last fills whole blocks: most are computed
    where they belong. If none of them is blocked, `plain` computes it."""

    inputs: list[ir.Value]
    output: ir.Value
    plain: Op

    def wants(self, kinds: Sequence[Kind]) -> tuple[Sequence[Kind], Kind]:
        kind: Kind = "blocked" if "blocked" in kinds else "plain"
        return [kind] * len(self.inputs), kind

    def joined(self) -> Sequence[ir.Value]:
        return self.inputs

    def emit(self, asm: Assembly) -> None:
        if asm.kind(self.output) == "plain":
            self.plain.emit(asm)
            return
        block = 0
        for value in self.inputs:
            x_slot, x = asm.read(value, "blocked")
            assert isinstance(x, Blocked)
            missing = asm.part(self.output, value, block)
            if missing is not None:
                slot, part = missing
                asm.zero_frame(slot, part)
                asm.add(reframe(x, part, x_slot, slot))
            block += x.blocks
        asm.write(self.output, "blocked")


def joining(node: ir.Node, plain: Op) -> Op | None:
    values = [v for v in node.inputs if v is not None]
    axis = bound(node)["axis"]
    if not is_float(*values) or len(dims(node.outputs[0])) != 4 or axis % 4 != 1:
        return None
    if any(is_constant(v) for v in values) or any(dims(v)[1] % host().lanes for v in values[:-1]):
        return None
    return Join(values, node.outputs[0], plain)


@dataclass(eq=False)
class Respond(Op):
    """LRN."""

    inputs: list[ir.Value]
    output: ir.Value
    options: dict[str, Any]

    def wants(self, kinds: Sequence[Kind]) -> tuple[Sequence[Kind], Kind]:
        return ["blocked"], "blocked"

    def emit(self, asm: Assembly) -> None:
        (x_slot, x), (y_slot, y) = asm.read(self.inputs[0], "blocked"), asm.write(self.output, "blocked")
        assert isinstance(x, Blocked)
        assert isinstance(y, Blocked)
        asm.zero_frame(y_slot, y)
        asm.add(lrn_kernel.lrn(x, y, x_slot, y_slot, **self.options))


def response(node: ir.Node) -> Op | None:
    x, a = node.inputs[0], bound(node)
    if x is None or not is_float(x) or len(dims(x)) != 4 or not lrn_kernel.supports(a["size"], host().lanes):
        return None
    return Respond([x], node.outputs[0], a)
