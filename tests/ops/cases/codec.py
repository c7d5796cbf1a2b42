"""Rows of `runtime/ops/codec.py`."""

from __future__ import annotations

from ..table import Case

CASES: list[Case] = []
