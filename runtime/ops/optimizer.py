"""Steps of optimizers inside a graph: Adagrad, Adam, Momentum of ai.onnx.preview.training."""

from __future__ import annotations
