"""NumPy files: data sets in `.npz`, single arrays in `.npy`. Nothing in them is ever executed."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from ...runtime.errors import InvalidInput, LimitExceeded
from .dataset import Dataset, number_names
from .images import MAX_BYTES, as_images, fit

__all__ = ["load_npz", "read_npy", "read_npz"]

NAMES = (("x", "y"), ("images", "labels"), ("data", "target"))
PARTS = {"train": ("x_train", "y_train"), "test": ("x_test", "y_test")}
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def load_npz(
    path: Path, size: tuple[int, int] | None = None, channels: int | None = None, part: str | None = None
) -> Dataset:
    """The arrays `x`, `y` (or `images`, `labels`), or `x_train`, `y_train`, `x_test`, `y_test`, and maybe `classes`.

    Args:
        part: `train` or `test` where the file has both, else all of it.

    Raises:
        InvalidInput: if the file is damaged, or its arrays are missing or do not fit.
    """
    arrays = read_npz(path)
    pairs = [pair for pair in PARTS.values() if pair[0] in arrays]
    if pairs and part is not None:
        pairs = [PARTS[part]]
    pairs = pairs or [pair for pair in NAMES if pair[0] in arrays][:1]
    if not pairs:
        raise InvalidInput(f"{path}: arrays {sorted(arrays)}; expected x and y, or x_train, y_train, x_test and y_test")
    for name in (n for pair in pairs for n in pair):
        if name not in arrays:
            raise InvalidInput(f"{path}: array {name!r} is missing; the file has {sorted(arrays)}")
    images = [as_images(arrays[x], f"{path}: {x}") for x, _ in pairs]
    xs = [fit(image, size, channels, f"{path}: {x}") for image, (x, _) in zip(images, pairs, strict=True)]
    if len({x.shape[1:] for x in xs}) > 1:
        raise InvalidInput(f"{path}: examples of different shapes {[x.shape[1:] for x in xs]}; expected one shape")
    ys = {name: arrays[name] for _, name in (*PARTS.values(), *NAMES) if name in arrays}
    ys = {name: y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y for name, y in ys.items()}
    for name, y in ys.items():
        if y.dtype.kind not in "iu" or y.ndim != 1:
            raise InvalidInput(f"{path}: {name} is {y.dtype}{list(y.shape)}; expected a vector of integers, the labels")
    classes = _classes(arrays, path) or number_names(np.concatenate(list(ys.values())), str(path))
    y = np.concatenate([ys[name] for _, name in pairs])
    part = part if pairs[0] in PARTS.values() else None
    shapes = tuple(dict.fromkeys(image.shape[1:] for image in images))
    return Dataset(np.concatenate(xs), y, classes, path.name + (f" ({part})" if part else ""), part, shapes)


def _classes(arrays: dict[str, np.ndarray], path: Path) -> tuple[str, ...]:
    names = arrays.get("classes")
    if names is None:
        return ()
    if names.dtype.kind != "U" or names.ndim != 1:
        raise InvalidInput(f"{path}: classes is {names.dtype}{list(names.shape)}; expected a vector of text")
    return tuple(str(n) for n in names)


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an `.npz` file by name.

    Raises:
        InvalidInput: if the file is damaged, or holds Python objects.
        LimitExceeded: if it would take too much memory.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if m.filename.endswith(".npy")]
            if sum(m.file_size for m in members) > MAX_BYTES:
                raise LimitExceeded(f"{path}: takes more than the {MAX_BYTES:,} bytes allowed")
            arrays = {}
            for member in members:
                name = member.filename.removesuffix(".npy")
                with archive.open(member) as file:
                    arrays[name] = read_array(file, member.file_size, f"{path}: {name}")
            return arrays
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise InvalidInput(f"{path}: cannot be read as an .npz file: {error}") from None


def read_npy(path: Path) -> np.ndarray:
    """The array of an `.npy` file.

    Raises:
        InvalidInput: if the file is damaged, or holds Python objects.
        LimitExceeded: if it would take too much memory.
    """
    try:
        with open(path, "rb") as file:
            return read_array(file, path.stat().st_size, str(path))
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror or error}") from None


def read_array(file: IO[bytes], available: int, name: str) -> np.ndarray:
    """Holds the header against the bytes there are before any memory is asked for."""
    try:
        version = np.lib.format.read_magic(file)
        if version not in _HEADERS:
            raise InvalidInput(f"{name}: .npy format {version}; expected one of {sorted(_HEADERS)}")
        shape, fortran, dtype = _HEADERS[version](file)
    except ValueError as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(f"{name}: is not a NumPy array: {str(error).splitlines()[0]}") from None
    if dtype.hasobject or dtype.names is not None:
        raise InvalidInput(f"{name}: holds {dtype}, Python objects or records; expected numbers or text")
    expected = dtype.itemsize * int(np.prod(np.asarray(shape, dtype=object), initial=1))
    if expected > MAX_BYTES:
        raise LimitExceeded(
            f"{name}: {list(shape)} of {dtype} take {expected:,} bytes; at most {MAX_BYTES:,} are allowed"
        )
    if expected > available:
        raise InvalidInput(
            f"{name}: its header says {list(shape)} of {dtype}, {expected:,} bytes; the file has {available:,}"
        )
    body = file.read(expected)
    if len(body) < expected:
        raise InvalidInput(f"{name}: ends after {len(body):,} of {expected:,} bytes; the file is damaged")
    array = np.frombuffer(body, dtype).reshape(shape[::-1] if fortran else shape)
    array = array.T if fortran else array
    return np.ascontiguousarray(array, dtype.newbyteorder("=")).reshape(shape)
