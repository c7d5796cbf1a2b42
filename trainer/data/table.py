"""CSV and TSV files: texts or numbers with a label in every row.

Rules, not guesses:

- The file is UTF-8, with or without a byte order mark; fields may be quoted as RFC 4180 says (`csv` module, strict).
- The delimiter is a tab in files named .tsv or .tab, else a comma, unless another is named.
- Columns are asked for by name, or by number, counted from 1. Names need a header, numbers say that there is none; say
  `header=yes` or `header=no` where it is otherwise. Digits alone are always a number.
- Without a label column, the one called `label` is meant; without a text column, the one called `text`, if there is
  one. Else the row is numbers: all columns but the label, or those that are named.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...runtime.errors import InvalidInput, LimitExceeded
from .dataset import MAX_CLASSES, Dataset
from .images import check_bytes

__all__ = ["SUFFIXES", "load_table"]

SUFFIXES = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
DELIMITERS = {"comma": ",", "tab": "\t", "semicolon": ";", "space": " ", "pipe": "|"}
MAX_FILE = 1 << 31
"""A table is read whole; more bytes than this belong into shards."""


@dataclass(frozen=True)
class _Rows:
    """The fields of a table; `lines[i]` is where row i ends in the file, `header` the names of the columns."""

    path: Path
    fields: list[list[str]]
    lines: list[int]
    header: list[str] | None

    def at(self, row: int) -> str:
        return f"{self.path}:{self.lines[row]}"


def load_table(
    path: Path,
    text: str | None = None,
    label: str | None = None,
    features: str | None = None,
    header: bool | None = None,
    delimiter: str | None = None,
) -> Dataset:
    """The rows of a table, in their order.

    Args:
        text: the column of texts, by name or by number.
        label: the column of labels. Labels that all are whole numbers are sorted by number, else as text.
        features: columns of numbers, by name or number, with `+` between them; default: all but the label.
        header: whether the first row has the columns' names; see the rules above.
        delimiter: one character, or comma, tab, semicolon, space, pipe.

    Returns:
        Texts as `(N,)` of Python strings (encode them with a `Vocabulary`), or numbers as float32 `(N, columns)`.

    Raises:
        InvalidInput: for a row of another length, bytes that are no UTF-8, a value that is no number, a label that is
            missing; the message has file and line. For a column that is not there.
        LimitExceeded: if the file is larger than a table may be.
    """
    if text is not None and features is not None:
        raise InvalidInput(f"{path}: text={text} and features={features} are both given; expected one of them")
    asked = [c for c in (text, label, *(features.split("+") if features else ())) if c is not None]
    if header is None:
        header = not asked or not all(c.isdecimal() for c in asked)
    rows = _read(path, DELIMITERS.get(delimiter or "", delimiter) or SUFFIXES.get(path.suffix.lower(), ","), header)
    labels = _column(rows, label if label is not None else "label", "label")
    if text is None and features is None and rows.header is not None and "text" in rows.header:
        text = "text"
    y, classes = _labels(rows, labels)
    if text is not None:
        chosen = _column(rows, text, "text")
        x = np.empty(len(rows.fields), object)
        x[:] = [row[chosen] for row in rows.fields]
        return Dataset(x, y, classes, path.name, lines=np.asarray(rows.lines))
    width = len(rows.fields[0])
    columns = [i for i in range(width) if i != labels] if features is None else []
    columns += [_column(rows, c, "features") for c in (features.split("+") if features else ())]
    if not columns:
        raise InvalidInput(f"{path}: has no column besides the label")
    return Dataset(_numbers(rows, columns), y, classes, path.name)


def _read(path: Path, delimiter: str, header: bool) -> _Rows:
    if len(delimiter) != 1:
        raise InvalidInput(
            f"{path}: delimiter {delimiter!r}; expected one character, or one of {', '.join(DELIMITERS)}"
        )
    if path.stat().st_size > MAX_FILE:
        raise LimitExceeded(f"{path}: takes {path.stat().st_size:,} bytes; at most {MAX_FILE:,} are allowed in a table")
    content = path.read_bytes()
    try:
        decoded = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidInput(
            f"{path}:{line}: byte {content[error.start]:#04x} is no UTF-8; save the file as UTF-8"
        ) from None
    reader = csv.reader(io.StringIO(decoded, newline=""), delimiter=delimiter, strict=True)
    fields: list[list[str]] = []
    lines: list[int] = []
    try:
        for row in reader:
            if not row:
                continue
            if fields and len(row) != len(fields[0]):
                raise InvalidInput(
                    f"{path}:{reader.line_num}: {len(row)} fields; expected {len(fields[0])}, as in line {lines[0]}"
                )
            fields.append(row)
            lines.append(reader.line_num)
    except csv.Error as error:
        raise InvalidInput(f"{path}:{reader.line_num}: {error}") from None
    names = [name.strip() for name in fields[0]] if header and fields else None
    if header:
        fields, lines = fields[1:], lines[1:]
    if not fields:
        raise InvalidInput(f"{path}: has no rows" + (" besides its header" if names else ""))
    return _Rows(path, fields, lines, names)


def _column(rows: _Rows, wanted: str, what: str) -> int:
    """The place of a column, counted from 0."""
    width = len(rows.fields[0])
    if wanted.isdecimal():
        if not 1 <= int(wanted) <= width:
            raise InvalidInput(f"{rows.path}: {what}={wanted}; expected a column from 1 to {width}")
        return int(wanted) - 1
    if rows.header is None:
        raise InvalidInput(f"{rows.path}: {what}={wanted} names a column, but there is no header; give its number")
    if rows.header.count(wanted) != 1:
        found = "is there twice" if wanted in rows.header else "is not there"
        raise InvalidInput(
            f"{rows.path}: {what} column {wanted!r} {found}; the columns are {', '.join(map(repr, rows.header))} "
            f"(name it with ,{what}=NAME, or by number with ,{what}=1 if the first row is no header)"
        )
    return rows.header.index(wanted)


def _labels(rows: _Rows, column: int) -> tuple[np.ndarray, tuple[str, ...]]:
    given = [row[column].strip() for row in rows.fields]
    for i, label in enumerate(given):
        if not label:
            raise InvalidInput(f"{rows.at(i)}: the label is missing, in column {column + 1}")
    different = set(given)
    if len(different) > MAX_CLASSES:
        raise InvalidInput(
            f"{rows.path}: column {column + 1} has {len(different):,} different labels; is it the label?"
        )
    whole = all(_is_whole(label) for label in different)
    classes = sorted(different, key=int) if whole else sorted(different)
    numbers = {name: i for i, name in enumerate(classes)}
    return np.asarray([numbers[label] for label in given], np.int64), tuple(classes)


def _is_whole(label: str) -> bool:
    return label.isdecimal() and label == str(int(label))


def _numbers(rows: _Rows, columns: Sequence[int]) -> np.ndarray:
    check_bytes((len(rows.fields), len(columns)), str(rows.path))
    x = np.empty((len(rows.fields), len(columns)), np.float32)
    for i, row in enumerate(rows.fields):
        try:
            x[i] = [float(row[c]) for c in columns]
        except ValueError:
            c = next(c for c in columns if not _is_number(row[c]))
            raise InvalidInput(
                f"{rows.at(i)}: {row[c]!r} in column {c + 1} is no number; for text name its column with ,text="
            ) from None
    if not np.isfinite(x).all():
        i, j = (int(n) for n in np.argwhere(~np.isfinite(x))[0])
        raise InvalidInput(f"{rows.at(i)}: {rows.fields[i][columns[j]]!r} in column {columns[j] + 1} is not finite")
    return x


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
