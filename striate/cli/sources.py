"""What a MODEL argument can be — a name, a `.striate` file, an `.onnx` file — as something that predicts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..runtime.errors import InvalidInput, InvalidModel, ModelNotFound

if TYPE_CHECKING:
    from ..trainer import Model
    from ..trainer.data import Dataset, Vocabulary

__all__ = [
    "ImageInput",
    "Predictor",
    "checked_file",
    "class_names",
    "image_input",
    "input_dtype",
    "is_pretrained",
    "load_model",
    "one_input",
    "onnx_file",
    "predictor",
    "providers",
    "refuse_architecture",
]

CHANNELS = (1, 3)
PRETRAINED = "pretrained:"


@dataclass(frozen=True)
class ImageInput:
    """How a model takes images; `size` and `channels` are None where the model leaves them open."""

    size: tuple[int, int] | None
    channels: int | None
    channels_first: bool

    def arrange(self, x: np.ndarray) -> np.ndarray:
        """Images `(N, H, W, C)` in the model's layout."""
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if self.channels_first else x


@dataclass(frozen=True)
class Predictor:
    """A model ready to run: `run` takes a batch and returns the first output.

    Attributes:
        images: how it takes images, or None if its input is something else.
        classes: the names of its classes, as far as the file knows them.
        shapes: of its input and output, batch included; `dtype` is the input's.
        vocabulary: the words it knows, if it was trained on text.
    """

    name: str
    run: Callable[[np.ndarray], np.ndarray]
    images: ImageInput | None
    classes: tuple[str, ...]
    shapes: tuple[Sequence[Any], Sequence[Any]]
    dtype: np.dtype
    vocabulary: Vocabulary | None = None

    def load(self, spec: str, part: str | None = None, long: str = "cut") -> Dataset:
        """A data set in the size and channels this model takes; texts are encoded with its vocabulary."""
        from ..trainer import data
        from ..trainer.data.synthetic import PREFIX
        from .progress import progress
        from .texts import encoded_data

        if spec.startswith(PREFIX):
            values = len(self.vocabulary) if self.vocabulary is not None else 2
            return data.synthetic_like(spec, self.shapes[0], self.dtype, self.shapes[1], values=values, part=part)
        size, channels = (self.images.size, self.images.channels) if self.images is not None else (None, None)
        with progress("downloading") as update:
            found = data.load(spec, size, channels, part, update)
        return encoded_data(found, self.vocabulary, long, self.name)

    def predict(self, x: np.ndarray, batch_size: int) -> np.ndarray:
        """The outputs for all of x, `(N, …)`."""
        x = self.images.arrange(x) if self.images is not None and x.ndim == 4 else x
        return np.concatenate([self.run(x[i : i + batch_size]) for i in range(0, len(x), batch_size)])


def image_input(shape: Sequence[Any]) -> ImageInput | None:
    """Reads an input's shape, batch included; None if it cannot be images."""
    if len(shape) != 4:
        return None
    sizes = [d if isinstance(d, int) else None for d in shape]
    first = sizes[3] not in CHANNELS and sizes[1] in CHANNELS
    height, width, channels = (sizes[2], sizes[3], sizes[1]) if first else sizes[1:]
    size = None if height is None or width is None else (height, width)
    return ImageInput(size, channels if channels in CHANNELS else None, first)


def is_pretrained(spec: str) -> bool:
    """Whether this is `pretrained:NAME`, and no file is called so."""
    return spec.startswith(PRETRAINED) and not Path(spec).exists()


def checked_file(spec: str) -> Path:
    """The path, if there is a file; `pretrained:lenet5` is the ONNX file of that trained network.

    Raises:
        ModelNotFound: otherwise.
        InvalidInput: if no trained network has that name.
    """
    if is_pretrained(spec):
        from .. import models

        return models.pretrained(spec.removeprefix(PRETRAINED))
    path = Path(spec)
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "does not exist"
        raise ModelNotFound(f"{spec}: {kind}; expected a model file")
    return path


def onnx_file(spec: str) -> Path:
    """The path, if there is a file that may be ONNX.

    Raises:
        InvalidInput: if it is another kind of model; the message says how to make an ONNX file of it.
        ModelNotFound: if there is nothing of that name.
    """
    refuse_architecture(spec)
    if spec.endswith(".striate"):
        target = Path(spec).with_suffix(".onnx")
        raise InvalidInput(f"{spec}: is no ONNX file; make one with: striate export {spec} --out {target}")
    return checked_file(spec)


