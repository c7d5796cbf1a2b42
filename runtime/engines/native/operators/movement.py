"""Gather by constant indices; the shuffle of channels that a reshape, a transpose and a reshape are (ShuffleNet)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import onnx_ir as ir

from ....inference import constant
from ..assembly import Assembly, Kind, Op, dims
from ..kernels.channels import channel_table, permute_channels
from ..kernels.movement import take
from ..layouts import Blocked, Plain
from ._nodes import bound, is_float, only_reader
from .boxes import Boxes, Part, movable

_SHUFFLE = (0, 2, 1, 3, 4)


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
        order = self.order.tolist()
        asm.add(permute_channels(x, y, order, x_slot, y_slot, asm.constant(channel_table(x, order))))


@dataclass(eq=False)
class Take(Op):
    """Gather of plain values along one axis by constant indices."""

    inputs: list[ir.Value]
    output: ir.Value
    axis: int
    indices: np.ndarray

    def wants(self, kinds: Sequence[Kind]) -> tuple[Sequence[Kind], Kind]:
        return ["plain"], "plain"

    def emit(self, asm: Assembly) -> None:
        (x, layout), (y, _) = asm.read(self.inputs[0]), asm.write(self.output)
        shape = dims(self.inputs[0])
        assert isinstance(layout, Plain)
        inner = prod(shape[self.axis + 1 :]) * layout.dtype.itemsize
        outer = prod(shape[: self.axis])
        table = asm.constant(self.indices.astype(np.int64) * inner)
        asm.add(take(outer, shape[self.axis] * inner, self.indices.size, inner, x, y, table))


def gather(node: ir.Node) -> Op | None:
    """Of channels of pictures, of what lies at equal distances, of anything else."""
    x, known = node.inputs[0], constant(node.inputs[1])
    if x is None or known is None or not movable(x) or not known.size or not dims(x):
        return None
    shape, axis = dims(x), bound(node)["axis"] % len(dims(x))
    if known.min() < -shape[axis] or known.max() >= shape[axis]:
        return None
    order = known.reshape(-1) % shape[axis]
    if known.ndim == 1 and axis == 1 and len(shape) == 4 and is_float(x) and len(set(np.diff(order))) > 1:
        return Shuffle([x], node.outputs[0], order)
    apart = set(np.diff(order).tolist()) or {1}
    if len(apart) > 1:
        return Take([x], node.outputs[0], axis, order)
    seen = (prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :]))
    counts = (seen[0], order.size, seen[2])
    part = Part(counts, start=(0, int(order[0]), 0), step=(1, apart.pop(), 1))
    return Boxes([x], node.outputs[0], [part], shapes=(seen, counts))


def shuffle(node: ir.Node, wanted: set[ir.Value]) -> tuple[Op, Sequence[ir.Node]] | None:
    """The shuffle of channels that begins with a reshape."""
    chain = [node]
    for name in ("Transpose", "Reshape"):
        follower = only_reader(chain[-1].outputs[0], wanted) if chain[0].op_type == "Reshape" else None
        if follower is None or follower.op_type != name:
            return None
        chain.append(follower)
    found = shuffled(*chain)
    return None if found is None else (found, chain[1:])


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
