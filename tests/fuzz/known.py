"""Where onnxruntime or the reference is known to be wrong, to lack something, or to refuse; each with its reason.

A fault's condition is as narrow as its cause: the same operator elsewhere is still held to the other side's results.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx

Outputs = dict[str, Any]

NO_KERNEL = (
    "NOT_IMPLEMENTED",
    "data type is not supported with Scatter",
    r"lrn\.cc.*X_shape\.NumDimensions\(\) == 4|lrn\.cc:59",  # only of four dimensions
    # bodies of functions from the specification that do not fit a type the operator has
    r"Type 'tensor\(u?int\d+\)' of input parameter \(_inlfunc_",
    r"bound to different types \(.*\) in node \(\)",
    "ShapeInferenceError",  # ONNX's inference is wrong at times: let the nodes decide, one by one
    "mode only supports",  # cubic Resize of other than four dimensions
)
REFERENCE_LACKS = ("GlobalLpPool", "Unique", "If", "Loop", "Scan")
"""Operators not asked of the reference. Unique: along an axis it cuts the others. Bodies: faults of the operators in
them could not be told apart, and it stacks scalars of a Loop as vectors."""
OURS: dict[str, str] = {}
"""Our refusal (a pattern) of what the other side runs → why that is right."""
THEIRS: dict[str, str] = {}
"""Their refusal of what we run → why."""
BOTH: dict[str, str] = {}
"""Our refusal of what they refuse too → why."""


def no_kernel(message: str) -> bool:
    """Whether onnxruntime refuses because it has no such operator or type on the CPU."""
    text = " ".join(message.split())
    return any(re.search(pattern, text) for pattern in NO_KERNEL)


def reason(table: dict[str, str], message: str) -> str | None:
    """Why a refusal is expected, or None."""
    text = " ".join(message.split())
    return next((why for pattern, why in table.items() if re.search(pattern, text)), None)


# ---- conditions: (node, feeds, ours, theirs) -> bool

Condition = Callable[[onnx.NodeProto, Outputs, Outputs, Outputs], bool]


def _not_finite(node: onnx.NodeProto, feeds: Outputs, ours: Outputs, theirs: Outputs) -> bool:
    return any(x.dtype.kind == "f" and not np.isfinite(x).all() for x in feeds.values())


def _has_nan(node: onnx.NodeProto, feeds: Outputs, ours: Outputs, theirs: Outputs) -> bool:
    return any(x.dtype.kind == "f" and np.isnan(x).any() for x in feeds.values())


def _in_float32(node: onnx.NodeProto, feeds: Outputs, ours: Outputs, theirs: Outputs) -> bool:
    """float64 results that agree as far as float32 reaches."""
    return all(
        a.dtype != np.float64 or np.allclose(a, b, rtol=2e-5, atol=1e-6 * max(1.0, np.nanmax(np.abs(b), initial=0)),
                                             equal_nan=True)
        for a, b in zip(ours.values(), theirs.values(), strict=True)
    )  # fmt: skip


def _no_index(node: onnx.NodeProto, feeds: Outputs, ours: Outputs, theirs: Outputs) -> bool:
    """Indices beyond the depth, or fractions."""
    at, depth = feeds[node.input[0]], int(np.ravel(feeds[node.input[1]])[0])
    return bool(((at < -depth) | (at >= depth) | (at != np.trunc(at))).any())


def _mean_folded(node: onnx.NodeProto, feeds: Outputs, ours: Outputs, theirs: Outputs) -> bool:
    """Within the rounding of scale·mean/√(variance + ε), which cancels in x·a + (B - mean·a)."""
    x, scale = (np.abs(feeds[n].astype(float)).max(initial=0) for n in node.input[:2])
    epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
    bound = 8 * np.finfo(np.float32).eps * (1 + scale * (1 + x / np.sqrt(epsilon)))
    return all(np.allclose(a.astype(float), b.astype(float), 1e-5, bound, equal_nan=True)
               for a, b in zip(ours.values(), theirs.values(), strict=True))  # fmt: skip


def _variance_cancels(node: onnx.NodeProto, feeds: Outputs, ours: Outputs, theirs: Outputs) -> bool:
    """Somewhere E[X²] is so near E[X]² that their difference is rounding."""
    x = feeds[node.input[0]].astype(float)
    axes = tuple(next((a.ints for a in node.attribute if a.name == "axes"), (0, 2, 3)))
    return bool((x.var(axes) <= 1e-2 * (x**2).mean(axes)).any()) or not np.isfinite(x).all()


def _rank_three(node: onnx.NodeProto, feeds: Outputs, ours: Outputs, theirs: Outputs) -> bool:
    return feeds[node.input[0]].ndim == 3


def _empty(node: onnx.NodeProto, feeds: Outputs, ours: Outputs, theirs: Outputs) -> bool:
    return any(x.size == 0 for x in feeds.values())


def _text(node: onnx.NodeProto, feeds: Outputs, ours: Outputs, theirs: Outputs) -> bool:
    return any(x.dtype.kind in "OUT" for x in feeds.values())


def _integers(node: onnx.NodeProto, feeds: Outputs, ours: Outputs, theirs: Outputs) -> bool:
    return feeds[node.input[0]].dtype.kind in "iu"


def _huge(node: onnx.NodeProto, feeds: Outputs, ours: Outputs, theirs: Outputs) -> bool:
    """A number whose square float32 does not hold."""
    return not all(bool((np.abs(x) < 1e18).all()) for x in feeds.values() if x.dtype.kind == "f")


def _saturated(node: onnx.NodeProto, feeds: Outputs, ours: Outputs, theirs: Outputs) -> bool:
    return all(y.dtype.kind in "iu" and bool((y == np.iinfo(y.dtype).max).any()) for y in theirs.values())


def _nearly(node: onnx.NodeProto, feeds: Outputs, ours: Outputs, theirs: Outputs) -> bool:
    return all(
        np.allclose(a, b, 5e-5, 5e-6, equal_nan=True) for a, b in zip(ours.values(), theirs.values(), strict=True)
    )


def _coordinates(node: onnx.NodeProto, feeds: Outputs, ours: Outputs, theirs: Outputs) -> bool:
    """Within what float32 places add, in units of the largest element."""
    bound = 1e-5 * np.abs(feeds[node.input[0]].astype(float)).max(initial=0)
    pairs = zip(ours.values(), theirs.values(), strict=True)
    return all(np.allclose(a, b, 1e-5, bound, equal_nan=True) for a, b in pairs)


def _fractional_length(mode: bytes) -> Condition:
    """Scales, in that coordinate mode, that make a fractional length."""

    def condition(node: onnx.NodeProto, feeds: Outputs, ours: Outputs, theirs: Outputs) -> bool:
        if len(node.input) != 3 or not any(a.s == mode for a in node.attribute):
            return False
        lengths = feeds[node.input[2]] * np.array(feeds[node.input[0]].shape)
        return bool((lengths != np.floor(lengths)).any())

    return condition


Fault = tuple[str, tuple[str, ...], Condition, str]
FAULTS: tuple[Fault, ...] = (
    ("onnxruntime", ("GroupNormalization", "LayerNormalization", "RMSNormalization"), _in_float32,
     "computes float64 in float32 (stash_type); we never go below the input"),
    ("onnxruntime", ("InstanceNormalization", "GroupNormalization"), _mean_folded,
     "folds the mean into the bias, where it cancels; we subtract it first"),
    ("onnxruntime", ("MeanVarianceNormalization",), _variance_cancels,
     "its body takes E[X²] - E[X]², negative where it should be 0"),
    ("onnxruntime", ("Gelu", "Shrink", "HardSwish", "Mish", "Erf"), _in_float32, "constants or steps in float32"),
    ("onnxruntime", ("ArgMax", "ArgMin", "Hardmax", "TopK", "Unique"), _has_nan,
     "the order of NaN is open; NumPy's is ours"),
    ("onnxruntime", ("MaxPool", "GlobalMaxPool"), _not_finite, "loses NaN, and starts from the lowest number, not -∞"),
    ("onnxruntime", ("MatMulInteger",), _empty, "leaves products of nothing as it finds them in memory"),
    ("onnxruntime", ("GridSample",), _huge, "overflows in other places than we"),
    ("onnxruntime", ("GridSample",), _not_finite, "a coordinate that is not finite becomes an arbitrary integer"),
    ("onnxruntime", ("Resize",), _huge, "treats 0·∞ otherwise: it leaves out taps whose weight is 0"),
    ("onnxruntime", ("Resize",), _coordinates, "computes places and weights in float32"),
    ("onnxruntime", ("Resize",), _fractional_length(b"align_corners"),
     "length_resized rounded down; in the reference and here it is scale·length"),
    ("the reference", ("Resize",), _fractional_length(b"pytorch_half_pixel"),
     "compares scale·length with 1; onnxruntime and we the length itself"),
    ("the reference", ("Resize",), _nearly, "holds weights in float32"),
    ("onnxruntime", ("ReduceProd",), _saturated, "saturates where integers wrap"),
    ("onnxruntime", ("ScatterElements", "ScatterND"), _has_nan, "max and min lose NaN"),
    ("onnxruntime", ("Gather",), _text, "of a row of text only the first word arrives, with int32 indices"),
    ("onnxruntime", ("ReduceLogSumExp", "ReduceLogSum"), _integers, "exponentials of integers are rounded"),
    ("onnxruntime", ("InstanceNormalization", "GroupNormalization", "LayerNormalization", "BatchNormalization"), _huge,
     "∞ - ∞ in a formula other than ours"),
    ("onnxruntime", ("Sign", "ReduceMax", "ReduceMin"), _has_nan, "loses NaN"),
    ("onnxruntime", ("DynamicQuantizeLinear",), _huge, "loses NaN, and takes 0 · ∞ otherwise"),
    ("onnxruntime", ("Clip",), _not_finite, "ignores a bound that is NaN; without one, the largest finite number is"),
    ("onnxruntime", ("LogSoftmax", "Det", "LRN"), _huge, "∞ - ∞ in a formula other than ours"),
    ("the reference", ("Resize",), _not_finite, "multiplies taps of weight 0 by ∞"),
    ("the reference", ("QuantizeLinear",), _huge, "converts to integers before it saturates"),
    ("onnxruntime", ("GRU", "LSTM", "RNN"), _huge, "its activations clip NaN away, and approximate at the ends"),
    ("the reference", ("OneHot",), _no_index,
     "takes indices modulo depth, where all should be off, and does not truncate fractions"),
    ("the reference", ("GlobalMaxPool",), _rank_three, "reduces over one axis too few"),
    ("the reference", ("HardSwish", "Gelu", "Erf", "Mish"), _in_float32, "constants or steps in float32"),
)  # fmt: skip
"""(who, operators, when, why)."""


def fault(who: str, node: onnx.NodeProto, feeds: Outputs, ours: Outputs, theirs: Outputs) -> str | None:
    """Why the other side's results of a node are wrong, if that is known."""
    for name, ops, when, why in FAULTS:
        if who.startswith(name) and node.op_type in ops and when(node, feeds, ours, theirs):
            return f"{who}, {node.op_type}: {why}"
    return None
