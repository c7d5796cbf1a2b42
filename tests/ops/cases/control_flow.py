"""Rows of `runtime/ops/control_flow.py`."""

from __future__ import annotations

from ..table import Case

CASES: list[Case] = []
