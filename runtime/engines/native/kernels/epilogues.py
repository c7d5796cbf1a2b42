"""What is done to a register of results before it is stored: a residual added, an activation applied.

    activation       constants      y
    none                            x
    relu                            max(x, 0)
    clip             low, high      min(max(x, low), high)
    leaky_relu       alpha          x if x ≥ 0 else alpha·x
    hard_sigmoid     alpha, beta    min(max(alpha·x + beta, 0), 1)
    hard_swish                      x · hard_sigmoid(x, 1/6, 1/2)
    sigmoid, tanh
    swish                           x · sigmoid(x)
    elu              alpha          x if x ≥ 0 else alpha·(eˣ − 1)
    softplus, mish, gelu, gelu_tanh

NaN stays NaN in all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log
from typing import Literal

from ..emit import Function, Value
from . import vmath
from .vmath import at_least, at_most

__all__ = ["ACTIVATIONS", "Activation", "Epilogue", "Pooling", "pooled_pair"]

Pooling = Literal["", "max", "mean"]
"""Of the windows of 2×2 that lie side by side, after a convolution; none if empty."""

Emitter = Callable[..., Value]


@dataclass(frozen=True)
class Activation:
    """What it does to a register.

    Attributes:
        emit: `emit(f, x, *constants)`.
        constants: how many it takes.
        at_zero: `at_zero(*constants)` is its value at 0.
        long: so many instructions that it should stand in a kernel once, in a loop, not once per register.
    """

    emit: Emitter
    constants: int = 0
    at_zero: Callable[..., float] = lambda *_: 0.0
    long: bool = False


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
    def long(self) -> bool:
        """Should it stand in a kernel only once? See `Activation`."""
        return ACTIVATIONS[self.activation].long

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


def pooled_pair(f: Function, pool: Pooling, a: Value, b: Value) -> Value:
    """Two of a window's values as one: the greater, or their sum."""
    return vmath.maximum(f, a, b) if pool == "max" else a + b


def clip(f: Function, x: Value, low: float, high: float) -> Value:
    return at_most(f, at_least(f, x, low), high)


def leaky_relu(f: Function, x: Value, alpha: float) -> Value:
    return f.select(x < 0.0, x * alpha, x)


def hard_sigmoid(f: Function, x: Value, alpha: float, beta: float) -> Value:
    return clip(f, f.fma(x, f.value(alpha, x.type), f.value(beta, x.type)), 0.0, 1.0)


def hard_swish(f: Function, x: Value) -> Value:
    return x * hard_sigmoid(f, x, 1 / 6, 0.5)


def swish(f: Function, x: Value) -> Value:
    return x * vmath.sigmoid(f, x)


def elu(f: Function, x: Value, alpha: float) -> Value:
    return f.select(x < 0.0, vmath.expm1_below(f, x) * alpha, x)


ACTIVATIONS: Mapping[str, Activation] = {
    "none": Activation(lambda f, x: x),
    "relu": Activation(lambda f, x: at_least(f, x, 0.0)),
    "clip": Activation(clip, 2, lambda low, high: min(max(0.0, low), high)),
    "leaky_relu": Activation(leaky_relu, 1),
    "hard_sigmoid": Activation(hard_sigmoid, 2, lambda alpha, beta: min(max(beta, 0.0), 1.0)),
    "hard_swish": Activation(hard_swish),
    "sigmoid": Activation(vmath.sigmoid, at_zero=lambda: 0.5, long=True),
    "tanh": Activation(vmath.tanh, long=True),
    "swish": Activation(swish, long=True),
    "elu": Activation(elu, 1, long=True),
    "softplus": Activation(vmath.softplus, at_zero=lambda: log(2.0), long=True),
    "mish": Activation(vmath.mish, long=True),
    "gelu": Activation(vmath.gelu, long=True),
    "gelu_tanh": Activation(vmath.gelu_tanh, long=True),
}
