"""Rows of `runtime/ops/signal.py`."""

from __future__ import annotations

from ..table import Case

CASES: list[Case] = []
