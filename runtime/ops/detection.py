"""Choosing among boxes: NonMaxSuppression."""

from __future__ import annotations
