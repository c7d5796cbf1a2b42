"""Losses under Keras's names, each a few nodes added to the graph of a training step.

A loss object is called with a builder, the labels and the model's output, and returns the mean over all samples as a
scalar.
"""

from __future__ import annotations

import math
from typing import Any

import onnx_ir as ir

from ..runtime.builder import Builder
from ..runtime.errors import InvalidInput
from ..runtime.inference import value_type
from .naming import resolve, snake_case

FLOAT = ir.DataType.FLOAT
EPSILON = 1e-7
"""Probabilities are kept this far from 0 and 1 before a logarithm, as in Keras."""


class Loss:
    """Base of the losses: `per_sample` gives one number for each sample (and position), the loss is their mean.

    Attributes:
        sparse: labels are class numbers (int64) of one rank less than the output; otherwise they have the output's
        shape.
    """

    sparse = False
    name: str

    def __init__(self, name: str | None = None) -> None:
        self.name = name or snake_case(type(self).__name__)

    def per_sample(self, g: Builder, y_true: ir.Value, y_pred: ir.Value) -> ir.Value:
        """The loss of each sample, reduced over the last axis."""
        raise NotImplementedError

    def __call__(self, g: Builder, y_true: ir.Value, y_pred: ir.Value) -> ir.Value:
        """The mean loss as a scalar value of the graph."""
        return g.ReduceMean(self.per_sample(g, y_true, y_pred), keepdims=0)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {k: v for k, v in vars(self).items() if not k.startswith("_")}


class MeanSquaredError(Loss):
    """mean((y_true − y_pred)²)"""

    def per_sample(self, g: Builder, y_true: ir.Value, y_pred: ir.Value) -> ir.Value:
        difference = g.Sub(y_pred, y_true)
        return g.ReduceMean(g.Mul(difference, difference), [-1], keepdims=0)


class MeanAbsoluteError(Loss):
    """mean(|y_true − y_pred|)"""

    def per_sample(self, g: Builder, y_true: ir.Value, y_pred: ir.Value) -> ir.Value:
        return g.ReduceMean(g.Abs(g.Sub(y_pred, y_true)), [-1], keepdims=0)


class MeanAbsolutePercentageError(Loss):
    """100 · mean(|y_true − y_pred| / max(|y_true|, ε))"""

    def per_sample(self, g: Builder, y_true: ir.Value, y_pred: ir.Value) -> ir.Value:
        scale = g.Max(g.Abs(y_true), EPSILON)
        return g.Mul(g.ReduceMean(g.Div(g.Abs(g.Sub(y_pred, y_true)), scale), [-1], keepdims=0), 100.0)


class MeanSquaredLogarithmicError(Loss):
    """mean((log(1 + y_true) − log(1 + y_pred))²), negative values taken as ε"""

    def per_sample(self, g: Builder, y_true: ir.Value, y_pred: ir.Value) -> ir.Value:
        first, second = (g.Log(g.Add(g.Max(y, EPSILON), 1.0)) for y in (y_pred, y_true))
        difference = g.Sub(first, second)
        return g.ReduceMean(g.Mul(difference, difference), [-1], keepdims=0)


class Huber(Loss):
    """Quadratic up to `delta`, linear beyond: ½d² or delta·(|d| − ½delta)."""

    def __init__(self, delta: float = 1.0, name: str | None = None) -> None:
        super().__init__(name)
        self.delta = delta

    def per_sample(self, g: Builder, y_true: ir.Value, y_pred: ir.Value) -> ir.Value:
        size = g.Abs(g.Sub(y_pred, y_true))
        inner = g.Min(size, self.delta)
        loss = g.Mul(inner, g.Sub(size, g.Mul(inner, 0.5)))
        return g.ReduceMean(loss, [-1], keepdims=0)


class LogCosh(Loss):
    """mean(log(cosh(y_pred − y_true))), computed as d + softplus(−2d) − log 2"""

    def per_sample(self, g: Builder, y_true: ir.Value, y_pred: ir.Value) -> ir.Value:
        d = g.Sub(y_pred, y_true)
        loss = g.Sub(g.Add(d, g.Softplus(g.Mul(d, -2.0))), math.log(2.0))
        return g.ReduceMean(loss, [-1], keepdims=0)


