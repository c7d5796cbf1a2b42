"""Transposes move towards the outputs until they meet their inverse.

Case 1: a transpose of a transpose — one transpose by the product, or none.
Case 2: a region of nodes that read what one or several transposes by the same permutation give — they read the values
before these, with their axes renamed (`_permuted`), and what leaves the region is transposed there. Constants are
turned to fit.

A region grows node by node, each when all that it reads is there, so that both sides of a diamond are; it is moved as
far as fewest transposes remain, or, where that is as many as before, as far as it goes. So there are never more
transposes than before, and the pass ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from ..builder import Builder, attributes
from ..errors import InvalidGraph
from ..inference import constant, is_constant, value_type
from ._permuted import Moved, Perm, moved


def run(model: ir.Model) -> bool:
    """Applies the cases above until none fits."""
    changed = False
    while _merge_all(model.graph, _transposes(model.graph)) or _sink_any(model.graph):
        changed = True
    return changed


def _transposes(graph: ir.Graph) -> list[ir.Node]:
    return [node for node in graph if node.op_type == "Transpose" and not node.domain]


def permutation(value: ir.Value | None) -> Perm | None:
    """The permutation by which a value is the transpose of another, or None."""
    node = value.producer() if value is not None else None
    if value is None or node is None or node.op_type != "Transpose" or node.domain:
        return None
    given = attributes(node).get("perm")
    _, shape = value_type(value)
    if given is not None:
        fits = sorted(given) == list(range(len(given))) and (shape is None or len(shape) == len(given))
        return tuple(given) if fits else None
    return None if shape is None else tuple(reversed(range(len(shape))))


def _is_identity(perm: Perm) -> bool:
    return perm == tuple(range(len(perm)))


def _combined(inner: Perm, outer: Perm) -> Perm:
    """The permutation of a transpose by `outer` of a transpose by `inner`."""
    return tuple(inner[i] for i in outer)


def _outside(value: ir.Value) -> bool:
    """Is it an output of the graph?"""
    return value.is_graph_output()


# ---- case 1


def _merge_all(graph: ir.Graph, nodes: Iterable[ir.Node]) -> bool:
    changed = False
    for node in nodes:
        while node.graph is graph and _merge(graph, node):
            changed = True
    return changed


def _merge(graph: ir.Graph, node: ir.Node) -> bool:
    outer, inner = permutation(node.outputs[0]), permutation(node.inputs[0])
    if outer is None or inner is None or len(inner) != len(outer):
        return False
    assert node.inputs[0] is not None
    before = node.inputs[0].producer()
    assert before is not None
    source = before.inputs[0]
    assert source is not None
    perm = _combined(inner, outer)
    if _is_identity(perm) and not _outside(node.outputs[0]):
        node.outputs[0].replace_all_uses_with(source)
        graph.remove(node, safe=True)
    else:
        node.replace_input_with(0, source)
        node.attributes["perm"] = ir.AttrInt64s("perm", perm)
    _drop_unread(graph, before)
    return True


def _drop_unread(graph: ir.Graph, node: ir.Node) -> None:
    if not node.outputs[0].uses() and not _outside(node.outputs[0]):
        graph.remove(node, safe=True)


# ---- case 2


@dataclass
class _Region:
    """Nodes, in order, that can read untransposed values, as far as looked.

    Attributes:
        perms: of the values that would be had untransposed: what the transposes give that the nodes read, and what the
            nodes give, unless that would not be transposed at all.
        sources: those transposes.
        moves: what each node becomes.
        costs: for each of the values, how many transposes would be left at it, less those that are there now.
    """

    perms: dict[ir.Value, Perm] = field(default_factory=dict)
    sources: list[ir.Node] = field(default_factory=list)
    moves: dict[ir.Node, Moved] = field(default_factory=dict)
    costs: dict[ir.Value, int] = field(default_factory=dict)

    def may_enter(self, source: ir.Node) -> bool:
        """A transpose of what a node of the region gives would not be one of the same value any more."""
        read = source.inputs[0]
        return read is not None and read.producer() not in self.moves

    def may_move(self, node: ir.Node) -> bool:
        """The same, when the node comes later than the transpose."""
        return not any(s.inputs[0] in node.outputs for s in self.sources) and not any(map(_outside, node.outputs))

    def enter(self, source: ir.Node) -> None:
        """Takes in a transpose."""
        value = source.outputs[0]
        perm = permutation(value)
        assert perm is not None
        self.sources.append(source)
        self.perms[value] = perm

    def settle(self, value: ir.Value) -> int:
        """Counts anew what is left at a value; returns the difference to the last count.

        At a source nothing, or itself. Behind a node one transpose for all that read the transposed value; those that
        are transposes read the value itself, and vanish if they undo what would be put there.
        """
        outside = [u.node for u in value.uses() if u.node not in self.moves]
        producer = value.producer()
        if producer is not None and producer in self.moves:
            perm = self.perms[value]
            turned = [(n, permutation(n.outputs[0]) if n.graph is producer.graph else None) for n in outside]
            undone = [n for n, p in turned if p is not None and _is_identity(_combined(perm, p))]
            cost = any(p is None for _, p in turned) - sum(not _outside(n.outputs[0]) for n in undone)
        else:
            cost = 0 if outside or _outside(value) else -1
        change = cost - self.costs.get(value, 0)
        self.costs[value] = cost
        return change


def _sink_any(graph: ir.Graph) -> bool:
    changed = False
    for node in _transposes(graph):
        perm = permutation(node.outputs[0]) if node.graph is graph else None
        if perm is None or _is_identity(perm):
            continue
        region, nodes = _grown(graph, node)
        if nodes:
            _move(graph, region, nodes)
            changed = True
    return changed


def _grown(graph: ir.Graph, source: ir.Node) -> tuple[_Region, list[ir.Node]]:
    """The region that begins at a transpose, and those of its nodes that are best moved."""
    region = _Region()
    region.enter(source)
    ahead = deque(_readers(graph, source.outputs[0]))
    left = least = best = 0
    while ahead:
        node = ahead.popleft()
        move = None if node in region.moves else _move_of(node, region)
        if move is None:
            continue
        given = [v for v in node.inputs[: move.data] if v is not None]
        for value in given:
            producer = value.producer()
            if value not in region.perms and permutation(value) is not None and producer is not None:
                region.enter(producer)
                ahead.extend(_readers(graph, value))
        region.moves[node] = move
        made = [] if _is_identity(move.perm) else list(node.outputs)
        region.perms |= dict.fromkeys(made, move.perm)
        left += sum(map(region.settle, dict.fromkeys(v for v in (*given, *made) if v in region.perms)))
        if left <= least:
            least, best = left, len(region.moves)
        ahead.extend(n for v in made for n in _readers(graph, v))
    return region, list(region.moves)[:best]


def _readers(graph: ir.Graph, value: ir.Value) -> list[ir.Node]:
    return [u.node for u in value.uses() if u.node.graph is graph]


def _move_of(node: ir.Node, region: _Region) -> Moved | None:
    """What a node becomes in a region, if all that it reads is there, or is the same transposed and not."""
    perms = {p for v in node.inputs if v is not None and (p := region.perms.get(v, permutation(v))) is not None}
    if len(perms) != 1 or not region.may_move(node):
        return None
    perm = perms.pop()
    move = moved(node, perm)
    if move is None or any(v in region.perms for v in node.inputs[move.data :]):
        return None
    return move if all(_fits(v, perm, region) for v in node.inputs[: move.data]) else None


def _fits(value: ir.Value | None, perm: Perm, region: _Region) -> bool:
    if value is None or value in region.perms:
        return True
    producer = value.producer()
    if producer is not None and permutation(value) is not None:
        return region.may_enter(producer)
    _, shape = value_type(value)
    return shape is not None and len(shape) <= len(perm) and (is_constant(value) or all(size == 1 for size in shape))


def _move(graph: ir.Graph, region: _Region, nodes: list[ir.Node]) -> None:
    build = Builder(graph)
    fresh = {s.outputs[0]: s.inputs[0] for s in region.sources}
    for node in nodes:
        build.before, move = node, region.moves[node]
        perm = next(region.perms[v] for v in node.inputs if v is not None and v in region.perms)
        for i, value in enumerate(node.inputs[: move.data]):
            if value is not None:
                node.replace_input_with(i, fresh.get(value) or _turned(build, value, perm))
        for i, array in move.inputs.items():
            node.resize_inputs(max(i + 1, len(node.inputs)))
            node.replace_input_with(i, build.constant(array))
        node.attributes.update(move.attributes)
        fresh |= {v: v for v in node.outputs}
    for source in region.sources:
        if source.graph is graph:
            _drop_unread(graph, source)
    within = set(nodes)
    for node in nodes:
        if not _is_identity(region.moves[node].perm):
            for value in node.outputs:
                _transpose_after(build, value, region.moves[node].perm, within)


def _turned(build: Builder, value: ir.Value, perm: Perm) -> ir.Value:
    """A constant for untransposed neighbours; one number, or several of one element each, are the same."""
    array = constant(value)
    if array is None or array.size == 1:
        return value
    full = array.reshape((1,) * (len(perm) - array.ndim) + array.shape)
    return build.constant(np.ascontiguousarray(full.transpose(np.argsort(perm))))


def _transpose_after(build: Builder, value: ir.Value, perm: Perm, within: set[ir.Node]) -> None:
    """The value is now the untransposed one; readers outside of its region get the transpose of it."""
    node = value.producer()
    assert node is not None
    _, shape = value_type(value)
    if shape is not None and len(shape) != len(perm):
        raise InvalidGraph(f"node {node.name!r} ({node.op_type}): rank {len(shape)} where {len(perm)} was expected")
    outside = [(u.node, u.idx) for u in value.uses() if u.node not in within]
    if outside:
        after = ir.node("Transpose", [value], {"perm": perm}, name=build.unique(f"{node.name}/Transpose"))
        after.outputs[0].name = build.unique(f"{value.name}/transposed")
        after.outputs[0].type, after.outputs[0].shape = value.type, value.shape
        build.graph.insert_after(node, after)
        for reader, i in outside:
            reader.replace_input_with(i, after.outputs[0])
        _merge_all(build.graph, dict.fromkeys(n for n, _ in outside if n.op_type == "Transpose" and not n.domain))
    value.shape = None if shape is None else ir.Shape([shape[i] for i in np.argsort(perm)])
