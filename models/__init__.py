"""Architectures by name: `models.lenet5()`, `models.get("lenet5", num_classes=…)`, `models.names()`."""

from __future__ import annotations

from .lenet5 import lenet5
from .registry import get, names, register

__all__ = ["get", "lenet5", "names", "register"]
