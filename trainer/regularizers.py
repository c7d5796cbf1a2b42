"""Penalties on weights that are added to the loss, under Keras's names."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import onnx_ir as ir

from ..runtime.builder import Builder
from ..runtime.errors import InvalidInput
from .naming import resolve

__all__ = ["L1", "L1L2", "L2", "Regularizer", "get", "l1", "l1_l2", "l2", "serialize"]


class Regularizer:
    """Base of all regularizers."""

    def graph(self, g: Builder, value: ir.Value) -> ir.Value:
        """Adds the penalty on `value` to the graph, a scalar of its dtype."""
        raise NotImplementedError


@dataclass(frozen=True)
class L1(Regularizer):
    """l1 · Σ|w|"""

    l1: float = 0.01

    def graph(self, g: Builder, value: ir.Value) -> ir.Value:
        return g.Mul(g.ReduceSum(g.Abs(value), keepdims=0), float(self.l1))


@dataclass(frozen=True)
class L2(Regularizer):
    """l2 · Σw²"""

    l2: float = 0.01

    def graph(self, g: Builder, value: ir.Value) -> ir.Value:
        return g.Mul(g.ReduceSum(g.Mul(value, value), keepdims=0), float(self.l2))


@dataclass(frozen=True)
class L1L2(Regularizer):
    """l1 · Σ|w| + l2 · Σw²"""

    l1: float = 0.0
    l2: float = 0.0

    def graph(self, g: Builder, value: ir.Value) -> ir.Value:
        return g.Add(L1(self.l1).graph(g, value), L2(self.l2).graph(g, value))


def l1(l1: float = 0.01) -> L1:
    """Keras's lower-case name of `L1`."""
    return L1(l1)


def l2(l2: float = 0.01) -> L2:
    """Keras's lower-case name of `L2`."""
    return L2(l2)


def l1_l2(l1: float = 0.01, l2: float = 0.01) -> L1L2:
    """Keras's lower-case name of `L1L2`, with its other defaults."""
    return L1L2(l1, l2)


_TABLE: dict[str, Any] = {"l1": L1, "l2": L2, "l1_l2": l1_l2, "L1": L1, "L2": L2, "L1L2": L1L2}


def get(identifier: Any) -> Regularizer | None:
    """A regularizer from its name, configuration or itself; None stays None.

    Raises:
        InvalidInput: for anything else.
    """
    found = resolve(identifier, _TABLE, "regularizer")
    if found is not None and not hasattr(found, "graph"):
        raise InvalidInput(f"regularizer {identifier!r} does not fit; expected one of: {', '.join(_TABLE)}")
    return found


def serialize(regularizer: Regularizer | None) -> dict[str, Any] | None:
    """The configuration that `get` turns back into an equal regularizer.

    Raises:
        InvalidInput: for a class that is not one of this module's.
    """
    if regularizer is None:
        return None
    if not isinstance(regularizer, (L1, L2, L1L2)):
        raise InvalidInput(f"regularizer {regularizer!r} cannot be saved; use L1, L2 or L1L2")
    return {"class_name": type(regularizer).__name__, "config": asdict(regularizer)}
