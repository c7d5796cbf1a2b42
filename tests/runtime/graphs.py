"""Small graphs for the tests of passes, plans and the executor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from striate.runtime.builder import OPSET, Builder


def model(
    build: Callable[..., Any],
    inputs: Mapping[str, Sequence[int | str | None]],
    *,
    dtype: ir.DataType = ir.DataType.FLOAT,
    opset: int = OPSET,
) -> ir.Model:
    """A model of what `build(g, *inputs)` returns; its outputs are called y0, y1, …"""
    values = [ir.Value(name=n, type=ir.TensorType(dtype), shape=ir.Shape(s)) for n, s in inputs.items()]
    graph = ir.Graph(values, [], nodes=[], opset_imports={"": opset}, name="test")
    made = build(Builder(graph), *values)
    for i, value in enumerate(made if isinstance(made, tuple) else (made,)):
        value.name = f"y{i}"
        graph.outputs.append(value)
    return ir.Model(graph, ir_version=10)


def random(*shape: int, seed: int = 0) -> np.ndarray:
    """Standard normal float32 values."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def op_types(m: ir.Model) -> list[str]:
    """The operators of a graph in order."""
    return [node.op_type for node in m.graph]
