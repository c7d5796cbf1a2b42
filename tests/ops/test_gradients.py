"""Gradients of every row that lists some, first and second order, against central differences in float64.

With fixed random R the scalar L = Σ Y·R is differentiated. The first order is compared element by element. The second
order differentiates S = Σ dL/dx·v for fixed random v, with respect to the inputs and to R, and is compared along a
random direction each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from striate.runtime.autodiff import gradients
from striate.runtime.builder import OPSET, Builder
from striate.runtime.dtypes import is_float, onnx_dtype
from striate.runtime.errors import NotDifferentiable
from striate.runtime.executor import Executor
from striate.runtime.ops import registry

from .cases import CASES
from .running import arrays_of, operator_of, run_executor, type_of
from .table import Case

STEP, RTOL, ATOL = 1e-5, 2e-6, 2e-7
"""Step of the differences; relative and absolute tolerance of the first order; the second has ten times that.

Central differences in float64 are good to about 1e-10; the curvature of the steepest rows needs the rest.
"""
ELEMENTS = 64
"""Inputs with more elements are checked at this many places."""

ROWS = [case for case in CASES if case.grad]
SECOND = [case for case in ROWS if case.second]
STATIC: dict[str, str] = {}
"""Operators whose gradient needs the first dimension of the first input as a number, and why."""
BATCHED = [case for case in ROWS if 0 in case.grad and case.inputs[0].ndim > 1 and case.op not in STATIC]


class Problem:
    """A case as a graph: the inputs listed in `grad` are its inputs `xs`, all else is constant.

    `ys` are the floating-point outputs, `rs` and `vs` the random tensors. With `batch` the first dimension of the first
    input is only known by that name.
    """

    def __init__(self, case: Case, batch: str | None = None) -> None:
        arrays = arrays_of(case, "float64")
        results = run_executor(case, arrays)
        self.graph = ir.Graph([], [], nodes=[], opset_imports={"": OPSET}, name="graph")
        self.g = Builder(self.graph)
        self.feeds: dict[str, np.ndarray] = {}
        values = [self.input(f"x{i}", x) if i in case.grad else self.g.value(x) for i, x in enumerate(arrays)]
        if batch:
            values[0].shape = ir.Shape([batch, *arrays[0].shape[1:]])
        self.xs = [values[i] for i in case.grad]
        made = self.g.op(case.op, *values, outputs=case.outputs, name="node", **case.attrs)
        made = made if isinstance(made, tuple) else (made,)
        self.ys = [y for y, result in zip(made, results, strict=False) if is_float(result.dtype)]
        random = np.random.default_rng(7)
        shapes = [result.shape for result in results if is_float(result.dtype)]
        self.rs = [self.input(f"r{i}", random.uniform(0.5, 1.5, s)) for i, s in enumerate(shapes)]
        for r, y in zip(self.rs, self.ys, strict=True):
            r.shape = y.shape if y.shape is not None else r.shape
        self.vs = [self.input(f"v{i}", random.uniform(0.5, 1.5, arrays[i].shape)) for i in case.grad]

    def input(self, name: str, array: np.ndarray) -> ir.Value:
        array = array.astype(np.float64)
        dtype = ir.DataType(onnx_dtype(array.dtype))
        value = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(dtype))
        self.graph.inputs.append(value)
        self.feeds[name] = array
        return value

    def first(self) -> list[ir.Value]:
        found = gradients(self.g, self.ys, self.xs, self.rs)
        for x, dx in zip(self.xs, found, strict=True):
            assert dx is not None, f"no gradient reaches {x.name}"
        return [dx for dx in found if dx is not None]

    def function(self, outputs: Sequence[ir.Value]) -> Callable[[dict[str, np.ndarray]], list[np.ndarray]]:
        """Feeds → the values of `outputs`."""
        graph_outputs = [self.g.Identity(value) for value in outputs]
        self.graph.outputs[:] = graph_outputs
        executor = Executor(ir.Model(self.graph, ir_version=10))
        names = [str(value.name) for value in graph_outputs]
        return lambda feeds: executor.run(feeds, names)

    def difference(self, value: Callable[[dict[str, np.ndarray]], float], name: str, direction: np.ndarray) -> float:
        """The derivative of `value(feeds)` when the input `name` moves in `direction`."""
        x, step = self.feeds[name], STEP * direction
        return (value({**self.feeds, name: x + step}) - value({**self.feeds, name: x - step})) / (2 * STEP)


def assert_close(symbolic: float, numeric: float, times: int, what: str) -> None:
    """Within `times` the stated tolerance."""
    np.testing.assert_allclose(symbolic, numeric, times * RTOL, times * ATOL, err_msg=what)


def _dot(arrays: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> float:
    return sum(float(np.sum(a.astype(np.float64) * b)) for a, b in zip(arrays, others, strict=True))


def _places(size: int) -> Sequence[int]:
    return range(size) if size <= ELEMENTS else np.random.default_rng(3).choice(size, ELEMENTS, replace=False).tolist()


@pytest.mark.parametrize("case", ROWS, ids=lambda case: case.id)
def test_first_order(case: Case) -> None:
    problem = Problem(case)
    forward = problem.function(problem.ys)
    found = problem.function(problem.first())(problem.feeds)
    rs = [problem.feeds[str(r.name)] for r in problem.rs]
    for value, dx in zip(problem.xs, found, strict=True):
        name = str(value.name)
        x = problem.feeds[name]
        assert dx.shape == x.shape
        assert dx.dtype == x.dtype
        for place in _places(x.size):
            direction = np.zeros(x.size)
            direction[place] = 1.0
            numeric = problem.difference(lambda feeds: _dot(forward(feeds), rs), name, direction.reshape(x.shape))
            assert_close(float(dx.flat[place]), numeric, 1, f"d/d{name}[{place}]")


@pytest.mark.parametrize("case", SECOND, ids=lambda case: case.id)
def test_second_order(case: Case) -> None:
    problem = Problem(case)
    first = problem.first()
    gradient = problem.function(first)
    wanted = [*problem.xs, *problem.rs]
    found = gradients(problem.g, first, wanted, problem.vs)
    reached = [(x, d) for x, d in zip(wanted, found, strict=True) if d is not None]
    values = problem.function([d for _, d in reached])(problem.feeds)
    seconds = dict(zip([x.name for x, _ in reached], values, strict=True))
    vs = [problem.feeds[str(v.name)] for v in problem.vs]
    random = np.random.default_rng(11)
    for value in wanted:
        name = str(value.name)
        direction = random.uniform(-1, 1, problem.feeds[name].shape)
        numeric = problem.difference(lambda feeds: _dot(gradient(feeds), vs), name, direction)
        symbolic = _dot([seconds[name]], [direction]) if name in seconds else 0.0
        assert_close(symbolic, numeric, 10, f"second order, d/d{name}")


@pytest.mark.parametrize("case", BATCHED, ids=lambda case: case.id)
def test_unknown_batch_size(case: Case) -> None:
    """Training graphs are built before the batch size is known: rules need no number there."""
    problem, symbolic = Problem(case), Problem(case, batch="N")
    want = problem.function(problem.first())(problem.feeds)
    for got, right in zip(symbolic.function(symbolic.first())(symbolic.feeds), want, strict=True):
        np.testing.assert_allclose(got, right, 1e-12, 1e-12)


def _without_gradient() -> list[Case]:
    """One row for each operator that has no gradient and something to differentiate by."""
    found: dict[str, Case] = {}
    for case in CASES:
        operator = registry.find(case.domain, case.op, case.opset if case.domain else OPSET)
        current = operator is registry.find(case.domain, case.op, case.opset)
        given = [x for x in case.inputs if x is not None]
        if any(isinstance(x, dict) for x in given):  # onnx_ir has no maps
            continue
        if operator and current and not operator.differentiable and given:
            found.setdefault(str(operator), case)
    return list(found.values())


@pytest.mark.parametrize("case", _without_gradient(), ids=lambda case: case.id)
def test_asking_for_a_gradient_that_is_not_there(case: Case) -> None:
    """Never a silent zero: the error names the node."""
    versions = {"": OPSET} | ({case.domain: case.opset} if case.domain else {})
    graph = ir.Graph([], [], nodes=[], opset_imports=versions, name="graph")
    g = Builder(graph)
    values: list[Any] = []
    for i, x in enumerate(arrays_of(case, case.dtypes[0])):
        value = None
        if x is not None:
            proto = type_of(x)
            shape = ir.serde.deserialize_type_proto_for_shape(proto)
            value = ir.Value(name=f"x{i}", shape=shape, type=ir.serde.deserialize_type_proto_for_type(proto))
            known = isinstance(x, np.ndarray) and i in operator_of(case).host
            value.const_value = ir.tensor(x) if known else None
            graph.inputs.append(value)
        values.append(value)
    attributes = {
        name: ir.serde.deserialize_graph(a) if isinstance(a, onnx.GraphProto) else a for name, a in case.attrs.items()
    }
    made = g.op(case.op, *values, outputs=case.outputs, name="the_node", domain=case.domain or None, **attributes)
    y = made[0] if isinstance(made, tuple) else made
    with pytest.raises(NotDifferentiable, match="the_node"):
        gradients(g, [y], [v for v in values if v is not None], [y])


@pytest.mark.parametrize("second", ["same", "computed"])
def test_the_inputs_of_a_function_body_each_get_their_own_share(second: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.lookup("", "PRelu", OPSET), "rule", None)
    x = ir.Value(name="x", type=ir.TensorType(ir.DataType.DOUBLE), shape=ir.Shape([3]))
    graph = ir.Graph([x], [], nodes=[], opset_imports={"": OPSET}, name="g")
    g = Builder(graph)
    slope = x if second == "same" else g.Mul(x, 3.0)
    (dx,) = gradients(g, [g.PRelu(x, slope)], [x])
    assert dx is not None
    graph.outputs.append(dx)
    (found,) = Executor(ir.Model(graph, ir_version=10)).run({"x": np.array([-2.0, -1.0, 4.0])})
    factor = 1.0 if second == "same" else 3.0
    np.testing.assert_allclose(found, [-4.0 * factor, -2.0 * factor, 1.0])


def test_a_gradient_has_the_known_rank_of_what_it_belongs_to() -> None:
    """Open dimensions without a name leave open whether anything was broadcast; the second order still works."""
    kinds = {"x": [None, 2], "z": [None, 3]}
    x, z = (ir.Value(name=n, type=ir.TensorType(ir.DataType.DOUBLE), shape=ir.Shape(s)) for n, s in kinds.items())
    graph = ir.Graph([x, z], [], nodes=[], opset_imports={"": OPSET}, name="g")
    g = Builder(graph)
    w = np.arange(6.0).reshape(2, 3)
    (dx,) = gradients(g, [g.Mul(g.MatMul(x, w), z)], [x])
    assert dx is not None
    (dz,) = gradients(g, [dx], [z])
    assert dz is not None
    graph.outputs.append(dz)
    (found,) = Executor(ir.Model(graph, ir_version=10)).run({"x": np.ones((4, 2)), "z": np.ones((4, 3))})
    np.testing.assert_allclose(found, np.tile(w.sum(axis=0), (4, 1)))
