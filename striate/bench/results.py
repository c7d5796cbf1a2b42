"""Trials and their figures, as a table for the terminal and as plain data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from math import isfinite
from typing import Any

from .machine import machine
from .measuring import Measured, Trial, measure

__all__ = ["Row", "as_json", "lines", "milliseconds", "run_all"]

NOTHING = "–"
FIGURES = {
    "median": "seconds of a run; p10 and p90: 80 % of the runs lie between; min: the shortest; runs: how many",
    "ratio": "median / median of the first side: above 1, the first side is faster",
    "cold": "seconds from the file to the first outputs with no compiled code in the cache; imports not counted",
    "warm": "the same when the cache is filled",
    "peak": "bytes resident at most from the file to the last run, less those resident before (imports, inputs)",
    "cores": "processor seconds / seconds of the runs",
    "difference": "largest difference of an output from the first side's / range of the first side's",
    "fault": "why there are no figures",
}


@dataclass(frozen=True)
class Row:
    """What came of one trial; `shapes` are those of its inputs."""

    shapes: dict[str, tuple[int, ...]]
    threads: int
    sides: list[Measured]

    @property
    def title(self) -> str:
        """The shapes of the inputs and the number of threads."""
        shapes = ["×".join(map(str, s)) or "scalar" for s in self.shapes.values()]
        shown = ", ".join(shapes[:3]) + (", …" if len(shapes) > 3 else "")
        return f"{shown or 'no input'}, {self.threads} thread{'s' * (self.threads != 1)}"


def run_all(trials: Sequence[Trial], say: Callable[[str], None] = lambda text: None) -> list[Row]:
    """Measures one trial after the other.

    Args:
        say: is told what happens now.
    """
    rows = []
    for number, trial in enumerate(trials, 1):
        shapes = {name: array.shape for name, array in trial.feeds.items()}
        head = f"{number} of {len(trials)}: {Row(shapes, trial.threads, []).title}: "
        rows.append(Row(shapes, trial.threads, measure(trial, _behind(head, say))))
    return rows


def _behind(head: str, say: Callable[[str], None]) -> Callable[[str], None]:
    return lambda text: say(head + text)


COLUMNS: tuple[tuple[str, int, Callable[[Measured], str]], ...] = (
    ("median ms", 0, lambda m: milliseconds(m.median)),
    ("p10 – p90", 90, lambda m: f"{milliseconds(m.at(10))} – {milliseconds(m.at(90))}"),
    ("÷ ours", 0, lambda m: _shown(m.ratio, ".2f")),
    ("create s", 0, lambda m: _shown(m.warm, ".2f")),
    ("cold s", 70, lambda m: _shown(m.cold, ".2f")),
    ("peak MiB", 0, lambda m: NOTHING if m.peak is None else f"{m.peak / 2**20:,.0f}"),
    ("cores", 80, lambda m: _shown(m.cores, ".1f")),
    ("diff/range", 0, lambda m: _shown(m.difference, ".0e")),
)
"""Heading, the screen width from which it shows, cell."""


def lines(rows: Sequence[Row], width: int) -> list[str]:
    """The table: a line for each side, under one for each trial.

    Args:
        width: of the screen.
    """
    columns = [(heading, cell) for heading, screen, cell in COLUMNS if width >= screen]
    cells = [[_cells(m, [cell for _, cell in columns]) for m in row.sides] for row in rows]
    widths = [max(map(len, column)) for column in zip([h for h, _ in columns], *chain(*cells), strict=True)]
    first = max(len(m.side) for row in rows for m in row.sides) + 2

    def line(name: str, texts: Iterable[str]) -> str:
        return "  " + name.ljust(first) + "".join(f"  {t:>{w}}" for t, w in zip(texts, widths, strict=True))

    made = ["", line("", (heading for heading, _ in columns)), "  " + "─" * (first + sum(widths) + 2 * len(widths))]
    for row, found in zip(rows, cells, strict=True):
        made += [f"  {row.title}", *(line(f"  {m.side}", texts) for m, texts in zip(row.sides, found, strict=True))]
    return [*made, ""]


def _cells(m: Measured, cells: Sequence[Callable[[Measured], str]]) -> list[str]:
    return ["failed"] + [NOTHING] * (len(cells) - 1) if not m.times else [cell(m) for cell in cells]


def _shown(number: float | None, form: str) -> str:
    return NOTHING if number is None else f"{number:{form}}"


def milliseconds(seconds: float | None) -> str:
    """Three digits, as many behind the point as there is room for."""
    if seconds is None:
        return NOTHING
    ms = seconds * 1e3
    return f"{ms:,.0f}" if ms >= 99.95 else f"{ms:.1f}" if ms >= 9.995 else f"{ms:.2f}" if ms >= 0.9995 else f"{ms:.4f}"


def as_json(model: str, rows: Sequence[Row]) -> dict[str, Any]:
    """Everything, with what it was measured on and what the figures mean."""
    return {
        "format": "striate.bench/1",
        "model": model,
        "machine": machine(),
        "versions": _versions(),
        "figures": FIGURES,
        "results": [
            {
                "inputs": {name: list(shape) for name, shape in row.shapes.items()},
                "threads": row.threads,
                **{name: value if not isinstance(value, float) or isfinite(value) else None for name, value in found},
            }
            for row in rows
            for found in (m.as_dict().items() for m in row.sides)
        ],
    }


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    made = {}
    for name in ("striate", "numpy", "llvmlite", "onnxruntime"):
        try:
            made[name] = version(name)
        except PackageNotFoundError:
            continue
    return made
