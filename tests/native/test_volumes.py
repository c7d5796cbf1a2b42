"""Convolution and pooling of lines and volumes, and transposed convolution, beside the arrays engine in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from striate.runtime.engines.native import lowering
from striate.runtime.executor import Executor
from striate.runtime.ops.registry import lookup
from striate.runtime.reader import read

from .test_lowering import Everything


def ints(rng: np.random.Generator, low: int, high: int, count: int) -> list[int]:
    return [int(v) for v in rng.integers(low, high, count)]


Bias = np.ndarray | None
LIMIT = 1e-5
"""The greatest error, as a part of the greatest sum: that of Winograd's algorithm."""
ACTIVATIONS = {"": lambda y: y, "Relu": lambda y: np.maximum(y, 0), "Sigmoid": lambda y: 1 / (1 + np.exp(-y))}


def check(op: str, x: np.ndarray, w: Bias, b: Bias, activation: str, **attributes: Any) -> None:
    """One native step, activation and all, as exact as `LIMIT` says of the sums that activations are applied to."""
    given = {name: array for name, array in (("w", w), ("b", b)) if array is not None}
    nodes = [helper.make_node(op, ["x", *given], ["c"], **attributes)]
    nodes.append(helper.make_node(activation or "Identity", ["c"], ["y"]))
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        op,
        [value("x", TensorProto.FLOAT, ["n", *x.shape[1:]])],
        [value("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in given.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    executor = Executor(read(model.SerializeToString()), threads=2)
    (got,) = executor.run({"x": x})
    (step,) = executor.plan_for({"x": x}).steps
    assert step.op_type == "Stretch"
    wide = [a.astype(np.float64) for a in (x, *given.values())]
    operator = lookup("", op, 21)
    want = operator(np, *wide, **attributes, **({"n_outputs": 1} if op == "MaxPool" else {}))
    limit = LIMIT * abs(want).max()
    want = ACTIVATIONS[activation](want)
    assert (got.dtype, got.shape) == (x.dtype, want.shape)
    assert abs(got - want).max() <= limit


def operands(
    rng: np.random.Generator, x: tuple[int, ...], w: tuple[int, ...], outputs: int
) -> tuple[np.ndarray, np.ndarray, Bias, str]:
    arrays = [rng.standard_normal(shape).astype(np.float32) for shape in (x, w, (outputs,))]
    bias = arrays[2] if rng.random() < 0.7 else None
    return arrays[0], arrays[1], bias, str(rng.choice(["", "Relu", "Sigmoid"]))


@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("seed", range(40))
def test_convolution(rank: int, seed: int) -> None:
    rng = np.random.default_rng(100 * rank + seed)
    n, c, m = ints(rng, 1, 3, 1) + ints(rng, 1, 40, 2)
    kernel, strides, dilations = ints(rng, 1, 5, rank), ints(rng, 1, 4, rank), ints(rng, 1, 3, rank)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    pads = [int(rng.integers(0, r + 1)) for r in reach * 2]
    size = [
        max(1, r - a - b) + int(rng.integers(0, 9)) for r, a, b in zip(reach, pads[:rank], pads[rank:], strict=True)
    ]
    x, w, b, activation = operands(rng, (n, c, *size), (m, c, *kernel), m)
    check("Conv", x, w, b, activation, strides=strides, dilations=dilations, pads=pads)


@pytest.mark.parametrize("size", [(4, 12, 13), (1, 16, 16)])
def test_volumes_that_suit_winograd(size: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x, w, b, _ = operands(rng, (2, 32, *size), (32, 32, 3, 3, 3), 32)
    check("Conv", x, w, b, "Relu", pads=[1] * 6)


@pytest.mark.parametrize("groups", [2, 4])
def test_lines_in_groups(groups: int) -> None:
    x, w, b, _ = operands(np.random.default_rng(groups), (2, 8, 19), (12, 8 // groups, 3), 12)
    check("Conv", x, w, b, "Relu", pads=[1, 1], group=groups)


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("seed", range(60))
def test_transposed_convolution(rank: int, seed: int) -> None:
    rng = np.random.default_rng(100 * rank + seed)
    n, c, m = ints(rng, 1, 3, 1) + ints(rng, 1, 40, 2)
    kernel, strides, dilations = ints(rng, 1, 6, rank), ints(rng, 1, 4, rank), ints(rng, 1, 3, rank)
    size = ints(rng, 2, 9, rank)
    extra = [int(rng.integers(0, max(s, d))) for s, d in zip(strides, dilations, strict=True)]
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    pads = [int(rng.integers(0, r // 2 + 1)) for r in reach * 2]
    full = [s * (v - 1) + e + r for s, v, e, r in zip(strides, size, extra, reach, strict=True)]
    pads = pads if all(f > a + b for f, a, b in zip(full, pads[:rank], pads[rank:], strict=True)) else [0] * 2 * rank
    x, w, b, activation = operands(rng, (n, c, *size), (c, m, *kernel), m)
    attributes = {"strides": strides, "dilations": dilations, "pads": pads, "output_padding": extra}
    check("ConvTranspose", x, w, b, activation, **attributes)


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("seed", range(30))
def test_pooling_of_volumes(op: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lowering, "WORTH", Everything())
    rng = np.random.default_rng(seed)
    kernel, strides, dilations = ints(rng, 1, 5, 3), ints(rng, 1, 4, 3), ints(rng, 1, 3, 3)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    pads = [int(rng.integers(0, k)) for k in kernel * 2]
    size = [r + int(rng.integers(0, 9)) for r in reach]
    x = rng.standard_normal((*ints(rng, 1, 3, 1), *ints(rng, 1, 40, 1), *size)).astype(np.float32)
    attributes = {"kernel_shape": kernel, "strides": strides, "dilations": dilations, "pads": pads}
    attributes["ceil_mode"] = int(rng.integers(2))
    if op == "AveragePool":
        attributes["count_include_pad"] = int(rng.integers(2))
    check(op, x, None, None, "", **attributes)
