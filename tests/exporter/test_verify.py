"""`verify`: measures of difference, and that a wrong runtime is found out."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import helper

from striate.exporter import export, verify
from striate.exporter.verify import compare, random_inputs, ulp_distance
from striate.runtime import InferenceSession
from striate.runtime.errors import InvalidInput, ModelNotFound

from .graphs import convolutional


@pytest.mark.parametrize("against", ["onnxruntime", "reference"])
def test_a_network_agrees(tmp_path: Path, against: str) -> None:
    path = export(convolutional(), tmp_path / "m.onnx")
    report = verify(path, against=against, samples=3)
    (row,) = report.rows
    assert report.ok(1e-5)
    assert row.shape == (3, 5)
    assert row.dtype == "float32"
    assert row.argmax_equal == row.argmax_total == 3
    assert report.max_abs <= 1e-6


def test_given_inputs_and_their_faults(tmp_path: Path) -> None:
    path = export(convolutional(), tmp_path / "m.onnx")
    assert verify(path, {"x": np.zeros((2, 8, 8, 1), np.float32)}).ok()
    with pytest.raises(InvalidInput, match="against"):
        verify(path, against="guesswork")
    with pytest.raises(ModelNotFound):
        verify(tmp_path / "nope.onnx")


def test_random_inputs_follow_the_types(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["i"], ["ci"], to=1),
        helper.make_node("Cast", ["b"], ["cb"], to=1),
        helper.make_node("Sum", ["f", "ci", "cb"], ["y"]),
    ]
    types = {"f": onnx.TensorProto.FLOAT, "i": onnx.TensorProto.INT64, "b": onnx.TensorProto.BOOL}
    shapes: dict[str, list[int | str]] = {"f": ["n", 3, "w"], "i": ["n", 3, "w"], "b": []}
    inputs = [helper.make_tensor_value_info(n, types[n], shapes[n]) for n in types]
    output = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 3, "w"])
    graph = helper.make_graph(nodes, "typed", inputs, [output])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)]), tmp_path / "m.onnx")
    session = InferenceSession(str(tmp_path / "m.onnx"))
    feeds = random_inputs(session, samples=5, seed=1)
    assert feeds["f"].shape == feeds["i"].shape == (5, 3, 32)
    assert feeds["b"].shape == ()
    assert feeds["i"].dtype == np.int64
    assert feeds["b"].dtype == np.bool_
    assert set(np.unique(feeds["i"])) == {0, 1}
    again = random_inputs(session, samples=5, seed=1)
    assert all(np.array_equal(feeds[n], again[n]) for n in feeds)
    assert verify(tmp_path / "m.onnx").ok()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
def test_ulp_distance(dtype: type) -> None:
    one = np.asarray([1.0, -1.0, 0.0, -0.0, np.nan, np.inf, 1.0], dtype)
    bits = {2: np.int16, 4: np.int32, 8: np.int64}[one.dtype.itemsize]
    moved = (one.view(bits) + np.asarray([3, 3, 1, 0, 0, 0, 0], bits)).view(one.dtype)
    assert ulp_distance(one, moved).tolist() == [3, 3, 1, 0, 0, 0, 0]
    smallest = np.asarray([1], bits).view(one.dtype)
    assert ulp_distance(smallest, -smallest).tolist() == [2]
    assert ulp_distance(np.asarray([np.nan], dtype), np.asarray([1], dtype)).tolist() == [np.inf]


def test_compare_measures() -> None:
    row = compare(
        "y", np.asarray([[1.0, 2.0], [3.0, 3.5]], np.float32), np.asarray([[1.0, 2.5], [3.0, 2.5]], np.float32)
    )
    assert row.max_abs == 1.0
    assert row.max_rel == pytest.approx(0.4)
    assert row.max_scaled == pytest.approx(1 / 3.5)
    assert (row.argmax_equal, row.argmax_total) == (1, 2)
    assert not row.ok(0.2)
    assert row.ok(0.3)


@pytest.mark.parametrize(
    ("ours", "theirs", "agrees"),
    [
        (np.float32([np.nan, np.inf, -np.inf]), np.float32([np.nan, np.inf, -np.inf]), True),
        (np.float32([np.nan]), np.float32([0]), False),
        (np.float32([np.inf]), np.float32([-np.inf]), False),
        (np.float32([np.inf]), np.float32([1]), False),
        (np.float32([1]), np.float64([1]), False),
        (np.float32([1]), np.float32([[1]]), False),
        (np.int64([2**62]), np.int64([2**62 + 1]), False),
        (np.asarray(["a", "b"], object), np.asarray(["a", "b"], object), True),
        (np.asarray(["a", "b"], object), np.asarray(["a", "c"], object), False),
        (np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32), True),
        (np.asarray(True), np.asarray(False), False),
    ],
)
def test_what_agrees(ours: np.ndarray, theirs: np.ndarray, agrees: bool) -> None:
    assert compare("y", ours, theirs).ok(1e-5) is agrees


@pytest.mark.parametrize(
    ("shape", "total"), [((2, 5, 1, 1), 2), ((2, 5), 2), ((5,), 1), ((2, 1), 0), ((2, 1, 1), 0), ((2, 5, 1, 3), 10)]
)
def test_argmax_leaves_out_axes_of_one_entry(shape: tuple[int, ...], total: int) -> None:
    x = np.random.default_rng(0).random(shape).astype(np.float32)
    row = compare("y", x, x)
    assert (row.argmax_equal, row.argmax_total) == (total, total)
    if shape == (2, 5, 1, 1):
        assert compare("y", x, x[:, ::-1]).argmax_equal == 0


@pytest.mark.parametrize(
    ("output", "remark"),
    [
        (np.float32([1, 1]), "is 1.0 everywhere"),
        (np.float32([np.nan, np.nan]), "is all NaN"),
        (np.zeros((0, 3), np.float32), "is empty"),
        (np.float32([1, np.nan]), ""),
        (np.float32([1]), ""),
        (np.asarray([True, True]), "is True everywhere"),
        (np.ones(2, ml_dtypes.bfloat16), "is 1.0 everywhere"),
    ],
)
def test_outputs_that_prove_little(output: np.ndarray, remark: str) -> None:
    assert compare("y", output, output).remark == remark
