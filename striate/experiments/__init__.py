"""Experiments of the lecture as plain functions: `run` gives results; `table`, `write_table` and `draw` show them."""

from __future__ import annotations

from . import depth, pooling, sharing

__all__ = ["depth", "pooling", "sharing"]
