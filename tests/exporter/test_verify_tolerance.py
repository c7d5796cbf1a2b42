"""The table of what nodes may differ by, and the measures it is applied to."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import pytest

from striate.exporter.verify_measure import CHUNK, identical, measure, statistics
from striate.exporter.verify_tolerance import (
    BOUNDS,
    COMPOSITE,
    EXACT,
    FLOORS,
    LENGTHS,
    OTHER,
    Allowed,
    allowed_for,
    bound_of,
    epsilon,
    output_tolerance,
)

FLOAT = np.dtype(np.float32)
EPS = 2.0**-23


def test_rows_are_operators_and_name_what_there_is() -> None:
    known = {s.name for s in onnx.defs.get_all_schemas_with_history() if not s.domain}
    assert not set(BOUNDS) - known
    for bound in (*BOUNDS.values(), OTHER, COMPOSITE):
        assert bound.length in LENGTHS
        assert bound.floor in FLOORS
    assert bound_of("Relu") == EXACT
    assert bound_of("Relu", "elsewhere") == OTHER
    assert bound_of("Relu", composite=True) == COMPOSITE


def test_sums_are_allowed_more_the_longer_they_are() -> None:
    bound = bound_of("Conv")
    x, y = np.ones((1, 16, 5, 5), np.float32), np.ones((1, 4, 3, 3), np.float32)
    few, many = (
        allowed_for(bound, (FLOAT, FLOAT), 1000.0, [x, np.ones((4, c, 3, 3), np.float32)], y, {}) for c in (1, 16)
    )
    assert few.relative == many.relative == 4 * EPS
    assert few.absolute == pytest.approx(4 * EPS * 3 * 1000)
    assert many.absolute == pytest.approx(4 * EPS * 12 * 1000)


def test_sums_that_cancel_are_held_to_what_they_are_made_of() -> None:
    x, w = np.full((2, 100), 50, np.float32), np.full((100, 3), 2, np.float32)
    allowed = allowed_for(bound_of("MatMul"), (FLOAT, FLOAT), 1e-9, [x, w], np.zeros((2, 3), np.float32), {})
    assert allowed.absolute == pytest.approx(4 * EPS * 10 * (10 * 50 * 2))


def test_the_coarser_dtype_counts_and_a_tolerance_replaces_the_table() -> None:
    half, brief = np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)
    assert epsilon(brief) == 2.0**-7
    assert allowed_for(bound_of("Add"), (FLOAT, half), 1.0, [], None, {}).relative == 2.0**-10
    assert allowed_for(bound_of("QLinearConv"), (np.dtype(np.uint8),) * 2, 1.0, [], None, {}) == Allowed(0, 0, 1)
    assert allowed_for(bound_of("Add"), (FLOAT,), 1.0, [], None, {}, 0.5) == Allowed(0.5, 0.5, 0.5)
    assert output_tolerance("float32") < output_tolerance("float16")
    assert output_tolerance("int64") == output_tolerance("float32")


def _allow(relative: float = 0.0, absolute: float = 0.0, steps: float = 0.0) -> object:
    return lambda ours, theirs, largest: Allowed(relative, absolute, steps)


@pytest.mark.parametrize(
    ("ours", "theirs", "agrees"),
    [
        (np.float32([np.nan, np.inf, 0.0]), np.float32([np.nan, np.inf, -0.0]), True),
        (np.float32([np.nan]), np.float32([1]), False),
        (np.float32([np.inf]), np.float32([1]), False),
        (np.float32([np.inf]), np.float32([-np.inf]), False),
        (np.int64([2**62]), np.int64([2**62 + 1]), False),
        (np.asarray(["a"], object), np.asarray(["a"]), True),
        (np.asarray(["a"], object), np.asarray(["b"], object), False),
        (np.complex64([1 + 1j]), np.complex64([1 + 2j]), False),
        (np.float32([1]), np.float64([1]), False),
        (np.float32([1]), np.float32([[1]]), False),
        ([np.float32([1])], [np.float32([1])], True),
        ([np.float32([1])], [], False),
        ([np.float32([1]), np.float32([2])], [np.float32([1]), np.float32([3])], False),
        ({"a": 1.0}, {"a": 1.0}, True),
        ({"a": 1.0}, {"b": 1.0}, False),
        (None, None, True),
        (None, np.float32([1]), False),
        (np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32), True),
        (np.asarray(True), np.asarray(False), False),
        (np.asarray([1, 2], ml_dtypes.int4), np.asarray([1, 3], ml_dtypes.int4), False),
    ],
)
def test_what_agrees(ours: object, theirs: object, agrees: bool) -> None:
    assert measure(ours, theirs, _allow()).agrees is agrees


def test_what_is_measured() -> None:
    found = measure(np.float32([[1, 2], [3, 4]]), np.float32([[1, 2.5], [3, 4]]), _allow(absolute=0.25))
    assert (found.max_abs, found.worst, found.excess) == (0.5, (0, 1), 2.0)
    assert found.max_rel == pytest.approx(0.2)
    assert found.of_range == pytest.approx(0.125)
    assert (found.ours_there, found.theirs_there) == ("2.0", "2.5")
    assert found.max_ulp == 2**21
    assert measure(np.uint8([1, 5]), np.uint8([2, 5]), _allow(steps=1)).agrees
    assert not measure(np.uint8([1, 5]), np.uint8([3, 5]), _allow(steps=1)).agrees
    narrow = measure(np.float32([1 / 3]), np.float64([1 / 3]), _allow(relative=EPS), wide=True)
    assert narrow.agrees
    assert 0 < narrow.max_abs < 1e-8
    assert narrow.max_ulp == 0


def test_large_arrays_are_measured_in_parts() -> None:
    theirs = np.zeros(2 * CHUNK + 5, np.float32)
    ours = theirs.copy()
    ours[-2] = 3
    ours[7] = 1
    found = measure(ours, theirs, _allow(absolute=1))
    assert (found.worst, found.max_abs, found.excess) == ((2 * CHUNK + 3,), 3.0, 3.0)
    assert not identical(ours, theirs)
    assert identical(ours, ours.copy())
    facts = statistics(ours)
    assert (facts.smallest, facts.largest) == (0.0, 3.0)
    assert facts.mean == pytest.approx(4 / ours.size)
    assert statistics(np.float32([1, np.nan, np.inf])).not_finite == 2
    assert statistics(np.asarray(["a"], object)).mean is None
