"""Receptive fields: which part of the input one position of a value can see, axis by axis.

A window of k taps, stride s, dilation d and p positions of padding in front turns a field of size r, jump j and first
position l into

    r' = r + (k - 1) * d * j        j' = j * s        l' = l - p * j

(V. Dumoulin and F. Visin, A guide to convolution arithmetic for deep learning, arXiv:1603.07285, 2016; A. Araujo,
W. Norris and J. Sim, Computing receptive fields of convolutional neural networks, Distill, 2019). The jump is the
product of all strides: how far apart in the input two neighbouring positions look. Where branches meet, the field is
the hull of theirs if their jumps are equal. A value that saw every position of an axis has a field without end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf, nan, prod

import numpy as np
import onnx_ir as ir

from ..inference import constant
from .flops import ELEMENTWISE
from .macs import Call, Unknown

__all__ = ["Field", "Fields", "fields", "untouched"]


@dataclass(frozen=True, slots=True)
class Field:
    """What one position along an axis sees of an axis of the graph's input.

    Attributes:
        size: how many positions; infinite if all of them, however many there are.
        jump: how many positions of the input lie between neighbours.
        left: the first position that the first one sees; negative inside padding.
        windowed: whether a window, or a reduction, has run along this axis; before that the field says nothing.
    """

    size: float = 1
    jump: int = 1
    left: float = 0
    windowed: bool = False

    @property
    def centre(self) -> float | None:
        """The middle of the first position's field, if it has an end."""
        return self.left + (self.size - 1) / 2 if self.size < inf else None

    def window(self, taps: int, stride: int, dilation: int, padding: int) -> Field:
        """The field behind a window."""
        return Field(
            self.size + (taps - 1) * dilation * self.jump, self.jump * stride, self.left - padding * self.jump, True
        )

    def whole(self) -> Field:
        """The field behind something that sees the whole axis."""
        return replace(self, size=inf, windowed=True)


LOST = Field(size=nan, jump=0, windowed=True)
"""The field where branches of different jumps meet: it grows along the axis."""


Fields = tuple[Field | None, ...]
"""One per axis; None where positions have no place in the input, as behind a matrix product."""
Known = Sequence[tuple[ir.Value, Fields | None]]
"""The inputs that depend on the graph's inputs, with their fields."""
Rule = Callable[[Call, Known], Fields]


def untouched(rank: int) -> Fields:
    """The fields of a graph input."""
    return (Field(),) * rank


def fields(node: ir.Node, known: Known) -> Fields | None:
    """The fields of a node's outputs, or None if nothing is known of them."""
    rule = RULES.get(node.op_type) if not node.domain or node.domain == "com.microsoft" else None
    if rule is None or not known or any(found is None for _, found in known):
        return None
    try:
        return rule(Call(node), known)
    except (Unknown, IndexError, ValueError, TypeError):
        return None


def _data(known: Known) -> Fields:
    found = known[0][1]
    if found is None:
        raise Unknown
    return found


def _windows(weights: int | None) -> Rule:
    """A convolution or pooling over the axes from 2 on; a convolution mixes the channels, so they lose their place."""

    def rule(c: Call, known: Known) -> Fields:
        before, spatial = _data(known), c.input(0)[2:]
        taps = c.ints("kernel_shape") or (c.input(weights)[2:] if weights is not None else ())
        rank = len(spatial)
        if len(taps) != rank or len(before) != rank + 2:
            raise Unknown
        strides, dilations = c.ints("strides") or (1,) * rank, c.ints("dilations") or (1,) * rank
        begin = _begins(c, spatial, taps, strides, dilations)
        after = [
            None if field is None else field.window(*axis)
            for field, *axis in zip(before[2:], taps, strides, dilations, begin, strict=True)
        ]
        return before[0], None if weights is not None else before[1], *after

    return rule


