"""What the commands make of files: other runtimes' graphs, odd inputs, wrong kinds of model."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from striate.trainer import Model, layers

from .conftest import Run

FLOAT = onnx.TensorProto.FLOAT


def _save(
    path: Path, nodes: list[onnx.NodeProto], shape: list[int], out: list[int], *outputs: str, **weights: np.ndarray
) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", FLOAT, shape)],
        [helper.make_tensor_value_info(n, FLOAT, out) for n in outputs or ("y",)],
        [onnx.numpy_helper.from_array(a, n) for n, a in weights.items()],
    )
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("elsewhere", 1)]
    onnx.save(helper.make_model(graph, opset_imports=imports), path)
    return path


def test_summary_of_a_model_that_cannot_be_run(striate: Run, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name="first"),
        helper.make_node("Magic", ["h"], ["y"], domain="elsewhere", name="trick"),
    ]
    path = _save(tmp_path / "m.onnx", nodes, [2, 3], [2, 4], w=np.zeros((3, 4), np.float32))
    done = striate("summary", path)
    assert done.code == 0, done.err
    assert "1 elsewhere.Magic (not supported)" in done.out
    assert "1 MatMul," in done.out
    assert "Striate cannot run this model" in done.out
    (row,) = (line.split() for line in done.out.splitlines() if line.strip().startswith("first"))
    assert row == ["first", "MatMul", "2×4", "float", "12", "24", "32", "B", "72", "B", "–", "–", "native"]
    assert "first" not in striate("summary", path, "--no-nodes").out


def test_summary_lists_few_nodes_unless_asked(striate: Run, trained: Path, tmp_path: Path) -> None:
    assert "parameters" in striate("summary", trained / "m.onnx").out
    nodes = [helper.make_node("Neg", ["x" if i == 0 else f"v{i}"], [f"v{i + 1}"], name=f"n{i}") for i in range(60)]
    path = _save(tmp_path / "m.onnx", nodes, [2], [2], "v60")
    assert "n59" not in striate("summary", path).out
    assert "n59" in striate("summary", path, "--nodes").out


def test_export_of_an_architecture_says_so(striate: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lenet5.onnx").write_bytes(b"mine")
    done = striate("export", "lenet5")
    assert done.code == 1
    assert "untrained" in done.err
    assert (tmp_path / "lenet5.onnx").read_bytes() == b"mine"
    done = striate("export", "lenet5", "--out", "new.onnx")
    assert done.code == 0, done.err
    assert "untrained" in done.out


def test_check_says_what_proves_little(striate: Run, tmp_path: Path) -> None:
    nodes = [helper.make_node("Sub", ["x", "x"], ["y"]), helper.make_node("Div", ["y", "y"], ["z"])]
    done = striate("check", _save(tmp_path / "m.onnx", nodes, [2, 3], [2, 3], "y", "z"))
    assert "'y' is 0.0 everywhere: agreement proves little" in done.out
    assert "'z' is all NaN: agreement proves little" in done.out
    assert "all 2 outputs agree" in done.out


def test_check_shows_what_the_tolerance_bounds(striate: Run, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from striate.exporter import verify

    module = __import__("sys").modules[verify.__module__]

    def other(path: Path, feeds: object, names: list[str]) -> list[np.ndarray]:
        return [np.zeros((4, 10), np.float32)]

    monkeypatch.setitem(module._RUNNERS, "onnxruntime", other)
    done = striate("check", trained / "m.onnx")
    assert done.code == 1
    assert "|ours − theirs| / (1 + |theirs|) is 0." in done.err


def test_names_of_outputs_stay_whole(striate: Run, tmp_path: Path) -> None:
    name = "classifier_head_dense_scores"
    path = _save(tmp_path / "m.onnx", [helper.make_node("Neg", ["x"], [name])], [1, 1000, 1, 1], [1, 1000, 1, 1], name)
    done = striate("check", path)
    assert name in done.out
    assert "1 of 1" in done.out
    np.save(tmp_path / "x.npy", np.arange(1000).reshape(1, 1000, 1, 1))
    shown = striate("run", path, "--input", tmp_path / "x.npy", "--top", 1)
    assert f"largest of {name}" in shown.out


@pytest.mark.parametrize("dtype", [np.uint8, np.float64, np.int64])
def test_arrays_are_cast(striate: Run, trained: Path, tmp_path: Path, dtype: type) -> None:
    np.save(tmp_path / "a.npy", np.ones((2, 32, 32, 1), dtype))
    done = striate("run", trained / "m.onnx", "--input", tmp_path / "a.npy", "--output", tmp_path / "out.npy")
    assert done.code == 0, done.err
    assert np.load(tmp_path / "out.npy").shape == (2, 10)


def test_pictures_are_a_batch(striate: Run, trained: Path) -> None:
    both = [option for name in ("zero.png", "large.png") for option in ("--input", trained / name)]
    done = striate("run", trained / "m.onnx", *both)
    assert done.code == 0, done.err
    assert "2×10" in done.out


def test_evaluate_says_what_it_measured_on(striate: Run, trained: Path) -> None:
    assert "all 200 examples; may include those it was trained on" in (
        striate("evaluate", trained / "m.onnx", "--data", trained / "few.npz").out
    )
    assert "may include" not in striate("evaluate", trained / "m.onnx").out


def _nothing(folder: Path) -> None:
    """Needs no file of its own."""


def _empty(folder: Path) -> None:
    np.savez(folder / "empty.npz", x=np.zeros((0, 28, 28), np.uint8), y=np.zeros(0, np.int64))


def _text(folder: Path) -> None:
    (folder / "text.striate").write_bytes(b"PK\3\4 an archive of something else")


def _two_inputs(folder: Path) -> None:
    a, b = layers.Input((4,)), layers.Input((4,))
    Model([a, b], layers.Dense(2)(layers.Add()([a, b]))).save(folder / "two.striate")


BAD: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "run a striate file": (_nothing, "run lenet5.striate -i x.npy", "striate export lenet5.striate --out lenet5.onnx"),
    "check a striate file": (_nothing, "check lenet5.striate", "striate export lenet5.striate"),
    "evaluate a name": (_nothing, "evaluate lenet5", "is an untrained architecture; train it first"),
    "run a name": (_nothing, "run lenet5 -i x.npy", "is an untrained architecture; train it first"),
    "export an onnx file": (_nothing, "export m.onnx", "is an ONNX file already"),
    "export to text": (_nothing, "export lenet5.striate --out x.txt", "expected the name of an .onnx file"),
    "output to text": (_nothing, "run m.onnx -i x.npy --output x.txt", "expected the name of an .npz or .npy file"),
    "empty data": (_empty, "train lenet5 --data empty.npz --out new", "empty.npz: x: shape [0, 28, 28]"),
    "another file": (_text, "summary text.striate", "is not a .striate file"),
    "two inputs": (_two_inputs, "evaluate two.striate", "expected one, that takes the examples"),
    "train with two inputs": (_two_inputs, "train two.striate --out new", "expected one, that takes the examples"),
    "fractions for numbers": (_nothing, "run whole.onnx -i x.npy", "do not all fit into int64"),
}


@pytest.mark.parametrize(("prepare", "line", "message"), BAD.values(), ids=BAD.keys())
def test_one_clear_line(
    striate: Run,
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    prepare: Callable[[Path], None],
    line: str,
    message: str,
) -> None:
    for file in (trained / "x.npy", trained / "m.onnx", trained / "run" / "lenet5.striate"):
        shutil.copy(file, tmp_path)
    value = [helper.make_tensor_value_info(n, onnx.TensorProto.INT64, [3, 32, 32, 1]) for n in "xy"]
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", value[:1], value[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)]), tmp_path / "whole.onnx")
    prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    done = striate(*line.split())
    assert done.code == 1, done.out
    assert message in done.err
    assert len(done.err.splitlines()) == 1
