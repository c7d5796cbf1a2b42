"""The stretches of a graph that the native engine computes, each put into one node.

Nodes are taken in order. A stretch grows while nodes can be lowered; one that cannot ends it. A stretch too small to be
worth the way in and out stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import onnx_ir as ir

from ...ops.registry import Operator
from ...plan import DIRECT, OPERATOR
from .arena import Front
from .assembly import Assembly, Op, dims, stretch
from .composed import compose
from .operators import PATTERNS, ops_of
from .parts import Part, cut
from .settings import Settings

__all__ = ["DOMAIN", "lower"]

DOMAIN = "striate.native"

WORTH = ("Conv", "ConvTranspose", "Gemm", "MatMul", "QLinearConv")
"""A stretch must hold one of these."""

Nodes = dict[ir.Node, list[Op]]
"""The nodes of a stretch, in order, each with the ops that it is by itself."""


def lower(model: ir.Model, settings: Settings) -> bool:
    """Replaces stretches of a model whose shapes are known by nodes of `DOMAIN`, in place."""
    graph = model.graph
    changed = compose(graph, strict=settings.strict)
    for found in reversed(_stretches(graph, settings)):  # what a stretch reads is replaced after it
        wanted = _wanted(found)
        if wanted and any(node.op_type in WORTH for node in found):
            _replace(graph, found, wanted, settings)
            changed = True
    if changed:
        graph.opset_imports[DOMAIN] = 1
        for name in [n for n, v in graph.initializers.items() if not v.uses() and not v.is_graph_output()]:
            if not graph.initializers[name].is_graph_input():
                graph.initializers.pop(name)
    return changed


def _stretches(graph: ir.Graph, settings: Settings) -> list[Nodes]:
    stretches: list[Nodes] = [{}]
    for node in graph:
        ops = ops_of(node)
        if ops and (not settings.strict or all(op.exact for op in ops)):
            stretches[-1][node] = ops
        elif stretches[-1]:
            stretches.append({})
    return [found for found in stretches if found]


def _wanted(inside: Mapping[ir.Node, object]) -> list[ir.Value]:
    """The values of a stretch that somebody outside of it reads."""
    return [v for n in inside for v in n.outputs if v.is_graph_output() or any(u.node not in inside for u in v.uses())]


def _replace(graph: ir.Graph, found: Nodes, wanted: list[ir.Value], settings: Settings) -> None:
    nodes = list(found)
    asm, part = _assembled(graph, found, wanted, settings)
    given, made = asm.given, stretch(asm, settings.threads)
    if part is not None:
        part.forget()
    label = f"native {nodes[0].name or nodes[0].op_type} … {nodes[-1].name or nodes[-1].op_type}"
    operator = Operator(DOMAIN, "Stretch", 1, made.__call__)
    node = ir.node("Stretch", given, domain=DOMAIN, num_outputs=len(wanted), name=label)
    node.meta[OPERATOR] = operator
    node.meta[DIRECT] = made
    graph.insert_after(nodes[-1], node)
    for old, new in zip(wanted, node.outputs, strict=True):
        name, old.name = old.name, None
        new.name, new.type, new.shape = name, old.type, old.shape
        old.replace_all_uses_with(new, replace_graph_outputs=True)
    graph.remove(list(reversed(nodes)), safe=True)


def _assembled(
    graph: ir.Graph, found: Nodes, wanted: list[ir.Value], settings: Settings
) -> tuple[Assembly, Part | None]:
    """The ops of a stretch, settled; the first of them compute parts of the batch, if that is better."""
    nodes = list(found)
    ops = _settled(_merged(found, set(wanted)), settings)
    where = cut(nodes, ops)
    if where is None:
        return Assembly(ops, _given(ops), wanted), None
    part = Part(graph, nodes[: where.nodes], where.images)
    read = _wanted(dict.fromkeys(nodes[: where.nodes], ()))
    front = _merged(_alone(part.nodes), {part.values[v] for v in read})
    back = _merged(_alone(nodes[where.nodes :]), set(wanted))
    of = {small: whole for whole, small in part.values.items()}
    first = [of[v] for v in _given(front)]
    given = list(dict.fromkeys([*first, *(v for v in _given(back) if v not in read)]))
    settled = [*_settled(front, replace(settings, threads=1)), *_settled(back, settings)]
    parts = Front(len(front), dims(read[0])[0] // where.images, {part.values[v]: v for v in (*first, *read)})
    return Assembly(settled, given, wanted, parts, settings.threads), part


def _alone(nodes: Sequence[ir.Node]) -> Nodes:
    return {node: ops_of(node) for node in nodes}


def _settled(ops: list[Op], settings: Settings) -> list[Op]:
    for op in ops:
        op.settle(settings)
    return ops


def _given(ops: Sequence[Op]) -> list[ir.Value]:
    """What some ops read that none of them computes."""
    made = {op.output for op in ops}
    return list(dict.fromkeys(v for op in ops for v in op.inputs if v not in made))


def _merged(nodes: Nodes, wanted: set[ir.Value]) -> list[Op]:
    """The ops of some nodes: by pattern, taken into the op before them, or alone; none that nobody reads."""
    ops: list[Op] = []
    producer: dict[ir.Value, int] = {}
    found = _patterns(list(nodes), wanted)
    for node, alone in nodes.items():
        if node not in found and _merge(node, ops, producer, wanted):
            continue
        for made in found.get(node, alone):
            producer[made.output] = len(ops)
            ops.append(made)
    read = set(wanted)
    kept = []
    for op in reversed(ops):
        if op.output in read:
            read.update(op.inputs)
            kept.append(op)
    return kept[::-1]


def _patterns(nodes: list[ir.Node], wanted: set[ir.Value]) -> dict[ir.Node, list[Op]]:
    """Nodes that are one op together, each with the ops that stand in its place: the last one with that op."""
    found: dict[ir.Node, list[Op]] = {}
    taken = set(wanted)
    for node in nodes:
        matches = (pattern(node, taken) for pattern in PATTERNS if node not in found)
        match = next((m for m in matches if m is not None), None)
        if match is not None:
            op, together = match[0], (node, *match[1])
            found |= {each: [] for each in together}
            found[together[-1]] = [op]
            taken.update(v for each in together for v in each.inputs if v is not None)
    return found


def _merge(node: ir.Node, ops: list[Op], producer: dict[ir.Value, int], wanted: set[ir.Value]) -> bool:
    """Tries to put a node into the op that computes one of its inputs, the latest first."""
    values = [v for v in node.inputs if v is not None]
    candidates = sorted((v for v in values if v in producer), key=lambda v: -producer[v])
    for value in candidates[:1]:
        op = ops[producer[value]]
        if value in wanted or len(value.uses()) != 1:
            continue
        other = next((v for v in values if v is not value), None)
        if op.merge(node, other if len(values) == 2 else None):
            producer[op.output] = producer.pop(value)
            return True
    return False
