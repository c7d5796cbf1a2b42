"""Folders of pictures: one subfolder per class, named like the class."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from ...runtime.errors import InvalidInput, LimitExceeded, MissingDependency
from .dataset import Dataset
from .images import check_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["SUFFIXES", "decoded", "load_folder", "read_image"]

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp"))
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
PARTS = {"train": ("train", "training"), "test": ("test", "testing")}
MAX_PIXELS = 1 << 26
"""A picture of more pixels than this (8192×8192) is refused before it is decoded."""

MODES = frozenset(
    ("1", "L", "LA", "I", "I;16", "I;16L", "I;16B", "F", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
)
"""The modes of pillow that stand for grey or colours without doubt."""

_GREY = frozenset(("1", "L", "LA", "I", "I;16", "I;16L", "I;16B", "F"))
_WIDE = {"I;16": 65535.0, "I;16L": 65535.0, "I;16B": 65535.0, "I": 65535.0, "F": 1.0}


def load_folder(
    folder: Path, size: tuple[int, int] | None = None, channels: int | None = None, part: str | None = None
) -> Dataset:
    """Pictures as float32 `(N, height, width, channels)` in [0, 1]; classes are the subfolders by name.

    Args:
        size: height and width; without it all pictures must have one size.
        channels: 1 or 3; without it 1 if all pictures are grey, else 3.
        part: `train` or `test`: the subfolder of that name if there is one, with the classes inside; else everything.

    Raises:
        InvalidInput: if there is no picture, one is damaged, or sizes differ; the message names the file.
        MissingDependency: if pillow is not installed.
    """
    roots = {p: folder / n for p, names in PARTS.items() for n in names if (folder / n).is_dir()}
    if "train" not in roots:
        roots = {"train": folder}
        part = None
    wanted = list(roots.values()) if part is None else [roots[part]] if part in roots else []
    if not wanted:
        raise InvalidInput(f"{folder}: there is no folder {part!r} in it; there are: {', '.join(roots)}")
    classes = sorted({p.name for root in wanted for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")})
    files = [(path, label) for root in wanted for label, c in enumerate(classes) for path in _pictures(root / c)]
    if files:
        _check_classes(folder, wanted, classes, {label for _, label in files})
    else:
        kinds = " ".join(sorted(SUFFIXES))
        raise InvalidInput(f"{folder}: there are no pictures; expected one subfolder per class with files of {kinds}")
    if size is None or channels is None:
        size, channels = _common(files, size, channels)
    check_bytes((len(files), *size, channels), str(folder))
    x = np.empty((len(files), *size, channels), np.float32)
    shapes: dict[tuple[int, ...], None] = {}
    for i, (path, _) in enumerate(files):
        x[i], shape = decoded(path, str(path), size, channels)
        shapes[shape] = None
    y = np.asarray([label for _, label in files], np.int64)
    return Dataset(x, y, tuple(classes), folder.name + (f" ({part})" if part else ""), part, tuple(shapes))


def read_image(path: Path, size: tuple[int, int] | None = None, channels: int | None = None) -> np.ndarray:
    """One picture as float32 `(height, width, channels)` in [0, 1], upright, resized by cubic convolution if need be.

    Raises:
        InvalidInput: if the file is no picture, or damaged.
        LimitExceeded: if it has too many pixels.
        MissingDependency: if pillow is not installed.
    """
    return decoded(path, str(path), size, channels)[0]


def decoded(
    file: Path | BinaryIO, name: str, size: tuple[int, int] | None, channels: int | None
) -> tuple[np.ndarray, tuple[int, int, int]]:
    """The picture in a file as `read_image` gives it, and the shape it has there; `name` is what errors call it."""
    with _opened(file, name) as image:
        from PIL import Image, ImageOps

        grey = channels == 1 or (channels is None and image.mode in _GREY)
        upright = ImageOps.exif_transpose(image)
        found = (upright.height, upright.width, 1 if upright.mode in _GREY else 3)
        if upright.mode in _WIDE:
            upright = Image.fromarray(np.asarray(upright, np.float32) * np.float32(255 / _WIDE[upright.mode]))
        upright = upright.convert("F" if grey and upright.mode == "F" else "L" if grey else "RGB")
        if size is not None and upright.size != (size[1], size[0]):
            upright = upright.resize((size[1], size[0]), Image.Resampling.BICUBIC)
        pixels = np.clip(np.asarray(upright, np.float32) / np.float32(255), 0, 1)
        return pixels.reshape(*pixels.shape[:2], 1 if grey else 3), found


@contextmanager
def _opened(file: Path | BinaryIO, name: str) -> Iterator[Image]:
    try:
        from PIL import Image
    except ImportError:
        raise MissingDependency("pictures are read with pillow; install it with pip install 'striate[data]'") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(file, formats=FORMATS) as image:
                if image.mode not in MODES:
                    raise InvalidInput(
                        f"{name}: is a picture of mode {image.mode}; expected grey, RGB or a palette, with or without "
                        "transparency: convert it"
                    )
                if image.width * image.height > MAX_PIXELS:
                    raise Image.DecompressionBombError(f"{image.width}×{image.height} pixels")
                yield image
    except Image.DecompressionBombError as error:
        raise LimitExceeded(f"{name}: {error}; at most {MAX_PIXELS:,} pixels are allowed") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(f"{name}: cannot be read as a picture: {error}") from None


def _check_classes(folder: Path, wanted: list[Path], classes: list[str], found: set[int]) -> None:
    """Refuses a single class, and a folder of a class without pictures."""
    if len(classes) == 1:
        raise InvalidInput(
            f"{folder}: there is one class only, {classes[0]!r}; expected two or more subfolders with pictures"
        )
    for label, name in enumerate(classes):
        empty = next((root / name for root in wanted if (root / name).is_dir() and not _pictures(root / name)), None)
        if empty is not None:
            rest = "" if label in found else f"; without it class {name!r} has none"
            raise InvalidInput(f"{empty}: there are no pictures in it{rest}: remove the folder or fill it")


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))


def _common(
    files: list[tuple[Path, int]], size: tuple[int, int] | None, channels: int | None
) -> tuple[tuple[int, int], int]:
    """The size and channels all pictures can share, from their headers."""
    first: tuple[int, int] | None = None
    all_grey = True
    for path, _ in files:
        with _opened(path, str(path)) as image:
            found = (image.height, image.width)
            all_grey = all_grey and image.mode in _GREY
        first = first or found
        if size is None and found != first:
            raise InvalidInput(
                f"{path}: {found[0]}×{found[1]} pixels, but {files[0][0]} has {first[0]}×{first[1]}; "
                "expected one size, or an image size to bring all of them to"
            )
    assert first is not None
    return size or first, channels or (1 if all_grey else 3)
