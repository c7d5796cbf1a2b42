"""Labels go to outputs by the names of classes, not by their order; what cannot be told apart is refused or said."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from striate.cli.labels import in_model_order
from striate.cli.sources import class_names
from striate.runtime.errors import InvalidInput
from striate.trainer import Model
from striate.trainer.data import Dataset, load

from .conftest import Run

NAMES = [f"digit {i}" for i in range(10)]


def _accuracy(text: str) -> str:
    return re.findall(r"^ *accuracy +([\d.]+%)", text, re.MULTILINE)[0]


@pytest.fixture
def reversed_names(tmp_path: Path) -> Path:
    """The digits of the fixture with their classes in the opposite order."""
    few = load("digits").select(slice(0, 200))
    np.savez(tmp_path / "reversed.npz", x=few.x, y=9 - few.y, classes=np.asarray(NAMES[::-1]))
    return tmp_path / "reversed.npz"


@pytest.mark.parametrize("file", ["run/lenet5.striate", "m.onnx"])
def test_evaluate_goes_by_name(striate: Run, trained: Path, reversed_names: Path, file: str) -> None:
    told = [striate("evaluate", trained / file, "--data", data) for data in (trained / "few.npz", reversed_names)]
    assert [t.code for t in told] == [0, 0]
    assert _accuracy(told[0].out) == _accuracy(told[1].out)


def test_evaluate_on_some_classes_names_the_others(striate: Run, trained: Path, tmp_path: Path) -> None:
    few = load("digits").select(slice(0, 200))
    some = few.select(np.flatnonzero(few.y >= 8))
    np.savez(tmp_path / "some.npz", x=some.x, y=some.y - 8, classes=np.asarray(NAMES[8:]))
    np.savez(tmp_path / "same.npz", x=some.x, y=some.y, classes=np.asarray(NAMES))
    told = [striate("evaluate", trained / "m.onnx", "--data", tmp_path / f) for f in ("some.npz", "same.npz")]
    rows = [[line for line in t.out.splitlines() if line.strip().startswith("digit ")] for t in told]
    assert len(rows[0]) == 2
    assert rows[0] == rows[1]


def test_other_names_are_refused(striate: Run, trained: Path, tmp_path: Path) -> None:
    x = np.zeros((4, 32, 32, 1), np.float32)
    np.savez(tmp_path / "pets.npz", x=x, y=np.asarray([0, 1, 0, 1]), classes=np.asarray(["cat", "dog"]))
    for command in ("evaluate", "train"):
        out = ["--out", tmp_path / "new"] if command == "train" else []
        done = striate(command, trained / "run/lenet5.striate", "--data", tmp_path / "pets.npz", *out)
        assert done.code == 1
        assert "class 'cat' is not among those" in done.err
        assert len(done.err.splitlines()) == 1


def test_training_goes_on_with_the_models_classes(striate: Run, trained: Path, tmp_path: Path) -> None:
    few = load("digits").select(slice(0, 200))
    some = few.select(np.flatnonzero(few.y >= 8))
    np.savez(tmp_path / "some.npz", x=some.x, y=some.y - 8, classes=np.asarray(NAMES[8:]))
    done = striate(
        "train", trained / "run/lenet5.striate", "--data", tmp_path / "some.npz", "--epochs", 1, "--out", tmp_path,
        "--learning-rate", 0.01,
    )  # fmt: skip
    assert done.code == 0, done.err
    model = Model.load(tmp_path / "lenet5.striate")
    assert class_names(model.training_facts) == tuple(NAMES)
    assert set(model.predict(some.x).argmax(1)) <= {8, 9}


def test_what_has_no_names_goes_by_number(capsys: pytest.CaptureFixture[str]) -> None:
    data = Dataset(np.zeros((2, 3), np.float32), np.asarray([0, 1]), ("a", "b"))
    assert in_model_order(data, (), 5, "m") is data
    assert "5 outputs" in capsys.readouterr().out
    numbered = Dataset(data.x, data.y, ("0", "1"))
    assert in_model_order(numbered, ("a", "b", "c"), 3, "m").classes == ("a", "b", "c")
    assert "class 0 is taken for 'a'" in capsys.readouterr().out
    with pytest.raises(InvalidInput, match="'a' is not among those"):
        in_model_order(data, ("0", "1"), 2, "m")
