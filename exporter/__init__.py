"""Graph → `.onnx` file, and the proof that other runtimes read it alike."""

from __future__ import annotations

from .card import card, write_card
from .export import Exportable, export, exported
from .verify import Report, Row, verify

__all__ = ["Exportable", "Report", "Row", "card", "export", "exported", "verify", "write_card"]
