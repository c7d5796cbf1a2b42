"""Net-1 to Net-5 of 1989 on real digits: what local connections and shared weights are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import models
from ..pictures.style import ACCENT, SECOND, new_figure, save, styled, title
from ..trainer import data
from .placing import at_positions
from .trials import Result, Tell, Trial, percent, quiet, run_trials, write_csv

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["NETS", "NOTE", "Row", "draw", "run", "table", "write_table"]

BATCH_SIZE = 64
LEARNING_RATE = 0.02
SIZE = 16
POSITIONS = {"centred": (0, 0, 0, 0), "moved": (-3, -1, 1, 3)}
"""Where each digit stands, in pixels from the middle. Both have as many examples, so as many steps of training."""

NOTE = (
    "1989: LeCun's own 480 digits, each at four positions. Here: UCI digits at 16×16, 1,438 to train on and 359 to "
    "test on, as they are (centred) or each at four positions (moved). Net-2 has 12·257 + 10·13 = 3,214 weights; the "
    "lecture's table of accuracies prints 3240."
)


@dataclass(frozen=True)
class Net:
    """What the paper reports of a network, and how a picture describes it."""

    name: str
    accuracy: float
    about: str


NETS = {
    "lecun1989_net1": Net("Net-1", 0.800, "every pixel to\nevery output"),
    "lecun1989_net2": Net("Net-2", 0.870, "12 hidden\nunits"),
    "lecun1989_net3": Net("Net-3", 0.885, "two local\nlayers"),
    "lecun1989_net4": Net("Net-4", 0.940, "first layer\nshared"),
    "lecun1989_net5": Net("Net-5", 0.984, "both layers\nshared"),
}


@dataclass(frozen=True)
class Row:
    """One network on centred and on moved digits."""

    net: Net
    model: str
    centred: Result
    moved: Result


def run(seeds: int = 5, epochs: int = 8, tell: Tell = quiet) -> list[Row]:
    """Trains the five networks on the UCI digits, centred and at four positions each, and tests them likewise.

    Args:
        epochs: passes over 4 · 1,438 images.

    Raises:
        MissingDependency: if scikit-learn is not installed.
    """
    parts = {part: data.load("digits", SIZE, 1, part) for part in ("train", "test")}
    trials = []
    for digits, offsets in POSITIONS.items():
        train, test = (at_positions(parts[part], offsets) for part in ("train", "test"))
        trials += [Trial(f"{model} {digits}", getattr(models, model), train, test) for model in NETS]
    found = run_trials(
        trials, seeds=seeds, epochs=epochs, batch_size=BATCH_SIZE, learning_rate=LEARNING_RATE, tell=tell
    )
    centred, moved = found[: len(NETS)], found[len(NETS) :]
    return [
        Row(net, model, first, second) for (model, net), first, second in zip(NETS.items(), centred, moved, strict=True)
    ]


COLUMNS = {
    "network": "left", "weights": "right", "1989, %": "right", "centred, %": "right", "moved, %": "right",
}  # fmt: skip


def table(rows: Sequence[Row]) -> list[list[str]]:
    """The cells under `COLUMNS`."""
    return [
        [
            row.net.name,
            f"{row.centred.parameters:,}",
            percent(row.net.accuracy),
            percent(row.centred.mean, row.centred.spread),
            percent(row.moved.mean, row.moved.spread),
        ]
        for row in rows
    ]


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """One line per network and kind of digits, accuracies as shares of 1, each seed's too."""
    lines: list[dict[str, Any]] = []
    for row in rows:
        for digits, found in (("centred", row.centred), ("moved", row.moved)):
            lines.append(
                {
                    "model": row.model,
                    "digits": digits,
                    "parameters": found.parameters,
                    "accuracy_1989": row.net.accuracy,
                    "accuracy": found.mean,
                    "spread": found.spread,
                    "train_accuracy": found.train_mean,
                    **{f"seed_{i}": value for i, value in enumerate(found.test)},
                }
            )
    write_csv(path, lines)


DRAWN = {
    "centred": ("#4a90d0", -0.2, 8, "here, digits centred"),
    "moved": (ACCENT, 0.2, -15, "here, digits moved"),
}
"""Colour, place beside the middle, where the number stands, and what the legend says."""


@styled
def draw(path: Path, rows: Sequence[Row]) -> None:
    """Accuracies above, weights below; a small dot per seed."""
    figure = new_figure(7.6, 5.4)
    above, below = figure.subplots(2, 1, height_ratios=[3, 1], sharex=True)
    _accuracies(above, rows)
    places = range(len(rows))
    counts = [row.centred.parameters for row in rows]
    below.bar(places, counts, 0.5, color="#c9d3dd")
    for place, count in zip(places, counts, strict=True):
        _number(below, place, count, f"{count:,}", 3, "black")
    below.set_ylim(0, 1.25 * max(counts))
    below.set_yticks([])
    below.spines["left"].set_visible(False)
    below.set_ylabel("free weights")
    below.set_xticks(places, [f"{row.net.name}\n{row.net.about}" for row in rows], fontsize=8)
    below.tick_params(axis="x", length=0)
    title(figure, "Local connections and shared weights: five networks of 1989", NOTE)
    save(figure, path)


def _accuracies(axes: Axes, rows: Sequence[Row]) -> None:
    places = list(range(len(rows)))
    old = [100 * row.net.accuracy for row in rows]
    axes.plot(places, old, color=SECOND, marker="D", markersize=6, linewidth=1, linestyle="--", label="LeCun 1989")
    for place, value in zip(places, old, strict=True):
        _number(axes, place, value, f"{value:.1f}", -16, SECOND)
    for name, (colour, aside, above, label) in DRAWN.items():
        found: list[Result] = [getattr(row, name) for row in rows]
        middles = [place + aside for place in places]
        means, spreads = [100 * r.mean for r in found], [100 * r.spread for r in found]
        axes.errorbar(
            middles, means, spreads, color=colour, marker="o", markersize=6, linewidth=1, capsize=3, label=label
        )
        for x, result in zip(middles, found, strict=True):
            axes.scatter([x] * len(result.test), [100 * v for v in result.test], s=8, color=colour, alpha=0.5)
            edge = 100 * (max(result.test) if above > 0 else min(result.test))
            _number(axes, x, edge, f"{100 * result.mean:.1f}", above, colour)
    low = min(old + [100 * v for row in rows for r in (row.centred, row.moved) for v in r.test])
    axes.set_ylim(max(0.0, low - 5), 101.5)
    axes.set_xlim(-0.5, len(rows) - 0.5)
    axes.set_ylabel("test accuracy, %")
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="y", alpha=0.25)
    axes.legend(loc="lower right", fontsize=8)


def _number(axes: Axes, x: float, y: float, text: str, above: float, colour: str) -> None:
    """A number so many points above its place (below if negative), readable where a line crosses it."""
    from matplotlib.patheffects import withStroke

    axes.annotate(
        text,
        (x, y),
        (0, above),
        textcoords="offset points",
        ha="center",
        fontsize=8,
        color=colour,
        path_effects=[withStroke(linewidth=2.5, foreground="white")],
    )
