"""Sequences and optional values."""

from __future__ import annotations
