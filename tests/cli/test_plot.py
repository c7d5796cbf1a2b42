"""`striate plot`: every kind as a process of its own, and what it says where something does not fit."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from .conftest import Run

KINDS = {
    "kernels": ["run/lenet5.striate", "--layer", "conv2d_1"],
    "features": ["m.onnx", "--input", "zero.png"],
    "receptive-field": ["lenet5"],
    "architecture": ["lenet5"],
    "curves": ["run", "again"],
    "confusion": ["run/lenet5.striate", "--data", "few.npz"],
    "saliency": ["m.onnx", "--input", "digit:3", "--samples", "3", "--class", "digit 3"],
}


@pytest.fixture(scope="module")
def folder(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    copied = tmp_path_factory.mktemp("plots") / "here"
    shutil.copytree(trained, copied)
    shutil.copytree(copied / "run", copied / "again")
    (copied / "empty").mkdir()
    (copied / "empty" / "history.csv").write_text("epoch,loss\n")
    np.save(copied / "small.npy", np.zeros((1, 8, 8, 1), np.float32))
    dense = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"], "r")],
        "dense",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
    )
    onnx.save(
        helper.make_model(dense, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), copied / "dense.onnx"
    )
    return copied


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_draws(folder: Path, kind: str) -> None:
    suffix = ".svg" if kind in ("curves", "architecture") else ".png"
    out = folder / f"{kind}{suffix}"
    done = subprocess.run(
        [sys.executable, "-m", "striate", "plot", kind, *KINDS[kind], "--out", out.name],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"wrote {out.name}" in done.stdout
    if suffix == ".svg":
        root = ElementTree.parse(out).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert sum(1 for _ in root.iter("{http://www.w3.org/2000/svg}path")) > 20
        return
    with Image.open(out) as image:
        assert image.format == "PNG"
        assert 300 < image.width < 3000
        assert 200 < image.height < 3000
        pixels = np.asarray(image.convert("RGB"), np.float32)
    assert 0.02 < (pixels.min(2) < 250).mean() < 0.95
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 10


def test_receptive_fields_are_told_layer_by_layer(striate: Run, folder: Path) -> None:
    done = striate("plot", "receptive-field", folder / "m.onnx", "--out", folder / "r.png")
    assert done.code == 0
    rows = [line.split() for line in done.out.splitlines() if "×" in line]
    assert [row[-3:] for row in rows] == [["5", "1", "0"], ["6", "2", "0"], ["14", "2", "0"], ["16", "4", "0"]]


def test_saliency_of_a_seed_is_the_same_picture(striate: Run, folder: Path) -> None:
    options = ("plot", "saliency", folder / "run" / "lenet5.striate", "--samples", 2, "--out")
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert striate(*options, folder / f"{name}.png", "--seed", seed).code == 0
    a, b, c = ((folder / f"{name}.png").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_a_striate_file_and_its_onnx_file_give_one_picture(striate: Run, folder: Path) -> None:
    shutil.copy(folder / "m.onnx", folder / "lenet5.onnx")
    for kind in ("features", "saliency"):
        for name, model in (("x.png", "run/lenet5.striate"), ("y.png", "lenet5.onnx")):
            assert striate("plot", kind, folder / model, "--out", folder / name).code == 0
        assert (folder / "x.png").read_bytes() == (folder / "y.png").read_bytes()


def test_open_sizes_take_the_image_as_it_is(striate: Run, folder: Path) -> None:
    w = np.ones((2, 3, 3, 3), np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], "only", strides=[2, 2])],
        "open",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, "H", "W"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(w, "w")],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), folder / "open.onnx"
    )
    assert striate("plot", "features", folder / "open.onnx", "--input", "flower", "--out", folder / "o.png").code == 0
    Image.new("RGB", (40, 30)).save(folder / "wide.png")
    done = striate(
        "plot", "receptive-field", folder / "open.onnx", "--input", folder / "wide.png", "--out", folder / "o.png"
    )
    assert "2×14×19" in done.out


BAD = {
    "kernels m.onnx --layer conv3d": "has no convolution 'conv3d'; its convolutions are conv2d, conv2d_1",
    "kernels dense.onnx": "has no convolution",
    "kernels lenet5": "untrained architecture",
    "features dense.onnx": "has shape [1, 4]; expected images",
    "receptive-field dense.onnx": "no convolution and no pooling",
    "features m.onnx --input small.npy": "small.npy: has shape [1, 8, 8, 1]; m takes [?, 32, 32, 1]",
    "features m.onnx --input wrong.npy": "has shape",
    "features m.onnx --input run/history.csv": "cannot be read as a picture",
    "features m.onnx --input nothing.png": "neither a file nor one of china, flower, digit",
    "features m.onnx --input digit:10": "expected digit:0 to digit:9",
    "saliency m.onnx --class 10": "classes 0 to 9",
    "saliency m.onnx --class cat": "neither a number nor the name of a class",
    "architecture nothing": "neither the name of one",
    "architecture nothing.onnx": "nothing.onnx: does not exist",
    "architecture few.npz": "not an ONNX",
    "architecture m.onnx --shape input_layer": "expected NAME=SHAPE",
    "curves nothing": "nothing: does not exist",
    "curves .": "holds no history.csv",
    "curves empty": "there is no epoch in it",
    "curves few.npz": "is not the log of a training",
    "confusion dense.onnx --data few.npz": "expected [1, 4]",
    "kernels m.onnx --out k.jpg": "suffix '.jpg'; expected the name of a .png or .svg file",
    "kernels m.onnx --out k": "no suffix",
    "kernels m.onnx --out nowhere/k.png": "there is no folder",
}


@pytest.mark.parametrize("line", BAD)
def test_what_does_not_fit_is_one_line(striate: Run, folder: Path, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    done = striate("plot", *line.split(), *(() if "--out" in line else ("--out", "bad.png")))
    assert done.code == 1
    assert BAD[line] in done.err
    assert done.err.count("\n") == 1
    assert "fault of Striate" not in done.err
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == before


def test_a_full_disk_leaves_the_old_picture(striate: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = folder / "old.png"
    out.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", str(out))

    monkeypatch.setattr("os.fsync", full)
    done = striate("plot", "architecture", "lenet5", "--out", out)
    assert done.code == 1
    assert "No space left on device" in done.err
    assert out.read_bytes() == b"old"
    assert not list(folder.glob(".*.part"))


@pytest.mark.parametrize("kind", KINDS)
def test_help_has_examples(striate: Run, kind: str) -> None:
    done = striate("plot", kind, "--help")
    assert done.code == 0
    assert f"striate plot {kind} " in done.out
    assert kind in striate("plot", "--help").out
