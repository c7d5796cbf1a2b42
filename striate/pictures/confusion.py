"""Which classes are taken for which, and the predictions behind that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .style import ACCENT, FAINT, LINE, SECOND, SMALL, new_figure, plain, save, styled, title

__all__ = ["Confusion", "confusion", "counted", "predictions"]

WRONG = "#c0392b"
WRITTEN, NAMED = 24, 60
"""Up to so many classes have their numbers written, and their names."""


@dataclass(frozen=True)
class Confusion:
    """Counts and rates.

    Attributes:
        matrix: `[i, j]`: examples of class i taken for class j.
        precision, recall: of each class; NaN where nothing was taken for it, or there is none of it.
    """

    matrix: np.ndarray
    precision: np.ndarray
    recall: np.ndarray

    @property
    def accuracy(self) -> float:
        return float(np.trace(self.matrix) / self.matrix.sum())


def counted(truth: np.ndarray, guessed: np.ndarray, count: int) -> Confusion:
    """The counts of `count` classes."""
    matrix = np.bincount(truth * count + guessed, minlength=count * count).reshape(count, count)
    with np.errstate(invalid="ignore", divide="ignore"):
        right = np.diag(matrix)
        return Confusion(matrix, right / matrix.sum(0), right / matrix.sum(1))


@styled
def confusion(path: Path, truth: np.ndarray, guessed: np.ndarray, classes: Sequence[str], name: str = "") -> Confusion:
    """How many examples of each class (row) were taken for each class (column), precision and recall beside it.

    Args:
        truth, guessed: numbers of classes `(N,)`.
    """
    count = len(classes)
    found = counted(truth, guessed, count)
    side = min(max(0.3 * count, 2.4), 7.5)
    longest = max(map(len, classes)) if count <= NAMED else 3
    margin = 0.3 + 0.062 * min(longest, 20)
    figure = new_figure(side + margin + 2.2, side + 0.75 + (margin if longest > 3 else 0.3))
    axes, beside = figure.subplots(1, 2, width_ratios=(side, 1.75), sharey=True)
    _matrix(axes, found, classes, longest)
    _rates(beside, found, count)
    right = int(np.trace(found.matrix))
    head = f"{name}: " if name else ""
    title(figure, f"{head}{right:,} of {len(truth):,} right ({found.accuracy:.2%})")
    save(figure, path)
    return found


def _matrix(axes: Any, found: Confusion, classes: Sequence[str], longest: int) -> None:
    matrix, count = found.matrix, len(classes)
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    if count <= WRITTEN:
        for row, column in np.argwhere(matrix):
            wrong = row != column
            colour = WRONG if wrong and shares[row, column] < 0.3 else "white" if shares[row, column] > 0.4 else "black"
            axes.text(column, row, str(matrix[row, column]), ha="center", va="center", color=colour, fontsize=SMALL,
                      fontweight="bold" if wrong else "normal")  # fmt: skip
    step = 1 if count <= NAMED else -(-count // 20)
    shown = range(0, count, step)
    names = [plain(classes[i] if len(classes[i]) <= 20 else f"{classes[i][:19]}…") for i in shown]
    axes.set_xticks(shown, names, rotation=90 if longest > 3 else 0)
    axes.set_yticks(shown, names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.tick_params(length=0)
    for edge in axes.spines.values():
        edge.set_visible(False)


def _rates(axes: Any, found: Confusion, count: int) -> None:
    """Two marks for each class on one line; they differ in form, too."""
    rows = np.arange(count)
    low = np.nanmin([*found.precision, *found.recall, 1.0])
    start = max(0.0, np.floor((float(low) - 0.06) * 10) / 10)
    if count <= NAMED:
        for row, a, b in zip(rows, found.precision, found.recall, strict=True):
            if np.isfinite(a) and np.isfinite(b):
                axes.plot([a, b], [row, row], color=LINE, linewidth=1.2, zorder=1)
    size = 22 if count <= NAMED else 6
    axes.scatter(found.precision, rows, size, ACCENT, marker="o", label="precision", zorder=3, linewidths=0)
    axes.scatter(found.recall, rows, size, "white", marker="D", label="recall", zorder=2, edgecolors=SECOND,
                 linewidths=1.3)  # fmt: skip
    axes.set_xlim(start, 1 + (1 - start) * 0.06)
    axes.grid(axis="x", alpha=0.3, linewidth=0.6)
    axes.set_xlabel("of each class")
    axes.tick_params(length=0, labelleft=False)
    axes.spines["left"].set_visible(False)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, handletextpad=0.1, columnspacing=0.8)
    axes.spines["bottom"].set_color(FAINT)


@styled
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
        wrong = guessed[i] != truth[i]
        text = (
            f"{classes[guessed[i]]}, not {classes[truth[i]]}"
            if wrong
            else f"{classes[guessed[i]]}  {scores[i, guessed[i]]:.0%}"
        )
        axes.set_title(
            plain(text), fontsize=9, color=WRONG if wrong else "black", fontweight="bold" if wrong else "normal"
        )
    errors = int((guessed != truth).sum())
    figure.suptitle(f"{errors} of {len(truth)} predicted wrongly", fontsize=12)
    save(figure, path)
