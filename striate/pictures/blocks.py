"""A graph cut into what a reader sees: boxes of nodes that belong together, blocks of boxes, and blocks that repeat.

A *box* is a convolution, pooling, matrix product, or what else computes, with the normalisation, activation and
reshaping around it that nothing else reads. A *block* is what lies between two boxes through which everything passes:
one box in a chain, or branches and the box that joins them. Blocks of the same operators and connections that follow
one another are one with a number of repetitions; so are groups of up to `PERIOD` blocks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx_ir as ir

from ..runtime.builder import attributes
from ..runtime.cost import NodeCost, analyse
from ..runtime.inference import dims, is_constant
from .graphs import ACTIVATIONS, NORMALISATIONS, layer_name
from .style import shape_text

__all__ = ["Block", "Box", "blocks", "boxes", "kind_of", "repeated"]

MERGING = frozenset(("Add", "Concat", "Mul", "Sum", "Sub", "Div", "Max", "Min", "Mean"))
VIEWS = frozenset(("Cast", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"))
HIDDEN = frozenset(("Cast", "Dropout", "Identity", "Transpose"))
ALONGSIDE = ACTIVATIONS | NORMALISATIONS | VIEWS | frozenset(("LRN", "LogSoftmax", "Pad", "Softmax"))
PRODUCTS = frozenset(("Gemm", "MatMul", "Einsum"))
BY_CONSTANT = {"Add": "bias", "Mul": "scale"}
SHUFFLE = ("Reshape", "Transpose", "Reshape")
SHORT = {"BatchNormalization": "BatchNorm", "InstanceNormalization": "InstanceNorm", "LayerNormalization": "LayerNorm"}
PERIOD, SAVED = 6, 2
"""Blocks of a repetition, at most; boxes that putting repetitions together must save, at least."""
LARGEST = 80
"""A block of more boxes is drawn as one box that counts them."""


@dataclass(eq=False)
class Box:
    """Nodes that are drawn as one.

    Attributes:
        title: the operator that counts, with its window; `before` and `behind`: what stands around it.
        shapes: the output's, without the batch; several where repeated boxes differ.
        parameters: of all nodes.
        sources: the boxes whose outputs it reads, each once.
        kind: what decides its colour.
    """

    title: str
    before: str = ""
    behind: str = ""
    name: str = ""
    shapes: tuple[tuple[Any, ...], ...] = ()
    parameters: int = 0
    sources: list[Box] = field(default_factory=list)
    kind: str = "other"

    @property
    def shape(self) -> str:
        """`64×56×56`; where repeated boxes differ `64…256×56×56`."""
        known = [s for s in self.shapes if s]
        if not known or len({len(s) for s in known}) != 1:
            return shape_text(known[0]) if known else ""
        return "×".join(_range(axis) for axis in zip(*known, strict=True))


@dataclass
class Block:
    """Boxes from behind one point that everything passes to the next; the last one is that point.

    Attributes:
        count: how many of them follow one another.
        parts: how many blocks of one repetition were put together.
        parameters: of all repetitions.
    """

    boxes: list[Box]
    count: int = 1
    parts: int = 1
    parameters: int = 0


def boxes(model: ir.Model) -> list[Box]:
    """The graph's boxes, each behind those that it reads; inputs stand just before their first reader."""
    rows = {row.name: row for row in analyse(model).nodes if not row.depth}
    return _Grouping(model, rows).run()


