"""Zeros around a picture become the padding of the operator that reads it.

Case 1: `Conv` of a `Pad` by zeros — the convolution pads.
Case 2: `AveragePool` of one — pooling pads, and counts what it padded.
Case 3: `MaxPool` of one, where what is padded is never negative — the zeros in a window change nothing, as long as it
has another value too.
Case 4: either of a `Transpose` of a `Pad` that nobody else reads — the `Pad` goes, the `Transpose` stays.

Only zeros along height and width count, of operators that leave no part of their input out (`ceil_mode`, `auto_pad`).
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ..builder import attributes
from ..inference import constant, value_type
from .transposes import permutation

READERS = ("Conv", "AveragePool", "MaxPool")
NOT_NEGATIVE = frozenset(("Relu", "Sigmoid", "HardSigmoid", "Softmax", "Softplus", "Abs", "Exp", "Sqrt"))
"""What gives no number below 0."""
PADS_SINCE = 2
"""Before this opset the attribute of Pad is called `paddings`."""


def run(model: ir.Model) -> bool:
    """Applies the cases above."""
    graph = model.graph
    if graph.opset_imports.get("", 0) < PADS_SINCE:
        return False
    readers = [node for node in graph if node.op_type in READERS and not node.domain]
    return sum(_visit(graph, node) for node in readers) > 0


def _visit(graph: ir.Graph, node: ir.Node) -> bool:
    read = node.inputs[0]
    above = read.producer() if read is not None else None
    if read is None or above is None:
        return False
    turn = permutation(read) if _alone(read) else None
    pad = above
    if turn is not None:
        under = above.inputs[0]
        producer = under.producer() if under is not None and _alone(under) else None
        if producer is None:
            return False
        pad = producer
    added = _zeros(pad)
    if added is None or pad.inputs[0] is None or not _pads(node, added[:, turn] if turn is not None else added, pad):
        return False
    (node if turn is None else above).replace_input_with(0, pad.inputs[0])
    if turn is not None:
        _, shape = value_type(pad.inputs[0])
        read.shape = None if shape is None else ir.Shape([shape[i] for i in turn])
    if not pad.outputs[0].uses() and not pad.outputs[0].is_graph_output():
        graph.remove(pad, safe=True)
    return True


def _alone(value: ir.Value) -> bool:
    return len(value.uses()) == 1 and not value.is_graph_output()


def _zeros(node: ir.Node) -> np.ndarray | None:
    """How many zeros a node puts before and behind each axis, [2, rank]; None if it is another node."""
    _, shape = value_type(node.outputs[0])
    given = attributes(node)
    if node.op_type != "Pad" or node.domain or shape is None or given.get("mode", "constant") != "constant":
        return None
    pads, value, axes = (_input(node, i) for i in (1, 2, 3))
    if len(node.inputs) < 2:
        pads, value = np.asarray(given.get("pads", ()), np.int64), np.asarray(given.get("value", 0.0))
    if pads is None or value is None or axes is None or (value.size and np.any(value)):
        return None
    where = axes if axes.size else np.arange(len(shape))
    if pads.size != 2 * where.size or (pads < 0).any():
        return None
    found = np.zeros((2, len(shape)), np.int64)
    found[:, where] = pads.reshape(2, -1)
    return found


def _input(node: ir.Node, index: int) -> np.ndarray | None:
    """A constant input; empty if it is left out, None if it is not constant."""
    value = node.inputs[index] if index < len(node.inputs) else None
    return np.zeros(0, np.int64) if value is None else constant(value)


def _pads(node: ir.Node, added: np.ndarray, pad: ir.Node) -> bool:
    """Gives a node padding beside its own, if that is the same as zeros before."""
    given = attributes(node)
    rank = added.shape[1] - 2
    before = np.asarray(given.get("pads", (0,) * (2 * rank))).reshape(2, -1)
    if added[:, :2].any() or rank < 1 or before.shape[1] != rank or given.get("auto_pad", "NOTSET") != "NOTSET":
        return False
    if node.op_type == "AveragePool" and (before.any() and not given.get("count_include_pad", 0)):
        return False
    pads = before + added[:, 2:]
    if node.op_type != "Conv" and not _pools(node, pads, pad):
        return False
    node.attributes["pads"] = ir.AttrInt64s("pads", pads.reshape(-1).tolist())
    if node.op_type == "AveragePool":
        node.attributes["count_include_pad"] = ir.AttrInt64("count_include_pad", 1)
    return True


def _pools(node: ir.Node, pads: np.ndarray, pad: ir.Node) -> bool:
    """Does each window hold a value that is not padding, and, where the largest counts, none below 0?"""
    given, source = attributes(node), pad.inputs[0]
    kernel = np.asarray(given["kernel_shape"])
    plain = all(d == 1 for d in given.get("dilations", ())) and not given.get("ceil_mode", 0)
    if not plain or len(node.outputs) != 1 or (pads >= kernel).any():
        return False
    assert isinstance(node.graph, ir.Graph)
    if node.op_type == "AveragePool":
        return node.graph.opset_imports[""] >= 7  # count_include_pad
    above = source.producer() if source is not None else None
    return above is not None and not above.domain and above.op_type in NOT_NEGATIVE
