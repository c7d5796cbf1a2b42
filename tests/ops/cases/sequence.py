"""Rows of `runtime/ops/sequence.py`."""

from __future__ import annotations

from ..table import Case

CASES: list[Case] = []
