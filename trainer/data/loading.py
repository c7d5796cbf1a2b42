"""Data sets by name, address or path: the one table of what `--data` can be."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ...runtime.errors import InvalidInput
from .cifar import is_cifar_archive, is_cifar_folder, load_cifar
from .dataset import Dataset
from .digits import load_digits
from .download import KNOWN, Progress, data_folder, download, fetch, is_url
from .folder import load_folder
from .idx import is_idx_folder, load_idx
from .npz import load_npz
from .options import refuse_others, split_options, yes_or_no
from .shards import Shards, is_shards, open_shards
from .synthetic import PREFIX, count_of, synthetic
from .table import SUFFIXES, load_table

__all__ = ["load", "located", "source"]

Size = tuple[int, int] | None


def load(
    spec: str | os.PathLike[str],
    image_size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    part: str | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """The data set that `spec` names.

    Args:
        spec: `digits`; `mnist`, `fashion-mnist`, `cifar10`, `cifar100`, downloaded once; `synthetic:N`; a folder of IDX
            files (MNIST, Fashion-MNIST, …), of CIFAR's binary files, or of pictures, one subfolder per class; an `.npz`
            file; a `.csv` or `.tsv` file; tar files of examples (a file, a folder, a pattern); an `https://` address of
            such a file. Options may follow: `reviews.csv,text=review,label=stars` (see `load_table`),
            `cifar100,labels=coarse`, `https://…,sha256=…`.
        image_size: height and width to resize to, or one number for both; None keeps the size there is.
        channels: 1 or 3; None keeps what there is.
        part: `train` or `test` where the source has such parts (digits, IDX and CIFAR files always, others may); None
            for all. A source without parts is given whole.
        progress: called with (bytes so far, bytes in all or 0) of a download.

    Returns:
        Images as float32 `(N, height, width, channels)` in [0, 1], rows of numbers as float32 `(N, columns)`, or texts
        `(N,)`; labels as int64 `(N,)`.

    Raises:
        InvalidInput: if there is no such data, or it is damaged; the message names the file, and the line of a table.
        LimitExceeded: if it would take too much memory.
        MissingDependency: if scikit-learn or pillow is needed and not installed.
    """
    found = source(spec, image_size, channels, part, progress)
    return found.whole() if isinstance(found, Shards) else found


def source(
    spec: str | os.PathLike[str],
    image_size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    part: str | None = None,
    progress: Progress | None = None,
) -> Dataset | Shards:
    """As `load`, but tar files stay where they are, to be read while training."""
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise InvalidInput(f"image_size {image_size} does not fit; expected a height and a width of at least 1")
    if channels not in (None, 1, 3):
        raise InvalidInput(f"channels is {channels}; expected 1 or 3")
    if part not in (None, "train", "test"):
        raise InvalidInput(f"part is {part!r}; expected 'train' or 'test'")
    name, options = split_options(os.fspath(spec))
    if name == "digits" or (name.startswith(PREFIX) and not Path(name).exists()):
        refuse_others(name, options)
        if name == "digits":
            return load_digits(size, channels, part)
        return synthetic(count_of(name), (*(size or (32, 32)), channels or 1), part=part)
    path, options = located(name, options, progress)
    if path.is_dir() and not is_cifar_folder(path) and (is_idx_folder(path) or not is_shards(path)):
        refuse_others(name, options)
        return (load_idx if is_idx_folder(path) else load_folder)(path, size, channels, part)
    return _from_file(path, options, size, channels, part)


def located(name: str, options: Mapping[str, str], progress: Progress | None = None) -> tuple[Path, dict[str, str]]:
    """Where the data lie, after a download if need be, and the options that are left.

    Raises:
        InvalidInput: as `download.download`; for an address without a checksum.
    """
    options = dict(options)
    if is_url(name):
        checksum = options.pop("sha256", None) or (f"md5:{options.pop('md5')}" if "md5" in options else None)
        if checksum is None:
            raise InvalidInput(f"{name}: has no checksum; add ,sha256= and 64 digits, which its publisher gives")
        return download(name, data_folder() / "files", checksum, progress=progress), options
    path = Path(name)
    return (fetch(name, progress) if name in KNOWN and not path.exists() else path), options


def _from_file(
    path: Path, options: Mapping[str, str], size: Size, channels: int | None, part: str | None
) -> Dataset | Shards:
    spec = str(path)
    if is_cifar_folder(path) or is_cifar_archive(path):
        refuse_others(spec, options, ("labels",))
        return load_cifar(path, size, channels, part, options.get("labels", "fine"))
    if is_shards(path) and (path.exists() or "*" in path.name):
        refuse_others(spec, options)
        return open_shards(path, size, channels, part)
    if not path.is_file():
        raise InvalidInput(
            f"data {spec!r} is neither the name of a data set ('digits', {', '.join(KNOWN)}, {PREFIX}N) nor a file "
            "or folder that exists"
        )
    if path.suffix.lower() in SUFFIXES:
        refuse_others(spec, options, ("text", "label", "features", "header", "delimiter"))
        given = {k: yes_or_no(spec, k, v) if k == "header" else v for k, v in options.items()}
        return load_table(path, **given)  # type: ignore[arg-type]
    if path.suffix.lower() != ".npz":
        raise InvalidInput(
            f"{path}: expected an .npz file, a .csv, .tsv or .tar file, or a folder of IDX files or of pictures"
        )
    refuse_others(spec, options)
    return load_npz(path, size, channels, part)
