"""Compiled plans that are kept on disk, so that the next session of a model neither reads nor prepares it again.

A model under given options has a folder in the cache, named by a hash of all that decides what it becomes: the file's
content, the options, the processor, the versions, and the runtime's own source. In it lies a file for each set of input
shapes whose plan is one native call. What cannot be read is as good as missing. The folders that were used last stay.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from .errors import InvalidModel
from .files import atomic_write
from .model_face import ModelMetadata, NodeArg
from .prepared import Whole
from .session_options import SessionOptions

__all__ = ["Face", "Kinds", "Shelf", "kinds", "shelf"]

FORMAT = "striate plans 1"
OPTION = "striate.plan_cache"
LARGEST = 256 << 20
"""Bytes of a model whose plans are kept; packed weights are as large again."""
ROOM = 2 << 30
"""Bytes of all plans together."""
PLANS = 8
"""Of one model."""
WORTH = 0.05
"""Seconds that preparing a model takes before it is worth a file."""

Kinds = tuple[tuple[str, str, tuple[int, ...]], ...]
"""Name, dtype and shape of each input, by name."""

_LISTS = ("inputs", "overridable", "outputs")
_FACE = "face"
_SUFFIX = ".plan"


@dataclass(frozen=True)
class Face:
    """What a session tells of its model without having it."""

    inputs: list[NodeArg]
    overridable: list[NodeArg]
    outputs: list[NodeArg]
    metadata: ModelMetadata

    def as_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        rows = {n: [(a.name, a.type, a.shape) for a in getattr(self, n)] for n in _LISTS}
        return {**rows, "metadata": asdict(self.metadata)}

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Face:
        """From what `as_dict` made."""
        inputs, overridable, outputs = ([NodeArg(*row) for row in data[name]] for name in _LISTS)
        return cls(inputs, overridable, outputs, ModelMetadata(**data["metadata"]))


class Shelf:
    """The plans of one model under given options."""

    def __init__(self, folder: Path, source: str | None, state: Any) -> None:
        self._folder = folder
        self._source, self._state = source, state

    def face(self) -> Face | None:
        """What was kept with the first plan."""
        try:
            return Face.of(json.loads((self._folder / _FACE).read_bytes()))
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def find(self, kinds: Kinds) -> Whole | None:
        """The plan for such inputs."""
        from .engines.native import stored

        path = self._folder / _name(kinds)
        try:
            with path.open("rb") as file:
                stretch, notes = stored.read(file)
            os.utime(path)
            os.utime(self._folder)
        except (OSError, stored.Damaged):
            return None
        return Whole(stretch, notes["inputs"], notes["outputs"])

    def keep(self, face: Face, kinds: Kinds, whole: Whole) -> None:
        """Adds the plan that was made for such inputs; a cache that cannot be written to costs only time."""
        from .engines.native import stored

        if not self._unchanged():
            return
        notes = {"inputs": list(whole.inputs), "outputs": dict(whole.outputs)}
        path = self._folder / _name(kinds)
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            atomic_write(path, lambda file: stored.write(whole.call, notes, file), durable=False)
            atomic_write(self._folder / _FACE, json.dumps(face.as_dict()).encode(), durable=False)
            _thin(self._folder)

    def check(self) -> None:
        """Before the model's file is read after all.

        Raises:
            InvalidModel: it is not the file any more that this session was made of.
        """
        if not self._unchanged():
            raise InvalidModel(f"{self._source!r} was changed after the session was made of it; make a new session")

    def _unchanged(self) -> bool:
        return self._source is None or _state(self._source) == self._state


def kinds(arrays: Mapping[str, np.ndarray]) -> Kinds:
    """What decides which plan is for them."""
    return tuple(sorted((name, x.dtype.str, x.shape) for name, x in arrays.items()))


def shelf(source: str | bytes | os.PathLike[str], options: SessionOptions, engine: Mapping[str, Any]) -> Shelf | None:
    """The plans of a model; None where none are kept: options that a name cannot tell, files of many bytes.

    Args:
        engine: how the native engine is used.
    """
    from .engines.native import available, compiler

    wanted = options._entries.get(OPTION) or os.environ.get("STRIATE_PLAN_CACHE") or "1"
    cached = compiler.cache_folder()
    if wanted != "1" or cached is None or options._initializers or options.optimized_model_filepath:
        return None
    if not engine["threads"] or not available():
        return None
    path = None if isinstance(source, bytes) else os.path.abspath(source)
    try:
        state = None if path is None else _state(path)
        size = len(source) if isinstance(source, bytes) else os.stat(path or "").st_size
        if size > LARGEST:
            return None
        digest = _digest(source)
    except (OSError, ValueError):
        return None  # the reader will say what is wrong
    parts = (
        FORMAT, compiler.setting().decode(), _code(), dict(engine), int(options.graph_optimization_level),
        options._dimensions, options._denotations, options._entries, digest,
    )  # fmt: skip
    name = hashlib.sha256(repr(parts).encode()).hexdigest()[:40]
    return Shelf(cached / "plans" / name, path, state)


def _digest(source: Any) -> str:
    """Of the content; SHA-256 is what processors have instructions for."""
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    with open(source, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _state(path: str) -> tuple[int, ...] | None:
    """What changes if a file does."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _name(kinds: Kinds) -> str:
    return hashlib.sha256(repr(kinds).encode()).hexdigest()[:40] + _SUFFIX


@cache
def _code() -> str:
    """Tells one state of the runtime's source from another."""
    root = os.path.dirname(__file__)
    found = []
    for folder, _, names in os.walk(root):
        states = ((name, os.stat(os.path.join(folder, name))) for name in names if name.endswith(".py"))
        found += [(folder[len(root) :], name, state.st_size, state.st_mtime_ns) for name, state in states]
    return hashlib.sha256(repr(sorted(found)).encode()).hexdigest()


def _thin(folder: Path) -> None:
    """Removes the oldest plans of a model, and the models used longest ago."""
    plans = sorted(folder.glob(f"*{_SUFFIX}"), key=lambda f: f.stat().st_mtime, reverse=True)
    for file in plans[PLANS:]:
        file.unlink(missing_ok=True)
    used = 0
    for other in sorted(folder.parent.iterdir(), key=lambda f: f.stat().st_mtime, reverse=True):
        used += sum(file.stat().st_size for file in other.iterdir())
        if used > ROOM:
            shutil.rmtree(other, ignore_errors=True)
