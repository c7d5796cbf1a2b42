"""Rows of `runtime/ops/attention.py`."""

from __future__ import annotations

from ..table import Case

CASES: list[Case] = []
