"""What QuantizeLinear and DequantizeLinear around a node say of its values: scales, zero points, integer weights.

Blocked bytes are unsigned; zero points of int8 are counted 128 higher, see `layouts.Blocked`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
import onnx_ir as ir

from ....inference import constant, dequantised
from ..kernels.requantise import Scale
from ._nodes import bound, clip_bounds, is_float, only_reader

__all__ = [
    "Target",
    "agreed",
    "bias_of",
    "centred_weights",
    "quantizer",
    "scale_of",
    "source_of",
    "target_of",
    "weights_of",
]

SMALL = (ir.DataType.UINT8, ir.DataType.INT8)
_READ, _WRITTEN = {"DequantizeLinear": 2, "QLinearConv": 2}, {"QuantizeLinear": 2, "QLinearConv": 7}
"""Operators that read, and that write, a value of bytes → which input is its zero point."""
BIAS_STEPS = 0.01
"""A bias that is no whole number of steps of the sums is rounded to one, if that moves the result less than so much."""


def scale_of(value: ir.Value, scale: ir.Value | None, zero_point: ir.Value | None) -> Scale | None:
    """What the bytes of a value stand for, if that is known and the same for all of them."""
    s, z = constant(scale), constant(zero_point)
    if value.dtype not in SMALL or s is None or s.size != 1 or s.dtype != np.float32 or not 0 < float(s.item()) < inf:
        return None
    if zero_point is not None and (z is None or z.size != 1 or zero_point.dtype != value.dtype):
        return None
    return Scale(float(s.item()), (0 if z is None else int(z.item())) + 128 * (value.dtype == ir.DataType.INT8))


def source_of(value: ir.Value | None) -> tuple[ir.Value, Scale] | None:
    """The value of bytes that a float32 value is made of by DequantizeLinear."""
    node = None if value is None else value.producer()
    if node is None or node.op_type != "DequantizeLinear" or node.domain or not is_float(value):
        return None
    x, *parameters = node.inputs
    scale = None if x is None or constant(x) is not None else scale_of(x, *(*parameters, None)[:2])
    return None if x is None or scale is None else (x, scale)


@dataclass(frozen=True)
class Target:
    """How a float32 value becomes bytes: cut off at two bounds, then quantised, by `nodes`; the last gives `value`."""

    value: ir.Value
    scale: Scale
    lower: float
    upper: float
    nodes: tuple[ir.Node, ...]


def target_of(value: ir.Value, wanted: set[ir.Value]) -> Target | None:
    """The Relu and Clip that follow a value, and the QuantizeLinear that ends them."""
    lower, upper = -inf, inf
    nodes: list[ir.Node] = []
    while (node := only_reader(value, wanted)) is not None:
        nodes.append(node)
        value = node.outputs[0]
        if node.op_type == "QuantizeLinear":
            scale = quantizer(node)
            return None if scale is None else Target(value, scale, lower, upper, tuple(nodes))
        bounds = (0.0, inf) if node.op_type == "Relu" else clip_bounds(node) if node.op_type == "Clip" else None
        if bounds is None:
            break
        lower, upper = (min(max(v, bounds[0]), bounds[1]) for v in (lower, upper))
    return None


def quantizer(node: ir.Node) -> Scale | None:
    """Of a QuantizeLinear, what its bytes stand for."""
    x, scale, *zero_point = node.inputs
    if not is_float(x, scale) or bound(node).get("precision", 0) not in (0, ir.DataType.FLOAT.value):
        return None
    return scale_of(node.outputs[0], scale, zero_point[0] if zero_point else None)


def agreed(value: ir.Value) -> bool:
    """Do all that know a zero point of a value of bytes know the same one? Its frame can hold only one."""
    known = [(u.node, _READ.get(u.node.op_type)) for u in value.uses() if u.idx == 0]
    node = value.producer()
    known += [] if node is None else [(node, _WRITTEN.get(node.op_type))]
    return len({_zero(node.inputs, index) for node, index in known if index is not None}) == 1


def _zero(inputs: Sequence[ir.Value | None], index: int) -> int | None:
    """A zero point, 0 if it is left out, None if it is not known."""
    if index >= len(inputs) or inputs[index] is None:
        return 0
    known = constant(inputs[index])
    return None if known is None else int(known.item(0))


def weights_of(value: ir.Value | None, axis: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Integer weights less their zero points, int8, and their scales: one for each position along `axis`."""
    found = dequantised(value)
    if found is None or not is_float(value):
        return None
    (q, scale, *rest), given = found
    assert q is not None
    assert scale is not None
    return centred_weights(q, scale, rest[0] if rest else None, axis, given)


def centred_weights(
    q: np.ndarray, scale: np.ndarray, zero: np.ndarray | None, axis: int, given: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """See `weights_of`; `given` is the axis of scales that are not for the whole tensor."""
    one = scale.size == 1
    if (
        q.dtype.name not in ("int8", "uint8")
        or scale.dtype != np.float32
        or (zero is not None and zero.size not in (1, scale.size))
    ):
        return None
    if not one and (scale.shape != (q.shape[axis],) or given % q.ndim != axis):
        return None
    scales = np.broadcast_to(scale.reshape(-1), q.shape[axis]).astype(np.float32)
    if q.dtype == np.int8 and (zero is None or not zero.any()):
        return q, scales
    shape = [1] * q.ndim
    shape[axis] = -1
    whole = q.astype(np.int32) - (0 if zero is None else zero.astype(np.int32).reshape(shape))
    if whole.min(initial=0) < -128 or whole.max(initial=0) > 127:
        return None
    return whole.astype(np.int8), scales


def bias_of(value: ir.Value | None, steps: np.ndarray, target: Scale) -> tuple[np.ndarray | None, bool]:
    """A float32 bias as int32 in `steps` of the sums, one for each channel, and whether it can be said so."""
    if value is None:
        return None, True
    known = constant(value)
    if known is None or known.dtype != np.float32:
        return None, False
    if known.size != 1 and (known.size, *known.shape[-1:]) != (steps.size, steps.size):
        return None, False
    wide, step = known.astype(np.float64).reshape(-1), steps.astype(np.float64)
    with np.errstate(all="ignore"):
        whole = np.rint(wide / step)
        fits = np.abs(whole) < 1 << 31
        near = np.abs(whole * step - wide) <= BIAS_STEPS * target.scale
    return (whole.astype(np.int32), True) if bool((fits & near).all()) else (None, False)
