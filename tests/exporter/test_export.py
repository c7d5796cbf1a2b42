"""What `export` writes: inference only, checked, described, for the opset asked for, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from onnx import helper

from striate.exporter import export
from striate.exporter import export as export_function
from striate.runtime.errors import InvalidGraph, InvalidInput, StriateError, UnsupportedOperator

from .graphs import convolutional, model

X = np.random.default_rng(1).random((3, 8, 8, 1), np.float32)


def run(path: Path, x: np.ndarray = X) -> np.ndarray:
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


def inference_result(tmp_path: Path) -> np.ndarray:
    """What the graph computes when its dropout does nothing, by onnxruntime."""
    graph = convolutional()
    graph.graph.initializers["is_training"].const_value = ir.tensor(np.asarray(False), name="is_training")
    ir.save(graph, tmp_path / "plain.onnx")
    return run(tmp_path / "plain.onnx")


@pytest.mark.parametrize("fold_batchnorm", [True, False])
@pytest.mark.parametrize("training", [0, 1])
def test_only_inference_is_left(tmp_path: Path, fold_batchnorm: bool, training: int) -> None:
    source = convolutional(training=training)
    path = export(source, tmp_path / "m.onnx", fold_batchnorm=fold_batchnorm)
    written = onnx.load(path)
    onnx.checker.check_model(written, full_check=True)
    operators = [n.op_type for n in written.graph.node]
    assert "Dropout" not in operators
    assert "Neg" not in operators
    assert ("BatchNormalization" in operators) is not fold_batchnorm
    assert {i.name for i in written.graph.initializer}.isdisjoint({"ratio", "is_training"})
    assert np.allclose(run(path), inference_result(tmp_path), atol=1e-6)
    assert "Dropout" in [n.op_type for n in source.graph]


@pytest.mark.parametrize("opset", [9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23])
@pytest.mark.parametrize("fold_batchnorm", [True, False])
def test_every_opset(tmp_path: Path, opset: int, fold_batchnorm: bool) -> None:
    path = export(convolutional(), tmp_path / "m.onnx", opset=opset, fold_batchnorm=fold_batchnorm)
    written = onnx.load(path)
    onnx.checker.check_model(written, full_check=True)
    assert [(i.domain, i.version) for i in written.opset_import] == [("", opset)]
    assert np.allclose(run(path), inference_result(tmp_path), atol=1e-6)


def test_names_are_unique_and_nodes_named(tmp_path: Path) -> None:
    written = onnx.load(export(convolutional(), tmp_path / "m.onnx"))
    names = [n.name for n in written.graph.node]
    assert all(names)
    assert len(set(names)) == len(names)
    assert "conv" in names


@pytest.mark.parametrize(("dynamic_batch", "batch"), [(True, "batch"), (False, 1), (7, 7)])
def test_batch_dimension(tmp_path: Path, dynamic_batch: bool | int, batch: int | str) -> None:
    path = export(convolutional(), tmp_path / "m.onnx", dynamic_batch=dynamic_batch)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape == [batch, 8, 8, 1]
    assert session.get_outputs()[0].shape == [batch, 5]


def test_facts_are_written(tmp_path: Path) -> None:
    source = SimpleNamespace(
        to_ir=convolutional, name="tiny", training_facts={"epochs": 3, "loss": 0.25, "dataset": "digits", "seed": 7}
    )
    written = onnx.load(export(source, tmp_path / "m.onnx", metadata={"author": "me", "seed": 8}))
    found = {p.key: p.value for p in written.metadata_props}
    assert found == {"epochs": "3", "loss": "0.25", "dataset": "digits", "seed": "8", "author": "me"}
    assert written.producer_name == "striate"
    assert written.producer_version
    assert written.graph.name == "tiny"
    assert "epochs 3" in written.doc_string
    assert written.ir_version == 10


def test_same_model_same_bytes(tmp_path: Path) -> None:
    a, b = (export(convolutional(), tmp_path / f"{n}.onnx").read_bytes() for n in "ab")
    assert a == b


def test_large_weights_go_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = __import__("importlib").import_module("striate.exporter.export")
    monkeypatch.setattr(module, "MAX_SINGLE_FILE", 100)
    path = export_function(convolutional(), tmp_path / "m.onnx")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx", "m.onnx.data"]
    expected = inference_result(tmp_path)
    assert np.allclose(run(path), expected, atol=1e-6)


def test_dropout_at_the_end_keeps_the_output_name(tmp_path: Path) -> None:
    source = model([helper.make_node("Dropout", ["x"], ["y"])], {"x": ["n", 3]}, {"y": ["n", 3]})
    written = onnx.load(export(source, tmp_path / "m.onnx"))
    assert [o.name for o in written.graph.output] == ["y"]
    assert [n.op_type for n in written.graph.node] == ["Identity"]


def mask_is_read() -> ir.Model:
    return model(
        [helper.make_node("Dropout", ["x"], ["d", "mask"]), helper.make_node("Cast", ["mask"], ["y"], to=1)],
        {"x": ["n", 3]},
        {"y": ["n", 3]},
    )


def own_domain() -> ir.Model:
    node = helper.make_node("Secret", ["x"], ["y"], domain="striate.grad")
    return model([node], {"x": [3]}, {"y": [3]}, domains=("striate.grad",))


def unknown_attribute() -> ir.Model:
    return model([helper.make_node("Relu", ["x"], ["y"], slope=1)], {"x": [3]}, {"y": [3]})


def gelu() -> ir.Model:
    return model([helper.make_node("Gelu", ["x"], ["y"], name="act")], {"x": [3]}, {"y": [3]})


def group_normalization() -> ir.Model:
    node = helper.make_node("GroupNormalization", ["x", "s", "s"], ["y"], name="norm", num_groups=2)
    return model([node], {"x": [1, 4, 2, 2]}, {"y": [1, 4, 2, 2]}, s=np.ones(4, np.float32))


BAD: dict[str, tuple[Callable[[], ir.Model], dict[str, int], type[StriateError], str]] = {
    "dropout mask read": (mask_is_read, {}, InvalidGraph, "'mask' is read"),
    "own operator": (own_domain, {}, UnsupportedOperator, "only Striate knows"),
    "unknown attribute": (unknown_attribute, {}, InvalidGraph, "slope"),
    "no such operator there": (gelu, {"opset": 17}, UnsupportedOperator, "'act' (Gelu) cannot be written for opset 17"),
    "other meaning there": (group_normalization, {"opset": 18}, UnsupportedOperator, "'norm' (GroupNormalization)"),
    "opset too high": (convolutional, {"opset": 1000}, UnsupportedOperator, "opset 1000 cannot be written"),
    "opset too low": (convolutional, {"opset": 8}, UnsupportedOperator, "opset 8 cannot be written; expected 9 to"),
    "batch of nothing": (convolutional, {"dynamic_batch": -1}, InvalidInput, "dynamic_batch is -1"),
}


@pytest.mark.parametrize(("make", "arguments", "kind", "message"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_exported_leaves_no_file(
    tmp_path: Path, make: Callable[[], ir.Model], arguments: dict[str, int], kind: type[StriateError], message: str
) -> None:
    with pytest.raises(kind) as caught:
        export(make(), tmp_path / "m.onnx", **arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_keeps_the_old_file(tmp_path: Path) -> None:
    path = export(convolutional(), tmp_path / "m.onnx")
    before = path.read_bytes()
    with pytest.raises(StriateError):
        export(gelu(), path, opset=17)
    assert path.read_bytes() == before


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no folder"):
        export(convolutional(), tmp_path / "no" / "m.onnx")
    with pytest.raises(InvalidInput, match="is a folder"):
        export(convolutional(), tmp_path)
