"""Every value inside a model, written to a folder of .npy files or to one .npz file, one value at a time."""

from __future__ import annotations

import io
import json
import os
import re
import secrets
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.errors import InvalidInput, LimitExceeded

__all__ = ["save_all"]

INDEX = "index.json"
FORMAT = "striate.values/1"


def save_all(
    model: Path,
    feeds: Mapping[str, Any],
    target: Path,
    limit: int,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[int, int]:
    """Runs a model node by node, no optimisation applied, and writes inputs and all that nodes compute.

    Args:
        target: an `.npz` file, or a folder that is new, empty, or was written by this. Either is there whole or not at
            all. Names of values become file names where they can; `index.json` says which value is where (also in the
            .npz, under that name), with its dtype, shape and node.
        limit: bytes to write at most.

    Returns:
        How many values, and their bytes.

    Raises:
        InvalidInput: the target is something else.
        LimitExceeded: the values would take more; nothing is left behind.
    """
    from ..exporter.verify_nodes import values_of

    names: set[str] = {INDEX.lower()}
    entries: list[dict[str, Any]] = []
    total = 0
    with _archive(target) if target.suffix == ".npz" else _folder(target) as write:
        for name, value, node, done, of in values_of(model, feeds):
            if progress is not None:
                progress(done, of)
            for label, array in _tensors(name, value):
                total += array.nbytes
                if total > limit:
                    raise LimitExceeded(
                        f"the values take more than {limit >> 20:,} MiB (so far {len(entries)} of them were written); "
                        "allow more with --save-limit"
                    )
                file = _file_name(label, names)
                write(file, _npy(array))
                entries.append(_entry(label, file, array, node))
        write(INDEX, json.dumps({"format": FORMAT, "model": model.name, "values": entries}, indent=1).encode())
    return len(entries), total


def _tensors(name: str, value: Any) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of a value; those of a sequence or map are numbered or named."""
    if isinstance(value, list):
        for i, item in enumerate(value):
            yield from _tensors(f"{name}[{i}]", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _tensors(f"{name}[{key!r}]", np.asarray(item))
    elif value is not None:
        yield name, np.asarray(value)


def _entry(name: str, file: str, array: np.ndarray, node: str) -> dict[str, Any]:
    kind = "string" if array.dtype.kind in "OSUT" else array.dtype.name
    return {"name": name, "file": file, "dtype": kind, "shape": list(array.shape), "node": node}


def _npy(array: np.ndarray) -> bytes:
    """Text as fixed-width text; types that NumPy lacks as their bits, whose name the index has."""
    if array.dtype.hasobject:
        array = array.astype(str)
    elif array.dtype.kind not in "biufcU":
        array = array.view(f"u{array.dtype.itemsize}")
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _file_name(name: str, taken: set[str]) -> str:
    """A file name of its own, on systems that do not tell `a` from `A`, too."""
    stem = re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII).lstrip(".")[:100] or "value"
    file, count = f"{stem}.npy", 1
    while file.lower() in taken:
        count += 1
        file = f"{stem}_{count}.npy"
    taken.add(file.lower())
    return file


@contextmanager
def _folder(target: Path) -> Iterator[Callable[[str, bytes], object]]:
    ours = (target / INDEX).is_file() and FORMAT in (target / INDEX).read_text(encoding="utf-8", errors="replace")
    if target.exists() and not ours and (not target.is_dir() or any(target.iterdir())):
        raise InvalidInput(f"cannot write to {target}: something else is there; name a new folder, or an .npz file")
    beside = _beside(target)
    beside.mkdir(parents=True)
    try:
        yield lambda name, content: (beside / name).write_bytes(content)
        old = _beside(target)
        if target.exists():
            os.replace(target, old)
        os.replace(beside, target)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


@contextmanager
def _archive(target: Path) -> Iterator[Callable[[str, bytes], object]]:
    """An .npz file written value by value."""
    if target.is_dir():
        raise InvalidInput(f"cannot write {target}: it is a folder")
    beside = _beside(target)
    try:
        with zipfile.ZipFile(beside, "x", zipfile.ZIP_STORED) as archive:
            yield archive.writestr
        os.replace(beside, target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name[:64]}.{secrets.token_hex(8)}.part")
