"""Optimizers under Keras's names and defaults: each writes its update rule as nodes of the training graph.

`learning_rate` is an input of that graph, so changing it between steps costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import onnx_ir as ir

from ..runtime.builder import Builder
from ..runtime.errors import InvalidInput
from .naming import resolve
from .schedules import Schedule

Slots = dict[str, ir.Value]


class Optimizer:
    """Base of the optimizers.

    Args:
        learning_rate: a number, or a schedule (step → number).
        weight_decay: decoupled decay: each step first takes learning_rate · weight_decay · w off every kernel w.
        clipnorm: bound on the L2 norm of each gradient. clipvalue: bound on each entry's size.
        global_clipnorm: bound on the L2 norm of all gradients together.
    """

    slots: Mapping[str, float] = MappingProxyType({})
    """State kept for every parameter: name → initial value."""

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        name: str | None = None,
    ) -> None:
        self.name = name or type(self).__name__.lower()
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.clipnorm = clipnorm
        self.clipvalue = clipvalue
        self.global_clipnorm = global_clipnorm
        if sum(c is not None for c in (clipnorm, clipvalue, global_clipnorm)) > 1:
            raise InvalidInput("only one of clipnorm, clipvalue and global_clipnorm may be given")
        if not isinstance(learning_rate, Schedule) and not learning_rate > 0:
            raise InvalidInput(f"learning_rate is {learning_rate}; expected a positive number or a schedule")

    def rate(self, step: int) -> float:
        """The learning rate of training step `step`, counted from 0."""
        return self.learning_rate(step) if isinstance(self.learning_rate, Schedule) else float(self.learning_rate)

    def prepare(self, g: Builder, rate: ir.Value, step: ir.Value) -> Any:
        """What all parameters share in one step; by default the learning rate."""
        return rate

    def update(self, g: Builder, shared: Any, w: ir.Value, dw: ir.Value, slots: Slots) -> tuple[ir.Value, Slots]:
        """The new parameter and the new slots."""
        raise NotImplementedError

    def decay(self, g: Builder, rate: ir.Value, w: ir.Value) -> ir.Value:
        """The parameter after decoupled weight decay."""
        return w if not self.weight_decay else g.Mul(w, g.Sub(g.like(1.0, w), g.Mul(rate, self.weight_decay)))

    def clip(self, g: Builder, grads: Sequence[ir.Value]) -> list[ir.Value]:
        """The gradients within the bounds given to the constructor."""
        if self.clipvalue is not None:
            return [g.Clip(d, -self.clipvalue, self.clipvalue) for d in grads]
        if self.clipnorm is not None:
            return [_scaled_to(g, d, _square_sum(g, [d]), self.clipnorm) for d in grads]
        if self.global_clipnorm is not None:
            total = _square_sum(g, grads)
            return [_scaled_to(g, d, total, self.global_clipnorm) for d in grads]
        return list(grads)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments; a schedule as its own configuration."""
        config = {name: value for name, value in vars(self).items() if name != "slots"}
        if isinstance(self.learning_rate, Schedule):
            config["learning_rate"] = self.learning_rate.serialize()
        return config


