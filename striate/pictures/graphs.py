"""A model of any kind as the graph that pictures are drawn from, and its convolutions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from ..exporter import Exportable, exported
from ..runtime.cost.bind import bind
from ..runtime.errors import InvalidInput
from ..runtime.inference import constant, dims
from ..runtime.passes import cleanup, fold

__all__ = ["ACTIVATIONS", "Convolution", "convolutions", "find", "inference_graph", "input_value", "layer_name"]

ACTIVATIONS = frozenset((
    "Celu", "Clip", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish", "PRelu",
    "Relu", "Selu", "Sigmoid", "Softplus", "Softsign", "Swish", "Tanh", "ThresholdedRelu",
))  # fmt: skip
NORMALISATIONS = frozenset(("BatchNormalization", "InstanceNormalization", "GroupNormalization", "LayerNormalization"))
LISTED = 12
"""Names that a message lists."""


@dataclass(frozen=True)
class Convolution:
    """A convolution of a graph.

    Attributes:
        name: the node's, without the operator where the layer's name stands before it: `conv2d`, not `conv2d/Conv`.
        weights: `(filters, input maps of a group, …)`; those of a ConvTranspose are turned round to that.
        output: what it computes, with its own batch normalisation and activation.
        after: their operators.
    """

    name: str
    node: ir.Node
    weights: np.ndarray | None
    output: ir.Value
    after: tuple[str, ...] = ()

    @property
    def shape(self) -> Sequence[Any]:
        """Of the output, without the batch."""
        return () if self.output.shape is None else dims(self.output.shape)[1:]


def inference_graph(source: Exportable | ir.Model, shapes: Mapping[str, Sequence[int]] | None = None) -> ir.Model:
    """The graph that `export` would write, for one example; functions inlined, constants computed, types known.

    Args:
        shapes: input → shape, for what the model leaves open beside the batch.

    Raises:
        InvalidInput: if a shape contradicts the model.
    """
    model = exported(source, fold_batchnorm=False, dynamic_batch=False)
    bind(model.graph, shapes or {}, None)
    fold.infer_types(model)
    fold.run(model)
    cleanup.run(model)
    return model


def input_value(model: ir.Model, name: str) -> ir.Value:
    """The model's only input.

    Raises:
        InvalidInput: if there are several, or its type is not known.
    """
    inputs = model.graph.inputs
    if len(inputs) != 1:
        raise InvalidInput(f"{name}: has the inputs {[v.name for v in inputs]}; expected one, that takes the image")
    if inputs[0].shape is None or inputs[0].dtype is None:
        raise InvalidInput(f"{name}: the shape of its input {inputs[0].name!r} is not known; expected one for images")
    return inputs[0]


def layer_name(node: ir.Node) -> str:
    """The node's name, or that of the layer that made it."""
    name = node.name or (node.outputs[0].name if node.outputs else "") or node.op_type
    return name.removesuffix(f"/{node.op_type}") or name


def convolutions(model: ir.Model) -> list[Convolution]:
    """All convolutions of the main graph, in its order."""
    made = []
    for node in model.graph:
        if node.op_type in ("Conv", "ConvTranspose", "FusedConv") and node.domain in ("", "com.microsoft"):
            output, after = _followed(node.outputs[0])
            made.append(Convolution(layer_name(node), node, _weights(node), output, after))
    return made


def find(found: Sequence[Convolution], wanted: str | None, model: str) -> list[Convolution]:
    """The convolution of that name, of the layer or of the node; all of them if no name is given.

    Raises:
        InvalidInput: if there is no convolution at all, or none of that name; the message lists the names.
    """
    if not found:
        raise InvalidInput(f"{model}: has no convolution; kernels and feature maps are those of convolutions")
    if wanted is None:
        return list(found)
    chosen = [c for c in found if wanted in (c.name, c.node.name, c.node.outputs[0].name)]
    if not chosen:
        names = ", ".join(c.name for c in found[:LISTED])
        more = f", … ({len(found)} in all)" if len(found) > LISTED else ""
        raise InvalidInput(f"{model}: has no convolution {wanted!r}; its convolutions are {names}{more}")
    return chosen


def _weights(node: ir.Node) -> np.ndarray | None:
    array = constant(node.inputs[1])
    if array is None or array.dtype.kind != "f":
        return None
    if node.op_type != "ConvTranspose":
        return array
    group = node.attributes.get("group")
    groups = 1 if group is None else group.as_int()
    split = array.reshape(groups, array.shape[0] // groups, *array.shape[1:]).swapaxes(1, 2)
    return split.reshape(-1, *split.shape[2:])


def _followed(value: ir.Value) -> tuple[ir.Value, tuple[str, ...]]:
    """The value behind the normalisation and the activation that alone read it."""
    after: list[str] = []
    while True:
        uses = list(value.uses())
        if len(uses) != 1 or value.is_graph_output() or uses[0].idx != 0:
            return value, tuple(after)
        node = uses[0].node
        if node.op_type not in ACTIVATIONS | NORMALISATIONS or (after and after[-1] in ACTIVATIONS):
            return value, tuple(after)
        value = node.outputs[0]
        after.append(node.op_type)
