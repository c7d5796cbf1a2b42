"""How symbolic tensors hang together: the calls between inputs and outputs, and the names of the layers called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..runtime.errors import InvalidInput
from .layers import InputLayer, Layer, Tensor
from .layers.base import Call

__all__ = ["calls_between", "free_name", "input_layer_of", "tensors_of"]


def tensors_of(given: Any, what: str) -> list[Tensor]:
    """One tensor or a list of them, as a list.

    Raises:
        InvalidInput: saying `what` must be tensors, for anything else.
    """
    tensors = list(given) if isinstance(given, (list, tuple)) else [given]
    if not tensors or not all(isinstance(t, Tensor) for t in tensors):
        raise InvalidInput(f"{what} must be tensors that Input or layers returned, found {given!r}")
    if what == "inputs" and len(set(tensors)) != len(tensors):
        raise InvalidInput("inputs: the same tensor is listed twice")
    return tensors


def calls_between(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> list[Call]:
    """The calls that the outputs need, from the inputs on, each after those whose outputs it takes."""
    given = set(inputs)
    found: set[Call] = set()
    waiting = list(outputs)
    while waiting:
        tensor = waiting.pop()
        if tensor in given or tensor.call in found:
            continue
        if isinstance(tensor.call.layer, InputLayer):
            raise InvalidInput(f"an output needs {tensor!r}, which is not among the model's inputs; add it to inputs")
        found.add(tensor.call)
        waiting.extend(tensor.call.inputs)
    return sorted(found, key=lambda call: call.order)


def input_layer_of(tensor: Tensor) -> InputLayer:
    """The input layer of a tensor; a model that begins in the middle of another gets a new one."""
    layer = tensor.call.layer
    if isinstance(layer, InputLayer):
        return layer
    return InputLayer(batch_shape=tensor.shape, dtype=tensor.dtype)


def free_name(base: str, taken: Mapping[str, Layer]) -> str:
    """`base`, numbered if it is taken."""
    name, number = base, 0
    while name in taken:
        number += 1
        name = f"{base}_{number}"
    return name
