"""What is given as a model's inputs: `.npy` and `.npz` files, pictures, texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.errors import InvalidInput
from .sources import image_input, input_dtype

__all__ = ["as_input", "read_inputs"]

ARRAYS = frozenset((".npy", ".npz"))
TEXTS = ".txt"
MAX_TEXT = 1 << 26


def read_inputs(session: Any, given: Sequence[str], long: str = "cut") -> dict[str, np.ndarray]:
    """Arrays by input name.

    Args:
        session: an `InferenceSession`. Where its only input takes words and its metadata has a vocabulary, what is no
            file of arrays is text: that of a .txt file, one in each line, or else the argument itself.
        given: `path` or `name=path`; an `.npz` file may hold several inputs under their names. Paths without a name
            go to the inputs in order; several pictures or texts for a model's only input are a batch.
        long: what to do with texts that are too long: `cut` or `refuse`.

    Raises:
        InvalidInput: if a file cannot be read, or there is no such input.
    """
    specs = {v.name: v for v in session.get_inputs()}
    words = _texts(session, specs, given, long)
    if words is not None:
        return words
    feeds: dict[str, np.ndarray] = {}
    pictures: list[np.ndarray] = []
    for text in given:
        name, path = _named(text, specs)
        if path.suffix == ".npz" and not name:
            from ..trainer.data import read_npz

            arrays = read_npz(_existing(path))
            feeds |= {n: _cast(a, specs[n], f"{path}: {n}") if n in specs else a for n, a in arrays.items()}
            continue
        if not name and len(specs) == 1 and len(given) > 1 and path.suffix not in ARRAYS:
            pictures.append(_read(path, next(iter(specs.values()))))
            continue
        free = [n for n in specs if n not in feeds]
        name = name or (free[0] if free else "")
        if name not in specs:
            raise InvalidInput(f"input {text!r}: the model has no such input; its inputs are {list(specs)}")
        feeds[name] = _read(path, specs[name])
    return feeds | _batch(pictures, next(iter(specs), ""), feeds)


def _texts(session: Any, specs: dict[str, Any], given: Sequence[str], long: str) -> dict[str, np.ndarray] | None:
    """The only input of a model that takes words, from texts; None if this is no such model or arrays are given."""
    from .texts import encoded, takes_words

    spec = next(iter(specs.values()))
    if len(specs) != 1 or not takes_words(spec.shape, input_dtype(spec.type)):
        return None
    from ..trainer.data import Vocabulary, words_of

    vocabulary = Vocabulary.from_facts(session.get_modelmeta().custom_metadata_map, "the model")
    items = [text.removeprefix(f"{spec.name}=") for text in given]
    if vocabulary is None or any(Path(item).suffix.lower() in ARRAYS for item in items):
        return None
    texts = [line for item in items for line in _lines(item)]
    for text in texts:
        if not words_of(text):
            raise InvalidInput(f"input {text!r}: there are no words in it")
    names = [f"input {text[:40]!r}" for text in texts]
    return {spec.name: encoded(texts, vocabulary, long, "input", names).astype(input_dtype(spec.type))}


def _lines(item: str) -> list[str]:
    """The texts of a .txt file, or the text itself."""
    if not item.lower().endswith(TEXTS):
        return [item]
    path = _existing(Path(item))
    if path.stat().st_size > MAX_TEXT:
        raise InvalidInput(f"{path}: takes more than {MAX_TEXT:,} bytes; expected a text in each line")
    content = path.read_bytes()
    try:
        lines = [line for line in content.decode("utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidInput(f"{path}:{line}: byte {content[error.start]:#04x} is no UTF-8") from None
    if not lines:
        raise InvalidInput(f"{path}: there is no text in it")
    return lines


def _batch(pictures: list[np.ndarray], name: str, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    if not pictures:
        return {}
    if name in feeds:
        raise InvalidInput(f"input {name!r} is given twice, as an array and as pictures; expected one of them")
    shapes = sorted({p.shape[1:] for p in pictures})
    if len(shapes) > 1:
        raise InvalidInput(f"the pictures have the shapes {shapes}; expected one, to make a batch of them")
    return {name: np.concatenate(pictures)}


def _cast(array: np.ndarray, spec: Any, name: str) -> np.ndarray:
    """The array in the input's dtype, if both are numbers.

    Raises:
        InvalidInput: if the input takes whole numbers and the array has others.
    """
    from ..runtime.dtypes import NAMES, is_float, numpy_dtype

    codes = {f"tensor({text})": code for code, text in NAMES.items()}
    if spec.type not in codes or array.dtype.kind not in "biuf":
        return array
    wanted = numpy_dtype(codes[spec.type])
    if array.dtype == wanted or not (is_float(wanted) or wanted.kind in "iu"):
        return array
    with np.errstate(all="ignore"):
        cast = array.astype(wanted)
    if not is_float(wanted) and not np.array_equal(cast, array):
        raise InvalidInput(
            f"{name}: {array.dtype} values do not all fit into {wanted}, which input {spec.name!r} takes"
        )
    return cast


def _named(text: str, specs: dict[str, Any]) -> tuple[str, Path]:
    """`name=path` where the model has an input of that name, or where no such file exists."""
    name, equals, rest = text.partition("=")
    return (name, Path(rest)) if equals and (name in specs or not Path(text).exists()) else ("", Path(text))


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise InvalidInput(f"input file {str(path)!r} does not exist")
    return path


def _read(path: Path, spec: Any) -> np.ndarray:
    from ..trainer.data import read_npy, read_npz

    suffix = _existing(path).suffix.lower()
    if suffix == ".npy":
        return _cast(read_npy(path), spec, str(path))
    if suffix == ".npz":
        arrays = read_npz(path)
        if len(arrays) != 1:
            raise InvalidInput(f"{path}: holds the arrays {list(arrays)}; expected one, for input {spec.name!r}")
        return _cast(next(iter(arrays.values())), spec, str(path))
    return _picture(path, spec)


def _picture(path: Path, spec: Any) -> np.ndarray:
    """A batch of one picture as the input wants it."""
    from ..trainer.data import read_image

    images = image_input(spec.shape)
    if images is None:
        raise InvalidInput(f"{path}: input {spec.name!r} has shape {spec.shape}; a picture needs four dimensions")
    return as_input(read_image(path, images.size, images.channels), spec, str(path))


def as_input(pixels: np.ndarray, spec: Any, name: str) -> np.ndarray:
    """A batch of one picture `(H, W, C)` in the input's layout: [0, 1] for floating point, 0 to 255 for uint8.

    Raises:
        InvalidInput: if the input takes neither.
    """
    images = image_input(spec.shape)
    assert images is not None
    x = images.arrange(pixels[None])
    if spec.type == "tensor(uint8)":
        return np.rint(x * 255).astype(np.uint8)
    wanted = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}.get(spec.type)
    if wanted is None:
        raise InvalidInput(f"{name}: input {spec.name!r} is {spec.type}; a picture needs floating point or uint8")
    return x.astype(wanted)
