"""How wrong results are: the native engine beside NumPy, and beside the same model in float64.

The error of a result is its greatest distance from the float64 one over all elements that are finite. Without
Winograd's algorithm it is held against the error of the float32 NumPy kernels, or against one unit in the last place of
the largest element where that is more; with it, against the largest element. What is not finite has to be the same as
NumPy's, element for element.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from striate.runtime import InferenceSession

from .busy import options

__all__ = ["DIRECT", "DRAWN", "WINOGRAD", "Beside", "Report", "Verdict", "compare", "wide"]

DIRECT = 4.0
"""Times NumPy's own error."""
DRAWN = 8.0
"""The same for drawn models."""
WINOGRAD = 5e-5
"""Of the largest element of the result."""
SCALES = {"Resize": (1, 2), "Upsample": (1,)}
"""Operator → which of its inputs are float32 always."""
LEAST = float(np.finfo(np.float32).smallest_subnormal)
NORMAL = float(np.finfo(np.float32).smallest_normal)

Inputs = Mapping[str, np.ndarray]


class Beside:
    """One model on the native engine, strict and fast, on NumPy, and in float64 on NumPy."""

    def __init__(self, model: onnx.ModelProto, threads: int = 1) -> None:
        content = model.SerializeToString()
        self._strict = InferenceSession(content, options("native", threads, "strict"))
        self._fast = InferenceSession(content, options("native", threads, "fast"))
        self._numpy = InferenceSession(content, options("arrays"))
        self._right = InferenceSession(wide(model).SerializeToString(), options("arrays"))

    def run(self, inputs: Inputs) -> list[Verdict]:
        """Of each result; see `compare`."""
        strict, fast, numpy = (each.run(None, inputs) for each in (self._strict, self._fast, self._numpy))
        types = {a.name: a.type for a in self._right.get_inputs()}
        right = self._right.run(
            None, {n: x.astype(np.float64) if "double" in types[n] else x for n, x in inputs.items()}
        )
        return [_verdict(*each) for each in zip(strict, fast, numpy, right, strict=True)]


def wide(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model in float64: its inputs, outputs, weights, constants and casts."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    kept = _kept(graph)
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.name not in kept and value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.DOUBLE
    for tensor in graph.initializer:
        if tensor.name not in kept:
            tensor.CopyFrom(_wide_tensor(tensor))
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                attribute.t.CopyFrom(_wide_tensor(attribute.t))
            elif attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.DOUBLE
    return made


def _kept(graph: onnx.GraphProto) -> set[str]:
    """What the specification wants in float32 whatever the rest is in."""
    return {name for node in graph.node for i in SCALES.get(node.op_type, ()) for name in node.input[i : i + 1]}


def _wide_tensor(tensor: TensorProto) -> TensorProto:
    if tensor.data_type != TensorProto.FLOAT:
        return tensor
    return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name)


@dataclass(frozen=True)
class Report:
    """Of one result, or the worst of several.

    Attributes:
        native, numpy: greatest distance from the float64 result.
        largest: magnitude in the float64 result.
        elements: of all the results.
    """

    native: float
    numpy: float
    largest: float
    elements: int

    @property
    def unit(self) -> float:
        """One unit in the last place of the largest element."""
        return max(float(np.spacing(np.float32(self.largest))), LEAST)

    @property
    def ratio(self) -> float:
        """The error as a multiple of NumPy's, or of one unit where that is more."""
        return self.native / max(self.numpy, self.unit)

    @property
    def share(self) -> float:
        """The error as a share of the largest element, or of the smallest number that is not denormal."""
        return self.native / max(self.largest, NORMAL)

    @classmethod
    def of(cls, reports: Sequence[Report | None]) -> Report | None:
        """Of all together."""
        there = [r for r in reports if r is not None]
        if not there:
            return None
        native, numpy, largest = (max(getattr(r, name) for r in there) for name in ("native", "numpy", "largest"))
        return cls(native, numpy, largest, sum(r.elements for r in there))


@dataclass(frozen=True)
class Verdict:
    """Of one result, or the worst of several: without Winograd's algorithm, and as the engine chooses if that differs.

    None where there is no finite floating-point number.
    """

    strict: Report | None
    fast: Report | None

    def within(self, direct: float) -> bool:
        """Are both within their bounds: so many times NumPy's error, `WINOGRAD`?"""
        fair = self.strict is None or self.strict.ratio <= direct
        return fair and (self.fast is None or self.fast.share <= WINOGRAD)

    def plain(self) -> list[list[float] | None]:
        """As JSON has it."""
        return [None if r is None else list(astuple(r)) for r in (self.strict, self.fast)]

    @classmethod
    def plainly(cls, given: Sequence[Sequence[float] | None]) -> Verdict:
        """From `plain`."""
        strict, fast = (None if r is None else Report(*r[:3], int(r[3])) for r in given)
        return cls(strict, fast)

    @classmethod
    def of(cls, verdicts: Sequence[Verdict]) -> Verdict:
        """Of all together, as of one result."""
        return cls(Report.of([v.strict for v in verdicts]), Report.of([v.fast for v in verdicts]))

    @classmethod
    def worst(cls, verdicts: Sequence[Verdict]) -> Verdict:
        """The greatest ratio, the greatest share."""
        strict = [v.strict for v in verdicts if v.strict is not None]
        fast = [v.fast for v in verdicts if v.fast is not None]
        return cls(max(strict, key=lambda r: r.ratio, default=None), max(fast, key=lambda r: r.share, default=None))

    def __str__(self) -> str:
        direct = "nothing" if self.strict is None else f"{self.strict.ratio:.2f} × NumPy's {self.strict.numpy:.2g}"
        return f"{direct}, Winograd {self.fast.share:.1e} of the range" if self.fast is not None else direct


def _verdict(strict: np.ndarray, fast: np.ndarray, numpy: np.ndarray, right: np.ndarray) -> Verdict:
    """What is exact the same way in both is no Winograd."""
    same = strict.dtype == fast.dtype and strict.tobytes() == fast.tobytes()
    return Verdict(compare(strict, numpy, right), None if same else compare(fast, numpy, right, spread=True))


def compare(y: np.ndarray, numpy: np.ndarray, right: np.ndarray, *, spread: bool = False) -> Report | None:
    """A report of y; None if it has no finite floating-point number.

    Args:
        numpy, right: the float32 and the float64 result of NumPy.
        spread: y may also be NaN where NumPy has a number.

    Raises:
        AssertionError: shapes, types, integers, or what is not finite differ.
    """
    assert (y.dtype, y.shape) == (numpy.dtype, numpy.shape), f"{y.dtype}{y.shape} for {numpy.dtype}{numpy.shape}"
    if y.dtype.kind != "f":
        assert y.tobytes() == numpy.tobytes() if y.dtype != object else (y == numpy).all(), "other values"
        return None
    there = ~np.isnan(y) if spread else np.ones(y.shape, bool)
    np.testing.assert_array_equal(np.isnan(y[there]), np.isnan(numpy[there]), "NaN elsewhere")
    infinite = np.isinf(numpy) & there
    np.testing.assert_array_equal(y[infinite], numpy[infinite], "infinity elsewhere")
    finite = np.isfinite(numpy) & np.isfinite(right) & there
    if not finite.any():
        return None
    a, b, c = (x[finite].astype(np.float64) for x in (y, numpy, right))
    return Report(float(np.abs(a - c).max()), float(np.abs(b - c).max()), float(np.abs(c).max()), a.size)
