"""Graph → `.onnx` file, and the proof that other runtimes read it alike."""

from __future__ import annotations

from .export import Exportable, export, exported
from .verify import Report, Row, verify

__all__ = ["Exportable", "Report", "Row", "export", "exported", "verify"]