class Poisson(Loss):
    """mean(y_pred − y_true · log(y_pred))"""

    def per_sample(self, g: Builder, y_true: ir.Value, y_pred: ir.Value) -> ir.Value:
        return g.ReduceMean(g.Sub(y_pred, g.Mul(y_true, g.Log(g.Add(y_pred, EPSILON)))), [-1], keepdims=0)


class KLDivergence(Loss):
    """Σ y_true · log(y_true / y_pred), both kept in [ε, 1]"""

    def per_sample(self, g: Builder, y_true: ir.Value, y_pred: ir.Value) -> ir.Value:
        true, pred = (g.Clip(y, EPSILON, 1.0) for y in (y_true, y_pred))
        return g.ReduceSum(g.Mul(true, g.Log(g.Div(true, pred))), [-1], keepdims=0)


class Hinge(Loss):
    """mean(max(1 − y_true · y_pred, 0)) with labels −1 and 1; a batch of zeros and ones alone is taken as those"""

    def per_sample(self, g: Builder, y_true: ir.Value, y_pred: ir.Value) -> ir.Value:
        binary = g.Equal(g.ReduceMin(g.Cast(g.Equal(y_true, g.Mul(y_true, y_true)), to=int(FLOAT)), keepdims=0), 1.0)
        signs = g.Where(binary, g.Sub(g.Mul(y_true, 2.0), 1.0), y_true)
        margin = g.Sub(g.like(1.0, y_pred), g.Mul(signs, y_pred))
        return g.ReduceMean(g.Relu(margin), [-1], keepdims=0)


class CosineSimilarity(Loss):
    """−cos of the angle between y_true and y_pred"""

    def per_sample(self, g: Builder, y_true: ir.Value, y_pred: ir.Value) -> ir.Value:
        true, pred = (g.Div(y, g.Sqrt(g.Max(g.ReduceSumSquare(y, [-1]), EPSILON**2))) for y in (y_true, y_pred))
        return g.Neg(g.ReduceSum(g.Mul(true, pred), [-1], keepdims=0))


class _Crossentropy(Loss):
    """`from_logits`: the model's output has not been through softmax or sigmoid.

    Where the output comes straight from that activation, the loss is computed from the activation's input: the same
    value, without the loss of digits.
    """

    def __init__(self, from_logits: bool = False, label_smoothing: float = 0.0, name: str | None = None) -> None:
        super().__init__(name)
        if not 0.0 <= label_smoothing < 1.0:
            raise InvalidInput(f"label_smoothing is {label_smoothing}; expected a number in [0, 1)")
        self.from_logits = from_logits
        self.label_smoothing = label_smoothing

    def _logits(self, y_pred: ir.Value, activation: str) -> ir.Value | None:
        node = y_pred.producer()
        if self.from_logits:
            return y_pred
        if node is None or node.op_type != activation:
            return None
        if activation == "Softmax" and not _is_last_axis(node):
            return None
        return node.inputs[0]


class CategoricalCrossentropy(_Crossentropy):
    """−Σ y_true · log(y_pred) over the last axis, labels one-hot (or probabilities)"""

    def per_sample(self, g: Builder, y_true: ir.Value, y_pred: ir.Value) -> ir.Value:
        if self.label_smoothing:
            classes = _classes(y_pred)
            y_true = g.Add(g.Mul(y_true, 1.0 - self.label_smoothing), self.label_smoothing / classes)
        return g.Neg(g.ReduceSum(g.Mul(y_true, _log_probabilities(g, self, y_pred)), [-1], keepdims=0))