class _Grouping:
    def __init__(self, model: ir.Model, rows: dict[str, NodeCost]) -> None:
        self.graph, self.rows = model.graph, rows
        self.made: list[Box] = []
        self.of: dict[ir.Value, Box] = {}
        self.nodes: dict[Box, list[ir.Node]] = {}

    def run(self) -> list[Box]:
        waiting = {v: Box("Input", name=str(v.name), shapes=(_shape(v),), kind="input") for v in self.graph.inputs}
        for node in self.graph:
            data = [v for v in dict.fromkeys(node.inputs) if v is not None and (v in self.of or v in waiting)]
            for value in data:
                if value in waiting:
                    self.of[value] = waiting.pop(value)
                    self.made.append(self.of[value])
            if not data:
                continue
            box = self.of[data[0]] if node.op_type in HIDDEN else self._joins(node, data)
            if box is None:
                box = Box("", sources=list(dict.fromkeys(self.of[v] for v in data)))
                self.made.append(box)
            if box.kind != "input":
                self.nodes.setdefault(box, []).append(node)
            self.of.update(dict.fromkeys(node.outputs, box))
        for box, nodes in self.nodes.items():
            _describe(box, nodes, self.rows)
        return self.made

    def _joins(self, node: ir.Node, data: Sequence[ir.Value]) -> Box | None:
        """The box that the node is drawn in: that of all its data, if they are read by nothing outside."""
        box = self.of[data[0]]
        if any(self.of[v] is not box for v in data) or box.kind == "input":
            return None
        inside = self.nodes[box]
        if not all(self._only_read_by(_root(v), node, inside) for v in data):
            return None
        main = _main(inside)
        if len(data) > 1:
            return box if node.op_type == "Mul" and inside[-1].op_type in ACTIVATIONS else None
        if node.op_type in NORMALISATIONS and main is not None and main.op_type in MERGING:
            return None
        if node.op_type == "Pad" and main is not None:
            return None
        if node.op_type in ALONGSIDE or node.op_type in MERGING:
            return box
        return box if main is None else None

    def _only_read_by(self, value: ir.Value, node: ir.Node, inside: Sequence[ir.Node]) -> bool:
        if value.is_graph_output():
            return False
        users = _readers(value) - {node} - set(inside)
        return not users or self._gates(value, users | {node})

    def _gates(self, value: ir.Value, users: set[ir.Node]) -> bool:
        """x · sigmoid(x) and its like: the activation's only reader multiplies it with x."""
        if len(users) != 2 or not any(u.op_type == "Mul" for u in users):
            return False
        product = next(u for u in users if u.op_type == "Mul")
        gate = next((u for u in users if u is not product), None)
        return gate is not None and gate.op_type in ACTIVATIONS and gate.outputs[0] in product.inputs


def _root(value: ir.Value) -> ir.Value:
    """The value before what is not drawn."""
    node = value.producer()
    while node is not None and node.op_type in HIDDEN and node.inputs[0] is not None:
        value = node.inputs[0]
        node = value.producer()
    return value


def _readers(value: ir.Value) -> set[ir.Node]:
    """The nodes that read a value, through what is not drawn, too."""
    found: set[ir.Node] = set()
    for use in value.uses():
        found |= _readers(use.node.outputs[0]) if use.node.op_type in HIDDEN else {use.node}
    return found


def _main(nodes: Iterable[ir.Node]) -> ir.Node | None:
    """The node that the others stand around, if it is there; adding a constant is no joining."""
    return next((n for n in nodes if n.op_type not in ALONGSIDE and not _by_constant(n)), None)


def _by_constant(node: ir.Node) -> bool:
    return node.op_type in MERGING and sum(v is not None and not is_constant(v) for v in node.inputs) < 2


def _describe(box: Box, nodes: list[ir.Node], rows: dict[str, NodeCost]) -> None:
    main = _main(nodes) or nodes[0]
    place = nodes.index(main)
    box.title, box.kind = _title(main), kind_of(main.op_type)
    box.before, box.behind = _plus(_names(nodes[:place]), "{} →"), _plus(_names(nodes[place + 1 :]), "+ {}")
    box.name = layer_name(main)
    box.shapes = (_shape(_root(nodes[-1].outputs[0])),)
    box.parameters = sum(rows[n.name].parameters for n in nodes if n.name in rows)


def _names(nodes: Sequence[ir.Node]) -> list[str]:
    """The operators as they are written in a box; what a normalisation is followed by belongs to it."""
    names = [BY_CONSTANT.get(n.op_type, n.op_type) if _by_constant(n) else n.op_type for n in nodes]
    made: list[str] = []
    while names:
        if tuple(names[:3]) == SHUFFLE:
            made.append("ChannelShuffle")
            del names[:3]
            continue
        name = names.pop(0)
        if name == "Mul" and made and made[-1] in ACTIVATIONS:
            made[-1] = {"Sigmoid": "SiLU", "HardSigmoid": "HardSwish"}.get(made[-1], f"x·{made[-1]}")
        elif name not in HIDDEN and not (name in BY_CONSTANT.values() and made and made[-1] in NORMALISATIONS):
            made.append(name)
    return made


def _plus(names: Sequence[str], form: str) -> str:
    return form.format(" + ".join(SHORT.get(n, n) for n in names)) if names else ""


