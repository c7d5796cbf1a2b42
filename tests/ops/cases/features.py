"""Rows of `runtime/ops/features.py`."""

from __future__ import annotations

from ..table import Case

CASES: list[Case] = []