class SparseCategoricalCrossentropy(_Crossentropy):
    """−log(y_pred[label]), labels as class numbers; `ignore_class` marks labels that do not count."""

    sparse = True

    def __init__(self, from_logits: bool = False, ignore_class: int | None = None, name: str | None = None) -> None:
        super().__init__(from_logits, 0.0, name)
        self.ignore_class = ignore_class

    def __call__(self, g: Builder, y_true: ir.Value, y_pred: ir.Value) -> ir.Value:
        logits = self._logits(y_pred, "Softmax")
        if logits is not None:
            return g.SoftmaxCrossEntropyLoss(_classes_second(g, logits), y_true, ignore_index=self.ignore_class)
        probabilities = _log_probabilities(g, self, y_pred)
        return g.NegativeLogLikelihoodLoss(_classes_second(g, probabilities), y_true, ignore_index=self.ignore_class)

    def get_config(self) -> dict[str, Any]:
        return {"from_logits": self.from_logits, "ignore_class": self.ignore_class, "name": self.name}


class BinaryCrossentropy(_Crossentropy):
    """−mean(y_true · log(y_pred) + (1 − y_true) · log(1 − y_pred))"""

    def per_sample(self, g: Builder, y_true: ir.Value, y_pred: ir.Value) -> ir.Value:
        if self.label_smoothing:
            y_true = g.Add(g.Mul(y_true, 1.0 - self.label_smoothing), 0.5 * self.label_smoothing)
        logits = self._logits(y_pred, "Sigmoid")
        if logits is not None:
            loss = g.Sub(g.Softplus(logits), g.Mul(y_true, logits))
        else:
            kept = g.Clip(y_pred, EPSILON, 1.0 - EPSILON)
            one = g.like(1.0, kept)
            chosen = g.Mul(y_true, g.Log(kept))
            loss = g.Neg(g.Add(chosen, g.Mul(g.Sub(one, y_true), g.Log(g.Sub(one, kept)))))
        return g.ReduceMean(loss, [-1], keepdims=0)


def _log_probabilities(g: Builder, loss: _Crossentropy, y_pred: ir.Value) -> ir.Value:
    logits = loss._logits(y_pred, "Softmax")
    if logits is not None:
        return g.LogSoftmax(logits, axis=-1)
    scaled = g.Div(y_pred, g.ReduceSum(y_pred, [-1]))
    return g.Log(g.Clip(scaled, EPSILON, 1.0 - EPSILON))


def _is_last_axis(node: ir.Node) -> bool:
    axis = node.attributes["axis"].value if "axis" in node.attributes else -1
    _, shape = value_type(node.outputs[0])
    return axis == -1 or (shape is not None and axis == len(shape) - 1)


def _classes(y_pred: ir.Value) -> int:
    _, shape = value_type(y_pred)
    size = shape[-1] if shape else None
    if not isinstance(size, int):
        raise InvalidInput(
            f"label smoothing needs a known number of classes; the output {y_pred.name!r} has shape {shape}"
        )
    return size


def _classes_second(g: Builder, scores: ir.Value) -> ir.Value:
    """Scores [N, …, C] as ONNX's losses want them: [N, C, …]."""
    _, shape = value_type(scores)
    rank = 2 if shape is None else len(shape)
    return scores if rank == 2 else g.Transpose(scores, perm=[0, rank - 1, *range(1, rank - 1)])


_LOSSES: tuple[type[Loss], ...] = (
    MeanSquaredError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredLogarithmicError,
    Huber,
    LogCosh,
    Poisson,
    KLDivergence,
    Hinge,
    CosineSimilarity,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
    BinaryCrossentropy,
)
NAMES: dict[str, type[Loss]] = {
    **{snake_case(cls.__name__): cls for cls in _LOSSES},
    "mse": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "mape": MeanAbsolutePercentageError,
    "msle": MeanSquaredLogarithmicError,
}


def get(loss: str | Loss | dict[str, Any]) -> Loss:
    """A loss by name, by its saved configuration, or as it is.

    Raises:
        InvalidInput: for an unknown name; the message lists the known ones.
    """
    made = resolve(loss, NAMES, "loss")
    if not isinstance(made, Loss):
        raise InvalidInput(
            f"loss {loss!r} is not a loss; expected a name or an instance of a class of striate.trainer.losses"
        )
    return made


def serialize(loss: Loss) -> dict[str, Any]:
    """What `get` makes the same loss of."""
    return {"class_name": type(loss).__name__, "config": loss.get_config()}
