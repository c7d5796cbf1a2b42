"""Layers of several inputs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import onnx_ir as ir

from .base import Layer, LayerBuilder, Shape

__all__ = ["Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply", "Subtract"]


class _Merge(Layer):
    """Element by element; dimensions of size 1 are repeated, and samples of lower rank get leading dimensions of 1."""

    takes_many = True
    accepts_integers = True
    exactly: int | None = None

    def check(self, input_shape: Sequence[Shape]) -> None:
        shapes = list(input_shape)
        if len(shapes) < 2 or (self.exactly is not None and len(shapes) != self.exactly):
            wanted = f"{self.exactly}" if self.exactly else "at least 2"
            self.refuse(f"it was called on {len(shapes)} tensors, expected a list of {wanted}")
        rank = max(map(len, shapes))
        padded = [(s[0], *(1,) * (rank - len(s)), *s[1:]) for s in shapes]
        for dims in zip(*padded, strict=True):
            if len({d for d in dims if d not in (None, 1)}) > 1:
                self.refuse(f"its input shapes {', '.join(map(str, shapes))} do not match")

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        ranks = [len(x.shape) for x in inputs if x.shape is not None]
        aligned = [
            g.Unsqueeze(x, list(range(1, 1 + max(ranks) - rank))) if rank < max(ranks) else x
            for x, rank in zip(inputs, ranks, strict=True)
        ]
        return self.merge(g, aligned)

    def merge(self, g: LayerBuilder, inputs: Sequence[ir.Value]) -> ir.Value:
        raise NotImplementedError


class Add(_Merge):
    """The sum of its inputs."""

    def merge(self, g: LayerBuilder, inputs: Sequence[ir.Value]) -> ir.Value:
        return reduce(g.Add, inputs)


class Subtract(_Merge):
    """The first of its two inputs minus the second."""

    exactly = 2

    def merge(self, g: LayerBuilder, inputs: Sequence[ir.Value]) -> ir.Value:
        return g.Sub(*inputs)


class Multiply(_Merge):
    """The product of its inputs."""

    def merge(self, g: LayerBuilder, inputs: Sequence[ir.Value]) -> ir.Value:
        return reduce(g.Mul, inputs)


class Average(_Merge):
    """The mean of its inputs."""

    accepts_integers = False

    def merge(self, g: LayerBuilder, inputs: Sequence[ir.Value]) -> ir.Value:
        return g.Mean(*inputs)


class Maximum(_Merge):
    """The largest of its inputs."""

    def merge(self, g: LayerBuilder, inputs: Sequence[ir.Value]) -> ir.Value:
        return g.Max(*inputs)


class Minimum(_Merge):
    """The smallest of its inputs."""

    def merge(self, g: LayerBuilder, inputs: Sequence[ir.Value]) -> ir.Value:
        return g.Min(*inputs)


class Concatenate(Layer):
    """Its inputs one after the other along `axis`."""

    takes_many = True
    accepts_integers = True

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if isinstance(axis, bool) or not isinstance(axis, int) or axis == 0:
            self.refuse(f"axis is {axis!r}, expected an integer other than 0, which is the batch")
        self.axis = axis

    def check(self, input_shape: Sequence[Shape]) -> None:
        shapes = list(input_shape)
        listed = ", ".join(map(str, shapes))
        if len(shapes) < 2:
            self.refuse(f"it was called on {len(shapes)} tensor, expected a list of at least 2")
        rank = len(shapes[0])
        if any(len(s) != rank for s in shapes):
            self.refuse(f"its input shapes {listed} differ in rank")
        if not -rank < self.axis < rank:
            self.refuse(f"axis is {self.axis}, but its inputs have {rank} dimensions: {listed}")
        for i, dims in enumerate(zip(*shapes, strict=True)):
            if i != self.axis % rank and len({d for d in dims if d is not None}) > 1:
                self.refuse(f"its input shapes {listed} may differ in dimension {self.axis % rank} only, not in {i}")

    def emit(self, g: LayerBuilder, *inputs: ir.Value) -> ir.Value:
        return g.Concat(*inputs, axis=self.axis)
