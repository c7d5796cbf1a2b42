"""All of ONNX's own backend tests through `striate.runtime.backend`."""

from __future__ import annotations

from typing import Any

import pytest

from striate.runtime import backend

from .suites import KINDS, RANDOM, XFAIL, BackendCase, all_tests, compare


def _params() -> list[Any]:
    params = []
    for test in (test for kind in KINDS for test in all_tests(kind)):
        reason = XFAIL.get(test.kind, {}).get(test.name)
        marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
        params.append(pytest.param(test, id=f"{test.kind}-{test.name}", marks=marks))
    return params


@pytest.mark.parametrize("test", _params())
def test_backend(test: BackendCase) -> None:
    model = backend.prepare(test.model, "CPU")
    sets = list(test.data_sets())
    assert sets
    for inputs, right in sets:
        compare(test, inputs, model.run(inputs), right)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_found(kind: str, record_property: Any) -> None:
    record_property("summary", f"{kind}: {len(all_tests(kind))} tests, {len(XFAIL.get(kind, {}))} known disagreements")
    assert all_tests(kind)


def test_known_disagreements_exist() -> None:
    stale = list(RANDOM.keys() - {test.name for test in all_tests("node")})
    stale += [f"{kind}: {n}" for kind, names in XFAIL.items() for n in names.keys() - {t.name for t in all_tests(kind)}]
    assert not stale, f"xfail.toml lists tests that are not run: {stale}"


def test_known_disagreements_have_reasons() -> None:
    assert all(len(reason) > 20 for names in (*XFAIL.values(), RANDOM) for reason in names.values())
