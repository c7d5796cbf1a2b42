"""CIFAR-10 and CIFAR-100 in their binary version: a folder, or the .tar.gz as it is published.

Format: records of one label byte (CIFAR-10) or a coarse and a fine one (CIFAR-100), then 3072 pixels, the red, green
and blue planes of 32×32 in turn (https://www.cs.toronto.edu/~kriz/cifar.html).
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from ...runtime.errors import InvalidInput, LimitExceeded
from .dataset import Dataset, number_names
from .images import as_images, fit

__all__ = ["is_cifar_archive", "is_cifar_folder", "load_cifar"]

PIXELS = 3 * 32 * 32
MAX_FILE = 1 << 28
"""No file of these data sets is as large as this."""

LABELS = ("fine", "coarse")


@dataclass(frozen=True)
class _Kind:
    name: str
    train: tuple[str, ...]
    test: str
    names: dict[str, tuple[str, int]]
    """Kind of label → the file of its names, and its place in a record."""

    @property
    def label_bytes(self) -> int:
        return len(self.names)


_KINDS = (
    _Kind(
        "CIFAR-10",
        tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
        "test_batch.bin",
        {"fine": ("batches.meta.txt", 0)},
    ),
    _Kind(
        "CIFAR-100",
        ("train.bin",),
        "test.bin",
        {"coarse": ("coarse_label_names.txt", 0), "fine": ("fine_label_names.txt", 1)},
    ),
)


def is_cifar_folder(folder: Path) -> bool:
    """Whether the folder holds files named as CIFAR's are."""
    return any((folder / name).is_file() for kind in _KINDS for name in (*kind.train, kind.test))


def is_cifar_archive(path: Path) -> bool:
    """Whether this is the archive that CIFAR's page offers, by its name."""
    return path.name.startswith("cifar-10") and path.name.endswith("-binary.tar.gz")


def load_cifar(
    path: Path,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    part: str | None = None,
    labels: str = "fine",
) -> Dataset:
    """The images as float32 `(N, 32, 32, 3)` in [0, 1], unless another size or number of channels is asked for.

    Args:
        part: `train` (the five batches of CIFAR-10), `test`, or None for all.
        labels: `fine`, or `coarse` for the 20 superclasses of CIFAR-100.

    Raises:
        InvalidInput: if a file is missing or damaged; the message names it.
    """
    files = _members(path) if path.is_file() else _folder(path)
    kind = next((k for k in _KINDS if any(n in files for n in (*k.train, k.test))), None)
    if kind is None:
        raise InvalidInput(f"{path}: has none of the files data_batch_1.bin, test_batch.bin, train.bin, test.bin")
    if labels not in kind.names:
        raise InvalidInput(f"{path}: labels {labels!r}; {kind.name} has {' and '.join(kind.names)} labels")
    wanted = (*kind.train, kind.test) if part is None else kind.train if part == "train" else (kind.test,)
    present = [name for name in wanted if name in files]
    missing = [name for name in wanted if name not in files]
    if not present or (part is not None and missing):
        raise InvalidInput(f"{path}: {missing[0]} is missing")
    names_file, place = kind.names[labels]
    names = _names(files[names_file](), f"{path}: {names_file}") if names_file in files else ()
    records = [_records(files[name](), kind, f"{path}: {name}") for name in present]
    y = np.concatenate([r[:, place] for r in records])
    pixels = np.concatenate([r[:, kind.label_bytes :] for r in records]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    x = fit(as_images(pixels, str(path)), size, channels, str(path))
    name = path.name.removesuffix(".tar.gz") + (f" ({part})" if part else "")
    return Dataset(x, y, names or number_names(y, str(path)), name, part, ((32, 32, 3),))


def _records(content: bytes, kind: _Kind, name: str) -> np.ndarray:
    length = kind.label_bytes + PIXELS
    if not content or len(content) % length:
        raise InvalidInput(
            f"{name}: {len(content):,} bytes; expected a multiple of {length:,}, the bytes of one image of {kind.name}"
        )
    return np.frombuffer(content, np.uint8).reshape(-1, length)


def _names(content: bytes, name: str) -> tuple[str, ...]:
    try:
        return tuple(line.strip() for line in content.decode("utf-8").splitlines() if line.strip())
    except UnicodeDecodeError:
        raise InvalidInput(f"{name}: is no text in UTF-8") from None


def _folder(folder: Path) -> dict[str, Callable[[], bytes]]:
    def reader(path: Path) -> Callable[[], bytes]:
        def read() -> bytes:
            if path.stat().st_size > MAX_FILE:
                raise LimitExceeded(f"{path}: is larger than {MAX_FILE:,} bytes, which no file of CIFAR is")
            return path.read_bytes()

        return read

    return {path.name: reader(path) for path in folder.iterdir() if path.is_file()}


def _members(path: Path) -> dict[str, Callable[[], bytes]]:
    """What the archive holds under CIFAR's names; read once, from the beginning to the end, nothing is unpacked."""
    known = {n for k in _KINDS for n in (*k.train, k.test, *(file for file, _ in k.names.values()))}
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r|*") as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                if name not in known or not member.isreg():
                    continue
                if member.size > MAX_FILE:
                    raise LimitExceeded(f"{path}: {name} takes {member.size:,} bytes; no file of CIFAR does")
                file = archive.extractfile(member)
                found[name] = file.read() if file is not None else b""
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise InvalidInput(f"{path}: cannot be read as a tar file: {error}") from None
    return {name: lambda content=content: content for name, content in found.items()}  # type: ignore[misc]
