"""The `.striate` file: weights and optimizer state as safetensors, the model's configuration as JSON in its metadata.

Nothing in it is executed. It is read as a file from a stranger: sizes, names, shapes and dtypes are held against the
architecture before any number is used.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as safetensors_bytes

from ..runtime.engines.arrays import to_host
from ..runtime.errors import InvalidInput, InvalidModel, ModelNotFound, StriateError
from ..runtime.files import atomic_write
from . import architecture
from .layers import Layer
from .model import Model

if TYPE_CHECKING:
    from .loop import Training

__all__ = ["Checkpoint", "load", "load_model", "save", "training_state"]

KEY = "striate"
"""The one key of the metadata: safetensors writes several in no fixed order, and equal models are equal files."""
VERSION = 1
MAX_HEADER_BYTES = 1 << 26
"""Names and configuration of a file may take this much; weights are not part of it."""


@dataclass(frozen=True)
class Checkpoint:
    """What a `.striate` file holds: the model with its weights set, the caller's own tensors, how it was trained."""

    model: Model
    tensors: dict[str, np.ndarray]
    training: dict[str, Any]


def save(
    path: str | os.PathLike[str],
    model: Model,
    extra_tensors: Mapping[str, np.ndarray] | None = None,
    training: Mapping[str, Any] | None = None,
) -> None:
    """Writes `model` to one file, beside its place and then renamed, so that a crash leaves the old file whole.

    Args:
        extra_tensors: optimizer state and the like, by names that are not those of weights.
        training: JSON-ready values: optimizer, losses, step, …

    Raises:
        InvalidInput: if the model is not built, holds what cannot be written down, or a name is used twice.
        OSError: if the file cannot be written.
    """
    model.graph()
    tensors = {p.name: p.value for p in model.parameters}
    for name, array in (extra_tensors or {}).items():
        if name in tensors:
            raise InvalidInput(f"checkpoint {os.fspath(path)!r}: extra tensor {name!r} has the name of a weight")
        tensors[name] = np.asarray(array, order="C")
    config = {
        "version": VERSION,
        "architecture": architecture.serialize(model),
        "training": dict(training or {}),
        "facts": model.training_facts,
        "extra": sorted(extra_tensors or ()),
    }
    try:
        text = json.dumps(config, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"checkpoint {os.fspath(path)!r}: the configuration is not plain data: {error}") from None
    atomic_write(path, safetensors_bytes(tensors, {KEY: text}))


def load(path: str | os.PathLike[str], custom_objects: Mapping[str, type[Layer]] | None = None) -> Checkpoint:
    """Reads what `save` wrote.

    Args:
        custom_objects: class name → class, for layers that are not Striate's.

    Raises:
        ModelNotFound: if there is no such file.
        InvalidModel: naming the file and the tensor, if the file is truncated, damaged, of another kind or newer, or a
            tensor is missing or has another shape or dtype than the architecture says.
    """
    file = os.fspath(path)
    _check_header(file)
    try:
        with safe_open(file, framework="numpy") as tensors:
            config = _config(file, tensors.metadata() or {})
            model = _model(file, config["architecture"], custom_objects)
            model.training_facts = dict(config["facts"])
            extra = _read_weights(file, model, tensors)
            _check_extra(file, extra, config.get("extra"))
    except SafetensorError as error:
        raise InvalidModel(f"{file!r} is not a whole .striate file: {error}") from None
    return Checkpoint(model, extra, config["training"])


