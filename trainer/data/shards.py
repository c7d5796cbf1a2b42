"""Data sets larger than memory: tar files of examples, read one after the other and shuffled through a buffer."""

from __future__ import annotations

import glob
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from ...runtime.errors import InvalidInput
from ...runtime.random import bits, derive, permutation
from .dataset import MAX_CLASSES, Dataset, checked_fractions, number_names
from .folder import decoded
from .images import as_images, check_bytes, fit
from .npz import read_array
from .tar import ARRAY, Member, examples

__all__ = ["Shards", "is_shards", "open_shards"]

BUFFER = 1024
"""Examples that wait, undecoded, for their turn while training."""


@dataclass(frozen=True, eq=False)
class Shards:
    """Examples in tar files, or a share of them; labels are in memory, pictures are not.

    Args:
        files: the tar files, in order; `starts[i]` is the number of the first example of file i.
        y: labels of all examples of the files, `(N,)` int64.
        places: a number in [0, 1) for each example, made from its key: who is in `window` belongs to this share.
        shape: of an example, as it is delivered; `shapes` what was found of the first.
        size, channels: what pictures are brought to; None keeps what there is.
        buffer: see `BUFFER`.
    """

    files: tuple[Path, ...]
    starts: tuple[int, ...]
    labels: np.ndarray
    places: np.ndarray
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    name: str
    shapes: tuple[tuple[int, ...], ...]
    size: tuple[int, int] | None = None
    channels: int | None = None
    buffer: int = BUFFER
    window: tuple[float, float] = (0.0, 1.0)
    part: str | None = None

    def __len__(self) -> int:
        return int(self.chosen.sum())

    @property
    def chosen(self) -> np.ndarray:
        """Which examples of the files belong to this share, `(N,)` bool."""
        return (self.places >= self.window[0]) & (self.places < self.window[1])

    @property
    def y(self) -> np.ndarray:
        """The labels of this share, in the order of the files."""
        return self.labels[self.chosen]

    def relabelled(self, table: np.ndarray, classes: Sequence[str]) -> Shards:
        """With class i called `table[i]`."""
        return replace(self, labels=np.asarray(table)[self.labels], classes=tuple(classes))

    def split(self, fractions: Sequence[float], seed: int = 0) -> tuple[Shards, ...]:
        """Disjoint parts that together are the whole, of about these shares; a key is always in the same part.

        Raises:
            InvalidInput: if the fractions do not fit or would leave a part empty.
        """
        checked_fractions(fractions, self.name)
        places = np.asarray([derive(int(p * 2**53), "shards/split", seed) for p in self.places]) / 2.0**63
        ends = [0.0, *np.cumsum(fractions)[:-1].tolist(), 1.0]
        mine = np.where(self.chosen, places, 2.0)
        parts = tuple(replace(self, places=mine, window=w) for w in pairwise(ends))
        if not all(map(len, parts)):
            raise InvalidInput(f"{self.name}: {len(self)} examples are too few for parts of {list(fractions)}")
        return parts

    def examples(self, seed: int | None = None, epoch: int = 0) -> Iterator[tuple[int, np.ndarray, int]]:
        """Number, array of `shape`, and label of each example of this share.

        Args:
            seed: shuffles the files, and the examples through the buffer, differently for each `epoch`; without it the
                order is that of the files.

        Raises:
            InvalidInput: if a picture is damaged or of another shape; the message names the file and the key.
        """
        stored = self._stored(range(len(self.files)))
        if seed is not None:
            order = permutation(derive(seed, "shards/files"), epoch, len(self.files))
            stored = _shuffled(self._stored(order.tolist()), derive(seed, "shards/buffer"), epoch, self.buffer)
        for number, path, member in stored:
            x, found = _array(path, member, self.size, self.channels)
            if x.shape != self.shape:
                raise InvalidInput(
                    f"{path}: {member.key}{member.suffix} has shape {found}; expected {self.shape}, as in the first "
                    "example, or a size and channels to bring all of them to"
                )
            yield number, x, int(self.labels[number])

    def _stored(self, order: Sequence[int]) -> Iterator[tuple[int, Path, Member]]:
        chosen = self.chosen
        for i in order:
            end = self.starts[i + 1] if i + 1 < len(self.starts) else len(self.labels)
            number = self.starts[i]
            for number, member in enumerate(examples(self.files[i]), self.starts[i]):
                if number >= end:
                    break
                if chosen[number]:
                    yield number, self.files[i], member
            if number != end - 1:
                raise InvalidInput(f"{self.files[i]}: has changed since it was first read; begin anew")

    def whole(self) -> Dataset:
        """All examples in memory.

        Raises:
            LimitExceeded: if they take too much.
        """
        check_bytes((len(self), *self.shape), self.name)
        x = np.empty((len(self), *self.shape), np.float32)
        for i, (_, example, _) in enumerate(self.examples()):
            x[i] = example
        return Dataset(x, self.y, self.classes, self.name, self.part, self.shapes)


