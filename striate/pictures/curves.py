"""The course of trainings: loss, accuracy and learning rate of each epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.errors import InvalidInput
from .style import ACCENT, SECOND, SERIES, new_figure, plain, save, styled, title

__all__ = ["Course", "curves", "draw_curves"]

PANELS = ("loss", "accuracy", "learning_rate")


@dataclass(frozen=True)
class Course:
    """One training.

    Attributes:
        history: one number per epoch by name; NaN where there is none.
        first: the number of the first epoch.
    """

    name: str
    history: Mapping[str, Sequence[float]]
    first: int = 1

    def has(self, key: str) -> bool:
        """Whether there is a number of that name."""
        return bool(np.isfinite(np.asarray(self.history.get(key, ()), float)).any())


def curves(path: Path, history: Mapping[str, Sequence[float]], first: int = 1) -> None:
    """Loss and accuracy of one training, on training and validation data, and the learning rate if it was written."""
    draw_curves(path, [Course("", history, first)])


@styled
def draw_curves(path: Path, courses: Sequence[Course]) -> None:
    """A panel for each of loss, accuracy and learning rate.

    Of one training the data are told apart by colour; of several the trainings by colour and the data by line.

    Raises:
        InvalidInput: if no course has any of them.
    """
    panels = [p for p in PANELS if any(c.has(p) or c.has(f"val_{p}") for c in courses)]
    if not panels:
        raise InvalidInput(f"{courses[0].name}: there is nothing to draw; expected columns such as loss and accuracy")
    figure = new_figure(3.4 * len(panels) + 0.3, 2.9)
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _panel(axes, panel, courses)
        if len(courses) > 1:
            continue
        if panel != "learning_rate":
            axes.legend()
    if len(courses) > 1:
        _legend(figure, courses)
    title(figure, _heading(courses))
    save(figure, path)


def _panel(axes: Any, panel: str, courses: Sequence[Course]) -> None:
    several = len(courses) > 1
    top = 0.0
    for i, course in enumerate(courses):
        for key, label, line in ((panel, "training", "--" if several else "-"), (f"val_{panel}", "validation", "-")):
            values = np.asarray(course.history.get(key, ()), float)
            if not np.isfinite(values).any():
                continue
            single = (ACCENT, SECOND)[label == "validation"]
            colour = SERIES[i % len(SERIES)] if several else single
            epochs = np.arange(course.first, course.first + len(values))
            mark = "os^Dv"[i % 5] if several and label == "validation" else "o" if not several else ""
            step = max(1, len(values) // 12)
            axes.plot(
                epochs, values, line, color=colour, label=label, marker=mark or None, markersize=3, markevery=step
            )
            top = max(top, float(np.nanmax(values)))
    axes.set_xlabel("epoch")
    axes.set_title(panel.replace("_", " "), loc="left", fontweight="bold")
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    if panel == "loss":
        axes.set_ylim(bottom=0)
    elif panel == "learning_rate":
        axes.set_ylim(0, top * 1.08 or 1)
        axes.yaxis.set_major_formatter("{x:g}")


def _legend(figure: Any, courses: Sequence[Course]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=SERIES[i % len(SERIES)], marker="os^Dv"[i % 5], markersize=3, label=plain(c.name))
        for i, c in enumerate(courses)
    ]
    handles += [Line2D([], [], color="black", linestyle="--", label="training")]
    handles += [Line2D([], [], color="black", label="validation")]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 6))


def _heading(courses: Sequence[Course]) -> str:
    if len(courses) > 1:
        return f"{len(courses)} trainings compared"
    course = courses[0]
    count = max(len(values) for values in course.history.values())
    return f"{course.name}: {count} epoch{'s' * (count != 1)} of training" if course.name else "Training"
