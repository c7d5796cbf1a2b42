"""What `train` and `demo` share: the training run, its facts, its result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..runtime.errors import InvalidInput, MissingDependency

if TYPE_CHECKING:
    from ..trainer import Model
    from ..trainer.callbacks import History
    from ..trainer.data import Dataset

__all__ = ["accuracy", "draw_curves", "made_folder", "record_facts"]


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


def record_facts(model: Model, history: History, train: Dataset, **more: Any) -> None:
    """Adds what is known of this training to `model.training_facts`; epochs add up over several runs."""
    last = {name: round(values[-1], 6) for name, values in history.history.items() if values}
    before: dict[str, Any] = dict(getattr(model, "training_facts", None) or {})
    epochs = int(before.get("epochs", 0)) + len(history.epoch)
    facts = {"dataset": train.name, "classes": list(train.classes), "examples": len(train), "epochs": epochs}
    model.training_facts = {**before, **facts, **last, **more}


def draw_curves(path: Path, history: History) -> None:
    """Draws the curves, or says what is missing to do so: a finished training is not lost for a picture."""
    from . import pictures
    from .console import say

    try:
        pictures.curves(path, history.history)
    except MissingDependency as missing:
        say(f"no {path.name}: {missing}")