def _begins(
    c: Call, spatial: Sequence[int], taps: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> list[int]:
    """The padding in front of each axis; `SAME` splits what is missing, the odd one behind (UPPER) or in front."""
    mode = c.text("auto_pad", "NOTSET")
    if mode in ("NOTSET", ""):
        return list(c.ints("pads")[: len(spatial)] or (0,) * len(spatial))
    if mode == "VALID":
        return [0] * len(spatial)
    made = []
    for size, k, s, d in zip(spatial, taps, strides, dilations, strict=True):
        missing = max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
        made.append(missing // 2 if mode == "SAME_UPPER" else -(-missing // 2))
    return made


def _whole_space(c: Call, known: Known) -> Fields:
    """Every position depends on all of the spatial axes."""
    found = _data(known)
    return *found[:2], *(None if f is None else f.whole() for f in found[2:])


def _pointwise(c: Call, known: Known) -> Fields:
    """Broadcasting aligns the last axes; an operand of length 1 along a longer axis is seen from everywhere."""
    shape = c.output()
    return _merge([_aligned(value, found or (), shape) for value, found in known], len(shape))


def _aligned(value: ir.Value, found: Fields, shape: tuple[int, ...]) -> list[Field | bool | None]:
    """One entry per axis of the result; False where the operand has no such axis."""
    assert value.shape is not None
    own = value.shape.numpy()
    missing = len(shape) - len(own)
    made: list[Field | bool | None] = [False] * missing
    for field, length, wide in zip(found, own, shape[missing:], strict=True):
        made.append(field.whole() if field is not None and length == 1 < wide else field)
    return made


def _merge(operands: list[list[Field | bool | None]], rank: int) -> Fields:
    merged = []
    for axis in range(rank):
        entries = [operand[axis] for operand in operands if operand[axis] is not False]
        present = [e for e in entries if isinstance(e, Field)]
        merged.append(_hull(present) if present and len(present) == len(entries) else None)
    return tuple(merged)


def _hull(found: list[Field]) -> Field:
    first = found[0]
    windowed = any(f.windowed for f in found)
    if any(f.size == inf for f in found):
        return replace(next((f for f in found if f.size < inf), first), size=inf, windowed=windowed)
    if any(f.jump != first.jump for f in found):
        return LOST
    left = min(f.left for f in found)
    return Field(max(f.left + f.size for f in found) - left, first.jump, left, windowed)


def _concat(c: Call, known: Known) -> Fields:
    rank = len(c.output())
    merged = list(_merge([list(found or ()) for _, found in known], rank))
    merged[c.integer("axis", 0)] = None
    return tuple(merged)


def _split(c: Call, known: Known) -> Fields:
    made = list(_data(known))
    made[c.integer("axis", 0)] = None
    return tuple(made)


def _transpose(c: Call, known: Known) -> Fields:
    found = _data(known)
    return tuple(found[i] for i in c.ints("perm") or range(len(found))[::-1])


def _reshape(c: Call, known: Known) -> Fields:
    """An axis lives on if it has as many positions, and as many elements behind each of them, as before."""
    before, after = c.input(0), c.output()
    places = {(d, prod(before[i + 1 :])): f for i, (d, f) in enumerate(zip(before, _data(known), strict=True)) if d > 1}
    return tuple(places.get((d, prod(after[i + 1 :]))) for i, d in enumerate(after))


def _over_axes(default: str) -> Rule:
    """A reduction or normalisation over the axes named by attribute or input; `default` where none is named."""

    def rule(c: Call, known: Known) -> Fields:
        found = _data(known)
        rank = len(found)
        named = c.ints("axes") or _array(c, 1, ()) if default != "from" else ()
        axes = {int(a) % rank for a in named} or _default_axes(c, default, rank)
        made = [f.whole() if f is not None and i in axes else f for i, f in enumerate(found)]
        keep = len(c.output()) == rank
        return tuple(f for i, f in enumerate(made) if keep or i not in axes)

    return rule


def _default_axes(c: Call, default: str, rank: int) -> set[int]:
    axis = c.integer("axis", -1) % rank
    return {"all": set(range(rank)), "axis": {axis}, "from": set(range(axis, rank)), "mvn": {0, 2, 3}}[default]


def _pad(c: Call, known: Known) -> Fields:
    """Positions in front shift what the first one sees."""
    found = _data(known)
    begin = [0] * len(found)
    amounts = c.ints("pads") or _array(c, 1, None)
    axes = _array(c, 3, range(len(found)))
    for axis, amount in zip(axes, amounts, strict=False):
        begin[int(axis)] = int(amount)
    return tuple(None if f is None else replace(f, left=f.left - b * f.jump) for f, b in zip(found, begin, strict=True))


def _slice(c: Call, known: Known) -> Fields:
    """A start shifts, a step spreads; backwards is not followed."""
    found, shape = list(_data(known)), c.input(0)
    starts = c.ints("starts") or _array(c, 1, None)
    axes = c.ints("axes") or _array(c, 3, range(len(starts)))
    steps = _array(c, 4, [1] * len(starts))
    for start, axis, step in zip(starts, axes, steps, strict=True):
        field, size = found[int(axis)], shape[int(axis)]
        start = min(max(start + size if start < 0 else start, 0), size)
        shifted = (
            replace(field, left=field.left + int(start) * field.jump, jump=field.jump * int(step)) if field else None
        )
        found[int(axis)] = shifted if step > 0 else None
    return tuple(found)


def _space_to_depth(c: Call, known: Known) -> Fields:
    """A window of b taps and stride b."""
    b = c.integer("blocksize", 1)
    found = _data(known)
    return found[0], None, *(None if f is None else f.window(b, b, 1, 0) for f in found[2:])


def _matrix(c: Call, known: Known) -> Fields:
    """Rows stay rows where only the first factor depends on the input."""
    found = _data(known)
    if len(known) != 1 or known[0][0] is not c.node.inputs[0]:
        raise Unknown
    return *found[:-1], None


def _array(c: Call, index: int, default: Sequence[int] | None) -> Sequence[int]:
    """A list of integers given as a constant input."""
    if not c.has(index):
        if default is None:
            raise Unknown
        return default
    array = constant(c.node.inputs[index])
    if array is None:
        raise Unknown
    return [int(n) for n in np.asarray(array).reshape(-1)]


_POINTWISE = (
    "BatchNormalization Cast CastLike Dropout Identity LRN QuantizeLinear DequantizeLinear Sum Max Min Mean Where"
)
_REDUCTIONS = "L1 L2 LogSum LogSumExp Max Mean Min Prod Sum SumSquare"

RULES: dict[str, Rule] = {
    **dict.fromkeys((*(name for _, name in ELEMENTWISE), *_POINTWISE.split()), _pointwise),
    "Conv": _windows(1),
    "ConvInteger": _windows(1),
    "FusedConv": _windows(1),
    "QLinearConv": _windows(3),
    "MaxPool": _windows(None),
    "AveragePool": _windows(None),
    "LpPool": _windows(None),
    **{f"Global{name}Pool": _whole_space for name in ("Average", "Max", "Lp")},
    "InstanceNormalization": _whole_space,
    "GroupNormalization": _whole_space,
    "LayerNormalization": _over_axes("from"),
    "RMSNormalization": _over_axes("from"),
    "MeanVarianceNormalization": _over_axes("mvn"),
    "LpNormalization": _over_axes("axis"),
    "Softmax": _over_axes("axis"),
    "LogSoftmax": _over_axes("axis"),
    **{f"Reduce{name}": _over_axes("all") for name in _REDUCTIONS.split()},
    "Concat": _concat,
    "Split": _split,
    "Transpose": _transpose,
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _reshape),
    "Pad": _pad,
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "MatMul": _matrix,
}
"""The operators behind which positions still have a place in the input."""
