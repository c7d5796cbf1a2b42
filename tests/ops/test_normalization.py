"""Gradients of normalisations that the case table cannot hold: statistics in another precision, later opsets."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from striate.runtime.autodiff import gradients
from striate.runtime.builder import OPSET, Builder
from striate.runtime.errors import InvalidInput
from striate.runtime.executor import Executor
from striate.runtime.ops import lookup

from .table import Array, real


def differentiated(op: str, arrays: list[Array], opset: int, outputs: int, **attrs):
    """(function of the arrays → L, gradients of L) for L = Σ of all outputs, each times fixed weights."""
    graph = ir.Graph([], [], nodes=[], opset_imports={"": opset}, name="graph")
    g = Builder(graph)
    xs = []
    for i, array in enumerate(arrays):
        xs.append(ir.Value(name=f"x{i}", shape=ir.Shape(array.shape), type=ir.TensorType(ir.DataType.DOUBLE)))
    graph.inputs.extend(xs)
    made = g.op(op, *xs, outputs=outputs, **attrs)
    terms = []
    for y in made if outputs > 1 else (made,):
        wide = g.Cast(y, to=ir.DataType.DOUBLE.value)
        terms.append(g.ReduceSum(g.Mul(wide, real(*y.shape, low=0.5, high=1.5)), keepdims=0))
    loss = g.Identity(g.Sum(*terms))
    found = [g.Identity(d) for d in gradients(g, [loss], xs)]
    graph.outputs.extend([loss, *found])
    executor = Executor(ir.Model(graph, ir_version=11))

    def run(*given: Array) -> list[Array]:
        return executor.run({f"x{i}": array for i, array in enumerate(given)})

    return run


CASES = [
    ("LayerNormalization", [real(2, 3, 4), real(3, 4)], OPSET, 3, {"axis": 1}, 1e-3, 2e-4),
    ("RMSNormalization", [real(2, 3, 4), real(3, 4)], 23, 1, {"axis": 1, "epsilon": 0.125}, 1e-5, 1e-8),
    ("RMSNormalization", [real(2, 4), real(4)], 23, 1, {}, 1e-5, 1e-8),
]


@pytest.mark.parametrize(
    ("op", "arrays", "opset", "outputs", "attrs", "step", "tolerance"), CASES, ids=lambda x: str(x)[:24]
)
def test_gradient(op, arrays, opset, outputs, attrs, step, tolerance):
    run = differentiated(op, arrays, opset, outputs, **attrs)
    found = run(*arrays)[1:]
    for i, x in enumerate(arrays):
        numeric = np.zeros(x.size)
        for place in range(x.size):
            moved = np.zeros(x.size)
            moved[place] = step
            up, down = (run(*arrays[:i], x + s * moved.reshape(x.shape), *arrays[i + 1 :])[0] for s in (1, -1))
            numeric[place] = (up - down) / (2 * step)
        np.testing.assert_allclose(found[i].ravel(), numeric, tolerance, tolerance)


def call(name: str, *inputs: Array, version: int = OPSET, **attributes):
    operator = lookup("", name, version)
    return operator(np, *inputs, **operator.bind(attributes))


REFUSED = {
    "scale of another size": lambda: call("BatchNormalization", real(2, 3), real(2), real(3), real(3), real(3)),
    "scale that would broadcast": lambda: call("InstanceNormalization", real(2, 3, 4), real(1), real(3)),
    "groups that do not divide": lambda: call("GroupNormalization", real(2, 4, 3), real(4), real(4), num_groups=3),
    "no groups": lambda: call("GroupNormalization", real(2, 4, 3), real(4), real(4), num_groups=0),
    "an axis too far": lambda: call("LayerNormalization", real(2, 3), real(3), axis=2),
    "another norm": lambda: call("LpNormalization", real(2, 3), p=3),
    "no spatial axes": lambda: call("InstanceNormalization", real(2, 3), real(3), real(3)),
    "an empty window": lambda: call("LRN", real(2, 3, 2), size=0),
}


@pytest.mark.parametrize("attempt", REFUSED.values(), ids=REFUSED)
def test_refuses(attempt):
    with pytest.raises(InvalidInput):
        attempt()
