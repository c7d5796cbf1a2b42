"""ai.onnx.ml: linear models and support vector machines."""

from __future__ import annotations
