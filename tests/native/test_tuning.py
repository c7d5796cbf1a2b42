"""Options that decide how a convolution is computed: numerics and tune."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from striate.runtime import InferenceSession, SessionOptions
from striate.runtime.builder import Builder
from striate.runtime.engines.native import tuning
from striate.runtime.engines.native.kernels.conv import Convolution
from striate.runtime.engines.native.kernels.winograd_cost import WAYS
from striate.runtime.engines.native.layouts import Blocked
from striate.runtime.errors import InvalidInput

X = np.random.default_rng(0).standard_normal((1, 64, 28, 28)).astype(np.float32)
PROBLEM = Convolution(Blocked((1, 16, 12, 12), 16), Blocked((1, 16, 12, 12), 16), (3, 3), pads=(1, 1, 1, 1))


def model() -> bytes:
    """y = Conv(x), 3×3, 64 → 64 channels: a clear case for Winograd's method."""
    x = ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(X.shape))
    graph = ir.Graph([x], [], nodes=[], opset_imports={"": 21}, name="g")
    weights = np.random.default_rng(1).standard_normal((64, 64, 3, 3)).astype(np.float32)
    node = ir.node("Conv", [x, Builder(graph).initializer(weights, "w")], {"pads": [1, 1, 1, 1]}, name="conv")
    graph.append(node)
    node.outputs[0].name = "y"
    graph.outputs.append(node.outputs[0])
    return ir.to_proto(ir.Model(graph, ir_version=10)).SerializeToString()


def session(**options: object) -> InferenceSession:
    given = SessionOptions()
    for name, value in options.items():
        setattr(given, name, value)
    return InferenceSession(model(), given)


def labels(made: InferenceSession) -> list[str]:
    """Of the steps of the one stretch."""
    (step,) = made._executor.plan_for({"x": X}).steps
    return [s.label for s in step.call.func.__self__.program.steps]  # type: ignore[attr-defined]


def test_strict_multiplies_and_adds_as_the_operator_says() -> None:
    fast, strict = session(), session(numerics="strict")
    assert any("winograd" in label for label in labels(fast))
    assert not any("winograd" in label for label in labels(strict))
    (y,), (right,) = fast.run(None, {"x": X}), strict.run(None, {"x": X})
    assert 0 < np.abs(y - right).max() < 5e-5 * np.ptp(right)


def test_strict_is_the_same_for_any_number_of_threads_and_tuned_or_not() -> None:
    (want,) = session(numerics="strict", intra_op_num_threads=1).run(None, {"x": X})
    for threads, tune in ((1, True), (2, False), (3, True)):
        made = session(numerics="strict", intra_op_num_threads=threads, tune=tune)
        np.testing.assert_array_equal(made.run(None, {"x": X})[0], want)


def test_numerics_of_another_name_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"'loose'.*'fast' or 'strict'"):
        session(numerics="loose")


def test_what_was_measured_is_remembered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))
    measured: list[int] = []

    def seconds(problem: Convolution, m: int, threads: int) -> float:
        measured.append(m)
        return {0: 3.0, 2: 1.0, 3: 2.5, 4: 2.0}[m]

    monkeypatch.setattr(tuning, "_seconds", seconds)
    tuning.fastest.cache_clear()
    assert tuning.fastest(PROBLEM, 1) == 2
    assert sorted(measured) == sorted(WAYS)
    tuning.fastest.cache_clear()
    assert tuning.fastest(PROBLEM, 1) == 2
    assert len(measured) == len(WAYS)
    (kept,) = (path for path in tmp_path.rglob("*") if path.is_file())
    for damaged in (b"", b"7", b"\xff\xfe", b"4444"):
        kept.write_bytes(damaged)
        measured.clear()
        tuning.fastest.cache_clear()
        assert tuning.fastest(PROBLEM, 1) == 2
        assert sorted(measured) == sorted(WAYS)
    tuning.fastest.cache_clear()


def test_measuring_finds_a_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """With real runs, and without a cache on disk."""
    monkeypatch.setenv("STRIATE_CACHE", "")
    monkeypatch.setattr(tuning, "SECONDS", 0.001)
    tuning.fastest.cache_clear()
    assert tuning.fastest(PROBLEM, 2) in WAYS
    (y,), (right,) = session(tune=True).run(None, {"x": X}), session(numerics="strict").run(None, {"x": X})
    assert np.abs(y - right).max() < 5e-5 * np.ptp(right)
    tuning.fastest.cache_clear()