def is_shards(path: Path) -> bool:
    """Whether this is a tar file, a pattern of them, or a folder that has some."""
    if path.is_dir():
        return bool(_files(path))
    return path.name.lower().rstrip("*").endswith((".tar", ".tar.gz", ".tgz"))


def open_shards(
    path: str | Path | Sequence[str | Path],
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    part: str | None = None,
    buffer: int = BUFFER,
) -> Shards:
    """Tar files of examples, read through once for their labels.

    Args:
        path: a file, a pattern such as `train-*.tar`, a folder, or a list of files.
        size: height and width of pictures; None: that of the first, and all others must have it.
        channels: 1 or 3; None: as the first.
        part: `train` or `test`: of a folder the files whose names begin so, if there are such.

    Raises:
        InvalidInput, LimitExceeded: as `tar.examples`; if there is no example, or numbers and names of classes meet.
    """
    files = [Path(p) for p in path] if not isinstance(path, (str, Path)) else _files(Path(path))
    named = [f for f in files if part is not None and f.name.startswith(part)]
    if not files:
        raise InvalidInput(f"{path}: there is no tar file")
    name = str(path) if isinstance(path, (str, Path)) else files[0].parent.name
    keys: list[int] = []
    labels: list[int | str] = []
    starts: list[int] = []
    for file in named or files:
        starts.append(len(labels))
        for member in examples(file, data=False):
            keys.append(derive(0, "shards/key", member.key))
            labels.append(member.label)
        if len(labels) == starts[-1]:
            raise InvalidInput(f"{file}: there are no examples in it")
    y, classes = _classes(labels, name)
    first = next(examples((named or files)[0]))
    x, found = _array((named or files)[0], first, size, channels)
    name = Path(name).name + (f" ({part})" if named else "")
    places = np.asarray(keys, np.float64) / 2.0**63
    made = (tuple(named or files), tuple(starts), y, places, classes, x.shape, name, (found,), size, channels, buffer)
    return Shards(*made, part=part if named else None)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(p for p in path.iterdir() if p.is_file() and is_shards(p) and not p.name.startswith("."))
    return [path] if path.is_file() else sorted(Path(p) for p in glob.glob(str(path)))


def _classes(labels: list[int | str], name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    names = sorted({label for label in labels if isinstance(label, str)})
    if names and any(not isinstance(label, str) for label in labels):
        raise InvalidInput(f"{name}: some labels are numbers, others names such as {names[0]!r}; expected one kind")
    if len(names) > MAX_CLASSES:
        raise InvalidInput(f"{name}: {len(names):,} different labels; expected at most {MAX_CLASSES:,} classes")
    numbers = {label: i for i, label in enumerate(names)}
    y = np.asarray([numbers[label] if isinstance(label, str) else label for label in labels], np.int64)
    return y, tuple(names) or number_names(y, name)


def _array(
    path: Path,
    member: Member,
    size: tuple[int, int] | None,
    channels: int | None,
) -> tuple[np.ndarray, tuple[int, ...]]:
    """An example as float32, and the shape it has in the file."""
    name = f"{path}: {member.key}{member.suffix}"
    if member.suffix != ARRAY:
        return decoded(io.BytesIO(member.data), name, size, channels)
    array = read_array(io.BytesIO(member.data), len(member.data), name)
    x = as_images(array[None], name)
    found = x.shape[1:]
    return (fit(x, size, channels, name) if x.ndim == 4 else x)[0], found


def _shuffled(
    items: Iterator[tuple[int, Path, Member]], seed: int, epoch: int, size: int
) -> Iterator[tuple[int, Path, Member]]:
    """Each item waits in a buffer until chance draws it; what is left at the end comes in random order."""
    buffer: list[tuple[int, Path, Member]] = []
    draws, drawn = np.empty(0, np.uint32), 0
    for count, item in enumerate(items):
        if len(buffer) < size:
            buffer.append(item)
            continue
        if drawn == len(draws):
            draws, drawn = bits(np, derive(seed, epoch), count, 4096), 0
        place = int(draws[drawn]) % size
        drawn += 1
        yield buffer[place]
        buffer[place] = item
    for place in permutation(derive(seed, "rest"), epoch, len(buffer)):
        yield buffer[int(place)]
