"""How much memory the values of a body need at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import onnx_ir as ir

__all__ = ["element_count", "peak_bytes", "value_bytes"]


def element_count(value: ir.Value) -> int | None:
    """How many elements a value has, if its shape is known in full."""
    if value.shape is None:
        return None
    count = 1
    for dim in value.shape:
        if not isinstance(dim, int):
            return None
        count *= dim
    return count


def value_bytes(value: ir.Value) -> int | None:
    """The size of a value; None where it is not known, and for text, sequences and maps."""
    count, dtype = element_count(value), value.dtype
    if count is None or dtype in (None, ir.DataType.STRING, ir.DataType.UNDEFINED):
        return None
    if value.type is not None and not isinstance(value.type, ir.TensorType):
        return None
    assert dtype is not None
    return -(-count * dtype.bitwidth // 8)


def peak_bytes(
    nodes: Sequence[ir.Node],
    inputs: Sequence[ir.Value],
    outputs: Sequence[ir.Value],
    *,
    size: Callable[[ir.Value], int],
    is_view: Callable[[ir.Node], bool],
    inside: Mapping[ir.Node, int],
) -> int:
    """The most bytes in use at once: a value lives from the node that makes it to the last one that reads it or a view.

    Args:
        size: bytes of a value; 0 for one that is not to be counted.
        inside: what the body or function of a node needs beyond its inputs and outputs.
    """
    roots: dict[ir.Value, ir.Value] = {v: v for v in inputs}
    last: dict[ir.Value, int] = dict.fromkeys(inputs, -1)
    for i, node in enumerate(nodes):
        for value in _reads(node):
            if value in roots:
                last[roots[value]] = i
        source = node.inputs[0] if node.inputs and is_view(node) else None
        for value in node.outputs:
            root = roots.get(source, value) if source is not None else value
            roots[value], last[root] = root, i
    for value in outputs:
        if value in roots:
            last[roots[value]] = len(nodes)
    ends: list[list[ir.Value]] = [[] for _ in range(len(nodes) + 2)]
    for value, i in last.items():
        ends[i].append(value)
    alive = peak = sum(size(v) for v in inputs)
    alive -= sum(size(v) for v in ends[-1])
    for i, node in enumerate(nodes):
        alive += sum(size(v) for v in node.outputs if roots[v] is v)
        peak = max(peak, alive + inside.get(node, 0))
        alive -= sum(size(v) for v in ends[i])
    return peak


def _reads(node: ir.Node) -> Iterator[ir.Value]:
    """What a node reads, bodies included."""
    pending = [node]
    while pending:
        current = pending.pop()
        yield from (v for v in current.inputs if v is not None)
        for attribute in current.attributes.values():
            if attribute.type == ir.AttributeType.GRAPH and not attribute.is_ref():
                graph = attribute.as_graph()
                pending += list(graph)
                yield from graph.outputs
