"""The command run in this process, and a model that it trained."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.cli import main
from striate.trainer.data import load


@dataclass
class Result:
    code: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def striate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command in this process."""

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["striate", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "160")
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return Result(int(stop.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a few digits, LeNet-5 trained on them for one epoch, and that as ONNX; made by the command."""
    folder = tmp_path_factory.mktemp("trained")
    few = load("digits").select(slice(0, 200))
    np.savez(folder / "few.npz", x=few.x, y=few.y, classes=np.asarray([f"digit {i}" for i in range(10)]))
    np.save(folder / "x.npy", few.x[:3])
    np.save(folder / "wrong.npy", few.x[:3, :, :, 0])
    Image.fromarray((few.x[0, ..., 0] * 255).astype(np.uint8)).save(folder / "zero.png")
    Image.fromarray((few.x[1, ..., 0] * 255).astype(np.uint8)).resize((50, 50)).save(folder / "large.png")
    for arguments in (
        ["train", "lenet5", "--data", "few.npz", "--epochs", "1", "--out", "run"],
        ["export", "run/lenet5.striate", "--out", "m.onnx"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "striate", *arguments], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return folder
