"""The format of the one case table and the few array makers its rows need."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from striate.runtime.builder import OPSET

Array = np.ndarray
Given = Array | list[Array] | dict[Any, Any] | None
"""A tensor, a sequence, a map, or an absent input."""


@dataclass(frozen=True, eq=False)
class Case:
    """One row: an operator on given inputs.

    Floating-point inputs are float64; the tests cast them to each of `dtypes`. `grad` lists the inputs whose gradient
    is checked (first and second order); `expect` computes the outputs where the onnx reference cannot (own domain, its
    known faults).
    """

    op: str
    inputs: tuple[Given, ...]
    attrs: dict[str, Any]
    opset: int
    domain: str
    outputs: int
    grad: tuple[int, ...]
    second: bool
    dtypes: tuple[str, ...]
    expect: Callable[..., Any] | None
    name: str

    @property
    def id(self) -> str:
        return f"{self.op}-{self.opset}" + (f"-{self.name}" if self.name else "")


def case(
    op: str,
    *inputs: Array | Sequence[Any] | dict[Any, Any] | float | None,
    opset: int = OPSET,
    domain: str = "",
    outputs: int = 1,
    grad: tuple[int, ...] = (),
    second: bool = True,
    dtypes: tuple[str, ...] = ("float64", "float32"),
    expect: Callable[..., Any] | None = None,
    name: str = "",
    **attrs: Any,
) -> Case:
    """A row of the table. Lists of ints become int64 vectors, Python floats float64 scalars, tuples sequences.

    A `dict` is a map (ai.onnx.ml), an attribute may be a GraphProto.

    `opset` picks the version of the operator; `grad` is only for versions reachable from the current build opset.
    Set `second=False` only for an operator whose gradient is piecewise constant and says so in a comment.
    """
    return Case(op, tuple(map(_given, inputs)), attrs, opset, domain, outputs, grad, second, dtypes, expect, name)


def _given(x: Any) -> Given:
    if x is None or isinstance(x, dict):
        return x
    return [np.asarray(item) for item in x] if isinstance(x, tuple) else np.asarray(x)


def real(*shape: int, low: float = -2.0, high: float = 2.0, key: str = "") -> Array:
    """Reproducible float64 values in [low, high); different shapes and keys give different values."""
    seed = zlib.crc32(f"{shape}{low}{high}{key}".encode())
    return np.random.default_rng(seed).uniform(low, high, shape)


def distinct(*shape: int, key: str = "") -> Array:
    """Reproducible float64 values at least 0.05 apart, none near zero: for kinks and ties (Max, Relu, pooling)."""
    size = int(np.prod(shape))
    values = (np.arange(size) - size // 2 + 0.5) * 0.1
    return np.random.default_rng(zlib.crc32(f"{shape}{key}".encode())).permutation(values).reshape(shape)


def ints(*shape: int, low: int = 0, high: int = 10, dtype: Any = np.int64, key: str = "") -> Array:
    """Reproducible integers in [low, high)."""
    seed = zlib.crc32(f"{shape}{low}{high}{key}".encode())
    return np.random.default_rng(seed).integers(low, high, shape).astype(dtype)
