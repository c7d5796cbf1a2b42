"""Activation functions by Keras's names: each adds its nodes to a graph, `relu(g, x) -> value`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import onnx_ir as ir

from ..runtime.builder import Builder
from ..runtime.errors import InvalidInput
from .naming import find

__all__ = [
    "apply", "elu", "exponential", "gelu", "get", "hard_sigmoid", "hard_silu", "is_named", "leaky_relu", "linear",
    "log_softmax", "mish", "relu", "relu6", "scaled_tanh", "selu", "serialize", "sigmoid", "silu", "softmax",
    "softplus", "softsign", "tanh",
]  # fmt: skip

Activation = Callable[..., ir.Value]


def linear(g: Builder, x: ir.Value) -> ir.Value:
    """x"""
    return x


def relu(g: Builder, x: ir.Value) -> ir.Value:
    """max(x, 0)"""
    return g.Relu(x)


def relu6(g: Builder, x: ir.Value) -> ir.Value:
    """min(max(x, 0), 6)"""
    return g.Clip(x, 0.0, 6.0)


def sigmoid(g: Builder, x: ir.Value) -> ir.Value:
    """1 / (1 + exp(-x))"""
    return g.Sigmoid(x)


def tanh(g: Builder, x: ir.Value) -> ir.Value:
    """tanh(x)"""
    return g.Tanh(x)


def scaled_tanh(g: Builder, x: ir.Value) -> ir.Value:
    """1.7159 · tanh(2x / 3): ±1 at ±1, where it bends most (LeCun 1989; LeCun et al. 1998)"""
    return g.Mul(g.Tanh(g.Mul(x, 2 / 3)), 1.7159)


def softmax(g: Builder, x: ir.Value, axis: int = -1) -> ir.Value:
    """exp(x) / Σ exp(x) along `axis`"""
    return g.Softmax(x, axis=axis)


def log_softmax(g: Builder, x: ir.Value, axis: int = -1) -> ir.Value:
    """x - log Σ exp(x) along `axis`"""
    return g.LogSoftmax(x, axis=axis)


def softplus(g: Builder, x: ir.Value) -> ir.Value:
    """log(1 + exp(x))"""
    return g.Softplus(x)


def softsign(g: Builder, x: ir.Value) -> ir.Value:
    """x / (1 + |x|)"""
    return g.Softsign(x)


def elu(g: Builder, x: ir.Value, alpha: float = 1.0) -> ir.Value:
    """x above 0, alpha · (exp(x) - 1) below"""
    return g.Elu(x, alpha=float(alpha))


def selu(g: Builder, x: ir.Value) -> ir.Value:
    """The self-normalising scaled ELU (Klambauer et al. 2017)."""
    return g.Selu(x)


def gelu(g: Builder, x: ir.Value) -> ir.Value:
    """x · Φ(x), Φ the distribution function of the unit normal (Hendrycks & Gimpel 2016)"""
    return g.Gelu(x)


def silu(g: Builder, x: ir.Value) -> ir.Value:
    """x · sigmoid(x), also called swish"""
    return g.Mul(x, g.Sigmoid(x))


def hard_sigmoid(g: Builder, x: ir.Value) -> ir.Value:
    """min(max(x / 6 + 1/2, 0), 1)"""
    return g.HardSigmoid(x, alpha=1 / 6, beta=0.5)


def hard_silu(g: Builder, x: ir.Value) -> ir.Value:
    """x · hard_sigmoid(x), also called hard swish (Howard et al. 2019)"""
    return g.HardSwish(x)


def leaky_relu(g: Builder, x: ir.Value, negative_slope: float = 0.2) -> ir.Value:
    """x above 0, negative_slope · x below"""
    return g.LeakyRelu(x, alpha=float(negative_slope))


def mish(g: Builder, x: ir.Value) -> ir.Value:
    """x · tanh(softplus(x)) (Misra 2019)"""
    return g.Mish(x)


def exponential(g: Builder, x: ir.Value) -> ir.Value:
    """exp(x)"""
    return g.Exp(x)


_FUNCTIONS: tuple[Activation, ...] = (
    linear, relu, relu6, sigmoid, tanh, scaled_tanh, softmax, log_softmax, softplus, softsign, elu, selu, gelu, silu,
    hard_sigmoid, hard_silu, leaky_relu, mish, exponential,
)  # fmt: skip
_TABLE: dict[str, Activation] = {f.__name__: f for f in _FUNCTIONS}
_TABLE |= {"swish": silu, "hard_swish": hard_silu}
_ALONG_AXIS = {softmax, log_softmax}


def get(identifier: Any) -> Any:
    """An activation from its name, a configuration, a function `f(g, x)`, or a layer without weights; None is `linear`.

    Raises:
        InvalidInput: for anything else.
    """
    if identifier is None:
        return linear
    if isinstance(identifier, str):
        return find(identifier, _TABLE, "activation")
    if isinstance(identifier, Mapping):
        from .layers import deserialize

        return deserialize(identifier)
    if not callable(identifier):
        raise InvalidInput(
            f"activation {identifier!r} does not fit; expected a function or one of: {', '.join(_TABLE)}"
        )
    return identifier


def is_named(activation: Any) -> bool:
    """Whether this is one of the functions above, whose meaning does not depend on the order of the dimensions."""
    return activation in _FUNCTIONS


def apply(activation: Any, g: Builder, x: ir.Value, axis: int = -1) -> ir.Value:
    """Adds the activation of `x`; `axis` is where the dimension is that softmax runs along."""
    if activation in _ALONG_AXIS:
        return activation(g, x, axis)
    if not hasattr(activation, "emit"):
        return activation(g, x)
    if type(activation).build is not _unbuilt():
        raise InvalidInput(f"layer {activation.name!r} has weights: add it as a layer of its own, not as an activation")
    return activation.emit(g, x)


def serialize(activation: Any) -> Any:
    """The name or configuration that `get` turns back into this activation.

    Raises:
        InvalidInput: for a function of the user's, which cannot be written down.
    """
    if is_named(activation):
        return activation.__name__
    if not hasattr(activation, "emit"):
        raise InvalidInput(f"activation {activation!r} cannot be saved; use one of: {', '.join(_TABLE)}, or a layer")
    return activation.serialize()


def _unbuilt() -> Any:
    from .layers import Layer

    return Layer.build