def training_state(model: Model) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The `extra_tensors` and `training` of `save`: what it takes to go on training as if nothing had happened."""
    from . import losses, metrics, optimizers

    training = model.training
    if training is None:
        return {}, {}
    slots = {name: to_host(array) for name, array in (training.slots or training.pending).items()}
    return slots, {
        "optimizer": optimizers.serialize(training.optimizer),
        "losses": [losses.serialize(loss) for loss in training.losses],
        "metrics": [[metrics.serialize(metric) for metric in own] for own in training.metrics],
        "step": training.step,
        "seed": training.seed,
    }


def load_model(path: str | os.PathLike[str], custom_objects: Mapping[str, type[Layer]] | None = None) -> Model:
    """The model in a `.striate` file, compiled as it was, with its optimizer's state.

    Raises:
        ModelNotFound, InvalidModel: as `load`.
    """
    found = load(path, custom_objects)
    if not found.training:
        return found.model
    config = found.training
    try:
        found.model.compile(config["optimizer"], config["losses"], config["metrics"], seed=config["seed"])
        step = int(config["step"])
    except (StriateError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidModel(f"{os.fspath(path)!r}: the training configuration is damaged: {error}") from None
    training = found.model.training
    assert training is not None
    _check_slots(os.fspath(path), training, found.tensors)
    training.step = step
    training.pending = found.tensors
    return found.model


def _check_header(file: str) -> None:
    """The first eight bytes say how long the header is: no longer than the file, and within the limit."""
    path = Path(file)
    if not path.is_file():
        raise ModelNotFound(f"there is no file {file!r}")
    with path.open("rb") as stream:
        start = stream.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > path.stat().st_size - 8:
        raise InvalidModel(f"{file!r} is not a whole .striate file: it ends within its header")
    if length > MAX_HEADER_BYTES:
        raise InvalidModel(f"{file!r}: its header takes {length:,} bytes, at most {MAX_HEADER_BYTES:,} are allowed")


def _config(file: str, metadata: Mapping[str, str]) -> dict[str, Any]:
    if KEY not in metadata:
        raise InvalidModel(f"{file!r} is a safetensors file, but was not written by Model.save")
    try:
        config = json.loads(metadata[KEY])
    except (ValueError, RecursionError) as error:
        raise InvalidModel(f"{file!r}: its configuration is not JSON: {error}") from None
    version = config.get("version") if isinstance(config, dict) else None
    if version != VERSION:
        raise InvalidModel(f"{file!r} has format version {version!r}, this program reads {VERSION}; update it")
    parts = ("architecture", "training", "facts")
    if not isinstance(config, dict) or not all(isinstance(config.get(part), dict) for part in parts):
        raise InvalidModel(f"{file!r}: its configuration lacks one of: {', '.join(parts)}")
    return config


def _model(file: str, serialized: dict[str, Any], custom_objects: Mapping[str, type[Layer]] | None) -> Model:
    try:
        model = architecture.model_from_config(serialized, custom_objects)
        model.graph()
    except (StriateError, MemoryError, RecursionError, OverflowError) as error:
        raise InvalidModel(f"{file!r}: its architecture cannot be built: {error}") from None
    return model


def _read_weights(file: str, model: Model, tensors: Any) -> dict[str, np.ndarray]:
    """Sets the model's weights and returns the tensors that are not weights."""
    names = set(tensors.keys())
    parameters = {p.name: p for p in model.parameters}
    for name, parameter in parameters.items():
        if name not in names:
            raise InvalidModel(f"{file!r}: tensor {name!r} is missing")
        entry = tensors.get_slice(name)
        shape, dtype = tuple(entry.get_shape()), entry.get_dtype()
        if shape != parameter.shape or dtype != "F32":
            raise InvalidModel(f"{file!r}: tensor {name!r} is {dtype} {shape}, expected F32 {parameter.shape}")
    for name, parameter in parameters.items():
        parameter.value = tensors.get_tensor(name)
    return {name: tensors.get_tensor(name) for name in sorted(names - parameters.keys())}


def _check_extra(file: str, found: Mapping[str, np.ndarray], expected: Any) -> None:
    """Holds the tensors that are not weights against the names that `save` wrote down."""
    names = set(map(str, expected)) if isinstance(expected, list) else set()
    for name in sorted(names ^ found.keys()):
        raise InvalidModel(f"{file!r}: tensor {name!r} is {'missing' if name in names else 'not one that was saved'}")


def _check_slots(file: str, training: Training, tensors: Mapping[str, np.ndarray]) -> None:
    """Holds the optimizer's state against the optimizer and the parameters it belongs to."""
    optimizer, parameters = training.optimizer, training.model.parameters
    shapes = {f"{optimizer.name}/{slot}/{p.name}": p.shape for p in parameters for slot in optimizer.slots}
    for name, array in tensors.items():
        if array.shape != shapes.get(name) or array.dtype != np.float32:
            expected = f"float32 {shapes[name]}" if name in shapes else f"state of {optimizer.name} and of a weight"
            raise InvalidModel(f"{file!r}: tensor {name!r} is {array.dtype} {array.shape}, expected {expected}")
