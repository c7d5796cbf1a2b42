"""Rows of `runtime/ops/optimizer.py`."""

from __future__ import annotations

from ..table import Case

CASES: list[Case] = []
