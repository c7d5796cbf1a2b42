"""Bars of a bench, drawn with matplotlib without a screen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..pictures.style import ACCENT, FAINT, SECOND, new_figure, save
from .machine import machine
from .results import Row, milliseconds

__all__ = ["bars"]

COLOURS = {"native": ACCENT, "arrays": "#7fb2e5", "onnxruntime": SECOND, "script": "#5a8f3c"}


def bars(path: Path, title: str, rows: Sequence[Row]) -> None:
    """Median times of all sides, each trial relative to its first side, with the range of 80 % of the runs."""
    sides = list(dict.fromkeys(m.side for row in rows for m in row.sides))
    shown = [row for row in rows if row.sides and row.sides[0].median]
    height = 0.8 / max(len(sides), 1)
    figure = new_figure(8.5, 1.4 + len(shown) * (0.16 + 0.26 * len(sides)))
    axes = figure.subplots()
    furthest = 1.0
    for place, row in enumerate(shown):
        unit = row.sides[0].median or 1.0
        for i, m in enumerate(row.sides):
            if m.fault or m.median is None:
                continue
            low, high = (m.at(p) or m.median for p in (10, 90))
            y = place - 0.4 + (i + 0.5) * height
            label = m.side if place == 0 else None
            axes.barh(y, m.median / unit, height * 0.9, color=COLOURS[m.side], label=label)
            axes.plot([low / unit, high / unit], [y, y], color="black", linewidth=1, alpha=0.6)
            end = max(high, m.median) / unit
            furthest = max(furthest, end)
            text = f" {milliseconds(m.median)} ms" + (f"  ({m.ratio:.2f}×)" if m.ratio else "")
            axes.text(end, y, text, va="center", fontsize=8)
    axes.axvline(1, color=FAINT, linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(shown)), [row.title.replace(", ", "\n", 1) for row in shown], fontsize=8)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(0, furthest * 1.28)
    axes.set_xlabel(
        f"time of a run relative to {sides[0] if sides else 'ours'} (less is better); lines: 10th to 90th %"
    )
    figure.suptitle(f"{title}", fontsize=11, x=0.02, ha="left", fontweight="bold")
    axes.set_title(machine(), fontsize=8, color=FAINT, loc="left")
    figure.legend(loc="outside upper right", ncols=len(sides), frameon=False, fontsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    save(figure, path)
