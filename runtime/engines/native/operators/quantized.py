"""Quantised graphs: what stands between DequantizeLinear and QuantizeLinear is computed on bytes.

    DequantizeLinear → Conv, Gemm, MatMul (→ Relu, Clip) → QuantizeLinear        Convolve
    … → DequantizeLinear → Add of another (→ Relu, Clip) → QuantizeLinear        Convolve, the addition in it
    two DequantizeLinear → Add (→ Relu, Clip) → QuantizeLinear                   Sum
    DequantizeLinear → MaxPool, Reshape, Flatten, … → QuantizeLinear             Pool, View: bytes stay as they are
    DequantizeLinear → GlobalAveragePool → QuantizeLinear                        Mean
    some DequantizeLinear → Concat → QuantizeLinear                              Join

A pattern leaves the DequantizeLinear before it alone: it reads the bytes, and whose float32 values nobody reads is not
computed. Each of `PATTERNS` gives the op that begins with a node and the nodes behind it that this op is too, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import onnx_ir as ir

from ....inference import constant
from ....ops._windows import Windows
from ..assembly import Assembly, Kind, Op, dims, pictured
from ..host import host
from ..kernels import quantize
from ..kernels.pool_bytes import global_mean, max_pool
from ..kernels.reorder import reframe
from ..kernels.reorder_bytes import bytes_from_blocked, bytes_to_blocked
from ..kernels.requantise import Scale
from ..layouts import Blocked, Plain
from ._nodes import bound, windows_of
from ._scales import Target, quantizer, source_of, target_of
from .quantized_products import Bytes, Found, blocked, convolution, multiplication

# ---- additions, pictures


@dataclass(eq=False)
class Sum(Bytes):
    """Add of two values."""

    sources: tuple[Scale, Scale]
    target: Target

    def emit(self, asm: Assembly) -> None:
        read = [blocked(asm.read(v, "blocked")) for v in self.inputs]
        y_slot, y = blocked(asm.write(self.output, "blocked"))
        slots, layouts = [slot for slot, _ in read], [layout for _, layout in read]
        t = self.target
        asm.add(quantize.add(layouts, y, slots, y_slot, self.sources, t.scale, t.lower, t.upper))


def addition(node: ir.Node, wanted: set[ir.Value]) -> Found | None:
    if node.op_type not in ("Add", "Sum") or len(node.inputs) != 2:
        return None
    first, second = (source_of(v) for v in node.inputs)
    target = target_of(node.outputs[0], wanted)
    if first is None or second is None or target is None or len(dims(target.value)) not in (2, 3, 4):
        return None
    if not dims(first[0]) == dims(second[0]) == dims(target.value):
        return None
    return Sum([first[0], second[0]], target.value, (first[1], second[1]), target), target.nodes


@dataclass(eq=False)
class Pool(Bytes):
    """MaxPool."""

    where: Windows

    def emit(self, asm: Assembly) -> None:
        x_slot, x = blocked(asm.read(self.inputs[0], "blocked"))
        y_slot, y = blocked(asm.write(self.output, "blocked"))
        w = self.where
        pads = (w.begin[0], w.begin[1], w.end[0], w.end[1])
        asm.add(max_pool(x, y, x_slot, y_slot, kernel=w.kernel, strides=w.strides, dilations=w.dilations, pads=pads))


@dataclass(eq=False)
class View(Bytes):
    """Reshape, Flatten, Squeeze, Unsqueeze, Identity: memory stays the same, of points [N, C, 1, 1] in blocks too."""

    def wants(self, kinds: Sequence[Kind]) -> tuple[Sequence[Kind], Kind]:
        shapes = [dims(v) for v in (self.inputs[0], self.output)]
        same = all(2 <= len(s) <= 4 for s in shapes) and pictured(shapes[0]) == pictured(shapes[1])
        kind: Kind = "blocked" if kinds[0] == "blocked" and same else "plain"
        return [kind], kind

    def emit(self, asm: Assembly) -> None:
        kind = asm.kind(self.output)
        slot, x = asm.read(self.inputs[0], kind)
        if kind == "blocked" and asm.layout(self.output, kind) != x:
            y_slot, y = blocked(asm.write(self.output, kind))
            assert isinstance(x, Blocked)
            asm.zero_frame(y_slot, y)
            asm.add(reframe(x, y, slot, y_slot))
        else:
            asm.alias(self.output, slot, kind)


VIEWS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity")


def unchanged(node: ir.Node, wanted: set[ir.Value]) -> Found | None:
    """Operators that only move values, between equal scales."""
    if node.op_type not in ("MaxPool", *VIEWS) or len(node.outputs) != 1:
        return None
    given, target = source_of(node.inputs[0]), target_of(node.outputs[0], wanted)
    if given is None or target is None or len(target.nodes) != 1 or given[1] != target.scale:
        return None
    value = given[0]
    if value.dtype != target.value.dtype:
        return None
    if node.op_type in VIEWS:
        fits = prod(dims(value)) == prod(dims(target.value))
        return (View([value], target.value), target.nodes) if fits else None
    if len(dims(value)) not in (3, 4):
        return None
    a = {"dilations": None, "ceil_mode": 0, **bound(node)}
    where = windows_of(value, a["kernel_shape"], a, ceil_mode=a["ceil_mode"])
    return Pool([value], target.value, where), target.nodes


@dataclass(eq=False)
class Mean(Bytes):
    """GlobalAveragePool."""

    source: Scale
    target: Target

    def emit(self, asm: Assembly) -> None:
        x_slot, x = blocked(asm.read(self.inputs[0], "blocked"))
        y_slot, y = blocked(asm.write(self.output, "blocked"))
        t = self.target
        asm.add(global_mean(x, y, x_slot, y_slot, self.source, t.scale))


def mean(node: ir.Node, wanted: set[ir.Value]) -> Found | None:
    given = source_of(node.inputs[0]) if node.op_type == "GlobalAveragePool" else None
    target = target_of(node.outputs[0], wanted)
    if given is None or target is None or len(target.nodes) != 1 or len(dims(given[0])) not in (3, 4):
        return None
    if prod(dims(given[0])[2:]) * 255 >= 1 << 31:
        return None
    return Mean([given[0]], target.value, given[1], target), target.nodes


@dataclass(eq=False)
class Join(Bytes):
    """Concat along the channels, where every part but the last fills whole blocks."""

    sources: list[Scale]
    target: Scale

    def emit(self, asm: Assembly) -> None:
        y_slot, y = blocked(asm.write(self.output, "blocked"))
        block = 0
        for value, source in zip(self.inputs, self.sources, strict=True):
            x_slot, x = blocked(asm.read(value, "blocked"))
            asm.add(quantize.rescale(x, y, x_slot, y_slot, source, self.target, first_block=block))
            block += x.blocks


def joining(node: ir.Node, wanted: set[ir.Value]) -> Found | None:
    if node.op_type != "Concat" or len(dims(node.outputs[0])) not in (3, 4):
        return None
    parts, target = [source_of(v) for v in node.inputs], target_of(node.outputs[0], wanted)
    if target is None or len(target.nodes) != 1 or bound(node)["axis"] % len(dims(node.outputs[0])) != 1:
        return None
    known = [part for part in parts if part is not None]
    if len(known) != len(parts) or any(dims(v)[1] % host().lanes for v, _ in known[:-1]):
        return None
    return Join([v for v, _ in known], target.value, [s for _, s in known], target.scale), target.nodes


PATTERNS: tuple[Callable[[ir.Node, set[ir.Value]], Found | None], ...] = (
    convolution,
    multiplication,
    addition,
    unchanged,
    mean,
    joining,
)

# ---- the ways in and out


@dataclass(eq=False)
class Quantize(Op):
    """QuantizeLinear of a float32 value; pictures become blocked."""

    inputs: list[ir.Value]
    output: ir.Value
    scale: Scale

    def wants(self, kinds: Sequence[Kind]) -> tuple[Sequence[Kind], Kind]:
        return kinds, "blocked" if kinds[0] == "blocked" or len(dims(self.output)) == 4 else "plain"

    def emit(self, asm: Assembly) -> None:
        x_slot, x = asm.read(self.inputs[0], asm.kind(self.inputs[0]))
        y_slot, y = asm.write(self.output, asm.kind(self.output))
        if isinstance(x, Plain) and isinstance(y, Blocked):
            asm.add(bytes_to_blocked(x, y, x_slot, y_slot, self.scale))
        else:
            asm.add(quantize.quantize(x, y, x_slot, y_slot, self.scale))


@dataclass(eq=False)
class Dequantize(Op):
    """DequantizeLinear of a value of bytes."""

    inputs: list[ir.Value]
    output: ir.Value
    scale: Scale

    def wants(self, kinds: Sequence[Kind]) -> tuple[Sequence[Kind], Kind]:
        return kinds, "blocked" if kinds[0] == "blocked" and len(dims(self.output)) == 4 else "plain"

    def emit(self, asm: Assembly) -> None:
        x_slot, x = asm.read(self.inputs[0], asm.kind(self.inputs[0]))
        y_slot, y = asm.write(self.output, asm.kind(self.output))
        if isinstance(x, Blocked) and isinstance(y, Plain):
            asm.add(bytes_from_blocked(x, y, x_slot, y_slot, self.scale))
        else:
            asm.add(quantize.dequantize(x, y, x_slot, y_slot, self.scale))


def quantization(node: ir.Node) -> Op | None:
    scale = quantizer(node)
    x = node.inputs[0]
    return None if scale is None or x is None or constant(x) is not None else Quantize([x], node.outputs[0], scale)


def dequantization(node: ir.Node) -> Op | None:
    found = source_of(node.outputs[0])
    return None if found is None else Dequantize([found[0]], node.outputs[0], found[1])
