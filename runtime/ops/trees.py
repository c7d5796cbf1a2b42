"""ai.onnx.ml: ensembles of decision trees."""

from __future__ import annotations
