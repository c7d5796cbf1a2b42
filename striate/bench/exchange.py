"""Arrays by name in a folder, for another process: one .npy file each, and an index with names and data types."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import ml_dtypes  # noqa: F401 - teaches NumPy the names of its data types
import numpy as np

__all__ = ["read_arrays", "write_arrays"]

INDEX = "index.json"


def write_arrays(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays of numbers or text into a new folder."""
    folder.mkdir(parents=True)
    index = []
    for i, (name, array) in enumerate(arrays.items()):
        text = array.dtype.kind in "OSUT"
        index.append({"name": name, "dtype": "text" if text else array.dtype.name})
        stored = array.astype(str) if text else array
        if stored.dtype.kind not in "biufcU":
            stored = stored.view(f"u{stored.dtype.itemsize}")
        np.save(folder / f"{i}.npy", stored, allow_pickle=False)
    (folder / INDEX).write_text(json.dumps(index), encoding="utf-8")


def read_arrays(folder: Path) -> dict[str, np.ndarray]:
    """What `write_arrays` wrote; text as arrays of `str` objects."""
    found = {}
    for i, entry in enumerate(json.loads((folder / INDEX).read_text(encoding="utf-8"))):
        array = np.load(folder / f"{i}.npy", allow_pickle=False)
        if entry["dtype"] == "text":
            found[entry["name"]] = array.astype(object)
        else:
            dtype = np.dtype(entry["dtype"])
            found[entry["name"]] = array if array.dtype == dtype else array.view(dtype)
    return found
