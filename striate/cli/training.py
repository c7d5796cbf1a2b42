"""What `train` and `demo` share: the training run, its facts, its result."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..runtime.errors import InvalidInput, MissingDependency

if TYPE_CHECKING:
    from ..trainer import Model
    from ..trainer.callbacks import History
    from ..trainer.data import Dataset, Shards

__all__ = ["accuracy", "draw_curves", "epochs_before", "file_name", "made_folder", "record_facts", "target_file"]


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


def target_file(out: Path, name: str, spec: str, force: bool) -> Path:
    """`OUT/NAME.striate`.

    Args:
        spec: the model that training begins with; its own file may be overwritten.
        force: any file may be.

    Raises:
        InvalidInput: if the model of another run is there.
    """
    path = out / f"{file_name(name)}.striate"
    if path.exists() and not force and path.resolve() != Path(spec).resolve():
        raise InvalidInput(
            f"{path}: is the model of another run; go on with it (striate train {path}), choose another folder "
            "with --out, or overwrite it with --force"
        )
    return path


def epochs_before(model: Model) -> int:
    """How many epochs the model was trained, as far as that was written down."""
    epochs = model.training_facts.get("epochs", 0)
    return epochs if isinstance(epochs, int) and epochs > 0 else 0


def record_facts(
    model: Model, history: History, train: Dataset | Shards, batch_size: int, learning_rate: float, seed: int
) -> None:
    """Adds what is known of this training to `model.training_facts`; epochs add up over several runs.

    Args:
        learning_rate: that of the first step.
    """
    last = {n: round(values[-1], 6) for n, values in history.history.items() if values and n != "learning_rate"}
    model.training_facts |= {
        "dataset": train.name,
        "classes": list(train.classes),
        "examples": len(train),
        "epochs": len(history.epoch) + epochs_before(model),
        "batch_size": batch_size,
        "optimizer": model.optimizer.name,
        "learning_rate": learning_rate,
        "seed": seed,
        **last,
    }


def draw_curves(path: Path, history: Mapping[str, Sequence[float]], first: int = 1) -> None:
    """Draws the curves, or says what is missing to do so: a finished training is not lost for a picture."""
    if not history:
        return
    from ..pictures.curves import curves
    from .console import say

    try:
        curves(path, history, first)
    except MissingDependency as missing:
        say(f"no {path.name}: {missing}")
