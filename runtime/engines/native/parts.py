"""How far into a stretch, and how many images at a time, a batch is best computed in parts.

A batch whose values do not fit the cache is written to memory by each operator and read again by the next. If the first
operators treat images independently, they can be walked for a few images at a time instead: their values stay in the
cache, but their weights are read once for each part. Both are estimated in bytes, for the better of all cuts; the
estimate does not depend on the number of threads, so results do not either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import onnx_ir as ir

from ...inference import is_constant
from .assembly import Op, dims
from .host import host
from .kernels.operators import OPERATORS as ELEMENTWISE
from .operators._nodes import bound

__all__ = ["Cut", "Part", "cut"]

ROOM = 2
"""Values have this part of a core's second cache for themselves."""
WORTH = 8 << 20
"""Bytes to be saved at least."""
NEAR = 0.9
"""Of the best cuts, those that save so much of what can be saved: that with the smallest parts is taken."""


class Cut(NamedTuple):
    """The first `nodes` of a stretch are computed for `images` at a time."""

    nodes: int
    images: int


@dataclass(frozen=True)
class _Cost:
    """What an op moves: bytes of values for each image, bytes of weights; which nodes it is, from first to last."""

    values: int
    weights: int
    first: int
    last: int


def cut(nodes: Sequence[ir.Node], ops: Sequence[Op]) -> Cut | None:
    """The best one, or None if the batch is better computed as a whole.

    Args:
        nodes: of the stretch.
        ops: which they become.
    """
    size = _batch(nodes)
    reach = next((i for i, node in enumerate(nodes) if not _independent(node, size)), len(nodes)) if size > 1 else 0
    costs = [cost for cost in _costs(nodes, ops, size) if cost.last < reach] if reach else []
    if not costs:
        return None
    ends = [end for end in range(1, reach + 1) if not any(c.first < end <= c.last for c in costs)]
    found = {
        Cut(end, images): sum(_saved(cost, size, images) for cost in costs if cost.last < end)
        for images in range(1, size)
        if size % images == 0
        for end in ends
    }
    most = max(found.values(), default=0)
    if most < WORTH:
        return None
    images = min(c.images for c, saved in found.items() if saved >= NEAR * most)
    return max((c for c in found if c.images == images), key=lambda c: found[c])


def _saved(cost: _Cost, size: int, images: int) -> int:
    """Bytes that need not come from beyond the cache, if an op is walked for so many images at a time."""
    room, parts = host().l2 // ROOM, size // images
    whole = max(0, size * cost.values - room)
    return whole - parts * max(0, images * cost.values - room) - (parts - 1) * cost.weights


def _batch(nodes: Sequence[ir.Node]) -> int:
    """The images of the first value that a stretch reads; 0 if it has none."""
    first = next((v for v in nodes[0].inputs if v is not None and not is_constant(v)), None)
    return dims(first)[0] if first is not None and dims(first) else 0


def _costs(nodes: Sequence[ir.Node], ops: Sequence[Op], size: int) -> Iterator[_Cost]:
    number = {node: i for i, node in enumerate(nodes)}
    for op in ops:
        inside = sorted(number[node] for node in _nodes_of(op) if node in number)
        if not inside:
            continue
        read = dict.fromkeys(v for i in inside for v in nodes[i].inputs if v is not None and is_constant(v))
        values = sum(map(_nbytes, [*op.inputs, op.output])) // size
        moves = any(nodes[i].op_type not in (*_VIEWS, "Concat") for i in inside)
        weights = int(op.growth * sum(map(_nbytes, read)))
        yield _Cost(values if moves else 0, weights, inside[0], inside[-1])


def _nodes_of(op: Op) -> Iterator[ir.Node]:
    """The nodes that an op stands for."""
    ahead, seen = [op.output], set(op.inputs)
    while ahead:
        value = ahead.pop()
        node = value.producer()
        if node is not None and value not in seen:
            seen.add(value)
            yield node
            ahead += [v for v in node.inputs if v is not None]


def _nbytes(value: ir.Value) -> int:
    return 0 if value.dtype is None else prod(dims(value)) * value.dtype.bitwidth // 8


# ---- which operators treat images independently


