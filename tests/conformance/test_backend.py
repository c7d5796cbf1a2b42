"""ONNX's backend tests through `striate.runtime.backend`: all that only need operators we have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from striate.runtime import backend
from striate.runtime.dtypes import is_float

from .suites import KINDS, RANDOM, XFAIL, BackendCase, all_tests, in_scope, summary

FLOOR = {"node": 1615, "simple": 7, "pytorch-operator": 35, "pytorch-converted": 82, "light": 9}
"""At least so many tests of each kind are in scope; a registration that gets lost fails here."""


NARROW = {"bfloat16": 2.0**-6}
"""Two units in the last place, as onnx's own runner allows: the tests' tolerance is less than one."""


def _params(*kinds: str) -> list[Any]:
    params = []
    for test in (test for kind in kinds for test in in_scope(kind)):
        reason = XFAIL.get(test.kind, {}).get(test.name)
        marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
        params.append(pytest.param(test, id=f"{test.kind}-{test.name}", marks=marks))
    return params


@pytest.mark.parametrize("test", _params(*KINDS))
def test_backend(test: BackendCase) -> None:
    model = backend.prepare(test.model, "CPU")
    for inputs, right in test.data_sets():
        got = model.run(inputs)
        assert len(got) == len(right)
        for y, want in zip(got, right, strict=True):
            if test.name in RANDOM:
                assert (y.shape, y.dtype) == (want.shape, want.dtype)
            else:
                _assert_close(y, want, test.rtol, test.atol)


@pytest.mark.parametrize("kind", KINDS)
def test_scope(kind: str, record_property: Any) -> None:
    record_property("summary", summary(kind))
    assert len(in_scope(kind)) >= FLOOR[kind]


def test_known_disagreements_exist() -> None:
    stale = list(RANDOM.keys() - {test.name for test in in_scope("node")})
    stale += [
        f"{kind}: {name}" for kind, names in XFAIL.items() for name in names.keys() - {t.name for t in in_scope(kind)}
    ]
    assert not stale, f"xfail.toml lists tests that are not run: {stale}"


def test_known_disagreements_have_reasons() -> None:
    assert all(len(reason) > 20 for names in (*XFAIL.values(), RANDOM) for reason in names.values())


def test_every_kind_is_found() -> None:
    assert all(all_tests(kind) for kind in KINDS)


def _assert_close(got: np.ndarray, want: np.ndarray, rtol: float, atol: float) -> None:
    """Equal shape and dtype; floating-point values within the test's tolerance, all others exactly."""
    assert got.shape == want.shape
    if want.dtype.kind in "OSUT":
        np.testing.assert_array_equal(got.astype(object), want.astype(object))
        return
    assert got.dtype == want.dtype
    if not is_float(want.dtype) and want.dtype.kind != "c":
        np.testing.assert_array_equal(got, want)
        return
    rtol = max(rtol, NARROW.get(want.dtype.name, 0.0))
    if want.dtype.kind != "c":
        got, want = got.astype(np.float64), want.astype(np.float64)
    np.testing.assert_allclose(got, want, rtol, atol)
