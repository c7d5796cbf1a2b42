"""The log of a training that may take several runs: `history.csv`, one row per epoch, and the curves drawn from it."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..runtime.errors import InvalidInput
from ..runtime.files import atomic_write
from ..trainer.callbacks import Callback

__all__ = ["Log", "columns_of", "read_log"]


class Log(Callback):
    """Writes the file whole after every epoch; runs may log different columns, which leaves empty cells.

    Args:
        path: the file.
        first: the number of the first epoch of this run, from 0.
        append: keep the rows of earlier epochs in a file that exists.

    Raises:
        InvalidInput: if the file to go on with is no such log.
    """

    def __init__(self, path: Path, first: int, append: bool) -> None:
        self.path = path
        rows = _rows_before(path) if append and path.exists() else []
        self.rows = [row for row in rows if row["epoch"] < first]

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        self.rows.append({"epoch": epoch, **{name: float(value) for name, value in logs.items()}})
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, "epoch": int(row["epoch"])} for row in self.rows)
        atomic_write(self.path, text.getvalue().encode())

    def history(self) -> dict[str, list[float]]:
        """One number per row by column, NaN where a row has none; the epochs are under `epoch`."""
        return columns_of(self.rows)


def columns_of(rows: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """One number per row by column, NaN where a row has none; the epochs are under `epoch`."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return {name: [row.get(name, math.nan) for row in rows] for name in columns}


def _rows_before(path: Path) -> list[dict[str, float]]:
    try:
        return read_log(path)
    except InvalidInput as error:
        raise InvalidInput(f"{error}; move it away, or choose another folder with --out") from None


def read_log(path: Path) -> list[dict[str, float]]:
    """The rows of a `history.csv`, each with its `epoch`.

    Raises:
        InvalidInput: if the file is no such log.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            found = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]
    except (ValueError, TypeError, AttributeError, csv.Error):
        found = [{}]
    if not all("epoch" in row for row in found):
        raise InvalidInput(f"{path}: is not the log of a training")
    return found
