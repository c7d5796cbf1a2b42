"""What `train` and `demo` share: the training run, its facts, its result."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..runtime.errors import InvalidInput, MissingDependency

if TYPE_CHECKING:
    from ..trainer import Model
    from ..trainer.callbacks import History
    from ..trainer.data import Dataset

__all__ = ["accuracy", "draw_curves", "file_name", "made_folder", "record_facts"]


def made_folder(path: Path) -> Path:
    """The folder, made if need be.

    Raises:
        InvalidInput: if something else has that name.
    """
    if path.exists() and not path.is_dir():
        raise InvalidInput(f"{path}: is a file; expected a folder to write to")
    path.mkdir(parents=True, exist_ok=True)
    return path


def accuracy(outputs: np.ndarray, y: np.ndarray, name: str) -> float:
    """The share of rows whose largest entry is the label's.

    Raises:
        InvalidInput: if the outputs are not one row of scores per example.
    """
    if outputs.ndim != 2 or outputs.shape[1] <= y.max():
        raise InvalidInput(
            f"{name}: output {list(outputs.shape)}; expected one score for each of {y.max() + 1} classes per example"
        )
    return float((outputs.argmax(1) == y).mean())


def file_name(name: str) -> str:
    """A model's name as that of a file: a name read from a file must not lead to another folder."""
    return re.sub(r"[^\w.-]+", "_", name).lstrip(".") or "model"


def record_facts(
    model: Model, history: History, train: Dataset, batch_size: int, learning_rate: float, seed: int
) -> None:
    """Adds what is known of this training to `model.training_facts`; epochs add up over several runs.

    Args:
        learning_rate: that of the first step.
    """
    before = model.training_facts.get("epochs", 0)
    last = {n: round(values[-1], 6) for n, values in history.history.items() if values and n != "learning_rate"}
    model.training_facts |= {
        "dataset": train.name,
        "classes": list(train.classes),
        "examples": len(train),
        "epochs": len(history.epoch) + (before if isinstance(before, int) else 0),
        "batch_size": batch_size,
        "optimizer": model.optimizer.name,
        "learning_rate": learning_rate,
        "seed": seed,
        **last,
    }


def draw_curves(path: Path, history: History) -> None:
    """Draws the curves, or says what is missing to do so: a finished training is not lost for a picture."""
    from . import pictures
    from .console import say

    try:
        pictures.curves(path, history.history)
    except MissingDependency as missing:
        say(f"no {path.name}: {missing}")
