"""Batches of a data set, changed by augmentation and made ahead of time: what `fit` takes in place of arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from ...runtime.errors import InvalidInput
from ...runtime.random import derive, permutation
from .dataset import Dataset
from .prefetch import prefetch
from .shards import Shards

if TYPE_CHECKING:
    from ..augment import Sequential

__all__ = ["Batches"]

Batch = tuple[np.ndarray, np.ndarray]


class Batches:
    """`fit(Batches(data, 32, seed=1, augment=…))`

    Args:
        source: a `Dataset` or `Shards`.
        seed: of the order; None keeps the stored one.
        augment: applied to each batch, by the number of the example in the source and the epoch: what an image becomes
            depends on nothing else (but for `MixUp` on `Shards`, which mixes within the batch).
        one_hot: labels as float32 `(N, classes)`; always so where `augment` mixes.
        arrange: applied to the images last, to bring them into a model's layout.
        ahead: so many batches are made ahead by a thread; 0 makes them when they are asked for.
    """

    def __init__(
        self,
        source: Dataset | Shards,
        batch_size: int = 32,
        *,
        seed: int | None = None,
        augment: Sequential | None = None,
        one_hot: bool = False,
        arrange: Callable[[np.ndarray], np.ndarray] | None = None,
        ahead: int = 2,
    ) -> None:
        if batch_size < 1 or ahead < 0:
            raise InvalidInput(f"batch_size is {batch_size} and ahead {ahead}; expected at least 1 and 0")
        self.source, self.batch_size, self.seed, self.augment = source, batch_size, seed, augment
        self.one_hot = one_hot or (augment is not None and augment.mixes)
        self.arrange, self.ahead = arrange, ahead

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-len(self.source) // self.batch_size)

    @property
    def samples(self) -> int:
        """Examples in an epoch."""
        return len(self.source)

    def __iter__(self) -> Iterator[Batch]:
        """The batches of epoch 0."""
        return self.epoch(0)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of one epoch; every pass of the same epoch gives the same."""
        made = self._made(number)
        return prefetch(made, self.ahead) if self.ahead else made

    def _made(self, epoch: int) -> Iterator[Batch]:
        pool = None
        if isinstance(self.source, Dataset) and self.augment is not None and self.augment.mixes:
            pool = (self.source.x, self._labels(self.source.y))
        for index, x, numbers in self._stored(epoch):
            y = self._labels(numbers)
            if self.augment is not None:
                x, y = self.augment(x, y, epoch=epoch, index=index, pool=pool)
            yield (x if self.arrange is None else self.arrange(x)), y

    def _stored(self, epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Numbers of the examples, the examples and their labels, batch by batch."""
        if isinstance(self.source, Dataset):
            count = len(self.source)
            order = np.arange(count)
            if self.seed is not None:
                order = permutation(derive(self.seed, "shuffle"), epoch, count)
            for start in range(0, count, self.batch_size):
                picked = order[start : start + self.batch_size]
                yield picked, self.source.x[picked], self.source.y[picked]
            return
        waiting: list[tuple[int, np.ndarray, int]] = []
        for example in self.source.examples(self.seed, epoch):
            waiting.append(example)
            if len(waiting) == self.batch_size:
                yield _stacked(waiting)
                waiting = []
        if waiting:
            yield _stacked(waiting)

    def _labels(self, y: np.ndarray) -> np.ndarray:
        return np.eye(len(self.source.classes), dtype=np.float32)[y] if self.one_hot else y


def _stacked(examples: list[tuple[int, np.ndarray, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    index, x, y = zip(*examples, strict=True)
    return np.asarray(index), np.stack(x), np.asarray(y, np.int64)
