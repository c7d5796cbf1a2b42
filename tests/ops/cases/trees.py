"""Rows of `runtime/ops/trees.py`."""

from __future__ import annotations

from ..table import Case

CASES: list[Case] = []
