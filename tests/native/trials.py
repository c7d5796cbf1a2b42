"""Drawn models, rows of the case table and whole networks on trial: is the native engine within its bounds?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from striate.runtime.engines.native import lowering
from striate.runtime.engines.native.operators import OPERATORS

from ..ops.cases import CASES
from ..ops.running import arrays_of, feeds_of, model_proto, tensors
from ..ops.table import Case
from .geometries import Draw
from .truth import Beside, Verdict

__all__ = ["TABLE", "everything_lowered", "network", "pictures", "row", "try_draw", "try_network", "try_row"]

ELEMENTS, MOST_RUNS = 256, 32
"""Errors are taken over runs that give so many elements together: of a few numbers, luck decides."""
ROUNDED = ("QuantizeLinear", "DequantizeLinear", "QLinearConv")
"""Their scales are float32 by specification, so float64 knows no truth; `test_quantized` knows their bits."""
Inputs = dict[str, np.ndarray]


class Everything:
    """Stands in for the operators that make a stretch worth compiling."""

    def __contains__(self, name: str) -> bool:
        return True


@contextmanager
def everything_lowered() -> Iterator[None]:
    """Stretches of any operators are compiled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lowering, "WORTH", Everything())
        yield


def _tried(model: onnx.ModelProto, inputs: Inputs, again: Callable[[], Inputs], threads: int) -> Verdict:
    """Over as many runs as it takes to have some hundred numbers."""
    with everything_lowered():
        beside = Beside(model, threads)
        found = [Verdict.of(beside.run(inputs))]
        count = max((v.strict.elements for v in found if v.strict is not None), default=ELEMENTS)
        runs = min(MOST_RUNS, ELEMENTS // count)
        return Verdict.of([*found, *(Verdict.of(beside.run(again())) for _ in range(runs))])


def try_draw(draw: Draw, threads: int = 1) -> Verdict:
    """Runs a drawn model; raises AssertionError as `truth.compare` does."""
    return _tried(draw.model, draw.inputs, draw.again, threads)


# ---- rows of the case table


def _taken(case: Case) -> bool:
    given = [x for x in case.inputs if x is not None]
    full = all(t.size for x in given for t in tensors(x))
    known = (
        not case.domain
        and case.op in {*OPERATORS} - {*ROUNDED}
        and not onnx.defs.get_schema(case.op, case.opset).deprecated
    )
    return known and full and "float32" in case.dtypes and not _listed(given)


def _listed(given: list) -> bool:
    return any(isinstance(x, (list, dict)) for x in given)


TABLE: list[tuple[Case, bool]] = [(case, constants) for case in CASES if _taken(case) for constants in (False, True)]
"""Rows whose operator can be compiled; whether all inputs but the first are constants."""


def row(case: Case, constants: bool) -> tuple[onnx.ModelProto, Inputs]:
    arrays = arrays_of(case, "float32")
    model, inputs = model_proto(case, arrays), {name: np.asarray(x) for name, x in feeds_of(arrays).items()}
    if constants:
        for value in list(model.graph.input)[1:]:
            model.graph.initializer.append(numpy_helper.from_array(inputs.pop(value.name), value.name))
            model.graph.input.remove(value)
    return model, inputs


def try_row(case: Case, constants: bool, threads: int = 1) -> Verdict:
    model, inputs = row(case, constants)
    rng = np.random.default_rng(0)

    def again() -> Inputs:
        """Smaller numbers of the same sign, which every operator has a value for."""
        fixed = case.op == "Split"  # the oldest has its sizes as floats
        return {name: x if fixed or x.dtype != np.float32 else _smaller(rng, x) for name, x in inputs.items()}

    return _tried(model, inputs, again, threads)


def _smaller(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    return np.asarray(x * rng.uniform(0.5, 1.0, x.shape), np.float32)


# ---- networks


def network(path: Path, seed: int = 0) -> onnx.ModelProto:
    """A model of ONNX's `light` folder; its constant weights become normal numbers scaled by their fan-in (He 2015)."""
    model, rng = onnx.load(path), np.random.default_rng(seed)
    shapes = {t.name: numpy_helper.to_array(t).tolist() for t in model.graph.initializer}
    kept = []
    for node in model.graph.node:
        shape = shapes.get(node.input[0]) if node.op_type == "ConstantOfShape" else None
        if shape is None or len(shape) < 2:
            kept.append(node)
            continue
        weights = rng.standard_normal(shape, np.float32) * np.float32(math.sqrt(2 / math.prod(shape[1:])))
        model.graph.initializer.append(numpy_helper.from_array(weights, node.output[0]))
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return model


def pictures(model: onnx.ModelProto, seed: int = 1) -> Inputs:
    """Normal numbers for the one input that is no weight."""
    weights = {t.name for t in model.graph.initializer}
    (value,) = (v for v in model.graph.input if v.name not in weights)
    shape = [d.dim_value or 1 for d in value.type.tensor_type.shape.dim]
    return {value.name: np.random.default_rng(seed).standard_normal(shape, np.float32)}


def before_softmax(model: onnx.ModelProto) -> onnx.ModelProto:
    """The network without a Softmax at its end, which hides errors."""
    graph = model.graph
    last = graph.node[-1]
    if last.op_type == "Softmax":
        graph.node.remove(last)
        del graph.output[:]
        graph.output.append(helper.make_tensor_value_info(last.input[0], onnx.TensorProto.FLOAT, None))
    return model


def try_network(path: Path, threads: int = 2) -> Verdict:
    model = before_softmax(network(path))
    return Verdict.of(Beside(model, threads).run(pictures(model)))
