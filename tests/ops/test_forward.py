"""Every row of the case table on NumPy: against the oracle, and what kernels promise about memory."""

from __future__ import annotations

import numpy as np
import pytest

from striate.runtime.engines.arrays import engine
from striate.runtime.ops import registry

from .cases import CASES
from .running import (
    arrays_of,
    assert_close,
    each,
    expected_dtype,
    operator_of,
    oracle,
    row_id,
    rows,
    run_executor,
    run_kernel,
    tensors,
)
from .table import Case

ROWS = rows()
CPU = engine("cpu")


@pytest.mark.parametrize(("case", "dtype"), ROWS, ids=map(row_id, ROWS))
def test_forward(case: Case, dtype: str) -> None:
    arrays = arrays_of(case, dtype)
    got = run_executor(case, arrays)
    want = oracle(case, arrays)
    assert len(got) == case.outputs <= len(want)
    for i, (y, right) in enumerate(zip(got, want, strict=False)):
        if isinstance(right, np.ndarray):
            assert y.dtype == expected_dtype(case, arrays, dtype, i, right)
            assert y.shape == right.shape
        if operator_of(case).deterministic or case.expect is not None:
            assert_close(case, y, right)


def _takes_out(case: Case) -> bool:
    """Plans give `out` only to nodes with one output."""
    operator = registry.find(case.domain, case.op, case.opset)
    return operator is not None and operator.takes_out and case.outputs == 1


WITH_OUT = list(filter(_takes_out, CASES))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_results_own_their_memory_or_are_views(case: Case) -> None:
    """Plans reuse buffers of dead values: only a kernel that says `view` may return memory of an input, the first."""
    operator = operator_of(case)
    arrays = [each(x, np.array) for x in arrays_of(case, "float64" if "float64" in case.dtypes else case.dtypes[0])]
    for i, y in enumerate(run_kernel(case, arrays, CPU)):
        for j, x in enumerate(arrays):
            if any(np.shares_memory(a, b) for a in tensors(x) for b in tensors(y)):
                assert operator.view, (
                    f"output {i} shares memory with input {j}, but the operator is not registered with view=True"
                )
                assert j == 0, f"output {i} shares memory with input {j}; only input 0 is allowed"


@pytest.mark.parametrize("case", WITH_OUT, ids=lambda case: case.id)
def test_out(case: Case) -> None:
    """With `out`, or with `out` being an input where the operator allows it, the result is the same."""
    arrays = arrays_of(case, case.dtypes[0])
    (want,) = run_kernel(case, arrays, CPU)
    rubbish = np.full_like(want, 77 if want.dtype.kind in "fc" else True)
    (got,) = run_kernel(case, arrays, CPU, out=rubbish)
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    assert_close(case, got, want)
    if not operator_of(case).inplace:
        return
    for i, x in enumerate(arrays):
        if isinstance(x, np.ndarray) and x.shape == want.shape and x.dtype == want.dtype:
            given = [*arrays[:i], np.array(x), *arrays[i + 1 :]]
            (got,) = run_kernel(case, given, CPU, out=given[i])
            assert_close(case, got, want)