def _independent(node: ir.Node, size: int) -> bool:
    """Does each image of the outputs depend on the same image of the inputs alone?"""
    values = [v for v in (*node.inputs, *node.outputs) if v is not None and not is_constant(v)]
    rule = _RULES.get(node.op_type)
    return rule is not None and all(dims(v)[:1] == (size,) for v in values) and rule(node)


def _pointwise(node: ir.Node) -> bool:
    rank = len(dims(node.outputs[0]))
    constants = [dims(v) for v in node.inputs if v is not None and is_constant(v)]
    others = [v for v in node.inputs if v is not None and not is_constant(v)]
    return all(len(dims(v)) == rank for v in others) and all(len(c) < rank or c[0] == 1 for c in constants)


def _across(node: ir.Node) -> bool:
    """Works along another axis than the first."""
    rank = len(dims(node.outputs[0]))
    return bound(node)["axis"] % rank != 0


def _joined(node: ir.Node) -> bool:
    """A constant that is joined is there for all images."""
    return _across(node) and not any(v is not None and is_constant(v) for v in node.inputs)


def _stays(node: ir.Node) -> bool:
    return (bound(node)["perm"] or (1,))[0] == 0


def _gemm(node: ir.Node) -> bool:
    a, *others = node.inputs
    added = dims(others[1]) if len(others) > 1 and others[1] is not None else ()
    return (
        not is_constant(a)
        and not bound(node)["transA"]
        and all(v is None or is_constant(v) for v in others)
        and (len(added) < 2 or added[0] == 1)
    )


def _matmul(node: ir.Node) -> bool:
    a, b = node.inputs
    if a is None or b is None or is_constant(a):
        return False
    rank = len(dims(a))  # of 1, it is not a row for each image but a single one
    return rank > 1 and (len(dims(b)) == 2 if is_constant(b) else len(dims(b)) == rank > 2)


def _first(node: ir.Node) -> bool:
    """Of the inputs only the first is computed."""
    return not is_constant(node.inputs[0]) and all(v is None or is_constant(v) for v in node.inputs[1:])


_VIEWS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout")
"""What they give lies where it was."""

_RULES: dict[str, Callable[[ir.Node], bool]] = {
    **dict.fromkeys(ELEMENTWISE, _pointwise),
    **dict.fromkeys(("Conv", "ConvTranspose", "BatchNormalization", "InstanceNormalization", "LRN"), _first),
    **dict.fromkeys(("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"), _first),
    **dict.fromkeys(_VIEWS, _first),
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth"), _first),
    **dict.fromkeys(("Softmax", "LogSoftmax", "LayerNormalization"), _across),
    "Concat": _joined,
    "Transpose": _stays,
    "Gemm": _gemm,
    "MatMul": _matmul,
}
"""Operator → is a node of it, whose values all begin with the batch, computed image by image?"""


# ---- the same nodes for a part of the batch


class Part:
    """Copies of nodes for fewer images; constants are shared.

    Attributes:
        nodes: the copies, in order.
        values: whole value → the value of a part.
    """

    def __init__(self, graph: ir.Graph, nodes: Sequence[ir.Node], images: int) -> None:
        self.values: dict[ir.Value, ir.Value] = {}
        self._images = images
        self.nodes = [self._copied(node) for node in nodes]
        self._graph = ir.Graph((), (), nodes=self.nodes, opset_imports=dict(graph.opset_imports), name=graph.name)

    def _copied(self, node: ir.Node) -> ir.Node:
        inputs = [v if v is None or is_constant(v) else self._value(v) for v in node.inputs]
        outputs = [self._value(v) for v in node.outputs]
        made = ir.Node(
            node.domain, node.op_type, inputs, list(node.attributes.values()), outputs=outputs, name=node.name
        )
        made.meta.update(node.meta)
        return made

    def _value(self, whole: ir.Value) -> ir.Value:
        if whole not in self.values:
            shape = ir.Shape((self._images, *dims(whole)[1:]))
            self.values[whole] = ir.Value(name=whole.name, shape=shape, type=whole.type)
        return self.values[whole]

    def forget(self) -> None:
        """Lets go of the constants."""
        self._graph.remove(self.nodes, safe=True)
