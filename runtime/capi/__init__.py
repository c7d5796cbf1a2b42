"""The place where onnxruntime's users look for exception classes."""

from __future__ import annotations

from . import onnxruntime_pybind11_state

__all__ = ["onnxruntime_pybind11_state"]
