"""What is done to a register of results before it is stored: a residual added, an activation applied.

    activation       constants      y
    none                            x
    relu                            max(x, 0)
    clip             low, high      min(max(x, low), high)
    leaky_relu       alpha          x if x ≥ 0 else alpha·x
    hard_sigmoid     alpha, beta    min(max(alpha·x + beta, 0), 1)
    hard_swish                      x · hard_sigmoid(x, 1/6, 1/2)

NaN stays NaN in all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from ..emit import Function, Value

__all__ = ["ACTIVATIONS", "Activation", "Epilogue"]

Emitter = Callable[..., Value]


@dataclass(frozen=True)
class Activation:
    """`emit(f, x, *constants)`; `constants` is how many it takes; `at_zero(*constants)` is its value at 0."""

    emit: Emitter
    constants: int = 0
    at_zero: Callable[..., float] = lambda *_: 0.0


@dataclass(frozen=True)
class Epilogue:
    """y = activation(x + residual), or activation(x) + residual.

    Attributes:
        activation: a key of `ACTIVATIONS`.
        constants: of the activation, part of the machine code.
        residual: when a second value, of the same shape as y, is added.
    """

    activation: str = "none"
    constants: tuple[float, ...] = ()
    residual: Literal["", "before", "after"] = ""

    def __post_init__(self) -> None:
        takes = ACTIVATIONS[self.activation].constants
        if len(self.constants) != takes:
            raise ValueError(f"{self.activation} takes {takes} constants, not {len(self.constants)}")

    @property
    def name(self) -> str:
        """For names of kernels."""
        parts = [self.activation, *(f"{c:g}" for c in self.constants), *([self.residual] if self.residual else [])]
        return re.sub(r"\W", "_", "_".join(parts))

    @property
    def keeps_zero(self) -> bool:
        """Is 0, without a residual, mapped to 0?"""
        return ACTIVATIONS[self.activation].at_zero(*self.constants) == 0

    def emit(self, f: Function, x: Value, residual: Value | None = None) -> Value:
        """The epilogue of a register, or of a scalar."""
        if (residual is not None) != bool(self.residual):
            raise ValueError("a residual is given where none is described, or the reverse")
        if residual is not None and self.residual == "before":
            x = x + residual
        x = ACTIVATIONS[self.activation].emit(f, x, *self.constants)
        return x + residual if residual is not None and self.residual == "after" else x


def at_least(f: Function, x: Value, low: float) -> Value:
    """max(x, low), NaN if x is: one instruction where the processor's maximum gives its second operand for NaN."""
    return f.select(x < low, f.value(low, x.type), x)


def at_most(f: Function, x: Value, high: float) -> Value:
    """min(x, high), NaN if x is."""
    return f.select(x > high, f.value(high, x.type), x)


def clip(f: Function, x: Value, low: float, high: float) -> Value:
    return at_most(f, at_least(f, x, low), high)


def leaky_relu(f: Function, x: Value, alpha: float) -> Value:
    return f.select(x < 0.0, x * alpha, x)


def hard_sigmoid(f: Function, x: Value, alpha: float, beta: float) -> Value:
    return clip(f, f.fma(x, f.value(alpha, x.type), f.value(beta, x.type)), 0.0, 1.0)


def hard_swish(f: Function, x: Value) -> Value:
    return x * hard_sigmoid(f, x, 1 / 6, 0.5)


ACTIVATIONS: Mapping[str, Activation] = {
    "none": Activation(lambda f, x: x),
    "relu": Activation(lambda f, x: at_least(f, x, 0.0)),
    "clip": Activation(clip, 2, lambda low, high: min(max(0.0, low), high)),
    "leaky_relu": Activation(leaky_relu, 1),
    "hard_sigmoid": Activation(hard_sigmoid, 2, lambda alpha, beta: min(max(beta, 0.0), 1.0)),
    "hard_swish": Activation(hard_swish),
}
