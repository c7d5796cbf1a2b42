"""`striate boost`: from a trained network to one ONNX file with trees, through the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from .conftest import Run


def test_boost_then_export_and_evaluate(striate: Run, trained: Path, tmp_path: Path) -> None:
    few, out = trained / "few.npz", tmp_path / "boosted.striate"
    done = striate(
        "boost", trained / "run/lenet5.striate", "--data", few, "--out", out, "--rounds", 20, "--learning-rate", 0.3
    )
    assert done.code == 0, done.err
    assert "before" in done.out
    assert "200" in done.out
    assert striate("export", out, "--out", tmp_path / "b.onnx").code == 0
    assert "TreeEnsemble" in {node.op_type for node in onnx.load(tmp_path / "b.onnx").graph.node}
    for file in (out, tmp_path / "b.onnx"):
        measured = striate("evaluate", file, "--data", few)
        assert measured.code == 0, measured.err
        assert "100.00%" in measured.out
    checked = striate("check", tmp_path / "b.onnx", "--input", trained / "x.npy")
    assert checked.code == 0, checked.out + checked.err


def test_boost_says_what_is_wrong(striate: Run, trained: Path, tmp_path: Path) -> None:
    model, few = trained / "run/lenet5.striate", trained / "few.npz"
    (tmp_path / "there.striate").write_bytes(b"")
    for arguments, text in (
        ((model, "--out", tmp_path / "m.onnx"), "expected the name of a .striate file"),
        ((model, "--out", tmp_path / "there.striate"), "is there already"),
        ((model, "--layer", "nowhere", "--out", tmp_path / "b.striate"), "has no layer 'nowhere'"),
        ((trained / "m.onnx", "--out", tmp_path / "b.striate"), "is an ONNX file"),
    ):
        done = striate("boost", *arguments, "--data", few)
        assert done.code == 1
        assert text in done.err
    assert (tmp_path / "there.striate").read_bytes() == b""
    assert not (tmp_path / "b.striate").exists()
    assert np.load(few)["x"].shape[0] == 200