class SGD(Optimizer):
    """With momentum: m ← momentum·m − rate·g; w ← w + m (Nesterov: w + momentum·m − rate·g)."""

    def __init__(
        self, learning_rate: float | Schedule = 0.01, momentum: float = 0.0, nesterov: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        if not 0.0 <= momentum <= 1.0:
            raise InvalidInput(f"momentum is {momentum}; expected a number in [0, 1]")
        self.momentum = momentum
        self.nesterov = nesterov
        self.slots = {"momentum": 0.0} if momentum else {}

    def update(self, g: Builder, shared: Any, w: ir.Value, dw: ir.Value, slots: Slots) -> tuple[ir.Value, Slots]:
        change = g.Mul(dw, shared)
        if not self.momentum:
            return g.Sub(w, change), {}
        m = g.Sub(g.Mul(slots["momentum"], self.momentum), change)
        ahead = g.Sub(g.Mul(m, self.momentum), change) if self.nesterov else m
        return g.Add(w, ahead), {"momentum": m}


class RMSprop(Optimizer):
    """v ← rho·v + (1 − rho)·g²; w ← w − rate·g / √(v + ε), centred or with momentum if wanted (Hinton's lecture 6e)."""

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        self.rho, self.momentum, self.epsilon, self.centered = rho, momentum, epsilon, centered
        kept = {"velocity": True, "average_gradient": centered, "momentum": bool(momentum)}
        self.slots = {name: 0.0 for name, wanted in kept.items() if wanted}

    def update(self, g: Builder, shared: Any, w: ir.Value, dw: ir.Value, slots: Slots) -> tuple[ir.Value, Slots]:
        new = {"velocity": _average(g, slots["velocity"], g.Mul(dw, dw), self.rho)}
        spread = new["velocity"]
        if self.centered:
            new["average_gradient"] = mean = _average(g, slots["average_gradient"], dw, self.rho)
            spread = g.Sub(spread, g.Mul(mean, mean))
        change = g.Div(g.Mul(dw, shared), g.Sqrt(g.Add(spread, self.epsilon)))
        if self.momentum:
            new["momentum"] = change = g.Add(g.Mul(slots["momentum"], self.momentum), change)
        return g.Sub(w, change), new


class Adagrad(Optimizer):
    """a ← a + g²; w ← w − rate·g / √(a + ε) (Duchi et al. 2011)."""

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        self.initial_accumulator_value, self.epsilon = initial_accumulator_value, epsilon
        self.slots = {"accumulator": initial_accumulator_value}

    def update(self, g: Builder, shared: Any, w: ir.Value, dw: ir.Value, slots: Slots) -> tuple[ir.Value, Slots]:
        total = g.Add(slots["accumulator"], g.Mul(dw, dw))
        change = g.Div(g.Mul(dw, shared), g.Sqrt(g.Add(total, self.epsilon)))
        return g.Sub(w, change), {"accumulator": total}


class Adam(Optimizer):
    """m, v: running means of g and g²; w ← w − rate·√(1 − β₂ᵗ)/(1 − β₁ᵗ) · m / (√v + ε) (Kingma & Ba 2015)."""

    slots = MappingProxyType({"momentum": 0.0, "velocity": 0.0})

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def prepare(self, g: Builder, rate: ir.Value, step: ir.Value) -> Any:
        one = g.like(1.0, rate)
        t = g.Add(g.Cast(step, to=int(rate.dtype or ir.DataType.FLOAT)), 1.0)
        first, second = (g.Sub(one, g.Pow(g.like(beta, rate), t)) for beta in (self.beta_1, self.beta_2))
        return g.Div(g.Mul(rate, g.Sqrt(second)), first)

    def update(self, g: Builder, shared: Any, w: ir.Value, dw: ir.Value, slots: Slots) -> tuple[ir.Value, Slots]:
        m = _average(g, slots["momentum"], dw, self.beta_1)
        v = _average(g, slots["velocity"], g.Mul(dw, dw), self.beta_2)
        change = g.Div(g.Mul(m, shared), g.Add(g.Sqrt(v), self.epsilon))
        return g.Sub(w, change), {"momentum": m, "velocity": v}


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    def __init__(self, learning_rate: float | Schedule = 0.001, weight_decay: float = 0.004, **kwargs: Any) -> None:
        super().__init__(learning_rate, weight_decay=weight_decay, **kwargs)


def _average(g: Builder, old: ir.Value, new: ir.Value, keep: float) -> ir.Value:
    """keep·old + (1 − keep)·new"""
    return g.Add(g.Mul(old, keep), g.Mul(new, 1.0 - keep))


def _square_sum(g: Builder, values: Sequence[ir.Value]) -> ir.Value:
    squares = [g.ReduceSumSquare(v, keepdims=0) for v in values]
    return squares[0] if len(squares) == 1 else g.Sum(*squares)


def _scaled_to(g: Builder, d: ir.Value, square_sum: ir.Value, bound: float) -> ir.Value:
    """d · bound / max(‖·‖, bound)"""
    return g.Mul(d, g.Div(g.like(bound, d), g.Max(g.Sqrt(square_sum), bound)))


_OPTIMIZERS: tuple[type[Optimizer], ...] = (SGD, RMSprop, Adagrad, Adam, AdamW)
NAMES: dict[str, type[Optimizer]] = {cls.__name__.lower(): cls for cls in _OPTIMIZERS}


def get(optimizer: str | Optimizer | dict[str, Any]) -> Optimizer:
    """An optimizer by name, by its saved configuration, or as it is.

    Raises:
        InvalidInput: for an unknown name; the message lists the known ones.
    """
    if isinstance(optimizer, str):
        optimizer = {"class_name": optimizer, "config": {}}
    if isinstance(optimizer, dict):
        config = dict(optimizer["config"])
        if isinstance(config.get("learning_rate"), dict):
            config["learning_rate"] = Schedule.deserialize(config["learning_rate"])
        optimizer = resolve({"class_name": optimizer["class_name"].lower(), "config": config}, NAMES, "optimizer")
    if not isinstance(optimizer, Optimizer):
        raise InvalidInput(f"optimizer {optimizer!r} is neither a name nor an Optimizer")
    return optimizer


def serialize(optimizer: Optimizer) -> dict[str, Any]:
    """What `get` makes the same optimizer of."""
    return {"class_name": type(optimizer).__name__, "config": optimizer.get_config()}
