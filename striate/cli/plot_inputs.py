"""What `striate plot` draws: a model of any kind, and the image that it is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..runtime.errors import InvalidInput, MissingDependency
from .given import shapes_and_files
from .inputs import as_input, read_inputs
from .log import columns_of, read_log
from .sources import checked_file, class_names, image_input, is_pretrained, load_model, refuse_architecture

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..pictures.curves import Course

__all__ = ["Example", "Source", "background", "class_number", "course", "example", "opened", "shapes_for"]

PHOTOGRAPHS = ("china", "flower")
DIGIT = "digit"


@dataclass(frozen=True)
class Source:
    """A model as it was given.

    Attributes:
        model: its graph, sizes as open as they were.
        classes: the names of its classes, as far as it knows them.
    """

    name: str
    model: ir.Model
    classes: tuple[str, ...]

    def graph(self, shapes: Mapping[str, Sequence[int]] | None = None) -> ir.Model:
        """What pictures are drawn from; `shapes` for what the model leaves open."""
        from ..pictures.graphs import inference_graph

        return inference_graph(self.model, shapes)

    @property
    def input(self) -> Any:
        """Name, shape and type of its only input, in onnxruntime's spelling."""
        from ..pictures.graphs import input_value
        from ..runtime.dtypes import onnx_name
        from ..runtime.inference import dims

        value = input_value(self.model, self.name)
        assert value.shape is not None
        assert value.dtype is not None
        return SimpleNamespace(
            name=str(value.name), shape=list(dims(value.shape)), type=f"tensor({onnx_name(value.dtype.value)})"
        )


@dataclass(frozen=True)
class Example:
    """An image.

    Attributes:
        x: as the model takes it, a batch of one.
        image: as it is shown, `(H, W, 1 or 3)` in [0, 1].
    """

    x: np.ndarray
    image: np.ndarray
    channels_first: bool


def opened(spec: str, untrained: bool = False) -> Source:
    """A `.striate` file, an `.onnx` file, or the name of an architecture.

    Args:
        untrained: names are welcome; what is drawn does not depend on the weights.
    """
    from .. import models
    from ..runtime.passes import cleanup
    from ..runtime.reader import read

    if not untrained:
        refuse_architecture(spec)
    if spec.endswith(".striate") or (spec in models.names() and not Path(spec).exists()):
        made = load_model(spec)
        return Source(made.name, made.to_ir(), class_names(made.training_facts))
    path = checked_file(spec) if Path(spec).exists() or is_pretrained(spec) or not untrained else _neither(spec)
    model = read(path)
    cleanup.drop_initializer_inputs(model)
    return Source(path.stem, model, class_names(model.metadata_props))


def _neither(spec: str) -> Path:
    if spec.endswith(".onnx"):
        return checked_file(spec)
    load_model(spec)
    return Path(spec)


def example(source: Source, given: str | None) -> Example:
    """The image for a model.

    Args:
        given: a picture, an .npy file, `china`, `flower`, `digit` or `digit:N`; None: whichever of these suits.

    Raises:
        InvalidInput: if there is no such image, or the model takes none or another shape.
        MissingDependency: if scikit-learn or pillow is needed and not installed.
    """
    spec = source.input
    images = image_input(spec.shape)
    if images is None:
        raise InvalidInput(f"{source.name}: its input {spec.name!r} has shape {_dims(spec.shape)}; expected images")
    fixed = spec.shape[1 if images.channels_first else 3]
    if isinstance(fixed, int) and fixed not in (1, 3):
        raise InvalidInput(f"{source.name}: its input {spec.name!r} has {fixed} channels; expected 1 or 3 for an image")
    given = given or (DIGIT if images.channels == 1 else PHOTOGRAPHS[0])
    if given in PHOTOGRAPHS and not Path(given).exists():
        x = as_input(_photograph(given, images.size, images.channels), spec, given)
    elif given.partition(":")[0] == DIGIT and not Path(given).exists():
        x = as_input(_digit(given, images.size, images.channels), spec, given)
    else:
        x = _from_file(given, spec)
    wanted = spec.shape
    if x.ndim != 4 or any(isinstance(w, int) and w != d for w, d in zip(wanted[1:], x.shape[1:], strict=True)):
        raise InvalidInput(f"{given}: has shape {list(x.shape)}; {source.name} takes {_dims(wanted)}")
    pixels = x[0].transpose(1, 2, 0) if images.channels_first else x[0]
    return Example(x, _shown(pixels), images.channels_first)


