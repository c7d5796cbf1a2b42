"""Data sets by name or path: digits, IDX files, `.npz` files, folders of pictures."""

from __future__ import annotations

import os
from pathlib import Path

from ...runtime.errors import InvalidInput
from .dataset import Dataset
from .digits import load_digits
from .folder import load_folder, read_image
from .idx import is_idx_folder, load_idx, read_idx
from .images import resize
from .npz import load_npz, read_npy, read_npz

__all__ = [
    "Dataset",
    "load",
    "load_digits",
    "load_folder",
    "load_idx",
    "load_npz",
    "read_idx",
    "read_image",
    "read_npy",
    "read_npz",
    "resize",
]


def load(
    spec: str | os.PathLike[str],
    image_size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    part: str | None = None,
) -> Dataset:
    """The data set that `spec` names.

    Args:
        spec: `digits`, a folder of IDX files (MNIST, Fashion-MNIST, …), an `.npz` file, or a folder of pictures, one
            subfolder per class.
        image_size: height and width to resize to, or one number for both; None keeps the size there is.
        channels: 1 or 3; None keeps what there is.
        part: `train` or `test` where the source has such parts (digits and IDX files always, others may); None for all.
            A source without parts is given whole.

    Returns:
        Images as float32 `(N, height, width, channels)` in [0, 1], labels as int64 `(N,)`.

    Raises:
        InvalidInput: if there is no such data, or it is damaged; the message names the file.
        LimitExceeded: if it would take too much memory.
        MissingDependency: if scikit-learn or pillow is needed and not installed.
    """
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise InvalidInput(f"image_size {image_size} does not fit; expected a height and a width of at least 1")
    if channels not in (None, 1, 3):
        raise InvalidInput(f"channels is {channels}; expected 1 or 3")
    if part not in (None, "train", "test"):
        raise InvalidInput(f"part is {part!r}; expected 'train' or 'test'")
    if spec == "digits":
        return load_digits(size, channels, part)
    path = Path(spec)
    if path.is_dir():
        return (load_idx if is_idx_folder(path) else load_folder)(path, size, channels, part)
    if not path.is_file():
        raise InvalidInput(f"data {str(spec)!r} is neither 'digits' nor a file or folder that exists")
    if path.suffix.lower() != ".npz":
        raise InvalidInput(f"{path}: expected an .npz file, a folder of IDX files or of pictures, or 'digits'")
    return load_npz(path, size, channels, part)
