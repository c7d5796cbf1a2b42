"""A model's architecture as JSON-ready values, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..runtime.errors import InvalidInput
from .layers import Layer, Tensor, deserialize
from .naming import snake_case

if TYPE_CHECKING:
    from .model import Model

__all__ = ["Classes", "config_of", "model_from_config", "model_of", "serialize"]

Classes = Mapping[str, type[Layer]] | None
"""Class name → class, for layers that are not Striate's."""


def serialize(model: Model) -> dict[str, Any]:
    """`{"class_name": …, "config": …}`, from which `model_from_config` makes an equal model with fresh weights."""
    return {"class_name": model.serialize_as, "config": config_of(model)}


def config_of(model: Model) -> dict[str, Any]:
    """The layers with their arguments, and how they are connected.

    A chain lists its layers, beginning with the input if it is known. Any other model also lists its `calls`: the layer
    by name and the tensors it takes. Tensors are numbered, inputs first, then the output of each call.
    """
    inputs = [_layer_config(model, layer) for layer in model.input_layers]
    layers = [_layer_config(model, layer) for layer in model.all_layers if layer not in model.input_layers]
    start = {"name": model.name, "seed": model.seed}
    if model.serialize_as == "Sequential":
        return start | {"layers": inputs + layers}
    numbers = {t: i for i, t in enumerate([*model.inputs, *(c.output for c in model.calls)])}
    calls = [{"layer": model.name_of(c.layer), "inputs": [numbers[t] for t in c.inputs]} for c in model.calls]
    return start | {"inputs": inputs, "layers": layers, "calls": calls, "outputs": [numbers[t] for t in model.outputs]}


def model_from_config(serialized: Mapping[str, Any], custom_objects: Classes = None) -> Model:
    """A model with fresh weights from what `serialize` returned.

    Raises:
        InvalidInput: if it is something else, or its layers do not fit each other.
    """
    name, config = serialized.get("class_name"), serialized.get("config")
    if name not in ("Model", "Sequential") or not isinstance(config, Mapping):
        raise InvalidInput(f"model class {name!r} is unknown; expected Model or Sequential, with a config")
    return model_of(config, custom_objects)


def model_of(config: Mapping[str, Any], custom_objects: Classes = None) -> Model:
    """A model with fresh weights from what `config_of` returned.

    Raises:
        InvalidInput: if it is something else, or its layers do not fit each other.
    """
    try:
        return _connected(config, custom_objects) if "calls" in config else _chain(config, custom_objects)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise InvalidInput(f"the model's configuration is damaged: {type(error).__name__} {error}") from None


def _chain(config: Mapping[str, Any], custom_objects: Classes) -> Model:
    from .sequential import Sequential

    layers = [_restored(c, custom_objects) for c in config["layers"]]
    return Sequential(layers, name=config["name"], seed=config["seed"])


def _connected(config: Mapping[str, Any], custom_objects: Classes) -> Model:
    from .model import Model

    inputs = [_restored(c, custom_objects) for c in config["inputs"]]
    layers = {layer.name: layer for layer in (_restored(c, custom_objects) for c in config["layers"])}
    tensors = [layer.output for layer in inputs]
    for call in config["calls"]:
        found = [tensors[_index(i, tensors)] for i in call["inputs"]]
        layer = layers[call["layer"]]
        tensors.append(layer(found if layer.takes_many or len(found) != 1 else found[0]))
    outputs = [tensors[_index(i, tensors)] for i in config["outputs"]]
    return Model(tensors[: len(inputs)], outputs, name=config["name"], seed=config["seed"])


def _layer_config(model: Model, layer: Layer) -> dict[str, Any]:
    made = layer.serialize()
    return made | {"config": made["config"] | {"name": model.name_of(layer)}}


def _restored(config: Any, custom_objects: Classes) -> Layer:
    """A layer from a model's configuration; a name that a model made may be made anew by another model."""
    layer = deserialize(config, custom_objects)
    default = re.escape(snake_case(type(layer).__name__))
    layer.auto_named = re.fullmatch(rf"{default}(_\d+)?", layer.name) is not None
    return layer


def _index(number: Any, tensors: Sequence[Tensor]) -> int:
    if not isinstance(number, int) or not 0 <= number < len(tensors):
        raise IndexError(f"tensor {number!r} of {len(tensors)}")
    return number
