"""Random graphs: optimised, as they stand, and by onnxruntime or the reference; `tests/fuzz/run.py` tries many more."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from onnx import helper

from striate.runtime import InferenceSession

from . import checking
from .checking import agree, check, within_spread
from .graphs import Sample, samples
from .run import save


@pytest.mark.parametrize("part", range(4))
def test_random_graphs(part: int) -> None:
    pytest.importorskip("onnxruntime")

    @seed(part)
    @settings(
        max_examples=75,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # the check names the node; shrinking takes minutes
        suppress_health_check=list(HealthCheck),
    )
    @given(samples())
    def holds(sample: Sample) -> None:
        verdict = check(sample)
        assert not verdict.bad, f"{verdict.detail}\n  {save(sample, f'part-{part}')}"

    holds()


def _sample(text: str, **feeds: np.ndarray) -> Sample:
    return Sample(onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 21]> {text}'), feeds)


X = np.array([[0.5, 1.5, -2.0], [3.0, 0.25, 1.0]], np.float32)
SUM = "g (float[2,3] x) => (float[2,3] y) {e = Exp(x) y = Add(e, x)}"


@pytest.mark.parametrize(
    "change",
    [lambda y: y * np.float32(1.001), lambda y: y.astype(np.float64), lambda y: y[:1]],
    ids=["value", "dtype", "shape"],
)
def test_a_wrong_result_is_found(monkeypatch: pytest.MonkeyPatch, change) -> None:  # type: ignore[no-untyped-def]
    """The check would see a kernel that errs, whatever it explains."""
    pytest.importorskip("onnxruntime")
    run = checking.run_ours
    monkeypatch.setattr(
        checking, "run_ours", lambda *a, **k: {n: change(y) for n, y in run(*a, **k).items()} if "optimize" in k else {}
    )
    verdict = check(_sample(SUM, x=X))
    assert verdict.bad
    assert "Exp" in verdict.detail or "differs" in verdict.detail


def test_only_what_rounding_can_do_is_explained() -> None:
    ours = np.array([1.0, 2.0], np.float32)
    moved = [ours + np.float32(1e-4), ours - np.float32(1e-4)]
    assert within_spread(ours, ours + np.float32(5e-4), moved)
    assert not within_spread(ours, ours + np.float32(5e-2), moved)
    assert not within_spread(ours, ours.astype(np.float64), moved)
    assert not within_spread(ours, ours[:1], moved)
    assert within_spread(ours, ours[:1], [ours, np.ones(3, np.float32)])
    assert not agree(ours, np.array([1.0, np.nan], np.float32))


def test_sizes_whose_number_is_not_known_before_a_run() -> None:
    """ONNX's inference takes their length for 0."""
    x = np.arange(4, dtype=np.float32).reshape(1, 1, 2, 2)
    for shape in (["n"], None):
        node = helper.make_node("Resize", ["x", "", "", "s"], ["y"], mode="nearest")
        inputs = [helper.make_tensor_value_info("x", 1, x.shape), helper.make_tensor_value_info("s", 7, shape)]
        graph = helper.make_graph([node], "g", inputs, [helper.make_tensor_value_info("y", 1, None)])
        model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 21)])
        (y,) = InferenceSession(model.SerializeToString()).run(None, {"x": x, "s": np.array([1, 1, 4, 4])})
        np.testing.assert_array_equal(y, x.repeat(2, 2).repeat(2, 3))


def test_a_scalar_that_a_node_made_is_dequantised() -> None:
    """A reduction to rank 0 may give NumPy's scalar, which cannot be written into."""
    sample = _sample(
        "g (int32[3] x, float s) => (float y) {r = ReduceSum<keepdims=0>(x) y = DequantizeLinear(r, s)}",
        x=np.array([1, 2, 3], np.int32),
        s=np.asarray(0.5, np.float32),
    )
    assert check(sample).kind.startswith("agree")


def test_pads_along_axes_that_are_not_known_before_a_run() -> None:
    """ONNX's inference takes the axes to be all."""
    axes = np.array([-1])
    sample = _sample(
        "g (float[2,3] x, int64[1] axes) => (float[?,?] y) {p = Constant<value_ints=[1, 2]>() y = Pad(x, p, , axes)}",
        x=X,
        axes=axes,
    )
    (y,) = InferenceSession(sample.model.SerializeToString()).run(None, sample.feeds)
    np.testing.assert_array_equal(y, np.pad(X, [(0, 0), (1, 2)]))
