"""ai.onnx.ml: scaling, encoding and assembling features."""

from __future__ import annotations
