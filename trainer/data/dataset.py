"""A labelled data set in memory: arrays, class names, splitting and batching from a seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...runtime.errors import InvalidInput
from ...runtime.random import derive, permutation

__all__ = ["MAX_CLASSES", "Dataset"]

MAX_CLASSES = 100_000


@dataclass(frozen=True, eq=False)
class Dataset:
    """Examples with their labels.

    Args:
        x: the examples, `(N, …)`; images are float32 `(N, height, width, channels)` with values in [0, 1].
        y: the labels, `(N,)`, or `(N, …)` where each place of an example has one; kept as int64 numbers of classes.
        classes: the names of the classes.
        name: what messages call this data.
        part: `train` or `test`, where the source has such a part and this is it.
        shapes: the shapes that examples had before they were brought to one size and number of channels.
        lines: where each example is in a file of lines, `(N,)`, or None.

    Raises:
        InvalidInput: if there is no example, the lengths differ, or a label is not the number of a class.
    """

    x: np.ndarray
    y: np.ndarray
    classes: tuple[str, ...]
    name: str = "data"
    part: str | None = None
    shapes: tuple[tuple[int, ...], ...] = ()
    lines: np.ndarray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        object.__setattr__(self, "y", checked_labels(self.y, len(self.classes), self.name))
        if len(self.x) != len(self.y):
            raise InvalidInput(
                f"{self.name}: {len(self.x)} examples but {len(self.y)} labels; expected as many of each"
            )
        if len(self.y) == 0:
            raise InvalidInput(f"{self.name}: there are no examples")

    def __len__(self) -> int:
        return len(self.y)

    def __repr__(self) -> str:
        examples = f"{len(self)} examples {self.x.shape[1:]} {self.x.dtype}"
        return f"Dataset({self.name!r}: {examples}, {len(self.classes)} classes)"

    def counts(self) -> np.ndarray:
        """How many examples each class has, `(classes,)` int64."""
        return np.bincount(self.y.ravel(), minlength=len(self.classes))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return tuple(self.x.shape[1:])

    def relabelled(self, table: np.ndarray, classes: Sequence[str]) -> Dataset:
        """With class i called `table[i]`."""
        return replace(self, y=np.asarray(table)[self.y], classes=tuple(classes))

    def select(self, indices: np.ndarray | Sequence[int] | slice, name: str | None = None) -> Dataset:
        """The examples at `indices`, in that order."""
        lines = None if self.lines is None else self.lines[indices]
        return replace(self, x=self.x[indices], y=self.y[indices], name=name or self.name, lines=lines)

    def shuffled(self, seed: int = 0) -> Dataset:
        """All examples in an order made from the seed."""
        return self.select(permutation(derive(seed, "data/shuffle"), 0, len(self)))

    def batches(
        self, batch_size: int, *, seed: int | None = None, epoch: int = 0, drop_last: bool = False
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """`(x, y)` of at most `batch_size` examples each, together all of them once.

        Args:
            seed: shuffles, differently for each `epoch`; without it the order is the stored one.
            drop_last: leave out a last batch that is not full.
        """
        if batch_size < 1:
            raise InvalidInput(f"batch_size is {batch_size}; expected at least 1")
        order = np.arange(len(self)) if seed is None else permutation(derive(seed, "data/batches"), epoch, len(self))
        end = len(self) - len(self) % batch_size if drop_last else len(self)
        for start in range(0, end, batch_size):
            picked = order[start : min(start + batch_size, end)]
            yield self.x[picked], self.y[picked]

    def split(self, fractions: Sequence[float], seed: int = 0, *, stratify: bool = True) -> tuple[Dataset, ...]:
        """Disjoint parts that together are the whole, each in the stored order.

        Args:
            fractions: one per part, adding up to 1; a part of N·fraction examples is rounded to whole ones.
            stratify: every part holds each class in the proportion of the whole, to within one example per later part.

        Raises:
            InvalidInput: if the fractions do not fit or would leave a part empty.
        """
        sizes = _sizes(fractions, len(self), self.name)
        order = permutation(derive(seed, "data/split"), 0, len(self))
        if stratify and self.y.ndim == 1:
            order = order[np.argsort(self.y[order], kind="stable")]
        parts: list[np.ndarray] = []
        for size in reversed(sizes):
            spread = np.floor((np.arange(size) + 0.5) * (len(order) / size)).astype(np.int64)
            picked = spread if stratify and self.y.ndim == 1 else np.arange(size)
            parts.append(np.sort(order[picked]))
            order = np.delete(order, picked)
        return tuple(self.select(part) for part in reversed(parts))


def checked_labels(y: np.ndarray, classes: int, name: str) -> np.ndarray:
    """Labels as int64 `(N,)` or `(N, …)`, each from 0 to classes - 1.

    Raises:
        InvalidInput: if they are not; the message names the first that does not fit.
    """
    y = np.asarray(y)
    if y.dtype.kind not in "iu" or y.ndim == 0:
        raise InvalidInput(f"{name}: labels are {y.dtype}{list(y.shape)}; expected integers, one per example")
    wrong = np.argwhere((y < 0) | (y >= classes))
    if wrong.size:
        where = tuple(wrong[0].tolist())
        raise InvalidInput(f"{name}: label {y[where]} of example {where[0]}; expected 0 to {classes - 1}")
    return y.astype(np.int64)


def number_names(y: np.ndarray, name: str) -> tuple[str, ...]:
    """Names for classes that are only numbers: "0", "1", … up to the largest label."""
    if y.dtype.kind not in "iu" or y.size == 0:
        return ()
    largest = int(y.max())
    if largest >= MAX_CLASSES:
        raise InvalidInput(f"{name}: label {largest}; expected at most {MAX_CLASSES:,} classes, numbered from 0")
    return tuple(str(i) for i in range(largest + 1))


def checked_fractions(fractions: Sequence[float], name: str) -> None:
    """Raises InvalidInput unless these are positive numbers that add up to 1."""
    if not fractions or any(not 0 < f <= 1 for f in fractions) or abs(sum(fractions) - 1) > 1e-6:
        raise InvalidInput(
            f"{name}: fractions {list(fractions)} do not fit; expected positive numbers that add up to 1"
        )


def _sizes(fractions: Sequence[float], total: int, name: str) -> list[int]:
    checked_fractions(fractions, name)
    ends = np.rint(np.cumsum(fractions) * total).astype(np.int64)
    sizes = np.diff(ends, prepend=0).tolist()
    if 0 in sizes:
        raise InvalidInput(f"{name}: {total} examples are too few for parts of {list(fractions)}: one would be empty")
    return sizes
