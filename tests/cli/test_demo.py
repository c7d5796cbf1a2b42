"""The demo, shortened: it learns, writes what it promises, and agrees with onnxruntime."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from striate.cli import main


def test_demo_learns_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "demo"
    monkeypatch.setattr(sys, "argv", ["striate", "demo", "--out", str(out), "--epochs", "4"])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as stop:
        main()
    said = capsys.readouterr()
    assert not stop.value.code, said.err
    reached = float(said.out.split("accuracy")[-1].split("%")[0])
    assert reached > 90
    assert "359 of 359" in said.out
    onnx.checker.check_model(onnx.load(out / "lenet5.onnx"), full_check=True)
    for name in ("curves", "confusion", "predictions"):
        with Image.open(out / f"{name}.png") as picture:
            pixels = np.asarray(picture.convert("L"))
        assert min(pixels.shape) > 300
        assert pixels.std() > 10
    assert (out / "lenet5.striate").stat().st_size > 4 * 61706


def test_missing_packages_are_said_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = sys.modules["striate.cli.demo"]
    monkeypatch.setattr(module, "NEEDED", ("sklearn", "no_such_package"))
    monkeypatch.setattr(sys, "argv", ["striate", "demo", "--out", str(tmp_path / "demo")])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    assert "no_such_package" in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()
