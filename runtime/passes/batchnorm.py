"""Per-channel scale and shift disappear into the constants of the node before.

What is absorbed: `BatchNormalization` outside training with constant parameters; `Mul` and `Add` by a constant that
varies along the channel axis only. What absorbs it, if its result has no other reader:

Case 1: `Conv` with constant weights: W·scale and B·scale + shift.
Case 2: `ConvTranspose` with constant weights and one group: the same along its output channels.
Case 3: `BatchNormalization` with constant parameters: its own scale and bias.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from ..builder import Builder, attributes
from ..inference import constant, is_constant, value_type
from ..lazy import lazy

Affine = tuple[np.ndarray, np.ndarray]
"""Scale and shift, one number per channel each, in float64."""


def run(model: ir.Model) -> bool:
    """Absorbs what the cases above describe."""
    changed = False
    build = Builder(model.graph)
    for node in list(model.graph):
        source = _source(node)
        producer = source.producer() if source is not None else None
        if source is None or producer is None or producer.domain:
            continue
        absorb = _ABSORBERS.get(producer.op_type)
        if absorb is None or len(source.uses()) != 1 or source.is_graph_output() or node.outputs[0].is_graph_output():
            continue
        channels = _channels(source)
        affine = _affine(node, source, channels) if channels is not None else None
        if affine is None or not absorb(build, producer, *affine):
            continue
        node.outputs[0].replace_all_uses_with(source)
        model.graph.remove(node, safe=True)
        changed = True
    return changed


def _source(node: ir.Node) -> ir.Value | None:
    """The input that is scaled and shifted, for a node that does only that."""
    if node.domain:
        return None
    if node.op_type == "BatchNormalization":
        return node.inputs[0]
    if node.op_type in ("Mul", "Add") and _is_modern(node):
        return next((v for v in node.inputs if v is not None and not is_constant(v)), None)
    return None


def _is_modern(node: ir.Node) -> bool:
    """Since opset 7 attributes neither switch on training nor place the inputs of Mul and Add."""
    return isinstance(node.graph, ir.Graph) and node.graph.opset_imports[""] >= 7


def _channels(value: ir.Value) -> int | None:
    _, shape = value_type(value)
    return shape[1] if shape is not None and len(shape) > 1 and isinstance(shape[1], int) else None


def _affine(node: ir.Node, source: ir.Value, channels: int) -> Affine | None:
    if node.op_type == "BatchNormalization":
        return _normalization(node)
    other = node.inputs[1] if node.inputs[0] is source else node.inputs[0]
    _, shape = value_type(source)
    array = constant(other)
    if array is None or shape is None or array.ndim > len(shape) or node.inputs[0] is node.inputs[1]:
        return None
    full = (1,) * (len(shape) - array.ndim) + array.shape
    if any(size != 1 for axis, size in enumerate(full) if axis != 1) or full[1] not in (1, channels):
        return None
    given = np.broadcast_to(array.astype(np.float64).ravel(), (channels,))
    return (given, np.zeros(channels)) if node.op_type == "Mul" else (np.ones(channels), given)


def _normalization(node: ir.Node) -> Affine | None:
    """y = (x − mean) / sqrt(var + epsilon) · scale + bias as x · a + b."""
    given = attributes(node)
    training = given.get("training_mode", 0) or not _is_modern(node)
    if training or given.get("spatial", 1) != 1 or any(v.uses() or v.is_graph_output() for v in node.outputs[1:]):
        return None
    arrays = [constant(v) for v in node.inputs[1:5]]
    if len(arrays) != 4 or any(a is None for a in arrays):
        return None
    scale, bias, mean, var = (a.astype(np.float64) for a in arrays if a is not None)
    a = scale / np.sqrt(var + given.get("epsilon", 1e-5))
    return a, bias - mean * a


def _into_convolution(build: Builder, node: ir.Node, scale: np.ndarray, shift: np.ndarray) -> bool:
    return _into_weights(build, node, scale, shift, axis=0)


def _into_transposed(build: Builder, node: ir.Node, scale: np.ndarray, shift: np.ndarray) -> bool:
    return attributes(node).get("group", 1) == 1 and _into_weights(build, node, scale, shift, axis=1)


def _into_weights(build: Builder, node: ir.Node, scale: np.ndarray, shift: np.ndarray, axis: int) -> bool:
    kernel, bias = node.inputs[1], node.inputs[2] if len(node.inputs) > 2 else None
    if not is_constant(kernel) or (bias is not None and not is_constant(bias)):
        return False
    assert kernel is not None
    tensor = kernel.const_value
    assert tensor is not None
    dtype, shape = tensor.dtype.numpy(), tensor.shape.numpy()
    if shape[axis] != len(scale):
        return False
    along = [1] * len(shape)
    along[axis] = -1

    def scaled() -> np.ndarray:
        return (tensor.numpy() * scale.reshape(along)).astype(dtype)

    old = constant(bias)
    _set(build, node, 1, lazy(scaled, tensor.dtype, ir.Shape(shape), None))
    _set(build, node, 2, ir.Tensor(((0 if old is None else old) * scale + shift).astype(dtype)))
    return True


def _into_normalization(build: Builder, node: ir.Node, scale: np.ndarray, shift: np.ndarray) -> bool:
    if _normalization(node) is None:
        return False
    gamma, beta = constant(node.inputs[1]), constant(node.inputs[2])
    assert gamma is not None
    assert beta is not None
    _set(build, node, 1, ir.Tensor((gamma * scale).astype(gamma.dtype)))
    _set(build, node, 2, ir.Tensor((beta * scale + shift).astype(beta.dtype)))
    return True


def _set(build: Builder, node: ir.Node, index: int, tensor: ir.TensorProtocol) -> None:
    """Replaces a constant input, under the old name if nobody else reads it."""
    old = node.inputs[index] if index < len(node.inputs) else None
    name = build.unique((old.name if old is not None else None) or f"{node.name}/bias")
    if index >= len(node.inputs):
        node.resize_inputs(index + 1)
    node.replace_input_with(index, build.initializer(tensor, name))


_ABSORBERS: dict[str, Callable[[Builder, ir.Node, np.ndarray, np.ndarray], bool]] = {
    "Conv": _into_convolution,
    "ConvTranspose": _into_transposed,
    "BatchNormalization": _into_normalization,
}