def refuse_architecture(spec: str) -> None:
    """Refuses the name of an architecture where trained weights are needed.

    Raises:
        InvalidInput: if `spec` is one, and no file.
    """
    from .. import models

    if spec in models.names() and not Path(spec).exists():
        raise InvalidInput(
            f"{spec}: is an untrained architecture; train it first: striate train {spec}"
            + (f"; there is a trained one: pretrained:{spec}" if spec in models.pretrained_names() else "")
        )


def load_model(spec: str) -> Model:
    """The model in a `.striate` file, or a new one by its registered name.

    Raises:
        InvalidInput: if it is neither.
    """
    from .. import models

    if spec in models.names():
        return models.get(spec)
    if not spec.endswith(".striate") and not Path(spec).exists() and not is_pretrained(spec):
        names = ", ".join(models.names())
        raise InvalidInput(f"model {spec!r} is neither the name of one ({names}) nor a .striate file that exists")
    return _load(spec)


def _load(spec: str) -> Model:
    from ..trainer import Model

    path = checked_file(spec)
    if path.suffix == ".onnx":
        raise InvalidInput(f"{spec}: is an ONNX file; expected a .striate file, which can be trained")
    with path.open("rb") as file:
        if file.read(9)[8:] != b"{":
            raise InvalidModel(f"{spec}: is not a .striate file, or is damaged at its start")
    return Model.load(path)


def predictor(spec: str, device: str = "cpu") -> Predictor:
    """A `.striate` or `.onnx` file, ready to run on a device."""
    refuse_architecture(spec)
    path = checked_file(spec)
    return _from_onnx(path, device) if path.suffix != ".striate" else _from_striate(path, device)


def _from_striate(path: Path, device: str) -> Predictor:
    from ..trainer.data import Vocabulary

    model = _load(str(path))
    _, shape, dtype = model.input_specs[0]
    one_input(str(path), model.input_names)
    return Predictor(
        path.name,
        lambda x: _first(model.predict(x, batch_size=len(x), device=device)),
        image_input(shape),
        class_names(model.training_facts),
        (shape, model.output_specs[0][1]),
        dtype,
        Vocabulary.from_facts(model.training_facts, str(path)),
    )


def _from_onnx(path: Path, device: str) -> Predictor:
    from ..runtime import InferenceSession
    from ..trainer.data import Vocabulary

    session = InferenceSession(str(path), providers=providers(device))
    first = session.get_inputs()[0]
    one_input(str(path), [v.name for v in session.get_inputs()])
    facts = session.get_modelmeta().custom_metadata_map
    return Predictor(
        path.name,
        lambda x: np.asarray(session.run(None, {first.name: x})[0]),
        image_input(first.shape),
        class_names(facts),
        (first.shape, session.get_outputs()[0].shape),
        input_dtype(first.type),
        Vocabulary.from_facts(facts, str(path)),
    )


def input_dtype(kind: str) -> np.dtype:
    """The NumPy dtype of `tensor(int64)`; float32 for what is no tensor of numbers."""
    from ..runtime.dtypes import NAMES, numpy_dtype

    codes = {f"tensor({text})": code for code, text in NAMES.items()}
    return numpy_dtype(codes[kind]) if kind in codes else np.dtype(np.float32)


def _first(outputs: Any) -> np.ndarray:
    return np.asarray(outputs[0] if isinstance(outputs, list) else outputs)


def one_input(spec: str, names: Sequence[str]) -> None:
    """Refuses a model that takes more than the examples.

    Raises:
        InvalidInput: if there is not exactly one input.
    """
    if len(names) != 1:
        raise InvalidInput(f"{spec}: has the inputs {list(names)}; expected one, that takes the examples")


def providers(device: str) -> list[str]:
    """The execution providers that stand for a device."""
    kind = device.partition(":")[0]
    if kind not in ("cpu", "cuda"):
        raise InvalidInput(f"device {device!r} is unknown; expected 'cpu' or 'cuda'")
    return ["CPUExecutionProvider"] if kind == "cpu" else ["CUDAExecutionProvider", "CPUExecutionProvider"]


def class_names(facts: Mapping[str, Any]) -> tuple[str, ...]:
    """Written by training: a list, or that list as JSON."""
    found = facts.get("classes", ())
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except ValueError:
            return ()
    return tuple(str(n) for n in found) if isinstance(found, (list, tuple)) else ()
