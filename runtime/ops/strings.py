"""Text: joining, splitting, normalising, matching, counting n-grams."""

from __future__ import annotations
