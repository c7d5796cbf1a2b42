"""Rows of `runtime/ops/sampling.py`."""

from __future__ import annotations

from ..table import Case

CASES: list[Case] = []
