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
from dataclasses import dataclass, replace
from math import inf, prod

import numpy as np
import onnx_ir as ir

from ....inference import constant
from ....ops._windows import Windows, windows
from ..assembly import NO_FRAME, Assembly, Frame, Kind, Op, dims, picture, pictured
from ..host import host
from ..kernels import conv_int8, quantize
from ..kernels.conv_int8 import Addition
from ..kernels.conv_problem import Convolution
from ..kernels.pool_bytes import global_mean, max_pool
from ..kernels.reorder import reframe
from ..kernels.reorder_bytes import bytes_from_blocked, bytes_to_blocked
from ..kernels.requantise import Scale
from ..layouts import Blocked, Plain
from ._nodes import bound, only_reader, windows_of
from ._scales import (
    Target,
    agreed,
    bias_of,
    centred_weights,
    quantizer,
    scale_of,
    source_of,
    target_of,
    weights_of,
)

Found = tuple[Op, Sequence[ir.Node]]
POINT = windows((1, 1), (1, 1))


def _blocked(found: tuple[int, object]) -> tuple[int, Blocked]:
    slot, layout = found
    assert isinstance(layout, Blocked)
    return slot, layout


@dataclass(eq=False)
class Bytes(Op):
    """What all ops of blocked bytes have in common."""

    inputs: list[ir.Value]
    output: ir.Value

    def wants(self, kinds: Sequence[Kind]) -> tuple[Sequence[Kind], Kind]:
        return ["blocked"] * len(kinds), "blocked"


# ---- products


@dataclass(eq=False)
class Convolve(Bytes):
    """Conv, or a product with a matrix as one of 1 × 1 pictures, and what follows it.

    Attributes:
        weights: int8 [M, C, R, S]; bias: int32 [M].
        factor: float32 [M], of the scales of x and weights by that of the convolution's result.
        source, target: what the bytes of x and of the result stand for.
        added: scales of a residual, `inputs[1]`, and of the convolution before the addition, with its bounds.
    """

    weights: np.ndarray
    bias: np.ndarray | None
    factor: np.ndarray
    where: Windows
    source: Scale
    target: Scale
    lower: float
    upper: float
    added: tuple[Scale, Scale, float, float] | None = None

    def frame(self, index: int) -> Frame:
        return NO_FRAME if index else self.problem(picture(self.inputs[0], host().lanes)).frame

    def zero(self, index: int) -> int:
        return self.source.zero

    def problem(self, x: Blocked, y: Blocked | None = None) -> Convolution:
        w, x = self.where, replace(x, fill=self.source.zero)
        (top, left), (bottom, right) = w.begin, w.end
        (kh, kw), (sh, sw), (dh, dw) = w.kernel, w.strides, w.dilations
        y = y or picture(self.output, x.lanes)
        return Convolution(x, y, (kh, kw), (sh, sw), (dh, dw), (top, left, bottom, right))

    def emit(self, asm: Assembly) -> None:
        x_slot, x = _blocked(asm.read(self.inputs[0], "blocked"))
        slots, added = {"x": x_slot}, None
        if self.added is not None:
            slots["residual"], layout = _blocked(asm.read(self.inputs[1], "blocked"))
            added = Addition(layout, *self.added)
        slots["y"], y = _blocked(asm.write(self.output, "blocked"))
        problem = self.problem(x, y)
        packed = conv_int8.pack(problem, self.weights, self.bias, self.factor, added.layout if added else None)
        slots |= {name: asm.constant(array) for name, array in packed.items()}
        asm.add(*conv_int8.steps(problem, slots, self.target, self.lower, self.upper, added))


def convolution(node: ir.Node, wanted: set[ir.Value]) -> Found | None:
    if node.op_type != "Conv" or bound(node)["group"] != 1:
        return None
    found = weights_of(node.inputs[1], 0)
    if found is None or found[0].ndim not in (3, 4):
        return None
    return _product(node, node.inputs[0], found, (*node.inputs, None)[2], wanted)


def multiplication(node: ir.Node, wanted: set[ir.Value]) -> Found | None:
    """Gemm and MatMul of two matrices, the second one constant."""
    if node.op_type not in ("Gemm", "MatMul") or len(dims(node.outputs[0])) != 2:
        return None
    a = {"transA": 0, "transB": 0, "alpha": 1.0, "beta": 1.0, **bound(node)}
    found = weights_of(node.inputs[1], 0 if a["transB"] else 1)
    if found is None or found[0].ndim != 2 or a["transA"] or a["alpha"] != 1 or a["beta"] != 1:
        return None
    matrix = found[0] if a["transB"] else found[0].T
    return _product(node, node.inputs[0], (matrix[:, :, None, None], found[1]), (*node.inputs, None)[2], wanted)


