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
import stat
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from .errors import InvalidModel
from .files import atomic_write
from .model_face import ModelMetadata, NodeArg
from .prepared import Whole
from .session_options import SessionOptions

__all__ = ["Face", "Kinds", "Shelf", "kinds", "shelf", "written"]

FORMAT = "striate plans 2"
OPTION = "striate.plan_cache"
LARGEST = 256 << 20
"""Bytes of a model whose plans are kept, and of the weights of such a plan."""
ROOM = 2 << 30
"""Bytes of all plans together."""
PLANS = 8
"""Of one model."""
WORTH = 0.05
"""Seconds that preparing a model takes before it is worth a file."""

Kinds = tuple[tuple[str, str, tuple[int, ...]], ...]
"""Name, dtype and shape of each input, by name."""

ABANDONED = 600.0
"""Seconds after which a file that is still half-written will not be finished."""

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
        self._folder, self._left = folder, PLANS
        self._source, self._state = source, state
        self._file: int | None = None

    def face(self) -> Face | None:
        """What was kept with the first plan."""
        try:
            digest, _, text = (self._folder / _FACE).read_bytes().partition(b"\n")
            return Face.of(json.loads(text)) if digest == _hashed(text) else None
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def find(self, kinds: Kinds) -> Whole | None:
        """The plan for such inputs."""
        from .engines.native import stored

        path = self._folder / _name(kinds)
        try:
            with path.open("rb") as file:
                stretch, notes = stored.read(file)
        except (OSError, stored.Damaged, MemoryError):
            return None
        with suppress(OSError):  # where one may only read, nobody will look for the oldest either
            os.utime(path)
            os.utime(self._folder)
        return Whole(stretch, notes["inputs"], notes["outputs"])

    def keep(self, face: Face, kinds: Kinds, whole: Whole) -> None:
        """Adds the plan that was made for such inputs; a cache that cannot be written to costs only time.

        No more than a model may have: where shapes change all the time, each would be written over the one before. The
        caller does not wait for the disk, but the process does before it ends.
        """
        from .engines.native import stored  # not in the thread: who forks meanwhile would have half of it

        if not self._left or not self._unchanged() or whole.call.program.constant_bytes > LARGEST:
            return
        self._left -= 1
        writer = threading.Thread(
            target=self._write, args=(stored.write, face, kinds, whole), name="striate-plan", daemon=False
        )
        with suppress(RuntimeError):  # no more threads, or the interpreter ends
            writer.start()
            _writers.add(writer)

    def _write(self, write: Callable[..., None], face: Face, kinds: Kinds, whole: Whole) -> None:
        notes = {"inputs": list(whole.inputs), "outputs": dict(whole.outputs)}
        path = self._folder / _name(kinds)
        with suppress(OSError, MemoryError):
            self._folder.mkdir(parents=True, exist_ok=True)
            _sweep(self._folder)
            atomic_write(path, lambda file: write(whole.call, notes, file), durable=False)
            text = json.dumps(face.as_dict()).encode()
            atomic_write(self._folder / _FACE, _hashed(text) + b"\n" + text, durable=False)
            _thin(self._folder)

    def hold(self) -> None:
        """Keeps the model's file readable for as long as this lives, whoever deletes it or puts another in its place.

        Not on Windows, where that would forbid them to.
        """
        if self._source is not None and hasattr(os, "pread"):
            with suppress(OSError):
                self._file = os.open(self._source, os.O_RDONLY)
                weakref.finalize(self, os.close, self._file)

    def source(self) -> str | bytes:
        """What the model is read from after all: the file's absolute path, or its content.

        Raises:
            InvalidModel: it is not the file any more that this session was made of.
        """
        if self._source is not None and self._unchanged():
            return self._source
        if self._file is not None and self._state is not None and _state(self._file) == self._state:
            return os.pread(self._file, os.fstat(self._file).st_size, 0)
        raise InvalidModel(
            f"{self._source!r} was changed or removed after the session was made of it; make a new session"
        )

    def _unchanged(self) -> bool:
        return self._source is None or _state(self._source) == self._state


def written() -> None:
    """Returns when all plans that were to be kept so far are on disk."""
    for writer in list(_writers):
        writer.join()


_writers: weakref.WeakSet[threading.Thread] = weakref.WeakSet()


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
    if not engine["threads"] or not available() or not _code():
        return None
    try:
        path = None if isinstance(source, bytes) else os.path.abspath(source)
        state = None if path is None else _state(path)
        if (len(source) if isinstance(source, bytes) else _size(source)) > LARGEST:
            return None
        digest = _digest(source)
    except (OSError, TypeError, ValueError):
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


def _size(path: str | os.PathLike[str]) -> int:
    """Bytes of a file; infinitely many of what is none, such as a pipe, which cannot be read twice."""
    found = os.stat(path)
    return found.st_size if stat.S_ISREG(found.st_mode) else sys.maxsize


def _state(file: str | int) -> tuple[int, ...] | None:
    """What changes if a file does; of a path, or of a file that is open."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _name(kinds: Kinds) -> str:
    return hashlib.sha256(repr(kinds).encode()).hexdigest()[:40] + _SUFFIX


def _hashed(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


@cache
def _code() -> str:
    """Tells one state of the runtime's source from another; empty where there are no such files, as in an archive."""
    root = os.path.dirname(__file__)
    found = []
    for folder, _, names in os.walk(root):
        for name in (name for name in names if name.endswith(".py")):
            with suppress(OSError):  # of a link to nowhere, as editors make them
                state = os.stat(os.path.join(folder, name))
                found.append((folder[len(root) :], name, state.st_size, state.st_mtime_ns))
    return hashlib.sha256(repr((version("striate"), sorted(found))).encode()).hexdigest() if found else ""


def _thin(folder: Path) -> None:
    """Removes the oldest plans of a model, and the other models used longest ago."""
    used = 0
    for i, file in enumerate(_newest(folder.glob(f"*{_SUFFIX}"))):
        used += file.stat().st_size
        if i >= PLANS or used > ROOM:
            file.unlink(missing_ok=True)
    used = 0
    for other in _newest(f for f in folder.parent.iterdir() if f.is_dir()):
        used += sum(file.stat().st_size for file in other.iterdir())
        if used > ROOM and other != folder:
            shutil.rmtree(other, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Removes what processes left that were killed while they wrote."""
    for file in folder.glob(".*.part"):
        if time.time() - file.stat().st_mtime > ABANDONED:
            file.unlink(missing_ok=True)


def _newest(files: Iterable[Path]) -> list[Path]:
    """The one that was used last comes first."""
    return sorted(files, key=lambda file: file.stat().st_mtime, reverse=True)
