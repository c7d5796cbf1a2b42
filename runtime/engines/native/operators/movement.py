"""Transposes; and the shuffle of channels that a reshape, a transpose and a reshape are (ShuffleNet)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from ..assembly import Assembly, Kind, Op, dims
from ..kernels.movement import RANK, channel_table, merged, permute_channels, transpose
from ..layouts import Blocked, Plain
from ._nodes import bound

_SHUFFLE = (0, 2, 1, 3, 4)


@dataclass(eq=False)
class Transposition(Op):
    """Transpose of a plain value of 4- or 8-byte elements."""

    inputs: list[ir.Value]
    output: ir.Value
    perm: tuple[int, ...]

    def wants(self, kinds: Sequence[Kind]) -> tuple[Sequence[Kind], Kind]:
        return ["plain"], "plain"

    def emit(self, asm: Assembly) -> None:
        (x, layout), (y, _) = asm.read(self.inputs[0]), asm.write(self.output)
        assert isinstance(layout, Plain)
        asm.add(transpose(Plain(dims(self.inputs[0]), layout.dtype), self.perm, x, y))


@dataclass(eq=False)
class Shuffle(Op):
    """Channels of a picture in another order: `order[c]` is the source of channel c."""

    inputs: list[ir.Value]
    output: ir.Value
    order: np.ndarray

    def wants(self, kinds: Sequence[Kind]) -> tuple[Sequence[Kind], Kind]:
        return ["blocked"], "blocked"

    def emit(self, asm: Assembly) -> None:
        (x_slot, x), (y_slot, y) = asm.read(self.inputs[0], "blocked"), asm.write(self.output, "blocked")
        assert isinstance(x, Blocked)
        assert isinstance(y, Blocked)
        asm.zero_frame(y_slot, y)
        asm.add(permute_channels(x, y, x_slot, y_slot, asm.constant(channel_table(x, self.order.tolist()))))


def transposition(node: ir.Node) -> Op | None:
    x = node.inputs[0]
    if x is None or x.dtype is None or x.dtype == ir.DataType.STRING or x.dtype.numpy().itemsize not in (4, 8):
        return None
    perm = bound(node)["perm"] or tuple(reversed(range(len(dims(x)))))
    return Transposition([x], node.outputs[0], tuple(perm)) if len(merged(dims(x), perm)[0]) <= RANK else None


def shuffled(first: ir.Node, second: ir.Node, third: ir.Node) -> Shuffle | None:
    """The shuffle that a reshape to [N, groups, C/groups, H, W], a transpose and a reshape back are, or None."""
    x, split, turned, joined = first.inputs[0], first.outputs[0], second.outputs[0], third.outputs[0]
    chained = second.inputs[0] is split and third.inputs[0] is turned
    alone = all(len(v.uses()) == 1 and not v.is_graph_output() for v in (split, turned))
    if x is None or not chained or not alone or x.dtype != ir.DataType.FLOAT or len(dims(x)) != 4:
        return None
    if tuple(bound(second)["perm"] or ()) != _SHUFFLE or dims(joined) != dims(x):
        return None
    n, c, h, w = dims(x)
    groups = dims(split)[1]
    if dims(split) != (n, groups, c // groups, h, w):
        return None
    return Shuffle([x], joined, np.arange(c).reshape(groups, c // groups).T.ravel())