def _title(node: ir.Node) -> str:
    given = attributes(node)
    text = f"{node.domain}.{node.op_type}" if node.domain else SHORT.get(node.op_type, node.op_type)
    taps: tuple[Any, ...] | None = given.get("kernel_shape")
    if taps is None and node.op_type in ("Conv", "ConvTranspose"):
        taps = _shape(node.inputs[1])[1:] if node.inputs[1] is not None else None
    if taps:
        text += f" {shape_text(tuple(taps))}"
    strides = given.get("strides") or ()
    if any(s != 1 for s in strides):
        text += f" / {shape_text(tuple(strides)[: 1 if len(set(strides)) == 1 else None])}"
    if any(d != 1 for d in given.get("dilations") or ()):
        text += f" dil. {given['dilations'][0]}"
    group = given.get("group", 1)
    if group > 1:
        maps = _shape(node.inputs[0])[:1] if node.inputs[0] is not None else ()
        text += ", depthwise" if maps == (group,) else f", {group} groups"
    return text


def kind_of(op_type: str) -> str:
    """`convolution`, `pooling`, `product`, `merge` or `other`."""
    if "Conv" in op_type:
        return "convolution"
    if "Pool" in op_type:
        return "pooling"
    return "product" if op_type in PRODUCTS else "merge" if op_type in MERGING else "other"


def _shape(value: ir.Value | None) -> tuple[Any, ...]:
    return () if value is None or value.shape is None else tuple(dims(value.shape)[1:])


def _range(axis: Sequence[Any]) -> str:
    numbers = [d for d in axis if isinstance(d, int)]
    if len(numbers) < len(axis) or not numbers:
        return "?"
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low}…{high}"


# --- Blocks ---


def blocks(found: Sequence[Box]) -> list[Block]:
    """The boxes cut wherever all connections pass one box; blocks that are too large become one box."""
    reach = {box: i for i, box in enumerate(found)}
    for i, box in enumerate(found):
        for source in box.sources:
            reach[source] = i
    made, begin, furthest = [], 0, 0
    for i, box in enumerate(found):
        if furthest <= i or i == len(found) - 1:
            made.append(_block(list(found[begin : i + 1])))
            begin, furthest = i + 1, 0
        furthest = max(furthest, reach[box])
    return made


def _block(inside: list[Box]) -> Block:
    parameters = sum(b.parameters for b in inside)
    if len(inside) > LARGEST:
        counts = Counter(b.title.split(" ")[0] for b in inside).most_common(4)
        last = inside[-1]
        outside = [s for b in inside for s in b.sources if s not in inside]
        last.sources = list(dict.fromkeys(outside))
        last.title, last.kind = f"{len(inside)} boxes", "other"
        last.behind = ", ".join(f"{n} {name}" for name, n in counts)
        last.parameters = parameters
        inside = [last]
    return Block(inside, parameters=parameters)


def repeated(found: Sequence[Block]) -> list[Block]:
    """Runs of blocks that are alike but for their sizes, each as one block with a count; short periods come first."""
    made = list(found)
    for period in range(1, PERIOD + 1):
        made = _repeated(made, period)
    return made


def _repeated(found: Sequence[Block], period: int) -> list[Block]:
    signatures = [_signature(block) for block in found]
    made: list[Block] = []
    at = 0
    while at < len(found):
        count = 1
        while signatures[at : at + period] == signatures[at + count * period : at + (count + 1) * period]:
            count += 1
        count = count if None not in signatures[at : at + period] else 1
        size = sum(len(block.boxes) for block in found[at : at + period])
        worth = (count - 1) * size >= SAVED
        made.append(_joined(found[at : at + period * count], period, count) if worth else found[at])
        at += period * count if worth else 1
    return made


def _signature(block: Block) -> Any:
    """What must be the same in a repetition; None of a block that is one already."""
    if block.count > 1:
        return None
    place = {box: i for i, box in enumerate(block.boxes)}
    return tuple((b.title, b.before, b.behind, tuple(sorted(place.get(s, -1) for s in b.sources))) for b in block.boxes)


def _joined(found: Sequence[Block], period: int, count: int) -> Block:
    """The first repetition, its boxes with the shapes of all."""
    first = [box for block in found[:period] for box in block.boxes]
    every = [box for block in found for box in block.boxes]
    for i, box in enumerate(first):
        box.shapes = tuple(dict.fromkeys(s for other in every[i :: len(first)] for s in other.shapes))
    return Block(first, count, period, sum(b.parameters for b in found))
