"""Rows of `runtime/ops/detection.py`."""

from __future__ import annotations

from ..table import Case

CASES: list[Case] = []
