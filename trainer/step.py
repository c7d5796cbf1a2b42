"""The graph of one training step, made from the inference graph by a list of transforms: forward → loss → backward →
update.

One run of it is one step. Parameters, optimizer state and running statistics are inputs whose arrays receive the
matching outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import onnx_ir as ir

from ..runtime.autodiff import gradients
from ..runtime.builder import Builder, attributes
from ..runtime.errors import InvalidInput
from ..runtime.inference import constant, dims
from ..runtime.ops import GRAD_DOMAIN
from ..runtime.passes import cleanup, fold, transposes
from ..runtime.random import derive
from .layers.regularization import PER_SAMPLE
from .losses import Loss
from .metrics import Metric, fitting
from .optimizers import Optimizer
from .regularizers import Regularizer

LOSS = "loss"
RATE = "learning_rate"
STEP = "step"
LABELS = "labels"

MetricsPerOutput = list[list[str | Metric]]


@dataclass
class StepGraph:
    """A training or evaluation graph on its way through the transforms, and what the loop must know of it.

    Attributes:
        labels: for each output of the model the input that takes its labels.
        donate: input → output written over it.
        slots: optimizer state: input name → (parameter name, initial value).
        metrics: metric name → names of the outputs with its numerator and denominator.
    """

    model: ir.Model
    losses: list[Loss]
    metrics_wanted: MetricsPerOutput
    outputs: list[ir.Value] = field(default_factory=list)
    labels: list[ir.Value] = field(default_factory=list)
    donate: dict[str, str] = field(default_factory=dict)
    slots: dict[str, tuple[str, float]] = field(default_factory=dict)
    metrics: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def graph(self) -> ir.Graph:
        return self.model.graph

    def add_input(self, name: str, dtype: ir.DataType, shape: Sequence[int | str | None]) -> ir.Value:
        """A new input of the graph."""
        value = ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(shape))
        self.graph.inputs.append(value)
        return value

    def add_output(self, value: ir.Value, name: str) -> str:
        """Makes `value` an output of the graph under the given name."""
        g = Builder(self.graph)
        named = g.Identity(value) if value.is_graph_output() or value.producer() is None else value
        named.name = name
        self.graph.outputs.append(named)
        return name


def prediction_graph(model: ir.Model, parameters: Collection[str]) -> StepGraph:
    """The inference graph with its parameters as inputs, so that training need not rebuild it."""
    return _transform(model, [], [], [_parameters_to_inputs(parameters), _tidy])


def evaluation_graph(
    model: ir.Model,
    parameters: Collection[str],
    losses: list[Loss],
    metrics: MetricsPerOutput,
    regularizers: Mapping[str, Regularizer] = MappingProxyType({}),
) -> StepGraph:
    """Inference, loss and metrics; what regularizers add belongs to the loss here, too."""
    transforms = [_parameters_to_inputs(parameters), _tidy, _add_labels, _add_loss(regularizers), _add_metrics]
    return _transform(model, losses, metrics, transforms)


def training_graph(
    model: ir.Model,
    parameters: Collection[str],
    losses: list[Loss],
    metrics: MetricsPerOutput,
    optimizer: Optimizer,
    *,
    trainable: Sequence[str],
    frozen: Collection[str],
    regularizers: Mapping[str, Regularizer],
    seed: int = 0,
) -> StepGraph:
    """One whole training step.

    Args:
        model: the inference graph; `parameters` are those of its initializers that are the model's weights.
        trainable: names of the parameters to be updated.
        frozen: parameters of frozen layers: a batch normalisation among them uses its running statistics and keeps
        them. regularizers: parameter name → what it adds to the loss.
        seed: of the masks of Dropout, which differ from step to step.
    """
    transforms = [
        _parameters_to_inputs(parameters),
        _tidy,
        _add_step_inputs,
        _batchnorm_to_training(frozen),
        _dropout_to_training(seed),
        _add_labels,
        _add_loss(regularizers),
        _add_metrics,
        _add_update(optimizer, trainable),
    ]
    return _transform(model, losses, metrics, transforms)


Transform = Callable[[StepGraph], None]


def _transform(
    model: ir.Model, losses: list[Loss], metrics: MetricsPerOutput, transforms: list[Transform]
) -> StepGraph:
    model = model.clone()
    model.graph.opset_imports.setdefault(GRAD_DOMAIN, 1)
    step = StepGraph(model, losses, metrics)
    for transform in transforms:
        transform(step)
    return step


def _parameters_to_inputs(parameters: Collection[str]) -> Transform:
    def transform(step: StepGraph) -> None:
        for name in parameters:
            value = step.graph.initializers.pop(name)
            value.const_value = None
            step.graph.inputs.append(value)

    return transform


def _tidy(step: StepGraph) -> None:
    """Gradients of transposes that cancel are not worth building."""
    for tidy in (fold.run, transposes.run, cleanup.run):
        tidy(step.model)
    step.outputs = list(step.graph.outputs)


def _add_step_inputs(step: StepGraph) -> None:
    step.add_input(RATE, ir.DataType.FLOAT, [])
    step.add_input(STEP, ir.DataType.INT64, [])


def _batchnorm_to_training(frozen: Collection[str]) -> Transform:
    """Normalise by the statistics of the batch and write the running ones over their inputs.

    A layer called several times moves them once for each call, one after the other.
    """

    def transform(step: StepGraph) -> None:
        latest: dict[ir.Value, ir.Value] = {}
        for node in list(step.graph):
            if node.op_type != "BatchNormalization" or node.domain:
                continue
            mean, variance = node.inputs[3:5]
            if mean is None or variance is None or mean.name in frozen or not mean.is_graph_input():
                continue
            g = Builder(step.graph, before=node)
            kept = {name: attributes(node)[name] for name in ("epsilon", "momentum") if name in node.attributes}
            moved = [latest.get(v, v) for v in (mean, variance)]
            new = g.BatchNormalization(*node.inputs[:3], *moved, outputs=3, training_mode=1, name=node.name, **kept)
            node.outputs[0].replace_all_uses_with(new[0], replace_graph_outputs=True)
            step.graph.remove(node, safe=True)
            latest |= {mean: new[1], variance: new[2]}
        for old, running in latest.items():
            step.donate[str(old.name)] = step.add_output(running, f"{old.name}:new")

    return transform


def _dropout_to_training(seed: int) -> Transform:
    """Y = X · mask / (1 − ratio), the mask drawn anew from the seed, the node's name and the step's number."""

    def transform(step: StepGraph) -> None:
        count = _input(step, STEP)
        for node in list(step.graph):
            if node.op_type != "Dropout" or node.domain:
                continue
            ratio = constant(node.inputs[1]) if len(node.inputs) > 1 else np.float32(0.5)
            if ratio is None:
                raise InvalidInput(f"node {node.name!r} (Dropout): its ratio must be a constant to train")
            g = Builder(step.graph, before=node)
            x = node.inputs[0]
            assert x is not None
            assert x.dtype is not None
            own = attributes(node).get("seed", seed)
            shape = _one_per_sample(g, x) if PER_SAMPLE in node.metadata_props else g.shape_of(x)
            drawn = g.Uniform(shape, count, seed=derive(own, "dropout", node.name or ""), dtype=int(x.dtype))
            mask = g.Cast(g.GreaterOrEqual(drawn, float(ratio)), to=int(x.dtype))
            kept = g.Mul(x, g.Mul(mask, 1.0 / (1.0 - float(ratio))))
            node.outputs[0].replace_all_uses_with(kept, replace_graph_outputs=True)
            step.graph.remove(node, safe=True)

    return transform


def _one_per_sample(g: Builder, x: ir.Value) -> ir.Value:
    """The shape [batch, 1, 1, …] of the rank of x."""
    assert x.shape is not None
    return g.Concat(g.Slice(g.Shape(x), [0], [1]), [1] * (len(x.shape) - 1), axis=0)


def _add_labels(step: StepGraph) -> None:
    for output, loss in zip(step.outputs, step.losses, strict=True):
        assert output.shape is not None
        shape = dims(output.shape)
        name = LABELS if len(step.outputs) == 1 else f"{LABELS}/{output.name}"
        dtype, shape = (ir.DataType.INT64, shape[:-1]) if loss.sparse else (ir.DataType.FLOAT, shape)
        step.labels.append(step.add_input(name, dtype, shape))


def _add_loss(regularizers: Mapping[str, Regularizer]) -> Transform:
    def transform(step: StepGraph) -> None:
        g = Builder(step.graph)
        with g.scope("loss"):
            triples = zip(step.losses, step.labels, step.outputs, strict=True)
            terms = [loss(g, y_true, y_pred) for loss, y_true, y_pred in triples]
            terms += [term.graph(g, _input(step, name)) for name, term in regularizers.items()]
            total = terms[0] if len(terms) == 1 else g.Sum(*terms)
        step.add_output(total, LOSS)

    return transform


def _add_metrics(step: StepGraph) -> None:
    g = Builder(step.graph)
    per_output = zip(step.metrics_wanted, step.losses, step.labels, step.outputs, strict=True)
    for metrics, loss, y_true, y_pred in per_output:
        for wanted in metrics:
            metric = fitting(wanted, loss, y_pred)
            name = metric.name if len(step.outputs) == 1 else f"{y_pred.name}_{metric.name}"
            if name in step.metrics or name in (LOSS, RATE):
                raise InvalidInput(f"metrics: the name {name!r} is taken; give one of them another, with name=…")
            with g.scope(f"metric/{name}"):
                over, under = metric.parts(g, y_true, y_pred)
            step.metrics[name] = (step.add_output(over, f"{name}:over"), step.add_output(under, f"{name}:under"))


def _add_update(optimizer: Optimizer, trainable: Sequence[str]) -> Transform:
    """Gradients of the loss, then the optimizer's rule for each trainable parameter that the loss depends on."""

    def transform(step: StepGraph) -> None:
        g = Builder(step.graph)
        loss = next(v for v in step.graph.outputs if v.name == LOSS)
        parameters = [_input(step, name) for name in trainable]
        pairs = [(w, dw) for w, dw in zip(parameters, gradients(g, [loss], parameters), strict=True) if dw is not None]
        rate = _input(step, RATE)
        with g.scope("optimizer"):
            shared = optimizer.prepare(g, rate, _input(step, STEP))
            clipped = optimizer.clip(g, [dw for _, dw in pairs])
            updates = [
                _update(step, g, optimizer, shared, rate, w, dw) for (w, _), dw in zip(pairs, clipped, strict=True)
            ]
        for old, new in (pair for update in updates for pair in update.items()):
            step.donate[old] = step.add_output(new, f"{old}:new")

    return transform


def _update(
    step: StepGraph, g: Builder, optimizer: Optimizer, shared: object, rate: ir.Value, w: ir.Value, dw: ir.Value
) -> dict[str, ir.Value]:
    """The values to be written over the parameter and over its slots."""
    assert w.shape is not None
    assert w.dtype is not None
    slots = {}
    for slot, initial in optimizer.slots.items():
        slots[slot] = step.add_input(f"{optimizer.name}/{slot}/{w.name}", w.dtype, dims(w.shape))
        step.slots[str(slots[slot].name)] = (str(w.name), initial)
    with g.scope(str(w.name)):
        decayed = optimizer.decay(g, rate, w)
        new_w, new_slots = optimizer.update(g, shared, decayed, dw, slots)
    return {str(slots[slot].name): value for slot, value in new_slots.items()} | {str(w.name): new_w}


def _input(step: StepGraph, name: str) -> ir.Value:
    return next(v for v in step.graph.inputs if v.name == name)