def _product(
    node: ir.Node,
    x: ir.Value | None,
    found: tuple[np.ndarray, np.ndarray],
    bias: ir.Value | None,
    wanted: set[ir.Value],
) -> Found | None:
    given, target = source_of(x), target_of(node.outputs[0], wanted)
    if given is None or target is None:
        return None
    (value, source), (weights, scales) = given, found
    steps = np.float32(source.scale) * scales
    whole, fits = bias_of(bias, steps, target.scale)
    where = windows_of(value, weights.shape[2:], bound(node)) if node.op_type == "Conv" else POINT
    if not fits:
        return None
    made = _convolve(value, target, weights, whole, steps / np.float32(target.scale.scale), where, source)
    if made is None:
        return None
    return _with_residual(made, target, wanted)


def _convolve(
    value: ir.Value,
    target: Target,
    weights: np.ndarray,
    bias: np.ndarray | None,
    factor: np.ndarray,
    where: Windows,
    source: Scale,
) -> Convolve | None:
    weights = weights if weights.ndim == 4 else weights[:, :, None]
    made = Convolve(
        [value], target.value, weights, bias, factor, where, source, target.scale, target.lower, target.upper
    )
    if not np.isfinite(factor).all() or (any(where.pads) and not agreed(value)):
        return None
    problem = made.problem(picture(value, host().lanes))
    return made if conv_int8.supports(problem, weights, bias) else None


def _with_residual(made: Convolve, inner: Target, wanted: set[ir.Value]) -> Found:
    """Takes the addition of another value of bytes into a convolution, if that is all its result is for."""
    alone = made, inner.nodes
    back = only_reader(inner.value, wanted)
    if back is None or source_of(back.outputs[0]) != (inner.value, inner.scale):
        return alone
    node = only_reader(back.outputs[0], wanted)
    if node is None or node.op_type not in ("Add", "Sum") or len(node.inputs) != 2:
        return alone
    other = source_of(node.inputs[0] if node.inputs[1] is back.outputs[0] else node.inputs[1])
    target = target_of(node.outputs[0], wanted)
    if other is None or target is None or dims(other[0]) != dims(target.value):
        return alone
    made.inputs.append(other[0])
    made.output, made.target, made.lower, made.upper = target.value, target.scale, target.lower, target.upper
    made.added = (other[1], inner.scale, inner.lower, inner.upper)
    return made, (*inner.nodes, back, node, *target.nodes)


def qlinear(node: ir.Node) -> Op | None:
    """QLinearConv."""
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias = (*node.inputs, None)[:9]
    y, a = node.outputs[0], bound(node)
    if x is None or len(dims(x)) not in (3, 4) or a["group"] != 1 or constant(x) is not None:
        return None
    source, target = scale_of(x, x_scale, x_zero), scale_of(y, y_scale, y_zero)
    q, scale, zero, whole = (constant(v) for v in (w, w_scale, w_zero, bias))
    if source is None or target is None or q is None or scale is None or zero is None or (bias and whole is None):
        return None
    found = centred_weights(q, scale, zero, 0, 0)
    if found is None:
        return None
    factor = np.float32(source.scale) * found[1] / np.float32(target.scale)
    where = windows_of(x, q.shape[2:], a)
    return _convolve(x, Target(y, target, -inf, inf, ()), found[0], whole, factor, where, source)


# ---- additions, pictures


@dataclass(eq=False)
class Sum(Bytes):
    """Add of two values."""

    sources: tuple[Scale, Scale]
    target: Target

    def emit(self, asm: Assembly) -> None:
        read = [_blocked(asm.read(v, "blocked")) for v in self.inputs]
        y_slot, y = _blocked(asm.write(self.output, "blocked"))
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
        x_slot, x = _blocked(asm.read(self.inputs[0], "blocked"))
        y_slot, y = _blocked(asm.write(self.output, "blocked"))
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
            y_slot, y = _blocked(asm.write(self.output, kind))
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
        x_slot, x = _blocked(asm.read(self.inputs[0], "blocked"))
        y_slot, y = _blocked(asm.write(self.output, "blocked"))
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
        y_slot, y = _blocked(asm.write(self.output, "blocked"))
        block = 0
        for value, source in zip(self.inputs, self.sources, strict=True):
            x_slot, x = _blocked(asm.read(value, "blocked"))
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
