"""Tensors that are made when they are asked for, and are in memory only as long as somebody holds them."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import numpy as np
import onnx_ir as ir

__all__ = ["lazy"]


def lazy(make: Callable[[], np.ndarray], dtype: ir.DataType, shape: ir.Shape, name: str | None) -> ir.TensorProtocol:
    """The tensor that `make` returns the array of, whenever it is needed and the last array is gone."""
    last: Callable[[], np.ndarray | None] = lambda: None  # noqa: E731

    def evaluate() -> ir.TensorProtocol:
        nonlocal last
        array = last()
        if array is None:
            array = make()
            last = weakref.ref(array)
        return ir.Tensor(array, dtype, name=name)

    return ir.LazyTensor(evaluate, dtype, shape, name=name)