def background(source: Source, given: str | None) -> tuple[np.ndarray, dict[str, Sequence[int]]]:
    """The image that receptive fields are drawn on, and the input's shape; white for what takes no image."""
    spec = source.input
    if image_input(spec.shape) is not None:
        shown = example(source, given)
        return shown.image, {spec.name: shown.x.shape}
    if given is not None:
        raise InvalidInput(f"{source.name}: its input {spec.name!r} has shape {_dims(spec.shape)}; it takes no image")
    length = max((d for d in spec.shape[1:] if isinstance(d, int)), default=1)
    return np.ones((max(1, length // 8), length, 1), np.float32), {}


def shapes_for(source: Source, given: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """`--shape`: a shape for each input named.

    Raises:
        InvalidInput: for anything else.
    """
    shapes, others = shapes_and_files(given, [str(v.name) for v in source.model.graph.inputs])
    if others:
        raise InvalidInput(f"--shape {others[0]!r} does not fit; expected NAME=SHAPE such as x=1x3x224x224")
    return shapes


def course(run: Path) -> Course:
    """The training of a folder, or of its log.

    Raises:
        InvalidInput: if there is no log, or nothing in it.
    """
    from ..pictures.curves import Course

    path = run / "history.csv" if run.is_dir() else run
    if not path.is_file():
        what = "holds no history.csv" if run.is_dir() else "does not exist"
        raise InvalidInput(f"{run}: {what}; expected the folder of a training, or its history.csv")
    rows = read_log(path)
    if not rows:
        raise InvalidInput(f"{path}: there is no epoch in it")
    name = run.name if run.is_dir() and run.name else path.resolve().parent.name
    return Course(name if path.name == "history.csv" else path.stem, columns_of(rows), int(rows[0]["epoch"]) + 1)


def _from_file(given: str, spec: Any) -> np.ndarray:
    if not Path(given).is_file():
        names = ", ".join((*PHOTOGRAPHS, DIGIT, f"{DIGIT}:0 … {DIGIT}:9"))
        raise InvalidInput(f"input {given!r} is neither a file nor one of {names}")
    session = SimpleNamespace(get_inputs=lambda: [spec])
    x = read_inputs(session, [f"{spec.name}={given}"])[spec.name]
    return x[None] if x.ndim == 3 else x[:1]


def _photograph(name: str, size: tuple[int, int] | None, channels: int | None) -> np.ndarray:
    """One of the two photographs that scikit-learn carries, cut to the middle of the wanted proportions."""
    from ..trainer.data.images import fit

    try:
        from sklearn.datasets import load_sample_image

        pixels = load_sample_image(f"{name}.jpg")
    except ImportError:
        raise MissingDependency(
            "the photographs come with scikit-learn, read with pillow; install both with pip install 'striate[data]'"
        ) from None
    x = (pixels / 255).astype(np.float32)
    if size is not None:
        height, width = x.shape[:2]
        high, wide = min(height, width * size[0] // size[1]), min(width, height * size[1] // size[0])
        top, left = (height - max(high, 1)) // 2, (width - max(wide, 1)) // 2
        x = x[top : top + max(high, 1), left : left + max(wide, 1)]
    return fit(x[None], size, channels, name)[0]


def _digit(given: str, size: tuple[int, int] | None, channels: int | None) -> np.ndarray:
    """The first digit of that class among those that no training sees."""
    from ..trainer.data import load_digits

    number = given.partition(":")[2] or "7"
    if number not in tuple("0123456789"):
        raise InvalidInput(f"input {given!r} is no digit; expected {DIGIT}:0 to {DIGIT}:9")
    digits = load_digits(size, channels or 1, "test")
    return digits.x[int(np.argmax(digits.y == int(number)))]


def _shown(pixels: np.ndarray) -> np.ndarray:
    """In [0, 1]: whole numbers by their type's largest, others as they are, or stretched if they go beyond."""
    if pixels.dtype.kind == "u":
        return pixels.astype(np.float32) / np.iinfo(pixels.dtype).max
    x = pixels.astype(np.float32)
    low, high = float(x.min()), float(x.max())
    return x if low >= 0 and high <= 1 else (x - low) / ((high - low) or 1.0)


def class_number(given: str | None, classes: Sequence[str]) -> int | None:
    """A class by its name or number.

    Raises:
        InvalidInput: for neither.
    """
    if given is None or given in classes:
        return None if given is None else list(classes).index(given)
    if given.isascii() and given.isdecimal() and len(given) < 10:
        return int(given)
    known = f"; the model's classes are {', '.join(classes[:12])}" if classes else ""
    raise InvalidInput(f"--class {given!r} is neither a number nor the name of a class{known}")


def _dims(shape: Sequence[Any]) -> str:
    return f"[{', '.join(str(d) if isinstance(d, int) else '?' for d in shape)}]"
