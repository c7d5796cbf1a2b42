"""Metrics under Keras's names, as graph nodes.

Every metric is a ratio of two sums over a batch; over an epoch both are added up before dividing, so the last, smaller
batch counts for what it is, and precision and recall are exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from ..runtime.builder import Builder
from ..runtime.inference import value_type
from . import losses
from .losses import Loss
from .naming import resolve, snake_case

FLOAT = int(ir.DataType.FLOAT)


class Metric:
    """Base: `parts` returns numerator and denominator of a batch as scalar float values of the graph."""

    def __init__(self, name: str | None = None) -> None:
        self.name = name or snake_case(type(self).__name__)

    def parts(self, g: Builder, y_true: ir.Value, y_pred: ir.Value) -> tuple[ir.Value, ir.Value]:
        """Numerator and denominator over the batch."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return dict(vars(self))


class _Share(Metric):
    """The share of entries for which `hits` is true."""

    def hits(self, g: Builder, y_true: ir.Value, y_pred: ir.Value) -> ir.Value:
        raise NotImplementedError

    def parts(self, g: Builder, y_true: ir.Value, y_pred: ir.Value) -> tuple[ir.Value, ir.Value]:
        hits = g.Cast(self.hits(g, y_true, y_pred), to=FLOAT)
        return g.ReduceSum(hits, keepdims=0), g.Cast(g.Size(hits), to=FLOAT)


class SparseCategoricalAccuracy(_Share):
    """How often the largest output is at the class number."""

    def hits(self, g: Builder, y_true: ir.Value, y_pred: ir.Value) -> ir.Value:
        return g.Equal(g.ArgMax(y_pred, axis=-1, keepdims=0), y_true)


class CategoricalAccuracy(_Share):
    """How often the largest output is where the largest label is."""

    def hits(self, g: Builder, y_true: ir.Value, y_pred: ir.Value) -> ir.Value:
        return g.Equal(*(g.ArgMax(y, axis=-1, keepdims=0) for y in (y_pred, y_true)))


class SparseTopKCategoricalAccuracy(_Share):
    """How often the class number is among the `k` largest outputs."""

    def __init__(self, k: int = 5, name: str | None = None) -> None:
        super().__init__(name)
        self.k = k

    def hits(self, g: Builder, y_true: ir.Value, y_pred: ir.Value) -> ir.Value:
        own = g.GatherElements(y_pred, g.Unsqueeze(y_true, [-1]), axis=-1)
        above = g.ReduceSum(g.Cast(g.Greater(y_pred, own), to=FLOAT), [-1], keepdims=0)
        return g.Less(above, float(self.k))


class BinaryAccuracy(_Share):
    """How often output and label are on the same side of `threshold`."""

    def __init__(self, threshold: float = 0.5, name: str | None = None) -> None:
        super().__init__(name)
        self.threshold = threshold

    def hits(self, g: Builder, y_true: ir.Value, y_pred: ir.Value) -> ir.Value:
        return g.Equal(*(g.Greater(y, self.threshold) for y in (y_pred, y_true)))


class _TruePositives(Metric):
    """True positives over something, for outputs and labels in [0, 1]."""

    def __init__(self, threshold: float = 0.5, name: str | None = None) -> None:
        super().__init__(name)
        self.threshold = threshold

    def parts(self, g: Builder, y_true: ir.Value, y_pred: ir.Value) -> tuple[ir.Value, ir.Value]:
        true, pred = (g.Cast(g.Greater(y, self.threshold), to=FLOAT) for y in (y_true, y_pred))
        return g.ReduceSum(g.Mul(true, pred), keepdims=0), g.ReduceSum(self.base(true, pred), keepdims=0)

    def base(self, true: ir.Value, pred: ir.Value) -> ir.Value:
        raise NotImplementedError


class Precision(_TruePositives):
    """True positives over all predicted positives."""

    def base(self, true: ir.Value, pred: ir.Value) -> ir.Value:
        return pred


class Recall(_TruePositives):
    """True positives over all positives."""

    def base(self, true: ir.Value, pred: ir.Value) -> ir.Value:
        return true


class LossMetric(Metric):
    """Any loss as a metric: `MeanSquaredError`, `MeanAbsoluteError`, …"""

    def __init__(self, loss: str | Loss | dict[str, Any], name: str | None = None) -> None:
        self.loss = losses.get(loss)
        super().__init__(name or self.loss.name)

    def parts(self, g: Builder, y_true: ir.Value, y_pred: ir.Value) -> tuple[ir.Value, ir.Value]:
        count = g.Cast(g.Gather(g.shape_of(y_pred), np.int64(0)), to=FLOAT)
        return g.Mul(self.loss(g, y_true, y_pred), count), count

    def get_config(self) -> dict[str, Any]:
        return {"loss": losses.serialize(self.loss), "name": self.name}


_METRICS: tuple[type[Metric], ...] = (
    SparseCategoricalAccuracy,
    CategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    BinaryAccuracy,
    Precision,
    Recall,
    LossMetric,
)
NAMES: dict[str, type[Metric]] = {snake_case(cls.__name__): cls for cls in _METRICS}
ACCURACY = ("accuracy", "acc")
"""The accuracy that fits the loss and the output, as in Keras: sparse, binary or categorical."""


def get(metric: str | Metric | dict[str, Any]) -> str | Metric:
    """A metric by name, by configuration, or as it is; `accuracy` stays a name until loss and output are known.

    Raises:
        InvalidInput: for an unknown name; the message lists the known ones.
    """
    if isinstance(metric, str) and metric in ACCURACY:
        return metric
    if isinstance(metric, str) and metric in losses.NAMES:
        return LossMetric(metric, name=metric)
    known: dict[str, Any] = {**dict.fromkeys(ACCURACY), **NAMES}
    found: Metric = resolve(metric, known, "metric")
    return found


def fitting(metric: str | Metric, loss: Loss, y_pred: ir.Value) -> Metric:
    """The metric itself; for the name `accuracy` the one that fits."""
    return metric if isinstance(metric, Metric) else _accuracy(loss, y_pred)(name=metric)


def _accuracy(loss: Loss, y_pred: ir.Value) -> type[Metric]:
    _, shape = value_type(y_pred)
    if loss.sparse:
        return SparseCategoricalAccuracy
    return BinaryAccuracy if shape and shape[-1] == 1 else CategoricalAccuracy


def serialize(metric: str | Metric) -> str | dict[str, Any]:
    """What `get` makes the same metric of."""
    return metric if isinstance(metric, str) else {"class_name": type(metric).__name__, "config": metric.get_config()}
