"""Rows of `runtime/ops/quantization.py`."""

from __future__ import annotations

from ..table import Case

CASES: list[Case] = []
