"""Rows of `runtime/ops/strings.py`."""

from __future__ import annotations

from ..table import Case

CASES: list[Case] = []
