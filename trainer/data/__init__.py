"""Data sets by name, address or path, and what turns them into batches."""

from __future__ import annotations

from .batches import Batches
from .cifar import load_cifar
from .dataset import Dataset
from .digits import load_digits
from .download import download
from .folder import load_folder, read_image
from .idx import load_idx, read_idx
from .images import resize
from .loading import load, source
from .npz import load_npz, read_npy, read_npz
from .prefetch import prefetch
from .shards import Shards, open_shards
from .synthetic import synthetic, synthetic_like
from .table import load_table
from .text import Vocabulary, words_of

__all__ = [
    "Batches",
    "Dataset",
    "Shards",
    "Vocabulary",
    "download",
    "load",
    "load_cifar",
    "load_digits",
    "load_folder",
    "load_idx",
    "load_npz",
    "load_table",
    "open_shards",
    "prefetch",
    "read_idx",
    "read_image",
    "read_npy",
    "read_npz",
    "resize",
    "source",
    "synthetic",
    "synthetic_like",
    "words_of",
]
