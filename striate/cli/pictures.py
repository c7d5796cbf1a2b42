"""The demo's pictures, drawn with matplotlib without a screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..bench.pictures import new_figure, save

if TYPE_CHECKING:
    pass

__all__ = ["confusion", "curves", "predictions"]

TRAIN, VALIDATION, WRONG = "#1f5fa8", "#d9730d", "#c0392b"


def curves(path: Path, history: Mapping[str, Sequence[float]], first: int = 1) -> None:
    """Loss and accuracy of each epoch, on training and validation data, side by side.

    Args:
        history: one number per epoch by name; NaN where there is none.
        first: the number of the first epoch.
    """
    figure = new_figure(9.0, 3.6)
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for key, label, colour in ((name, "training", TRAIN), (f"val_{name}", "validation", VALIDATION)):
            values = history.get(key, ())
            if len(values):
                epochs = range(first, first + len(values))
                axes.plot(epochs, values, label=label, color=colour, marker="o", markersize=3)
        axes.set_xlabel("epoch")
        axes.set_title(name)
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.legend(frameon=False)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        if name == "loss":
            axes.set_ylim(bottom=0)
    save(figure, path)


def confusion(path: Path, truth: np.ndarray, guessed: np.ndarray, classes: Sequence[str]) -> None:
    """How many examples of each class (row) were taken for each class (column)."""
    count = len(classes)
    matrix = np.bincount(truth * count + guessed, minlength=count * count).reshape(count, count)
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    figure = new_figure(0.5 * count + 1.6, 0.5 * count + 1.4)
    axes = figure.subplots()
    axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(matrix):
        wrong = row != column
        colour = WRONG if wrong else "white" if shares[row, column] > 0.4 else "black"
        weight = "bold" if wrong else "normal"
        axes.text(column, row, str(matrix[row, column]), ha="center", va="center", color=colour, fontweight=weight)
    axes.set_xticks(range(count), classes)
    axes.set_yticks(range(count), classes)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    right = int(np.trace(matrix))
    axes.set_title(f"{right} of {len(truth)} right ({right / len(truth):.2%})")
    axes.tick_params(length=0)
    save(figure, path)


def predictions(
    path: Path,
    x: np.ndarray,
    truth: np.ndarray,
    scores: np.ndarray,
    classes: Sequence[str],
    rows: int = 6,
    columns: int = 10,
) -> None:
    """A grid of examples with what was predicted and how surely; every error comes first, in red, with the truth.

    Args:
        x: images `(N, H, W, C)` in [0, 1].
        scores: probabilities `(N, classes)`.
    """
    guessed = scores.argmax(1)
    order = np.argsort(guessed == truth, kind="stable")[: rows * columns]
    figure = new_figure(1.0 * columns, 1.22 * rows)
    grid = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, i in zip(grid, order, strict=False):
        grey = x.shape[3] == 1
        axes.imshow(x[i, ..., 0] if grey else x[i], cmap="gray_r" if grey else None, vmin=0, vmax=1)
        text = f"{classes[guessed[i]]}  {scores[i, guessed[i]]:.0%}"
        if guessed[i] != truth[i]:
            text = f"{classes[guessed[i]]}, not {classes[truth[i]]}"
        wrong = guessed[i] != truth[i]
        axes.set_title(text, fontsize=9, color=WRONG if wrong else "black", fontweight="bold" if wrong else "normal")
    errors = int((guessed != truth).sum())
    figure.suptitle(f"{errors} of {len(truth)} predicted wrongly", fontsize=12)
    save(figure, path)
