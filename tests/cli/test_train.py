"""Training in several runs: interrupted, gone on with, logged; nothing of another run is overwritten."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from striate.cli.log import Log
from striate.pictures import curves as pictures
from striate.runtime.errors import InvalidInput
from striate.trainer import Model, callbacks

from .conftest import Run


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained / "run", tmp_path / "run")
    shutil.copy(trained / "few.npz", tmp_path)
    return tmp_path


def test_log_goes_on_and_the_split_stays(striate: Run, copied: Path) -> None:
    saved = copied / "run" / "lenet5.striate"
    options = ("--data", copied / "few.npz", "--epochs", 2, "--out", copied / "run", "--seed", 7)
    assert striate("train", saved, *options).code == 0
    rows = (copied / "run" / "history.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["epoch", "0", "1", "2"]
    facts = Model.load(saved).training_facts
    assert (facts["epochs"], facts["validation"], facts["split_seed"]) == (3, 0.1, 0)
    done = striate("train", saved, *options, "--validation", 0.3)
    assert "not on unseen data" in done.out


def test_another_run_is_not_overwritten(striate: Run, copied: Path) -> None:
    options = ("train", "lenet5", "--data", copied / "few.npz", "--epochs", 1, "--out", copied / "run")
    before = (copied / "run" / "lenet5.striate").read_bytes()
    done = striate(*options, "--seed", 5)
    assert done.code == 1
    assert "is the model of another run" in done.err
    assert (copied / "run" / "lenet5.striate").read_bytes() == before
    assert striate(*options, "--force", "--seed", 5).code == 0
    assert len((copied / "run" / "history.csv").read_text().splitlines()) == 2


def test_interrupt_saves(striate: Run, copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pressed: list[int] = []

    def press(self: callbacks.History, batch: int, logs: Mapping[str, float]) -> None:
        if self.epoch and batch == 2 and not pressed:
            pressed.append(batch)
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(callbacks.History, "on_train_batch_end", press)
    out = copied / "new"
    done = striate("train", "lenet5", "--data", copied / "few.npz", "--epochs", 9, "--out", out)
    assert done.code == 130
    assert "1 of 9 epochs whole: saved" in done.out
    model = Model.load(out / "lenet5.striate")
    assert model.training_facts["epochs"] == 1
    assert model.step == 6 + 3
    assert sorted(p.name for p in out.iterdir()) == ["curves.png", "history.csv", "lenet5.striate", "run.toml"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_log_with_other_columns(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_text("epoch,loss\n0,2.5\n1,2.0\n2,9.0\n")
    log = Log(path, 2, append=True)
    log.on_epoch_end(2, {"loss": 1.0, "val_loss": 1.5})
    assert path.read_text() == "epoch,loss,val_loss\n0,2.5,\n1,2.0,\n2,1.0,1.5\n"
    assert log.history()["loss"] == [2.5, 2.0, 1.0]
    path.write_text("name\nanna\n")
    with pytest.raises(InvalidInput, match="not the log of a training"):
        Log(path, 1, append=True)


def test_one_epoch_has_one_tick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[list[float]] = []

    def keep(figure: Any, path: Path) -> None:
        low, high = figure.axes[0].get_xlim()
        drawn.append([t for t in figure.axes[0].get_xticks() if low <= t <= high])

    monkeypatch.setattr(pictures, "save", keep)
    for first, values in ((1, [2.0]), (3, [2.0, 1.0])):
        pictures.curves(tmp_path / "c.png", {"loss": values, "accuracy": values}, first)
    assert drawn == [[1.0], [3.0, 4.0]]


def test_conversion_is_said_and_a_single_class_refused(striate: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, count in (("only", 20), ("other", 5)):
        (tmp_path / "colour" / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 256, (50, 40, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "colour" / name / f"{i}.png")
    options = ("train", "lenet5", "--data", tmp_path / "colour", "--epochs", 1, "--out")
    assert "colour: 50×40×3 → 32×32×1" in striate(*options, tmp_path / "run").out
    shutil.rmtree(tmp_path / "colour" / "other")
    done = striate(*options, tmp_path / "second")
    assert done.code == 1
    assert "one class only, 'only'" in done.err
    assert not (tmp_path / "second").exists()


def test_the_architectures_are_listed(striate: Run) -> None:
    from striate import models

    assert "striate models" in striate("train", "--help").out
    said = striate("models").out
    assert all(name in said for name in models.names())
    one = striate("models", "lenet5")
    assert "Gradient-based learning" in one.out
    assert striate("models", "none").code == 1


def test_a_run_is_repeated_from_its_file(striate: Run, trained: Path, tmp_path: Path) -> None:
    first, again, other = tmp_path / "first", tmp_path / "again", tmp_path / "other"
    options = ("--epochs", 1, "--batch-size", 50, "--learning-rate", 0.002, "--augment", "flip,rotate=5", "--seed", 4)
    done = striate("train", "lenet5", "--data", trained / "few.npz", *options, "--out", first)
    assert done.code == 0, done.err
    assert striate("train", "--config", first / "run.toml", "--out", again).code == 0
    assert (first / "lenet5.striate").read_bytes() == (again / "lenet5.striate").read_bytes()
    assert (first / "run.toml").read_bytes() == (again / "run.toml").read_bytes()
    assert striate("train", "--config", first / "run.toml", "--seed", 5, "--out", other).code == 0
    assert (first / "lenet5.striate").read_bytes() != (other / "lenet5.striate").read_bytes()
    facts = Model.load(other / "lenet5.striate").training_facts
    expected = f"striate train lenet5 --data {trained / 'few.npz'} --epochs 1 --batch-size 50 --learning-rate 0.002"
    assert facts["command"].startswith(expected)
    assert facts["command"].endswith("--augment flip,rotate=5 --seed 5")
    assert set(facts["versions"]) == {"striate", "numpy", "onnx", "python"}


RECIPES = {
    "no TOML": ("[train", "is not TOML"),
    "no table": ("epochs = 3", "has no table [train]"),
    "unknown": ("[train]\nepoch = 3", "train.epoch is no option"),
    "list": ("[train]\nepochs = [3]", "train.epochs is a list"),
    "large": ("# " + "x" * 70_000, "is larger than"),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_file_of_options_that_does_not_fit(striate: Run, tmp_path: Path, name: str) -> None:
    content, text = RECIPES[name]
    (tmp_path / "run.toml").write_text(content)
    done = striate("train", "lenet5", "--config", tmp_path / "run.toml", "--out", tmp_path / "out")
    assert done.code == 1
    assert text in done.err
    assert not (tmp_path / "out").exists()


def test_curves_for_tensorboard(striate: Run, trained: Path, tmp_path: Path) -> None:
    done = striate(
        "train", "lenet5", "--data", trained / "few.npz", "--epochs", 1, "--out", tmp_path / "run", "--tensorboard",
        tmp_path / "logs",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert {path.parent.name for path in (tmp_path / "logs").glob("*/events.*")} == {"train", "validation"}
