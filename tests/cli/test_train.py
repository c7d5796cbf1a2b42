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

from striate.cli import pictures
from striate.cli.log import Log
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
    assert sorted(p.name for p in out.iterdir()) == ["curves.png", "history.csv", "lenet5.striate"]
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


def test_conversion_and_a_single_class_are_said(striate: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "colour" / "only").mkdir(parents=True)
    for i in range(20):
        pixels = rng.integers(0, 256, (50, 40, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "colour" / "only" / f"{i}.png")
    done = striate("train", "lenet5", "--data", tmp_path / "colour", "--epochs", 1, "--out", tmp_path / "run")
    assert "colour: 50×40×3 → 32×32×1" in done.out
    assert "all 20 examples are of class 'only'" in done.out


def test_help_names_the_architectures(striate: Run) -> None:
    from striate import models

    said = striate("train", "--help").out
    assert all(name in said.split("Options")[0].split("Arguments")[1] for name in models.names())
