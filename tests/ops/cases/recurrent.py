"""Rows of `runtime/ops/recurrent.py`."""

from __future__ import annotations

from ..table import Case

CASES: list[Case] = []
