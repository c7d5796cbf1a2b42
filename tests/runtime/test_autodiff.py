"""What autodiff does beside the operators' rules: sums, broadcasting, paths, orders; against central differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from striate.runtime.autodiff import gradients
from striate.runtime.builder import Builder
from striate.runtime.errors import NotDifferentiable
from striate.runtime.executor import Executor

from .graphs import model

X = np.random.default_rng(0).uniform(0.5, 1.5, (3, 4))
STEP = 1e-5


def graph_of(build: Callable[..., Any]) -> ir.Model:
    """A graph with input x [N, 4] in float64 and one output, the sum of `build(g, x)`."""
    return model(lambda g, x: g.ReduceSum(build(g, x), keepdims=0), {"x": ["N", 4]}, dtype=ir.DataType.DOUBLE)


def derivative(made: ir.Model) -> ir.Model:
    """The same graph with Σ (∂y/∂x)·weights as its output, for fixed weights."""
    made = made.clone()
    graph = made.graph
    g = Builder(graph)
    (dx,) = gradients(g, list(graph.outputs), list(graph.inputs))
    assert dx is not None
    total = g.ReduceSum(g.Mul(dx, g.constant(weights())), keepdims=0)
    total.name = "total"
    graph.outputs[:] = [total]
    return made


def weights() -> np.ndarray:
    return np.linspace(-1.0, 1.0, X.size).reshape(X.shape)


def run(made: ir.Model, x: np.ndarray) -> float:
    return float(Executor(made).run({"x": x})[0])


def difference(made: ir.Model) -> float:
    """Central difference of the output along the weights."""
    return (run(made, X + STEP * weights()) - run(made, X - STEP * weights())) / (2 * STEP)


def several_readers(g: Any, x: ir.Value) -> ir.Value:
    y = g.Exp(x)
    return g.Add(g.Mul(y, x), g.Mul(g.Sub(y, x), g.Mul(x, x)))


def broadcast(g: Any, x: ir.Value) -> ir.Value:
    row = g.ReduceSum(x, [0])
    return g.Mul(g.Mul(x, row), g.Add(g.ReduceMean(x, [1]), g.constant(np.arange(4.0))))


def split_and_joined(g: Any, x: ir.Value) -> ir.Value:
    first, _ = g.Split(x, outputs=2, axis=1, num_outputs=2)
    return g.Concat(g.Mul(first, first), g.Exp(first), axis=1)


def through_whole_numbers(g: Any, x: ir.Value) -> ir.Value:
    rounded = g.Cast(g.Cast(g.Mul(x, 2.0), to=7), to=11)
    return g.Mul(g.Mul(x, x), rounded)


def views(g: Any, x: ir.Value) -> ir.Value:
    turned = g.Transpose(g.Reshape(x, [0, 2, 2]), perm=[2, 0, 1])
    return g.Mul(g.Slice(turned, [1], [2], [2]), g.Unsqueeze(g.Squeeze(g.Slice(turned, [0], [1], [2]), [2]), [2]))


@pytest.mark.parametrize("build", [several_readers, broadcast, split_and_joined, through_whole_numbers, views])
def test_first_and_second_order(build: Callable[..., Any]) -> None:
    made = graph_of(build)
    first = derivative(made)
    assert run(first, X) == pytest.approx(difference(made), rel=1e-7)
    assert run(derivative(first), X) == pytest.approx(difference(first), rel=1e-6, abs=1e-8)


def test_an_inner_value_and_what_it_depends_on_at_once() -> None:
    made = graph_of(lambda g, x: (lambda y: g.Mul(y, y))(g.Exp(x)))
    graph = made.graph
    inner = graph[0].outputs[0]
    g = Builder(graph)
    both = gradients(g, list(graph.outputs), [inner, graph.inputs[0]])
    graph.outputs[:] = [v for v in both if v is not None]
    d_inner, d_x = Executor(made).run({"x": X})
    np.testing.assert_allclose(d_inner, 2 * np.exp(X))
    np.testing.assert_allclose(d_x, 2 * np.exp(2 * X))


def test_arriving_gradients_weigh_the_outputs() -> None:
    made = model(lambda g, x: g.Mul(x, x), {"x": ["N", 4]}, dtype=ir.DataType.DOUBLE)
    g = Builder(made.graph)
    (dx,) = gradients(g, list(made.graph.outputs), list(made.graph.inputs), [g.constant(weights())])
    assert dx is not None
    made.graph.outputs[:] = [dx]
    np.testing.assert_allclose(Executor(made).run({"x": X})[0], 2 * X * weights())


def test_what_y_does_not_depend_on_has_no_gradient() -> None:
    made = model(lambda g, x, z: g.Exp(x), {"x": [4], "z": [4]}, dtype=ir.DataType.DOUBLE)
    found = gradients(Builder(made.graph), list(made.graph.outputs), list(made.graph.inputs))
    assert found[0] is not None
    assert found[1] is None


def test_an_operator_without_a_gradient_is_named() -> None:
    made = graph_of(lambda g, x: g.Hardmax(x, name="winner"))
    with pytest.raises(NotDifferentiable, match=r"node 'winner': ai.onnx.Hardmax-13 has no gradient"):
        gradients(Builder(made.graph), list(made.graph.outputs), list(made.graph.inputs))
