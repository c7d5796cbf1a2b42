"""Convolutions and products of quantised values; see `quantized` for the patterns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf

import numpy as np
import onnx_ir as ir

from ....inference import constant
from ....ops._windows import Windows, windows
from ..assembly import NO_FRAME, Assembly, Frame, Kind, Op, dims, picture
from ..host import host
from ..kernels import conv_int8, depthwise_int8, winograd
from ..kernels.conv_int8 import Addition
from ..kernels.conv_problem import Convolution
from ..kernels.requantise import Scale
from ..layouts import Blocked
from ._nodes import bound, only_reader, windows_of
from ._scales import Target, agreed, bias_of, centred_weights, scale_of, source_of, target_of, weights_of

Found = tuple[Op, Sequence[ir.Node]]
POINT = windows((1, 1), (1, 1))


def blocked(found: tuple[int, object]) -> tuple[int, Blocked]:
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
    groups: int = 1
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
        return Convolution(x, y, (kh, kw), (sh, sw), (dh, dw), (top, left, bottom, right), self.groups)

    def emit(self, asm: Assembly) -> None:
        x_slot, x = blocked(asm.read(self.inputs[0], "blocked"))
        slots, added = {"x": x_slot}, None
        if self.added is not None:
            slots["residual"], layout = blocked(asm.read(self.inputs[1], "blocked"))
            added = Addition(layout, *self.added)
        slots["y"], y = blocked(asm.write(self.output, "blocked"))
        problem = self.problem(x, y)
        if self.groups > 1:
            packed = depthwise_int8.pack(problem, self.weights, self.bias, self.factor)
            slots |= {name: asm.constant(array) for name, array in packed.items()}
            asm.add(*depthwise_int8.steps(problem, slots, self.target, self.lower, self.upper))
            return
        packed = conv_int8.pack(problem, self.weights, self.bias, self.factor, added.layout if added else None)
        slots |= {name: asm.constant(array) for name, array in packed.items()}
        asm.add(*conv_int8.steps(problem, slots, self.target, self.lower, self.upper, added))


def convolution(node: ir.Node, wanted: set[ir.Value]) -> Found | None:
    if node.op_type != "Conv" or source_of(node.inputs[0]) is None:
        return None
    found = weights_of(node.inputs[1], 0)
    if found is None or found[0].ndim not in (3, 4):
        return None
    return _product(node, node.inputs[0], found, (*node.inputs, None)[2], wanted)


def multiplication(node: ir.Node, wanted: set[ir.Value]) -> Found | None:
    """Gemm and MatMul of two matrices, the second one constant."""
    if node.op_type not in ("Gemm", "MatMul") or len(dims(node.outputs[0])) != 2 or source_of(node.inputs[0]) is None:
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
    a = bound(node)
    where = windows_of(value, weights.shape[2:], a) if node.op_type == "Conv" else POINT
    if not fits:
        return None
    made = _convolve(
        value, target, weights, whole, steps / np.float32(target.scale.scale), where, source, a.get("group", 1)
    )
    if made is None:
        return None
    return _with_residual(made, target, wanted) if made.groups == 1 else (made, target.nodes)


def _convolve(
    value: ir.Value,
    target: Target,
    weights: np.ndarray,
    bias: np.ndarray | None,
    factor: np.ndarray,
    where: Windows,
    source: Scale,
    groups: int,
) -> Convolve | None:
    weights = weights if weights.ndim == 4 else weights[:, :, None]
    cut = target.scale, target.lower, target.upper
    made = Convolve([value], target.value, weights, bias, factor, where, source, *cut, groups)
    if not np.isfinite(factor).all() or (any(where.pads) and not agreed(value)):
        return None
    problem = made.problem(picture(value, host().lanes))
    if groups > 1:
        return made if depthwise_int8.supports(problem, weights, bias) else None
    return made if conv_int8.supports(problem, weights, bias) and worthwhile(problem) else None


def worthwhile(problem: Convolution) -> bool:
    """Without an instruction for four products integers are as fast as float32, which Winograd's algorithm outruns."""
    return conv_int8.dot_of_host(problem.lanes) == "quads" or not winograd.choose(problem)


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
    if x is None or len(dims(x)) not in (3, 4) or constant(x) is not None:
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
    return _convolve(x, Target(y, target, -inf, inf, ()), found[0], whole, factor, where, source, a["group"])
