"""Rows of `runtime/ops/classical.py`."""

from __future__ import annotations

from ..table import Case

CASES: list[Case] = []
