"""Every row on arrays with CuPy's manners, and, on a machine with a GPU, on CuPy itself (`pytest -m gpu`)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from striate.runtime.builder import OPSET, Builder
from striate.runtime.engines.arrays import ArraysEngine, cuda_available, engine, to_host
from striate.runtime.executor import Executor
from striate.runtime.ops import registry

from .running import (
    Arrays,
    arrays_of,
    assert_close,
    operator_of,
    oracle,
    row_id,
    rows,
    run_executor,
    run_kernel,
    tensors,
)
from .strict import DTYPES, strict
from .table import Case, real

ROWS = rows()
CPU = engine("cpu")
STRICT = ArraysEngine(strict, "strict")

LEFT_OUT = 0.08
"""At most this share of the rows is about dtypes that no device holds."""
HELD = DTYPES | {"O"}
"""What the engine of a device works with: text stays on the host."""
HOST_ONLY: dict[str, str] = {}
"""Operators without a single row a device could run, and why."""


def fits_device(case: Case, arrays: Arrays) -> bool:
    """Whether a device can hold all that is read and written: none of the dtypes only ml_dtypes has."""
    operator = operator_of(case)
    read = [t for i, x in enumerate(arrays) if i not in operator.host for t in tensors(x)]
    if any(x.dtype.char not in HELD for x in read):
        return False
    return all(t.dtype.char in HELD for y in run_kernel(case, arrays, CPU) for t in tensors(y))


@pytest.fixture(scope="module")
def on_device() -> list[bool]:
    return [fits_device(case, arrays_of(case, dtype)) for case, dtype in ROWS]


@pytest.mark.parametrize(("case", "dtype"), ROWS, ids=map(row_id, ROWS))
def test_strict(case: Case, dtype: str) -> None:
    """The same kernel gives the same bits."""
    arrays = arrays_of(case, dtype)
    if not fits_device(case, arrays):
        return  # test_every_operator_ran_strict counts these
    want = run_kernel(case, arrays, CPU)
    for got, right in zip(run_kernel(case, arrays, STRICT), want, strict=True):
        assert isinstance(got, list) == isinstance(right, list)
        assert isinstance(got, (dict, type(None))) == isinstance(right, (dict, type(None)))
        for y, wanted in zip(got if isinstance(got, list) else [got], tensors(right), strict=bool(tensors(right))):
            _assert_same_bits(y, wanted, deterministic=operator_of(case).deterministic)


def _assert_same_bits(got: Any, right: np.ndarray, *, deterministic: bool) -> None:
    home = np.ndarray if right.dtype == object else strict.ndarray
    assert isinstance(got, home), f"the kernel returned {type(got)} instead of an array of {home}"
    assert got.dtype == right.dtype
    assert got.shape == right.shape
    if deterministic:
        np.testing.assert_array_equal(to_host(got), right)


def test_every_operator_ran_strict(on_device: list[bool], record_property: Any) -> None:
    left_out = on_device.count(False)
    record_property("summary", f"strict arrays: {len(ROWS) - left_out} rows, {left_out} a device cannot hold")
    assert left_out < LEFT_OUT * len(ROWS)
    ran = Counter(str(operator_of(case)) for (case, _), fits in zip(ROWS, on_device, strict=True) if fits)
    missing = sorted(str(o) for o in registry.registered() if not ran[str(o)] and o.name not in HOST_ONLY)
    assert not missing, f"no row of these operators runs on a device: {missing}"


def test_executor_on_strict_arrays() -> None:
    """The executor itself mixes no host and device arrays: constants, host inputs, views, buffers, donated inputs."""
    x = ir.Value(name="x", shape=ir.Shape((2, 3, 4)), type=ir.TensorType(ir.DataType.FLOAT))
    state = ir.Value(name="state", shape=ir.Shape((2, 12)), type=ir.TensorType(ir.DataType.FLOAT))
    graph = ir.Graph([x, state], [], nodes=[], opset_imports={"": OPSET}, name="graph")
    g = Builder(graph)
    flat = g.Reshape(g.Relu(g.Mul(x, 2.0)), [2, 12])
    updated = g.Add(state, g.MatMul(flat, real(12, 12).astype(np.float32)))
    summed = g.ReduceSum(g.Exp(g.Sub(flat, 1.0)), [1], keepdims=0)
    graph.outputs.extend([updated, summed])
    model = ir.Model(graph, ir_version=10)
    feeds = {"x": real(2, 3, 4).astype(np.float32), "state": np.ones((2, 12), np.float32)}
    want = [to_host(y) for y in Executor(model).run(feeds)]
    for _ in range(2):
        device_state = strict.asarray(feeds["state"])
        executor = Executor(model, STRICT, donate={"state": str(updated.name)})
        (got,) = executor.run({"x": strict.asarray(feeds["x"]), "state": device_state})
        np.testing.assert_array_equal(to_host(got), want[1])
        np.testing.assert_array_equal(to_host(device_state), want[0])


NO_GPU = pytest.param(None, "", marks=pytest.mark.skip(reason="needs CuPy and a CUDA device"))
ON_GPU = [pytest.param(*row, id=row_id(row)) for row in ROWS] if cuda_available() else [NO_GPU]


@pytest.mark.gpu
@pytest.mark.parametrize(("case", "dtype"), ON_GPU)
def test_gpu(case: Case, dtype: str) -> None:
    arrays = arrays_of(case, dtype)
    if not fits_device(case, arrays):
        return
    got = run_executor(case, arrays, engine("cuda"))
    for y, right in zip(got, oracle(case, arrays), strict=False):
        if operator_of(case).deterministic or case.expect is not None:
            assert_close(case, y, right)


def _array() -> object:
    return strict.asarray(np.arange(6.0).reshape(2, 3))


REFUSED = {
    "implicit conversion": lambda x: np.asarray(x),
    "NumPy's ufunc": lambda x: np.exp(x),
    "NumPy's function": lambda x: np.sum(x),
    "NumPy array as operand": lambda x: x + np.ones(3),
    "NumPy array as first operand": lambda x: np.ones(3) + x,
    "NumPy array as argument": lambda x: strict.where(x > 1, x, np.ones(3)),
    "NumPy array as index": lambda x: x[np.array([0])],
    "NumPy array as out": lambda x: strict.exp(x, out=np.empty((2, 3))),
    "list as operand": lambda x: strict.add(x, [1, 2, 3]),
    "function CuPy lacks": lambda x: strict.frompyfunc,
    "parameter CuPy lacks": lambda x: strict.sum(x, where=x > 1),
    "method CuPy lacks": lambda x: x.byteswap(),
    "scatter CuPy lacks": lambda x: strict.multiply.at(x, (0,), 2.0),
    "scatter dtype CuPy lacks": lambda x: strict.add.at(x.astype(strict.int64), (0,), 2),
    "reduction CuPy lacks": lambda x: strict.maximum.reduce(x),
    "device shape": lambda x: strict.zeros(strict.asarray([2, 3])),
    "device int as a Python index": lambda x: range(x[0, 0].astype(strict.int32)),
    "strings": lambda x: strict.asarray(np.array(["a"], object)),
    "clashing assignment": lambda x: x.__setitem__(([0, 0],), strict.asarray([[1.0], [2.0]])),
}


@pytest.mark.parametrize("attempt", REFUSED.values(), ids=REFUSED)
def test_double_refuses(attempt) -> None:
    with pytest.raises((TypeError, AttributeError, NotImplementedError, RuntimeError)):
        attempt(_array())


def test_double_wraps_indices_around() -> None:
    x = strict.asarray(np.arange(4.0))
    assert x[strict.asarray([5, -6])].tolist() == [1.0, 2.0]
    assert strict.take(x, strict.asarray([7])).tolist() == [3.0]
