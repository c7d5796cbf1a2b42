"""IDX files, gzipped or not: the layout of MNIST, Fashion-MNIST, KMNIST and EMNIST folders.

Format: two zero bytes, a type code, the rank, the dimensions as big-endian 32-bit integers, then the values
(http://yann.lecun.com/exdb/mnist/).
"""

from __future__ import annotations

import gzip
import zlib
from io import BufferedIOBase
from pathlib import Path

import numpy as np

from ...runtime.errors import InvalidInput, LimitExceeded
from .dataset import Dataset, number_names
from .images import MAX_BYTES, as_images, fit

__all__ = ["is_idx_folder", "load_idx", "read_idx"]

PARTS = {"train": ("train",), "test": ("t10k", "test")}
_KINDS = {"images": "idx3", "labels": "idx1"}
_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def is_idx_folder(folder: Path) -> bool:
    """Whether the folder holds IDX files of images."""
    return any(_find(folder, words, "images") is not None for words in PARTS.values())


def load_idx(
    folder: Path, size: tuple[int, int] | None = None, channels: int | None = None, part: str | None = None
) -> Dataset:
    """The images and labels of a folder such as `train-images-idx3-ubyte.gz`, `train-labels-idx1-ubyte.gz`, `t10k-…`.

    Args:
        part: `train`, `test` (the files named t10k or test), or None for all of them, one after the other.

    Raises:
        InvalidInput: if a file is missing, damaged, or does not fit its partner; the message names it.
    """
    wanted = [part] if part is not None else [p for p in PARTS if _find(folder, PARTS[p], "images") is not None]
    labels = {p: read_idx(path) for p in PARTS if (path := _find(folder, PARTS[p], "labels")) is not None}
    images, shapes = [], []
    for p in wanted:
        path = _find(folder, PARTS[p], "images")
        if path is None or p not in labels:
            kind = "images" if path is None else "labels"
            raise InvalidInput(
                f"{folder}: there is no IDX file of {p} {kind}, such as {PARTS[p][0]}-{kind}-{_KINDS[kind]}-ubyte"
            )
        x = as_images(read_idx(path), str(path))
        if len(x) != len(labels[p]):
            raise InvalidInput(f"{path}: {len(x)} images but {len(labels[p])} labels; expected as many of each")
        shapes.append(x.shape[1:])
        images.append(fit(x, size, channels, str(path)))
    names = number_names(np.concatenate(list(labels.values())), str(folder))
    y = np.concatenate([labels[p] for p in wanted])
    name = folder.name + (f" ({part})" if part else "")
    return Dataset(np.concatenate(images), y, names, name, part, tuple(dict.fromkeys(shapes)))


def read_idx(path: Path) -> np.ndarray:
    """The array of one IDX file, in the byte order of this machine.

    Raises:
        InvalidInput: if the file is not IDX, or holds more or fewer values than its header says.
        LimitExceeded: if the header asks for too much memory.
    """
    try:
        with _open(path) as file:
            return _read(file, path)
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidInput(f"{path}: cannot be read as an IDX file: {error}") from None


def _open(path: Path) -> BufferedIOBase:
    with open(path, "rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if zipped else open(path, "rb")


def _read(file: BufferedIOBase, path: Path) -> np.ndarray:
    head = file.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _DTYPES or not 1 <= head[3] <= 4:
        raise InvalidInput(
            f"{path}: starts with {head.hex(' ') or 'nothing'}; expected an IDX file: 00 00, a type, a rank from 1 to 4"
        )
    dtype, rank = np.dtype(_DTYPES[head[2]]), head[3]
    shape = tuple(int(d) for d in np.frombuffer(file.read(4 * rank).ljust(4 * rank, b"\0"), ">u4"))
    expected = dtype.itemsize * int(np.prod(np.asarray(shape, dtype=object)))
    if expected > MAX_BYTES:
        raise LimitExceeded(
            f"{path}: its header says {list(shape)}, {expected:,} bytes; at most {MAX_BYTES:,} are allowed"
        )
    body = _read_at_most(file, expected + 1)
    if len(body) != expected:
        found = f"{len(body):,}" if len(body) < expected else "more"
        raise InvalidInput(
            f"{path}: its header says {list(shape)}, {expected:,} bytes, but {found} follow; the file is damaged"
        )
    return np.frombuffer(body, dtype).astype(dtype.newbyteorder("=")).reshape(shape)


def _read_at_most(file: BufferedIOBase, limit: int) -> bytes:
    """Grows with what is really there: a header's claim alone takes no memory."""
    pieces, found = [], 0
    while found < limit and (piece := file.read(min(limit - found, 1 << 22))):
        pieces.append(piece)
        found += len(piece)
    return b"".join(pieces)


def _find(folder: Path, words: tuple[str, ...], kind: str) -> Path | None:
    for path in sorted(folder.iterdir()):
        name = path.name.lower()
        if kind in name and _KINDS[kind] in name and any(w in name for w in words) and path.is_file():
            return path
    return None
